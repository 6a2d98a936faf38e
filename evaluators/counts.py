"""Sizes of a network: weights, multiply-accumulates, bit operations.

Counted are convolutions, fully connected layers, products of activations (attention; no weights)
and embeddings (no MACs), dense: biases, normalisation, pooling and element-wise work are left out,
and weights that are zero are counted. Shift and adder layers have weights, but no MACs. All of them
are sums over layers, so where the genes of a layer or a cell change nothing elsewhere, they are
sums over genes (`terms`). They read ``train`` because its genes may choose the image size.

Layers without influence on the output are counted where the family has rows for them: those of
``nas_bench_201`` unless it is told ``drop_dead_edges: true``. Without them, sizes rank its networks
by accuracy far better (README, Results).
"""

from __future__ import annotations

from hwnas.design import Designs
from hwnas.evaluation.additive import Terms, tables_by_probing
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.metrics import Measurements, Metric
from hwnas.space import Space


class _Count(Evaluator):
    """A sum over layers."""

    expense = Expense.FREE

    def terms(self, space: Space) -> Terms:
        """The count as a sum over groups of genes; see `hwnas.evaluation.additive.Additive`."""
        return tables_by_probing(self, space)


class Params(_Count):
    """Number of weights, without biases and normalisation: sum of K C/groups R S.

    Metrics: ``params``, unit 1, smaller is better.
    """

    metrics = (Metric("params", "1", best=0.0),)
    reads = frozenset({"net", "train"})

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        layers = designs.layers
        return Measurements.of(self.metrics, {"params": layers.total(layers.weights)})


class Macs(_Count):
    """Multiply-accumulates of one inference: sum of N K C/groups P Q R S (FLOPs are twice that).

    Metrics: ``macs``, unit 1, smaller is better.
    """

    metrics = (Metric("macs", "1", best=0.0),)
    reads = frozenset({"net", "train"})

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        layers = designs.layers
        return Measurements.of(self.metrics, {"macs": layers.total(layers.macs)})


class BitOps(_Count):
    """Bit operations of one inference: sum of MACs x weight bits x activation bits.

    Where two activations are multiplied, the activation bits count twice.

    Metrics: ``bitops``, unit 1, smaller is better.
    """

    metrics = (Metric("bitops", "1", best=0.0),)
    reads = frozenset({"net", "quant", "train"})

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        layers = designs.layers
        bits = layers.macs * layers.operand_bits * layers.activation_bits
        return Measurements.of(self.metrics, {"bitops": layers.total(bits)})
