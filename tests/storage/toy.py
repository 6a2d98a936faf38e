"""A small joint problem with a costly part, in a module that other processes can import."""

from __future__ import annotations

import os
import time
from pathlib import Path

from hwnas import Gene, Problem, Space, When, measures

SPACE = Space(
    (
        Gene("net.depth", (1, 2, 3, 4, 5, 6)),
        Gene("net.width", (8, 16, 32, 64)),
        Gene("net.kernel", (1, 3, 5), when=(When("net.depth", at_least=3),)),
        Gene("quant.bits", (2, 4, 8)),
        Gene("hw.units", (8, 16, 32)),
        Gene("hw.flow", ("ws", "os"), ordered=False),
    )
)


@measures("error", reads=["net", "quant"])
def error(design):
    """Falls with size; writes down every call where TOY_CALLS says, and takes TOY_SECONDS."""
    calls = os.environ.get("TOY_CALLS")
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    if calls:
        with Path(calls).open("a") as file:
            file.write(f"{design['net.depth']} {design['net.width']} {design['quant.bits']}\n")
    kernel = design.config.get("net.kernel", 1)
    return 1 / (design["net.depth"] * design["quant.bits"] * design["net.width"] ** 0.5 + kernel)


@measures("latency", unit="s", expense="free", batch=True)
def latency(designs):
    """Grows with size, falls with the units."""
    work = designs["net.depth"] * designs["quant.bits"] * designs["net.width"]
    return 1e-3 * work / designs["hw.units"]


def problem() -> Problem:
    return Problem(SPACE, [error, latency], ["error", "latency"], ["latency <= 50 ms"])
