"""Designs costed twice: sums, ranks, what is missing, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluators.nn_mass import NNMass
from evaluators.systolic import Systolic
from hwnas import Problem
from hwnas.design import BitsPerCell, LayerTable, SkipNet, SystolicArray
from hwnas.errors import DesignError, ToolError
from hwnas.evaluation import Cached, Joined
from hwnas.verification import Answers, ToolProcess, Verifier, coster_of, spread
from tests.verification.tools import HERE, Opinion, tool_in


class Rows:
    """A design that has nothing but layers: one per K."""

    def __init__(self, *filters: int, groups: int = 1) -> None:
        n = len(filters)
        columns = {"K": list(filters), "C": groups, "groups": groups}
        self.layers = LayerTable.of(1, [0] * n, **columns)


class Setting:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.tool = tool_in(folder)

    def verify(self, designs, does=None, *, version="1", seconds=60.0, say=lambda _a, _b: None):
        with ToolProcess(self.tool, HERE, self.folder) as process:
            answers = Answers(self.folder / "kept", "sometool", version)
            opinion = Opinion(self.log, does)
            verifier = Verifier(opinion, process, answers, seconds=seconds, say=say)
            return verifier.verify(designs, Systolic())

    @property
    def asked(self) -> list[int]:
        return [int(line) for line in self.log.read_text().split()]


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path)


def test_each_different_layer_is_asked_about_once(setting):
    found = setting.verify({4: Rows(3, 5, 3), 7: Rows(5, groups=2), 9: Rows(8)})
    assert setting.asked == [3, 5, 8]
    assert (found.questions, found.asked, found.failures) == (3, 3, 0)
    assert [d.number for d in found.designs] == [4, 7, 9]
    assert [d.ours["cycles"] for d in found.designs] == [11, 10, 8]
    assert [d.theirs["cycles"] for d in found.designs] == [110, 100, 80]
    assert [d.ratio("cycles") for d in found.designs] == pytest.approx([0.1] * 3)
    assert found.designs[1].layers[0].repeats == 2
    assert found.designs[0].layers[0].more == {"half": 15.0}
    assert found.rank("cycles") == pytest.approx(1.0)
    assert found.layer_rank("cycles") == pytest.approx(1.0)


def test_what_the_tool_has_no_number_for_is_no_zero(setting):
    found = setting.verify({0: Rows(3), 1: Rows(4), 2: Rows(5)})
    assert found.designs[0].theirs["energy"] is None
    assert found.designs[0].ours["energy"] is None
    assert found.designs[0].ratio("energy") is None
    assert found.rank("energy") is None


def test_the_second_time_nothing_is_asked(setting):
    designs = {0: Rows(3, 5)}
    first = setting.verify(designs)
    again = setting.verify(designs)
    assert setting.asked == [3, 5]
    assert again.asked == 0
    assert again.designs == first.designs


def test_another_version_of_the_tool_is_asked_again(setting):
    setting.verify({0: Rows(3)})
    setting.verify({0: Rows(3)}, version="2")
    assert setting.asked == [3, 3]


def test_a_kill_loses_the_layer_in_work_alone(setting):
    def killed(done: int, _all: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setting.verify({0: Rows(1, 2, 3, 4)}, say=killed)
    assert setting.asked == [1, 2]
    assert setting.verify({0: Rows(1, 2, 3, 4)}).asked == 2
    assert setting.asked == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["{", "[]", '{"answer": 3}', '{"answer": {}}'])
def test_a_damaged_answer_is_asked_for_again(setting, damage):
    setting.verify({0: Rows(3)})
    (file,) = (setting.folder / "kept").iterdir()
    file.write_text(damage)
    assert setting.verify({0: Rows(3)}).asked == 1
    assert json.loads(file.read_text())["answer"] == {"cycles": 30.0}


@pytest.mark.parametrize("fault", ["raise", "die", "nan", "nothing", "text", "hang"])
def test_a_layer_without_an_answer_does_not_stop_the_others(setting, fault):
    seconds = 1.0 if fault == "hang" else 60.0
    designs = {0: Rows(3, 5), 1: Rows(3), 2: Rows(4)}
    # The tool may write its log elsewhere while it hangs.
    setting.log = setting.folder / f"log-{fault}"
    found = setting.verify(designs, {5: fault}, seconds=seconds)
    assert found.failures == 1
    broken, whole, _ = found.designs
    assert not broken.complete
    assert broken.compared == 1
    assert broken.ours["cycles"] == 3
    assert broken.layers[1].missing
    assert whole.complete
    assert found.rank("cycles") is None
    assert len(list((setting.folder / "kept").iterdir())) == 2


def test_a_tool_that_answers_nothing_is_an_error(setting):
    with pytest.raises(ToolError, match="no such layer"):
        setting.verify({0: Rows(5)}, {5: "raise"})


def test_layers_that_the_tool_does_not_know_are_left_out_of_both_sums(setting):
    found = setting.verify({0: Rows(3, 5)}, {5: "unknown"})
    (design,) = found.designs
    assert (design.ours["cycles"], design.theirs["cycles"]) == (3, 30)
    assert design.complete
    assert design.compared == 1
    assert design.layers[1].missing == "the tool has no such layers"


def test_everything_is_json(setting):
    found = setting.verify({0: Rows(3, 5), 1: Rows(4), 2: Rows(9)}, {5: "raise"})
    text = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert text["designs"][1]["ratio"] == {"cycles": 0.1, "energy": None}
    assert text["rank"] == {"cycles": None, "energy": None}
    assert text["designs"][0]["layers"][1]["failed"] is True


def test_numbers_that_have_to_be_equal_and_are_not_are_counted(setting, monkeypatch):
    from dataclasses import replace

    strict = (replace(Opinion.comparisons[0], equal=True), Opinion.comparisons[1])
    monkeypatch.setattr(Opinion, "comparisons", strict)
    assert setting.verify({0: Rows(3, 5), 1: Rows(4)}).faults == 3


def test_designs_spread_over_a_front():
    assert spread(3, 5) == [0, 1, 2]
    assert spread(9, 3) == [0, 4, 8]
    assert spread(9, 1) == [0]
    assert len(spread(100, 7)) == 7


def test_the_evaluator_that_costs_layers_is_found_in_its_wrappers():
    space = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
    systolic = Systolic()
    wrapped = Problem(space, [Joined([Cached(systolic), NNMass()])], ["energy"])
    assert coster_of(wrapped) is systolic
    with pytest.raises(DesignError, match="no evaluator of this study costs layers"):
        coster_of(Problem(space, [NNMass()], ["nn_mass"]))
