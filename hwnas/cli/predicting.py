"""Scoring, fitting and applying predictors from the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table as Printed
from rich.text import Text

from hwnas import plugins
from hwnas.arrays import Floats
from hwnas.cli.display import Display, plain_console
from hwnas.cli.plugin_options import options_of
from hwnas.errors import PluginError, ProblemError, nearest
from hwnas.prediction.examples import Examples, Table, read_table
from hwnas.prediction.fitted import load, save
from hwnas.prediction.validation import LEVELS, Validation, cross_validate, learning_curve

_GROUP: Final = "hwnas.predictors"


@dataclass(frozen=True)
class Source:
    """What is learnt from; see ``hwnas predict score --help``."""

    path: Path
    predicts: str
    features: str | None
    storage: str | None

    def table(self) -> Table:
        """Reads it.

        Raises:
            HwnasError: It is not there, or cannot be read.
        """
        return _read(self.path, self.predicts, self.storage)

    def examples(self, table: Table) -> Examples:
        """What can be learnt from it.

        Raises:
            ProblemError: Columns are missing, or there is too little.
        """
        words = [word.strip() for word in (self.features or "").split(",") if word.strip()]
        return Examples.of(table, self.predicts, words)


def _read(path: Path, predicts: str, storage: str | None) -> Table:
    if not path.is_dir():
        return read_table(path)
    from hwnas.run_table import run_table

    return run_table(path, predicts, storage)


@dataclass(frozen=True)
class Asked:
    """Which predictors are tried, and how; see ``hwnas predict score --help``."""

    predictors: str
    options: Sequence[str]
    folds: int
    seeds: int

    @property
    def names(self) -> list[str]:
        """Their names, each once."""
        return list(dict.fromkeys(n.strip() for n in self.predictors.split(",") if n.strip()))

    def made(self) -> dict[str, Any]:
        """The predictors by name.

        Raises:
            PluginError: There is none of a name, or it does not take the options.
        """
        if self.seeds < 1:
            raise ProblemError(
                "nothing is tried", where="--seeds", rule="at least 1", given=str(self.seeds)
            )
        given = _by_predictor(self.names, self.options)
        return {
            name: plugins.load(_GROUP, name)(**options_of(_GROUP, name, given[name]))
            for name in self.names
        }


def _by_predictor(names: Sequence[str], options: Sequence[str]) -> dict[str, list[str]]:
    """Options for each: ``NAME.KEY=VALUE``, or ``KEY=VALUE`` where there is only one."""
    if not names:
        raise PluginError("no predictor is named", where="--predictor", cure="NAME or A,B,...")
    given: dict[str, list[str]] = {name: [] for name in names}
    for text in options:
        key, _, value = text.partition("=")
        name, dot, rest = key.partition(".")
        if not dot and len(names) == 1:
            name, rest = names[0], key
        if name not in given or not rest:
            raise PluginError(
                f"whose option is {key!r}?",
                where="--option",
                rule="NAME.KEY=VALUE where there are several predictors",
                given=text,
                cure=nearest(name, names),
            )
        given[name].append(f"{rest}={value}")
    return given


def score_predictors(source: Source, asked: Asked, *, as_json: bool, quiet: bool) -> None:
    """Cross-validates, and prints what came of it.

    Raises:
        HwnasError: Something is not in order with the source or the predictors.
    """
    made = asked.made()
    examples = source.examples(source.table())
    found = dict(_validated(examples, made, asked, quiet=quiet))
    if as_json:
        record = {
            "predicts": examples.predicts,
            "samples": len(examples),
            "features": list(examples.encoding.names),
            "left_out": dict(examples.left_out),
            "passed_over": dict(examples.encoding.passed_over),
            "folds": asked.folds,
            "seeds": list(range(asked.seeds)),
            "predictors": {name: _record(validation) for name, validation in found.items()},
        }
        print(json.dumps(record, indent=1, ensure_ascii=False))  # noqa: T201
        return
    console = plain_console()
    console.print(
        f"{examples.predicts} of {source.path}: {len(examples)} samples, "
        f"{examples.X.shape[1]} features, {asked.folds} folds, {asked.seeds} seeds",
        soft_wrap=True,
    )
    console.print(_scores(found))
    for sentence in _remarks(examples):
        console.print(sentence)


def _validated(
    examples: Examples, made: dict[str, Any], asked: Asked, *, quiet: bool
) -> Iterator[tuple[str, Validation]]:
    names = examples.encoding.names
    with Display(plain_console(stderr=True), quiet=quiet) as display:
        for name, predictor in made.items():
            said = f"{name}: {asked.folds} folds, {asked.seeds} seeds"
            display.draw(partial(str, said), partial(Text, said), last=False)
            yield (
                name,
                cross_validate(
                    predictor,
                    examples.X,
                    examples.y,
                    folds=asked.folds,
                    seeds=range(asked.seeds),
                    names=names,
                ),
            )


def _record(validation: Validation) -> dict[str, Any]:
    return {
        "kendall": _spread(validation.kendall()),
        "spearman": _spread(validation.spearman()),
        "rmse": _spread(validation.rmse()),
        "coverage": {f"{level:g}": _spread(validation.coverage(level)) for level in LEVELS},
        "fit_seconds": _spread(validation.seconds.mean(axis=1)),
    }


def _spread(values: Floats) -> dict[str, Any]:
    mean = float(values.mean())
    return {
        "mean": mean if math.isfinite(mean) else None,
        "of_seeds": [v if math.isfinite(v) else None for v in values.tolist()],
    }


def _scores(found: dict[str, Validation]) -> Printed:
    from hwnas.report.prediction_page import with_spread

    table = Printed()
    table.add_column("predictor", no_wrap=True)
    levels = [f"in {100 * level:.0f} %" for level in LEVELS]
    for name in ("Kendall", "Spearman", "RMSE", *levels, "CPU/fit"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, validation in found.items():
        table.add_row(
            name,
            with_spread(validation.kendall()),
            with_spread(validation.spearman().mean(keepdims=True)),
            f"{validation.rmse().mean():.4g}",
            *(f"{100 * validation.coverage(level).mean():.1f} %" for level in LEVELS),
            f"{validation.seconds.mean():.3f} s",
        )
    return table


def _remarks(examples: Examples) -> Iterator[str]:
    """What was left out, one sentence each."""
    if examples.left_out:
        counts = ", ".join(f"{count} {why}" for why, count in examples.left_out.items())
        yield f"rows left out: {counts}"
    for name, why in examples.encoding.passed_over.items():
        yield f"column {name!r} is no feature: {why}"


def write_page(source: Source, asked: Asked, html: Path, *, quiet: bool) -> None:
    """Cross-validates, draws learning curves, and writes the page.

    Raises:
        HwnasError: Something is not in order, or the page cannot be written.
    """
    from hwnas.report.files import write_text
    from hwnas.report.prediction_page import Subject, Tried, page

    made = asked.made()
    examples = source.examples(source.table())
    names, seeds = examples.encoding.names, tuple(range(asked.seeds))
    given = _by_predictor(asked.names, asked.options)
    tried = [
        Tried(
            name,
            ", ".join(given[name]),
            validation,
            learning_curve(made[name], examples.X, examples.y, seeds=seeds, names=names),
        )
        for name, validation in _validated(examples, made, asked, quiet=quiet)
    ]
    subject = Subject(
        str(source.path), examples.predicts, names, asked.folds, seeds, tuple(_remarks(examples))
    )
    write_text(html, page(subject, tried))
    print(html)  # noqa: T201


def fit_predictor(
    source: Source,
    predictor: str,
    given: Sequence[str],
    to: Path,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Fits one, and writes its directory.

    Raises:
        HwnasError: Something is not in order, or the directory cannot be written.
    """
    options = options_of(_GROUP, predictor, given)
    table = source.table()
    examples = source.examples(table)
    fitted = save(to, table, examples, predictor, options, force=force)
    if as_json:
        record = {
            "directory": str(to),
            "predictor": predictor,
            "options": dict(fitted.recipe.options),
            "samples": len(examples),
            "features": list(examples.encoding.names),
            "left_out": dict(examples.left_out),
        }
        print(json.dumps(record, indent=1, ensure_ascii=False))  # noqa: T201
        return
    console = plain_console()
    console.print(
        f"{to}: {predictor} of {examples.predicts}, {len(examples)} samples, "
        f"{examples.X.shape[1]} features"
    )
    for sentence in _remarks(examples):
        console.print(sentence)


def apply_predictor(directory: Path, source: Path, out: Path | None, storage: str | None) -> None:
    """Predicts for the rows of a table, and writes them as CSV.

    Raises:
        HwnasError: There is no predictor, or the table lacks a column.
    """
    import pandas as pd

    fitted = load(directory)
    name = fitted.recipe.predicts
    console = plain_console(stderr=True)
    if not fitted.is_same:
        console.print(
            f"warning: {directory} predicts otherwise than when it was made, by up to "
            f"{100 * fitted.drift:.2g} % of the spread; it was fitted with "
            + ", ".join(f"{n} {v}" for n, v in fitted.recipe.versions.items())
        )
    table = _read(source, name, storage)
    mean, std = fitted.predict(table)
    unknown = int(np.count_nonzero(np.isnan(mean)))
    if unknown:
        console.print(f"{unknown} of {len(mean)} rows lack a feature, and are empty")
    rows = pd.DataFrame({table.row: table.labels, name: mean, f"{name}_std": std})
    text = rows.to_csv(index=False, lineterminator="\n")
    if out is None:
        print(text, end="")  # noqa: T201
        return
    from hwnas.report.files import write_text

    write_text(out, text, "the predictions")
    print(out)  # noqa: T201
