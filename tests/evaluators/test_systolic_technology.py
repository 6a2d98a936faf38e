"""The technology tables that are shipped: their numbers against their sources, units, curves."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators import technology
from evaluators.systolic import Systolic
from evaluators.technology import Curve, Technology, available, drams, load
from hwnas import units
from hwnas.design import Designs, FixedNetwork, SystolicArray, UniformBits
from hwnas.errors import PluginError

BUILT_IN = (
    "aladdin40", "dosa", "eyeriss", "eyeriss8", "horowitz45", "maestro", "timeloop_pat",
)  # fmt: skip
DRAMS = {"ddr3": 70, "gddr5": 14, "hbm2": 3.9, "lpddr2": 40, "lpddr4": 8}
"""pJ per bit in the DRAM table of Accelergy's CACTI plug-in, after Malladi et al. (ISCA 2012) for
LPDDR2 and DDR3, O'Connor et al. (MICRO 2017) for GDDR5 and HBM2."""
KIB = 1024.0


def raw(name: str) -> dict[str, Any]:
    folder = resources.files(technology) / "dram" if name in DRAMS else resources.files(technology)
    return dict(json.loads(folder.joinpath(f"{name}.json").read_text()))


def entries(node: Any) -> list[dict[str, Any]]:
    if not isinstance(node, dict):
        return []
    if "unit" in node or "from" in node:
        return [node]
    return [entry for child in node.values() for entry in entries(child)]


def at(curve: Curve, size: float) -> float:
    return float(curve(np.array([size]))[0])


def test_the_built_in_ones() -> None:
    assert available() == BUILT_IN
    assert drams() == tuple(DRAMS)


@pytest.mark.parametrize("name", [*BUILT_IN, *DRAMS])
def test_every_number_has_a_unit_and_a_source(name: str) -> None:
    table = raw(name)
    assert table["name"] == name
    for entry in entries(table):
        if "from" in entry:
            assert len(entry["why"]) > 10
            continue
        assert len(entry["source"]) > 20 or "counts no leakage" in entry["source"]
        assert entry["unit"] in technology.UNITS


@pytest.mark.parametrize("unit", technology.UNITS)
def test_units_agree_with_pint(unit: str) -> None:
    size = 1e-9 if unit == "nm" else 1.0
    assert technology.UNITS[unit] * size == pytest.approx(units.scale(unit), rel=1e-12)


def test_numbers_by_hand() -> None:
    costs = load("aladdin40")
    # One 32 x 32 bit multiplication, one 32 bit addition, a bit latched, a bit from LPDDR4.
    assert costs.multiplier.energy * 32 * 32 == pytest.approx(12.68e-12)
    assert costs.adder.area * 32 == pytest.approx(278e-12)
    assert costs.register.leakage == pytest.approx(7.4e-8)
    assert costs.dram_energy == pytest.approx(8e-12)
    # CACTI's row for 64 KiB: 21.2178 pJ per 64 bit read.
    assert at(costs.sram_read, 64 * KIB) * 64 == pytest.approx(21.2178e-12)
    assert at(costs.sram_area, 96 * KIB) == pytest.approx(252292e-12)
    # Aladdin's 32 bit shifter; CACTI's row for 512 B with 32 bit words, and half-way to 1 KiB.
    assert costs.shifter.energy * 32 == pytest.approx(0.4172512e-12)
    assert costs.shifter.area * 32 == pytest.approx(249.6461e-12)
    assert costs.shifter.leakage * 32 == pytest.approx(1.697876e-6)
    assert at(costs.rf_read, 512) * 32 == pytest.approx(0.676446e-12)
    assert at(costs.rf_write, 768) * 32 == pytest.approx((1.41243 + 1.65612) / 2 * 1e-12)
    assert at(costs.rf_area, 128) == pytest.approx(514.048e-12)
    assert at(costs.rf_leakage, 4096) == pytest.approx(187.616e-9)
    # Horowitz: DRAM from 1.3 nJ per 64 bit; a cache of 20 KB between those of 8 and 32 KB.
    other = load("horowitz45")
    assert other.dram_energy == pytest.approx(1.3e-9 / 64)
    assert at(other.sram_read, 20 * KIB) * 64 == pytest.approx(15e-12)
    assert other.shifter.area == costs.shifter.area
    assert other.shifter.energy / other.multiplier.energy == pytest.approx(
        costs.shifter.energy / costs.multiplier.energy, rel=1e-5
    )
    assert at(other.rf_read, 4096) * 32 == pytest.approx(2.86168e-12)
    assert (costs.node_nm, other.node_nm, costs.noc, costs.dram) == (40, 45, 0, "lpddr4")


@pytest.mark.parametrize(("name", "bits", "noc"), [("eyeriss", 16, 2.0), ("eyeriss8", 8, 0.0)])
@given(size=st.integers(1, 2**24))
def test_eyeriss_units(name: str, bits: int, noc: float, size: int) -> None:
    """Chen et al., ISCA 2016, Table IV: MAC 1, RF 1, inter-PE 2, buffer 6, DRAM 200 per word."""
    costs = load(name)
    unit = costs.multiplier.energy * bits**2
    assert unit == pytest.approx(1e-12)
    word = [
        costs.register.energy, at(costs.rf_read, size), at(costs.rf_write, size), costs.noc,
        at(costs.sram_read, size), at(costs.sram_write, size), costs.dram_energy,
    ]  # fmt: skip
    np.testing.assert_allclose(np.array(word) * bits / unit, [1, 1, 1, noc, 6, 6, 200])
    assert costs.without == ("adder", *(() if noc else ("noc",)), "leakage")
    assert costs.node_nm is None


@given(size=st.floats(0, 2**24))
def test_timeloop_pat_is_its_formula(size: float) -> None:
    """pat.cpp: y = (6 - 1) / (100 - 0.5) (x - 0.5) + 1 per 16 bit, x in KB; DRAM 200 per 16 bit."""
    costs = load("timeloop_pat")
    expected = (5 / 99.5 * (size / KIB - 0.5) + 1) * 1e-12
    for curve in (costs.sram_read, costs.sram_write, costs.rf_read, costs.rf_write):
        assert at(curve, size) * 16 == pytest.approx(expected, rel=1e-9)
    assert costs.dram_energy * 16 == pytest.approx(200e-12)
    assert costs.multiplier.energy * 8 * 4 == pytest.approx(8 / 16 * 4 / 16 * 1e-12)
    assert costs.register.energy * 16 == pytest.approx((1 - 0.5 * 5 / 99.5) * 1e-12, rel=1e-6)


@given(size=st.floats(0, 2**20))
def test_dosa_is_its_constants_and_those_are_pats(size: float) -> None:
    """dataset/dse/energy_model.py of DOSA; they are PAT's line for 8-bit words, rounded."""
    costs, pat = load("dosa"), load("timeloop_pat")
    assert costs.multiplier.energy * 64 == pytest.approx(0.5608e-12)
    assert at(costs.sram_read, size) * 8 == pytest.approx((0.02513 * size / KIB + 0.49) * 1e-12)
    assert at(costs.sram_read, size) == pytest.approx(at(pat.sram_read, size), rel=0.01)
    assert at(costs.rf_write, size) == costs.register.energy
    assert costs.register.energy == pytest.approx(pat.register.energy, rel=1e-4)
    assert costs.dram_energy == pytest.approx(pat.dram_energy)


def test_maestro_prints_its_energy() -> None:
    """The energy of ResNet-18's first layer in MAESTRO's CSV: 3,132,946 accesses of L2 alone."""
    costs = load("maestro")
    assert 3_132_946 * at(costs.sram_read, 1e6) * 8 == pytest.approx(13_409.9e-9, rel=1e-5)
    mac = costs.multiplier.energy * 64
    assert mac == pytest.approx(0.00023e-9)
    assert at(costs.rf_read, 99) * 8 / mac == pytest.approx(1.68)
    assert costs.multiplier.area * 64 == pytest.approx(283e-12)
    assert at(costs.sram_area, 2048) == pytest.approx(2048 * 0.104e-12)
    assert costs.dram_energy == load("aladdin40", dram="lpddr4").dram_energy > 0
    # Horowitz at 45 nm: 0.2 pJ for an 8 bit multiplication, 0.03 pJ for an addition.
    assert mac == pytest.approx((0.2 + 0.03) * 1e-12)


@pytest.mark.parametrize("name", set(BUILT_IN) - {"aladdin40", "horowitz45"})
def test_shifts_and_areas_are_borrowed_from_aladdin(name: str) -> None:
    costs, aladdin = load(name), load("aladdin40")
    # A shift against a multiplication of the table's own width is as in Aladdin's.
    bits = 16 if name in ("eyeriss", "timeloop_pat") else 8
    ratio = costs.shifter.energy * bits / (costs.multiplier.energy * bits**2)
    there = aladdin.shifter.energy * bits / (aladdin.multiplier.energy * bits**2)
    assert ratio == pytest.approx(there, rel=1e-4)
    assert costs.shifter.area == aladdin.shifter.area
    if name != "maestro":
        assert costs.multiplier.area == aladdin.multiplier.area
        assert at(costs.sram_area, 5000) == at(aladdin.sram_area, 5000)
        assert at(costs.rf_area, 200) == at(aladdin.rf_area, 200)


@pytest.mark.parametrize("dram", DRAMS)
@pytest.mark.parametrize("name", ["aladdin40", "eyeriss"])
def test_another_dram_changes_nothing_else(name: str, dram: str) -> None:
    costs, own = load(name, dram=dram), load(name)
    assert costs.dram_energy == pytest.approx(DRAMS[dram] * 1e-12)
    assert (costs.dram, costs.label) == (dram, f"{name}+{dram}.1+1")
    changed = {"name", "version", "description", "dram_energy", "dram", "sources"}
    for field in set(vars(own)) - changed:
        assert getattr(costs, field) is getattr(own, field)
    assert costs is load(name, dram=dram)


@pytest.mark.parametrize("name", BUILT_IN)
@given(small=st.integers(1, 2**24), more=st.integers(1, 2**24))
def test_larger_memories_cost_more(name: str, small: int, more: int) -> None:
    costs = load(name)
    sizes = np.array([small, small + more])
    by_size = name in ("aladdin40", "horowitz45")
    for kind in ("read", "write", "area", "leakage"):
        for part in ("sram", "rf"):
            first, second = getattr(costs, f"{part}_{kind}")(sizes)
            assert (0 < first < second) if by_size or kind == "area" else (0 <= first <= second)
            assert first > 0 or kind == "leakage"


def test_curves_go_on_beyond_their_points_but_not_below_zero() -> None:
    sizes = np.array([0.0, 1.0, 3.0, 4.0, 10.0])
    line = Curve.through(np.array([2.0, 4.0]), np.array([3.0, 5.0]))
    np.testing.assert_allclose(line(sizes), [1, 2, 4, 5, 11])
    steep = Curve.through(np.array([2.0, 4.0]), np.array([1.0, 5.0]))
    np.testing.assert_allclose(steep(sizes), [0, 0.5, 3, 5, 17], rtol=1e-9)
    np.testing.assert_allclose(Curve.line(3.0, 0.5)(sizes), 3 + sizes / 2)
    np.testing.assert_array_equal(Curve.line(3.0, 0.0)(sizes), 3)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(PluginError, match="did you mean 'horowitz45'"):
        load("horowitz")
    with pytest.raises(PluginError, match="no dram named 'hbm'") as caught:
        load("aladdin40", dram="hbm")
    assert "'hbm2'" in caught.value.cure
    for name in ("dram/hbm2", "../technology/aladdin40", "hbm2"):
        with pytest.raises(PluginError, match="no technology named"):
            load(name)


def fingerprint(costs: Technology) -> str:
    """A hash of all numbers of a table, to twelve digits."""
    numbers: list[float] = [costs.dram_energy, costs.noc]
    for logic in (costs.multiplier, costs.adder, costs.shifter, costs.register):
        numbers += [logic.energy, logic.area, logic.leakage]
    for part in ("rf", "sram"):
        for kind in ("read", "write", "area", "leakage"):
            curve = getattr(costs, f"{part}_{kind}")
            numbers += [*curve.sizes.tolist(), *curve.values.tolist()]
    text = " ".join(f"{number:.12g}" for number in numbers)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


VERSIONS = {
    "aladdin40": ("1", "887e6ea2f9e8"),
    "dosa": ("1", "1d70741b44ab"),
    "eyeriss": ("1", "0569ad50553a"),
    "eyeriss8": ("1", "2a847a1cfffd"),
    "horowitz45": ("1", "5b66e66e094c"),
    "maestro": ("1", "311ecd70cd6a"),
    "timeloop_pat": ("1", "d11a9c7e3a06"),
}
"""Whoever changes a number gives the table another version, here too; a borrowed number counts for
those that borrow it. So no stored study goes on with other numbers."""


@pytest.mark.parametrize("name", BUILT_IN)
def test_versions_change_with_numbers(name: str) -> None:
    costs = load(name)
    assert (costs.version, fingerprint(costs)) == VERSIONS[name]


def test_answers_with_the_first_tables_are_as_they_were() -> None:
    """As measured before tables had shifters, register files and other DRAMs."""
    space = FixedNetwork("mobilenet_v2").space() + UniformBits((4, 8), (8,)).space()
    space = space + SystolicArray(
        rows=(8, 32), columns=(16,),
        ifmap_sram=(65536,), filter_sram=(131072,), ofmap_sram=(32768,),
    ).space()  # fmt: skip
    genomes = [[0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]]
    genomes.append([0, 1, 0, 1, 0, 0, 0, 0, 0, 3, 2])
    designs = Designs(space, np.array(genomes))
    golden = {
        "aladdin40": {
            "energy": [0.002775433157149051, 0.0020470265120481564, 0.0023181736766104185],
            "latency": [0.044597017499999995, 0.059671835000000006, 0.016602904374999995],
            "area": [1.04795778e-06, 6.707725e-07, 1.04795778e-06],
        },
        "horowitz45": {
            "energy": [0.005640688594765695, 0.004326595950348225, 0.00467468359200009],
            "latency": [0.044597017499999995, 0.059671835000000006, 0.016602904374999995],
            "area": [1.18844638e-06, 8.112611e-07, 1.18844638e-06],
        },
    }
    for name, metrics in golden.items():
        evaluator = Systolic(technology=name)
        assert evaluator.version == f"1+{name}.1+overlap1"
        found = evaluator.evaluate(designs)
        for metric, values in metrics.items():
            np.testing.assert_allclose(found[metric], values, rtol=1e-15)


def test_the_evaluator_takes_dram_and_node() -> None:
    space = FixedNetwork("mobilenet_v2").space() + UniformBits((8,), (8,)).space()
    space = space + SystolicArray().space()
    designs = Designs(space, np.array([[0, 0, 0, 1, 1, 0, 6, 6, 6, 0, 0]]))
    plain, stacked = Systolic(), Systolic(dram="hbm2")
    parts, other = plain.breakdown(designs)["energy"], stacked.breakdown(designs)["energy"]
    np.testing.assert_allclose(other["dram"], parts["dram"] * 3.9 / 8)
    np.testing.assert_array_equal(other["sram"], parts["sram"])
    small = Systolic(node_nm=28)
    shrunk, areas = small.breakdown(designs), plain.breakdown(designs)["area"]
    factor = technology.energy_scale(40, 28)
    np.testing.assert_allclose(shrunk["energy"]["mac"], parts["mac"] * factor)
    np.testing.assert_array_equal(shrunk["energy"]["dram"], parts["dram"])
    smaller = areas["array"] * technology.area_scale(40, 28)
    np.testing.assert_allclose(shrunk["area"]["array"], smaller)
    np.testing.assert_array_equal(shrunk["area"]["filter_sram"], areas["filter_sram"])
    both = Systolic(dram="hbm2", node_nm=28)
    versions = {e.version for e in (plain, stacked, small, both, Systolic(node_nm=45))}
    assert len(versions) == 5
    assert "not scaled: leakage" in both.technology.description.lower()
