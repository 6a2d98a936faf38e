"""A bag of gradient-boosted trees whose disagreement and error are its uncertainty.

Source: Chen, Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016; where XGBoost is not
installed, scikit-learn's histogram boosting stands in. Uncertainty: the jackknife by deleted groups
(Shao, Wu, "A General Theory for Jackknife Variance Estimation", Annals of Statistics 17, 1989):
member i has not seen group i, and as members share most of their examples, their variance counts
members - 1 times.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas.arrays import Floats, Ints
from hwnas.errors import MissingExtraError, ProblemError, nearest
from hwnas.prediction import Predictor

_BINS: Final = 64
_WAYS: Final = {"rising": 1, "falling": -1}


class BoostedTrees(Predictor):
    """Boosted trees: strong on mixed and one-hot features, fast at any number of examples.

    The standard deviation is that of a new measurement: disagreement of the members plus what is
    left of their error on examples that they have not seen. One thread.

    Args:
        members: Number of ensembles, each fitted without one group of examples; at least 2.
        rounds: Trees per ensemble.
        depth: Largest depth of a tree.
        learning_rate: What each tree adds of what it learnt, in (0, 1].
        max_features: Share of the features that each split may choose from, in (0, 1].
        monotonic: Where the target may only rise with a feature, or only fall: ``rising`` or
            ``falling`` by the feature's name, ``*`` standing for any letters, e.g.
            ``{quant.*: falling}`` for an error; or per feature 1, -1, or 0 where anything goes.
            Anything goes everywhere if left out.
        outliers: Targets further than this many interquartile ranges below the lower or above the
            upper quartile are learnt as if they were that far: 1.5 where trainings that failed
            would else drown the differences between good ones. Off if left out.
        engine: ``xgboost``, ``sklearn``, or ``auto``: the first of them that is installed.
        random_state: Seed.

    Attributes:
        ensembles_: The members, in order.
        noise_: Standard deviation of a measurement that the members do not disagree about.
        n_features_in_: Number of features.
    """

    def __init__(
        self,
        members: int = 5,
        rounds: int = 50,
        depth: int = 4,
        learning_rate: float = 0.2,
        max_features: float = 0.5,
        monotonic: Sequence[int] | Mapping[str, Literal["rising", "falling"]] | None = None,
        outliers: float | None = None,
        engine: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.members = members
        self.rounds = rounds
        self.depth = depth
        self.learning_rate = learning_rate
        self.max_features = max_features
        self.monotonic = monotonic
        self.outliers = outliers
        self.engine = engine
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Grows the trees; see `Predictor.fit`.

        Raises:
            ProblemError: An option is out of its range, or there is no such engine.
            MissingExtraError: XGBoost is asked for and not installed.
        """
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64, ensure_min_samples=2)
        self._directions = self._directed(getattr(self, "feature_names_in_", ()))
        self._check(X.shape[1])
        target = _winsorized(y, self.outliers)
        self._mean = float(target.mean())
        self._scale = float(target.std()) or 1.0
        z = (target - self._mean) / self._scale
        rng = np.random.default_rng(self.random_state)
        members = min(self.members, len(z))
        group = rng.permutation(len(z)) % members
        engine = _ENGINES[self.engine]()
        self.ensembles_ = [
            engine(self, self._directions, seed).fit(X[group != i], z[group != i])
            for i, seed in enumerate(rng.integers(0, 2**31, members).tolist())
        ]
        self.noise_ = self._scale * self._residual(X, z, group)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean of the members, and the deviation of a measurement; see `Predictor.predict`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        mean, variance = self._together(X)
        expected = self._mean + self._scale * mean
        if not return_std:
            return expected
        return expected, np.sqrt(self._scale**2 * variance + self.noise_**2)

    def named(self, names: Sequence[str]) -> Self:
        """A copy with a direction per feature; see `Predictor.named`.

        Raises:
            ProblemError: A name in ``monotonic`` fits no feature.
        """
        copy = super().named(names)
        return copy.set_params(monotonic=self._directed(names))  # type: ignore[no-any-return]

    def _directed(self, names: Sequence[str]) -> list[int] | None:
        """The direction of each feature."""
        if not isinstance(self.monotonic, Mapping):
            return None if self.monotonic is None else list(self.monotonic)
        found = [0] * len(names)
        for pattern, way in self.monotonic.items():
            fits = [i for i, name in enumerate(names) if fnmatchcase(name, pattern)]
            if not fits or way not in _WAYS:
                raise ProblemError(
                    f"boosted_trees cannot have monotonic = {pattern}: {way}",
                    where="option monotonic",
                    rule=f"names of features: {' or '.join(_WAYS)}",
                    given=f"{pattern}: {way}",
                    cure="rising or falling" if fits else _cure(pattern, names),
                )
            for i in fits:
                found[i] = _WAYS[way]
        return found

    def _together(self, X: Floats) -> tuple[Floats, Floats]:
        """Mean and jackknife variance of the members, standardised."""
        each = np.stack([ensemble.predict(X) for ensemble in self.ensembles_])
        return each.mean(axis=0), (len(each) - 1) * each.var(axis=0)

    def _residual(self, X: Floats, z: Floats, group: Ints) -> float:
        """What disagreement does not explain of the error on examples that were not seen."""
        unseen = np.empty_like(z)
        for i, ensemble in enumerate(self.ensembles_):
            unseen[group == i] = ensemble.predict(X[group == i])
        unexplained = np.mean((unseen - z) ** 2) - np.mean(self._together(X)[1])
        return float(max(0.0, float(unexplained)) ** 0.5)

    def _check(self, k: int) -> None:
        rules = {
            "members": (self.members >= 2, "at least 2"),
            "rounds": (self.rounds >= 1, "at least 1"),
            "depth": (self.depth >= 1, "at least 1"),
            "learning_rate": (0 < self.learning_rate <= 1, "above 0, at most 1"),
            "max_features": (0 < self.max_features <= 1, "above 0, at most 1"),
            "outliers": (self.outliers is None or self.outliers >= 0, "at least 0, or none"),
            "monotonic": (
                self._directions is None
                or (len(self._directions) == k and set(self._directions) <= {-1, 0, 1}),
                f"one of -1, 0, 1 for each of {k} features, or none",
            ),
        }
        for option, (is_met, rule) in rules.items():
            if not is_met:
                raise ProblemError(
                    f"boosted_trees cannot have {option} = {getattr(self, option)}", rule=rule
                )
        if self.engine not in _ENGINES:
            raise ProblemError(
                f"boosted_trees has no engine {self.engine!r}",
                rule="one of: " + ", ".join(_ENGINES),
                cure=nearest(self.engine, _ENGINES),
            )


def _cure(pattern: str, names: Sequence[str]) -> str:
    if not len(names):
        return "name the columns: fit on a data frame, or take a copy that is named(names)"
    return nearest(pattern, names)


def _winsorized(y: Floats, outliers: float | None) -> Floats:
    if outliers is None:
        return np.asarray(y, dtype=np.float64)
    lower, upper = np.quantile(y, [0.25, 0.75])
    reach = outliers * (upper - lower)
    return np.clip(y, lower - reach, upper + reach)


class _Ensemble(ABC):
    """One ensemble of boosted trees.

    Args:
        options: Whose options count.
        monotonic: The direction of each feature.
        seed: Of the features that splits choose from.
    """

    def __init__(self, options: BoostedTrees, monotonic: list[int] | None, seed: int) -> None:
        self.monotonic = monotonic
        self.options: Mapping[str, Any] = options.get_params()
        self.seed = seed

    @abstractmethod
    def fit(self, X: Floats, y: Floats) -> Self: ...

    @abstractmethod
    def predict(self, X: Floats) -> Floats: ...


class _XGBoost(_Ensemble):
    def fit(self, X: Floats, y: Floats) -> Self:
        import xgboost

        options = {
            "max_depth": self.options["depth"],
            "eta": self.options["learning_rate"],
            "colsample_bynode": self.options["max_features"],
            "tree_method": "hist",
            "max_bin": _BINS,
            "base_score": 0.0,
            "nthread": 1,
            "seed": self.seed,
            "verbosity": 0,
        }
        if self.monotonic is not None:
            options["monotone_constraints"] = tuple(self.monotonic)
        self.booster = xgboost.train(
            options, xgboost.DMatrix(X, y, nthread=1), num_boost_round=self.options["rounds"]
        )
        return self

    def predict(self, X: Floats) -> Floats:
        import xgboost

        found: Floats = self.booster.predict(xgboost.DMatrix(X, nthread=1)).astype(np.float64)
        return found


class _ScikitLearn(_Ensemble):
    def fit(self, X: Floats, y: Floats) -> Self:
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        self.trees = HistGradientBoostingRegressor(
            max_iter=self.options["rounds"],
            max_depth=self.options["depth"],
            learning_rate=self.options["learning_rate"],
            max_features=self.options["max_features"],
            min_samples_leaf=1,
            l2_regularization=1.0,
            max_bins=_BINS,
            monotonic_cst=self.monotonic,
            early_stopping=False,
            random_state=self.seed,
        )
        with threadpool_limits(1):
            self.trees.fit(X, y)
        return self

    def predict(self, X: Floats) -> Floats:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            found: Floats = self.trees.predict(X)
        return found


def _xgboost() -> type[_Ensemble]:
    if importlib.util.find_spec("xgboost") is None:
        raise MissingExtraError(
            "XGBoost is not installed", cure="pip install 'hwnas[xgboost]', or engine: sklearn"
        )
    return _XGBoost


def _installed() -> type[_Ensemble]:
    return _XGBoost if importlib.util.find_spec("xgboost") is not None else _ScikitLearn


_ENGINES: Final[Mapping[str, Callable[[], type[_Ensemble]]]] = {
    "auto": _installed,
    "xgboost": _xgboost,
    "sklearn": lambda: _ScikitLearn,
}
