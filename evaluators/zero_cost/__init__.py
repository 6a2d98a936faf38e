"""Training-free metrics of networks: `ZeroCost` and what it is made of.

`evaluators.zero_cost.metrics` lists the metrics; their definitions and sources are in `.gradients`
and `.activations`, and what they share of a network's forward and backward pass is in `.probe`.
"""

from evaluators.zero_cost.evaluator import ZeroCost

__all__ = ["ZeroCost"]
