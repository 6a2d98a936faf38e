"""Who takes part: reading names and options, labels and folders."""

from __future__ import annotations

import pytest

from hwnas.comparison.entrants import Entrant, entrants
from hwnas.errors import PluginError, SearcherError
from hwnas.searchers.nsga2 import NSGA2


def test_options_are_yaml():
    entrant = Entrant.parse("nsga2:population=50: crossover = 0.5")
    assert entrant.name == "nsga2"
    assert entrant.options == {"population": 50, "crossover": 0.5}
    assert entrant.label == "nsga2:population=50:crossover = 0.5"
    assert entrant.resolved()["population"] == 50
    assert entrant.resolved()["use"] == "nsga2"


def test_a_class_takes_part_under_its_name():
    (entrant,) = entrants([NSGA2])
    assert (entrant.label, entrant.name) == ("nsga2", "nsga2")


@pytest.mark.parametrize("text", ["", ":", "nsga2:population", "nsga2:=3", "population=3", "a:b=["])
def test_what_cannot_be_read(text):
    with pytest.raises(PluginError, match="names no searcher"):
        Entrant.parse(text)


def test_unknown_names_and_options_say_what_is_near():
    with pytest.raises(PluginError, match=r"did you mean .*'nsga2'"):
        entrants(["random", "nsga"])
    with pytest.raises(PluginError, match="population"):
        Entrant.parse("nsga2:populaton=3").resolved()


def test_each_label_once_and_somebody():
    with pytest.raises(SearcherError, match="takes part twice"):
        entrants(["random", "random"])
    with pytest.raises(SearcherError, match="nobody"):
        entrants([])


def test_options_of_the_study_hold_for_its_searcher_alone():
    given = {"population": 16, "crossover": 0.5}
    mine = Entrant.parse("nsga2:population=50").with_defaults("nsga2", given)
    assert mine.options == {"population": 50, "crossover": 0.5}
    assert mine.label == "nsga2:population=50"
    assert Entrant("random").with_defaults("nsga2", given).options == {}


def test_folders_differ_where_labels_do():
    labels = ["a", "a:b=1", "a:b=2", "a-b-1", "../a", "A" * 90, "A" * 91]
    folders = [Entrant("random", {}, label).folder for label in labels]
    assert len(set(folders)) == len(labels)
    assert all("/" not in folder and not folder.startswith(".") for folder in folders)
    assert folders[0] == "a"
