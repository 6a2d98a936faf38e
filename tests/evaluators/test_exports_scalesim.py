"""Exports for SCALE-Sim: what its readers make of the files."""

from __future__ import annotations

import configparser
import math

import pytest

from evaluators.systolic import Systolic
from hwnas.design.export import export
from hwnas.errors import DesignError
from tests.exported_designs import spatial, systolic
from tests.exported_files import accounted, expected, scalesim_products, topology


def scalesim_cycles(dataflow, m, n, w, rows, columns):
    """The number of the last cycle, from 0; see ScaleSim in the README."""
    down, across, time = {"os": (m, n, w), "ws": (w, n, m), "is": (w, m, n)}[dataflow]
    load = rows + columns - 2 + (0 if dataflow == "os" else rows)
    return math.ceil(down / rows) * math.ceil(across / columns) * (time + load) - 1


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_scalesim_topologies_have_our_macs_and_cycles(dataflow):
    design = systolic(dataflow=dataflow)
    exported = export(design, "scalesim")
    products = scalesim_products(exported.files["topology.csv"])
    assert products == {k: tuple(v) for k, v in topology(exported.files["gemm.csv"]).items()}
    assert list(products) == [layer.name for layer in exported.layers]
    macs = {name: math.prod(sizes) for name, sizes in products.items()}
    assert accounted(exported, macs) == expected(design)
    ours = Systolic().layers(design.batch)
    for layer in exported.layers:
        cycles = scalesim_cycles(dataflow, *products[layer.name], 16, 8)
        assert cycles * layer.times == ours.scalesim_cycles[layer.row]


def test_scalesim_configurations():
    exported = export(systolic(ifmap_sram=1500, clock=100e6), "scalesim")
    read = configparser.ConfigParser()
    read.read_string(exported.files["scalesim.cfg"])
    chip = read["architecture_presets"]
    assert (chip["ArrayHeight"], chip["ArrayWidth"], chip["Dataflow"]) == ("16", "8", "ws")
    sizes = [chip[f"{name}SramSzkB"] for name in ("Ifmap", "Filter", "Ofmap")]
    assert sizes == ["2", "8", "8"]
    assert any("inputs 1500 B to 2 KiB" in note for note in exported.notes)
    assert chip["Bandwidth"] == "16"  # 1.6 GB/s at 100 MHz, in bytes per cycle
    assert read["run_presets"]["InterfaceBandwidth"] == "CALC"
    assert int(chip["FilterOffset"]) - int(chip["IfmapOffset"]) >= 10_000_000


def test_scalesim_names_do_not_say_depthwise():
    """A name with DP would be taken apart into channels, with all filters each."""
    assert "DP" not in export(systolic(), "scalesim").files["topology.csv"]


def test_scalesim_has_systolic_arrays_only():
    with pytest.raises(DesignError, match="no accelerator such as spatial_array"):
        export(spatial(), "scalesim")
