"""Exports for MAESTRO, which cannot be run here: the structure of the files."""

from __future__ import annotations

import pytest

from hwnas.design.export import export
from hwnas.errors import DesignError
from tests.exported_designs import ALL, design_of, spatial
from tests.exported_files import accounted, expected, maestro_layers, maestro_macs


@pytest.mark.parametrize("dataflow", ALL[:-1])
def test_maestro_networks_have_our_macs(dataflow):
    design = design_of(dataflow)
    exported = export(design, "maestro")
    assert accounted(exported, maestro_macs(exported.files["network.m"])) == expected(design)
    with_mapping = maestro_layers(exported.files["mapping.m"])
    for name, layer in maestro_layers(exported.files["network.m"]).items():
        assert with_mapping[name][:3] == layer[:3]
        assert not layer[3]
        assert (layer[0] == "GEMM") == (dataflow in ("os", "ws", "is"))
        assert_mapped(dataflow, with_mapping[name])


def assert_mapped(dataflow, layer):
    """Two levels, each dimension once; what the inner one shares out is as large as it."""
    kind, _, sizes, directives = layer
    (cut,) = [i for i, d in enumerate(directives) if d[0] == "Cluster"]
    above, below = directives[:cut], directives[cut + 1 :]
    for level in (above, below):
        names = [d[3].rstrip("'") for d in level]
        assert len(names) == len(set(names))
        assert set(names) <= set(sizes)
    spread = [[d[3] for d in level if d[0] == "SpatialMap"] for level in (above, below)]
    assert len(spread[0]) == 1
    if dataflow == "row_stationary":
        assert (spread, directives[cut][1]) == ([["Y'"], ["Y", "R"]], "Sz(R)")
        return
    ((inner,),) = spread[1:]
    (shared,) = [d for d in above if d[3] == inner]
    assert (shared[0], shared[1], shared[2]) == ("TemporalMap", *[directives[cut][1]] * 2)
    assert directives[cut][1] == ("16" if dataflow in ("ws", "is") else "8")
    # All that a layer has is mapped above, and unrolled loops are those of the dataflow.
    mapped = {d[3].rstrip("'") for d in above}
    assert mapped | {"K"} == set(sizes)
    assert "K" in mapped or kind == "DSCONV"
    letters = {"G": "C" if kind == "DSCONV" else "N", "P": "Y'", "Q": "X'"}
    if "|" in dataflow:
        assert [spread[0][0], inner] == [letters.get(x, x) for x in dataflow.split("|")]


def test_maestro_maps_as_its_own_examples_do():
    """K|C is KC-P: filters over clusters, channels within, windows of the input over time."""
    text = export(spatial(dataflow="nvdla"), "maestro").files["mapping.m"]
    lines = [line.strip() for line in text.split("Dataflow {")[1].split("}")[0].splitlines()]
    windows = ["TemporalMap(Sz(R),1) Y;", "TemporalMap(Sz(S),1) X;"]
    kernel = ["TemporalMap(Sz(R),Sz(R)) R;", "TemporalMap(Sz(S),Sz(S)) S;"]
    assert [line for line in lines if line and not line.endswith(" N;")] == [
        "SpatialMap(1,1) K;", "TemporalMap(8,8) C;", *kernel, *windows,
        "Cluster(8, P);",
        "TemporalMap(1,1) K;", "SpatialMap(1,1) C;", *kernel, *windows,
    ]  # fmt: skip


def test_maestro_groups():
    exported = export(spatial(dataflow="G|K"), "maestro")
    kinds = {name: layer[0] for name, layer in maestro_layers(exported.files["network.m"]).items()}
    assert kinds["conv002"] == "DSCONV"
    assert kinds["conv004"] == "CONV"
    times = {layer.name: layer.times for layer in exported.layers}
    assert (times["conv002"], times["conv004"], times["conv000"]) == (1, 4, 1)
    assert any("only depthwise ones: conv004, matmul006" in note for note in exported.notes)
    times = {layer.name: layer.times for layer in export(spatial(), "maestro").layers}
    assert (times["conv002"], times["conv004"], times["matmul006"]) == (48, 4, 8)


def test_maestro_hardware():
    text = export(spatial(), "maestro").files["hardware.m"]
    values = {key: int(value) for key, value in (line.split(": ") for line in text.splitlines())}
    assert values == {
        "NumPEs": 128, "L1Size": 60, "L2Size": 3 * 8192, "NoC_BW": 64, "NoC_NumHops": 1
    }  # fmt: skip


@pytest.mark.parametrize("dataflow", ["G|N", "C|K|P"])
def test_maestro_refuses_what_it_cannot_map(dataflow):
    with pytest.raises(DesignError, match="not exported to MAESTRO"):
        export(spatial(dataflow=dataflow), "maestro")
