"""How much a study may spend."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.errors import ProblemError


@dataclass(frozen=True)
class Budget:
    """A study ends at the first limit that it reaches.

    Attributes:
        evaluations: How many evaluations. Only COSTLY ones count where there are any, and none
            twice; else every design counts.
        seconds: How long the study may run in all, over all resumed runs, s; ``None``: no limit.
        gain: The study ends when the searcher certifies that less than this share of the
            hypervolume is left to be gained (see `Searcher.remaining`); ``None``: never for that.

    Raises:
        ProblemError: A limit that leaves nothing to do.
    """

    evaluations: int
    seconds: float | None = None
    gain: float | None = None

    def __post_init__(self) -> None:
        if self.evaluations < 1:
            raise ProblemError(
                f"a budget of {self.evaluations} evaluations leaves nothing to do",
                where="budget",
                rule="at least 1 evaluation",
                given=str(self.evaluations),
                cure="give a larger budget, e.g. --budget 100",
            )
        if self.seconds is not None and self.seconds <= 0:
            raise ProblemError(
                "a budget without time leaves nothing to do",
                where="budget",
                rule="more than 0 s",
                given=f"{self.seconds} s",
            )
        if self.gain is not None and not 0 < self.gain < 1:
            raise ProblemError(
                f"a study cannot stop when the gain is below {self.gain}",
                where="budget, stop_when_gain_below",
                rule="a share above 0 and below 1, e.g. 1 % or 0.01",
                given=f"{self.gain}",
            )
