"""How well a few labelled networks of NAS-Bench-201, and training-free metrics, rank the others.

    python benchmarks/few_labels.py ../shared/data c10.npz --dataset c10 --networks 250
    python benchmarks/few_labels.py ../shared/data in16.npz --dataset in16

A predictor learns the accuracy after 200 epochs of 25 or 100 networks that are drawn at random, and
ranks the rest; printed is Spearman's rank correlation over many draws.

Features: training-free metrics (see `measured_metrics`, or with `--published` those published);
numbers of weights and multiply-accumulates without dead edges; and the canonical description of the
cell. Metrics and sizes are replaced by their ranks among all the networks, which are known without
a label; a metric that is not defined ranks last.
"""

from __future__ import annotations

import argparse

import numpy as np
from measured_metrics import DATA, designed, measured, networks, parser
from scipy.stats import rankdata, spearmanr

from evaluators.counts import Macs, Params
from hwnas import plugins
from hwnas.prediction import CanonicalFeatures

BARS = {("c10", 25): 0.87, ("in16", 25): 0.84, ("c10", 100): 0.92, ("in16", 100): 0.90}


def main() -> None:
    arguments = parsed()
    table, published = networks(arguments.data, arguments.dataset, arguments.networks)
    accuracy = table[DATA[arguments.dataset].accuracy].to_numpy()
    designs = designed(table, arguments.dataset)
    if arguments.published:
        metrics, source = published.to_numpy(np.float64), "published metrics"
    else:
        metrics, seconds = measured(table, arguments)
        source = f"{len(arguments.metrics)} metrics of ours at batch {arguments.batch}"
        print(f"{seconds.mean():.2f} CPU s per network for {', '.join(arguments.metrics)}")
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
            for features in arguments.features or sets:
                found = scores(name, sets[features], accuracy, labels, arguments.draws)
                figures = (found.mean(), np.median(found), found.min())
                bar = BARS.get((arguments.dataset, labels), np.nan)
                line = f"{name:18}{features:28}{labels:9}"
                print(line + "".join(f"{f:9.3f}" for f in (*figures, bar)), flush=True)


def parsed() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--published", action="store_true", help="the published metrics instead")
    made.add_argument("--labels", type=int, nargs="*", default=[25, 100])
    made.add_argument("--draws", type=int, default=30)
    made.add_argument("--features", nargs="+", help="some of the sets of features that are printed")
    made.add_argument("--predictors", nargs="+", default=["random_forest"])
    return made.parse_args()


def ranks(*columns: np.ndarray) -> np.ndarray:
    """Ranks in [0, 1] of each column; what is not defined ranks last, equals share a rank."""
    X = np.nan_to_num(np.hstack(columns), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    return (rankdata(X, axis=0) - 1) / (len(X) - 1)


def scores(name: str, X: np.ndarray, y: np.ndarray, labels: int, draws: int) -> np.ndarray:
    """Spearman's correlation on the networks without a label, one for each draw of labels."""
    found = []
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(y))
        labelled, rest = order[:labels], order[labels:]
        predictor = plugins.load("hwnas.predictors", name)().fit(X[labelled], y[labelled])
        found.append(spearmanr(predictor.predict(X[rest]), y[rest]).statistic)
    return np.array(found)


if __name__ == "__main__":
    main()
