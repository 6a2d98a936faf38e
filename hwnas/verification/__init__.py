"""Second opinions: another tool, in a process and environment of its own, costs designs again."""

from hwnas.verification.answers import Answers
from hwnas.verification.environment import interpreter
from hwnas.verification.process import ToolProcess
from hwnas.verification.verifying import (
    DesignVerdict,
    LayerVerdict,
    Verification,
    Verifier,
    coster_of,
    spread,
)

__all__ = [
    "Answers",
    "DesignVerdict",
    "LayerVerdict",
    "ToolProcess",
    "Verification",
    "Verifier",
    "coster_of",
    "interpreter",
    "spread",
]
