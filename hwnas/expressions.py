"""Objectives and constraints as text over metrics with units: parsed, never evaluated as code.

    minimize: edp = energy * latency
    area <= 4 mm2

Lark reads the grammar. Values are at rest (SI, bytes) throughout; dimensions are checked once, when
the metrics are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hwnas.arrays import Floats
from hwnas.errors import ExpressionError, UnitError, nearest
from hwnas.metrics import Goal, Metric
from hwnas.units import Dimension, dimension, multiply, scale

if TYPE_CHECKING:
    from lark import Lark

_GRAMMAR: Final = r"""
    constraint: sum COMPARISON sum
    objective: (GOAL ":"?)? (NAME "=")? sum
    ?sum: product | sum "+" product -> add | sum "-" product -> subtract
    ?product: unary | product "*" unary -> multiply | product "/" unary -> divide
    ?unary: power | "-" unary -> negative
    ?power: atom | atom ("^" | "**") EXPONENT -> raised
    ?atom: "(" sum ")" | NUMBER UNIT? -> quantity | NAME "(" sum ")" -> call | NAME -> metric
    GOAL.2: /minimi[sz]e(?=[ :])|maximi[sz]e(?=[ :])/
    COMPARISON: "<=" | ">="
    NAME: /[A-Za-z_][A-Za-z0-9_]*/
    UNIT: /%|[A-Za-zµ]+\^?[0-9]?(\/[A-Za-zµ]+\^?[0-9]?)*/
    EXPONENT: /-?(\d+(\.\d*)?|\.\d+)/
    NUMBER: /(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
    %ignore /[ \t]+/
"""

_FUNCTIONS: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "log10": np.log10,
    "log2": np.log2,
    "log": np.log,
    "sqrt": np.sqrt,
}


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(_GRAMMAR, start=["constraint", "objective"], parser="lalr")


@dataclass(frozen=True)
class Node:
    """A node of an expression: how to compute its values and its dimension.

    Attributes:
        values: From metric columns ``(n,)`` to values ``(n,)``, at rest.
        dimension: From metrics to the node's dimension; raises `UnitError` where units clash.
        metrics: The metrics that it needs.
    """

    values: Callable[[Mapping[str, Floats]], Floats]
    dimension: Callable[[Mapping[str, Metric]], Dimension]
    metrics: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Objective:
    """Something to minimise or maximise.

    Attributes:
        name: How reports call it.
        goal: Which way is better; ``None``: the way of the metric it is.
        text: As it was written.
        node: The expression.
    """

    name: str
    goal: Goal | None
    text: str
    node: Node

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Reads ``[minimize:|maximize:] [name =] expression``.

        Raises:
            ExpressionError: It cannot be read; the message shows where.
        """
        parts = _parse(text, "objective").children
        goal: Goal | None = None
        name: str | None = None
        for part in parts[:-1]:
            if part.type == "GOAL":
                goal = Goal.MINIMIZE if part.lower().startswith("min") else Goal.MAXIMIZE
            else:
                name = str(part)
        node = _build(parts[-1], text)
        if name is None:
            name = next(iter(node.metrics)) if _is_metric(parts[-1]) else _plain(text)
        return cls(name, goal, text.strip(), node)

    @property
    def is_metric(self) -> bool:
        """Whether it is a metric as it is, not a computation."""
        return len(self.node.metrics) == 1 and self.name in self.node.metrics

    def resolved(self, metrics: Mapping[str, Metric]) -> Objective:
        """The same objective with its goal known.

        Raises:
            ExpressionError: Nobody measures a metric of it, or a computation has no goal.
            UnitError: Units clash.
        """
        _check_known(self.node, metrics, self.text)
        self.node.dimension(metrics)
        if self.goal is not None:
            return self
        if not self.is_metric:
            raise ExpressionError(
                f"objective {self.text!r} does not say which way is better",
                rule="an objective that is computed starts with minimize: or maximize:",
                given=self.text,
                cure=f"minimize: {self.text}",
            )
        return Objective(self.name, metrics[self.name].goal, self.text, self.node)

    def values(self, columns: Mapping[str, Floats]) -> Floats:
        """The objective's values, ``(n,)``, at rest."""
        return self.node.values(columns)


@dataclass(frozen=True)
class Constraint:
    """Something that must hold: ``left <= right`` or ``left >= right``.

    Attributes:
        text: As it was written; also its name.
        left: The left side.
        right: The right side.
        at_most: Whether it is ``<=``.
    """

    text: str
    left: Node
    right: Node
    at_most: bool

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Reads ``expression <= expression`` or ``>=``.

        Raises:
            ExpressionError: It cannot be read; the message shows where.
        """
        left, comparison, right = _parse(text, "constraint").children
        return cls(text.strip(), _build(left, text), _build(right, text), str(comparison) == "<=")

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that it needs."""
        return self.left.metrics | self.right.metrics

    def check(self, metrics: Mapping[str, Metric]) -> None:
        """Checks names and units.

        Raises:
            ExpressionError: Nobody measures a metric of it.
            UnitError: The two sides have different dimensions.
        """
        _check_known(self.left, metrics, self.text)
        _check_known(self.right, metrics, self.text)
        left, right = self.left.dimension(metrics), self.right.dimension(metrics)
        if left != right:
            raise _clash(self.text, left, right)

    def excess(self, columns: Mapping[str, Floats]) -> Floats:
        """How far it is beyond its bound, ``(n,)``, at rest; negative where there is room."""
        excess = self.left.values(columns) - self.right.values(columns)
        return excess if self.at_most else -excess

    def violation(self, columns: Mapping[str, Floats]) -> Floats:
        """By how much it is violated, ``(n,)``, at rest; 0 where it is met."""
        return np.maximum(self.excess(columns), 0.0)

    def scale(self, columns: Mapping[str, Floats]) -> Floats:
        """The size of the bound, ``(n,)``, to make violations comparable; 1 where it is 0."""
        sides = (self.left.values(columns), self.right.values(columns))
        bound = np.abs(sides[1] if not self.right.metrics else sides[0])
        return np.where(bound > 0, bound, 1.0)


def _check_known(node: Node, metrics: Mapping[str, Metric], text: str) -> None:
    for name in sorted(node.metrics - set(metrics)):
        raise ExpressionError(
            f"nobody measures {name!r}",
            where=text,
            rule="a metric of one of the evaluators: " + ", ".join(sorted(metrics)),
            given=repr(name),
            cure=nearest(name, metrics),
        )


def _parse(text: str, start: str) -> Any:
    from lark import UnexpectedInput

    try:
        return _parser().parse(text.strip(), start=start)
    except UnexpectedInput as error:
        shown = text.strip()
        is_end = getattr(getattr(error, "token", None), "type", "") == "$END"
        column = len(shown) if is_end else max(getattr(error, "column", 1), 1) - 1
        example = "area <= 4 mm2" if start == "constraint" else "minimize: edp = energy * latency"
        raise ExpressionError(
            f"cannot read the {start} {shown!r}",
            where=f"{shown[:column]}⟨here⟩{shown[column:]}",
            rule="numbers with units, metrics, + - * / ^ ( ), log10, log2, log, sqrt"
            + (", and one of <= >=" if start == "constraint" else ""),
            cure=f"write it like: {example}",
        ) from error


def _is_metric(tree: Any) -> bool:
    return getattr(tree, "data", None) == "metric"


def _plain(text: str) -> str:
    body = text.strip()
    for word in ("minimize", "minimise", "maximize", "maximise"):
        if body.startswith(word):
            body = body.removeprefix(word).lstrip(" :")
    return body


def _build(tree: Any, text: str) -> Node:
    """Turns a parse tree into a node, bottom up."""
    kind = str(tree.data)
    if kind == "metric":
        name = str(tree.children[0])
        return Node(lambda c: c[name], lambda m: dimension(m[name].unit), frozenset({name}))
    if kind == "quantity":
        return _quantity(*map(str, tree.children))
    if kind == "call":
        return _call(str(tree.children[0]), _build(tree.children[1], text), text)
    if kind == "raised":
        return _raised(_build(tree.children[0], text), float(tree.children[1]))
    parts = [_build(child, text) for child in tree.children]
    metrics = frozenset().union(*(part.metrics for part in parts))
    if kind == "negative":
        return Node(lambda c: -parts[0].values(c), parts[0].dimension, metrics)
    a, b = parts
    if kind in ("multiply", "divide"):
        compute = np.multiply if kind == "multiply" else np.divide
        power = 1.0 if kind == "multiply" else -1.0
        return Node(
            lambda c: compute(a.values(c), b.values(c)),
            lambda m: multiply(a.dimension(m), b.dimension(m), power),
            metrics,
        )
    add = np.add if kind == "add" else np.subtract

    def same(known: Mapping[str, Metric]) -> Dimension:
        left, right = a.dimension(known), b.dimension(known)
        if left != right:
            raise _clash(text, left, right)
        return left

    return Node(lambda c: add(a.values(c), b.values(c)), same, metrics)


def _quantity(number: str, unit: str = "1") -> Node:
    value = np.float64(float(number) * scale(unit))
    found = dimension(unit)
    return Node(lambda _: np.asarray(value), lambda _: found)


def _call(name: str, inner: Node, text: str) -> Node:
    if name not in _FUNCTIONS:
        raise ExpressionError(
            f"there is no function {name!r}",
            where=text,
            rule=", ".join(_FUNCTIONS),
            cure=nearest(name, _FUNCTIONS),
        )
    function = _FUNCTIONS[name]

    def found(metrics: Mapping[str, Metric]) -> Dimension:
        # A logarithm is taken of the value at rest; what it gives is a plain number.
        inside = inner.dimension(metrics)
        return multiply((), inside, 0.5) if name == "sqrt" else ()

    return Node(lambda c: function(inner.values(c)), found, inner.metrics)


def _raised(inner: Node, power: float) -> Node:
    return Node(
        lambda c: np.power(inner.values(c), power),
        lambda m: multiply((), inner.dimension(m), power),
        inner.metrics,
    )


def _clash(text: str, left: Dimension, right: Dimension) -> UnitError:
    def show(found: Dimension) -> str:
        return " ".join(f"{name}^{power:g}" for name, power in found) or "a ratio (1)"

    return UnitError(
        f"units do not fit in {text!r}",
        rule="both sides of a comparison, a sum or a difference have the same dimension",
        given=f"{show(left)} and {show(right)}",
        cure="give the number a unit, e.g. area <= 4 mm2",
    )
