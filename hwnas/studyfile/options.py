"""The options of plug-ins, validated: a typed model made from a constructor's signature."""

from __future__ import annotations

import inspect
from functools import cache
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


def first_sentence(plugin: Any) -> str:
    """The first line of a plug-in's docstring: what lists say about it."""
    return (inspect.getdoc(plugin) or "").strip().splitlines()[0:1][0] if plugin.__doc__ else ""
