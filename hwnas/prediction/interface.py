"""The predictor contract, and how a fitted predictor becomes an evaluator.

A costly metric is measured for some designs, a `Predictor` learns it from `Features` of theirs, and
`PredictedMetric` answers it for any number of designs at once.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Self, overload

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, RegressorMixin, clone

from hwnas.arrays import Floats, Ints
from hwnas.design.designs import Designs
from hwnas.errors import ProblemError, nearest
from hwnas.evaluation.interface import ALL_PARTS, Evaluator, Expense
from hwnas.evaluation.wrappers import distinct_metrics
from hwnas.metrics import Goal, Measurements, Metric, Reason
from hwnas.space import Space

_LEAST_ROWS = 2


class Predictor(RegressorMixin, BaseEstimator, ABC):  # type: ignore[misc]  # sklearn has no types
    """A scikit-learn regressor that says how sure it is.

    It keeps to scikit-learn's rules (`sklearn.utils.estimator_checks.check_estimator` passes): the
    constructor only stores its arguments, `fit` forgets what was learnt before, what is learnt has
    a trailing underscore, and a ``random_state`` that is a number makes it repeatable.
    """

    @abstractmethod
    def fit(self, X: Any, y: Any) -> Self:
        """Learns from examples.

        Args:
            X: Features, array-like ``(n, k)``.
            y: Targets, array-like ``(n,)``, in any unit.
        """

    @overload
    def predict(self, X: Any, return_std: Literal[False] = False) -> Floats: ...
    @overload
    def predict(self, X: Any, return_std: Literal[True]) -> tuple[Floats, Floats]: ...

    @abstractmethod
    def predict(self, X: Any, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Predicts targets.

        Args:
            X: Features, array-like ``(n, k)``.
            return_std: Whether to say how sure it is, too.

        Returns:
            The expected targets, ``float64 (n,)``, and if asked their standard deviations,
            ``float64 (n,)``; both in the unit of the targets.
        """

    def rank(self, X: Any) -> Floats:
        """Ranks rows by their expected targets, the least first.

        One that learns an order rather than values answers with that order.

        Args:
            X: Features, array-like ``(n, k)``.

        Returns:
            ``float64 (n,)``: 0 for the least target expected, n - 1 for the greatest; equal ones
            share the mean of their ranks.
        """
        ranks: Floats = rankdata(self.predict(X)) - 1.0
        return ranks

    def named(self, names: Sequence[str]) -> Self:
        """A copy, not fitted, that knows the names of the columns.

        Options may then say which columns they mean by name, for those predictors that have such
        options; they override this.

        Args:
            names: Of the columns of ``X``, ``k`` of them.

        Raises:
            ProblemError: An option names a column that is not there.
        """
        copy: Self = clone(self)
        return copy


class Features(ABC):
    """Turns designs into numbers for a predictor. ``a + b`` are the columns of both.

    Attributes:
        reads: The parts of the genome that can change a feature; empty means all.
    """

    reads: frozenset[str]

    @abstractmethod
    def names(self, space: Space) -> tuple[str, ...]:
        """The names of the columns for designs of a space, ``k`` of them."""

    @abstractmethod
    def matrix(self, designs: Designs) -> Floats:
        """The features of ``n`` designs, ``float64 (n, k)``; NaN where a design has none."""

    @abstractmethod
    def agree(self, one: Space, other: Space) -> bool:
        """Whether the columns mean the same for designs of both spaces."""

    def __add__(self, other: Features) -> Features:
        """The columns of this, then those of the other."""
        return _Both(self, other)


class SpaceFeatures(Features):
    """The genes themselves, as `Space.features` gives them.

    Args:
        *parts: The parts of the genome whose genes count; all if none is named.
    """

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        self.reads = frozenset(parts) if parts else ALL_PARTS

    def names(self, space: Space) -> tuple[str, ...]:
        """The names of the features of the parts; see `Features.names`."""
        return self._projected(space).feature_names

    def matrix(self, designs: Designs) -> Floats:
        """The genes as numbers; see `Features.matrix`."""
        columns = designs.space.columns_of(*self._named(designs.space))
        return self._projected(designs.space).features(designs.genomes[:, columns])

    def agree(self, one: Space, other: Space) -> bool:
        """Whether the genes are the same: a restricted gene's ranks mean something else."""
        return self._projected(one).genes == self._projected(other).genes

    def _named(self, space: Space) -> tuple[str, ...]:
        return self.parts or space.part_names

    def _projected(self, space: Space) -> Space:
        return space.part(*self._named(space))


class MetricFeatures(Features):
    """Metrics that cost nothing, e.g. NN-Degree or the number of weights.

    Args:
        evaluators: FREE evaluators.
        names: Which of their metrics are features, in this order; all if none is named.

    Raises:
        ProblemError: An evaluator is COSTLY, two measure the same metric, or none the one named.
    """

    def __init__(self, evaluators: Sequence[Evaluator], names: Sequence[str] = ()) -> None:
        measured = [metric.name for metric in distinct_metrics(evaluators)]
        for name in names:
            if name not in measured:
                raise ProblemError(
                    f"no evaluator given measures {name!r}",
                    where="argument names",
                    rule="features are metrics of the evaluators",
                    given=repr(name),
                    cure=nearest(name, measured),
                )
        self.metrics = tuple(names) or tuple(measured)
        self.evaluators = tuple(
            e for e in evaluators if any(metric.name in self.metrics for metric in e.metrics)
        )
        if not self.evaluators:
            raise ProblemError("there is no feature", rule="at least one evaluator with a metric")
        for evaluator in self.evaluators:
            if evaluator.expense is not Expense.FREE:
                raise ProblemError(
                    f"{evaluator.name!r} cannot give features",
                    where="argument evaluators",
                    rule="features are FREE: they are asked for any number of designs",
                    given=f"{evaluator.name} is {evaluator.expense.value}",
                    cure="leave it out, or predict its metrics too",
                )
        self.reads = _union(evaluator.reads for evaluator in self.evaluators)

    def names(self, space: Space) -> tuple[str, ...]:
        """The names of the metrics; see `Features.names`."""
        return self.metrics

    def matrix(self, designs: Designs) -> Floats:
        """The metrics, NaN for infeasible designs; see `Features.matrix`."""
        columns: dict[str, Floats] = {}
        for evaluator in self.evaluators:
            measured = evaluator.evaluate(designs)
            for metric in evaluator.metrics:
                columns[metric.name] = np.where(measured.feasible, measured[metric.name], np.nan)
        return np.stack([columns[name] for name in self.metrics], axis=1)

    def agree(self, one: Space, other: Space) -> bool:
        """Always: a metric means the same everywhere."""
        return True


class _Both(Features):
    """The columns of two feature sources, side by side."""

    def __init__(self, left: Features, right: Features) -> None:
        self.left = left
        self.right = right
        self.reads = _union((left.reads, right.reads))

    def names(self, space: Space) -> tuple[str, ...]:
        return self.left.names(space) + self.right.names(space)

    def matrix(self, designs: Designs) -> Floats:
        return np.hstack([self.left.matrix(designs), self.right.matrix(designs)])

    def agree(self, one: Space, other: Space) -> bool:
        return self.left.agree(one, other) and self.right.agree(one, other)


def _union(reads: Any) -> frozenset[str]:
    """The parts read by any; all parts (the empty set) if one reads all."""
    sets = tuple(reads)
    return frozenset().union(*sets) if all(sets) else ALL_PARTS


class PredictedMetric(Evaluator):
    """A metric that is predicted, for FREE, instead of measured.

    It reads what its features read, and predicts once for designs that do not differ there. A
    design that has no features is infeasible. Predictions are clipped to the metric's best and
    worst values.

    Args:
        metric: What is predicted.
        predictor: Fitted; any scikit-learn regressor will do if no deviation is asked for.
        features: What it was fitted on.
        space: The space of the designs that it was fitted on.
        version: Names the data and the predictor, as `fit_metric` does.
        with_std: Whether to answer the standard deviation too, as the metric ``<name>_std``.
    """

    expense = Expense.FREE

    def __init__(
        self,
        metric: Metric,
        predictor: Predictor,
        features: Features,
        *,
        space: Space,
        version: str,
        with_std: bool = False,
    ) -> None:
        self.metric = metric
        self.predictor = predictor
        self.features = features
        self.space = space
        self.version = version
        self.with_std = with_std
        self.reads = features.reads
        std = Metric(f"{metric.name}_std", metric.unit, Goal.MINIMIZE, best=0.0)
        self.metrics = (metric, std) if with_std else (metric,)

    @property
    def name(self) -> str:
        """The predictor and the metric."""
        return f"{type(self.predictor).__name__} of {self.metric.name}"

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Predicts a batch; see `Evaluator.evaluate`.

        Raises:
            ProblemError: The features of these designs are not those of the training.
        """
        if not self.features.agree(self.space, designs.space):
            raise ProblemError(
                f"{self.name} was fitted on another space",
                rule="features mean the same as in training",
                given="genes with other choices, e.g. a space that was restricted since",
                cure="fit it again on designs of this space",
            )
        batch, row_of = self._projected(designs)
        X = self.features.matrix(batch)
        known = np.isfinite(X).all(axis=1)
        columns = {metric.name: np.full(len(batch), np.nan) for metric in self.metrics}
        if known.any():
            for metric, values in zip(self.metrics, self._answers(X[known]), strict=True):
                columns[metric.name][known] = values
        finite = np.isfinite(np.stack(list(columns.values()))).all(axis=0)
        reason = np.where(known, int(Reason.NOT_FINITE), int(Reason.INFEASIBLE))
        reason = np.where(finite, int(Reason.NONE), reason)
        text = {
            int(Reason.NONE): "",
            int(Reason.NOT_FINITE): "the prediction is not finite",
            int(Reason.INFEASIBLE): "the design has no features to predict from",
        }
        notes = [text[code] for code in reason.tolist()]
        return Measurements.of(self.metrics, columns, reason=reason, notes=notes).take(row_of)

    def _answers(self, X: Floats) -> tuple[Floats, ...]:
        low, high = self.metric.best, self.metric.worst
        if self.metric.goal is Goal.MAXIMIZE:
            low, high = high, low
        if self.with_std:
            mean, std = self.predictor.predict(X, return_std=True)
        else:
            mean, std = self.predictor.predict(X), np.empty(0)
        inside = np.where(np.isfinite(mean), np.clip(mean, low, high), np.nan)
        return (inside, std) if self.with_std else (inside,)

    def _projected(self, designs: Designs) -> tuple[Designs, Ints]:
        """The designs that differ in what is read, and for each design its row there."""
        return designs.part(*designs.space.read_by(self.reads))


def fit_metric(
    predictor: Predictor,
    features: Features,
    designs: Designs,
    measurements: Measurements,
    metric: str,
    *,
    with_std: bool = False,
) -> PredictedMetric:
    """Fits a copy of a predictor to what was measured, and makes an evaluator of it.

    Args:
        predictor: The predictor; left as it is.
        features: What it predicts from.
        designs: ``n`` designs.
        measurements: What was measured of them, ``n`` rows; infeasible rows, and designs that
            have no features, are left out.
        metric: The name of the metric that is predicted.
        with_std: See `PredictedMetric`.

    Raises:
        ProblemError: Fewer than two rows can be learnt from, the metric was not measured, or
            designs and measurements differ in number.
    """
    known = {m.name: m for m in measurements.metrics}
    if metric not in known:
        raise ProblemError(
            f"metric {metric!r} was not measured",
            where="argument metric",
            rule="a metric of the measurements",
            given=repr(metric),
            cure=nearest(metric, known),
        )
    if len(designs) != len(measurements):
        raise ProblemError(
            "designs and measurements differ in number",
            rule="one row of measurements per design",
            given=f"{len(designs)} and {len(measurements)}",
        )
    X, y = features.matrix(designs), measurements[metric]
    usable = measurements.feasible & np.isfinite(X).all(axis=1)
    if np.count_nonzero(usable) < _LEAST_ROWS:
        raise ProblemError(
            f"there is too little to learn {metric!r} from",
            where="arguments designs and measurements",
            rule=f"at least {_LEAST_ROWS} feasible designs that have features",
            given=f"{np.count_nonzero(usable)} of {len(designs)}",
            cure="measure more designs, or a part of the space that has feasible ones",
        )
    names = features.names(designs.space)
    fitted = named(predictor, names).fit(X[usable], y[usable])
    version = _version(fitted, names, X[usable], y[usable])
    return PredictedMetric(
        known[metric], fitted, features, space=designs.space, version=version, with_std=with_std
    )


def named(predictor: Any, names: Sequence[str]) -> Any:
    """A copy of any scikit-learn regressor, not fitted, that knows the names of its columns.

    Args:
        predictor: The regressor.
        names: Of the columns, ``k`` of them; see `Predictor.named`.
    """
    return predictor.named(names) if isinstance(predictor, Predictor) else clone(predictor)


def _version(predictor: Predictor, names: tuple[str, ...], X: Floats, y: Floats) -> str:
    """A digest of the examples and of the predictor's parameters, the same in every process."""
    options = sorted((name, repr(value)) for name, value in predictor.get_params().items())
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps([type(predictor).__qualname__, options, names, X.shape]).encode())
    digest.update(np.ascontiguousarray(X, dtype=np.float64).tobytes())
    digest.update(np.ascontiguousarray(y, dtype=np.float64).tobytes())
    return digest.hexdigest()
