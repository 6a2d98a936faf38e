"""Bits along a training: pure functions of the step, without torch.

A schedule gives the most bits that weights and activations may have at a step; a layer has those,
or fewer where its quantization policy says so; one that is computed in single precision stays so.
After the training, networks have the bits of their policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from hwnas.arrays import Ints
from hwnas.design import FLOAT_BITS
from hwnas.errors import ProblemError, nearest

EXACT_BITS: Final = 24
"""From here on rounding is finer than the significand of single precision, so there is none."""


class Schedule(Protocol):
    """The most bits at every step of a training."""

    def caps(self, step: Ints, total: int) -> Ints:
        """The most bits at some steps.

        Args:
            step: Steps, from 0, ``int64 (t,)``.
            total: Number of steps of the whole training.

        Returns:
            ``int64 (t,)``.
        """
        ...


@dataclass(frozen=True)
class Constant:
    """The bits of the policy from beginning to end."""

    def caps(self, step: Ints, total: int) -> Ints:
        """No limit; see `Schedule.caps`."""
        return np.full(np.shape(step), FLOAT_BITS, dtype=np.int64)


@dataclass(frozen=True)
class Cyclic:
    """Rises from few bits to many along half a cosine, again and again (CPT).

    Source: Fu et al., "CPT: Efficient Deep Neural Network Training via Cyclic Precision", ICLR
    2021, equation 1: at step t, with cycles of T steps, the bits are lower + (upper - lower) / 2 (1
    - cos(pi (t mod T) / T)), rounded. A cycle ends at the upper bits if it has enough steps to come
    that close to them: 5 for 3 to 8 bits.

    Attributes:
        lower: Bits in which every cycle begins.
        upper: Bits in which every cycle ends.
        cycles: Number of cycles; each has the same share of the steps, whole or not.
    """

    lower: int
    upper: int
    cycles: int

    def caps(self, step: Ints, total: int) -> Ints:
        """See `Schedule.caps`."""
        # The place within a cycle, times the total: in whole numbers, so that cycles begin exactly.
        place = np.asarray(step, dtype=np.int64) * self.cycles % total / total
        rise = 0.5 * (self.upper - self.lower) * (1.0 - np.cos(np.pi * place))
        return np.rint(self.lower + rise).astype(np.int64)


@dataclass(frozen=True)
class Progressive:
    """Rises in stages of equal length (FracTrain's progressive fractional quantization).

    Source: Fu et al., "FracTrain: Fractionally Squeezing Bit Savings Both Temporally and Spatially
    for Efficient DNN Training", NeurIPS 2020. There a stage ends when the loss hardly falls any
    more; here its length is fixed, so that the cost of a training is known before it.

    Attributes:
        stages: Bits of each stage, ascending.
    """

    stages: tuple[int, ...]

    def caps(self, step: Ints, total: int) -> Ints:
        """See `Schedule.caps`."""
        stage = np.asarray(step, dtype=np.int64) * len(self.stages) // total
        return np.array(self.stages, dtype=np.int64)[stage]


def _cyclic(recipe: Mapping[str, Any]) -> Schedule:
    lower, upper, cycles = (int(recipe[name]) for name in ("lower_bits", "upper_bits", "cycles"))
    return Cyclic(lower, upper, cycles)


def _progressive(recipe: Mapping[str, Any]) -> Schedule:
    return Progressive(tuple(int(bits) for bits in str(recipe["stages"]).split("-")))


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Schedule]]] = {
    "constant": lambda recipe: Constant(),
    "cyclic": _cyclic,
    "progressive": _progressive,
}


def schedule_of(recipe: Mapping[str, Any]) -> Schedule:
    """The schedule that a design's training recipe names; constant where it names none.

    Args:
        recipe: See `hwnas.design.Design.recipe`.

    Raises:
        ProblemError: There is no schedule of that name.
    """
    name = str(recipe.get("schedule", "constant"))
    if name not in _MAKERS:
        raise ProblemError(
            f"there is no precision schedule {name!r}",
            rule="one of " + ", ".join(_MAKERS),
            given=repr(name),
            cure=nearest(name, _MAKERS),
        )
    return _MAKERS[name](recipe)


def bits_at(bits: Ints, schedule: Schedule, step: Ints, total: int) -> Ints:
    """Bits of layers while they are trained: those of the policy, or fewer.

    Example:
        >>> bits_at(np.array([4, 8, 32]), Cyclic(3, 8, 2), np.array([[0], [9]]), 20).tolist()
        [[3, 3, 32], [4, 8, 32]]

    Args:
        bits: Bits of the policy.
        schedule: The schedule.
        step: Steps from 0, of a shape that broadcasts against that of the bits.
        total: Number of steps.

    Returns:
        Bits, ``int64``, of the joint shape.
    """
    return limited(bits, schedule.caps(step, total))


def limited(bits: Ints, cap: Ints | int) -> Ints:
    """Bits of layers where at most ``cap`` are allowed; both broadcast."""
    return np.where(bits < EXACT_BITS, np.minimum(bits, cap), bits)
