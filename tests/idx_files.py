"""Files in the IDX format of MNIST, as tests need them: header, then the numbers.

Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", section File formats.
"""

from __future__ import annotations

import gzip
import struct


def idx(array, *, kind=8):
    """The bytes of an array; ``kind`` 8 is unsigned bytes."""
    head = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def write_idx_folder(folder, train, test, *, packed=True):
    """The four files of a data set of ``(images, labels)``, under their published names."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "train-images-idx3": train[0], "train-labels-idx1": train[1],
        "t10k-images-idx3": test[0], "t10k-labels-idx1": test[1],
    }  # fmt: skip
    for name, array in parts.items():
        raw = idx(array)
        end = ".gz" if packed else ""
        (folder / f"{name}-ubyte{end}").write_bytes(gzip.compress(raw) if packed else raw)
    return folder
