"""Fits the constants of a template to measured rows, and says how well on rows it has not seen.

The residual of a row is the logarithm of predicted / measured, so that small and large layers
count alike, under a soft L1 loss, so that a few strange rows do not bend the rest; bounded least
squares (trust region reflective; Branch, Coleman and Li 1999, in SciPy) from a few starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.errors import ProblemError
from hwnas.evaluation.calibration import Calibratable, Calibration, Errors, Fitted, Rows
from hwnas.evaluation.measured_rows import Measured

_SOFT: Final = 0.15
"""Beyond this residual (about 15 %), rows count linearly."""
_STARTS: Final = 3
_FEWEST_GROUPS: Final = 4
_UNSURE: Final = 0.5
"""A standard error beyond this share of the value: the rows do not tell the constant."""
_TINY: Final = 1e-300


@dataclass(frozen=True)
class Split:
    """Which rows are fitted; groups are never split.

    Attributes:
        train: ``bool (n,)``; the others are held out.
        group: The row's group, ``int64 (n,)``.
    """

    train: Bools
    group: Ints


@dataclass(frozen=True)
class Fit:
    """What came of a fit.

    Attributes:
        constants: By name.
        condition: Condition number of the Jacobian with columns of unit length: far beyond 1e3,
            constants can stand in for each other.
        errors: As `hwnas.evaluation.calibration.Calibration.errors`.
        warnings: What a person should know.
    """

    constants: dict[str, Fitted]
    condition: float
    errors: dict[str, dict[str, dict[str, Errors]]]
    warnings: tuple[str, ...]

    @property
    def values(self) -> dict[str, float]:
        """The constants' values."""
        return {name: fitted.value for name, fitted in self.constants.items()}


def hold_out(rows: Rows, by: tuple[str, ...], seed: int, share: float = 0.5) -> Split:
    """Holds out a share of the groups, drawn at random.

    Args:
        rows: ``n`` measured rows.
        by: Columns; rows that agree in all of them are one group.
        seed: Which groups.
        share: Of the groups that are held out, in (0, 1).

    Raises:
        ProblemError: There are fewer than four groups, or the share is not in (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise ProblemError(
            "that share of the groups cannot be held out",
            where="--held-out",
            rule="between 0 and 1, e.g. 0.5",
            given=repr(share),
        )
    # The codes of each column, so that text and numbers stand side by side.
    codes = [np.unique(rows[name], return_inverse=True)[1].reshape(-1) for name in by]
    group = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    n = int(group.max()) + 1 if len(group) else 0
    if n < _FEWEST_GROUPS:
        raise ProblemError(
            f"{n} groups are too few to fit some and hold out others",
            where=f"groups by {', '.join(by)}",
            rule=f"at least {_FEWEST_GROUPS} groups",
            given=f"{len(group)} rows",
            cure="measure more, or group by a finer column with --group-by",
        )
    held = min(max(1, round(share * n)), n - 1)
    out = np.random.default_rng([seed, 0]).permutation(n)[:held]
    return Split(~np.isin(group, out), group)


def calibrate(
    template: Calibratable,
    measured: Measured,
    name: str,
    *,
    by: tuple[str, ...] = (),
    seed: int = 0,
    share: float = 0.5,
) -> tuple[Calibration, Fit]:
    """Fits a template to a file of measured rows.

    Args:
        template: What is fitted.
        measured: From `hwnas.evaluation.measured_rows.read`.
        name: What the table is of, e.g. a chip.
        by: Columns that rows are held out by; the shape of the layer if left out.
        seed: Which groups are held out, and where the fit starts.
        share: Of the groups that are held out.

    Returns:
        The table, and the fit with its warnings.

    Raises:
        ProblemError: See `hold_out` and `fit`.
    """
    by = by or tuple(column.name for column in template.columns if column.shape)
    split = hold_out(measured.rows, by, seed, share)
    found = fit(template, measured.rows, measured.values, split, seed)
    provenance = {
        "file": measured.path.name,
        "sha256": measured.sha256,
        "rows": len(measured),
        "groups": int(split.group.max()) + 1,
        "grouped_by": list(by),
        "held_out_groups": len(np.unique(split.group[~split.train])),
        "seed": seed,
        "condition": found.condition,
    }
    table = Calibration(
        name,
        template.name,
        template.version,
        found.constants,
        found.errors,
        template.settings,
        provenance,
    )
    return table, found


def errors_of(predicted: Floats, measured: Floats, group: Ints) -> Errors:
    """Errors over rows, ``(n,)`` each."""
    ratio = predicted / measured
    off = np.abs(ratio - 1.0)
    return Errors(
        rows=len(measured),
        groups=len(np.unique(group)),
        mape=float(off.mean()),
        median_ape=float(np.median(off)),
        spearman=_spearman(predicted, measured),
        ratio=float(np.exp(np.log(np.maximum(ratio, _TINY)).mean())),
    )


def fit(
    template: Calibratable, rows: Rows, measured: Mapping[str, Floats], split: Split, seed: int
) -> Fit:
    """Fits a template's constants to the rows that are not held out.

    Args:
        template: What is fitted.
        rows: Its columns, ``n`` rows.
        measured: Metric to positive values at rest, ``(n,)``; one or more of the template's.
        split: From `hold_out`.
        seed: Of the starts beside the first.

    Raises:
        ProblemError: There are fewer rows than constants that the rows can tell.
    """
    counts = template.counts(rows)
    inside = {name: np.asarray(column)[split.train] for name, column in counts.items()}
    truth = {name: np.log(values[split.train]) for name, values in measured.items()}
    solution = _solve(template, inside, truth, seed)
    constants, condition, warnings = _judged(template, solution)
    values = {name: fitted.value for name, fitted in constants.items()}
    models = {
        "calibrated": template.predict(counts, values),
        "uncalibrated": template.predict(counts, template.starts()),
    }
    splits = {"train": split.train, "held_out": ~split.train}
    errors = {
        metric: {
            name: {
                model: errors_of(found[metric][some], truly[some], split.group[some])
                for model, found in models.items()
            }
            for name, some in splits.items()
        }
        for metric, truly in measured.items()
    }
    return Fit(constants, condition, errors, tuple(warnings))


@dataclass(frozen=True)
class _Solution:
    values: Floats
    free: Bools
    jacobian: Floats
    residuals: Floats


def _solve(
    template: Calibratable, counts: Mapping[str, Floats], truth: Mapping[str, Floats], seed: int
) -> _Solution:
    """Bounded least squares over the constants that change anything, each in its own size."""
    from scipy.optimize import least_squares

    names = [constant.name for constant in template.constants]
    start, lower, upper = (
        np.array([getattr(constant, what) for constant in template.constants])
        for what in ("start", "lower", "upper")
    )
    guess = np.array([c.start if c.guess is None else c.guess for c in template.constants])
    size = np.where(guess != 0.0, np.abs(guess), 1e-3 * (upper - lower))
    low, high = lower / size, upper / size

    def residuals(sizes: Floats) -> Floats:
        values = np.clip(sizes * size, lower, upper)
        found = template.predict(counts, dict(zip(names, values.tolist(), strict=True)))
        return np.concatenate(
            [np.log(np.maximum(found[name], _TINY)) - truly for name, truly in truth.items()]
        )

    generator = np.random.default_rng([seed, 1])
    inside = np.clip(guess / size, low + 1e-6, high - 1e-6)
    free = _felt(residuals, inside, low, high)
    _check_enough([name for name, on in zip(names, free, strict=True) if on], residuals(inside))

    def whole(some: Floats) -> Floats:
        sizes: Floats = start / size
        sizes[free] = some
        return sizes

    best: Any = None
    for attempt in range(_STARTS):
        factor = np.exp(generator.normal(0.0, 0.7, len(start))) if attempt else 1.0
        begin = np.clip(inside * factor, low + 1e-6, high - 1e-6)
        found = least_squares(
            lambda some: residuals(whole(some)),
            begin[free],
            bounds=(low[free], high[free]),
            loss="soft_l1",
            f_scale=_SOFT,
            max_nfev=400,
        )
        if best is None or found.cost < best.cost * (1.0 - 1e-9):
            best = found
    values = np.where(free, np.clip(whole(best.x) * size, lower, upper), start)
    return _Solution(values, free, best.jac / size[free], best.fun)


def _check_enough(names: list[str], residuals: Floats) -> None:
    if len(names) > len(residuals):
        raise ProblemError(
            "there are fewer measured rows than constants to fit",
            rule=f"{len(names)} constants: {', '.join(names)}",
            given=f"{len(residuals)} measurements that are not held out",
            cure="measure more rows",
        )


def _felt(residuals: Any, at: Floats, low: Floats, high: Floats) -> Bools:
    """Which constants change any prediction when they move."""
    here = residuals(at)
    felt = np.zeros(len(at), dtype=np.bool_)
    for place in range(len(at)):
        for step in (0.5, -0.5):
            moved = at.copy()
            moved[place] = np.clip(at[place] + step, low[place], high[place])
            felt[place] |= bool(np.abs(residuals(moved) - here).max(initial=0.0) > 1e-12)
    return felt


def _judged(
    template: Calibratable, solution: _Solution
) -> tuple[dict[str, Fitted], float, list[str]]:
    """Values with their standard errors, and what is wrong with them."""
    place = np.cumsum(solution.free) - 1
    at_bound = np.array(
        [
            bool(solution.free[i])
            and min(value - constant.lower, constant.upper - value)
            <= 1e-4 * max(abs(value), abs(constant.start), _TINY)
            for i, (constant, value) in enumerate(
                zip(template.constants, solution.values, strict=True)
            )
        ],
        dtype=np.bool_,
    )
    inner = (solution.free & ~at_bound)[solution.free]
    jacobian = solution.jacobian[:, inner]
    error = np.full(len(inner), np.nan)
    condition = float("nan")
    if inner.any():
        length = np.maximum(np.linalg.norm(jacobian, axis=0), _TINY)
        singular = np.linalg.svd(jacobian / length, compute_uv=False)
        condition = float(singular[0] / max(singular[-1], _TINY))
        # The Jacobian's rows are weighted by the loss already, so weigh the residuals, too.
        weight = 1.0 / np.sqrt(1.0 + (solution.residuals / _SOFT) ** 2)
        spare = max(1, len(solution.residuals) - int(inner.sum()))
        variance = float((weight * solution.residuals**2).sum()) / spare
        inverse = np.linalg.pinv((jacobian / length).T @ (jacobian / length))
        error[inner] = np.sqrt(variance * np.diag(inverse)) / length
    constants, warnings = {}, []
    for i, (constant, value) in enumerate(zip(template.constants, solution.values, strict=True)):
        own = float(error[place[i]]) if solution.free[i] else float("nan")
        warning = ""
        if not solution.free[i]:
            warning = "not fitted: no measured row depends on it"
        elif at_bound[i]:
            near_lower = value - constant.lower < constant.upper - value
            bound = constant.lower if near_lower else constant.upper
            warning = f"at its bound {bound:g}"
        elif own > _UNSURE * max(abs(value), _TINY):
            warning = "the rows hardly tell it: its standard error is over half its value"
        if warning:
            warnings.append(f"{constant.name}: {warning}")
        constants[constant.name] = Fitted(
            float(value), own, constant.unit, constant.meaning, warning
        )
    return constants, condition, warnings


def _spearman(a: Floats, b: Floats) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(a), rankdata(b)
    if len(a) < 2 or any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
