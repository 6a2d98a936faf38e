"""What a study is: what is stored when it begins, and must not change while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hwnas.differences import difference
from hwnas.errors import RunDirectoryError
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher
from hwnas.yardstick import Yardstick

_FORMAT: Final = 1


def identity(
    problem: Problem,
    searcher: Searcher,
    *,
    seed: int,
    reference: Mapping[str, float],
    batch: int,
    yardstick: Yardstick | None,
) -> dict[str, Any]:
    """What must not change between runs, as plain JSON values.

    Args:
        problem: The problem.
        searcher: The searcher.
        seed: The seed.
        reference: The reference values that were given.
        batch: How many designs are asked for at once.
        yardstick: The hypervolume's box, once it is fixed.
    """
    return {
        "format": _FORMAT,
        "seed": seed,
        "size": f"{problem.space.size():.4g}",
        "space": problem.space.to_json(),
        "evaluators": {e.name: e.version for e in problem.evaluators},
        "objectives": [f"{o.goal.value}: {o.text}" for o in problem.objectives if o.goal],
        "constraints": [c.text for c in problem.constraints],
        "searcher": searcher.name,
        "searcher_options": dict(searcher.options()),
        "reference": dict(reference),
        "batch": batch,
        "yardstick": yardstick.to_json() if yardstick else None,
    }


def check_same(name: str, stored: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """Refuses to go on with another study than the one that is stored.

    Args:
        name: The name of the study.
        stored: The identity that is stored.
        now: The identity that the study has now.
        where: The storage.

    Raises:
        RunDirectoryError: They differ; the difference is shown.
    """
    changed = difference(stored, now)
    if changed:
        raise RunDirectoryError(
            f"the stored study {name!r} is another one",
            where=where,
            rule="a study goes on as it began; only its budget may grow",
            given="\n" + changed,
            cure="undo the change, or start anew under another name or directory (--fresh)",
        )


def introduction(name: str, record: Mapping[str, Any]) -> str:
    """What the dashboard says about a study, Markdown.

    Args:
        name: The name of the study.
        record: Its identity.
    """
    goals = ", ".join(record["objectives"])
    limits = ", ".join(record["constraints"]) or "none"
    return (
        f"# {name}\n\n{record['size']} designs, searched by "
        f"{record['searcher']} with seed {record['seed']}.\n\n- objectives: {goals}\n"
        f"- constraints: {limits}\n- evaluators: {', '.join(record['evaluators'])}\n"
    )
