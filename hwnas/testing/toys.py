"""Small problems with exactly known fronts, to test searchers on.

Most are small enough to measure every design (`exact_front`). `conditional` is too large for that,
but adds up over its layers, so its front follows by dynamic programming (`conditional_front`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.design.designs import Designs
from hwnas.errors import ProblemError
from hwnas.evaluation.interface import Evaluator, Expense, measures
from hwnas.metrics import Goal, Measurements, Metric, Reason
from hwnas.problem import Problem, nondominated
from hwnas.space import Gene, Space, When

_WIDTHS: Final = (1, 2, 4)
_KERNELS: Final = (1, 3, 5)
_BITS: Final = (2, 4, 8)
_DECAY: Final = 0.8


@dataclass(frozen=True, eq=False)
class KnownFront:
    """The Pareto front of a problem, equal losses all kept.

    Attributes:
        genomes: Its designs, canonical, ``int64 (j, d)``.
        losses: Their losses, ``(j, m)``.
    """

    genomes: Ints
    losses: Floats


def exact_front(problem: Problem, limit: int = 200_000) -> KnownFront:
    """The front of a problem, by measuring every design.

    Args:
        problem: The problem; what is stochastic in it counts with study seed 0.
        limit: The largest number of designs.

    Raises:
        ProblemError: The space has more designs.
    """
    size = problem.space.size()
    if size > limit:
        raise ProblemError(
            "the space is too large to measure every design",
            rule=f"at most {limit:,} designs",
            given=f"{size:,}",
            cure="restrict the space",
        )
    rows = problem.space.rows()
    measured = problem.evaluate(problem.designs(rows))
    losses = np.where(problem.satisfied(measured)[:, None], problem.losses(measured), np.inf)
    front = nondominated(losses)
    return KnownFront(rows[front], losses[front])


def _number(designs: Designs, name: str) -> Floats:
    """The values of a numeric gene, ``(n,)``."""
    return designs[name].astype(np.float64)


def _matrix(designs: Designs) -> Floats:
    """The values of all genes side by side, ``(n, d)``."""
    return np.stack([_number(designs, name) for name in designs.space.names], axis=1)


@measures("f1", "f2", expense="free", batch=True)
def zdt1_values(designs: Designs) -> dict[str, Floats]:
    """ZDT1 (Zitzler, Deb, Thiele, Evolutionary Computation 8(2), 2000, equation 7)."""
    x = _matrix(designs)
    g = 1 + 9 * x[:, 1:].mean(axis=1)
    return {"f1": x[:, 0], "f2": g * (1 - np.sqrt(x[:, 0] / g))}


def zdt1(genes: int = 3, levels: int = 11) -> Problem:
    """ZDT1 on a grid. Its front has every x1, the other genes 0, and f2 = 1 - sqrt(f1)."""
    grid = tuple(float(x) for x in np.linspace(0, 1, levels))
    space = Space(tuple(Gene(f"net.x{j + 1}", grid) for j in range(genes)))
    return Problem(space, [zdt1_values], ["f1", "f2"])


@measures("f1", "f2", "f3", expense="free", batch=True)
def dtlz2_values(designs: Designs) -> dict[str, Floats]:
    """DTLZ2 (Deb, Thiele, Laumanns, Zitzler, CEC 2002, section 3), three objectives."""
    x = _matrix(designs)
    g = 1 + ((x[:, 2:] - 0.5) ** 2).sum(axis=1)
    first, second = x[:, 0] * np.pi / 2, x[:, 1] * np.pi / 2
    return {
        "f1": g * np.cos(first) * np.cos(second),
        "f2": g * np.cos(first) * np.sin(second),
        "f3": g * np.sin(first),
    }


def dtlz2(genes: int = 4, levels: int = 7) -> Problem:
    """DTLZ2 on a grid with an odd number of levels. Its front lies on the unit sphere."""
    grid = tuple(float(x) for x in np.linspace(0, 1, levels))
    space = Space(tuple(Gene(f"net.x{j + 1}", grid) for j in range(genes)))
    return Problem(space, [dtlz2_values], ["f1", "f2", "f3"])


def _layer(width: Any, kernel: Any, bits: Any) -> tuple[Any, Any]:
    """What one layer costs (a whole number) and what it adds to the quality."""
    cost = width * kernel * kernel * bits // 2
    quality = np.log2(1 + width) * (1 - 0.5 / kernel) * (1 - 1 / bits)
    return cost, quality


@measures("error", "cost", expense="free", batch=True)
def conditional_values(designs: Designs) -> dict[str, Floats]:
    """Layers add to the cost and, the later the less, to the quality."""
    depth = _number(designs, "net.layers")
    cost, quality = np.zeros(len(designs)), np.zeros(len(designs))
    layers = (len(designs.space) - 1) // 3
    for i in range(layers):
        names = (f"net.layer{i + 1}.{name}" for name in ("width", "kernel", "bits"))
        own_cost, own_quality = _layer(*(_number(designs, name) for name in names))
        cost += np.where(i < depth, own_cost, 0)
        quality += np.where(i < depth, _DECAY**i * own_quality, 0.0)
    return {"error": np.exp(-quality), "cost": cost}


def conditional(layers: int = 12) -> Problem:
    """One to twelve layers, each active one with a width, a kernel and bits of its own.

    With 12 layers it has 1.6e17 designs; see `conditional_front` for its front.
    """
    genes = [Gene("net.layers", tuple(range(1, layers + 1)))]
    for i in range(1, layers + 1):
        when = (When("net.layers", at_least=i),) if i > 1 else ()
        genes += [
            Gene(f"net.layer{i}.width", _WIDTHS, when=when),
            Gene(f"net.layer{i}.kernel", _KERNELS, when=when),
            Gene(f"net.layer{i}.bits", _BITS, when=when),
        ]
    return Problem(Space(tuple(genes)), [conditional_values], ["error", "cost"])


def conditional_front(layers: int = 12) -> Floats:
    """The losses on the front of `conditional`: the best quality for every cost, ``(j, 2)``.

    Costs are whole numbers and both sums run over the layers, so the best quality of i layers at
    each cost follows from that of i - 1 layers.
    """
    options = [_layer(w, k, b) for w in _WIDTHS for k in _KERNELS for b in _BITS]
    most = layers * max(cost for cost, _ in options)
    best = np.full(most + 1, -np.inf)
    reached = best.copy()
    reached[0] = 0.0
    for i in range(layers):
        longer = np.full(most + 1, -np.inf)
        for cost, quality in options:
            np.maximum(
                longer[cost:], reached[: most + 1 - cost] + _DECAY**i * quality, out=longer[cost:]
            )
        reached = longer
        best = np.maximum(best, reached)
    losses = np.stack([np.exp(-best), np.arange(most + 1.0)], axis=1)
    losses = losses[np.isfinite(best)]
    return losses[nondominated(losses)]


class Buildable(Evaluator):
    """Area and speed of a chip; too many units on too little memory cannot be built."""

    metrics = (Metric("area", "m^2"), Metric("speed", "Hz", Goal.MAXIMIZE))
    reads = frozenset({"hw"})
    expense = Expense.FREE

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        units, memory = _number(designs, "hw.units"), _number(designs, "hw.memory")
        columns = {"area": 1e-8 * (units + 4 * memory), "speed": 1e6 * units * np.sqrt(memory)}
        cannot = units > 8 * memory
        reason = np.where(cannot, int(Reason.INFEASIBLE), int(Reason.NONE))
        notes = ["not enough memory" if c else "" for c in cannot]
        return Measurements.of(self.metrics, columns, reason=reason, notes=notes)


def constrained() -> Problem:
    """A small and fast chip of at most 0.6 mm2; some designs cannot be built at all."""
    levels = tuple(range(1, 17))
    space = Space(
        (
            Gene("hw.units", levels),
            Gene("hw.memory", levels),
            Gene("hw.style", ("a", "b"), ordered=False),
        )
    )
    return Problem(space, [Buildable()], ["area", "speed"], ["area <= 0.6 mm2", "speed >= 4 MHz"])


@measures("error", reads=("net", "quant"), goal="minimize")
def joint_error(design: Any) -> float:
    """The COSTLY part: what network and bits can do."""
    size = design["net.depth"] * design["net.width"]
    return float(0.05 + 0.6 / size + 0.3 * 2.0 ** -design["quant.bits"])


_ENERGY: Final = Metric("energy", "J")
_LATENCY: Final = Metric("latency", "s")


@measures(_ENERGY, _LATENCY, expense="free", batch=True)
def joint_hardware(designs: Designs) -> dict[str, Floats]:
    """A FREE part that reads everything."""
    macs = 1e6 * _number(designs, "net.depth") * _number(designs, "net.width") ** 2
    bits, units = _number(designs, "quant.bits"), _number(designs, "hw.units")
    stalls = np.where(designs["hw.dataflow"] == "ws", 1 + 4 / _number(designs, "net.width"), 1.5)
    return {
        "energy": 1e-12 * macs * bits**2 * (1 + 0.02 * units),
        "latency": macs * stalls / (units * _number(designs, "hw.clock")),
    }


@measures("area", unit="m^2", expense="free", batch=True, reads=("hw",))
def joint_area(designs: Designs) -> Floats:
    """A FREE part that reads the accelerator alone."""
    return 1e-8 * _number(designs, "hw.units")


def joint() -> Problem:
    """Network, bits and accelerator; the error is COSTLY, hardware is FREE."""
    space = Space(
        (
            Gene("net.depth", (1, 2, 4, 6)),
            Gene("net.width", (4, 8, 16)),
            Gene("quant.bits", (2, 4, 8)),
            Gene("hw.units", (4, 8, 16, 32)),
            Gene("hw.dataflow", ("ws", "os"), ordered=False),
            Gene("hw.clock", (1e8, 2e8, 4e8), unit="Hz"),
        )
    )
    return Problem(
        space,
        [joint_error, joint_hardware, joint_area],
        ["error", "minimize: edp = energy * latency"],
        ["area <= 0.2 mm2"],
    )


class Blunt(Evaluator):
    """A COSTLY measurement that reads everything; the widest networks do not fit the smallest chip.

    Genes of every kind count: ordered, unordered, true or false, and one that may sleep.
    """

    metrics = (Metric("error"), Metric("energy", "J"))
    expense = Expense.COSTLY

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        width, units = _number(designs, "net.width"), _number(designs, "hw.units")
        skip = designs["net.skip"].astype(np.bool_)
        span = np.where(skip, _number(designs, "net.span"), 0.0)
        kind = np.select([designs["net.kind"] == "a", designs["net.kind"] == "b"], [0.0, 0.02], 0.1)
        columns = {
            "error": 0.05 + kind + 0.5 / width + np.where(skip, 0.01 * (span - 2) ** 2, 0.06),
            "energy": 1e-6 * width * (1 + 0.2 * span) * (1 + 8 / units) * (1 + kind),
        }
        cannot = width > 2 * units
        reason = np.where(cannot, int(Reason.INFEASIBLE), int(Reason.NONE))
        notes = ["too wide for the chip" if c else "" for c in cannot]
        return Measurements.of(self.metrics, columns, reason=reason, notes=notes)


def all_costly() -> Problem:
    """Nothing is free: the searcher sees what it is told, and nothing else."""
    space = Space(
        (
            Gene("net.width", (2, 4, 8, 16)),
            Gene("net.kind", ("a", "b", "c"), ordered=False),
            Gene("net.skip", (False, True), ordered=False),
            Gene("net.span", (1, 2, 3), when=(When("net.skip", one_of=(True,)),)),
            Gene("hw.units", (4, 8, 16)),
        )
    )
    return Problem(space, [Blunt()], ["error", "energy"])


@measures(Metric("quality", goal=Goal.MAXIMIZE), "size", batch=True, reads=("net", "quant"))
def limited_values(designs: Designs) -> dict[str, Floats]:
    """The COSTLY part: the larger the better, and the larger."""
    depth, bits = _number(designs, "net.depth"), _number(designs, "quant.bits")
    wide = designs["net.kind"] == "wide"
    quality = np.log2(1 + depth) * (1 - 1 / bits) * np.where(wide, 1.2, 1.0)
    return {"quality": quality, "size": depth * bits * np.where(wide, 4.0, 1.0)}


@measures(_LATENCY, expense="free", batch=True)
def limited_latency(designs: Designs) -> Floats:
    """A FREE part that reads everything."""
    wide = np.where(designs["net.kind"] == "wide", 3.0, 1.0)
    work = _number(designs, "net.depth") * _number(designs, "quant.bits") * wide
    return 1e-3 * work / _number(designs, "hw.units")


@measures("area", unit="m^2", expense="free", batch=True, reads=("hw",))
def limited_area(designs: Designs) -> Floats:
    """A FREE part that reads the accelerator alone."""
    return 1e-8 * _number(designs, "hw.units")


def costly_limit() -> Problem:
    """Something COSTLY is to be maximised, and something COSTLY is limited."""
    space = Space(
        (
            Gene("net.depth", (1, 2, 3, 4, 6)),
            Gene("net.kind", ("thin", "wide"), ordered=False),
            Gene("quant.bits", (2, 4, 8)),
            Gene("hw.units", (2, 4, 8, 16)),
        )
    )
    return Problem(
        space,
        [limited_values, limited_latency, limited_area],
        ["quality", "latency", "area"],
        ["size <= 40"],
    )


@measures("error", Metric("gain", goal=Goal.MAXIMIZE), expense="free", batch=True)
def tiny_values(designs: Designs) -> dict[str, Floats]:
    """Two goals of a handful of designs; a sleeping gene does not count."""
    a, b = (
        _number(designs, "net.a"),
        np.where(_number(designs, "net.a") > 1, _number(designs, "net.b"), 0),
    )
    return {"error": (a - 2.0) ** 2 + 0.1 * b, "gain": a * b}


def tiny() -> Problem:
    """Nine designs, one gene of two conditional, one goal to be maximised."""
    space = Space(
        (Gene("net.a", (1, 2, 3)), Gene("net.b", (1, 2, 3, 4), when=(When("net.a", at_least=2),)))
    )
    return Problem(space, [tiny_values], ["error", "gain"])


@measures("same", "varied", expense="free", batch=True)
def constant_values(designs: Designs) -> dict[str, Floats]:
    """One value that never changes, and one that does."""
    return {"same": np.ones(len(designs)), "varied": _matrix(designs).sum(axis=1)}


def constant() -> Problem:
    """An objective that is the same everywhere, alone."""
    space = Space(tuple(Gene(f"net.x{j + 1}", tuple(range(5))) for j in range(4)))
    return Problem(space, [constant_values], ["same"])


def lonely() -> Problem:
    """One gene with one choice: one design."""
    return Problem(Space((Gene("net.only", ("this",)),)), [lonely_values], ["value"])


@measures("value", expense="free", batch=True)
def lonely_values(designs: Designs) -> Floats:
    """The same for everybody."""
    return np.zeros(len(designs))


def maximised() -> Problem:
    """Two goals to be maximised that oppose each other."""
    space = Space(tuple(Gene(f"net.x{j + 1}", tuple(range(6))) for j in range(3)))
    return Problem(space, [maximised_values], ["left", "maximize: right"])


@measures(Metric("left", goal=Goal.MAXIMIZE), "right", expense="free", batch=True)
def maximised_values(designs: Designs) -> dict[str, Floats]:
    """The first gene is good for one goal and bad for the other, the rest good for both."""
    x = _matrix(designs)
    rest = x[:, 1:].sum(axis=1)
    return {"left": x[:, 0] + rest, "right": 5 - x[:, 0] + rest}


def infeasible() -> Problem:
    """Nothing can be built, or meets the constraint."""
    levels = tuple(range(1, 17))
    space = Space((Gene("hw.units", levels), Gene("hw.memory", levels)))
    return Problem(space, [Buildable()], ["area", "speed"], ["speed >= 1 GHz"])


class EarlyError(Evaluator):
    """The error of the joint toy, which can be had early: larger, and a little off."""

    metrics = (Metric("error", worst=2.0, best=0.0),)
    reads = frozenset({"net", "quant"})
    fidelities = (0.1, 1.0)

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        depth, bits = _number(designs, "net.depth"), _number(designs, "quant.bits")
        size = depth * _number(designs, "net.width")
        error = 0.05 + 0.6 / size + 0.3 * 2.0**-bits
        if fidelity < 1:
            error = 1.5 * error + 0.01 * np.sin(7.0 * size + bits)
        return Measurements.of(self.metrics, {"error": error})


def early() -> Problem:
    """The joint toy with an error that can be measured early, for a tenth."""
    whole = joint()
    evaluators = [EarlyError(), joint_hardware, joint_area]
    return Problem(whole.space, evaluators, whole.objectives, whole.constraints)


PROBLEMS: Final[Mapping[str, Callable[[], Problem]]] = {
    "plain": zdt1,
    "three objectives": dtlz2,
    "conditional": conditional,
    "constrained": constrained,
    "joint": joint,
    "tiny": tiny,
    "one design": lonely,
    "maximised": maximised,
    "constant": constant,
    "all infeasible": infeasible,
    "all costly": all_costly,
    "costly limit": costly_limit,
}
"""What the suite of searchers runs on, by name."""
