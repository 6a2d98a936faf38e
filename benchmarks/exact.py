"""Exact fronts of joint spaces: designs, CPU seconds and memory.

    python benchmarks/exact.py             # 1.7e9 and 1e10 designs

NAS-Bench-201's networks with bit policies and 7,200 systolic arrays; see `problems.py`.
"""

from __future__ import annotations

import os
import resource
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import problems

from hwnas.design.uniform_bits import UniformBits
from hwnas.exact import solve

POLICIES = {
    "15 bit policies": UniformBits(),
    "90 bit policies": UniformBits(
        weight_bits=(2, 3, 4, 5, 6, 7, 8, 10, 12), activation_bits=(2, 3, 4, 5, 6, 7, 8, 10, 12, 16)
    ),
}


def main() -> None:
    print(f"{'':18}{'designs':>10}{'front':>8}{'CPU s':>8}{'wall s':>8}{'GB':>6}")
    for name, policies in POLICIES.items():
        problem = problems.nas_bench_201(policies)
        wall, cpu = time.perf_counter(), time.process_time()
        front = solve(problem, measure_costly=True)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        size = problem.space.size()
        print(f"{name:18}{size:10.3g}{len(front):8}{cpu:8.1f}{wall:8.1f}{most:6.2f}", flush=True)


if __name__ == "__main__":
    main()
