"""The options of plug-ins, validated: a typed model made from a constructor's signature."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from hwnas import plugins

_GIVEN_BY_US: Final = ("self", "problem", "seed", "budget")
"""Arguments of constructors that are no options."""


def option_model(group: str, name: str) -> type[BaseModel]:
    """The typed model of a plug-in's options.

    Args:
        group: An entry-point group, e.g. ``hwnas.evaluators``.
        name: The plug-in's name.

    Raises:
        PluginError: There is no such plug-in, or an optional package that it needs is missing.
    """
    # Loaded each time: that says what is missing.
    return _option_model(plugins.load(group, name), group, name)


@cache
def _option_model(plugin: Any, group: str, name: str) -> type[BaseModel]:
    seeded = _GIVEN_BY_US if group == "hwnas.searchers" else _GIVEN_BY_US[:1]
    hints = get_type_hints(plugin.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(plugin).parameters.values():
        if parameter.name in seeded or parameter.kind in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        ):
            continue
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints.get(parameter.name, Any), default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    made: type[BaseModel] = create_model(name, __config__=config, **fields)
    return made


def located(
    options: BaseModel, written: dict[str, Any], folder: Path
) -> tuple[BaseModel, dict[str, Any]]:
    """Options whose paths start from a folder, wherever the program runs.

    Args:
        options: Validated options.
        written: The same as they were written.
        folder: Where relative paths start.

    Returns:
        The options, and what changes of how they are written.
    """
    found: dict[str, Any] = {}
    anew: dict[str, Any] = {}
    for name in options.model_fields_set:
        value = getattr(options, name)
        if isinstance(value, Path):
            found[name] = path = (folder / value).resolve()
            anew[name] = str(path)
        elif paths := _paths(value, folder):
            found[name] = replace(value, **paths)
            anew[name] = {**written[name], **{key: str(path) for key, path in paths.items()}}
    return options.model_copy(update=found), anew


def _paths(value: Any, folder: Path) -> dict[str, Path]:
    """The paths in an option that is a data class, starting from the folder."""
    if not is_dataclass(value) or isinstance(value, type):
        return {}
    given = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    return {key: (folder / path).resolve() for key, path in given.items() if isinstance(path, Path)}


def first_sentence(plugin: Any) -> str:
    """The first line of a plug-in's docstring: what lists say about it."""
    return (inspect.getdoc(plugin) or "").strip().splitlines()[0:1][0] if plugin.__doc__ else ""
