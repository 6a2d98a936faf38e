"""Answers questions about layers, one JSON line each. Runs under a tool's own interpreter.

    python serve.py SCRIPT

Needs nothing but the standard library and what SCRIPT imports. A line on standard input is
``{"do": "version"}`` or ``{"do": "answer", "request": ...}``; a line on standard output is
``{"answer": ...}`` or ``{"error": text, "kind": "missing" | "raised"}``. What the tool itself prints
goes to standard error. It ends when standard input does.
"""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import traceback


def main() -> None:
    """Serves until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    spec = importlib.util.spec_from_file_location("tool_script", sys.argv[1])
    script = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(script)  # type: ignore[union-attr]
    for line in sys.stdin:
        json.dump(_reply(script, json.loads(line)), answers)
        answers.write("\n")
        answers.flush()


def _reply(script, given):  # type: ignore[no-untyped-def]
    try:
        if given["do"] == "version":
            return {"answer": {"version": importlib.metadata.version(script.DISTRIBUTION)}}
        with contextlib.redirect_stdout(sys.stderr):
            return {"answer": script.answer(given["request"])}
    except importlib.metadata.PackageNotFoundError:
        return {"error": "%s is not installed" % script.DISTRIBUTION, "kind": "missing"}
    except ImportError as error:
        traceback.print_exc()
        return {"error": "%s: %s" % (type(error).__name__, error), "kind": "missing"}
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return {"error": "%s: %s" % (type(error).__name__, error), "kind": "raised"}


if __name__ == "__main__":
    main()
