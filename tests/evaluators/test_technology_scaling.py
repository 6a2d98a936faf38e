"""Logic between nodes, against the published factors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.technology import area_scale, energy_scale, load, scaled
from evaluators.technology.scaling import NODES
from hwnas.errors import ProblemError

AREAS = {
    130: (1, 0.44, 0.23, 0.16, 0.072, 0.033, 0.03, 0.027, 0.016, 0.0092),
    90: (2.3, 1, 0.53, 0.35, 0.16, 0.075, 0.067, 0.061, 0.036, 0.021),
    65: (4.3, 1.9, 1, 0.66, 0.31, 0.14, 0.13, 0.12, 0.068, 0.039),
    45: (6.4, 2.8, 1.5, 1, 0.46, 0.21, 0.19, 0.17, 0.1, 0.059),
    32: (14, 6.1, 3.3, 2.2, 1, 0.46, 0.41, 0.38, 0.22, 0.13),
    20: (30, 13, 7.1, 4.7, 2.2, 1, 0.89, 0.82, 0.48, 0.28),
    16: (34, 15, 7.9, 5.3, 2.4, 1.1, 1, 0.91, 0.54, 0.31),
    14: (37, 16, 8.7, 5.8, 2.7, 1.2, 1.1, 1, 0.59, 0.34),
    10: (63, 28, 15, 9.8, 4.5, 2.1, 1.9, 1.7, 1, 0.58),
    7: (110, 48, 25, 17, 7.8, 3.6, 3.2, 2.9, 1.7, 1),
}
"""Areas of 130 to 7 nm over that of each node: Stillmaker and Baas 2017, as Accelergy has them."""
nodes = st.floats(7, 130)


@pytest.mark.parametrize("node", AREAS)
def test_areas_are_the_published_ones(node: int) -> None:
    """They have two digits, so do not agree among themselves any better than this."""
    for other, published in zip(NODES, AREAS[node], strict=True):
        assert area_scale(node, other) == pytest.approx(published, rel=0.08)


@pytest.mark.parametrize(
    ("first", "second", "at_800_millivolt"),
    [
        # The quadratics at 0.8 V: 65 nm 0.8598, 45 nm 0.55686, 20 nm 0.1532, 7 nm 0.065358.
        (65, 45, 0.55686 / 0.8598),
        (45, 7, 0.065358 / 0.55686),
        (20, 65, 0.8598 / 0.1532),
    ],
)
def test_energies_are_those_of_the_equation(
    first: float, second: float, at_800_millivolt: float
) -> None:
    assert energy_scale(first, second) == pytest.approx(at_800_millivolt, rel=1e-3)


@pytest.mark.parametrize("scale", [area_scale, energy_scale])
@given(a=nodes, b=nodes, c=nodes)
def test_scaling_is_a_ratio_that_falls_with_the_node(scale, a: float, b: float, c: float) -> None:
    assert scale(a, b) * scale(b, c) == pytest.approx(scale(a, c))
    assert scale(a, a) == 1
    if a < b:
        assert scale(b, a) <= 1


def test_only_logic_is_scaled_and_it_is_said() -> None:
    own, small = load("aladdin40"), load("aladdin40", node_nm=16)
    energy, area = energy_scale(40, 16), area_scale(40, 16)
    assert 0 < energy < 1
    for part in ("multiplier", "adder", "shifter", "register"):
        before, after = getattr(own, part), getattr(small, part)
        assert after.energy == pytest.approx(before.energy * energy)
        assert after.area == pytest.approx(before.area * area)
        assert after.leakage == before.leakage
    kept = ["dram_energy", "noc", "dram"]
    kept += [f"{part}_{what}" for part in ("rf", "sram") for what in ("read", "write", "area")]
    for field in kept:
        assert getattr(small, field) is getattr(own, field)
    assert small.node_nm == 16
    assert (
        "from 40 nm to 16 nm, logic alone (Stillmaker and Baas 2017, at 0.8 V): energies of "
        in (small.description)
    )
    assert "Not scaled: leakage, register files, scratchpads, wires, DRAM." in small.description
    assert small.label == "aladdin40@16nm.1.stillmaker1"


def test_the_tables_own_node_changes_nothing() -> None:
    assert load("aladdin40", node_nm=40) is load("aladdin40")
    assert scaled(load("horowitz45"), 45.0) is load("horowitz45")


def test_what_cannot_be_scaled_is_refused() -> None:
    with pytest.raises(ProblemError, match="'eyeriss' cannot be scaled to 28 nm"):
        load("eyeriss", node_nm=28)
    for node in (5, 180, float("nan"), -1):
        with pytest.raises(ProblemError, match="cannot be scaled") as caught:
            load("aladdin40", node_nm=node)
        assert caught.value.rule == "a node from 130 nm to 7 nm"
