"""Predictors: the contract, their features, and predicted metrics.

Imports scikit-learn, which takes a second or more: the core imports this room only where somebody
asks for a prediction.
"""

from hwnas.prediction.canonical import CanonicalFeatures
from hwnas.prediction.interface import (
    Features,
    MetricFeatures,
    PredictedMetric,
    Predictor,
    SpaceFeatures,
    fit_metric,
)

__all__ = [
    "CanonicalFeatures",
    "Features",
    "MetricFeatures",
    "PredictedMetric",
    "Predictor",
    "SpaceFeatures",
    "fit_metric",
]
