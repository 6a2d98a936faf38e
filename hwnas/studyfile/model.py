"""The typed model of a study file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from hwnas import plugins
from hwnas.errors import PluginError
from hwnas.studyfile.options import option_model
from hwnas.units import Unit

SPACES: Final = "hwnas.spaces"
EVALUATORS: Final = "hwnas.evaluators"
PREDICTORS: Final = "hwnas.predictors"
SEARCHERS: Final = "hwnas.searchers"

FORMAT: Final = 1
GROWABLE: Final = ("budget", "workers", "timeout")
"""What may change when a study goes on: it does not change what a design measures."""

GAIN: Final = "stop_when_gain_below"
"""The key of a budget under which the least gain is written."""

_GOALS: Final = ("minimize", "maximize")
_STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Plugin(BaseModel):
    """A plug-in by name, with its options beside it; a bare name takes the usual options."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    use: Annotated[str, Field(description="the plug-in's name; hwnas list shows them")]

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, given: Any) -> Any:
        return {"use": given} if isinstance(given, str) else given

    @property
    def options(self) -> dict[str, Any]:
        """The options as they were written."""
        return dict(self.model_extra or {})


def parse_share(given: Any) -> Any:
    """Reads a share above 0 and below 1: a number, or text such as ``1 %``.

    Raises:
        ValueError: It is another one, or none.
    """
    share = given
    if isinstance(given, str):
        text = given.strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = None
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError("a share above 0 and below 1, e.g. 1 % or 0.01")
    return float(share)


class BudgetModel(BaseModel):
    """How much a study may spend."""

    model_config = _STRICT

    evaluations: Annotated[int, Field(ge=1, description="costly evaluations, none counted twice")]
    time: Annotated[
        Annotated[float, Unit("s")] | None, Field(description="e.g. 4 min; over all resumed runs")
    ] = None
    stop_when_gain_below: Annotated[
        Annotated[
            float,
            BeforeValidator(lambda given: given if given is None else parse_share(given)),
            WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]}),
        ]
        | None,
        Field(
            description="e.g. 1 %: ends when the searcher certifies that less hypervolume is "
            "left to be gained"
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, given: Any) -> Any:
        return {"evaluations": given} if isinstance(given, int) else given


class SurrogateModel(BaseModel):
    """Search with a predictor instead of the costly metric, as FLASH does.

    First some random designs are measured, then the predictor is fitted and searched with, and
    at last some designs of the predicted front are measured.
    """

    model_config = _STRICT

    predicts: Annotated[str, Field(description="the costly metric that is predicted")]
    predictor: Plugin
    features: Annotated[
        list[str], Field(min_length=1, description="free metrics, or parts of the genome as net.*")
    ]
    samples: Annotated[int, Field(ge=2, description="random designs measured for fitting")] = 25
    verify: Annotated[int, Field(ge=0, description="designs of the front measured at last")] = 5


def _objective(given: Any) -> Any:
    """Takes ``minimize: energy`` as YAML reads it, a mapping of one key."""
    if not isinstance(given, dict):
        return given
    if len(given) != 1 or next(iter(given)) not in _GOALS:
        keys = ", ".join(map(str, given))
        raise ValueError(f"an objective is minimize: ... or maximize: ..., not {keys}: ...")
    goal, expression = next(iter(given.items()))
    return f"{goal}: {expression}"


ObjectiveText = Annotated[
    str,
    BeforeValidator(_objective),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {goal: {"type": "string"} for goal in _GOALS},
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ]
        }
    ),
]


class StudyModel(BaseModel):
    """A study: which space, who measures, what is optimised, and how."""

    model_config = _STRICT

    format: Literal[1] = FORMAT
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    space: Annotated[list[Plugin], Field(min_length=1, description="the parts of the genome")]
    restrict: Annotated[
        dict[str, bool | int | float | str | list[bool | int | float | str]],
        Field(description="gene to the value, or the choices, it is restricted to"),
    ] = {}
    evaluators: Annotated[list[Plugin], Field(min_length=1, description="who measures")]
    objectives: Annotated[
        list[ObjectiveText],
        Field(min_length=1, description="e.g. minimize: edp = energy * latency"),
    ]
    constraints: Annotated[list[str], Field(description="e.g. area <= 4 mm2")] = []
    searcher: Annotated[
        Plugin | None, Field(description="left out: greybox where it fits, else nsga2")
    ] = None
    budget: BudgetModel
    batch: Annotated[int, Field(ge=1)] | None = None
    reference: Annotated[
        dict[str, float | str],
        Field(description="objective to its worst value, for the hypervolume; e.g. energy: 1 mJ"),
    ] = {}
    surrogate: SurrogateModel | None = None
    warm_start: Annotated[
        list[Path],
        BeforeValidator(lambda given: [given] if isinstance(given, str | Path) else given),
        WithJsonSchema(
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
        ),
        Field(
            description="run directories, or tables (CSV, parquet) with a column per gene and "
            "costly metric: rows that are known before, at no cost"
        ),
    ] = []
    workers: Annotated[int, Field(ge=1, le=1024, description="costly evaluations at once")] = 1
    timeout: Annotated[float, Unit("s"), Field(gt=0, description="for one evaluation")] = 3600.0


def schema() -> dict[str, Any]:
    """The JSON schema of study files, for completion in editors, with every plug-in's options.

    Plug-ins whose optional packages are missing appear by name only.
    """
    whole = StudyModel.model_json_schema()
    definitions = whole["$defs"]
    del definitions["Plugin"]
    for group in (SPACES, EVALUATORS, PREDICTORS, SEARCHERS):
        definitions[group] = _plugin_schema(group)
    properties = whole["properties"]
    properties["space"]["items"] = {"$ref": f"#/$defs/{SPACES}"}
    properties["evaluators"]["items"] = {"$ref": f"#/$defs/{EVALUATORS}"}
    properties["searcher"] = {"$ref": f"#/$defs/{SEARCHERS}"}
    surrogate = definitions["SurrogateModel"]["properties"]
    surrogate["predictor"] = {"$ref": f"#/$defs/{PREDICTORS}"}
    budget = properties["budget"]
    properties["budget"] = {"anyOf": [{"type": "integer", "minimum": 1}, budget]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}


def _plugin_schema(group: str) -> dict[str, Any]:
    names = list(plugins.available(group))
    kinds: list[dict[str, Any]] = [{"enum": names}]
    for name in names:
        try:
            options = option_model(group, name).model_json_schema()
        except PluginError:
            options = {"type": "object", "properties": {}}
        properties = {"use": {"const": name}, **options.get("properties", {})}
        kind = {
            "type": "object",
            "properties": properties,
            "required": ["use", *options.get("required", [])],
            "additionalProperties": False,
        }
        if "$defs" in options:
            kind["$defs"] = options["$defs"]
        kinds.append(kind)
    return {"anyOf": kinds}
