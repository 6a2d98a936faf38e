"""One decision of the genome, and the conditions under which it is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas.arrays import Bools, Choice
from hwnas.errors import SpaceError


@dataclass(frozen=True)
class When:
    """A condition: another gene is active and has one of some values.

    Attributes:
        gene: The name of the other gene.
        one_of: The values that meet the condition, or empty.
        at_least: The smallest (numeric) value that meets the condition, or ``None``.
    """

    gene: str
    one_of: tuple[Choice, ...] = ()
    at_least: float | None = None

    def __post_init__(self) -> None:
        if bool(self.one_of) == (self.at_least is not None):
            raise SpaceError(
                f"the condition on {self.gene!r} is unclear",
                rule="give either one_of or at_least",
                given=f"one_of={self.one_of}, at_least={self.at_least}",
            )

    def met_by(self, choices: Sequence[Choice]) -> Bools:
        """``bool (len(choices),)``: which choices of the other gene meet the condition."""
        if self.at_least is None:
            return np.array([choice in self.one_of for choice in choices], dtype=np.bool_)
        return np.array([_number(self.gene, c) >= self.at_least for c in choices], dtype=np.bool_)

    def to_json(self) -> dict[str, Any]:
        """The condition as plain JSON values."""
        return {"gene": self.gene, "one_of": list(self.one_of), "at_least": self.at_least}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> When:
        """Builds a condition from `to_json`.

        Raises:
            SpaceError: It breaks a rule.
            KeyError: Something is missing.
        """
        return cls(data["gene"], tuple(data["one_of"]), data["at_least"])


def _number(gene: str, choice: Choice) -> float:
    if isinstance(choice, str):
        raise SpaceError(
            f"the condition 'at least' on {gene!r} needs numbers",
            rule="at_least compares numeric choices",
            given=repr(choice),
            cure="use one_of",
        )
    return float(choice)


@dataclass(frozen=True)
class Gene:
    """One decision.

    Attributes:
        name: Dotted, starting with the part it belongs to: ``net.width``, ``quant.weight_bits``.
        choices: The values it can take, all numbers, all strings or all truth values. Continuous
            quantities are lists of choices, as hardware is.
        ordered: Whether neighbouring choices are alike (a width is, a dataflow is not).
        when: Conditions that must all be met for the gene to be active.
        unit: The unit of numeric choices at rest, for showing them.

    Raises:
        SpaceError: The name has no part, there is no choice, one occurs twice, or kinds are mixed.
    """

    name: str
    choices: tuple[Choice, ...]
    ordered: bool = True
    when: tuple[When, ...] = ()
    unit: str = "1"

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        object.__setattr__(
            self, "when", (self.when,) if isinstance(self.when, When) else tuple(self.when)
        )
        if not all(piece.isidentifier() for piece in self.name.split(".")) or "." not in self.name:
            raise SpaceError(
                f"{self.name!r} cannot name a gene",
                rule="a part and a name joined by a dot, such as net.width",
                given=repr(self.name),
            )
        if not self.choices:
            raise SpaceError(
                f"gene {self.name!r} has no choices",
                rule="at least one choice",
                cure="list its values, or leave the gene out",
            )
        kinds = {_kind(self.name, choice) for choice in self.choices}
        if len(kinds) > 1:
            raise SpaceError(
                f"gene {self.name!r} mixes kinds of choices",
                rule="all numbers, all strings or all truth values",
                given=", ".join(sorted(kinds)),
            )
        if len(set(self.choices)) < len(self.choices):
            raise SpaceError(
                f"gene {self.name!r} has a choice twice",
                rule="choices differ",
                given=", ".join(map(repr, self.choices)),
            )

    @property
    def part(self) -> str:
        """The part of the genome it belongs to: the name up to the first dot."""
        return self.name.partition(".")[0]

    def to_json(self) -> dict[str, Any]:
        """The gene as plain JSON values."""
        return {
            "name": self.name,
            "choices": list(self.choices),
            "ordered": self.ordered,
            "unit": self.unit,
            "when": [when.to_json() for when in self.when],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Gene:
        """Builds a gene from `to_json`.

        Raises:
            SpaceError: It breaks a rule.
            KeyError: Something is missing.
        """
        when = tuple(When.from_json(condition) for condition in data["when"])
        return cls(data["name"], tuple(data["choices"]), data["ordered"], when, data["unit"])


def _kind(name: str, choice: object) -> str:
    if isinstance(choice, bool):
        return "truth value"
    if isinstance(choice, int | float) and math.isfinite(choice):
        return "number"
    if isinstance(choice, str):
        return "string"
    raise SpaceError(
        f"gene {name!r} has a choice that cannot be stored",
        rule="finite numbers, strings or truth values",
        given=repr(choice),
    )
