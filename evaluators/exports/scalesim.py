"""Systolic arrays as configuration and topology of SCALE-Sim.

The formats are those that SCALE-Sim 3.0.0 (PyPI ``scalesim``) reads: a configuration, and tables
of which the first line is a heading and every line ends with a comma. Run it with

    python -m scalesim.scale -c scalesim.cfg -t topology.csv -l layout.csv -p out

or, for the same layers as matrix products, ``-t gemm.csv -i gemm``; this writes traces of every
layer, which get large (``save_disk_space`` of ``scalesim.scale_sim.scalesim`` spares them). With
its bandwidth mode CALC it never stalls; its cycles are then ours minus 1 (it counts from 0), for
each layer.
"""

from __future__ import annotations

from typing import ClassVar, Final

from evaluators.exports.arrays import Array, array_of
from evaluators.exports.nests import Nest, nests_of
from hwnas.design import Design
from hwnas.design.export import Export, Exported, ExportedLayer
from hwnas.errors import DesignError

_KIB: Final = 1024

_CONFIGURATION: Final = """\
[general]
run_name = hwnas

[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: {inputs}
FilterSramSzkB: {weights}
OfmapSramSzkB: {outputs}
IfmapOffset: 0
FilterOffset: {offset}
OfmapOffset: {last}
Bandwidth: {bandwidth}
Dataflow: {dataflow}
MemoryBanks: 1
ReadRequestBuffer: 32
WriteRequestBuffer: 32

[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2

[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40

[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""

_CONVOLUTIONS: Final = (
    "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,"
)
_PRODUCTS: Final = "Layer name,M,N,K,"


class ScaleSim(Export):
    """SCALE-Sim 3.0.0: a configuration and a topology, of systolic arrays."""

    name: ClassVar[str] = "scalesim"

    def files(self, design: Design) -> Exported:
        """Configuration, topology (also as matrix products) and an empty layout.

        A layer in the topology is one group of a row, so that `ExportedLayer.times` is the number
        of groups. Inputs are given with their padding, which the tool does not know, as
        (P - 1) stride + R lines; the images of a batch lie one below the other.

        Raises:
            DesignError: The accelerator is no systolic array, or no layer multiplies.
        """
        array = array_of(design, "SCALE-Sim")
        if not array.systolic:
            raise DesignError(
                f"SCALE-Sim has no accelerator such as {array.template}",
                where="part hw",
                rule="a systolic_array",
                given=array.template,
                cure="export it to zigzag, timeloop or maestro",
            )
        nests, notes = nests_of(design, "SCALE-Sim")
        return Exported(
            files=texts(array, nests),
            notes=(*notes, *array.pe_note(), *_notes(array, nests)),
            layers=tuple(ExportedLayer(n.name, n.row, n.sizes["G"]) for n in nests),
        )


def texts(array: Array, nests: tuple[Nest, ...]) -> dict[str, str]:
    """The files of some layers on a systolic array: name to text."""
    return {
        "scalesim.cfg": _configuration(array, nests),
        "topology.csv": _table(_CONVOLUTIONS, [_convolution(nest) for nest in nests]),
        "gemm.csv": _table(_PRODUCTS, [_product(nest) for nest in nests]),
        "layout.csv": "Layer name,\n",
    }


def _configuration(array: Array, nests: tuple[Nest, ...]) -> str:
    rows, columns = (axis.size for axis in array.axes)
    # Operands must not share addresses: the longest input or filter fits below the next offset.
    offset = max(
        10_000_000, *(n.elements(o, n.sizes) for n in nests for o in ("inputs", "weights"))
    )
    return _CONFIGURATION.format(
        rows=rows,
        columns=columns,
        **{operand: -(-size // _KIB) for operand, size in array.scratchpads.items()},
        offset=offset,
        last=2 * offset,
        bandwidth=max(1, array.dram_bits_per_cycle // 8),
        dataflow=array.dataflow,
    )


def _convolution(nest: Nest) -> tuple[object, ...]:
    size = nest.sizes
    return (
        nest.name,
        nest.extent(size["N"] * size["P"], size["R"]),
        nest.extent(size["Q"], size["S"]),
        *(size[loop] for loop in ("R", "S", "C", "K")),
        nest.stride,
    )


def _product(nest: Nest) -> tuple[object, ...]:
    return nest.name, nest.pixels, nest.sizes["K"], nest.window


def _table(heading: str, rows: list[tuple[object, ...]]) -> str:
    lines = ["".join(f"{value}," for value in row) for row in rows]
    return "\n".join([heading, *lines]) + "\n"


def _notes(array: Array, nests: tuple[Nest, ...]) -> tuple[str, ...]:
    notes = [
        "SCALE-Sim never stalls in the mode CALC and counts cycles from 0: one fewer per layer "
        "than ours; times the number of groups.",
        "SCALE-Sim has words of 1 byte and no energy: bits change nothing there.",
    ]
    rounded = [
        f"{operand} {size} B to {-(-size // _KIB)} KiB"
        for operand, size in array.scratchpads.items()
        if size % _KIB
    ]
    if rounded:
        notes.append("Scratchpads are rounded up to whole KiB: " + ", ".join(rounded) + ".")
    grouped = [nest.name for nest in nests if nest.sizes["G"] > 1]
    if grouped:
        notes.append("One group stands for all groups of: " + ", ".join(grouped) + ".")
    batches = [nest.name for nest in nests if nest.sizes["N"] > 1]
    if batches:
        notes.append(
            "The images of a batch lie one below the other, which shares lines between them: "
            + ", ".join(batches)
            + "."
        )
    return tuple(notes)
