"""Makes up made_up.csv, the table of ../table.yaml: SYNTHETIC accuracies, nothing was trained.

    python studies/data/made_up.py

81 networks of NAS-Bench-Macro (its first and last two blocks pinned) at four weight bit widths.
Larger networks are better, with diminishing returns; few bits hurt, small networks more.
"""

from __future__ import annotations

import csv
import itertools
import sys
from pathlib import Path
from typing import TextIO

FREE = 4
GAIN = {"0": 0.0, "1": 1.0, "2": 1.6}
WEIGHT_BITS = (2, 3, 4, 8)


def write(file: TextIO) -> None:
    """Writes the table."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["arch", "weight_bits", "accuracy"])
    for blocks in itertools.product("012", repeat=FREE):
        size = sum(GAIN[block] * (1 + 0.2 * i) for i, block in enumerate(blocks))
        twist = 0.4 * (blocks[0] == blocks[1]) - 0.3 * (blocks[2] == "0")
        best = 94 - 14 / (1 + 0.5 * size) + twist
        for bits in WEIGHT_BITS:
            accuracy = best - 40 * 2.0**-bits / (1 + 0.2 * size) * (bits < 8)
            table.writerow(["11" + "".join(blocks) + "11", bits, f"{accuracy:.2f}"])


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_suffix(".csv")
    with target.open("w", encoding="utf-8", newline="") as file:
        write(file)
