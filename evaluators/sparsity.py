"""What zeros among the weights are good for, for every hardware template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Floats


@dataclass(frozen=True)
class Sparsity:
    """What zeros among the weights are good for.

    Attributes:
        gated: Products with zeros cost no energy.
        skipped: They take no time either, and zeros are neither stored nor moved.
        index_bits: Bits that tell where a weight stands, per weight that is not zero.
    """

    gated: bool = False
    skipped: bool = False
    index_bits: int = 0

    def stored(self, bits: Floats, density: Floats) -> Floats:
        """Bits stored per weight, zeros included."""
        if not self.skipped:
            return bits
        return np.minimum(bits, np.where(density < 1.0, density * (bits + self.index_bits), bits))

    def work(self, density: Floats) -> Floats:
        """Share of the dense steps that take time."""
        return density if self.skipped else np.ones_like(density)

    def spent(self, energy: Floats, density: Floats) -> Floats:
        """Energy of a product, J, over those with zeros and those without."""
        return energy * density if self.gated or self.skipped else energy


SPARSITIES: Final = {
    "dense": Sparsity(),
    "gated": Sparsity(gated=True),
    "skipped": Sparsity(skipped=True, index_bits=4),
}
"""What zeros are good for: nothing; no energy; neither time nor traffic, for 4 bits of index each.

Four bits of run length between weights that are not zero are those of EIE (Han et al., ISCA 2016).
"""
