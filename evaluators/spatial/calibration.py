"""The spatial array as a template for calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np

from evaluators import technology as technologies
from evaluators.calibrated import CONSTANTS
from evaluators.measured_layers import (
    LAYER_COLUMNS,
    SCRATCHPAD_COLUMNS,
    SPEED_COLUMNS,
    layers_of,
    predicted,
)
from evaluators.sparsity import Sparsity
from evaluators.spatial.mapping_choice import Conventions, Objective
from evaluators.spatial.sums import Batch, costs_of_rows
from evaluators.spatial.totals import Model
from hwnas.arrays import Floats
from hwnas.errors import ProblemError
from hwnas.evaluation.calibration import Calibratable, Calibration, Column, Rows
from hwnas.metrics import Metric

_REGISTERS = ("weight_rf", "input_rf", "output_rf")
_NAMES = ("dataflow", "pe")


class SpatialRows(Calibratable):
    """Layers on spatial arrays: cycles with their stalls for DRAM, and energy.

    Layers are mapped by the model that is not calibrated. Register files count as arithmetic, the
    way between scratchpads and array as scratchpads.

    Args:
        technology: As of the evaluator ``spatial``: what energies are in units of.
        dram: Likewise.
        node_nm: Likewise.
        mapping: Likewise: what layers are mapped for.
        double_buffered: Likewise.
        fills_hidden: Likewise.
        lines_kept: Likewise.
        accumulator_bits: Likewise.
    """

    name = "spatial"
    version = "1"
    columns = (
        *LAYER_COLUMNS,
        Column("rows", "rows of the array"),
        Column("columns", "columns of the array"),
        Column("depth", "third dimension of the array", default=1.0),
        Column("dataflow", "nvdla, shidiannao, row_stationary, or loops as in K|C", text=True),
        Column("pe", "kind of processing elements", default="fixed", text=True),
        *(Column(name, "register file of an element, or 0", "B", zero=True) for name in _REGISTERS),
        *SCRATCHPAD_COLUMNS,
        Column("sram_bandwidth", "what a scratchpad delivers per cycle", "B"),
        *SPEED_COLUMNS,
    )
    metrics = (Metric("cycles"), Metric("energy", "J"))
    constants = CONSTANTS

    def __init__(
        self,
        technology: technologies.TableName = "aladdin40",
        dram: technologies.TableName | None = None,
        node_nm: float | None = None,
        mapping: Literal["energy", "latency", "edp"] = "edp",
        double_buffered: bool = True,
        fills_hidden: bool = True,
        lines_kept: bool = True,
        accumulator_bits: int | None = None,
    ) -> None:
        self.model = Model(
            technology=technologies.load(technology, dram, node_nm),
            how=Conventions(lines_kept=lines_kept, fills_hidden=fills_hidden),
            objective=Objective(mapping),
            zeros=Sparsity(),
            double_buffered=double_buffered,
            accumulator_bits=accumulator_bits,
        )

    @classmethod
    def of(cls, model: Model) -> Self:
        """The template of a model that is made already."""
        made = cls()
        made.model = model
        return made

    @property
    def settings(self) -> dict[str, str]:
        """The technology that energies are in units of, and what decides on cycles."""
        model = self.model
        return {
            "technology": model.technology.label,
            "mapping": model.objective.value,
            "double_buffered": str(model.double_buffered),
            "fills_hidden": str(model.how.fills_hidden),
            "lines_kept": str(model.how.lines_kept),
            "accumulator_bits": str(model.accumulator_bits),
        }

    def refuse_other_cycles(self, table: Calibration, where: str) -> None:
        """Refuses a table that was fitted to other cycles, e.g. those of another mapping.

        Raises:
            ProblemError: It was.
        """
        for name, mine in self.settings.items():
            theirs = table.settings.get(name)
            if name != "technology" and theirs != mine:
                raise ProblemError(
                    f"{table.name!r} calibrates a spatial array with another {name}",
                    where=where,
                    rule=f"{name} {theirs}",
                    given=f"{name} {mine}",
                    cure="take that option, or calibrate with this one",
                )

    def counts(self, rows: Rows) -> Mapping[str, Floats]:
        """What the model that is not calibrated says; see `Calibratable.counts`.

        Raises:
            SpaceError: A dataflow is unknown.
            DesignError: A kind of elements is unknown.
            ProblemError: A size is no whole number, groups do not divide channels, or a layer does
                not fit its array's scratchpads.
        """
        table = layers_of(rows)
        named = {name: np.asarray(rows[name], dtype=np.str_) for name in _NAMES}
        own = np.arange(table.n, dtype=np.int64)
        batch = Batch.of(table, own, {**rows, **named}, self.model)
        costs = costs_of_rows(batch, self.model, table.design)
        unfit = np.flatnonzero(costs.unfit > 0)
        if len(unfit):
            raise ProblemError(
                "a measured layer does not fit the scratchpads of its array",
                where=f"row {int(unfit[0])}, counted from 0",
                rule="the smallest tile of a layer fits "
                + ("half of each scratchpad" if self.model.double_buffered else "the scratchpads"),
                cure="check the sizes and their units, or calibrate with double_buffered=false",
            )
        return {
            "cycles": costs.cycles,
            "dram_time": costs.dram_time,
            "latency": costs.latency,
            "energy_mac": costs.energy_mac + costs.energy_register,
            "energy_sram": costs.energy_noc + costs.energy_sram,
            "energy_dram": costs.energy_dram,
            "energy_leakage": costs.energy_leakage,
            "clock": np.asarray(rows["clock"], dtype=np.float64),
        }

    def predict(
        self, counts: Mapping[str, Floats], constants: Mapping[str, float]
    ) -> dict[str, Floats]:
        """Cycles with stalls, and energy (J), per row; see `Calibratable.predict`."""
        return predicted(counts, constants)
