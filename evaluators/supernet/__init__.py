"""Test errors of networks that take their weights from one trained network of the largest size."""

from evaluators.supernet.evaluator import Supernet

__all__ = ["Supernet"]
