"""Calibrating a hardware template from the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from hwnas import plugins
from hwnas.cli.display import plain_console
from hwnas.cli.plugin_options import options_of
from hwnas.errors import ProblemError
from hwnas.evaluation.calibration import Calibration
from hwnas.evaluation.fitting import Fit, calibrate
from hwnas.evaluation.measured_rows import read


@dataclass(frozen=True)
class Wanted:
    """What was asked for; see ``hwnas calibrate --help``."""

    file: Path
    template: str
    to: str
    group_by: tuple[str, ...]
    held_out: float
    seed: int
    columns: Sequence[str]
    units: Sequence[str]
    options: Sequence[str]
    force: bool


def run_calibration(wanted: Wanted, *, as_json: bool) -> None:
    """Fits, prints the errors and writes the table.

    Raises:
        PluginError: There is no such template, or it does not take the options.
        ProblemError: The rows are not in order, or the table is there already.
        UnitError: A unit is missing, unknown, or does not fit.
    """
    plugin = plugins.load("hwnas.calibrations", wanted.template)
    template = plugin(**options_of("hwnas.calibrations", wanted.template, wanted.options))
    target = Path(wanted.to)
    target = target if target.suffix == ".json" else target.with_name(f"{target.name}.json")
    if target.exists() and not wanted.force:
        raise ProblemError(
            f"{target.name!r} is there already",
            where=str(target),
            rule="a calibration is not overwritten unasked",
            cure="choose another name, or add --force",
        )
    measured = read(
        wanted.file,
        template,
        group_by=wanted.group_by,
        columns=_pairs("--column", wanted.columns),
        units=_pairs("--unit", wanted.units),
    )
    table, found = calibrate(
        template,
        measured,
        target.stem,
        by=wanted.group_by,
        seed=wanted.seed,
        share=wanted.held_out,
    )
    table.write(target, force=wanted.force)
    if as_json:
        print(  # noqa: T201
            json.dumps({"file": str(target), **table.to_json()}, indent=1, ensure_ascii=False)
        )
        return
    _show(table, found, target)


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for text, (name, sign, value) in zip(given, pairs, strict=True):
        if not (name and sign and value):
            raise ProblemError(
                f"{option} {text} cannot be read", where=option, rule="NAME=VALUE", given=text
            )
    return {name: value for name, _, value in pairs}


def _show(table: Calibration, found: Fit, target: Path) -> None:
    console = plain_console()
    facts = table.provenance
    errors = Table(
        title=f"{table.template} on {facts['file']}: {facts['rows']} rows, "
        f"{facts['held_out_groups']} of {facts['groups']} groups held out, seed {facts['seed']}",
        title_justify="left",
    )
    for name in ("metric", "rows", "constants"):
        errors.add_column(name)
    for name in ("number", "mean |error|", "median |error|", "rank correlation", "ratio"):
        errors.add_column(name, justify="right")
    for metric, splits in table.errors.items():
        for split, models in splits.items():
            for model in ("uncalibrated", "calibrated"):
                e = models[model]
                errors.add_row(
                    metric,
                    split.replace("_", " "),
                    model,
                    str(e.rows),
                    f"{100 * e.mape:.1f} %",
                    f"{100 * e.median_ape:.1f} %",
                    f"{e.spearman:.4f}",
                    f"{e.ratio:.3f}",
                )
    console.print(errors)
    constants = Table(title="constants", title_justify="left")
    for name in ("name", "value", "standard error", "unit", "what it stands for"):
        constants.add_column(name)
    for name, c in asdict(table)["constants"].items():
        constants.add_row(
            name, f"{c['value']:.4g}", f"{c['standard_error']:.2g}", c["unit"], c["meaning"]
        )
    console.print(constants)
    console.print(f"condition {found.condition:.3g}")
    for warning in found.warnings:
        console.print(f"warning: {warning}")
    console.print(f"{target}: {table.name}, version {table.version}")
