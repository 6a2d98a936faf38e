"""Test error after really training a network with fake quantisation, in plain torch.

One training takes seconds of one core. Two threads gain nothing on such small networks, and were
up to 31 times slower when the cores were shared: a training computes with one thread, and
parallelism comes from processes (`hwnas.evaluation.Parallel`).
"""

from evaluators.training.evaluator import Training

__all__ = ["Training"]
