"""Networks, mappings and hardware of MAESTRO.

MAESTRO could not be run here. The formats follow its repository (maestro-project/maestro of 2022:
``data/model``, ``data/mapping``, ``data/hw`` and ``validation/eyeriss``) and Kwon et al.,
"Understanding reuse, performance, and hardware cost of DNN dataflows", MICRO 2019. Run it with

    maestro --HW_file=hardware.m --Mapping_file=mapping.m --print_res=true
            --print_res_csv_file=true --print_log_file=false

Sizes are of inputs with their padding, which MAESTRO does not know: Y = (P - 1) stride + R.
Directives are written from the outside in. Spatial arrays keep convolutions: K|C is the mapping
KC-P, P|Q is YX-P with the coordinates of outputs, row-stationary ones are YR-P. Systolic arrays,
which unroll the im2col matrix, are written as products of matrices (GEMM).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Final

from evaluators.exports.arrays import Array, array_of
from evaluators.exports.nests import OPERANDS, Nest, nests_of
from hwnas.design import Design
from hwnas.design.export import Export, Exported, ExportedLayer
from hwnas.errors import DesignError

_BYTE: Final = 8
_FILTERS_AT_A_TIME: Final = 16
"""Filters that a row-stationary element works on in turn, as in MAESTRO's own Eyeriss mapping."""

_LOOPS: Final[Mapping[str, str]] = {
    "N": "N", "G": "C", "K": "K", "C": "C", "P": "Y'", "Q": "X'", "R": "R", "S": "S",
}  # fmt: skip
"""Our loops as MAESTRO's dimensions. Groups are the channels of a depthwise layer."""


class Maestro(Export):
    """MAESTRO: a network, the same with its mapping, and the hardware."""

    name: ClassVar[str] = "maestro"

    def files(self, design: Design) -> Exported:
        """``network.m`` (layers alone), ``mapping.m`` (with directives) and ``hardware.m``.

        Layers with groups are one group in the files, unless the array unrolls groups and the
        layer is depthwise (DSCONV).

        Raises:
            DesignError: The accelerator is of no known template, has three axes or unrolls both
                groups and images, or no layer multiplies.
        """
        array = array_of(design, "MAESTRO")
        nests, notes = nests_of(design, "MAESTRO")
        _refuse_other_arrays(array)
        layers = [_layer(nest, array) for nest in nests]
        files = {
            "network.m": _network(layer for layer, _ in layers),
            "mapping.m": _network(
                [*layer, "Dataflow {", *(f"  {line}" for line in directives), "}"]
                for layer, directives in layers
            ),
            "hardware.m": _hardware(array, nests),
        }
        return Exported(
            files=files,
            notes=(*notes, *array.pe_note(), *_notes(array, nests)),
            layers=tuple(
                ExportedLayer(n.name, n.row, 1 if _depthwise(n, array) else n.sizes["G"])
                for n in nests
            ),
        )


def _loops(array: Array) -> list[list[str]]:
    return [[loop for loops in axis.loops for loop in loops] for axis in array.axes]


def _refuse_other_arrays(array: Array) -> None:
    first, *rest = _loops(array)
    if len(rest) != 1 or {"G", "N"} <= {*first, *rest[0]}:
        raise DesignError(
            f"the dataflow {array.dataflow} is not exported to MAESTRO",
            where="hw.dataflow",
            rule="two axes, not both groups and images",
            given=array.dataflow,
            cure="export it to zigzag",
        )


def _depthwise(nest: Nest, array: Array) -> bool:
    """Whether the layer is written as DSCONV, with all its groups."""
    one = nest.sizes["K"] == 1 and nest.sizes["C"] == 1 and nest.sizes["G"] > 1
    return one and any("G" in loops for loops in _loops(array))


def _layer(nest: Nest, array: Array) -> tuple[list[str], list[str]]:
    """Type and sizes of a layer, and its directives."""
    if array.systolic:
        sizes = {"M": nest.pixels, "N": nest.sizes["K"], "K": nest.window}
        return _described(nest, "GEMM", sizes, stride=False), _PRODUCTS[array.dataflow](array)
    depthwise = _depthwise(nest, array)
    size = nest.sizes
    sizes = {
        "N": size["N"],
        "K": size["K"],
        "C": size["G"] if depthwise else size["C"],
        "R": size["R"],
        "S": size["S"],
        "Y": nest.extent(size["P"], size["R"]),
        "X": nest.extent(size["Q"], size["S"]),
    }
    described = _described(nest, "DSCONV" if depthwise else "CONV", sizes, stride=True)
    if array.dataflow == "row_stationary":
        return described, _row_stationary(nest)
    return described, _convolution(array, depthwise=depthwise)


def _described(nest: Nest, kind: str, sizes: Mapping[str, int], *, stride: bool) -> list[str]:
    listed = ", ".join(f"{name}: {size}" for name, size in sizes.items())
    lines = [f"Layer {nest.name} {{", f"Type: {kind}"]
    if stride:
        lines.append(f"Stride {{ X: {nest.stride}, Y: {nest.stride} }}")
    return [*lines, f"Dimensions {{ {listed} }}"]


def _network(layers: Iterable[list[str]]) -> str:
    lines = ["Network hwnas {"]
    for head, *body in layers:
        lines += [f"  {head}", *(f"    {line}" for line in body), "  }"]
    return "\n".join([*lines, "}"]) + "\n"


def _temporal(dimension: str, size: int | str = 1, step: int | str | None = None) -> str:
    return f"TemporalMap({size},{size if step is None else step}) {dimension};"


def _spatial(dimension: str) -> str:
    return f"SpatialMap(1,1) {dimension};"


_KERNEL: Final = [_temporal("R", "Sz(R)"), _temporal("S", "Sz(S)")]


def _product(outer: str, inner: str, size: int, stream: str) -> list[str]:
    """A GEMM: one dimension over the clusters, one over their elements, one over time."""
    return [
        _spatial(outer),
        _temporal(inner, size),
        _temporal(stream),
        f"Cluster({size}, P);",
        _spatial(inner),
        _temporal(outer),
        _temporal(stream),
    ]


_PRODUCTS: Final[Mapping[str, Callable[[Array], list[str]]]] = {
    "os": lambda array: _product("M", "N", array.axes[1].size, "K"),
    "ws": lambda array: _product("N", "K", array.axes[0].size, "M"),
    "is": lambda array: _product("M", "K", array.axes[0].size, "N"),
}
"""By dataflow. (M x K) times (K x N): M are pixels, K the window, N filters."""


def _convolution(array: Array, *, depthwise: bool) -> list[str]:
    """Rows are clusters, columns their elements; what stays changes last.

    Output coordinates (X', Y') where pixels or kernels are unrolled, else windows of the input.
    """
    # A layer that is not depthwise is one group: the axis of the groups is idle, as of one image.
    (outer,), (inner,) = (
        [loop if depthwise or loop != "G" else "N" for loop in loops] for loops in _loops(array)
    )
    unrolled = {outer, inner}
    order = "NPQKCRS" if array.held == "outputs" else "NKCRSPQ"
    columns = array.axes[1].size
    above, below = [], []
    for loop in order:
        if loop == "K" and depthwise and "K" not in unrolled:
            continue  # one filter per channel
        name = "G" if loop == "C" and "G" in unrolled else loop
        whole = {"R": "Sz(R)", "S": "Sz(S)"}.get(loop, 1)
        window = loop in "PQ" and not set("PQRS") & unrolled
        if name == outer:
            above.append(_spatial(_LOOPS[name]))
        elif name == inner:
            above.append(_temporal(_LOOPS[name], columns))
        elif window:
            above.append(_window(loop))
        else:
            above.append(_temporal(_LOOPS[name], whole))
        if name == inner:
            below.append(_spatial(_LOOPS[name]))
        elif window:
            below.append(_window(loop))
        else:
            below.append(_temporal(_LOOPS[name], 1 if name == outer else whole))
    return [*above, f"Cluster({columns}, P);", *below]


def _window(loop: str) -> str:
    return _temporal("Y", "Sz(R)", 1) if loop == "P" else _temporal("X", "Sz(S)", 1)


def _row_stationary(nest: Nest) -> list[str]:
    """Clusters of one kernel's rows, one output line each, diagonals inside."""
    filters = min(_FILTERS_AT_A_TIME, nest.sizes["K"])
    return [
        _spatial("Y'"),
        _temporal("X'"),
        _temporal("N"),
        _temporal("C"),
        _temporal("K", filters),
        *_KERNEL,
        "Cluster(Sz(R), P);",
        _temporal("N"),
        _temporal("C"),
        _temporal("K"),
        _spatial("Y"),
        _spatial("R"),
        _KERNEL[1],
    ]


def _hardware(array: Array, nests: tuple[Nest, ...]) -> str:
    """Sizes in bytes; elements are bytes there, so what has fewer bits has more room in truth."""
    widest = {operand: max(nest.bits(operand) for nest in nests) for operand in OPERANDS}
    least = sum(-(-bits // _BYTE) for bits in widest.values())
    lines = {
        "NumPEs": array.pes,
        "L1Size": max(least, sum(array.registers.values())),
        "L2Size": sum(array.scratchpads.values()),
        "NoC_BW": _noc(array),
        "NoC_NumHops": 1,
    }
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def _noc(array: Array) -> int:
    """Elements per cycle: what the scratchpads give, or all that the array can take."""
    ports = [array.port(operand) for operand in OPERANDS]
    widths = [width for width in ports if width is not None]
    return max(1, int(sum(widths))) if widths else array.pes


def _notes(array: Array, nests: tuple[Nest, ...]) -> tuple[str, ...]:
    notes = [
        "MAESTRO was not run: the files follow those in its repository.",
        "MAESTRO has elements of one size and no energy of DRAM: bits change nothing there.",
        "MAESTRO miscounts the MACs of some strided layers without saying so: compare Num MACs "
        "with ours first.",
        "MAESTRO takes one step more per window ((R S + 1) / (R S)); the energy column of its CSV "
        "is wrong, its printed totals are not.",
    ]
    if array.systolic:
        notes.append("Layers are products of im2col matrices: inputs count once per window.")
    depthwise = [nest.name for nest in nests if _depthwise(nest, array)]
    grouped = [nest.name for nest in nests if nest.sizes["G"] > 1 and nest.name not in depthwise]
    if grouped:
        notes.append("One group stands for all groups of: " + ", ".join(grouped) + ".")
    if array.dataflow == "row_stationary":
        notes.append(
            "MAESTRO folds rows of kernels over all elements in a row; ours over rows and columns."
        )
    unfit = [
        nest.name
        for nest in nests
        if nest.sizes["G"] > 1 and nest.name in grouped and any("G" in x for x in _loops(array))
    ]
    if unfit:
        notes.append(
            "Groups are not unrolled there, only depthwise ones: " + ", ".join(unfit) + "."
        )
    return tuple(notes)
