"""NN-Mass: how much of a network's possible skip connections exists, times its size.

Cell c has d_c convolutions of w_c channels. Layer i (counted from 0) has P_ci = (i-1) w_c candidate
channels, those of all earlier layers of the cell but its direct predecessor. With b_ci of them
borrowed, the density of the cell is rho_c = sum_i b_ci / sum_i P_ci, and

    m = sum_c rho_c w_c d_c.

Source: Bhardwaj, Li, Marculescu, "How does topology influence gradient propagation and model
performance of deep networks with DenseNet-type skip connections?", CVPR 2021. There, b_ci =
min(t_c, P_ci) concatenated channels. Here everything is read off the layer table, so any family
that numbers its cells has an NN-Mass:

* A convolution's input channels beyond the output channels of the convolution before it in its cell
  are borrowed by concatenation (C_i - w_c).
* The channels of an element-wise addition are borrowed too, each like a concatenated one. This
  counting rule is ours; the paper has concatenations only.
* Where the channels of a cell differ, w_c d_c is the sum of the output channels.
* A density above 1 (a cell whose layers also see the cell's input) counts as 1; a cell that has no
  candidates has density 0. Groups, kernels, strides and resolution do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.design import Designs, LayerTable, Operator
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.metrics import Goal, Measurements, Metric, Reason

_CONVOLUTIONS: Final = tuple(
    int(operator) for operator in (Operator.CONVOLUTION, Operator.SHIFT, Operator.ADDER)
)


@dataclass(frozen=True, eq=False)
class SkipCells:
    """What skip connections do in the cells of a batch of networks; ``z`` cells together.

    Attributes:
        n: Number of networks (one may have no cell).
        design: The cell's network, ``int64 (z,)``, ascending.
        depth: Convolutions of the cell, d_c, ``int64 (z,)``.
        nodes: Output channels of them all together, w_c d_c, ``int64 (z,)``.
        candidates: Channels that could be borrowed, sum_i P_ci, ``int64 (z,)``.
        borrowed: Channels that are, ``int64 (z,)``.
    """

    n: int
    design: Ints
    depth: Ints
    nodes: Ints
    candidates: Ints
    borrowed: Ints

    @classmethod
    def of(cls, table: LayerTable) -> SkipCells:
        """Reads the cells off a layer table; stem and head (cell 0) are left out.

        O(L log L) for ``L`` rows at worst; an addition in a cell without convolutions is left out.
        """
        key = table.design * (int(table.cell.max(initial=0)) + 1) + table.cell
        rows = np.flatnonzero(np.isin(table.operator, _CONVOLUTIONS) & (table.cell > 0))
        # Stable, so the layers of a cell stay in order of execution.
        rows = rows[np.argsort(key[rows], kind="stable")]
        start = np.flatnonzero(np.diff(key[rows], prepend=-1))
        depth = np.diff(start, append=len(rows))
        of_cell = np.repeat(np.arange(len(start)), depth)
        first = np.zeros(len(rows), dtype=np.bool_)
        first[start] = True

        K = table.K[rows]
        so_far = np.cumsum(K) - K
        earlier = so_far - so_far[start][of_cell]
        previous = np.where(first, 0, np.roll(K, 1))
        excess = np.where(first, 0, np.maximum(table.C[rows] - previous, 0))

        def per_cell(values: Ints, cells: Ints) -> Ints:
            return np.bincount(cells, weights=values, minlength=len(start)).astype(np.int64)

        adds = np.flatnonzero((table.operator == int(Operator.ADD)) & (table.cell > 0))
        adds = adds[np.isin(key[adds], key[rows[start]])]
        added = per_cell(table.C[adds], np.searchsorted(key[rows[start]], key[adds]))
        return cls(
            n=table.n,
            design=table.design[rows[start]],
            depth=depth,
            nodes=per_cell(K, of_cell),
            candidates=per_cell(earlier - previous, of_cell),
            borrowed=per_cell(excess, of_cell) + added,
        )

    def summed(self, metrics: tuple[Metric, ...], values: Floats) -> Measurements:
        """Sums one value per cell, ``float64 (z,)``, over the cells of each network.

        A network without a cell is infeasible: a 0 would be an answer to a question it has not.
        """
        total = np.bincount(self.design, weights=values, minlength=self.n).astype(np.float64)
        has_cell = np.bincount(self.design, minlength=self.n) > 0
        return Measurements.of(
            metrics,
            {metrics[0].name: np.where(has_cell, total, np.nan)},
            reason=np.where(has_cell, int(Reason.NONE), int(Reason.INFEASIBLE)),
            notes=["" if has else "the network has no convolution in a cell" for has in has_cell],
        )


class NNMass(Evaluator):
    """NN-Mass of a network with skip connections, without training.

    Metrics: ``nn_mass``, unit 1, larger is better. 0 for networks without skip connections.
    """

    metrics = (Metric("nn_mass", "1", Goal.MAXIMIZE, worst=0.0),)
    reads = frozenset({"net"})
    expense = Expense.FREE

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        cells = SkipCells.of(designs.layers)
        present = np.minimum(cells.borrowed, cells.candidates)
        mass = present * cells.nodes / np.maximum(cells.candidates, 1)
        return cells.summed(self.metrics, mass)
