"""How layers are mapped onto an array: loop order and tiling, as genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from hwnas.arrays import Columns, Ints
from hwnas.design.parts import MappingPolicy
from hwnas.errors import SpaceError, nearest
from hwnas.space import Gene

BEST: Final = "best"
"""As a choice: the cost model takes the best one."""
TILINGS: Final = (
    "weights",
    "inputs",
    "outputs_of_filters",
    "outputs_of_pixels",
    "outputs_by_halves",
    "outputs_by_eighths",
    "weights_in_parts",
)
"""Off chip: what stays in the scratchpads longest (`evaluators.spatial.tilings` says how)."""
STAYS: Final = (
    "weights_for_outputs",
    "weights_for_inputs",
    "outputs_for_weights",
    "outputs_for_inputs",
    "inputs_for_outputs",
    "inputs_for_weights",
)
"""On chip: what stays in the registers, and what its room serves (`evaluators.spatial.stays`)."""


def _settle(policy: MappingPolicy, option: str, known: tuple[str, ...]) -> None:
    values = tuple(getattr(policy, option))
    strange = [value for value in values if value not in (BEST, *known)]
    if strange or not values:
        raise SpaceError(
            f"{policy.name} cannot have {option} = {list(values)}",
            rule=f"at least one choice of {', '.join((BEST, *known))}",
            cure=nearest(strange[0], known) if strange else "",
        )
    object.__setattr__(policy, option, values)


def _numbers(values: Columns, genes: list[str], known: tuple[str, ...]) -> Ints:
    """Places among the choices, from 1, and 0 for the best one, ``(n, genes)``."""
    places = np.zeros((len(values[genes[0]]), len(genes)), dtype=np.int64)
    for gene, column in zip(genes, places.T, strict=True):
        for number, name in enumerate(known, start=1):
            column[values[gene] == name] = number
    return places


@dataclass(frozen=True)
class UniformMapping(MappingPolicy):
    """One tiling and one operand that stays, for all layers of a network.

    Attributes:
        tiling: Of `TILINGS` to choose from, or ``best``.
        stay: Of `STAYS` to choose from, or ``best``.
    """

    tiling: tuple[str, ...] = (BEST, *TILINGS)
    stay: tuple[str, ...] = (BEST, *STAYS)

    name: ClassVar[str] = "uniform_mapping"

    def __post_init__(self) -> None:
        _settle(self, "tiling", TILINGS)
        _settle(self, "stay", STAYS)

    def genes(self) -> tuple[Gene, ...]:
        """``map.tiling`` and ``map.stay``."""
        return (
            Gene("map.tiling", self.tiling, ordered=False),
            Gene("map.stay", self.stay, ordered=False),
        )

    def mappings(self, columns: Columns, design: Ints, cell: Ints) -> tuple[Ints, Ints]:
        """Mappings of layer rows; see `MappingPolicy.mappings`."""
        del cell
        tiling = _numbers(columns, ["map.tiling"], TILINGS)[:, 0]
        stay = _numbers(columns, ["map.stay"], STAYS)[:, 0]
        return tiling[design], stay[design]


@dataclass(frozen=True)
class MappingPerLayer(MappingPolicy):
    """A tiling and an operand that stays for each layer, as InstantNet's AutoMapper searches them.

    As `BitsPerLayer` it is for networks that count each layer with weights as a cell of its own;
    what belongs to no cell is mapped best (Fu et al., "InstantNet: automated generation and
    deployment of instantaneously switchable-precision networks", DAC 2021).

    Attributes:
        layers: The number of layers with weights.
        tiling: Of `TILINGS` to choose from, or ``best``.
        stay: Of `STAYS` to choose from, or ``best``.
    """

    layers: int = 21
    tiling: tuple[str, ...] = TILINGS
    stay: tuple[str, ...] = STAYS

    name: ClassVar[str] = "mapping_per_layer"

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise SpaceError(f"{self.name} cannot have layers = {self.layers}", rule="at least 1")
        _settle(self, "tiling", TILINGS)
        _settle(self, "stay", STAYS)

    def genes(self) -> tuple[Gene, ...]:
        """``map.tiling1``, ``map.stay1``, ``map.tiling2``, and so on."""
        kinds = (("tiling", self.tiling), ("stay", self.stay))
        return tuple(
            Gene(f"map.{kind}{layer}", choices, ordered=False)
            for layer in range(1, self.layers + 1)
            for kind, choices in kinds
        )

    def mappings(self, columns: Columns, design: Ints, cell: Ints) -> tuple[Ints, Ints]:
        """Mappings of layer rows; see `MappingPolicy.mappings`.

        Raises:
            SpaceError: The network has more layers than there are genes for.
        """
        if cell.size and cell.max() > self.layers:
            raise SpaceError(
                f"the network has a layer {cell.max()}, the policy mappings for {self.layers}",
                rule="one mapping per layer",
                cure=f"{self.name}(layers={cell.max()})",
            )
        found = []
        for kind, known in (("tiling", TILINGS), ("stay", STAYS)):
            genes = [f"map.{kind}{layer}" for layer in range(1, self.layers + 1)]
            numbers = np.pad(_numbers(columns, genes, known), ((0, 0), (1, 0)))
            found.append(numbers[design, cell])
        return found[0], found[1]
