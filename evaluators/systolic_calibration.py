"""The systolic array as a template for calibration, and calibrated costs of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import numpy as np

from evaluators import technology as technologies
from evaluators.calibrated import CONSTANTS, ENERGIES, Terms, calibrated
from evaluators.measured_layers import (
    LAYER_COLUMNS,
    SCRATCHPAD_COLUMNS,
    SPEED_COLUMNS,
    layers_of,
    predicted,
)
from evaluators.systolic_costs import FLOWS, LayerCosts, layer_costs
from hwnas.arrays import Floats
from hwnas.errors import ProblemError, nearest
from hwnas.evaluation.calibration import Calibratable, Column, Rows
from hwnas.metrics import Metric


def adjusted(part: LayerCosts, clock: Floats, terms: Terms) -> LayerCosts:
    """The costs of layers after calibration; ``clock`` (Hz) broadcasts against them."""
    found = calibrated(
        terms,
        cycles=part.cycles,
        clock=clock,
        dram_time=part.dram_time,
        latency=part.latency,
        energies={name: getattr(part, f"energy_{name}") for name in ENERGIES},
    )
    return replace(
        part,
        cycles=found.cycles,
        compute_time=found.compute_time,
        dram_time=found.dram_time,
        latency=found.latency,
        **{f"energy_{name}": values for name, values in found.energies.items()},
    )


class SystolicRows(Calibratable):
    """Layers on systolic arrays: cycles with their stalls for DRAM, and energy.

    Args:
        technology: As of the evaluator ``systolic``: what energies are in units of.
        dram: Likewise.
        node_nm: Likewise.
    """

    name = "systolic"
    version = "1"
    columns = (
        *LAYER_COLUMNS,
        Column("rows", "rows of the array"),
        Column("columns", "columns of the array"),
        Column("dataflow", "os, ws or is", text=True),
        *SCRATCHPAD_COLUMNS,
        *SPEED_COLUMNS,
    )
    metrics = (Metric("cycles"), Metric("energy", "J"))
    constants = CONSTANTS

    def __init__(
        self,
        technology: technologies.TableName = "aladdin40",
        dram: technologies.TableName | None = None,
        node_nm: float | None = None,
    ) -> None:
        self.technology = technologies.load(technology, dram, node_nm)

    @classmethod
    def of(cls, technology: technologies.Technology) -> Self:
        """The template with a technology that is loaded already."""
        made = cls()
        made.technology = technology
        return made

    @property
    def settings(self) -> dict[str, str]:
        """The technology that energies are in units of."""
        return {"technology": self.technology.label}

    def counts(self, rows: Rows) -> Mapping[str, Floats]:
        """What the model that is not calibrated says; see `Calibratable.counts`.

        Raises:
            ProblemError: A dataflow is unknown, a size is no whole number, or groups do not divide
                channels.
        """
        table = layers_of(rows)
        flows = sorted(set(np.asarray(rows["dataflow"]).tolist()) - set(FLOWS))
        if flows:
            raise ProblemError(
                f"a systolic array has no dataflow {flows[0]!r}",
                where="column dataflow",
                rule=", ".join(FLOWS),
                cure=nearest(flows[0], FLOWS),
            )
        part = layer_costs(table, rows, self.technology)
        names = ("cycles", "dram_time", "latency", *(f"energy_{name}" for name in ENERGIES))
        return {
            **{name: getattr(part, name) for name in names},
            "clock": np.asarray(rows["clock"], dtype=np.float64),
        }

    def predict(
        self, counts: Mapping[str, Floats], constants: Mapping[str, float]
    ) -> dict[str, Floats]:
        """Cycles with stalls, and energy (J), per row; see `Calibratable.predict`."""
        return predicted(counts, constants)
