"""Networks that are not searched: a choice of bit widths and accelerators for a known one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from hwnas.design.layers import LayerTable
from hwnas.design.networks import NETWORKS
from hwnas.design.one_network import OneNetwork, digest
from hwnas.design.outside.onnx_file import from_onnx
from hwnas.design.rows import table_of
from hwnas.errors import SpaceError, nearest


@dataclass(frozen=True)
class FixedNetwork(OneNetwork):
    """One well-known network as it is, or the network of an ONNX file.

    The well-known ones are ``resnet18``, ``resnet50``, ``mobilenet_v2``, ``mobilenet_v3_large``,
    ``mobilenet_v3_small``, ``efficientnet_b0`` and ``vit_tiny`` (images of 224 x 224, 1,000
    classes), and ``bert_small`` (128 tokens). Each layer with weights can have bits of its own, see
    `BitsPerLayer` and `depth`.

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

    Raises:
        SpaceError: There is no such network, both a network and a file are given, or the batch or
            the density is impossible.
        DesignError: The file cannot be read, see `from_onnx`.
        MissingExtraError: The package onnx is not installed.
    """

    network: str = "resnet18"
    file: Path | None = None
    unknown: Literal["error", "skip"] = "error"
    sizes: Mapping[str, int] | None = None
    batch: int = 1
    density: float = 1.0
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
            table, label = _known(self.network), self.network
        else:
            file = Path(self.file)
            if self.network not in (type(self).network, file.stem):
                raise SpaceError(
                    "fixed_network cannot have a network and a file",
                    rule="one of them",
                    given=f"network {self.network!r}, file {file}",
                    cure="leave out network",
                )
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
        }


@lru_cache(maxsize=len(NETWORKS))
def _known(network: str) -> LayerTable:
    return table_of(NETWORKS[network]())
