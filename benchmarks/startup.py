"""How long `import hwnas` and `hwnas --help` take, beside numpy and Optuna, in one run.

    python benchmarks/startup.py

Each is a fresh process, in turn, several rounds; the median counts, and python's own start is
taken off.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python": "pass",
    "import numpy": "import numpy",
    "import hwnas": "import hwnas",
    "from hwnas import search": "from hwnas import search",
    "hwnas --help": "import sys; sys.argv = ['hwnas', '--help']; "
    "from hwnas.cli import main; main()",
    "import optuna": "import optuna",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):  # the first round fills the disk's cache
        for name, code in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False)
            taken[name].append(time.perf_counter() - start)
    bare = statistics.median(taken["python"][1:])
    base = statistics.median(taken["import numpy"][1:]) - bare
    print(f"{'':26}{'s':>8}{'s beyond python':>18}{'ratio to numpy':>16}")
    for name, times in taken.items():
        median = statistics.median(times[1:])
        print(f"{name:26}{median:8.3f}{median - bare:18.3f}{(median - bare) / base:16.2f}")


if __name__ == "__main__":
    main()
