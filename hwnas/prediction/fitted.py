"""Predictors in directories: what they learnt from, and how, instead of a frozen object.

A pickle runs whatever its writer wanted. So what is kept is a recipe (``predictor.json``) and the
examples (``examples.csv``); whoever uses it fits the predictor anew, which gives the same one, as
every predictor is a function of its examples, its options and its seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from threadpoolctl import threadpool_limits

from hwnas import plugins
from hwnas.arrays import Floats
from hwnas.errors import ProblemError, RunDirectoryError
from hwnas.marked_directory import MarkedDirectory, replace_text
from hwnas.prediction.examples import Encoding, Examples, Feature, Table, read_table
from hwnas.prediction.interface import named
from hwnas.prediction.validation import learn

_FORMAT: Final = 1
_EXAMPLES: Final = "examples.csv"
_PROBES: Final = 20
_SAME: Final = 1e-6
"""What a predictor answers anew may differ by this share of the spread of the targets."""


@dataclass(frozen=True)
class Recipe:
    """What ``predictor.json`` says.

    Attributes:
        predictor: An entry point of ``hwnas.predictors``.
        options: Its options, the seed among them.
        predicts: What it predicts: a column of the examples.
        features: The columns of the examples that are features; name to the texts that it can be,
            none for a number.
        source: Where the examples are from.
        rows: How many there are.
        probes: What it predicted for the first examples when it was made.
        versions: Of the packages that fitted it then.
        format: The version of this layout.
    """

    predictor: str
    options: Mapping[str, Any]
    predicts: str
    features: Mapping[str, Sequence[str]]
    source: str
    rows: int
    probes: Sequence[float]
    versions: Mapping[str, str] = field(default_factory=dict)
    format: int = _FORMAT

    @property
    def encoding(self) -> Encoding:
        """How columns become features."""
        return Encoding(tuple(Feature(n, tuple(t)) for n, t in self.features.items()))


class PredictorDirectory(MarkedDirectory):
    """A directory that holds one predictor.

    Attributes:
        path: The directory.
    """

    holds: ClassVar[str] = "predictor"
    mark_name: ClassVar[str] = "predictor.json"
    renewed_by: ClassVar[str] = "fit it anew: hwnas predict fit SOURCE ... --to DIR --force"

    @property
    def examples_file(self) -> Path:
        """What it learnt from, a CSV file."""
        return self.path / _EXAMPLES

    def recipe(self) -> Recipe:
        """What ``predictor.json`` says.

        Raises:
            RunDirectoryError: There is no predictor, or it is damaged.
        """
        if not self.exists:
            raise RunDirectoryError(
                f"{self.path} holds no predictor",
                rule=f"a directory with a {self.mark_name}",
                given=self.listing(),
                cure="hwnas predict fit SOURCE --predicts METRIC --to DIR makes one",
            )
        return self.read_mark(Recipe)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A predictor that has learnt.

    Attributes:
        recipe: What it was made of.
        model: The fitted predictor.
        drift: The greatest difference between what it predicts now and predicted when it was made,
            as a share of the spread of the targets.
    """

    recipe: Recipe
    model: Any
    drift: float = 0.0

    @property
    def is_same(self) -> bool:
        """Whether it predicts what it predicted when it was made."""
        return self.drift <= _SAME

    def predict(self, table: Table) -> tuple[Floats, Floats]:
        """Predicts for rows of a table.

        Args:
            table: ``n`` rows, with a column per feature.

        Returns:
            Expected values and standard deviations, ``(n,)``; NaN where a feature is missing, or
            a text that no example had.

        Raises:
            ProblemError: A column is missing, or has text where numbers should be.
        """
        X = self.recipe.encoding.matrix(table)
        known = np.isfinite(X).all(axis=1)
        mean, std = np.full(len(X), np.nan), np.full(len(X), np.nan)
        if known.any():
            mean[known], std[known] = self.model.predict(X[known], return_std=True)
        return mean, std


def save(
    path: Path,
    table: Table,
    examples: Examples,
    predictor: str,
    options: Mapping[str, Any],
    *,
    force: bool = False,
) -> Fitted:
    """Fits a predictor, and writes down how.

    Args:
        path: The directory; made if it is not there.
        table: Where the examples are from.
        examples: What it learns from.
        predictor: An entry point of ``hwnas.predictors``.
        options: All its options.
        force: Whether a predictor that is there already is replaced.

    Raises:
        PluginError: There is no such predictor.
        RunDirectoryError: The directory holds something else, or a predictor already.
    """
    directory = PredictorDirectory(path)
    if directory.exists and not force:
        raise RunDirectoryError(
            f"{path} holds a predictor already",
            rule="one is not replaced unasked",
            cure="choose another directory, or add --force",
        )
    model = _fit(predictor, options, examples)
    recipe = Recipe(
        predictor,
        dict(options),
        examples.predicts,
        {feature.name: feature.texts for feature in examples.encoding.features},
        table.name,
        len(examples),
        model.predict(examples.X[:_PROBES]).tolist(),
        _versions(),
    )
    if not directory.exists:
        directory.lay_out()
    with directory.writing():
        replace_text(directory.examples_file, _csv(table, examples))
    directory.write_mark(asdict(recipe))
    return Fitted(recipe, model)


def load(path: Path) -> Fitted:
    """Fits a predictor again from what a directory holds; no code in there is run.

    Args:
        path: The directory.

    Raises:
        RunDirectoryError: There is no predictor, or it is damaged.
        PluginError: Its predictor is not installed.
    """
    directory = PredictorDirectory(path)
    recipe = directory.recipe()
    table = read_table(directory.examples_file)
    X, y = recipe.encoding.matrix(table), table.numbers(recipe.predicts)
    if len(y) != recipe.rows or not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise RunDirectoryError(
            f"{directory.examples_file} is damaged",
            rule=f"{recipe.rows} rows without gaps",
            given=f"{len(y)} rows",
            cure="fit it again",
        )
    examples = Examples(recipe.predicts, X, y, recipe.encoding, np.arange(len(y)), {})
    model = _fit(recipe.predictor, recipe.options, examples)
    off = abs(model.predict(X[:_PROBES]) - np.array(recipe.probes))
    return Fitted(recipe, model, float(off.max() / np.ptp(y)))


def _fit(predictor: str, options: Mapping[str, Any], examples: Examples) -> Any:
    kind = plugins.load("hwnas.predictors", predictor)
    try:
        made = kind(**options)
    except TypeError as error:
        raise ProblemError(
            f"{predictor} does not take these options",
            given=str(error),
            cure="fit it again with this version",
        ) from error
    # Rounding depends on the number of threads.
    with threadpool_limits(1):
        return learn(named(made, examples.encoding.names), examples.X, examples.y)


def _csv(table: Table, examples: Examples) -> str:
    """The columns that count as they were, floats to the last digit."""
    import pandas as pd

    names = [*(feature.name for feature in examples.encoding.features), examples.predicts]
    rows = {name: table.columns[name][examples.rows] for name in names}
    text: str = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    return text


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("hwnas", "numpy", "scikit-learn", "scipy")}
