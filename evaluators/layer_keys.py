"""One key per network: what layers it has, in whatever order.

For `Evaluator.fingerprints` of cost models that add up over layers.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Final

import numpy as np

from hwnas.design import Designs, LayerTable
from hwnas.space import unique

SHAPE: Final = ("operator", "N", "K", "C", "P", "Q", "R", "S", "stride", "groups")
BITS: Final = ("weight_bits", "activation_bits")
_MAPPING: Final = ("tiling", "stay")


def fingerprints(designs: Designs, policies: tuple[str, ...]) -> list[bytes] | None:
    """Keys of designs that have the same layers; see `Evaluator.fingerprints`.

    Args:
        designs: ``n`` designs, perhaps of some parts of the genome only.
        policies: The parts that decide how layers are computed: ``quant``, ``map``.

    Returns:
        ``n`` keys, equal only for designs that have the same layers whatever other parts are
        added; ``None`` where layers say nothing: there are none, or an accelerator counts too.
    """
    has, parts = set(designs.space.part_names), set(designs.space.parts)
    if has == {"train"} and "train" in parts:  # of what is trained, only the images make a layer
        sizes = designs.asked_images
        return [b"image %d" % size for size in (sizes if sizes is not None else [0] * len(designs))]
    decides = has & {*policies, "train"}
    if "net" not in has or "hw" in has or not decides <= parts:
        return None
    with_cells = not has.issuperset(policies)
    tables = [multisets(table, with_cells=with_cells) for table in designs.possible_layers]
    return [b"".join(keys) for keys in zip(*tables, strict=True)]


def multisets(table: LayerTable, *, with_cells: bool) -> list[bytes]:
    """One key per design: what layers it has, in whatever order.

    Designs of equal keys have the same layers with the same bits, mappings and densities. With
    cells, the keys also tell which cell a layer belongs to, so they stay equal under every
    quantization and mapping policy.

    Args:
        table: Layers of ``n`` designs.
        with_cells: Whether a layer's cell counts.
    """
    names = (*SHAPE, *BITS, *_MAPPING, *(("cell",) if with_cells else ()))
    density, rank = np.unique(table.density, return_inverse=True)
    rows = np.stack([*(getattr(table, name) for name in names), rank.reshape(-1)], axis=1)
    first, which = unique(rows)
    pairs, counts = np.unique(table.design * len(first) + which, return_counts=True)
    designs, kinds = np.divmod(pairs, max(1, len(first)))
    told = rows[first[kinds]].astype(np.float64)
    told[:, -1] = density[rank.reshape(-1)[first[kinds]]]
    entries = np.concatenate([told, counts[:, None]], axis=1)
    # Kinds are sorted by their rows, so equal multisets are equal sequences of entries.
    width = entries.shape[1] * entries.itemsize
    bounds = (np.searchsorted(designs, np.arange(table.n + 1)) * width).tolist()
    data = entries.tobytes()
    return [hashlib.blake2b(data[a:b], digest_size=16).digest() for a, b in pairwise(bounds)]
