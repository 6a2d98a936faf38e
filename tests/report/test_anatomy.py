"""What one design consists of: the record, its pictures, its page, and the designs of a report."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from evaluators.spatial import Spatial
from evaluators.systolic import Systolic
from hwnas import Designs, Metric, Problem, Study
from hwnas.design import (
    FixedNetwork,
    LayerTable,
    Operator,
    SpatialArray,
    SystolicArray,
    UniformBits,
)
from hwnas.design.mappings import STAYS, TILINGS
from hwnas.errors import DesignError, StorageError
from hwnas.evaluation import Evaluator, Expense, Explanation, Roofline
from hwnas.metrics import Measurements
from hwnas.report import anatomy_figures as figures
from hwnas.report import record, write_design
from hwnas.report.anatomy import Breakdown, anatomy, choose, lines
from hwnas.report.design_page import design_page, pictures
from hwnas.report.page import page
from tests.report.test_page import LOADS, Reader, light  # noqa: F401 - a fixture
from tests.report.toy import error, joint, run

pytestmark = pytest.mark.usefixtures("light")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of the genes take their time, and are tested elsewhere."""
    monkeypatch.setattr("hwnas.report.contents.importances", lambda study: ())


class Second(Evaluator):
    """Measures noise, and says of it what the test wants."""

    metrics = (Metric("noise", "W"),)
    expense = Expense.FREE
    said: object = None

    def evaluate(self, designs, fidelity=1.0):
        return Measurements.of(self.metrics, {"noise": np.full(len(designs), 3.0)})

    def explain(self, design):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def saying(said: object) -> Evaluator:
    second = Second()
    second.said = said
    return second


@cache
def studied(
    objectives: tuple[str, ...] = ("error", "energy", "latency"),
    constraints: tuple[str, ...] = ("area <= 0.5 mm2",),
    budget: int = 40,
) -> Study:
    problem = Problem(joint(), [error, Systolic()], objectives, constraints)
    return ran(problem, budget)


def ran(problem: Problem, budget: int = 2) -> Study:
    study = Study(problem, "random", budget=budget, name="studied")
    for _ in study.run():
        pass
    return study


def first_feasible(study: Study) -> int:
    return int(np.flatnonzero(study.history.rows.measurements.feasible)[0])


def resnet(second: Evaluator | None = None) -> Study:
    """ResNet-18 on arrays that are all feasible."""
    sram = (65536,)
    space = (
        FixedNetwork("resnet18").space()
        + UniformBits().space()
        + SystolicArray(ifmap_sram=sram, filter_sram=sram, ofmap_sram=sram).space()
    )
    evaluators = [Systolic(), *([second] if second else [])]
    return ran(Problem(space, evaluators, ["energy"]))


def test_the_record_is_what_was_measured():
    study = studied()
    number = first_feasible(study)
    found = anatomy(study, number)
    row = study.history.rows.measurements.take(np.array([number]))
    assert {q.name: v for q, v in found.measured} == {n: c[0] for n, c in row.columns.items()}
    design = study.problem.designs(study.history.rows.genomes[[number]])[0]
    assert {q.name: v for q, v in found.genes} == design.config
    assert len(found.lines) == len(design.layers)
    (account,) = found.accounts
    assert account.evaluator == "Systolic"
    by_name = {b.quantity.name: b for b in account.breakdowns}
    assert [by_name[n].adds_up for n in ("energy", "area", "latency")] == [True, True, False]
    for name, breakdown in by_name.items():
        assert breakdown.total == row[name][0]
        for component in breakdown.components:
            assert component.share == pytest.approx(component.value / row[name][0])
    assert sum(c.share for c in by_name["energy"].components) == pytest.approx(1)
    assert found == anatomy(study, number)


def test_shares_of_nothing():
    nothing = Breakdown.of(Metric("energy", "J"), {"mac": 0.0}, 0.0)
    assert nothing.components[0].share is None
    assert nothing.adds_up
    unmeasured = Breakdown.of(Metric("energy", "J"), {"mac": 1.0, "sram": 3.0}, np.nan)
    assert [c.share for c in unmeasured.components] == [0.25, 0.75]
    for found in (nothing, unmeasured):
        assert len(figures.breakdown(found).data[0].x) == len(found.components)


@pytest.mark.parametrize("number", [-1, 1000])
def test_a_number_that_does_not_exist(number):
    with pytest.raises(DesignError, match=f"no design {number}") as caught:
        anatomy(studied(), number)
    assert caught.value.rule == f"0 to {len(studied().history) - 1}"


def test_layers_in_words():
    table = LayerTable.of(
        1,
        np.zeros(5, np.int64),
        operator=np.array([0, 0, 0, int(Operator.POOL), int(Operator.LINEAR)]),
        C=np.array([3, 8, 8, 8, 8]),
        K=np.array([8, 8, 8, 8, 10]),
        P=np.array([4, 4, 4, 2, 1]),
        Q=np.array([5, 5, 5, 2, 1]),
        R=np.array([3, 3, 3, 2, 1]),
        S=np.array([3, 3, 3, 2, 1]),
        stride=np.array([2, 1, 1, 2, 1]),
        groups=np.array([1, 8, 8, 1, 1]),
        weight_bits=4,
        activation_bits=8,
    )
    found = lines(table)
    assert [line.text for line in found] == [
        "convolution 3x3/2 3 → 8 channels, 4x5, 4/8 bits",
        "depthwise 3x3 8 → 8 channels, 4x5 in 8 groups, 4/8 bits",
        "depthwise 3x3 8 → 8 channels, 4x5 in 8 groups, 4/8 bits",
        "pool 2x2/2 8 → 8 channels, 2x2, -/8 bits",
        "linear 8 → 10 channels, 1x1, 4/8 bits",
    ]
    assert [line.alike for line in found] == [(0,), (1, 2), (1, 2), (3,), (4,)]


def test_every_layer_that_multiplies_is_in_the_roofline():
    found = anatomy(resnet(), 0)
    (account,) = found.accounts
    roof = account.roofline
    drawn = figures.roofline(roof, found.lines, account.columns["latency"])
    marked = [t for t in drawn.data if t.mode == "markers"]
    assert {t.name for t in marked} == {"convolution", "linear"}
    points = {(x, y) for t in marked for x, y in zip(t.x, t.y, strict=True)}
    assert sum(len(t.x) for t in marked) == (found.table.macs > 0).sum()
    # The axis of the figure is in G or T multiply-accumulates per second.
    unit = {"GMAC/s": 1e9, "TMAC/s": 1e12}[drawn.layout.yaxis.title.text[10:-1]]
    assert points == {
        (np.float32(x), np.float32(y / unit))
        for x, y in zip(roof.intensity, roof.attained, strict=True)
        if x > 0
    }
    low, high = (10**edge for edge in drawn.layout.xaxis.range)
    assert all(low < x < high for x, _ in points)
    assert low < roof.ridge < high
    texts = [note.text for note in drawn.layout.annotations]
    assert f"ridge point {roof.ridge:.3g} MAC/B" in " ".join(texts)
    # Areas of markers are shares of the latency: the layer that takes longest is largest.
    sizes = {x: s for t in marked for x, s in zip(t.x, t.marker.size, strict=True)}
    slowest = np.argmax(np.where(roof.intensity > 0, account.columns["latency"], 0))
    assert max(sizes.values()) == sizes[np.float32(roof.intensity[slowest])]


def test_bars_stand_over_their_layers():
    found = anatomy(resnet(), 0)
    (account,) = found.accounts
    drawn = figures.layers(account, found.lines)
    rows = {name: [t for t in drawn.data if t.yaxis == name] for name in ("y", "y2", "y3")}
    assert [t.name for t in rows["y"]] == ["computing", "DRAM traffic"]
    for axis, column, size in (("y2", "energy", None), ("y3", "utilization", 0.01)):
        values = {x: y for t in rows[axis] for x, y in zip(t.x, t.y, strict=True)}
        assert sorted(values) == list(range(len(found.lines)))
        shown = np.array([values[i] for i in range(len(found.lines))])
        size = size or account.columns[column].max() / shown.max()
        np.testing.assert_allclose(shown * size, account.columns[column], rtol=1e-6)
    assert [t.showlegend for t in drawn.data].count(True) == len({t.name for t in drawn.data})


def test_a_page_of_its_own(tmp_path):
    study = resnet()
    file = write_design(study, 1, tmp_path / "new" / "page.html")
    text = file.read_text(encoding="utf-8")
    found = Reader(text)
    assert {"costs", "genes", "layers"} <= {a.get("id") for _, a in found.tags}
    assert set(found.plots()) == {"parts-1-0-0", "parts-1-0-1", "parts-1-0-2", "roofline-1-0",
                                  "layers-1-0"}  # fmt: skip
    assert not any(LOADS & set(attributes) for _, attributes in found.tags)
    rows = [tag for tag, _ in found.tags if tag == "tr"]
    assert len(rows) == 1 + len(anatomy(study, 1).lines)
    words = " ".join(found.text)
    assert "Design 1 of studied" in words
    assert "10 layers without multiply-accumulates have no place in it" in words
    assert "The parts of energy add up to" in words
    assert "The parts of latency overlap" in words


def test_mappings_are_shown_by_name():
    sram = (262144,)
    array = SpatialArray((16,), (16,), ifmap_sram=sram, filter_sram=sram, ofmap_sram=sram)
    space = FixedNetwork("resnet18").space() + UniformBits().space() + array.space()
    found = anatomy(ran(Problem(space, [Spatial()], ["energy"])), 1)
    columns = found.accounts[0].columns
    text = Reader(design_page(found, "s")).text
    assert {"tiling", "stay"} <= set(text)
    for column, names in (("tiling", TILINGS), ("stay", STAYS)):
        taken = [names[int(v) - 1] for v in columns[column][found.table.macs > 0]]
        for name in names:
            heading = name == "weights"
            assert text.count(name.replace("_", " ")) == taken.count(name) + heading


def test_a_page_that_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written"):
        write_design(resnet(), 0, tmp_path / "taken" / "page.html")


def test_an_infeasible_design_is_said_in_words():
    study = studied()
    measured = study.history.rows.measurements
    number = int(np.flatnonzero(np.isnan(measured["energy"]))[0])
    found = anatomy(study, number)
    assert "half of it must hold one array load" in found.state
    assert found.accounts == ()
    words = " ".join(Reader(design_page(found, "s")).text)
    assert f"This design is not feasible: {found.state}." in words
    assert "not measured" in words
    assert "there is nothing to break down" in words
    assert "nan" not in words


def test_a_design_that_violates_a_constraint_is_explained():
    study = studied(constraints=("area <= 1 um2",))
    found = anatomy(study, first_with_energy(study))
    assert "area <= 1 um2" in found.state
    assert found.accounts[0].roofline is not None


def first_with_energy(study: Study) -> int:
    return int(np.flatnonzero(np.isfinite(study.history.rows.measurements["energy"]))[0])


def test_several_evaluators_have_a_section_each():
    roof = Roofline(1.0, 1.0, np.ones(31), np.ones(31))
    second = saying(Explanation({"noise": {"<fan>": 3.0}}, {"latency": np.ones(31)}, roof))
    found = anatomy(resnet(second), 0)
    assert [a.evaluator for a in found.accounts] == ["Systolic", "Second"]
    read = Reader(design_page(found, "s"))
    assert [tag for tag, _ in read.tags].count("h4") == 2
    assert {"roofline-0-0", "roofline-0-1", "parts-0-1-0", "layers-0-1"} <= set(read.plots())
    words = " ".join(read.text)
    assert "Systolic latency" in words
    assert "Second latency" in words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (ValueError("no idea"), "ValueError: no idea"),
        (Explanation({}, {"latency": np.ones(7)}), "it speaks of 7 layers, the design has 31"),
        ({"energy": 1.0}, "it answers with a dict, not an Explanation"),
    ],
)
def test_what_cannot_be_shown_is_said(said, words):
    found = anatomy(resnet(saying(said)), 0)
    assert found.accounts[1].note == words
    assert words in " ".join(Reader(design_page(found, "s")).text)


@pytest.mark.parametrize(
    "said",
    [
        Explanation(),
        Explanation({"noise": {}}),
        Explanation({}, {"odd": np.zeros(31)}),
        Explanation({}, {"latency": np.zeros(31)}),
        Explanation({}, {"utilization": np.zeros(31), "energy": np.zeros(31)}),
        Explanation({}, {}, Roofline(1.0, 1.0, np.zeros(31), np.zeros(31))),
        Explanation({}, {}, Roofline(1e3, 1e-9, np.full(31, 1e-30), np.full(31, 1e-30))),
        Explanation({"noise": {"a": 0.0}, "new": {"b": 1.0}}),
    ],
)
def test_little_is_drawn_of_little(said):
    found = anatomy(resnet(saying(said)), 0)
    assert found.accounts[1].note == ""
    Reader(pictures(found))


def test_nobody_explains():
    study = run(2, 20)
    found = anatomy(study, first_feasible(study))
    assert found.silence == "No evaluator of this study says where its metrics come from."
    assert found.silence in pictures(found)
    text = page(record(study))
    assert text.count(found.silence) == 1


def test_the_designs_of_a_report_stand_for_the_front():
    study = studied()
    chosen = choose(study)
    front, losses = study.history.front, study.history.front_losses
    numbers = [number for number, _ in chosen]
    assert len(set(numbers)) == len(numbers) <= 3
    assert set(numbers) <= set(front.tolist())
    assert "the compromise between all objectives" in chosen[0][1]
    # What Systolic measures comes before what nobody explains.
    best = {name: int(front[np.argmin(losses[:, j])]) for j, name in enumerate(("e", "en", "lat"))}
    reasons = dict(chosen)
    assert "the best in energy" in reasons[best["en"]]
    if best["lat"] in reasons:
        assert "the best in latency" in reasons[best["lat"]]
    assert choose(study, 1) == chosen[:1]


def test_the_compromise_by_hand():
    class Line(Second):
        metrics = (Metric("a"), Metric("b"))

        def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
            # Points (0, 100), (1, 20), (3, 10), (10, 0): scaled, the second is closest to (0, 0).
            place = designs.genomes[:, designs.space.names.index("hw.rows")]
            a, b = np.array([0.0, 1, 3, 10])[place], np.array([100.0, 20, 10, 0])[place]
            return Measurements.of(self.metrics, {"a": a, "b": b})

    study = ran(Problem(SystolicArray().space(), [Line()], ["a", "b"]), 60)
    (compromise, why), *others = choose(study)
    rows = study.history.rows
    assert why == "the compromise between all objectives"
    assert rows.measurements["a"][compromise] == 1
    assert [(rows.measurements["a"][n], text) for n, text in others] == [
        (0, "the best in a"),
        (10, "the best in b"),
    ]


def test_one_objective_has_a_best_and_no_compromise():
    assert [why for _, why in choose(studied(("energy",)))] == ["the best in energy"]


def test_a_report_shows_them():
    study = studied()
    shown = record(study)
    assert [(f.number, f.chosen) for f in shown.anatomies] == list(choose(study))
    read = Reader(page(shown))
    for found in shown.anatomies:
        assert {f"roofline-{found.number}-0", f"layers-{found.number}-0"} <= set(read.plots())
    assert record(study).anatomies == shown.anatomies


def test_a_report_without_a_front_has_none(hopeless: Study):
    assert record(hopeless).anatomies == ()
    assert 'id="costs"' not in page(record(hopeless))


def test_a_large_network_stays_small():
    found = anatomy(resnet(), 0)
    ten = found.lines * 10
    (account,) = found.accounts
    wide = {name: values * 10 for name, values in account.layers.items()}
    roof = account.roofline
    tiled = Roofline(
        roof.peak, roof.bandwidth, np.tile(roof.intensity, 10), np.tile(roof.attained, 10)
    )
    big = dataclasses.replace(
        found,
        lines=tuple(dataclasses.replace(line, number=i) for i, line in enumerate(ten)),
        accounts=(dataclasses.replace(account, layers=wide, roofline=tiled),),
    )
    assert len(big.lines) == 310
    assert len(pictures(big).encode()) < 100_000
