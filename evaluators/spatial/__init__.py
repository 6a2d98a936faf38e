"""Arrays that unroll loops, with register files and a family of mappings: a cost model."""

from evaluators.spatial.evaluator import Spatial

__all__ = ["Spatial"]
