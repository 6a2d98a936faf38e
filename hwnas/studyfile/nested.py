"""Plug-ins within the options of other plug-ins, e.g. the rungs of a ladder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from hwnas import plugins
from hwnas.errors import HwnasError, nearest
from hwnas.studyfile.options import located, option_model

_UNKNOWN_KEY: Final = "extra_forbidden"


@dataclass(frozen=True, eq=False)
class Nested:
    """A plug-in that was built from the options of another one.

    Attributes:
        plugin: What was built.
        written: Its name under ``use`` and all its options, as plain JSON values: with these, the
            same is built again.
    """

    plugin: Any
    written: dict[str, Any]


def nested(
    group: str,
    use: str,
    options: dict[str, Any],
    *,
    folder: Path | None = None,
    beside: Iterable[str] = (),
) -> Nested:
    """Builds a plug-in that stands in the options of another one; call it from a validator.

    Args:
        group: An entry-point group, e.g. ``hwnas.evaluators``.
        use: The plug-in's name.
        options: Its options, as they were written.
        folder: Where relative paths start; where the program runs if left out.
        beside: Keys that stand beside the options and belong to the outer plug-in: to be named
            where a key is unknown.

    Raises:
        ValidationError: Options are wrong; pydantic puts the place in front.
        ValueError: There is no such plug-in, or it refuses its options.
    """
    try:
        model = option_model(group, use)
        found = model.model_validate(options, context={"folder": folder})
    except ValidationError as error:
        raise _readable(error, (*model.model_fields, *beside)) from error
    except HwnasError as error:
        raise ValueError(str(error)) from error
    if folder is not None:
        found, _ = located(found, options, folder)
    try:
        plugin = plugins.load(group, use)(**{name: getattr(found, name) for name in _names(found)})
    except HwnasError as error:
        raise ValueError(str(error)) from error
    return Nested(plugin, {"use": use, **found.model_dump(mode="json")})


def _names(options: BaseModel) -> Iterable[str]:
    return type(options).model_fields


def _readable(error: ValidationError, known: tuple[str, ...]) -> ValidationError:
    """The same, with the nearest keys named where one is unknown."""
    lines: list[InitErrorDetails] = []
    for found in error.errors(include_url=False):
        place, given = found["loc"], found["input"]
        if found["type"] == _UNKNOWN_KEY and len(place) == 1:
            text = f"there is no such key; {nearest(str(place[0]), known)}"
        else:
            text = found["msg"].removeprefix("Value error, ")
        # Braces in a text would be read as places to fill in.
        kind = PydanticCustomError("nested", "{text}", {"text": text})
        lines.append(InitErrorDetails(type=kind, loc=place, input=given))
    return ValidationError.from_exception_data(error.title, lines)
