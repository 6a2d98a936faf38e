"""How good a predictor is on examples that it has not seen, and how much more of them would help.

Symbols: ``n`` examples, ``k`` features, ``s`` seeds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import ndtri
from scipy.stats import kendalltau, spearmanr
from threadpoolctl import threadpool_limits

from hwnas.arrays import Floats, Ints
from hwnas.errors import ProblemError
from hwnas.prediction.interface import named

LEVELS: Final = (0.68, 0.95)
"""Intervals whose coverage is reported."""
_HELD_OUT: Final = 0.2
_LEAST_LEARNT: Final = 8
_STEPS: Final = 5


def kendall(predicted: Floats, measured: Floats) -> float:
    """Kendall's tau-b; NaN where one of both does not vary."""
    if not (np.ptp(predicted) > 0 and np.ptp(measured) > 0):
        return float("nan")
    return float(kendalltau(predicted, measured).statistic)


def spearman(predicted: Floats, measured: Floats) -> float:
    """Spearman's rank correlation; NaN where one of both does not vary."""
    if not (np.ptp(predicted) > 0 and np.ptp(measured) > 0):
        return float("nan")
    return float(spearmanr(predicted, measured).statistic)


def rmse(predicted: Floats, measured: Floats) -> float:
    """The root of the mean squared difference, in the unit of the target."""
    return float(np.sqrt(np.mean((predicted - measured) ** 2)))


def coverage(predicted: Floats, deviation: Floats, measured: Floats, level: float) -> float:
    """The share of what was measured that lies in the central interval of a level.

    Args:
        predicted: Means of normal distributions, ``(n,)``.
        deviation: Their standard deviations, ``(n,)``.
        measured: ``(n,)``.
        level: What share should, in (0, 1).
    """
    reach = ndtri(0.5 + 0.5 * level) * deviation
    return float(np.mean(abs(predicted - measured) <= reach))


@dataclass(frozen=True, eq=False)
class Validation:
    """What was predicted of examples while they were held out.

    Attributes:
        measured: Targets, ``(n,)``.
        predicted: One row per seed, ``(s, n)``.
        deviation: Standard deviations of a measurement there, ``(s, n)``.
        fold: Which fold held each example out, ``(s, n)``.
        seconds: CPU time of each fit, ``(s, folds)``.
    """

    measured: Floats
    predicted: Floats
    deviation: Floats
    fold: Ints
    seconds: Floats

    def __len__(self) -> int:
        return len(self.measured)

    def kendall(self) -> Floats:
        """Kendall's tau of each seed, ``(s,)``."""
        return np.array([kendall(row, self.measured) for row in self.predicted])

    def spearman(self) -> Floats:
        """Spearman's rank correlation of each seed, ``(s,)``."""
        return np.array([spearman(row, self.measured) for row in self.predicted])

    def rmse(self) -> Floats:
        """The root of the mean squared error of each seed, ``(s,)``, in the target's unit."""
        return np.array([rmse(row, self.measured) for row in self.predicted])

    def coverage(self, level: float) -> Floats:
        """The share inside of the central interval of a level, for each seed, ``(s,)``."""
        pairs = zip(self.predicted, self.deviation, strict=True)
        return np.array([coverage(mean, std, self.measured, level) for mean, std in pairs])


def cross_validate(
    predictor: Any,
    X: Floats,
    y: Floats,
    *,
    folds: int = 5,
    seeds: Sequence[int] = (0,),
    names: Sequence[str] = (),
) -> Validation:
    """Predicts every example from the others, some of them held out at a time.

    Examples with equal features are held out together, so that none is looked up. A seed decides
    the folds, and is the ``random_state`` of predictors that have one. One thread.

    Args:
        predictor: A scikit-learn regressor whose ``predict`` knows ``return_std``; left as it is.
        X: Features, ``(n, k)``.
        y: Targets, ``(n,)``.
        folds: Number of parts; 2 or more.
        seeds: One cross-validation each.
        names: Of the features, for options that name them.

    Raises:
        ProblemError: There are fewer different examples than folds, or fewer than two folds.
    """
    from sklearn.model_selection import GroupKFold

    groups = _groups(X)
    _check_folds(folds, groups)
    shape = len(seeds), len(y)
    predicted, deviation = np.empty(shape), np.empty(shape)
    fold, seconds = np.empty(shape, dtype=np.int64), np.empty((len(seeds), folds))
    for i, seed in enumerate(seeds):
        splits = GroupKFold(folds, shuffle=True, random_state=seed).split(X, y, groups)
        for j, (seen, held) in enumerate(splits):
            with threadpool_limits(1):
                model, seconds[i, j] = _fitted(predictor, X[seen], y[seen], seed, names)
                predicted[i, held], deviation[i, held] = model.predict(X[held], return_std=True)
            fold[i, held] = j
    return Validation(y, predicted, deviation, fold, seconds)


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """How good a predictor is after so many examples, on others that are the same for all sizes.

    Attributes:
        sizes: Numbers of examples, ascending, ``(m,)``.
        kendall: ``(s, m)``.
        spearman: ``(s, m)``.
        rmse: In the unit of the target, ``(s, m)``.
    """

    sizes: Ints
    kendall: Floats
    spearman: Floats
    rmse: Floats


def learning_curve(
    predictor: Any,
    X: Floats,
    y: Floats,
    *,
    sizes: Sequence[int] = (),
    seeds: Sequence[int] = (0,),
    names: Sequence[str] = (),
) -> LearningCurve:
    """Learns from more and more examples, and is tried on a fifth that it never sees.

    Args:
        predictor: See `cross_validate`.
        X: Features, ``(n, k)``.
        y: Targets, ``(n,)``.
        sizes: Numbers of examples; five in geometric steps if left out.
        seeds: Each draws other examples.
        names: Of the features, for options that name them.

    Raises:
        ProblemError: There are too few different examples.
    """
    from sklearn.model_selection import GroupShuffleSplit

    groups = _groups(X)
    _check_folds(2, groups)
    splits = [
        next(GroupShuffleSplit(1, test_size=_HELD_OUT, random_state=s).split(X, y, groups))
        for s in seeds
    ]
    most = min(len(seen) for seen, _ in splits)
    tried = _sizes(sizes, most)
    scores = np.empty((3, len(seeds), len(tried)))
    for i, (seed, (seen, held)) in enumerate(zip(seeds, splits, strict=True)):
        order = np.random.default_rng(seed).permutation(seen)
        for j, size in enumerate(tried):
            rows = order[:size]
            with threadpool_limits(1):
                model, _ = _fitted(predictor, X[rows], y[rows], seed, names)
                mean = np.asarray(model.predict(X[held]), dtype=np.float64)
            scores[:, i, j] = [f(mean, y[held]) for f in (kendall, spearman, rmse)]
    return LearningCurve(tried, *scores)


def _sizes(given: Sequence[int], most: int) -> Ints:
    if given:
        usable = sorted({size for size in given if 0 < size <= most})
        if not usable:
            raise ProblemError(
                "there are too few examples for a learning curve",
                rule=f"sizes of at most {most}: a fifth is held out",
                given=", ".join(map(str, given)),
            )
        return np.array(usable, dtype=np.int64)
    least = min(most, _LEAST_LEARNT)
    return np.unique(np.geomspace(max(least, most / 2**_STEPS), most, _STEPS).astype(np.int64))


def _fitted(
    predictor: Any, X: Floats, y: Floats, seed: int, names: Sequence[str]
) -> tuple[Any, float]:
    """A copy that has learnt, and the CPU time that it took."""
    model = named(predictor, names)
    if "random_state" in model.get_params():
        model.set_params(random_state=seed)
    start = time.process_time()
    learn(model, X, y)
    return model, time.process_time() - start


def learn(model: Any, X: Floats, y: Floats) -> Any:
    """Fits a predictor.

    Args:
        model: The predictor; it is changed.
        X: Features, ``(n, k)``.
        y: Targets, ``(n,)``.

    Returns:
        The same predictor.

    Raises:
        ProblemError: It cannot learn from these examples, and says why.
    """
    try:
        return model.fit(X, y)
    except (TypeError, ValueError) as error:
        raise ProblemError(
            f"{type(model).__name__} cannot learn from these {len(y)} examples",
            where=f"{X.shape[1]} features",
            given=str(error).strip().splitlines()[0],
            cure="another predictor, other options or features, or more examples",
        ) from error


def _groups(X: Floats) -> Ints:
    """Equal rows have equal numbers, ``(n,)``."""
    return np.asarray(np.unique(X, axis=0, return_inverse=True)[1], dtype=np.int64).reshape(-1)


def _check_folds(folds: int, groups: Ints) -> None:
    different = len(np.unique(groups))
    if not 2 <= folds <= different:
        raise ProblemError(
            f"{folds} folds cannot be made of these examples",
            where="--folds",
            rule="at least 2, and at most one per example with other features than the rest",
            given=f"{different} different examples, {len(groups)} in all",
            cure="measure more designs" if different < 2 else f"--folds {min(5, different)}",
        )
