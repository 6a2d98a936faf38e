"""The calibrated spatial array: constants found again, cells, grids and layers that agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evaluators.calibrated import CONSTANTS, Terms
from evaluators.spatial import Spatial
from evaluators.spatial.calibration import SpatialRows
from hwnas import plugins
from hwnas.design import BitsPerCell, Designs, SkipNet, SpatialArray, UniformBits
from hwnas.errors import DesignError, ProblemError, SpaceError
from hwnas.evaluation.calibration import Calibration, Fitted
from hwnas.evaluation.fitting import Fit, fit, hold_out
from hwnas.evaluation.pairing import against, paired

HW = SpatialArray(
    dataflow=("nvdla", "shidiannao", "row_stationary", "K|C|P"),
    depth=(1, 2),
    input_rf=(0, 8),
    pe=("fixed", "bit_serial", "composable"),
)
SPACE = SkipNet().space() + BitsPerCell().space() + HW.space()
TRUE = Terms(1.3, 2500.0, 1.8, 0.35, 2.0, 0.5, 1.4, 3.0)
SIZES = ("N", "K", "C", "P", "Q", "R", "S", "stride", "groups", "weight_bits", "activation_bits")


def designs_of(n: int, seed: int = 0) -> Designs:
    return Designs(SPACE, SPACE.sample(n, np.random.default_rng(seed)))


def calibrated_by_hand(costs: Any, clock: Any) -> dict[str, Any]:
    """What silicon with the constants `TRUE` does, from the formulas in the documentation."""
    compute = (TRUE.compute * costs.cycles + TRUE.layer) / clock
    dram = TRUE.dram * costs.dram_time
    latency = np.maximum(compute, dram) + TRUE.exposed * np.minimum(compute, dram)
    arithmetic = TRUE.energy_mac * (costs.energy_mac + costs.energy_register)
    sram = TRUE.energy_sram * (costs.energy_noc + costs.energy_sram)
    dynamic = arithmetic + sram + TRUE.energy_dram * costs.energy_dram
    leakage = TRUE.energy_leakage * costs.energy_leakage / costs.latency * latency
    return {"latency": latency, "energy": dynamic + leakage}


def layers_as_rows(n: int = 60) -> tuple[dict[str, Any], dict[str, Any]]:
    """Layers of random designs as rows, and what the evaluator says of them."""
    space = SkipNet().space() + UniformBits().space() + replace(HW, pe=("fixed",)).space()
    designs = Designs(space, space.sample(n, np.random.default_rng(0)))
    layers, hardware = designs.layers, designs.accelerators
    costs = Spatial().layers(designs)
    some = np.flatnonzero((layers.macs > 0) & (costs.unfit == 0))
    owner = layers.design[some]
    rows = {name: np.asarray(getattr(layers, name))[some] for name in SIZES}
    rows |= {name: np.asarray(column)[owner] for name, column in hardware.items()}
    return {**rows, "network": owner}, costs._asdict() | {"some": some}


def measured_rows(n: int = 60) -> tuple[dict[str, Any], dict[str, Any]]:
    """What that chip would have measured of layers, each on an array built for it alone."""
    rows, _ = layers_as_rows(n)
    counts = SpatialRows().counts(rows)
    nothing = dict.fromkeys(("energy_register", "energy_noc"), 0.0)
    found = calibrated_by_hand(SimpleNamespace(**counts, **nothing), counts["clock"])
    return rows, {"cycles": found["latency"] * counts["clock"], "energy": found["energy"]}


@pytest.fixture(scope="module")
def fitted() -> Fit:
    rows, values = measured_rows()
    return fit(SpatialRows(), rows, values, hold_out(rows, ("network",), 0), seed=0)


def write(folder: Path, template: SpatialRows, *, terms: Terms = TRUE, energy: bool = True) -> Path:
    constants = {c.name: Fitted(getattr(terms, c.name), 0.0, c.unit, c.meaning) for c in CONSTANTS}
    errors: dict[str, Any] = {"energy": {}} if energy else {}
    name, version = template.name, template.version
    Calibration("chip", name, version, constants, errors, template.settings).write(
        folder / "chip.json", force=True
    )
    return folder / "chip.json"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path, SpatialRows())


def test_rows_are_costed_as_layers_of_networks_are() -> None:
    """All but leakage: a network's elements are built for its widest sums."""
    rows, costs = layers_as_rows()
    counts, some = SpatialRows().counts(rows), costs["some"]
    for name in ("cycles", "dram_time", "latency", "energy_dram"):
        np.testing.assert_array_equal(counts[name], costs[name][some])
    for name, parts in {"mac": ("mac", "register"), "sram": ("noc", "sram")}.items():
        whole = sum(costs[f"energy_{part}"][some] for part in parts)
        np.testing.assert_allclose(counts[f"energy_{name}"], whole, rtol=1e-15)
    assert (counts["energy_leakage"] <= costs["energy_leakage"][some] * (1 + 1e-12)).all()


def test_the_chips_constants_are_found_again(fitted: Fit) -> None:
    for name, value in vars(TRUE).items():
        assert fitted.values[name] == pytest.approx(value, rel=1e-3), name
    for metric in ("cycles", "energy"):
        assert fitted.errors[metric]["held_out"]["calibrated"].mape < 1e-3
        assert fitted.errors[metric]["held_out"]["uncalibrated"].mape > 0.1


def test_layers_cost_what_the_formulas_say(file: Path) -> None:
    designs = designs_of(20, seed=3)
    plain, found = Spatial().layers(designs), Spatial(calibration=file).layers(designs)
    clock = np.asarray(designs.accelerators["clock"], dtype=np.float64)[designs.layers.design]
    expected, here = calibrated_by_hand(plain, clock), plain.unfit == 0
    for name, column in expected.items():
        np.testing.assert_allclose(getattr(found, name)[here], column[here], rtol=1e-12)
    power = expected["energy"] / expected["latency"]
    np.testing.assert_allclose(found.power[here], power[here], rtol=1e-12)
    for name in ("tiling", "stay", "dram_bytes", "unfit"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))


def test_designs_cost_the_sum_of_their_calibrated_layers(file: Path) -> None:
    evaluator, designs = Spatial(calibration=file), designs_of(30, seed=5)
    found, layers = evaluator.evaluate(designs), evaluator.layers(designs)
    owner, here = designs.layers.design, found.feasible
    assert here.sum() > 10
    for name in ("latency", "energy", "cycles"):
        summed = np.bincount(owner, getattr(layers, name), minlength=30)
        np.testing.assert_allclose(found[name][here], summed[here], rtol=1e-12)
    hottest = np.zeros(30)
    np.maximum.at(hottest, owner, layers.power)
    np.testing.assert_allclose(found["peak_power"][here], hottest[here], rtol=1e-12)
    plain = Spatial().evaluate(designs)
    np.testing.assert_array_equal(found["area"], plain["area"])
    np.testing.assert_array_equal(found["dram_bytes"], plain["dram_bytes"])
    parts = evaluator.breakdown(designs)["energy"]
    np.testing.assert_allclose(sum(parts.values())[here], found["energy"][here], rtol=1e-12)


def test_grids_are_what_evaluate_says(file: Path) -> None:
    evaluator, sample = Spatial(calibration=file), np.random.default_rng(0)
    outer = Designs(SPACE.part("net", "quant"), SPACE.part("net", "quant").sample(4, sample))
    inner = Designs(SPACE.part("hw"), SPACE.part("hw").sample(10, sample))
    names = frozenset(metric.name for metric in Spatial.metrics)
    grid = against(evaluator, SPACE, inner, names)(outer)
    cells = evaluator.evaluate(Designs(SPACE, paired(SPACE, outer, inner)))
    for name, column in grid.columns.items():
        np.testing.assert_allclose(column, cells[name].reshape(column.shape), rtol=1e-12)


def test_constants_that_change_nothing_change_nothing(tmp_path: Path) -> None:
    designs = designs_of(15, seed=6)
    same = Spatial(calibration=write(tmp_path, SpatialRows(), terms=Terms())).evaluate(designs)
    for name, column in Spatial().evaluate(designs).columns.items():
        np.testing.assert_array_equal(same[name], column)


def test_the_version_follows_the_calibration(file: Path) -> None:
    assert Spatial(calibration=file).version.startswith(Spatial().version + "+calibration")


def test_what_does_not_fit_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="how much of the DRAM traffic hides"):
        Spatial(calibration=file, overlap=0.5)
    with pytest.raises(ProblemError, match="energies of another technology"):
        Spatial(calibration=file, dram="hbm2")
    with pytest.raises(ProblemError, match="cannot be read"):
        Spatial(calibration=file.with_name("nothing.json"))
    cycles = write(tmp_path, SpatialRows(mapping="latency"), energy=False)
    with pytest.raises(ProblemError, match="another mapping"):
        Spatial(calibration=cycles)
    Spatial(calibration=cycles, mapping="latency", dram="hbm2")


@pytest.mark.parametrize(
    ("name", "value", "error", "match"),
    [
        ("dataflow", "K|K", SpaceError, "no dataflow"),
        ("pe", "fixd", DesignError, "did you mean 'fixed'"),
        ("K", 3.5, ProblemError, "no whole number"),
        ("groups", 7, ProblemError, "groups do not divide"),
        ("ofmap_sram", 1, ProblemError, "row 0"),
    ],
)
def test_bad_rows_are_refused(name: str, value: Any, error: type[Exception], match: str) -> None:
    rows, _ = measured_rows(3)
    rows[name] = np.array([value] * len(rows["K"]))
    with pytest.raises(error) as refused:
        SpatialRows().counts(rows)
    assert match in str(refused.value)


def test_the_command_knows_the_template() -> None:
    assert plugins.load("hwnas.calibrations", "spatial") is SpatialRows
