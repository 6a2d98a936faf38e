"""What a plug-in implements to give a part of the genome its meaning."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from hwnas.arrays import Choice, Columns, Ints, Values
from hwnas.design.graph import Graph
from hwnas.design.layers import LayerTable
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
