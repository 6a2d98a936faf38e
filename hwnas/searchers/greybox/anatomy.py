"""What of a problem is free, and what has to be learnt."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hwnas.arrays import Bools, Floats
from hwnas.inner import InnerFronts
from hwnas.metrics import Goal, Measurements, Reason
from hwnas.problem import Problem


class Anatomy:
    """A problem taken apart.

    The outer parts of the genome are those that some costly evaluator reads; the free evaluators
    settle the inner ones exactly. Where an objective or a constraint mixes costly with free
    metrics, or a costly evaluator reads everything, all parts are outer. Where nothing is COSTLY,
    everything is taken to be.

    Args:
        problem: The problem.
        seed: Seed of the inner search, where there are too many inner designs to enumerate.
        limit: How many inner designs are enumerated at most.

    Attributes:
        fronts: The inner fronts.
        free: Objectives that are free, as indices.
        open: Objectives that have to be learnt.
        limits: Constraints that have to be learnt.
        hints: FREE evaluators that read outer parts alone: their metrics help to learn.
    """

    def __init__(self, problem: Problem, *, seed: int, limit: int) -> None:
        self.problem = problem
        space = problem.space
        self.costly = problem.costly or problem.evaluators
        free = [e for e in problem.evaluators if e not in self.costly]
        known = {m.name for e in free for m in e.metrics}
        needed = [o.node.metrics for o in problem.objectives]
        needed += [c.metrics for c in problem.constraints]
        mixed = any(m & known and not m <= known for m in needed)
        outer = {part for e in self.costly for part in space.read_by(e.reads)}
        inner = [p for p in space.part_names if p not in outer and not mixed]
        self.fronts = InnerFronts(problem, inner, free, seed=seed, limit=limit)
        self.free = self.fronts.objectives
        self.open = tuple(j for j in range(len(problem.objectives)) if j not in self.free)
        settled = self.fronts.constraints
        self.limits = tuple(j for j in range(len(problem.constraints)) if j not in settled)
        whole = set(self.fronts.outer_parts)
        self.hints = [e for e in free if set(space.read_by(e.reads)) <= whole]

    def targets(self, measurements: Measurements) -> Floats:
        """What is learnt: open objectives as losses, open constraints as excesses, ``(n, t)``.

        NaN or infinite where a design has none.
        """
        losses = self.problem.values(measurements) * self.problem.signs
        excesses = self.problem.excesses(measurements)
        return np.concatenate([losses[:, self.open], excesses[:, self.limits]], axis=1)

    def tried(self, measurements: Measurements) -> Bools:
        """``bool (n,)``: rows where something costly was measured, or failed for good.

        Where free metrics rule a design out, other inner parts may not.
        """
        names = [m.name for e in self.costly for m in e.metrics]
        measured = np.isfinite(np.stack([measurements[n] for n in names], axis=1)).all(axis=1)
        failed = ~measurements.feasible
        if self.fronts.inner_parts:
            failed &= measurements.reason != Reason.RULED_OUT
        return measured | failed

    @property
    def best(self) -> Floats:
        """The best loss that each open objective can have, ``(u,)``; minus infinity if unknown."""
        return np.array([self._bound(j, "best", -np.inf) for j in self.open])

    @property
    def worst(self) -> Floats:
        """The worst loss that each open objective can have, ``(u,)``; infinity if unknown."""
        return np.array([self._bound(j, "worst", np.inf) for j in self.open])

    def _bound(self, j: int, end: Literal["best", "worst"], unknown: float) -> float:
        objective = self.problem.objectives[j]
        metric = self.problem.metrics.get(objective.name) if objective.is_metric else None
        value = None if metric is None else {"best": metric.best, "worst": metric.worst}[end]
        sign = 1.0 if objective.goal is Goal.MINIMIZE else -1.0
        return unknown if value is None else sign * value
