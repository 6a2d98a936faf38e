"""The calibrated systolic array: what the constants do, per layer, per design and in a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluators.calibrated import ENERGIES, Terms, calibrated
from evaluators.systolic import Systolic
from evaluators.systolic_calibration import SystolicRows
from evaluators.systolic_costs import layer_costs
from evaluators.technology import load
from hwnas.design import BitsPerCell, Designs, SkipNet, SystolicArray, UniformBits
from hwnas.errors import ProblemError
from hwnas.evaluation.calibration import Calibration
from hwnas.evaluation.fitting import fit, hold_out

SPACE = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
TRUE = Terms(1.3, 2500.0, 1.8, 0.35, 2.0, 0.5, 1.4, 3.0)
SIZES = ("N", "K", "C", "P", "Q", "R", "S", "stride", "groups", "weight_bits", "activation_bits")


def designs_of(n: int, seed: int = 0) -> Designs:
    return Designs(SPACE, SPACE.sample(n, np.random.default_rng(seed)))


def measured_rows(n: int = 60) -> tuple[dict, dict]:
    """What a chip with the constants `TRUE` would have measured, layer by layer.

    Layers of one network have the same bits, so that its multipliers are as wide as each needs.
    """
    space = SkipNet().space() + UniformBits().space() + SystolicArray().space()
    designs = Designs(space, space.sample(n, np.random.default_rng(0)))
    layers, hardware = designs.layers, designs.accelerators
    some = np.flatnonzero(layers.macs > 0)
    rows = {name: np.asarray(getattr(layers, name))[some] for name in SIZES}
    rows |= {name: np.asarray(column)[layers.design[some]] for name, column in hardware.items()}
    part = layer_costs(layers, hardware, load("aladdin40"))
    clock = np.asarray(hardware["clock"], dtype=np.float64)[layers.design]
    found = calibrated(
        TRUE,
        cycles=part.cycles,
        clock=clock,
        dram_time=part.dram_time,
        latency=part.latency,
        energies={name: getattr(part, f"energy_{name}") for name in ENERGIES},
    )
    values = {
        "cycles": (found.latency * clock)[some],
        "energy": sum(found.energies.values())[some],
    }
    return {**rows, "network": layers.design[some]}, values


@pytest.fixture(scope="module")
def fitted():
    rows, values = measured_rows()
    return fit(SystolicRows(), rows, values, hold_out(rows, ("network",), 0), seed=0)


@pytest.fixture
def file(tmp_path, fitted) -> Path:
    template = SystolicRows()
    table = Calibration(
        "chip", template.name, template.version, fitted.constants, fitted.errors, template.settings
    )
    table.write(tmp_path / "chip.json")
    return tmp_path / "chip.json"


def test_the_chips_constants_are_found_again(fitted):
    """Nearly: a network's multipliers are as wide as its widest sums, a single layer's as its own.

    So leakage differs a little, which the rows of single layers cannot know.
    """
    for name, value in vars(TRUE).items():
        if name != "energy_leakage":
            near = 0.1 if name.startswith("energy") else 0.01
            assert fitted.values[name] == pytest.approx(value, rel=near), name
    for metric in ("cycles", "energy"):
        assert fitted.errors[metric]["held_out"]["calibrated"].mape < 0.03
        assert fitted.errors[metric]["held_out"]["uncalibrated"].mape > 0.1


def test_terms_that_change_nothing_change_nothing():
    rng = np.random.default_rng(1)
    cycles, dram, clock = rng.uniform(1, 9, (3, 5))
    latency = np.maximum(cycles / clock, dram)
    energies = dict(zip(ENERGIES, rng.uniform(1, 9, (4, 5)), strict=True))
    found = calibrated(
        Terms(), cycles=cycles, clock=clock, dram_time=dram, latency=latency, energies=energies
    )
    np.testing.assert_array_equal(found.latency, latency)
    np.testing.assert_array_equal(found.cycles, cycles)
    for name in ENERGIES:
        np.testing.assert_array_equal(found.energies[name], energies[name])


def test_terms_by_hand():
    """100 cycles at 10 Hz, 4 s of DRAM: 13 s and 7.2 s after, 0.35 of the shorter shows."""
    one = np.ones(1)
    found = calibrated(
        replace(TRUE, layer=0.0),
        cycles=100 * one,
        clock=10 * one,
        dram_time=4 * one,
        latency=10 * one,
        energies=dict.fromkeys(ENERGIES, one),
    )
    assert found.latency[0] == pytest.approx(13.0 + 0.35 * 7.2)
    assert found.energies["leakage"][0] == pytest.approx(3.0 * (13.0 + 0.35 * 7.2) / 10.0)
    assert found.energies["sram"][0] == 0.5


def test_padding_costs_nothing():
    nothing = np.zeros(2)
    found = calibrated(
        TRUE,
        cycles=nothing,
        clock=nothing + 1.0,
        dram_time=nothing,
        latency=nothing,
        energies=dict.fromkeys(ENERGIES, nothing),
    )
    for values in (found.latency, found.cycles, *found.energies.values()):
        np.testing.assert_array_equal(values, 0.0)


def test_designs_cost_the_sum_of_their_calibrated_layers(file):
    evaluator, designs = Systolic(calibration=file), designs_of(40, seed=5)
    found = evaluator.evaluate(designs).columns
    layers = evaluator.layers(designs)
    feasible = np.isfinite(found["latency"])
    assert feasible.sum() > 10
    for name in ("latency", "energy", "cycles"):
        summed = np.bincount(designs.layers.design, getattr(layers, name), minlength=40)
        np.testing.assert_allclose(found[name][feasible], summed[feasible], rtol=1e-12)
    plain = Systolic().evaluate(designs).columns
    assert (found["latency"][feasible] > plain["latency"][feasible]).all()
    np.testing.assert_array_equal(found["area"], plain["area"])


def test_a_batch_is_its_designs_one_by_one(file):
    evaluator, designs = Systolic(calibration=file), designs_of(12, seed=6)
    together = evaluator.evaluate(designs).columns
    for i in range(12):
        alone = evaluator.evaluate(Designs(SPACE, designs.genomes[i : i + 1])).columns
        for name, column in together.items():
            np.testing.assert_array_equal(alone[name][0], column[i])


def test_one_network_on_many_arrays_agrees_with_cells(file):
    """Without a grid of its own, the calibrated array is measured cell by cell."""
    evaluator = Systolic(calibration=file)
    inner = Designs(
        SystolicArray().space(), SystolicArray().space().sample(3, np.random.default_rng(0))
    )
    assert evaluator.against(SPACE, inner, frozenset({"latency"})) is None
    assert Systolic().against(SPACE, inner, frozenset({"latency"})) is not None


def test_the_version_follows_the_calibration(file):
    assert Systolic(calibration=file).version != Systolic().version
    assert Systolic(calibration=file).version == Systolic(calibration=file).version


def test_what_does_not_fit_is_refused(file):
    with pytest.raises(ProblemError, match="how much of the DRAM traffic hides"):
        Systolic(calibration=file, overlap=0.5)
    with pytest.raises(ProblemError, match="energies of another technology"):
        Systolic(calibration=file, dram="hbm2")
    with pytest.raises(ProblemError, match="cannot be read"):
        Systolic(calibration=file.with_name("nothing.json"))


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("dataflow", "rs", "no dataflow 'rs'"),
        ("K", 3.5, "no whole number"),
        ("groups", 7, "groups do not divide"),
    ],
)
def test_bad_rows_are_refused(name, value, match):
    rows, _ = measured_rows(3)
    rows[name] = np.array([value] * len(rows["K"]))
    with pytest.raises(ProblemError, match=match):
        SystolicRows().counts(rows)
