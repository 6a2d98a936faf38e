"""What a plug-in implements to give a part of the genome its meaning."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import ClassVar

import numpy as np

from hwnas.arrays import Choice, Columns, Ints, Values
from hwnas.design.graph import Graph
from hwnas.design.layers import LayerTable
from hwnas.errors import SpaceError
from hwnas.space import Part


class NetworkFamily(Part):
    """Reads the ``net`` genes as networks."""

    prefix: ClassVar[str] = "net"

    @abstractmethod
    def layers(self, columns: Columns, n: int) -> LayerTable:
        """All layers of ``n`` networks, unquantised.

        Args:
            columns: Gene name to values ``(n,)`` of (at least) this part's genes. An inactive gene
                has its first choice there and must not change the answer.
            n: Number of networks.
        """

    @abstractmethod
    def graph(self, config: Mapping[str, Choice]) -> Graph:
        """One network as a graph, unquantised; its layers are the rows of `layers`.

        An element-wise addition is a row of the table; in the graph it is a layer, or the `Join`
        of the layer that alone draws on it.

        Args:
            config: Name to value of the active genes.
        """

    @property
    def own_image(self) -> int:
        """Height and width of the images that the family is made for, pixels.

        Built in for dataclasses with a field ``image``; other families that can be asked at several
        image sizes override this and `at`.

        Raises:
            SpaceError: It has networks for images of one size only.
        """
        options: list[str] = [field.name for field in fields(self)] if is_dataclass(self) else []
        if "image" not in options:
            raise SpaceError(
                f"{self.name} has networks for images of one size only",
                rule="a family with the option image is asked at other image sizes",
                cure="leave out the genes that change the images, or take another family",
            )
        return int(vars(self)["image"])

    def at(self, image: int) -> NetworkFamily:
        """The same family for images of another size.

        Args:
            image: Height and width of the images, pixels.

        Raises:
            SpaceError: The family has no networks for such images.
        """
        if image == self.own_image:
            return self
        changed: NetworkFamily = replace(self, image=image)  # type: ignore[type-var]
        return changed


class QuantizationPolicy(Part):
    """Reads the ``quant`` genes as bit widths per layer."""

    prefix: ClassVar[str] = "quant"

    @abstractmethod
    def bits(self, columns: Columns, design: Ints, cell: Ints) -> tuple[Ints, Ints]:
        """Bit widths of layer rows.

        Args:
            columns: Gene name to values ``(n,)`` of (at least) this part's genes.
            design: The rows' designs, ``(L,)``.
            cell: The rows' cells, ``(L,)``, counted from 1; 0 for stem and head.

        Returns:
            Weight bits and activation bits, each ``int64 (L,)``.
        """


class MappingPolicy(Part):
    """Reads the ``map`` genes as mappings per layer."""

    prefix: ClassVar[str] = "map"

    @abstractmethod
    def mappings(self, columns: Columns, design: Ints, cell: Ints) -> tuple[Ints, Ints]:
        """Mappings of layer rows.

        Args:
            columns: Gene name to values ``(n,)`` of (at least) this part's genes.
            design: The rows' designs, ``(L,)``.
            cell: The rows' cells, ``(L,)``, counted from 1; 0 for stem and head.

        Returns:
            Numbers of tilings and of operands that stay, each ``int64 (L,)``; 0 for the best.
        """


class TrainingPolicy(Part):
    """Reads the ``train`` genes as how networks are trained, and on which images.

    The image size also decides the layers of a network, so it counts for every cost.
    """

    prefix: ClassVar[str] = "train"
    shapes_others: ClassVar[bool] = True

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """The image sizes that genes choose from; none where images are as the family says."""

    def images(self, columns: Columns, n: int) -> Ints | None:
        """Height and width of the images of ``n`` designs, ``int64 (n,)``; None without `sizes`.

        Built in for a gene ``train.resolution`` that is always active.

        Args:
            columns: Gene name to values ``(n,)`` of (at least) this part's genes.
            n: Number of designs.
        """
        if not self.sizes:
            return None
        return np.asarray(columns[f"{self.prefix}.resolution"], dtype=np.int64)

    @abstractmethod
    def recipes(self, columns: Columns, n: int) -> Mapping[str, Values]:
        """What genes change about the training: one column ``(n,)`` per setting.

        Evaluators take the settings that they know (`evaluators.training` says which) and leave
        all others as they are for every design.

        Args:
            columns: Gene name to values ``(n,)`` of (at least) this part's genes. An inactive gene
                has its first choice there and must not change the answer.
            n: Number of designs.
        """


class AcceleratorTemplate(Part):
    """Reads the ``hw`` genes as accelerators."""

    prefix: ClassVar[str] = "hw"

    def accelerators(self, columns: Columns, n: int) -> Mapping[str, Values]:
        """One column ``(n,)`` per accelerator parameter, in units at rest.

        The parameters are the genes without their prefix; a template with fixed or derived
        parameters adds them.
        """
        start = f"{self.prefix}."
        return {
            name.removeprefix(start): values
            for name, values in columns.items()
            if name.startswith(start)
        }
