"""Exports for Timeloop, which cannot be run here: the structure of the files."""

from __future__ import annotations

import math

import pytest

from evaluators.exports.arrays import array_of
from evaluators.exports.nests import LOOPS, nests_of
from evaluators.exports.unrolling import steps, unroll
from hwnas.design.export import export
from tests.exported_designs import SYSTOLIC, design_of, spatial, systolic
from tests.exported_files import parse, timeloop_factors


@pytest.mark.parametrize("dataflow", [*SYSTOLIC, "row_stationary", "K|P", "C|K|P"])
def test_timeloop_mappings_fill_the_padded_problems(dataflow):
    design = design_of(dataflow)
    exported = export(design, "timeloop")
    nests = {n.name: n for n in nests_of(design, "")[0]}
    chips = dict(line.split(",")[0:3:2] for line in exported.files["layers.csv"].splitlines()[1:])
    pes = 16 * 8 * (2 if dataflow.count("|") == 2 else 1)
    notes = " ".join(exported.notes)
    assert [layer.name for layer in exported.layers] == list(nests)
    for name, layer in nests.items():
        problem = parse(exported.files[f"problems/{name}.yaml"])["problem"]
        assert set(problem["shape"]["dimensions"]) == set(LOOPS)
        sizes = {loop: problem["instance"][loop] for loop in LOOPS}
        assert problem["instance"]["Hstride"] == layer.stride
        directives = parse(exported.files[f"mappings/{name}.yaml"])["mapping"]
        nested = [d for d in directives if d["type"] != "bypass"]
        factors = [timeloop_factors(d) for d in nested]
        for loop in LOOPS:
            assert math.prod(f[loop] for f in factors) == sizes[loop]
            assert sizes[loop] >= layer.sizes[loop]
        ((across,),) = [[i for i, d in enumerate(nested) if d["type"] == "spatial"]]
        spread = nested[across]
        assert all(set(d["permutation"]) == set(LOOPS) for d in nested)
        assert all(len(d["permutation"]) == len(LOOPS) for d in nested)
        down = math.prod(factors[across][loop] for loop in spread["permutation"][spread["split"] :])
        assert down <= 16
        assert math.prod(factors[across].values()) <= down * pes // 16
        # The steps are the product of all temporal factors.
        temporal = math.prod(math.prod(f.values()) for i, f in enumerate(factors) if i != across)
        assert temporal == math.prod(steps(layer, unroll(layer, array_of(design, ""))).values())
        assert (math.prod(sizes.values()) > layer.macs) == (f"{name} x" in notes)
        assert_fits(exported, chips[name], layer, nested, factors)


def assert_fits(exported, chip, layer, nested, factors):
    """Every memory holds what lies inside of its loops; half of a scratchpad does."""
    system = parse(exported.files[f"architectures/{chip}.yaml"])["architecture"]["subtree"][0]
    inner = system["subtree"][0]
    memories = {m["name"]: m["attributes"] for m in inner["local"]}
    memories |= {m["name"]: m["attributes"] for m in inner["subtree"][0]["local"]}
    assert memories["WeightsBuffer"]["word-bits"] == layer.weight_bits
    assert memories["InputsBuffer"]["word-bits"] == layer.activation_bits
    for operand in ("Weights", "Inputs", "Outputs"):
        for kind in ("Register", "Buffer"):
            name = f"{operand}{kind}"
            first = next(i for i, d in enumerate(nested) if d["target"] == name)
            if name == "OutputsBuffer":
                assert nested[first + 1]["type"] == "spatial"
            tile = {loop: math.prod(f[loop] for f in factors[first:]) for loop in LOOPS}
            depth = memories[name]["depth"] // memories[name].get("multiple-buffering", 1)
            assert layer.elements(operand.lower(), tile) <= depth


def test_timeloop_keeps_one_operand_per_memory():
    directives = parse(export(systolic(), "timeloop").files["mappings/conv000.yaml"])["mapping"]
    kept = {d["target"]: (d["keep"], d["bypass"]) for d in directives if d["type"] == "bypass"}
    assert len(kept) == 6
    for target, (keep, bypass) in kept.items():
        assert target.startswith(keep[0])
        assert {*keep, *bypass} == {"Weights", "Inputs", "Outputs"}


def test_timeloop_has_an_architecture_per_pair_of_bits():
    files = export(systolic(), "timeloop").files
    chips = {name for name in files if name.startswith("architectures/")}
    assert chips == {f"architectures/w{bits}a8.yaml" for bits in (2, 3, 4, 8)}


def test_timeloop_registers_are_used_where_there_are_some():
    mapping = parse(
        export(spatial(dataflow="row_stationary"), "timeloop").files["mappings/conv000.yaml"]
    )["mapping"]
    (inner,) = [d for d in mapping if d["target"] == "OutputsRegister" and "factors" in d]
    assert timeloop_factors(inner)["S"] == 7  # a row of the kernel stays


def test_timeloop_says_what_will_not_fit():
    notes = " ".join(export(systolic(filter_sram=16), "timeloop").notes)
    assert (
        "cannot hold one load of the array, which Timeloop will refuse: conv000 (weights)" in notes
    )
