"""How well a few labelled networks of NAS-Bench-201, and training-free metrics, rank the others.

    python benchmarks/few_labels.py ../shared/data c10.npz --dataset c10 --networks 250
    python benchmarks/few_labels.py ../shared/data in16.npz --dataset in16

A predictor learns the accuracy after 200 epochs of 25 or 100 networks that are drawn at random, and
ranks the rest; printed is Spearman's rank correlation over many draws. Networks are among those
with published training-free metrics (NAS-Bench-Suite-Zero), so that their values can be tried with
`--published` instead of ours.

Features: training-free metrics, computed here on one random minibatch (random pixels and labels,
CIFAR-10's 32 x 32 and 10 classes, or ImageNet16-120's 16 x 16 and 120); numbers of weights and
multiply-accumulates without dead edges; and the canonical description of the cell. All are
replaced by their ranks among the networks, which are known without a label; a metric that is not
defined ranks last. The metrics are kept in the file that is named, and a run that was killed goes
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
from scipy.stats import rankdata, spearmanr
from sklearn.base import clone

from evaluators.counts import Macs, Params
from hwnas import Designs, plugins
from hwnas.design import NASBench201
from hwnas.evaluation import Infeasible
from hwnas.prediction import CanonicalFeatures


@dataclass(frozen=True)
class Data:
    image: int
    classes: int
    accuracy: str


DATA = {"c10": Data(32, 10, "acc200_c10_test"), "in16": Data(16, 120, "acc200_in16_test")}
BARS = {("c10", 25): 0.87, ("in16", 25): 0.84, ("c10", 100): 0.92, ("in16", 100): 0.90}
SAVED_EVERY = 10
NO_METRICS = ("arch_idx", "dataset", "val_accuracy")


def main() -> None:
    arguments = parsed()
    table, published = networks(arguments.data, arguments.dataset, arguments.networks)
    accuracy = table[DATA[arguments.dataset].accuracy].to_numpy()
    designs = designed(table, DATA[arguments.dataset])
    if arguments.published:
        metrics, source = published, "published metrics"
    else:
        metrics, seconds = measured(designs, table["arch_idx"].to_numpy(), arguments)
        source = f"{len(arguments.metrics)} metrics of ours at batch {arguments.batch}"
        print(f"{np.nanmean(seconds):.2f} CPU s per network for {', '.join(arguments.metrics)}")
    sizes = np.stack([Params().evaluate(designs)["params"], Macs().evaluate(designs)["macs"]], 1)
    described = CanonicalFeatures("net").matrix(designs)
    sets = {
        "canonical": described,
        "metrics": ranks(metrics),
        "metrics, sizes": ranks(metrics, sizes),
        "metrics, sizes, canonical": np.hstack([ranks(metrics, sizes), described]),
    }
    print(f"{len(table)} networks, {arguments.dataset}, {source}, {arguments.draws} draws")
    head = ("labels", "mean", "median", "worst", "bar")
    print(f"{'predictor':18}{'features':28}" + "".join(f"{text:>9}" for text in head))
    for labels in arguments.labels:
        for name in arguments.predictors:
            for features, X in sets.items():
                found = scores(name, X, accuracy, labels, arguments.draws)
                figures = (found.mean(), np.median(found), found.min())
                bar = BARS.get((arguments.dataset, labels), np.nan)
                line = f"{name:18}{features:28}{labels:9}"
                print(line + "".join(f"{f:9.3f}" for f in (*figures, bar)), flush=True)


def parsed() -> argparse.Namespace:
    from evaluators.zero_cost.evaluator import Name

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path, help="the file in which metrics are kept, .npz")
    parser.add_argument("--dataset", choices=DATA, default="c10")
    parser.add_argument("--networks", type=int, default=724)
    parser.add_argument("--batch", type=int, default=32)
    quick = [name for name in get_args(Name) if name != "grasp"]
    parser.add_argument("--metrics", nargs="+", default=quick, choices=get_args(Name))
    parser.add_argument("--published", action="store_true", help="the published metrics instead")
    parser.add_argument("--labels", type=int, nargs="*", default=[25, 100])
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--predictors", nargs="+", default=["random_forest"])
    return parser.parse_args()


def networks(folder: Path, dataset: str, n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The first n of all networks with published metrics, in an order drawn once; and these."""
    proxies = pd.read_parquet(folder / "nb201_proxies.parquet")
    chosen = proxies[proxies["dataset"] == dataset].sample(frac=1.0, random_state=0)[:n]
    table = chosen[["arch_idx"]].merge(pd.read_parquet(folder / "nb201.parquet"), on="arch_idx")
    return table, chosen.drop(columns=list(NO_METRICS)).to_numpy(np.float64)


def designed(table: pd.DataFrame, data: Data) -> Designs:
    family = NASBench201(image=data.image, classes=data.classes, drop_dead_edges=True)
    space = family.space()
    genes = [f"op_e{name.removeprefix('net.e')}" for name in space.names]
    return Designs(space, table[genes].to_numpy(np.int64))


def measured(
    designs: Designs, numbers: np.ndarray, arguments: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray]:
    """Metrics, (n, k), NaN where not defined, and CPU seconds, (n,); as far as known, from disk."""
    from evaluators.zero_cost import ZeroCost

    evaluator = ZeroCost(metric=tuple(arguments.metrics), batch=arguments.batch)
    protocol = f"{evaluator.version} {arguments.dataset}"
    known: dict[int, tuple[np.ndarray, float]] = {}
    if arguments.cache.exists():
        kept = np.load(arguments.cache)
        if str(kept["protocol"]) != protocol:
            raise SystemExit(f"{arguments.cache} was made for {kept['protocol']}, not {protocol}")
        rows = zip(kept["numbers"], kept["values"], kept["seconds"], strict=True)
        known = {int(number): (values, float(spent)) for number, values, spent in rows}
    for i, number in enumerate(numbers.tolist()):
        if number not in known:
            start = time.process_time()
            answer = evaluator.measure(designs[i])
            spent = time.process_time() - start
            empty = isinstance(answer, Infeasible)
            row = [np.nan if empty else answer[name] for name in arguments.metrics]
            known[number] = np.array(row), spent
            if len(known) % SAVED_EVERY == 0 or number == numbers[-1]:
                save(arguments.cache, protocol, known)
    chosen = [known[number] for number in numbers.tolist()]
    return np.stack([values for values, _ in chosen]), np.array([spent for _, spent in chosen])


def save(path: Path, protocol: str, known: dict[int, tuple[np.ndarray, float]]) -> None:
    """Writes a file beside the old one and puts it in its place."""
    new = path.with_name(path.stem + ".new.npz")
    values, seconds = zip(*known.values(), strict=True)
    np.savez(new, protocol=protocol, numbers=list(known), values=values, seconds=seconds)
    new.replace(path)


def ranks(*columns: np.ndarray) -> np.ndarray:
    """Ranks in [0, 1] of each column; what is not defined ranks last, equals share a rank."""
    X = np.nan_to_num(np.hstack(columns), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    return (rankdata(X, axis=0) - 1) / (len(X) - 1)


def scores(name: str, X: np.ndarray, y: np.ndarray, labels: int, draws: int) -> np.ndarray:
    """Spearman's correlation on the networks without a label, one for each draw of labels."""
    predictor = plugins.load("hwnas.predictors", name)()
    found = []
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(y))
        labelled, rest = order[:labels], order[labels:]
        fitted = clone(predictor).fit(X[labelled], y[labelled])
        found.append(spearmanr(fitted.predict(X[rest]), y[rest]).statistic)
    return np.array(found)


if __name__ == "__main__":
    main()
