"""Timeloop's one-line mappings become loop nests.

``L3[WIO] K8 Q28 - L2[WI] N1 K4X - L1[O] K2 S7 C3X - L0[W] P2``: levels from the outermost to the
innermost, the operands each keeps, then its loops, the outermost first. An ``X`` or ``Y`` marks a
factor that is spread over the instances of the level below.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluators.loop_nest import DIMENSIONS, OPERANDS, LoopNest
from hwnas.arrays import Bools, Ints
from hwnas.errors import DesignError

_LEVEL: Final = re.compile(r"L(\d+)\[([WIO]*)\]((?: +[GNKCPQRS]\d+[XY]?)*) *")
_LOOP: Final = re.compile(r"([GNKCPQRS])(\d+)([XY]?)")


def parse_mappings(mappings: Sequence[str] | NDArray[np.str_], stride: ArrayLike = 1) -> LoopNest:
    """Reads mapping strings; equal ones are read once.

    >>> nest = parse_mappings(["L1[WIO] K8 Q4 - L0[W] P2 C4X"])
    >>> nest.steps, nest.multipliers
    (array([64.]), array([4.]))

    Args:
        mappings: ``m`` strings; all keep the same operands at the same levels.
        stride: A number or ``(m,)``: the strings do not tell.

    Raises:
        DesignError: A string cannot be read, or keeps something else than the first one.
    """
    texts, back = np.unique(np.asarray(mappings, dtype=np.str_), return_inverse=True)
    read = [_read(str(text)) for text in texts]
    for text, (*_, kept) in zip(texts, read, strict=True):
        if not np.array_equal(kept, read[0][3]):
            raise DesignError(
                f"the mapping {str(text)!r} keeps other operands than {str(texts[0])!r}",
                rule="the rows of a loop nest share one hierarchy",
                cure="read mappings of different hierarchies one by one",
            )
    if not read:
        raise DesignError("there are no mappings to read", rule="at least one mapping string")
    temporal, order, spatial = (np.stack(part)[back] for part in list(zip(*read, strict=True))[:3])
    strides = np.broadcast_to(np.asarray(stride, dtype=np.int64), (len(back),))
    return LoopNest(temporal, order, spatial, strides, read[0][3])


def _read(text: str) -> tuple[Ints, Ints, Ints, Bools]:
    """Temporal factors, order, spatial factors ``(D, 8)`` and kept operands of one string."""
    parts = text.split(" - ")
    depth = len(parts)
    shape = (depth, len(DIMENSIONS))
    temporal, spatial = np.ones(shape, dtype=np.int64), np.ones(shape, dtype=np.int64)
    order, kept = np.zeros(shape, dtype=np.int64), np.zeros((depth, 3), dtype=np.bool_)
    for place, part in enumerate(parts):
        found = _LEVEL.fullmatch(part)
        level = depth - 1 - place
        if found is None or int(found[1]) != level:
            raise DesignError(
                f"the mapping {text!r} cannot be read at {part!r}",
                rule="levels from the outermost to L0, as in 'L1[WIO] K8 Q4 - L0[W] P2 C4X'",
            )
        kept[level] = [operand.letter in found[2] for operand in OPERANDS]
        named: list[int] = []
        for letter, factor, spread in _LOOP.findall(found[3]):
            dimension = DIMENSIONS.index(letter)
            if spread:
                spatial[level, dimension] *= int(factor)
                continue
            if dimension in named:
                raise DesignError(
                    f"the mapping {text!r} has two temporal loops over {letter} at L{level}",
                    rule="one temporal loop per dimension and level",
                )
            temporal[level, dimension] = int(factor)
            named.append(dimension)
        rest = [d for d in range(len(DIMENSIONS)) if d not in named]
        order[level] = rest + named
    return temporal, order, spatial, kept
