"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hwnas import plugins
from hwnas.arrays import Choice
from hwnas.design.layers import LayerTable, Operator
from hwnas.errors import HwnasError
from hwnas.front import Front, FrontDesign
from hwnas.problem import Problem
from hwnas.rungs import Standing
from hwnas.study import Study
from hwnas.studyfile.options import first_sentence
from hwnas.surrogate import Verdict
from hwnas.units import show

if TYPE_CHECKING:
    from hwnas.report.anatomy import Account


def unit_of(problem: Problem, name: str) -> str:
    """The unit of an objective or metric at rest; a computed objective is shown as a number."""
    metric = problem.metrics.get(name)
    return metric.unit if metric else "1"


def best_of(study: Study) -> Iterable[tuple[str, str]]:
    """The best value of each objective so far, for a person."""
    losses = study.history.front_losses
    if not len(losses):
        return
    best = losses.min(axis=0) * study.problem.signs
    for objective, value in zip(study.problem.objectives, best, strict=True):
        yield objective.name, show(float(value), unit_of(study.problem, objective.name))


def front_table(front: Front) -> Table:
    """The front: objectives, metrics under a constraint, and the genes of each part."""
    problem = front.problem
    objectives = [objective.name for objective in problem.objectives]
    limited = sorted({name for c in problem.constraints for name in c.metrics} - set(objectives))
    legend = []
    for part in problem.space.part_names:
        names = (gene.name for gene in problem.space.genes if gene.part == part)
        legend.append(f"{part}: {' '.join(name.partition('.')[2] for name in names)}")
    table = Table(
        title=f"Pareto front: {len(front)} designs",
        title_justify="left",
        caption="\n".join(legend),
        caption_justify="left",
    )
    table.add_column("design", justify="right")
    for name in (*objectives, *limited):
        table.add_column(name, justify="right", no_wrap=True)
    for part in problem.space.part_names:
        table.add_column(part, overflow="fold")
    for design in front.designs:
        values = {**design.metrics, **design.objectives}
        table.add_row(
            str(design.number),
            *(show(values[name], unit_of(problem, name)) for name in (*objectives, *limited)),
            *(genes_of(problem, design, part) for part in problem.space.part_names),
        )
    return table


def genes_of(problem: Problem, design: FrontDesign, part: str) -> str:
    """The values of a part's genes, in the order of the space; ``-`` for a sleeping one."""
    return " ".join(
        shown(design.genes[gene.name], gene.unit) if gene.name in design.genes else "-"
        for gene in problem.space.genes
        if gene.part == part
    )


def shown(value: Choice, unit: str) -> str:
    """The value of a gene for a person."""
    if isinstance(value, bool | str) or unit == "1":
        return str(value)
    return show(float(value), unit).replace(" ", "")


def rung_table(rungs: Sequence[Standing]) -> Table:
    """The fidelities of a study: how many were measured, and how they rank designs."""
    legend = "tau: Kendall's, rho: Spearman's, with the whole evaluation"
    if any(rung.blind for rung in rungs):
        legend += "\n* judged by those measured whole before"
    table = Table(title="rungs", title_justify="left", caption=legend, caption_justify="left")
    for name in ("share", "measured"):
        table.add_column(name, justify="right")
    table.add_column("metric")
    for name in ("both ways", "judged by", "tau", "rho"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for rung in rungs:
        first = (f"{rung.fidelity:g}", str(rung.measured))
        if not rung.agreements:
            table.add_row(*first, *[""] * 5, rung.verdict)
        for found in rung.agreements:
            ranks = ("-" if r is None else f"{r:.2f}" for r in (found.kendall, found.spearman))
            pairs = (str(rung.both), f"{found.pairs}{'*' if rung.blind else ''}")
            table.add_row(*first, found.metric, *pairs, *ranks, rung.verdict)
    return table


def rungs_in_short(rungs: Iterable[Standing]) -> str:
    """The lower fidelities in one line, for those who wait; empty where there are none."""
    texts = (
        f"{rung.fidelity:g} {rung.verdict}" + (f" (tau {rung.tau:.2f})" if rung.ranks else "")
        for rung in rungs
        if rung.fidelity < 1
    )
    return ", ".join(texts)


def verdict_table(verdict: Verdict) -> Table:
    """Predicted against measured."""
    title = f"{verdict.metric}, from {verdict.samples} samples"
    mean = (
        f"mean difference {show(verdict.mean_error, verdict.unit)}\n"
        f"rank correlation on the samples {verdict.rank:.3f}"
    )
    table = Table(title=title, title_justify="left", caption=mean, caption_justify="left")
    for name in ("design", "predicted", "measured"):
        table.add_column(name, justify="right")
    for design in verdict.designs:
        table.add_row(
            str(design.number),
            show(design.predicted, verdict.unit),
            show(design.measured, verdict.unit),
        )
    return table


def plugin_table(group: str, found: Mapping[str, EntryPoint]) -> Table:
    """The plug-ins of a group, one line each."""
    table = Table(title=group.removeprefix("hwnas."), title_justify="left", box=None)
    table.add_column("name", style="bold")
    table.add_column("what it is")
    for name in found:
        table.add_row(name, describe(group, name))
    return table


def describe(group: str, name: str) -> str:
    """One line for a plug-in, also where an optional package is missing."""
    try:
        return first_sentence(plugins.load(group, name))
    except HwnasError as error:
        return f"not usable: {error.what}; {error.cure}"


def values_table(title: str, values: Mapping[str, Any]) -> Table:
    """Names and values side by side."""
    table = Table(title=title, title_justify="left", box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in values.items():
        table.add_row(name, str(value))
    return table


def breakdown_table(account: Account) -> Table:
    """Where the metrics of an evaluator come from: component, value, share."""
    table = Table(title=f"where the metrics of {account.evaluator} come from", title_justify="left")
    for name in ("metric", "component"):
        table.add_column(name)
    for name in ("value", "share"):
        table.add_column(name, justify="right")
    for found in account.breakdowns:
        name = found.quantity.name + ("" if found.adds_up else " (parts overlap)")
        for place, component in enumerate(found.components):
            table.add_row(
                "" if place else name,
                component.name,
                found.quantity.show(component.value),
                "-" if component.share is None else f"{100 * component.share:.1f} %",
                end_section=place == len(found.components) - 1,
            )
    return table


def layer_table(layers: LayerTable) -> Table:
    """The layers of a design: shapes, bits, MACs, weights."""
    table = Table(title="layers", title_justify="left")
    for name in ("#", "cell", "operator", "C", "K", "P x Q", "R x S", "stride", "bits w/a"):
        table.add_column(name, justify="right")
    table.add_column("MACs", justify="right")
    table.add_column("weights", justify="right")
    for i in range(len(layers)):
        operator = Operator(int(layers.operator[i]))
        bits = f"{layers.weight_bits[i]}/{layers.activation_bits[i]}"
        table.add_row(
            str(i),
            str(layers.cell[i] or "-"),
            operator.name.lower(),
            str(layers.C[i]),
            str(layers.K[i]),
            f"{layers.P[i]} x {layers.Q[i]}",
            f"{layers.R[i]} x {layers.S[i]}",
            str(layers.stride[i]),
            bits if layers.has_weights[i] else f"-/{layers.activation_bits[i]}",
            f"{layers.macs[i]:,}",
            f"{layers.weights[i]:,}",
        )
    return table
