"""From runs to a record: one box, one target, and what each searcher comes to in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.arrays import Floats
from hwnas.comparison.record import Row, Run, Spread, Target, as_text, reached
from hwnas.comparison.running import FAILED, Outcome
from hwnas.problem import Problem, nondominated
from hwnas.yardstick import Yardstick, references


def best_known(problem: Problem, outcomes: Sequence[Outcome], exact: Floats | None) -> Floats:
    """The front of everything that is known: of all runs, or the exact one, ``(j, m)``."""
    if exact is not None:
        return exact
    fronts = [o.trajectory.front() for o in outcomes if o.trajectory is not None]
    union = np.concatenate([np.empty((0, len(problem.objectives))), *fronts])
    return np.unique(union[nondominated(union)], axis=0)


def common_box(
    problem: Problem, outcomes: Sequence[Outcome], front: Floats, given: Mapping[str, float]
) -> Yardstick | None:
    """The box around a front, with the reference values that the study gives.

    In an objective in which the front does not vary (a single one, say), it reaches to the worst
    feasible design that any run found.

    Args:
        problem: The problem.
        outcomes: The runs.
        front: The best that is known, ``(j, m)``.
        given: Objective to a reference value, at rest.

    Returns:
        The box; ``None`` where nothing feasible is known.

    Raises:
        ProblemError: A reference is no worse than the best known value.
    """
    if not len(front):
        return None
    chosen = references(problem, given)
    flat = front.min(axis=0) == front.max(axis=0)
    losses = [o.trajectory.losses for o in outcomes if o.trajectory is not None]
    seen = np.concatenate([front, *losses])
    worst = seen[np.isfinite(seen).all(axis=1)].max(axis=0)
    corner = np.where(flat, worst, front[0])
    return Yardstick.spanning(np.vstack([front, corner]), chosen)


def target_of(box: Yardstick, front: Floats, how: str, *, exact: bool) -> Target:
    """What hypervolumes are told relative to.

    Args:
        box: The yardstick.
        front: The exact or the best known front, ``(j, m)``.
        how: Where it is from.
        exact: Whether it is exact.
    """
    return Target(box.hypervolume(front), len(np.unique(front, axis=0)), exact, how)


@dataclass(frozen=True)
class Measure:
    """How runs are measured.

    Attributes:
        box: The yardstick; ``None`` where nothing feasible is known.
        target: What volumes are relative to.
        checkpoints: Where hypervolumes are told, in evaluations, ascending.
        fractions: The fractions of the target whose reaching is told.
        points: Where the curves have points, ascending; the checkpoints are among them.
    """

    box: Yardstick | None
    target: Target | None
    checkpoints: tuple[int, ...]
    fractions: tuple[float, ...]
    points: tuple[int, ...]

    def row(
        self, label: str, searcher: str, options: Mapping[str, object], outcomes: Sequence[Outcome]
    ) -> Row:
        """What one searcher comes to.

        Args:
            label: What it is called.
            searcher: Its name.
            options: Its options.
            outcomes: Its runs, by seed.
        """
        done = [o for o in outcomes if o.trajectory is not None]
        if not done:
            refused = outcomes[0].standing.error if outcomes else "it has not run"
            return Row(label, searcher, as_text(options), refused=refused)
        curves = np.array([self.relative(o) for o in done])
        runs = tuple(self.run(o, curve) for o, curve in zip(done, curves, strict=True))
        overheads = [run.overhead for run in runs if run.overhead is not None]
        return Row(
            label,
            searcher,
            as_text(options),
            runs=runs,
            relative=_spreads(np.array([run.relative for run in runs])),
            reached=tuple(
                reached(fraction, [run.reached[i] for run in runs])
                for i, fraction in enumerate(self.fractions)
            ),
            overhead=Spread.of(overheads),
            band=_spreads(curves),
        )

    def relative(self, outcome: Outcome) -> Floats:
        """The relative hypervolume of a run at each point, ``(j,)``."""
        none = np.zeros(len(self.points))
        if self.box is None or self.target is None or outcome.trajectory is None:
            return none
        volumes = outcome.trajectory.volumes(self.box, np.array(self.points))
        return volumes / self.target.volume if self.target.volume > 0 else none

    def run(self, outcome: Outcome, curve: Floats) -> Run:
        """What one run comes to.

        Args:
            outcome: The run.
            curve: Its relative hypervolume at each point, ``(j,)``.
        """
        trajectory, standing = outcome.trajectory, outcome.standing
        assert trajectory is not None
        volume = self.target.volume if self.target is not None else 0.0
        found: list[float | None] = [None] * len(self.fractions)
        if self.box is not None and volume > 0:
            found = [trajectory.reaches(self.box, volume * f) for f in self.fractions]
        at = np.searchsorted(self.points, self.checkpoints)
        return Run(
            seed=outcome.seed,
            status=standing.status,
            error=standing.error if standing.status == FAILED else "",
            designs=len(trajectory.losses),
            evaluations=trajectory.spent,
            failures=int(trajectory.failed.sum()),
            hypervolume=float(curve[at[-1]] * volume),
            relative=tuple(map(float, curve[at])),
            reached=tuple(found),
            overhead=standing.overhead,
        )


def _spreads(table: Floats) -> tuple[Spread, ...]:
    """The quartiles of each column of ``(runs, points)``."""
    lower, median, upper = np.quantile(table, (0.25, 0.5, 0.75), axis=0)
    return tuple(map(Spread, map(float, median), map(float, lower), map(float, upper)))
