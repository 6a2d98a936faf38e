"""The options of a plug-in, given one by one on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from hwnas.errors import PluginError
from hwnas.studyfile.options import option_model


def options_of(group: str, name: str, given: Sequence[str]) -> dict[str, Any]:
    """Reads ``KEY=VALUE`` pairs as the options of a plug-in, values as in YAML.

    Args:
        group: An entry-point group, e.g. ``hwnas.evaluators``.
        name: The plug-in's name.
        given: The pairs.

    Raises:
        PluginError: There is no such plug-in, or it does not take these options.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="safe", pure=True)
    values = {}
    for text in given:
        key, _, value = text.partition("=")
        try:
            values[key] = yaml.load(value)
        except YAMLError as error:
            raise PluginError(
                f"option {key} cannot be read",
                where="--option",
                rule="KEY=VALUE, the value as in YAML",
                given=text,
                cure="quote what begins with a sign: '{\"*bits\": falling}'",
            ) from error
    try:
        model = option_model(group, name).model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise PluginError(
            f"{name} does not take these options",
            where="--option",
            rule=", ".join(option_model(group, name).model_fields) or "it has no options",
            given="; ".join(problems),
        ) from error
    return {key: getattr(model, key) for key in type(model).model_fields}
