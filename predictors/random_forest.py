"""A random forest whose trees' disagreement is its uncertainty.

Source: Breiman, "Random Forests", Machine Learning 45, 2001; the standard deviation across trees as
uncertainty: Hutter, Hoos, Leyton-Brown, "Sequential Model-Based Optimization for General Algorithm
Configuration", LION 2011.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas.prediction import Predictor


class RandomForest(Predictor):
    """Random forest: robust, no scaling needed, flat outside the data.

    Args:
        n_estimators: Number of trees.
        max_features: Share of the features that each split may choose from, in (0, 1].
        min_samples_leaf: Least number of examples in a leaf.
        random_state: Seed.

    Attributes:
        forest_: The fitted `sklearn.ensemble.RandomForestRegressor`.
        n_features_in_: Number of features.
    """

    def __init__(
        self,
        n_estimators: int = 200,
        max_features: float = 1.0,
        min_samples_leaf: int = 1,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_features = max_features
        self.min_samples_leaf = min_samples_leaf
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Grows the trees; see `Predictor.fit`."""
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        self.forest_ = RandomForestRegressor(
            n_estimators=self.n_estimators,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            random_state=self.random_state,
        ).fit(X, y)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean and the standard deviation across trees; see `Predictor.predict`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        mean = self.forest_.predict(X)
        if not return_std:
            return mean
        # Trees compare single-precision features.
        single = X.astype(np.float32)
        squares = np.zeros_like(mean)
        for tree in self.forest_.estimators_:
            squares += (tree.predict(single, check_input=False) - mean) ** 2
        return mean, np.sqrt(squares / len(self.forest_.estimators_))
