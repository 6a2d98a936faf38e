"""Training-free metrics of NAS-Bench-201's networks, measured once and kept in a file.

For the other scripts. Networks are among those with published training-free metrics
(NAS-Bench-Suite-Zero), in an order that is drawn once, so that more of them can be measured later.
Ours are measured without dead edges, on one minibatch of random pixels and labels with the sizes of
CIFAR-10 (32 x 32, 10 classes) or ImageNet16-120 (16 x 16, 120 classes). A run that was killed goes
on where it was.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from evaluators.zero_cost import ZeroCost
from evaluators.zero_cost.evaluator import Name
from hwnas import Designs
from hwnas.design import NASBench201
from hwnas.evaluation import Infeasible

SAVED_EVERY = 10
NO_METRICS = ["arch_idx", "dataset", "val_accuracy"]


@dataclass(frozen=True)
class Data:
    image: int
    classes: int
    accuracy: str


DATA = {"c10": Data(32, 10, "acc200_c10_test"), "in16": Data(16, 120, "acc200_in16_test")}


def parser(text: str | None) -> argparse.ArgumentParser:
    """What both scripts ask for."""
    made = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("data", type=Path, help="the folder with nb201.parquet")
    made.add_argument("cache", type=Path, help="the file in which metrics are kept, .npz")
    made.add_argument("--dataset", choices=DATA, default="c10")
    made.add_argument("--networks", type=int, default=724)
    made.add_argument("--batch", type=int, default=32)
    # grasp takes as long as all others together, and is worth little.
    quick = [name for name in get_args(Name) if name != "grasp"]
    made.add_argument("--metrics", nargs="+", default=quick, choices=get_args(Name))
    return made


def networks(folder: Path, dataset: str, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first n networks, (n,) rows of the table, and their published metrics."""
    proxies = pd.read_parquet(folder / "nb201_proxies.parquet")
    chosen = proxies[proxies["dataset"] == dataset].sample(frac=1.0, random_state=0)[:n]
    table = chosen[["arch_idx"]].merge(pd.read_parquet(folder / "nb201.parquet"), on="arch_idx")
    return table, chosen.drop(columns=NO_METRICS).reset_index(drop=True)


def designed(table: pd.DataFrame, dataset: str, *, drop_dead_edges: bool = True) -> Designs:
    data = DATA[dataset]
    space = NASBench201(
        image=data.image, classes=data.classes, drop_dead_edges=drop_dead_edges
    ).space()
    genes = [f"op_e{name.removeprefix('net.e')}" for name in space.names]
    return Designs(space, table[genes].to_numpy(np.int64))


def measured(table: pd.DataFrame, arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Metrics, (n, k), NaN where not defined, and CPU seconds, (n,); as far as known, from disk."""
    evaluator = ZeroCost(metric=tuple(arguments.metrics), batch=arguments.batch)
    protocol = f"{evaluator.version} {arguments.dataset}"
    numbers, designs = table["arch_idx"].tolist(), designed(table, arguments.dataset)
    known: dict[int, tuple[np.ndarray, float]] = {}
    if arguments.cache.exists():
        kept = np.load(arguments.cache)
        if str(kept["protocol"]) != protocol:
            raise SystemExit(f"{arguments.cache} was made for {kept['protocol']}, not {protocol}")
        rows = zip(kept["numbers"], kept["values"], kept["seconds"], strict=True)
        known = {int(number): (values, float(spent)) for number, values, spent in rows}
    for i, number in enumerate(numbers):
        if number not in known:
            start = time.process_time()
            answer = evaluator.measure(designs[i])
            spent = time.process_time() - start
            empty = isinstance(answer, Infeasible)
            row = [np.nan if empty else answer[name] for name in arguments.metrics]
            known[number] = np.array(row), spent
            if len(known) % SAVED_EVERY == 0 or number == numbers[-1]:
                save(arguments.cache, protocol, known)
    values, seconds = zip(*(known[number] for number in numbers), strict=True)
    return np.stack(values), np.array(seconds)


def save(path: Path, protocol: str, known: dict[int, tuple[np.ndarray, float]]) -> None:
    """Writes a file beside the old one and puts it in its place."""
    new = path.with_name(path.stem + ".new.npz")
    values, seconds = zip(*known.values(), strict=True)
    np.savez(new, protocol=protocol, numbers=list(known), values=values, seconds=seconds)
    new.replace(path)
