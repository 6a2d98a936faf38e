"""Options that evaluators which train have in common."""

from __future__ import annotations

import math
from typing import Annotated, Final, TypeVar

from pydantic import Discriminator, InstanceOf, Tag
from pydantic.json_schema import SkipJsonSchema

from evaluators import datasets
from evaluators.dataset_files import DataFiles
from evaluators.datasets import Dataset
from hwnas.errors import ProblemError

_BUILT_IN: Final = "digits"
"""The data set that never changes: it need not be read before it is trained on."""


def _kind(given: object) -> str:
    return {str: "name", Dataset: "arrays"}.get(type(given), "files")


GivenData = Annotated[
    Annotated[str, Tag("name")]
    | Annotated[DataFiles, Tag("files")]
    | Annotated[SkipJsonSchema[InstanceOf[Dataset]], Tag("arrays")],
    Discriminator(_kind),
]
"""A data set by name, as files, or, in Python, as arrays."""


def label(source: str | DataFiles | Dataset) -> str:
    """What a version says of a data set: its name, and a digest of all that may change."""
    if source == _BUILT_IN:
        return _BUILT_IN
    dataset = datasets.load(source)
    return f"{dataset.name}-{dataset.digest}"


_Number = TypeVar("_Number", int, float)


def checked(
    option: str,
    given: _Number,
    *,
    least: float,
    most: float = math.inf,
    excluded: bool = False,
    of: str = "training",
) -> _Number:
    """Returns the value of an option that is a number, unchanged.

    Args:
        option: Its name.
        given: Its value.
        least: The smallest value that is allowed.
        most: The largest.
        excluded: Whether these two are not allowed themselves.
        of: The evaluator, for the message.

    Raises:
        ProblemError: It is out of range, or not finite.
    """
    is_bound = excluded and given in (least, most)
    if not math.isfinite(given) or not least <= given <= most or is_bound:
        rule = f"a finite number {'above' if excluded else 'of at least'} {least:g}"
        raise ProblemError(
            f"{of} cannot have {option} = {given}",
            rule=rule + (f" and below {most:g}" if math.isfinite(most) else ""),
            given=repr(given),
        )
    return given
