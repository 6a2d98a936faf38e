"""NN-Degree: the average degree of a network's channels, skip connections included.

The nodes of a cell are its w_c d_c channels. Each has w_c links to the next layer, and SC_c skip
connections are shared by the nodes of the cell:

    g = sum_c ( w_c + SC_c / (w_c d_c) ).

**A reconstruction.** Li, Mandal, Ogras, Marculescu, "FLASH: Fast Neural Architecture Search with
Hardware Optimization", ACM TECS 20(5s), 2021, define NN-Degree; we could read the abstract, not the
formula. What speaks for the one above: if SC_c counts links, a deep cell of NN-Mass m_c has degree
w_c + m_c / 2, which is how its predecessor relates degree and NN-Mass (see `evaluators.nn_mass`,
also for what is read off the layer table). So links are what is counted unless asked otherwise.

What follows from the formula: without skip connections depth has no influence, and kernel sizes,
strides, groups, resolution and bit widths never have one. Compare degrees within a family of
networks, not across.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from evaluators.nn_mass import SkipCells
from hwnas.design import Designs
from hwnas.errors import ProblemError, nearest
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.metrics import Goal, Measurements, Metric

Count = Literal["links", "channels"]


class NNDegree(Evaluator):
    """NN-Degree (average channel degree, reconstructed) of a network, without training.

    Metrics: ``nn_degree``, unit 1, larger is better.

    Args:
        count: What SC_c counts: ``links`` (each borrowed channel feeds all w_c channels of its
            layer; an added channel likewise, which is our rule) or borrowed ``channels``.

    Raises:
        ProblemError: Anything else is to be counted.
    """

    metrics = (Metric("nn_degree", "1", Goal.MAXIMIZE, worst=0.0),)
    reads = frozenset({"net"})
    expense = Expense.FREE

    def __init__(self, count: Count = "links") -> None:
        if count not in get_args(Count):
            raise ProblemError(
                f"NN-Degree cannot count {count!r}",
                where="option count",
                rule=" or ".join(get_args(Count)),
                given=repr(count),
                cure=nearest(str(count), get_args(Count)),
            )
        self.count = count
        self.version = f"1-{count}"

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        cells = SkipCells.of(designs.layers)
        width = cells.nodes / cells.depth
        connections = cells.borrowed * (width if self.count == "links" else np.ones_like(width))
        return cells.summed(self.metrics, width + connections / cells.nodes)
