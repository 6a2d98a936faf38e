"""SCALE-Sim 3.0.0 as a second opinion on systolic arrays: cycles, SRAM and DRAM counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from evaluators.exports.arrays import array_of
from evaluators.exports.nests import nests_of
from evaluators.exports.scalesim import texts
from evaluators.scalesim_dram import dram_reads
from evaluators.systolic import Systolic
from hwnas.arrays import Floats, Values
from hwnas.design import Design, LayerTable, Operator
from hwnas.errors import DesignError
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.second_opinion import (
    Comparison,
    LayerOpinion,
    Question,
    SecondOpinion,
    Tool,
)

_KIB: Final = 1024
_NO_PRODUCTS: Final = "SCALE-Sim has no layers without products (pooling, additions and the like)"


class ScaleSim(SecondOpinion):
    """SCALE-Sim 3.0.0, a cycle-accurate simulator of systolic arrays, in its mode CALC."""

    name: ClassVar[str] = "scalesim"
    seconds: ClassVar[float] = 900.0
    tool: ClassVar[Tool] = Tool(
        module="scalesim",
        requirements=("scalesim==3.0.0", "numpy<2"),
        variable="HWNAS_SCALESIM_PYTHON",
        script=Path(__file__).parent / "children" / "scalesim_layer.py",
    )
    comparisons: ClassVar[tuple[Comparison, ...]] = (
        Comparison(
            "cycles",
            "1",
            "cycles without stalls, counted from 1",
            "total cycles + 1 for each GEMM, as it counts from 0",
            equal=True,
        ),
        Comparison(
            "sram_reads",
            "1",
            "elements of inputs and weights that the array reads",
            "SRAM reads of IFMAP and filter",
            equal=True,
        ),
        Comparison(
            "dram_rule",
            "1",
            "DRAM reads of inputs and weights by the tool's cache rule (evaluators.scalesim_dram)",
            "DRAM reads of IFMAP and filter",
            equal=True,
        ),
        Comparison(
            "dram_reads",
            "1",
            "DRAM reads of inputs and weights by our closed form, elements",
            "DRAM reads of IFMAP and filter",
        ),
    )
    conventions: ClassVar[tuple[str, ...]] = (
        "SCALE-Sim has no energy, no latency of DRAM in this mode, and words of one byte whatever "
        "the bits: our traffic is compared in elements.",
        "Our closed form keeps an operand in half a scratchpad if it fits; SCALE-Sim empties half "
        "a scratchpad whenever it is full.",
        "Layers without products are in our figures of the study, and not in these sums.",
    )

    def questions(self, design: Design, evaluator: Evaluator) -> Sequence[Question | str]:
        """One group of each row; see `SecondOpinion.questions`.

        Raises:
            DesignError: The evaluator, or the accelerator, is not systolic.
        """
        _systolic(evaluator)
        array = array_of(design, "SCALE-Sim")
        nests, _ = nests_of(design, "SCALE-Sim")
        entries: list[Question | str] = [_NO_PRODUCTS] * len(design.layers)
        for nest in nests:
            alike = replace(nest, name="layer", row=0)
            entries[nest.row] = Question({"files": texts(array, (alike,))}, nest.sizes["G"])
        return entries

    def opinion(self, answer: Mapping[str, Any]) -> LayerOpinion:
        """Words are elements; see `SecondOpinion.opinion`."""
        names = ("sram_ifmap", "sram_filter", "sram_ofmap", "dram_ifmap", "dram_filter")
        traffic = {name: float(answer[name]) for name in (*names, "dram_ofmap")}
        traffic["sram_reads"] = traffic["sram_ifmap"] + traffic["sram_filter"]
        traffic["dram_reads"] = traffic["dram_ifmap"] + traffic["dram_filter"]
        traffic["dram_rule"] = traffic["dram_reads"]
        numbers = {"mapping_efficiency": float(answer["mapping_efficiency"])}
        return LayerOpinion(float(answer["cycles"]) + 1.0, traffic=traffic, numbers=numbers)

    def ours(self, design: Design, evaluator: Evaluator) -> Mapping[str, Floats]:
        """See `SecondOpinion.ours`."""
        costs = _systolic(evaluator).layers(design.batch)
        layers = design.layers
        rule = dram_reads(_without_batches(layers), _whole_kib(design.batch.accelerators))
        inputs = costs.dram_ifmap * 8.0 / layers.activation_bits
        # The second factor of a product of activations is counted at its own bits, too.
        weights = costs.dram_filter * 8.0 / layers.operand_bits
        return {
            "cycles": costs.cycles,
            "sram_reads": costs.sram_ifmap + costs.sram_filter,
            "dram_rule": rule.ifmap + rule.filter,
            "dram_reads": inputs + weights,
        }


def _systolic(evaluator: Evaluator) -> Systolic:
    if not isinstance(evaluator, Systolic):
        raise DesignError(
            "SCALE-Sim has an opinion on the evaluator systolic alone",
            given=evaluator.name,
            cure="ask zigzag",
        )
    return evaluator


def _without_batches(layers: LayerTable) -> LayerTable:
    """Images one below the other, or as groups where each has a second factor of its own."""
    product = layers.operator == int(Operator.MATMUL)
    times = np.where(product, layers.N, 1)
    return replace(
        layers,
        N=np.ones_like(layers.N),
        P=np.where(product, layers.P, layers.P * layers.N),
        K=layers.K * times,
        C=layers.C * times,
        groups=layers.groups * times,
    )


def _whole_kib(accelerators: Mapping[str, Values]) -> dict[str, Values]:
    """Scratchpads as the tool has them, rounded up to KiB."""
    sizes = ("ifmap_sram", "filter_sram", "ofmap_sram")
    return {
        name: -(-values.astype(np.int64) // _KIB) * _KIB if name in sizes else values
        for name, values in accelerators.items()
    }
