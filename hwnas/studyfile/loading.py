"""Study files: from YAML to a plan that can be run, with every mistake found at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from hwnas import plugins
from hwnas.budget import Budget
from hwnas.errors import HwnasError, ProblemError, StudyFileError, nearest
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.safety import safely
from hwnas.problem import Problem
from hwnas.searchers.choice import check_certifies, usual
from hwnas.space import Space
from hwnas.studyfile.document import Document, Path_, read
from hwnas.studyfile.model import (
    EVALUATORS,
    GAIN,
    GROWABLE,
    PREDICTORS,
    SEARCHERS,
    SPACES,
    Plugin,
    StudyModel,
)
from hwnas.studyfile.options import located, option_model
from hwnas.studyfile.predicted import check_features, predicted_evaluator
from hwnas.units import parse_quantity
from hwnas.yardstick import references

_UNKNOWN_KEY = "extra_forbidden"


@dataclass(frozen=True)
class Plan:
    """A study file that was found to be in order.

    Attributes:
        model: The study, with all defaults.
        resolved: The same as plain values, the plug-ins' options filled in too.
        problem: What is searched.
    """

    model: StudyModel
    resolved: dict[str, Any]
    problem: Problem

    @property
    def budget(self) -> Budget:
        """The budget."""
        model = self.model.budget
        return Budget(model.evaluations, model.time, model.stop_when_gain_below)

    @cached_property
    def reference(self) -> dict[str, float]:
        """Objective to a reference value, at rest."""
        units = {name: metric.unit for name, metric in self.problem.metrics.items()}
        return {
            name: parse_quantity(value, units.get(name, "1"))
            for name, value in self.model.reference.items()
        }

    @property
    def searcher(self) -> str:
        """The searcher's name, also where the file names none."""
        name: str = self.resolved["searcher"]["use"]
        return name

    @property
    def searcher_options(self) -> dict[str, Any]:
        """The options that the file gives to the searcher."""
        return self.model.searcher.options if self.model.searcher else {}

    @property
    def fixed(self) -> dict[str, Any]:
        """What may not change when the study goes on."""
        return {key: value for key, value in self.resolved.items() if key not in GROWABLE}


def load(file: Path, changes: dict[str, Any] | None = None) -> Plan:
    """Reads a study file.

    Args:
        file: The YAML file.
        changes: Top-level values that replace the file's, e.g. from the command line.

    Raises:
        StudyFileError: With every problem found, each with file and line, rule and cure.
    """
    document = read(file)
    if not isinstance(document.values, dict):
        raise StudyFileError(
            f"{file.name} is no study file",
            [f"{file}:1: a study file is a mapping of keys such as name, space, evaluators"],
            where=str(file),
        )
    values = _changed(document.values, changes or {})
    reader = _Reader(document)
    try:
        model = StudyModel.model_validate(values)
    except ValidationError as error:
        reader.add_all(error, StudyModel)
        reader.check_plugins(values)
        raise reader.error() from error
    folder = document.file.parent
    known = [(folder / path).resolve() for path in model.warm_start]
    model = model.model_copy(update={"warm_start": known})
    resolved = model.model_dump(mode="json")
    if not known:
        del resolved["warm_start"]  # as in runs of versions that knew no warm start
    spaces = [reader.options(SPACES, p, "space", i) for i, p in enumerate(model.space)]
    evaluators = [
        reader.options(EVALUATORS, p, "evaluators", i) for i, p in enumerate(model.evaluators)
    ]
    named = model.searcher
    searcher = reader.options(SEARCHERS, named, "searcher") if named else None
    if model.surrogate is not None:
        chosen = model.surrogate.predictor
        predictor = reader.options(PREDICTORS, chosen, "surrogate", "predictor")
        resolved["surrogate"]["predictor"] = _dumped(chosen, predictor)
    reader.raise_if_any()
    resolved["space"] = [_dumped(p, o) for p, o in zip(model.space, spaces, strict=True)]
    resolved["evaluators"] = [
        _dumped(p, o) for p, o in zip(model.evaluators, evaluators, strict=True)
    ]
    problem = _Builder(reader, model).problem(spaces, evaluators)
    if named is None:
        named = Plugin(use=usual(problem.space, _measuring(model, problem)))
        searcher = reader.options(SEARCHERS, named, "searcher")
    resolved["searcher"] = _dumped(named, searcher)
    plan = Plan(model, resolved, problem)
    if model.surrogate is not None:
        section = model.surrogate
        reader.attempt(("surrogate", "predicts"), lambda: predicted_evaluator(section, problem))
        reader.attempt(("surrogate", "features"), lambda: check_features(section, problem))
    reader.attempt(("reference",), lambda: references(problem, plan.reference))
    reader.attempt(("budget", GAIN), lambda: _check_gain(plan))
    reader.attempt(("warm_start",), lambda: _check_warm_start(model))
    reader.raise_if_any()
    return plan


def _changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The values of a file with some replaced; of the budget, only what was given anew.

    Who gives evaluations anew gives them time too: the old limit would be reached already.
    """
    before, budget = values.get("budget"), changes.get("budget")
    if isinstance(before, int):
        before = {"evaluations": before}
    if isinstance(before, dict) and isinstance(budget, dict):
        kept = {k: v for k, v in before.items() if k != "time" or "evaluations" not in budget}
        changes = {**changes, "budget": {**kept, **budget}}
    return {**values, **changes}


def _measuring(model: StudyModel, problem: Problem) -> list[Evaluator]:
    """Who measures while the searcher searches: with a predictor, not the one it stands in for."""
    predicted = model.surrogate.predicts if model.surrogate else None
    return [e for e in problem.evaluators if all(m.name != predicted for m in e.metrics)]


def _check_gain(plan: Plan) -> None:
    if plan.budget.gain is None:
        return
    if plan.model.surrogate is not None:
        raise ProblemError(
            "a study with a predictor cannot end by what is left to be gained",
            rule="evaluations, of which it plans each",
            cure=f"leave out {GAIN}",
        )
    check_certifies(plugins.load(SEARCHERS, plan.searcher), plan.budget)


def _check_warm_start(model: StudyModel) -> None:
    if model.warm_start and model.surrogate is not None:
        raise ProblemError(
            "a study with a predictor cannot begin with known rows",
            rule="it fits its predictor on random designs that it measures",
            cure="leave out warm_start, or the section surrogate",
        )


def _dumped(plugin: Plugin, options: BaseModel | None) -> dict[str, Any]:
    return {"use": plugin.use, **(options.model_dump(mode="json") if options else {})}


class _Builder:
    """Builds the problem of a study, collecting what is wrong."""

    def __init__(self, reader: _Reader, model: StudyModel) -> None:
        self.reader = reader
        self.model = model

    def problem(
        self, spaces: list[BaseModel | None], evaluators: list[BaseModel | None]
    ) -> Problem:
        parts = [
            self._make(SPACES, p, o, "space", i)
            for i, (p, o) in enumerate(zip(self.model.space, spaces, strict=True))
        ]
        measured: list[Evaluator] = [
            self._make(EVALUATORS, p, o, "evaluators", i)
            for i, (p, o) in enumerate(zip(self.model.evaluators, evaluators, strict=True))
        ]
        self.reader.raise_if_any()
        space = self.reader.attempt(("space",), lambda: self._space(parts))
        self.reader.raise_if_any()
        space = self._restricted(space)
        for i, part in enumerate(parts):
            self.reader.attempt(("space", i), lambda part=part: part.check(space))
        self.reader.raise_if_any()
        objectives = self.model.objectives
        constraints = self.model.constraints
        problem: Problem | None = None
        # Each expression alone first, so that every bad one is named with its line.
        for i, text in enumerate(objectives):
            problem = self.reader.attempt(
                ("objectives", i), lambda text=text: Problem(space, measured, [text])
            )
        for i, text in enumerate(constraints):
            self.reader.attempt(
                ("constraints", i),
                lambda text=text: Problem(space, measured, objectives[:1], [text]),
            )
        self.reader.raise_if_any()
        problem = self.reader.attempt(
            ("constraints",), lambda: Problem(space, measured, objectives, constraints)
        )
        self.reader.raise_if_any()
        assert problem is not None
        nothing = problem.designs(np.empty((0, len(space)), dtype=np.int64))
        for i, evaluator in enumerate(measured):
            # No design is measured, but who cannot read the space says so now.
            self.reader.attempt(
                ("evaluators", i), lambda evaluator=evaluator: safely(evaluator, nothing)
            )
        self.reader.raise_if_any()
        return problem

    def _space(self, parts: list[Any]) -> Space:
        space: Space = parts[0].space()
        for part in parts[1:]:
            space = space + part.space()
        return space

    def _restricted(self, space: Space) -> Space:
        for gene, allowed in self.model.restrict.items():
            pinned = self.reader.attempt(
                ("restrict", gene),
                lambda space=space, gene=gene, allowed=allowed: space.restrict({gene: allowed}),
            )
            space = pinned or space
        return space

    def _make(self, group: str, plugin: Plugin, options: BaseModel | None, *path: str | int) -> Any:
        kind = plugins.load(group, plugin.use)
        arguments = {name: getattr(options, name) for name in type(options).model_fields}  # type: ignore[union-attr]
        return self.reader.attempt(path, lambda: kind(**arguments))


class _Reader:
    """Collects the problems of a file, with their lines."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[tuple[int, str]] = []

    def add(self, path: Path_, text: str) -> None:
        """Notes a problem at a path."""
        line = self.document.line(path)
        key = ".".join(map(str, path))
        body = text.replace("\n", "\n      ")
        self.problems.append((line, f"{self.document.file}:{line}: {key}: {body}"))

    def add_all(self, error: ValidationError, model: type[BaseModel], before: Path_ = ()) -> None:
        """Notes what pydantic found."""
        seen: set[tuple[str | int, ...]] = set()
        for found in error.errors(include_input=True, include_url=False):
            path = (*before, *_written(found["loc"], self.document.values, before))
            if path in seen:
                continue
            seen.add(path)
            if found["type"] == _UNKNOWN_KEY:
                known = _keys_at(model, found["loc"])
                text = f"there is no such key; {nearest(str(found['loc'][-1]), known)}"
            else:
                given = found.get("input")
                shown = "" if isinstance(given, dict | list) else f" (given: {given!r})"
                text = found["msg"].removeprefix("Value error, ") + shown
            self.add(path, text)

    def options(self, group: str, plugin: Plugin, *path: str | int) -> BaseModel | None:
        """A plug-in's validated options, or ``None`` where something is wrong with them."""
        try:
            model = option_model(group, plugin.use)
            context = {"folder": self.document.file.parent}
            return self._found(plugin, model.model_validate(plugin.options, context=context))
        except HwnasError as error:
            self.add((*path, "use"), str(error))
        except ValidationError as error:
            self.add_all(error, model, path)
        return None

    def _found(self, plugin: Plugin, options: BaseModel) -> BaseModel:
        """The options with paths that start from the file's folder, wherever hwnas is called."""
        found, written = located(options, plugin.options, self.document.file.parent)
        if plugin.model_extra is not None:
            plugin.model_extra.update(written)
        return found

    def check_plugins(self, values: dict[str, Any]) -> None:
        """Notes what is wrong with the options of plug-ins in a file that is not in order."""
        for key, group in (("space", SPACES), ("evaluators", EVALUATORS)):
            listed = values.get(key)
            for i, given in enumerate(listed if isinstance(listed, list) else []):
                try:
                    plugin = Plugin.model_validate(given)
                except ValidationError:
                    continue
                self.options(group, plugin, key, i)

    def attempt(self, path: Path_, build: Any) -> Any:
        """What ``build`` returns, or ``None`` where it raises one of our errors."""
        try:
            return build()
        except HwnasError as error:
            self.add(path, str(error))
            return None

    def error(self) -> StudyFileError:
        """The error with all problems, in the order of the file."""
        count = len(self.problems)
        what = f"{self.document.file.name} has {count} problem{'s' if count > 1 else ''}"
        return StudyFileError(what, [text for _, text in sorted(self.problems)])

    def raise_if_any(self) -> None:
        """Raises what was noted.

        Raises:
            StudyFileError: Something was noted.
        """
        if self.problems:
            raise self.error()


def _written(location: tuple[str | int, ...], values: Any, before: Path_) -> tuple[str | int, ...]:
    """The part of pydantic's location that is in the file: it also names branches of unions."""
    for step in before:
        values = values[step] if isinstance(values, dict | list) else None  # type: ignore[index]
    path: list[str | int] = []
    for i, key in enumerate(location):
        is_last = i == len(location) - 1
        if isinstance(values, dict) and (key in values or is_last):
            path.append(key)
            values = values.get(key)
        elif isinstance(values, list) and isinstance(key, int) and key < len(values):
            path.append(key)
            values = values[key]
        elif is_last and isinstance(values, dict):
            path.append(key)
    return tuple(path)


def _keys_at(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """The keys that a model knows where an unknown one was found."""
    for key in location[:-1]:
        field = model.model_fields.get(str(key))
        inner = field.annotation if field else None
        candidates = [inner, *getattr(inner, "__args__", ())]
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not found:
            break
        model = found[0]
    return list(model.model_fields)
