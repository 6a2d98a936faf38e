"""Exports in the hands of the real SCALE-Sim 3.0.0 and ZigZag 3.9.1.

The packages live in environments of their own: `HWNAS_SCALESIM_PYTHON` is a Python with
``scalesim==3.0.0`` and ``numpy<2``, `HWNAS_ZIGZAG_PYTHON` one with ``zigzag-dse==3.9.1`` and
``six``.
"""

from __future__ import annotations

import json
import math
import os
import subprocess

import pytest

from evaluators.exports.arrays import array_of
from evaluators.exports.nests import nests_of
from evaluators.exports.unrolling import steps, unroll
from evaluators.systolic import Systolic
from hwnas.design.export import export
from tests.exported_designs import SYSTOLIC, design_of, spatial, systolic
from tests.exported_files import parse

SECONDS = 240

SCALESIM = """
import sys
from scalesim.scale_sim import scalesim

folder, kind = sys.argv[1:]
table = "gemm.csv" if kind == "gemm" else "topology.csv"
run = scalesim(
    save_disk_space=True,
    verbose=False,
    config=f"{folder}/scalesim.cfg",
    topology=f"{folder}/{table}",
    layout=f"{folder}/layout.csv",
    input_type_gemm=kind == "gemm",
)
run.run_scale(top_path=f"{folder}/out")
"""

ZIGZAG = """
import json, logging, sys
from zigzag.api import get_hardware_performance_zigzag
from zigzag.cost_model.cost_model import CostModelEvaluation

logging.disable(logging.CRITICAL)


def evaluations(found):
    if isinstance(found, CostModelEvaluation):
        yield found
    elif isinstance(found, (list, tuple)):
        for one in found:
            yield from evaluations(one)


answers = []
for folder in sys.argv[1:]:
    *_, found = get_hardware_performance_zigzag(
        workload=f"{folder}/workload.yaml",
        accelerator=f"{folder}/accelerator.yaml",
        mapping=f"{folder}/mapping.yaml",
        dump_folder=f"{folder}/out",
        pickle_filename=f"{folder}/out/evaluations.pickle",
        lpf_limit=4,
        loma_show_progress_bar=False,
    )
    answers.append([
        {
            "name": e.layer.name,
            "macs": int(e.layer.total_mac_count),
            "steps": e.ideal_temporal_cycle,
            "cycles": e.latency_total2,
            "mac_energy": e.mac_energy,
        }
        for e in evaluations(found)
    ])
print(json.dumps(answers))
"""


def python_with(package, variable):
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} names no Python that has {package}")
    return path


def run(*command, cwd):
    finished = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=cwd,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout


@pytest.mark.parametrize("dataflow", SYSTOLIC)
@pytest.mark.parametrize("kind", ["conv", "gemm"])
def test_scalesim_counts_our_cycles(tmp_path, dataflow, kind):
    python = python_with("scalesim", "HWNAS_SCALESIM_PYTHON")
    design = design_of(dataflow)
    exported = export(design, "scalesim")
    folder = tmp_path / "export"
    exported.write(folder)
    run(python, "-c", SCALESIM, folder, kind, cwd=tmp_path)
    report = (folder / "out" / "hwnas" / "COMPUTE_REPORT.csv").read_text().splitlines()
    columns = [name.strip() for name in report[0].split(",")]
    cycles = [float(row.split(",")[columns.index("Total Cycles")]) for row in report[1:]]
    ours = Systolic().layers(design.batch).scalesim_cycles
    assert len(cycles) == len(exported.layers)
    for layer, count in zip(exported.layers, cycles, strict=True):
        assert count * layer.times == ours[layer.row], layer


def test_zigzag_has_our_macs_and_steps(tmp_path):
    python = python_with("zigzag-dse", "HWNAS_ZIGZAG_PYTHON")
    designs = {
        "weights": systolic(dataflow="ws"),
        "outputs": systolic(dataflow="os"),
        "spatial": spatial(dataflow="nvdla"),
        "rows": spatial(dataflow="row_stationary"),
        "deep": spatial(dataflow="C|K|P"),
    }
    exports = {name: export(design, "zigzag") for name, design in designs.items()}
    for name, exported in exports.items():
        exported.write(tmp_path / name)
    out = run(python, "-c", ZIGZAG, *(tmp_path / name for name in designs), cwd=tmp_path)
    answers = dict(zip(designs, json.loads(out.splitlines()[-1]), strict=True))
    for name, design in designs.items():
        array, (nests, _) = array_of(design, ""), nests_of(design, "")
        found = {answer["name"]: answer for answer in answers[name]}
        assert list(found) == [layer.name for layer in exports[name].layers]
        chip = parse(exports[name].files["accelerator.yaml"])
        unit = chip["operational_array"]["unit_energy"]
        for nest in nests:
            answer = found[nest.name]
            assert answer["macs"] == nest.macs == design.layers.macs[nest.row]
            assert answer["steps"] == math.prod(steps(nest, unroll(nest, array)).values())
            assert answer["cycles"] >= answer["steps"]
            assert answer["mac_energy"] == pytest.approx(nest.macs * unit)
    # Where im2col cuts no window inside of a loop, ZigZag's steps are our folds times their length.
    ours = Systolic().layers(designs["weights"].batch).cycles
    table = designs["weights"].layers
    for answer, layer in zip(answers["weights"][1:], exports["weights"].layers[1:], strict=True):
        images = 1 if layer.name.startswith("matmul") else table.N[layer.row]
        length = images * table.P[layer.row] * table.Q[layer.row]
        folds = ours[layer.row] / (length + 2 * 16 + 8 - 2)
        assert answer["steps"] == folds * length, layer
