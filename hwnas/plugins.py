"""The door for plug-ins: entry points, the same for built-in and foreign ones.

Groups: ``hwnas.spaces``, ``hwnas.evaluators``, ``hwnas.predictors``, ``hwnas.searchers``,
``hwnas.exports``, ``hwnas.second_opinions``, ``hwnas.calibrations`` (templates to calibrate; see
`hwnas.evaluation.calibration`), ``hwnas.datasets`` (functions that return images and labels to
train on); and ``hwnas.tables``, what cost models take their numbers from (see `hwnas.tables`).
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from hwnas.errors import MissingExtraError, PluginError, nearest

GROUPS: Final = (
    "hwnas.spaces",
    "hwnas.evaluators",
    "hwnas.predictors",
    "hwnas.searchers",
    "hwnas.exports",
    "hwnas.calibrations",
    "hwnas.second_opinions",
    "hwnas.datasets",
    "hwnas.tables",
)

_BESIDE_US: Final = ("evaluators", "predictors")

_EXTRA_OF_MODULE: Final = {
    "torch": "torch",
    "xgboost": "xgboost",
    "optuna_dashboard": "dashboard",
    "pyarrow": "table",
    "onnx": "onnx",
    "PIL": "images",
}


def available(group: str) -> dict[str, EntryPoint]:
    """Returns the plug-ins of a group by name, sorted; nothing is imported."""
    return {e.name: e for e in sorted(entry_points(group=group), key=lambda e: e.name)}


def load(group: str, name: str) -> Any:
    """Imports a plug-in by name.

    One that needs an optional package which it does not import itself (a library does, later)
    names the module in an attribute ``needs``, a tuple, so that this is known before it is used.

    Args:
        group: One of `GROUPS`.
        name: The entry point's name.

    Returns:
        What the entry point names, usually a class.

    Raises:
        PluginError: No such plug-in; the message names the nearest.
        MissingExtraError: The plug-in needs an optional package that is not installed.
    """
    known = available(group)
    kind = group.removeprefix("hwnas.").removesuffix("s")
    if name not in known:
        raise PluginError(
            f"there is no {kind} named {name!r}",
            rule=f"a name registered under the entry points {group}",
            given=repr(name),
            cure=nearest(name, known),
        )
    try:
        plugin = known[name].load()
    except ImportError as error:
        raise _missing(f"{kind} {name!r}", error) from error
    _check_ours(known[name])
    for module in getattr(plugin, "needs", ()):
        if find_spec(module) is None:
            raise missing_extra(f"{kind} {name!r}", module)
    return plugin


def _check_ours(entry: EntryPoint) -> None:
    """Refuses a stranger's package that bears the name of one of ours.

    ``evaluators`` and ``predictors`` are common names: another distribution, or a folder of the
    person's own, may hide ours.
    """
    package = entry.module.partition(".")[0]
    if package not in _BESIDE_US or entry.dist is None or entry.dist.name != "hwnas":
        return
    found = Path(str(sys.modules[package].__file__)).parent
    expected = Path(__file__).parents[1] / package
    if not found.samefile(expected):
        raise PluginError(
            f"the package {package!r} that Python finds is not the one of hwnas",
            where=str(found),
            rule=f"{package} stands beside hwnas: {expected}",
            cure="rename the other one, or run from another folder",
        )


def missing_extra(wanted_by: str, module: str) -> MissingExtraError:
    """Builds the error for an optional package that is not installed.

    Args:
        wanted_by: What needs it, for the message.
        module: The top-level module that could not be imported.
    """
    extra = _EXTRA_OF_MODULE.get(module, module)
    return MissingExtraError(
        f"{wanted_by} needs the package {module!r}, which is not installed",
        rule=f"{module} belongs to the extra hwnas[{extra}]",
        cure=f"pip install 'hwnas[{extra}]' (README, section Install, names the tested versions)",
    )


def _missing(wanted_by: str, error: ImportError) -> PluginError:
    module = (error.name or "").partition(".")[0]
    if module in _EXTRA_OF_MODULE:
        return missing_extra(wanted_by, module)
    return PluginError(
        f"{wanted_by} cannot be imported",
        given=f"{type(error).__name__}: {error}",
        cure="reinstall the package that provides it",
    )
