"""Who takes part in a comparison: a searcher with its options, under a label."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from hwnas import plugins
from hwnas.errors import MissingExtraError, PluginError, SearcherError
from hwnas.searchers.interface import Searcher
from hwnas.studyfile.options import option_model

_GROUP: Final = "hwnas.searchers"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 40


@dataclass(frozen=True)
class Entrant:
    """One searcher of a comparison.

    Attributes:
        searcher: A searcher's name (an entry point of ``hwnas.searchers``) or class.
        options: Its options; what is left out has its usual value.
        label: What tables call it; its name and the options given, if left out.
    """

    searcher: str | type[Searcher]
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            given = (f"{key}={value}" for key, value in self.options.items())
            object.__setattr__(self, "label", ":".join([self.name, *given]))

    @property
    def name(self) -> str:
        """The searcher's name."""
        return self.searcher if isinstance(self.searcher, str) else self.searcher.name

    @property
    def folder(self) -> str:
        """A name for its folder, different for different labels."""
        plain = _UNSAFE.sub("-", self.label).strip(".-")[:_LONGEST]
        if plain == self.label:
            return plain
        return f"{plain}-{hashlib.sha256(self.label.encode()).hexdigest()[:6]}"

    @classmethod
    def parse(cls, text: str) -> Entrant:
        """Reads ``NAME`` or ``NAME:KEY=VALUE:KEY=VALUE``; values are YAML.

        Raises:
            PluginError: No name, or an option without a value.
        """
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        name, *pairs = (part.strip() for part in text.split(":"))
        options: dict[str, Any] = {}
        for pair in pairs:
            key, equals, value = pair.partition("=")
            try:
                options[key.strip()] = YAML(typ="safe", pure=True).load(value)
            except YAMLError:
                equals = ""
            if not (equals and key.strip()):
                raise _unreadable(text)
        if not name or "=" in name:
            raise _unreadable(text)
        return cls(name, options, ":".join([name, *pairs]))

    def with_defaults(self, name: str, options: Mapping[str, Any]) -> Entrant:
        """The same with a study's options for the searcher of that name under its own."""
        if self.name != name:
            return self
        return Entrant(self.searcher, {**options, **self.options}, self.label)

    def resolved(self) -> dict[str, Any]:
        """The searcher and its options with every usual value, as a study file has them.

        Options of a class that is no plug-in are as they were given.

        Raises:
            PluginError: There is no such searcher, or it does not take these options.
        """
        if not isinstance(self.searcher, str):
            return {"use": self.name, **self.options}
        try:
            model = option_model(_GROUP, self.searcher)
        except MissingExtraError:
            return {"use": self.name, **self.options}
        try:
            options = model.model_validate(dict(self.options))
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise PluginError(
                f"searcher {self.name!r} does not take these options",
                where=self.label,
                rule=", ".join(model.model_fields) or "it has no options",
                given="; ".join(problems),
            ) from error
        return {"use": self.name, **options.model_dump(mode="json")}


def entrants(given: Sequence[str | type[Searcher] | Entrant]) -> tuple[Entrant, ...]:
    """Makes entrants of names, classes and entrants, and checks that each can be told apart.

    Raises:
        PluginError: A name that cannot be read or that no searcher has.
        SearcherError: Nobody takes part, or two have one label.
    """
    found = tuple(_entrant(one) for one in given)
    if not found:
        raise SearcherError(
            "nobody takes part in the comparison",
            rule="at least one searcher",
            cure="name some, e.g. --searchers nsga2,random",
        )
    labels = [entrant.label for entrant in found]
    for label in labels:
        if labels.count(label) > 1:
            raise SearcherError(
                f"searcher {label!r} takes part twice",
                rule="every label once",
                given=", ".join(labels),
                cure="leave one out, or give them different options",
            )
    for entrant in found:
        if isinstance(entrant.searcher, str) and entrant.searcher not in plugins.available(_GROUP):
            plugins.load(_GROUP, entrant.searcher)  # raises, with the nearest names
    return found


def _entrant(given: str | type[Searcher] | Entrant) -> Entrant:
    if isinstance(given, Entrant):
        return given
    return Entrant.parse(given) if isinstance(given, str) else Entrant(given)


def _unreadable(text: str) -> PluginError:
    return PluginError(
        f"{text!r} names no searcher",
        where="searchers",
        rule="NAME or NAME:KEY=VALUE:KEY=VALUE, one searcher beside the other with commas",
        given=repr(text),
        cure="e.g. nsga2:population=50,random",
    )
