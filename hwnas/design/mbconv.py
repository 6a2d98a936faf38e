"""Networks of inverted residual blocks, the family of MobileNetV2 and of most supernets.

A network is a 3x3 stem, stages of one to a few blocks, a 1x1 convolution, global average pooling
and a classifier. A block widens its input (1x1, absent where the expansion is 1), convolves every
channel by itself (3x3 or 5x5) and projects to the stage's width (1x1) without a rectifier behind
it; where neither the image nor the width changes, its input is added. The first block of a stage
has the stage's stride.

Sources: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018 (the
block); Cai et al., "Once-for-All", ICLR 2020 (depth, width, kernel and expansion as genes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from hwnas.arrays import Choice, Columns, Floats, Ints, Values
from hwnas.design.candidates import check_positive, relative_logs, sizes
from hwnas.design.graph import Activation, Graph, Join, Layer, Source
from hwnas.design.layers import FLOAT_BITS, LayerTable, Operator
from hwnas.design.parts import NetworkFamily
from hwnas.errors import SpaceError
from hwnas.space import Gene, When

_STEM_KERNEL: Final = 3
CELLS: Final = ("stage", "block", "layer")
"""What a cell of the network can be: what a quantization policy gives bits to."""


@dataclass(frozen=True)
class MBConv(NetworkFamily):
    """Networks of inverted residual blocks.

    Attributes:
        channels_per_stage: Channels of each stage at width multiplier 1; as many as stages.
        strides: Stride of each stage's first block.
        depths: Blocks per stage to choose from.
        widths: Width multipliers of a stage to choose from.
        kernels: Kernels of the depthwise convolutions to choose from; odd.
        expansions: How many times wider a block is inside than its input, to choose from.
        stem: Channels of the stem.
        stem_stride: Stride of the stem.
        head: Channels of the 1x1 convolution in front of the pooling.
        cell_of: What gets bits of its own: ``stage`` (cells 1 to the number of stages), ``block``
            (numbered through as if all stages had their greatest depth; see `blocks`) or
            ``layer`` (stem, three for every possible block, head, classifier: for
            `BitsPerLayer` with as many layers as `cells`).
        image: Height and width of the input image.
        channels: Channels of the input image.
        classes: Number of classes.
    """

    channels_per_stage: tuple[int, ...] = (8, 12, 16)
    strides: tuple[int, ...] = (2, 1, 2)
    depths: tuple[int, ...] = (1, 2, 3)
    widths: tuple[float, ...] = (0.5, 1.0, 1.5)
    kernels: tuple[int, ...] = (3, 5)
    expansions: tuple[int, ...] = (1, 2, 3)
    stem: int = 10
    stem_stride: int = 1
    head: int = 48
    cell_of: str = "stage"
    image: int = 8
    channels: int = 1
    classes: int = 10

    name: ClassVar[str] = "mbconv"

    def __post_init__(self) -> None:
        counts = ("channels_per_stage", "strides", "depths", "kernels", "expansions")
        for option in (*counts, "widths"):
            object.__setattr__(self, option, tuple(getattr(self, option)))
        for option in counts:
            values = getattr(self, option)
            self._require(bool(values) and min(values) >= 1, option, "at least one, each from 1")
        check_positive(self, "stem", "stem_stride", "head", "image", "channels", "classes")
        narrowest = min(self.widths, default=0.0) * min(self.channels_per_stage)
        self._require(narrowest >= 1, "widths", "every stage has at least one channel")
        self._require(all(k % 2 for k in self.kernels), "kernels", "odd, so that images keep sizes")
        stages = len(self.channels_per_stage)
        self._require(len(self.strides) == stages, "strides", f"one per stage: {stages}")
        self._require(self.cell_of in CELLS, "cell_of", "one of " + ", ".join(CELLS))

    def _require(self, holds: bool, option: str, rule: str) -> None:
        if not holds:
            given = getattr(self, option)
            shown = list(given) if isinstance(given, tuple) else repr(given)
            raise SpaceError(f"mbconv cannot have {option} = {shown}", rule=rule)

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.channels_per_stage)

    @property
    def cells(self) -> int:
        """Number of cells of the largest network."""
        blocks = self.stages * max(self.depths)
        return {"stage": self.stages, "block": blocks, "layer": 3 * blocks + 3}[self.cell_of]

    @property
    def blocks(self) -> tuple[tuple[str, int], ...]:
        """Of each possible block the gene that says whether it exists, and from which value on.

        These are the conditions of `BitsPerCell` (``exists``) where a block is a cell.
        """
        return tuple(
            (f"net.stage{stage}.depth", block)
            for stage in range(1, self.stages + 1)
            for block in range(1, max(self.depths) + 1)
        )

    def genes(self) -> tuple[Gene, ...]:
        """Per stage its depth and width, and per block its kernel and expansion."""
        genes: list[Gene] = []
        for stage in range(1, self.stages + 1):
            name = f"net.stage{stage}"
            genes.append(Gene(f"{name}.depth", self.depths))
            genes.append(Gene(f"{name}.width", self.widths))
            for block in range(1, max(self.depths) + 1):
                always = block <= min(self.depths)
                when = () if always else (When(f"{name}.depth", at_least=block),)
                genes.append(Gene(f"{name}.block{block}.kernel", self.kernels, when=when))
                genes.append(Gene(f"{name}.block{block}.expansion", self.expansions, when=when))
        return tuple(genes)

    def layers(self, columns: Columns, n: int) -> LayerTable:
        """All layers of ``n`` networks at single precision; see `NetworkFamily.layers`."""
        rows = list(_rows(self, columns))

        def flat(name: str) -> Values:
            spread = [np.broadcast_to(np.asarray(row[name]), (n,)) for row in rows]
            return np.stack(spread, axis=1).reshape(-1)

        here = np.flatnonzero(flat("exists"))
        table: dict[str, Ints] = {name: flat(name)[here].astype(np.int64) for name in _COLUMNS}
        design = here // len(rows)
        return LayerTable.of(n, design, **table, Q=table["P"], S=table["R"])

    def graph(self, config: Mapping[str, Choice]) -> Graph:
        """One network as a graph at single precision; see `NetworkFamily.graph`.

        A layer has one name in all networks, so that a supernet can share its weights. Where
        nothing is widened the others of a block have names of their own: what they filter is not
        the same, and supernets whose blocks shared them ranked worse.
        """
        built = _Built([])
        image = _halved(self.image, self.stem_stride)
        stem = {"kernel": _STEM_KERNEL, "stride": self.stem_stride, "image": image}
        built.add("stem", -1, C=self.channels, K=self.stem, cell=self.cell(0, 0), **stem)
        before = self.stem
        for stage in range(1, self.stages + 1):
            name = f"stage{stage}"
            width = int(self.width(stage, config[f"net.{name}.width"]))
            for block in range(1, int(config[f"net.{name}.depth"]) + 1):
                stride = self.strides[stage - 1] if block == 1 else 1
                kernel = int(config[f"net.{name}.block{block}.kernel"])
                expansion = int(config[f"net.{name}.block{block}.expansion"])
                cells = [self.cell(stage, block, layer) for layer in range(3)]
                start, inside = built.last, before * expansion
                at = f"{name}.block{block}"
                within = at
                if expansion > 1:
                    built.add(f"{at}.expand", start, C=before, K=inside, image=image, cell=cells[0])
                else:
                    within = f"{at}.narrow"
                image = _halved(image, stride)
                deep = {"K": inside, "groups": inside, "kernel": kernel, "stride": stride}
                built.add(
                    f"{within}.depthwise", built.last, C=inside, image=image, cell=cells[1], **deep
                )
                linear = {"activation": Activation.NONE, "cell": cells[2]}
                built.add(f"{within}.project", built.last, C=inside, K=width, image=image, **linear)
                if stride == 1 and before == width:
                    both = (Source(start), Source(built.last))
                    built.sum(f"{at}.sum", both, width, image, cells[2])
                before = width
        built.add(
            "head",
            built.last,
            C=before,
            K=self.head,
            image=image,
            cell=self.cell(self.stages + 1, 0),
        )
        rest = {"normalised": False, "activation": Activation.NONE, "image": 1, "C": self.head}
        pool = {"operator": Operator.POOL, "kernel": image}
        built.add(
            "pool", built.last, K=self.head, cell=self.cell(self.stages + 1, 0), **pool, **rest
        )
        linear = {"operator": Operator.LINEAR, "cell": self.cell(self.stages + 1, 0, 1)}
        built.add("classifier", built.last, K=self.classes, **linear, **rest)
        return Graph(tuple(built.layers), self.image, self.channels, self.classes)

    def encoding_names(self) -> tuple[str, ...]:
        """Depths, widths, kernels and expansions, then sizes; see `encoding`."""
        shares = [gene.name.removeprefix("net.") for gene in self.genes()]
        return (*shares, "log_weights", "log_macs")

    def encoding(self, columns: Columns, n: int) -> Floats:
        """Describes ``n`` networks; see `Part.encoding`.

        Returns:
            ``float64 (n, genes + 2)``, all in [0, 1]: every gene as a share of its largest value,
            0 for a block that is not there; and the logarithms of weights and
            multiply-accumulates between those of the smallest and the largest network.
        """
        shares = []
        for gene in self.genes():
            choices = np.asarray(gene.choices, dtype=np.float64)
            share = columns[gene.name].astype(np.float64) / choices.max()
            for when in gene.when:
                depth = columns[when.gene].astype(np.int64)
                share = np.where(depth >= (when.at_least or 0), share, 0.0)
            shares.append(share)
        extremes = {
            gene.name: np.array([min(gene.choices), max(gene.choices)]) for gene in self.genes()
        }
        smallest, largest = sizes(self.layers(extremes, 2))
        logs = np.zeros((n, 2))
        if (smallest < largest).all():
            logs = relative_logs(sizes(self.layers(columns, n)), smallest, largest)
        return np.column_stack([*shares, logs])

    def width(self, stage: int, multiplier: Any) -> Any:
        """Channels of a stage, counted from 1, at one or several width multipliers."""
        return np.rint(self.channels_per_stage[stage - 1] * multiplier).astype(np.int64)

    def cell(self, stage: int, block: int, layer: int = 0) -> int:
        """The cell of a layer; see `cell_of`.

        Args:
            stage: The stage, from 1; 0 for the stem, one more than there are for what follows them.
            block: The block of the stage, from 1.
            layer: Its place: 0 expansion, 1 depthwise, 2 projection and addition; behind the
                stages 0 for head and pooling, 1 for the classifier.
        """
        inside = 1 <= stage <= self.stages
        slot = (stage - 1) * max(self.depths) + block - 1 if inside else 0
        if self.cell_of == "layer":
            if inside:
                return 2 + 3 * slot + layer
            return 1 if stage == 0 else self.cells - 1 + layer
        if not inside:
            return 0
        return stage if self.cell_of == "stage" else 1 + slot


@dataclass(frozen=True)
class _Built:
    """The layers of a graph so far."""

    layers: list[Layer]

    @property
    def last(self) -> int:
        """The index of the latest layer."""
        return len(self.layers) - 1

    def add(self, name: str, source: int, **fields: Any) -> None:
        """Adds a layer behind another."""
        usual: dict[str, Any] = {
            "operator": Operator.CONVOLUTION, "join": Join.CONCATENATE, "kernel": 1, "stride": 1,
            "groups": 1, "weight_bits": FLOAT_BITS, "activation_bits": FLOAT_BITS,
            "normalised": True, "activation": Activation.RELU,
        }  # fmt: skip
        self.layers.append(Layer(name=name, **{**usual, "sources": (Source(source),), **fields}))

    def sum(self, name: str, sources: tuple[Source, ...], C: int, image: int, cell: int) -> None:
        """Adds an addition."""
        self.add(
            name, -1, operator=Operator.ADD, sources=sources, join=Join.ADD, C=C, K=C, image=image,
            cell=cell, normalised=False, activation=Activation.NONE,
        )  # fmt: skip


_COLUMNS: Final = ("operator", "C", "K", "P", "R", "stride", "groups", "cell")


def _row(**fields: Any) -> dict[str, Any]:
    usual = {"operator": int(Operator.CONVOLUTION), "P": 1, "R": 1, "stride": 1, "groups": 1}
    return {**usual, "exists": True, **fields}


def _halved(image: int, stride: int) -> int:
    """The image behind a convolution with a stride, padded by (kernel - 1) / 2."""
    return -(-image // stride)


def _rows(family: MBConv, columns: Columns) -> Iterator[dict[str, Any]]:
    """Every row that some network of the family could have; numbers or columns ``(n,)``."""

    def numbers(gene: str) -> Any:
        return columns[gene].astype(np.float64)

    def counts(gene: str) -> Any:
        return columns[gene].astype(np.int64)

    image = _halved(family.image, family.stem_stride)
    before: Any = family.stem
    stem = {"C": family.channels, "K": before, "P": image, "R": _STEM_KERNEL}
    yield _row(**stem, stride=family.stem_stride, cell=family.cell(0, 0))
    for stage in range(1, family.stages + 1):
        name = f"net.stage{stage}"
        width = family.width(stage, numbers(f"{name}.width"))
        for block in range(1, max(family.depths) + 1):
            exists = counts(f"{name}.depth") >= block
            expansion = counts(f"{name}.block{block}.expansion")
            kernel = counts(f"{name}.block{block}.kernel")
            stride = family.strides[stage - 1] if block == 1 else 1
            wide = {"C": before, "K": before * expansion, "P": image}
            cells = [family.cell(stage, block, layer) for layer in range(3)]
            yield _row(**wide, exists=exists & (expansion > 1), cell=cells[0])
            image, inside = _halved(image, stride), before * expansion
            deep = {"C": inside, "K": inside, "groups": inside, "R": kernel, "stride": stride}
            yield _row(**deep, P=image, exists=exists, cell=cells[1])
            yield _row(C=inside, K=width, P=image, exists=exists, cell=cells[2])
            added = {"C": width, "K": width, "P": image, "operator": int(Operator.ADD)}
            same = exists & (before == width) & (stride == 1)
            yield _row(**added, exists=same, cell=cells[2])
            before = width
    end, wide = family.stages + 1, {"C": family.head, "K": family.head}
    yield _row(C=before, K=family.head, P=image, cell=family.cell(end, 0))
    yield _row(**wide, R=image, operator=int(Operator.POOL), cell=family.cell(end, 0))
    classes = {"C": family.head, "K": family.classes, "operator": int(Operator.LINEAR)}
    yield _row(**classes, cell=family.cell(end, 0, 1))
