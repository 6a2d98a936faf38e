"""The hypervolume of a study, measured against a reference point that never moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas.arrays import Bools, Floats
from hwnas.errors import ProblemError
from hwnas.metrics import Measurements
from hwnas.problem import Problem

_SAMPLE = 512
_MARGIN = 0.1
_DECADES = 1.5


@dataclass(frozen=True)
class Yardstick:
    """A box in loss space: hypervolume is the share of it that a front dominates.

    Fixed when a study begins and stored with it, because hypervolumes against different reference
    points cannot be compared. An objective that spans decades is measured on a logarithmic scale,
    or its worst values would drown the rest. A front better than ``ideal`` has a share above 1.

    Attributes:
        reference: The worst corner, one loss per objective, at rest.
        ideal: The best corner.
        logarithmic: Which objectives are measured by their logarithm.
    """

    reference: tuple[float, ...]
    ideal: tuple[float, ...]
    logarithmic: tuple[bool, ...]

    def __post_init__(self) -> None:
        for worst, best in zip(self.reference, self.ideal, strict=True):
            if not best < worst:
                raise ProblemError(
                    "the hypervolume's box is empty",
                    rule="in every objective the reference is worse than the best value",
                    given=f"reference {worst:g}, best {best:g} (as losses)",
                    cure="give a worse reference",
                )

    def scaled(self, losses: Floats) -> Floats:
        """Losses with 0 at the ideal and 1 at the reference, ``(n, m)``."""
        best, worst = self._transform(np.array([self.ideal, self.reference]))
        scaled: Floats = (self._transform(losses) - best) / (worst - best)
        return scaled

    def _transform(self, losses: Floats) -> Floats:
        tiny = np.finfo(np.float64).tiny
        return np.where(self.logarithmic, np.log10(np.maximum(losses, tiny)), losses)

    def hypervolume(self, losses: Floats) -> float:
        """The share of the box that some designs dominate.

        Args:
            losses: ``(n, m)``; rows that are not finite do not count.
        """
        import moocore

        finite = losses[np.isfinite(losses).all(axis=1)]
        if not len(finite):
            return 0.0
        scaled = self.scaled(finite)
        inside = scaled[(scaled < 1.0).all(axis=1)]
        return float(moocore.hypervolume(inside, ref=1.0)) if len(inside) else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "reference": list(self.reference),
            "ideal": list(self.ideal),
            "logarithmic": list(self.logarithmic),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[Any]]) -> Yardstick:
        """From `to_json`."""
        return cls(
            tuple(map(float, data["reference"])),
            tuple(map(float, data["ideal"])),
            tuple(map(bool, data["logarithmic"])),
        )

    @classmethod
    def spanning(
        cls, losses: Floats, given: Mapping[int, float], bounds: Bools | None = None
    ) -> Yardstick:
        """The box around some losses, with a margin.

        Args:
            losses: ``(n, m)``, at least one finite row.
            given: Objective to a reference loss that the person chose; such objectives are
                measured on a linear scale.
            bounds: ``bool (m,)``: objectives whose losses here are true bounds: no margin.
        """
        finite = losses[np.isfinite(losses).all(axis=1)]
        best, worst = finite.min(axis=0), finite.max(axis=0)
        fixed = np.zeros(len(best), np.bool_) if bounds is None else bounds
        with np.errstate(divide="ignore", invalid="ignore"):
            wide = (best > 0) & (np.log10(worst / best) > _DECADES)
        logarithmic = wide & ~np.isin(np.arange(len(best)), list(given)) & ~fixed
        flat = np.where(worst > best, 0.0, np.maximum(np.abs(worst), 1.0))
        reference = np.where(fixed, worst, worst + _MARGIN * (worst - best)) + flat
        for j, value in given.items():
            reference[j] = value
        return cls(
            tuple(map(float, reference)), tuple(map(float, best)), tuple(map(bool, logarithmic))
        )


def before_measuring(problem: Problem, seed: int, given: Mapping[str, float]) -> Yardstick | None:
    """Fixes the box before anything costly is measured, if that can be done.

    Free metrics are measured on a random sample of designs; a costly metric enters with its worst
    and its best possible value.

    Args:
        problem: The problem.
        seed: The study's seed.
        given: Objective name to a reference value that the person chose, at rest.

    Returns:
        The box, or ``None`` where a costly metric has no worst or best value, or no design of the
        sample is feasible: it must then be fixed on the first designs that are measured.
    """
    costly = [m for e in problem.costly for m in e.metrics]
    if any(m.worst is None or m.best is None for m in costly):
        return None
    rng = np.random.default_rng((seed, _SAMPLE))
    sample = problem.designs(problem.space.sample(_SAMPLE, rng), seed)
    free = problem.free(sample)
    ends = []
    for bound in ("worst", "best"):
        columns = {m.name: np.full(len(free), float(getattr(m, bound))) for m in costly}
        whole = Measurements(
            (*free.metrics, *costly), {**free.columns, **columns}, free.feasible, free.reason
        )
        ends.append(problem.losses(whole))
    losses = np.concatenate(ends)
    if not np.isfinite(losses).all(axis=1).any():
        return None
    bounded = np.array(
        [o.is_metric and o.name in {m.name for m in costly} for o in problem.objectives]
    )
    return Yardstick.spanning(losses, references(problem, given), bounded)


def references(problem: Problem, given: Mapping[str, float]) -> dict[int, float]:
    """Objective index to the reference loss that the person chose.

    Raises:
        ProblemError: A name is no objective.
    """
    names = [objective.name for objective in problem.objectives]
    for name in given:
        if name not in names:
            raise ProblemError(
                f"the reference names {name!r}, which is no objective",
                rule="one of " + ", ".join(names),
                given=repr(name),
            )
    return {
        names.index(name): float(value * problem.signs[names.index(name)])
        for name, value in given.items()
    }
