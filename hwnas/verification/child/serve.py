"""Answers questions about layers, one JSON line each. Runs under a tool's own interpreter.

    python serve.py SCRIPT

Needs nothing but the standard library and what SCRIPT imports. A line on standard input is
``{"do": "version"}`` or ``{"do": "answer", "request": ...}``; a line on standard output is
``{"answer": ...}`` or ``{"error": text, "kind": "missing" | "raised"}``. What the tool itself
prints goes to standard error. It ends when standard input does. Runs from Python 3.8 on.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    """Serves until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    spec = importlib.util.spec_from_file_location("tool_script", sys.argv[1])
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for line in sys.stdin:
        json.dump(_reply(script, json.loads(line)), answers)
        answers.write("\n")
        answers.flush()


def _reply(script: Any, given: dict[str, Any]) -> dict[str, Any]:
    try:
        if given["do"] == "version":
            return {"answer": {"version": importlib.metadata.version(script.DISTRIBUTION)}}
        with contextlib.redirect_stdout(sys.stderr):
            return {"answer": script.answer(given["request"])}
    except importlib.metadata.PackageNotFoundError:
        return {"error": f"{script.DISTRIBUTION} is not installed", "kind": "missing"}
    except ImportError as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}", "kind": "missing"}
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}", "kind": "raised"}


if __name__ == "__main__":
    main()
