"""Which genes matter, on problems where that is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hwnas
from hwnas import Designs, Gene, Goal, Metric, Problem, Space, Study, When
from hwnas.report.importance import Importance, importances, ranked

NUMBERS = (0, 1, 2, 3, 4, 5)
KINDS = ("a", "b", "c", "d")
SPACE = Space(
    (
        Gene("net.first", NUMBERS),
        Gene("net.second", NUMBERS),
        Gene("net.kind", KINDS, ordered=False),
        Gene("net.parent", (0, 1)),
        Gene("net.child", NUMBERS, when=(When("net.parent", at_least=1),)),
        Gene("net.only", (7,)),
    )
)


def study(function: Any, budget: int, *, space: Space = SPACE, goal: str = "minimize") -> Study:
    @hwnas.measures(Metric("loss", goal=Goal(goal)), expense="free", batch=True)
    def loss(designs: Designs) -> Any:
        return function(designs)

    made = Study(Problem(space, [loss], ["loss"]), "random", budget=budget, seed=4)
    for _ in made.run():
        pass
    return made


def drops(found: Importance) -> dict[str, float]:
    return {gene.gene: gene.drop for gene in found.genes}


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_the_only_gene_that_matters(goal: str) -> None:
    (found,) = importances(study(lambda d: np.exp(d["net.first"]), 150, goal=goal))
    assert found.note == ""
    assert found.explained > 0.95
    assert found.genes[0].gene == "net.first"
    # Shuffling the only gene that matters turns R^2 = 1 into -1 on average.
    assert 1.5 < found.genes[0].drop < 2.5
    others = {name: drop for name, drop in drops(found).items() if name != "net.first"}
    assert set(others) == set(SPACE.names) - {"net.first"}
    assert max(map(abs, others.values())) < 0.02
    assert others["net.only"] == 0.0
    assert ranked([found])[0] == "net.first"


def test_importance_is_the_share_of_the_variance() -> None:
    def loss(d: Designs) -> Any:
        return 2.0 * d["net.first"] + d["net.second"]

    (found,) = importances(study(loss, 400))
    drop = drops(found)
    # Of an additive function shuffling costs twice the gene's share: 4/5 and 1/5.
    assert drop["net.first"] == pytest.approx(1.6, abs=0.2)
    assert drop["net.second"] == pytest.approx(0.4, abs=0.1)


def test_a_gene_without_order() -> None:
    level = {"a": 0.0, "b": 5.0, "c": 1.0, "d": 4.0}
    (found,) = importances(study(lambda d: np.array([level[k] for k in d["net.kind"]]), 120))
    assert found.genes[0].gene == "net.kind"
    assert found.explained > 0.95


def test_a_gene_without_order_in_few_designs() -> None:
    (found,) = importances(study(lambda d: 1.0 * (d["net.kind"] == "c"), 32))
    assert found.genes[0].gene == "net.kind"
    assert found.explained > 0.3


def test_a_sleeping_gene_takes_nothing_from_the_gene_it_depends_on() -> None:
    (found,) = importances(study(lambda d: 1.0 * d["net.parent"], 200))
    drop = drops(found)
    assert drop["net.parent"] > 1.5
    assert abs(drop["net.child"]) < 0.02


def test_a_conditional_gene_counts_where_it_is_active() -> None:
    (found,) = importances(study(lambda d: d["net.parent"] * (1.0 + d["net.child"]), 300))
    drop = drops(found)
    assert drop["net.parent"] > 0.5
    assert drop["net.child"] > 0.2
    assert max(drop[name] for name in ("net.first", "net.second", "net.kind")) < 0.05


def test_too_few_designs() -> None:
    (found,) = importances(study(lambda d: 1.0 * d["net.first"], 19))
    assert found.note == "too few designs: 19 have values, 20 are needed"
    assert found.genes == ()
    (found,) = importances(study(lambda d: 1.0 * d["net.first"], 20))
    assert "too few" not in found.note


def test_noise_has_no_important_genes() -> None:
    rng = np.random.default_rng(0)
    (found,) = importances(study(lambda d: rng.normal(size=len(d)), 100))
    assert "no pattern" in found.note
    assert found.genes == ()
    assert ranked([found]) == ()


def test_a_constant_objective() -> None:
    (found,) = importances(study(lambda d: np.full(len(d), 3.0), 60))
    assert found.note == "all designs have the same value"


def test_one_row_per_design_and_at_most_600() -> None:
    made = study(lambda d: 1.0 * d["net.first"] + d["net.second"], 900)
    (found,) = importances(made)
    assert found.designs == 600
    small = Space((Gene("net.first", NUMBERS), Gene("net.second", NUMBERS)))
    (found,) = importances(study(lambda d: 1.0 * d["net.first"], 36, space=small))
    assert found.designs == 36


def test_the_same_seed_gives_the_same_numbers() -> None:
    made = study(lambda d: 1.0 * d["net.first"] * d["net.second"], 80)
    assert importances(made) == importances(made)


def test_ranked_takes_the_best_over_all_objectives() -> None:
    from hwnas.report.importance import GeneImportance

    found = [
        Importance("x", 50, 0.9, (GeneImportance("a", 0.5, 0.1), GeneImportance("b", 0.1, 0.1))),
        Importance("y", 50, 0.9, (GeneImportance("b", 0.9, 0.1), GeneImportance("c", -0.1, 0.1))),
        Importance("z", 50, 0.0, (), "no pattern"),
    ]
    assert ranked(found) == ("b", "a")
