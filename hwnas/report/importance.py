"""Which genes matter: how much worse a model predicts an objective once a gene is shuffled.

Permutation importance (L. Breiman, "Random forests", Machine Learning 45, 2001, section 10; A.
Fisher, C. Rudin, F. Dominici, "All models are wrong, but many are useful", JMLR 20, 2019) of
scikit-learn's gradient-boosted trees, taken on designs that the model was not fitted to.

One column per gene, its choice's index: trees take unordered choices apart by splitting again, and
scikit-learn's categorical splits would pass over choices that fewer than ten designs have. A
sleeping gene gets a random value that it has elsewhere in the study: left marked as sleeping it
would tell the model about the gene it depends on, and take its importance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.report.points import thin

if TYPE_CHECKING:
    from hwnas.space import Space
    from hwnas.study import Study

FEWEST_DESIGNS: Final = 20
LEAST_EXPLAINED: Final = 0.1
_MOST_DESIGNS: Final = 600
_FOLDS: Final = 4
_REPEATS: Final = 5
_MOST_NUMBERS: Final = 2_000_000
_LEAVES: Final = 6
_LEAF_DESIGNS: Final = 3
_STREAM: Final = 2


@dataclass(frozen=True)
class GeneImportance:
    """How much one gene matters to one objective.

    Attributes:
        gene: The gene.
        drop: By how much shuffling it lowers the share of the variance that the model explains;
            about 0 for a gene without influence, at most about 2.
        spread: The standard deviation of the drop over folds and shuffles.
    """

    gene: str
    drop: float
    spread: float


@dataclass(frozen=True)
class Importance:
    """Which genes matter to one objective.

    Attributes:
        objective: Its name.
        designs: How many different designs it is based on.
        explained: The share of the objective's variance (of its logarithm, where its axis is
            logarithmic) that the model explains on designs it has not seen; 0 if it is no better
            than the mean.
        genes: All genes, the most important first; empty where nothing can be said.
        note: Why nothing can be said; empty otherwise.
    """

    objective: str
    designs: int
    explained: float
    genes: tuple[GeneImportance, ...]
    note: str = ""


def importances(study: Study) -> tuple[Importance, ...]:
    """Which genes matter to each objective of a study.

    Based on the different designs that have values, whether they meet the constraints or not; of
    more than 600 a sample drawn by the study's seed. What was found holds where the search has
    looked: genes on which it has settled vary little and seem to matter little.
    """
    problem, history = study.problem, study.history
    block = history.rows
    values = problem.values(block.measurements)
    usable = np.flatnonzero(block.measurements.feasible & np.isfinite(values).all(axis=1))
    genomes = problem.space.canonical(block.genomes[usable])
    _, first = np.unique(genomes, axis=0, return_index=True)
    rows = thin(np.sort(first), _MOST_DESIGNS, study.seed)
    names = [objective.name for objective in problem.objectives]
    if len(rows) < FEWEST_DESIGNS:
        note = f"too few designs: {len(rows)} have values, {FEWEST_DESIGNS} are needed"
        return tuple(Importance(name, len(rows), 0.0, (), note) for name in names)
    columns = _columns(problem.space, genomes[rows], study.seed)
    logarithmic = study.yardstick.logarithmic if study.yardstick else (False,) * len(names)
    found = []
    for j, name in enumerate(names):
        target = values[usable[rows], j]
        if logarithmic[j] and target.min() > 0:
            target = np.log10(target)
        found.append(_importance(name, problem.space, columns, target, study.seed))
    return tuple(found)


def ranked(importances: Sequence[Importance]) -> tuple[str, ...]:
    """The genes that matter to some objective, the most important first."""
    best: dict[str, float] = {}
    for importance in importances:
        for gene in importance.genes:
            best[gene.gene] = max(best.get(gene.gene, 0.0), gene.drop)
    mattering = [name for name, drop in best.items() if drop > 0]
    return tuple(sorted(mattering, key=lambda name: -best[name]))


def _columns(space: Space, genomes: Ints, seed: int) -> Floats:
    """Choice indices, with random ones for sleeping genes, ``(n, d)``."""
    rng = np.random.default_rng((seed, _STREAM))
    active = space.active(genomes)
    columns = genomes.astype(np.float64)
    for j in range(columns.shape[1]):
        awake, asleep = active[:, j], ~active[:, j]
        if asleep.any() and awake.any():
            columns[asleep, j] = rng.choice(columns[awake, j], int(asleep.sum()))
    return columns


def _importance(name: str, space: Space, columns: Floats, target: Floats, seed: int) -> Importance:
    n = len(target)
    if np.ptp(target) <= 1e-12 * np.abs(target).max():
        return Importance(name, n, 0.0, (), "all designs have the same value")
    varying = np.flatnonzero(np.ptp(columns, axis=0) > 0)
    drops, scores = _drops(columns[:, varying], target, seed)
    explained = max(0.0, float(np.mean(scores)))
    if explained < LEAST_EXPLAINED:
        note = "no pattern that holds on unseen designs: more designs are needed"
        return Importance(name, n, explained, (), note)
    mean = np.zeros(len(space))
    spread = np.zeros(len(space))
    mean[varying], spread[varying] = drops.mean(axis=1), drops.std(axis=1)
    order = np.argsort(-mean, kind="stable")
    return Importance(
        name,
        n,
        explained,
        tuple(GeneImportance(space.names[j], float(mean[j]), float(spread[j])) for j in order),
    )


def _drops(columns: Floats, target: Floats, seed: int) -> tuple[Floats, list[float]]:
    """Drops of R^2 per gene over folds and repeats, ``(d, folds * repeats)``; R^2 per fold.

    Both are relative to the variance of all designs: that of the few in one fold is too uncertain.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import KFold
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng((seed, _STREAM))
    state = seed % 2**32
    drops: list[Floats] = []
    scores: list[float] = []
    for seen, unseen in KFold(_FOLDS, shuffle=True, random_state=state).split(columns):
        model = HistGradientBoostingRegressor(
            max_leaf_nodes=_LEAVES, min_samples_leaf=_LEAF_DESIGNS, random_state=state
        )
        # Inputs this small gain nothing from threads, and sums would depend on their number.
        with threadpool_limits(1):
            model.fit(columns[seen], target[seen])
            wrong = _errors(model, columns[unseen], target[unseen])
            more = [
                _errors(model, copies, target[unseen]) - wrong
                for copies in _shuffles(columns[unseen], rng)
            ]
        scores.append(1.0 - float(wrong[0]) / target.var())
        lost = np.concatenate(more) / target.var()
        drops.append(lost.reshape(columns.shape[1], _REPEATS))
    return np.concatenate(drops, axis=1), scores


def _shuffles(columns: Floats, rng: np.random.Generator) -> Iterator[Floats]:
    """Copies of all rows below each other, for gene after gene some in which it is shuffled.

    As many genes at once as memory allows: one large prediction is far cheaper than many small.
    """
    n, d = columns.shape
    at_once = max(1, _MOST_NUMBERS // (_REPEATS * n * d))
    for start in range(0, d, at_once):
        genes = range(start, min(start + at_once, d))
        copies = np.broadcast_to(columns, (len(genes), _REPEATS, n, d)).copy()
        for copy, j in zip(copies, genes, strict=True):
            copy[:, :, j] = rng.permuted(copy[:, :, j], axis=1)
        yield copies.reshape(-1, d)


def _errors(model: Any, columns: Floats, target: Floats) -> Floats:
    """Mean squared errors on copies of the same rows below each other, one number per copy."""
    predicted = model.predict(columns).reshape(-1, len(target))
    errors: Floats = ((predicted - target) ** 2).mean(axis=1)
    return errors
