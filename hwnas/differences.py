"""Differences between two records, for a person."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The lines that differ between two records of plain JSON values.

    Returns:
        Lines that start with ``-`` (before) or ``+`` (now); empty if the records are equal.
    """
    old, new = (
        json.dumps(json.loads(json.dumps(r)), indent=1, sort_keys=True).splitlines()
        for r in (before, now)
    )
    return difference_of_lines(old, new)


def difference_of_lines(old: list[str], new: list[str]) -> str:
    """The lines that differ, ``-`` before what is gone and ``+`` before what is new."""
    changed = difflib.unified_diff(old, new, n=0, lineterm="")
    return "\n".join(
        line for line in changed if line[:1] in "+-" and line[:3] not in ("+++", "---")
    )
