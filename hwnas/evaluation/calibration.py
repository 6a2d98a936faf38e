"""Calibration: the few free constants of a hardware model, fitted to what silicon measured.

A template (`Calibratable`) says which columns measured rows must have, which constants it leaves
open, and how rows and constants give cycles or energy. `hwnas.evaluation.fitting` fits the
constants; a `Calibration` is what comes out: a small JSON table with a name, a version that changes
whenever a number does, where the rows came from, and the errors on rows that were held out.
Evaluators read it (`Calibration.read`).

Templates are plug-ins of the entry points ``hwnas.calibrations``.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from hwnas.arrays import Floats, Values
from hwnas.errors import ProblemError, nearest
from hwnas.metrics import Metric

_FORMAT: Final = "hwnas calibration 1"

Rows = Mapping[str, Values]
"""Measured rows: column name to values at rest, ``(n,)`` each."""


@dataclass(frozen=True)
class Column:
    """A column that measured rows must have.

    Attributes:
        name: Its name in the file's header, before a unit in brackets.
        meaning: What it is, for the message that misses it.
        unit: The unit at rest; ``1`` for counts and ratios.
        default: What stands where the file has no such column; without one it must be there.
        text: Whether it is text.
        shape: Whether it belongs to what tells layers apart: rows are held out by these columns
            where nobody names others.
        aliases: Other names that files in the wild have for it.
        zero: Whether it may be 0.
    """

    name: str
    meaning: str
    unit: str = "1"
    default: float | str | None = None
    text: bool = False
    shape: bool = False
    aliases: tuple[str, ...] = ()
    zero: bool = False


@dataclass(frozen=True)
class Constant:
    """A free constant of a template.

    Attributes:
        name: Its name in tables.
        start: Its value where nothing is calibrated, at rest.
        lower: Its least value.
        upper: Its greatest value.
        unit: Its unit.
        meaning: What it stands for, physically.
        guess: Where the fit starts, if not at ``start``.
    """

    name: str
    start: float
    lower: float
    upper: float
    unit: str
    meaning: str
    guess: float | None = None


class Calibratable(ABC):
    """A template whose constants can be fitted to measured rows.

    Attributes:
        name: The name that its tables carry.
        version: Changes whenever the same constants would predict something else.
        columns: The columns that rows must have, what was measured aside.
        metrics: What it predicts; rows must have measured at least one of them.
        constants: Its free constants.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    columns: ClassVar[tuple[Column, ...]]
    metrics: ClassVar[tuple[Metric, ...]]
    constants: ClassVar[tuple[Constant, ...]]

    @property
    def settings(self) -> dict[str, str]:
        """Options that fitted energies depend on, e.g. the technology they are in units of."""
        return {}

    def counts(self, rows: Rows) -> Mapping[str, Floats]:
        """What of the rows does not depend on constants, computed once per fit.

        Args:
            rows: One column per `columns`, ``(n,)`` each, at rest; others are passed over.

        Returns:
            Whatever `predict` reads, ``float64 (n,)`` each.

        Raises:
            ProblemError: A row cannot be what it says.
        """
        return {
            column.name: np.asarray(rows[column.name], dtype=np.float64)
            for column in self.columns
            if not column.text
        }

    @abstractmethod
    def predict(
        self, counts: Mapping[str, Floats], constants: Mapping[str, float]
    ) -> dict[str, Floats]:
        """Predicts all rows at once.

        Args:
            counts: What `counts` returned, ``n`` rows.
            constants: A value per constant, within its bounds.

        Returns:
            Metric name to positive values at rest, ``(n,)`` each.
        """

    @classmethod
    def starts(cls) -> dict[str, float]:
        """The constants of the template that is not calibrated."""
        return {constant.name: constant.start for constant in cls.constants}


@dataclass(frozen=True)
class Errors:
    """How far predictions are from measurements, over some rows.

    Attributes:
        rows: Rows.
        groups: Groups of rows.
        mape: Mean of |predicted / measured - 1|.
        median_ape: Its median.
        spearman: Rank correlation; NaN where a side does not vary.
        ratio: Geometric mean of predicted / measured.
    """

    rows: int
    groups: int
    mape: float
    median_ape: float
    spearman: float
    ratio: float


@dataclass(frozen=True)
class Fitted:
    """A constant after the fit.

    Attributes:
        value: At rest, in the constant's unit.
        standard_error: Of the value, rows taken as independent; NaN where it was not fitted.
        unit: Its unit.
        meaning: What it stands for.
        warning: What is wrong with it, or nothing: at a bound, or not told by the rows.
    """

    value: float
    standard_error: float
    unit: str
    meaning: str
    warning: str = ""


@dataclass(frozen=True)
class Calibration:
    """A named, versioned table of fitted constants.

    Attributes:
        name: What it stands for, e.g. a chip.
        template: The template's name.
        template_version: The template's version at the time.
        constants: By name.
        errors: Metric to split (``train``, ``held_out``) to model (``calibrated``,
            ``uncalibrated``) to errors.
        settings: `Calibratable.settings` of the template.
        provenance: The file's name and SHA-256, its rows, how they were split, the seed.
    """

    name: str
    template: str
    template_version: str
    constants: Mapping[str, Fitted]
    errors: Mapping[str, Mapping[str, Mapping[str, Errors]]]
    settings: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """A hash of all that is in it: equal tables have equal versions."""
        text = json.dumps(self._contents(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def values(self) -> dict[str, float]:
        """The constants' values."""
        return {name: fitted.value for name, fitted in self.constants.items()}

    def to_json(self) -> dict[str, Any]:
        """The table as JSON values; NaN becomes null."""
        return {"format": _FORMAT, "version": self.version, **self._contents()}

    def write(self, path: Path, *, force: bool = False) -> None:
        """Writes the table.

        Raises:
            ProblemError: There is such a file already (and no force), or it cannot be written.
        """
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"
        try:
            with path.open("w" if force else "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise ProblemError(
                f"{path.name!r} is there already",
                where=str(path),
                rule="a calibration is not overwritten unasked",
                cure="choose another name, or add --force",
            ) from error
        except OSError as error:
            raise ProblemError(
                f"{path.name!r} cannot be written", where=str(path), given=str(error)
            ) from error

    @classmethod
    def read(cls, path: Path, template: Calibratable) -> Self:
        """Reads a table for a template.

        Args:
            path: The file.
            template: The template that the evaluator is.

        Raises:
            ProblemError: There is no such file, it is no calibration, it is for another template,
                version or technology, a constant is missing or out of bounds, or it was changed by
                hand.
        """
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ProblemError(
                f"the calibration {path.name!r} cannot be read",
                where=str(path),
                rule="a file that hwnas calibrate wrote",
                given=f"{type(error).__name__}: {error}",
                cure="mend the path, or run hwnas calibrate",
            ) from error
        if not isinstance(given, dict) or given.get("format") != _FORMAT:
            raise ProblemError(
                f"{path.name!r} is no calibration",
                where=str(path),
                rule=f'"format": "{_FORMAT}"',
                cure="run hwnas calibrate",
            )
        made = (given.get("template"), given.get("template_version"))
        if made != (template.name, template.version):
            raise ProblemError(
                f"{path.name!r} calibrates something else",
                where=str(path),
                rule=f"template {template.name}, version {template.version}",
                given=f"template {made[0]}, version {made[1]}",
                cure="run hwnas calibrate with this template",
            )
        try:
            table = cls._from(given)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProblemError(
                f"the calibration {path.name!r} is damaged",
                where=str(path),
                given=f"{type(error).__name__}: {error}",
                cure="run hwnas calibrate again",
            ) from error
        table._check(path, template)
        if given.get("version") != table.version:
            raise ProblemError(
                f"the calibration {path.name!r} was changed by hand",
                where=f"{path}, key version",
                rule="a version is a hash of the contents, so that results can be told apart",
                given=str(given.get("version")),
                cure=f"put {table.version} there if the change was meant",
            )
        return table

    @classmethod
    def _from(cls, given: Mapping[str, Any]) -> Self:
        constants = {
            name: Fitted(**{**entry, "standard_error": _number(entry["standard_error"])})
            for name, entry in given["constants"].items()
        }
        errors = {
            metric: {
                split: {
                    model: Errors(**{k: _number(v) for k, v in found.items()})
                    for model, found in models.items()
                }
                for split, models in splits.items()
            }
            for metric, splits in given["errors"].items()
        }
        return cls(
            given["name"],
            given["template"],
            given["template_version"],
            constants,
            errors,
            given["settings"],
            given["provenance"],
        )

    def _check(self, path: Path, template: Calibratable) -> None:
        if "energy" in self.errors and dict(self.settings) != template.settings:
            raise ProblemError(
                f"{path.name!r} calibrates energies of another technology",
                where=str(path),
                rule=", ".join(f"{k} {v}" for k, v in self.settings.items()),
                given=", ".join(f"{k} {v}" for k, v in template.settings.items()),
                cure="use that technology, or calibrate for this one",
            )
        for constant in template.constants:
            if constant.name not in self.constants:
                raise ProblemError(
                    f"the calibration {path.name!r} has no constant {constant.name!r}",
                    where=str(path),
                    rule="the constants " + ", ".join(template.starts()),
                    given=", ".join(self.constants),
                    cure=nearest(constant.name, self.constants),
                )
            value = self.constants[constant.name].value
            if not constant.lower <= value <= constant.upper:
                raise ProblemError(
                    f"the constant {constant.name!r} of {path.name!r} is out of bounds",
                    where=str(path),
                    rule=f"{constant.lower:g} to {constant.upper:g} {constant.unit}",
                    given=repr(value),
                )

    def _contents(self) -> dict[str, Any]:
        contents = _plain(
            {
                "name": self.name,
                "template": self.template,
                "template_version": self.template_version,
                "constants": {name: asdict(fitted) for name, fitted in self.constants.items()},
                "errors": {
                    metric: {
                        split: {model: asdict(found) for model, found in models.items()}
                        for split, models in splits.items()
                    }
                    for metric, splits in self.errors.items()
                },
                "settings": dict(self.settings),
                "provenance": dict(self.provenance),
            }
        )
        assert isinstance(contents, dict)
        return contents


def _plain(value: Any) -> Any:
    """JSON values; numbers to 10 digits, so that a version survives being written and read."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return float(f"{value:.10g}") if np.isfinite(value) else None
    return value


def _number(value: Any) -> Any:
    return float("nan") if value is None else value
