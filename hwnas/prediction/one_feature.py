"""What predictors of one feature have in common: which column it is, and which way it goes."""

from __future__ import annotations

from typing import Literal

from scipy.stats import rankdata

from hwnas.arrays import Floats
from hwnas.errors import ProblemError


def the_feature(X: Floats, column: int | None, predictor: str) -> Floats:
    """The one column that counts, ``(n,)``.

    Args:
        X: Features, ``(n, k)``.
        column: Which; may be left out where there is only one.
        predictor: Whose feature it is, for the message.

    Raises:
        ProblemError: There is no such column, or several and none is named.
    """
    k = X.shape[1]
    if column is None and k > 1:
        raise ProblemError(
            f"{predictor} has one feature",
            where="argument X",
            rule="one column, or the option column says which",
            given=f"{k} columns",
            cure="give it that feature alone, e.g. NN-Degree, or column=0",
        )
    place = column or 0
    if not 0 <= place < k:
        raise ProblemError(
            f"there is no column {place}",
            where="option column",
            rule=f"0 to {k - 1}",
            given=str(place),
        )
    feature: Floats = X[:, place]
    return feature


def rises(g: Floats, y: Floats, given: bool | Literal["auto"]) -> bool:
    """Whether targets grow with the feature: as given, or as their rank correlation says.

    Args:
        g: The feature, ``(n,)``.
        y: Targets, ``(n,)``.
        given: Truth, or ``auto``.

    Raises:
        ProblemError: It is neither.
    """
    if given not in (True, False, "auto"):
        raise ProblemError(
            f"targets cannot rise {given!r}",
            where="option rising",
            rule="true, false or auto",
            given=repr(given),
        )
    if given != "auto":
        return bool(given)
    ranks = rankdata(g), rankdata(y)
    return bool((ranks[0] - ranks[0].mean()) @ (ranks[1] - ranks[1].mean()) >= 0.0)
