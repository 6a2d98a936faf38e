"""A study in Python, with an objective of its own: hwnas run studies/custom_objective.py.

How robust is a network to bit flips in its weights? Here a made-up closed form stands in for the
experiment; put yours in its place, and say ``expense="costly"`` where it takes time.
"""

from __future__ import annotations

from evaluators.systolic import Systolic
from hwnas import BitsPerCell, Problem, SkipNet, Study, SystolicArray, measures


@measures("exposure", reads=["net", "quant"], expense="free", batch=True)
def exposure(designs):
    """Stored weight bits, each weighted by how far a flip of it moves the weight."""
    layers = designs.layers
    flip = layers.weights * (2.0**layers.weight_bits - 1) / 2.0 ** (layers.weight_bits - 1)
    return layers.total(flip)


def study() -> Study:
    """The study that the command line runs."""
    space = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
    objectives = ["exposure", "energy", "latency"]
    problem = Problem(space, [exposure, Systolic()], objectives, ["area <= 1 mm2"])
    return Study(problem, "nsga2", budget=2000, seed=0, name="custom_objective")
