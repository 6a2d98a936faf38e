"""A tool that does what it is told, and a second opinion that asks it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hwnas.evaluation.second_opinion import (
    Comparison,
    LayerOpinion,
    Question,
    SecondOpinion,
    Tool,
)

SCRIPT = """\
import os, subprocess, sys, time

DISTRIBUTION = "pytest"


def answer(request):
    do = request["do"]
    if do == "cost":
        print("asked about", request["size"])
        with open(request["log"], "a") as log:
            log.write("%d\\n" % request["size"])
        return {"cycles": 10.0 * request["size"]}
    if do == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(request["log"], "w") as log:
            log.write(str(child.pid))
        time.sleep(600)
    if do == "die":
        print("last words")
        sys.stdout.flush()
        os._exit(7)
    if do == "raise":
        raise ValueError("no such layer")
    if do == "exit":
        sys.exit("ERROR: file not found")
    if do == "import":
        import a_package_that_nobody_has
    if do == "nothing":
        return {}
    if do == "nan":
        return {"cycles": float("nan")}
    if do == "text":
        return "ten"
    raise AssertionError(do)
"""


def tool_in(folder: Path, script: str = SCRIPT) -> Tool:
    file = folder / "tool_script_of_a_test.py"
    file.write_text(script)
    return Tool("sometool", ("sometool==1.0", "other<2"), "HWNAS_SOMETOOL_PYTHON", file)


HERE = Path(sys.executable)


class Opinion(SecondOpinion):
    """Asks about the K of every row; what to do about a row is said per K."""

    name: ClassVar[str] = "sometool"
    seconds: ClassVar[float] = 60.0
    comparisons: ClassVar[tuple[Comparison, ...]] = (
        Comparison("cycles", "1", "K", "10 K"),
        Comparison("energy", "J", "ours alone", "nothing"),
    )
    conventions: ClassVar[tuple[str, ...]] = ("The tool counts in tens.",)

    def __init__(self, log: Path, does: Mapping[int, str] | None = None) -> None:
        self.log = log
        self.does = does or {}

    def questions(self, design: Any, evaluator: Any) -> Sequence[Question | str]:
        return [
            Question({"do": self.does.get(k, "cost"), "size": k, "log": str(self.log)}, groups)
            if self.does.get(k) != "unknown"
            else "the tool has no such layers"
            for k, groups in _pairs(design.layers)
        ]

    def opinion(self, answer: Mapping[str, Any]) -> LayerOpinion:
        return LayerOpinion(float(answer["cycles"]), numbers={"half": answer["cycles"] / 2})

    def ours(self, design: Any, evaluator: Any) -> Mapping[str, np.ndarray]:
        k = design.layers.K.astype(np.float64)
        return {"cycles": k * design.layers.groups, "energy": np.ones(len(k))}


def _pairs(layers: Any) -> list[tuple[int, int]]:
    return list(zip(layers.K.tolist(), layers.groups.tolist(), strict=True))
