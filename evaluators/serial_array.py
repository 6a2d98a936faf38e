"""Cycles of an array of bit-serial dot products, such as BISMO: a second opinion on serial bits.

An array has ``pixels`` x ``filters`` units, each of which multiplies ``depth`` one-bit weights with
as many one-bit activations per cycle and adds them up (Umuroglu et al., "BISMO", FPL 2018). Values
of w and a bits take w a such steps. One word of ``depth`` bits of each operand is read per cycle.

The array, its word and the rules below were read off a table of 53 layers of MobileNetV2 x 8 weight
bits x 8 activation bits at batch 16, published with HAQ (Wang et al., CVPR 2019). That table is
sometimes taken for Bit Fusion's; its times go with *every* bit from 1 to 8 and not with powers of
two, so it is of a bit-serial array (HAQ used both). No constant is fitted, but neither were rows
held out. A layer takes the longest of

* computing: a tile of ``pixels`` x ``filters`` outputs takes w a cycles per word of the window, and
  the array fills once per tile of one kind, whichever is rarer;
* reading: one word per pixel (or filter), word of the window and bit, of every image anew; what is
  read last has still to be computed with;
* waiting for all of one operand during the first tile of the other, then computing the rest, in the
  better of the two orders.

Images follow one another, except that those of vectors lie side by side. A depthwise layer is run
as dense layers of 16 channels each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Floats
from hwnas.design import LayerTable

_PACKED: Final = 16.0
"""Depthwise channels that are run as one dense layer."""


@dataclass(frozen=True)
class SerialArray:
    """An array of one-bit dot products; as it comes, the one that the published table implies.

    Attributes:
        pixels: Output pixels side by side.
        filters: Output channels side by side.
        depth: Bits of one operand word: products that a unit adds up per cycle.
    """

    pixels: int = 16
    filters: int = 16
    depth: int = 256


def serial_cycles(layers: LayerTable, array: SerialArray | None = None) -> Floats:
    """Clock cycles of layers on an array of bit-serial dot products.

    Args:
        layers: ``L`` rows.
        array: The array; left out, that of the published table.

    Returns:
        ``(L,)``, in the order of the rows; 0 for rows that do not multiply.
    """
    array = array or SerialArray()
    shape = (layers.N, layers.K, layers.C, layers.P, layers.Q, layers.R, layers.S, layers.groups)
    N, K, C, P, Q, R, S, groups = (column.astype(np.float64) for column in shape)
    weight_bits = layers.operand_bits.astype(np.float64)
    activation_bits = layers.activation_bits.astype(np.float64)
    packed = np.where(groups > 1.0, np.maximum(np.floor(_PACKED / (C / groups)), 1.0), 1.0)
    packs = np.ceil(groups / packed)
    words = np.ceil(R * S * (C / groups) * packed / array.depth)
    # The pixels of a batch of vectors are its images.
    vector = P * Q == 1.0
    images, pixels = np.where(vector, 1.0, N), np.where(vector, N, P * Q)
    filters = K / groups * packed
    tall, wide = np.ceil(pixels / array.pixels), np.ceil(filters / array.filters)
    bits = weight_bits * activation_bits
    compute = (tall * wide + np.minimum(wide, tall - 1.0)) * bits
    # The last tile may have so few pixels that computing with them takes longer than reading them.
    rest = pixels - (tall - 1.0) * array.pixels
    late = np.maximum(weight_bits - rest, 0.0) * activation_bits + weight_bits - 1.0
    reads = np.maximum(
        words * (pixels + wide - 1.0) * activation_bits + late,
        words * (filters + tall - 1.0) * weight_bits,
    )
    # All of one operand is waited for by the first of the other's tiles; the rest is computed.
    row, column = wide * bits, tall * bits
    waits = np.minimum(
        np.maximum(pixels * activation_bits, column) + (wide - 1.0) * column,
        np.maximum(filters * weight_bits, row) + (tall - 1.0) * row,
    )
    cycles = images * packs * np.maximum(words * np.maximum(waits, compute), reads)
    return np.where(layers.macs > 0, cycles, 0.0)
