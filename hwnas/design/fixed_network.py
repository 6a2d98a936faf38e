"""Networks that are not searched: a choice of bit widths and accelerators for a known one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np

from hwnas.arrays import Choice
from hwnas.design.candidates import check_positive
from hwnas.design.graph import Graph
from hwnas.design.layers import LayerTable
from hwnas.design.networks import CONVOLUTIONAL, NETWORKS, TRANSFORMERS
from hwnas.design.one_network import OneNetwork, digest
from hwnas.design.outside.onnx_file import from_onnx
from hwnas.design.rows import rows_of, table_of
from hwnas.errors import SpaceError, nearest

_SHOWN: Final = {"image": 224, "channels": 3, "classes": 1000}
"""What a network is made for unless something else is asked for."""


@dataclass(frozen=True)
class FixedNetwork(OneNetwork):
    """One well-known network as it is, or the network of an ONNX file.

    The well-known ones are ``resnet18``, ``resnet50``, ``mobilenet_v2``, ``mobilenet_v3_large``,
    ``mobilenet_v3_small``, ``efficientnet_b0`` and ``vit_tiny`` (images of 224 x 224, 1,000
    classes), and ``bert_small`` (128 tokens). All but the last two are convolutional: they can be
    made for other images and classes, and they can be trained. Each layer with weights can have
    bits of its own, see `BitsPerLayer` and `depth`.

    A file is read once, on construction. Its network's only gene carries a digest of the layers, so
    a study does not go on with a file that was changed in between.

    Attributes:
        network: One of the names above; the file's stem where a file is given.
        file: An ONNX file, see `from_onnx`.
        unknown: What to do about its operators that are not known: ``error`` or ``skip``.
        sizes: What to take for the sizes that the file leaves open, by their names.
        batch: Images (or sequences) that are worked on at a time, times those of the file.
        density: Share of the weights of every layer that are not zero, as structured pruning
            leaves them; cost models say what zeros are good for.
        image: Height and width of the images.
        channels: Channels of the images.
        classes: Number of classes.

    Raises:
        SpaceError: There is no such network, both a network and a file are given, the batch or the
            density is impossible, or images or classes are, or are not those of a transformer or a
            file.
        DesignError: The file cannot be read, see `from_onnx`.
        MissingExtraError: The package onnx is not installed.
    """

    network: str = "resnet18"
    file: Path | None = None
    unknown: Literal["error", "skip"] = "error"
    sizes: Mapping[str, int] | None = None
    batch: int = 1
    density: float = 1.0
    image: int = _SHOWN["image"]
    channels: int = _SHOWN["channels"]
    classes: int = _SHOWN["classes"]
    _table: LayerTable = field(init=False, repr=False, compare=False)
    _label: str = field(init=False, repr=False)

    name: ClassVar[str] = "fixed_network"

    def __post_init__(self) -> None:
        if self.batch < 1 or not 0.0 < self.density <= 1.0:
            raise SpaceError(
                f"fixed_network cannot have batch {self.batch} and density {self.density}",
                rule="a batch of at least 1, a density above 0 and up to 1",
            )
        if self.file is None:
            if self.network not in NETWORKS:
                raise SpaceError(
                    f"fixed_network has no network {self.network!r}",
                    rule="one of " + ", ".join(NETWORKS),
                    given=repr(self.network),
                    cure=nearest(self.network, NETWORKS),
                )
            table, label = self._built_in()
        else:
            file = Path(self.file)
            if self.network not in (type(self).network, file.stem):
                raise SpaceError(
                    "fixed_network cannot have a network and a file",
                    rule="one of them",
                    given=f"network {self.network!r}, file {file}",
                    cure="leave out network",
                )
            self._check_shown("a file")
            table = from_onnx(file, unknown=self.unknown, sizes=self.sizes)
            label = f"{file.stem}-{digest(table)}"
            object.__setattr__(self, "file", file)
            object.__setattr__(self, "network", file.stem)
        if self.batch > 1:
            label = f"{label}-batch{self.batch}"
        if self.density < 1.0:
            label = f"{label}-density{self.density:g}"
        density = np.where(table.has_weights, table.density * self.density, table.density)
        object.__setattr__(self, "_table", replace(table, N=table.N * self.batch, density=density))
        object.__setattr__(self, "_label", label)

    @property
    def label(self) -> str:
        """The network's name; with a digest of its layers if it comes from a file."""
        return self._label

    @property
    def table(self) -> LayerTable:
        """The layers of one design; single precision unless the file says otherwise."""
        return self._table

    def options(self) -> dict[str, Any]:
        """Network, file and how it is read, batch, density; see `hwnas.space.Part.options`."""
        sizes = None if self.sizes is None else dict(self.sizes)
        file = None if self.file is None else str(self.file)
        return {
            "network": self.network,
            "file": file,
            "unknown": self.unknown,
            "sizes": sizes,
            "batch": self.batch,
            "density": self.density,
            **self._reshown(),
        }

    def graph(self, config: Mapping[str, Choice]) -> Graph:
        """The network as a graph, at its own bits; see `NetworkFamily.graph`.

        Raises:
            DesignError: It is a transformer, comes from a file, or has weights of zero.
        """
        if self.file is not None:
            return super().graph(config)
        if self.network not in CONVOLUTIONAL:
            raise self._no_graph(
                "convolutional: transformers cannot be trained here, as a graph has no product of "
                "activations, softmax or layer normalisation",
                cure="take its accuracy from a table, or one of " + ", ".join(CONVOLUTIONAL),
            )
        if self.density < 1.0:
            raise self._no_graph(
                "density 1: which weights are zero is not known",
                cure="leave out density where the network is trained",
            )
        drawn, _ = _drawn(self.network, self.image, self.channels, self.classes)
        cells = self.table.cell.tolist()
        layers = (replace(layer, cell=c) for layer, c in zip(drawn.layers, cells, strict=True))
        return replace(drawn, layers=tuple(layers))

    @property
    def own_image(self) -> int:
        """Height and width of its images; see `NetworkFamily.own_image`.

        Raises:
            SpaceError: It comes from a file.
        """
        if self.file is not None:
            raise SpaceError(
                f"{self.label} is made for images of one size only",
                rule="images are an option of " + ", ".join(CONVOLUTIONAL),
                cure="leave out the genes that change the images, or take another network",
            )
        return self.image

    def _built_in(self) -> tuple[LayerTable, str]:
        if self.network in TRANSFORMERS:
            self._check_shown(self.network)
            return _transformer(self.network), self.network
        check_positive(self, *_SHOWN)
        _, table = _drawn(self.network, self.image, self.channels, self.classes)
        made_for = f"-{self.channels}x{self.image}x{self.image}-{self.classes}"
        return table, self.network + (made_for if self._reshown() else "")

    def _reshown(self) -> dict[str, int]:
        """Images and classes, where they are not the usual ones."""
        return {name: getattr(self, name) for name in _SHOWN if getattr(self, name) != _SHOWN[name]}

    def _check_shown(self, kind: str) -> None:
        changed = self._reshown()
        if changed:
            raise SpaceError(
                f"{kind} cannot be made for other images or classes",
                rule="images and classes are options of " + ", ".join(CONVOLUTIONAL),
                given=", ".join(f"{name} = {value}" for name, value in changed.items()),
                cure="leave them out, or take one of these networks",
            )


@lru_cache(maxsize=16)
def _drawn(network: str, image: int, channels: int, classes: int) -> tuple[Graph, LayerTable]:
    graph = CONVOLUTIONAL[network](image, channels, classes)
    return graph, table_of(rows_of(graph))


@lru_cache(maxsize=len(TRANSFORMERS))
def _transformer(network: str) -> LayerTable:
    return table_of(TRANSFORMERS[network]())
