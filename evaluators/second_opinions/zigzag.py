"""ZigZag 3.9.1 as a second opinion: energy and latency of the best temporal mapping it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

import numpy as np

from evaluators.exports.arrays import array_of
from evaluators.exports.nests import nests_of
from evaluators.exports.zigzag import contents, paced
from evaluators.spatial import Spatial
from evaluators.spatial.mapping_choice import Objective
from evaluators.technology import Technology
from hwnas.arrays import Floats
from hwnas.design import Design, Designs
from hwnas.errors import DesignError, PluginError
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.second_opinion import (
    Comparison,
    LayerOpinion,
    Question,
    SecondOpinion,
    Tool,
)

_NO_PRODUCTS: Final = "ZigZag is not asked about layers without products (pooling and the like)"
_PICO: Final = 1e-12
_MINIMIZED: Final = {
    Objective.ENERGY: "energy",
    Objective.LATENCY: "latency",
    Objective.EDP: "EDP",
}


@runtime_checkable
class _Priced(Protocol):
    """An evaluator that costs layers in a technology."""

    technology: Technology

    def layers(self, designs: Designs) -> Any: ...


class ZigZag(SecondOpinion):
    """ZigZag 3.9.1, which searches the temporal mapping of every layer (LOMA, uneven).

    Args:
        minimize: What its mappings minimise; left out, what ours do: that of the option
            ``mapping`` of spatial, otherwise energy.
        lpf_limit: Loop prime factors that it permutes: more find better mappings, and take longer.

    Raises:
        PluginError: ``lpf_limit`` is below 1.
    """

    name: ClassVar[str] = "zigzag"
    seconds: ClassVar[float] = 600.0
    tool: ClassVar[Tool] = Tool(
        module="zigzag",
        requirements=("zigzag-dse==3.9.1", "six", "pyyaml"),
        variable="HWNAS_ZIGZAG_PYTHON",
        script=Path(__file__).parent / "children" / "zigzag_layer.py",
    )
    comparisons: ClassVar[tuple[Comparison, ...]] = (
        Comparison(
            "energy",
            "J",
            "energy of MACs, registers, scratchpads and DRAM, without leakage",
            "total energy, with our technology's energies in its accelerator file",
        ),
        Comparison(
            "cycles",
            "1",
            "latency x clock: the longer of computing and DRAM traffic, layer by layer",
            "latency_total2: computing, stalls, loading before and storing after",
        ),
    )
    conventions: ClassVar[tuple[str, ...]] = (
        "Leakage is in our figures of the study, and neither in ZigZag nor in these.",
        "ZigZag searches loop orders and tilings, ours are fixed by the dataflow (systolic) or the "
        "best of a small family (spatial): it may reuse more, and its search is not exhaustive.",
        "systolic: ZigZag unrolls whole loops along rows and columns, where im2col cuts their "
        "product anywhere; it fills and drains the array once per layer, ours once per fold.",
        "systolic: ZigZag counts reads and writes of the registers of what stays and of sums, ours "
        "what each processing element latches per MAC.",
        "spatial: ZigZag's inputs do not pass from neighbour to neighbour (shidiannao), and no row "
        "of a kernel is worked through within an element (row_stationary), so that inputs, and "
        "sums handed up, move more often there.",
        "spatial: input lines under two tiles are fetched once here, and again there.",
        "Elements that take several cycles per MAC, or do several in one, are ones of one MAC per "
        "cycle there, at as many times the clock; cycles are ours.",
        "ZigZag counts whole words of a port, rounded down: where ports are wide (serial elements: "
        "as many bytes per MAC) and a layer moves little, its energy can come out too small.",
        "Padding counts and scratchpads are double-buffered on both sides.",
        "Layers without products are in our figures of the study, and not in these sums.",
    )

    def __init__(
        self, *, minimize: Literal["energy", "latency", "EDP"] | None = None, lpf_limit: int = 6
    ) -> None:
        if lpf_limit < 1:
            raise PluginError(
                "ZigZag has to permute something",
                where="option lpf_limit",
                rule="at least 1",
                given=repr(lpf_limit),
            )
        self.minimize = minimize
        self.lpf_limit = lpf_limit

    def questions(self, design: Design, evaluator: Evaluator) -> Sequence[Question | str]:
        """One whole row each; see `SecondOpinion.questions`.

        Raises:
            DesignError: The evaluator has no technology, or the accelerator no known template.
        """
        costs = _priced(evaluator).technology
        mapped = evaluator.model.objective if isinstance(evaluator, Spatial) else Objective.ENERGY
        array = array_of(design, "ZigZag")
        nests, _ = nests_of(design, "ZigZag")
        entries: list[Question | str] = [_NO_PRODUCTS] * len(design.layers)
        asked: dict[str, Question] = {}
        for nest in nests:
            alike = replace(nest, name=nest.name.rstrip("0123456789"), row=0)
            if repr(alike) not in asked:
                there, cycles = paced(array, nest, nests)
                request = {
                    "files": contents(there, (alike,), costs, nests),
                    "cycles_per_step": cycles,
                    "minimize": self.minimize or _MINIMIZED[mapped],
                    "lpf_limit": self.lpf_limit,
                }
                asked[repr(alike)] = Question(request, notes=there.bandwidth_note())
            entries[nest.row] = asked[repr(alike)]
        return entries

    def opinion(self, answer: Mapping[str, Any]) -> LayerOpinion:
        """Energies are pJ there; see `SecondOpinion.opinion`."""
        numbers = {name: float(answer[name]) * _PICO for name in ("energy_mac", "energy_memory")}
        cycles = ("ideal_temporal_cycles", "cycles_without_on_and_offload")
        numbers |= {name: float(answer[name]) for name in cycles}
        energy = float(answer["energy"]) * _PICO
        return LayerOpinion(float(answer["cycles"]), energy=energy, numbers=numbers)

    def ours(self, design: Design, evaluator: Evaluator) -> Mapping[str, Floats]:
        """See `SecondOpinion.ours`."""
        costs = _priced(evaluator).layers(design.batch)
        clock = float(design.accelerator["clock"])
        return {
            "energy": np.asarray(costs.energy - costs.energy_leakage),
            "cycles": np.asarray(costs.latency * clock),
        }


def _priced(evaluator: Evaluator) -> _Priced:
    if not isinstance(evaluator, _Priced):
        raise DesignError(
            "ZigZag needs an evaluator whose energies it can take over",
            rule="one that has a technology and costs layers, e.g. systolic",
            given=evaluator.name,
        )
    return evaluator
