"""The spatial core in torch, compiled, for large batches: equal to numpy within rounding."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import torch

from evaluators.spatial.costs import spatial_costs
from evaluators.spatial.mapping_choice import Conventions, Objective
from evaluators.spatial.rows import Arrays, Costs, Layers
from evaluators.spatial.stays import Stay
from evaluators.spatial.unrolled import Dataflow

BLOCK: Final = 65_536
"""Pairs at a time: compiled code keeps what is in between in registers, so it may be many."""


@cache
def _compiled(
    dataflow: Dataflow,
    how: Conventions,
    objective: Objective,
    stays: tuple[Stay, ...],
    members: int,
    given: bool,
) -> Callable[[Layers, Arrays], Costs]:
    def costs(g: Layers, a: Arrays) -> Costs:
        return spatial_costs(
            torch,
            g,
            a,
            dataflow,
            how=how,
            objective=objective,
            stays=stays,
            members=members,
            given=given,
        )

    compiled: Callable[[Layers, Arrays], Costs] = torch.compile(costs, dynamic=False)
    return compiled


def compiled_costs(g: Layers, a: Arrays, dataflow: Dataflow, **options: Any) -> Costs:
    """Costs pairs of layer and accelerator as `spatial_costs` does, but compiled.

    The first call of a kind compiles, which takes a minute or two, and a C++ compiler.

    Args:
        g: Layers, ``(u,)`` each, numpy.
        a: Accelerators, ``(u,)`` each, numpy.
        dataflow: Their dataflow.
        **options: As `spatial_costs` has them.

    Returns:
        Costs, ``(u,)`` each, numpy.
    """
    core = _compiled(dataflow, **options)
    n = len(g.G)
    columns = {name: np.empty(n) for name in Costs._fields}
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        # Blocks of one size are compiled once: the last one is filled up with its own first row.
        layers = Layers(*(torch.from_numpy(_filled(column[rows])) for column in g))
        arrays = Arrays(*(torch.from_numpy(_filled(column[rows])) for column in a))
        with torch.no_grad():
            found = core(layers, arrays)
        for name, column in columns.items():
            column[rows] = getattr(found, name).numpy()[: rows.stop - start]
    return Costs(**columns)


def _filled(column: Any) -> Any:
    filled = np.full(BLOCK, column[0], dtype=np.float64)
    filled[: len(column)] = column
    return filled
