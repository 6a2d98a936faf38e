"""How well training-free metrics rank NAS-Bench-201 by trained accuracy, and what they cost.

    python benchmarks/zero_cost.py ../shared/data c10.npz --networks 250
    python benchmarks/zero_cost.py ../shared/data in16.npz --dataset in16

Spearman's rank correlation with the accuracy after 200 epochs, over all networks drawn and inside
their best 10 %; beside it that of the published values (NAS-Bench-Suite-Zero) on the same networks,
and the correlation of ours with those. The minibatch here is random (see `measured_metrics`),
theirs of the data set. What has no value ranks last. Votes are means of ranks among these networks,
as the evaluator `vote` takes them among a sample.

CPU seconds are those of each metric alone, at batch 64, on a few networks drawn from all 15,625.
"""

from __future__ import annotations

import time

import numpy as np
from measured_metrics import DATA, designed, measured, networks, parser
from scipy.stats import rankdata, spearmanr

from evaluators.counts import Macs, Params
from evaluators.nn_degree import NNDegree
from evaluators.nn_mass import NNMass
from evaluators.zero_cost import ZeroCost
from evaluators.zero_cost.metrics import PROXIES
from hwnas import Designs, Space
from hwnas.evaluation import Evaluator

PUBLISHED = {
    "jacob_cov": "jacov",
    "naswot": "nwot",
    "params": "",
    "params, dead edges too": "params",
}
VOTES = {
    "vote of synflow, jacob_cov, snip": ("synflow", "jacob_cov", "snip"),
    "vote of all and sizes": None,
}
TIMED_BATCH = 64


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--timed", type=int, default=20, help="networks that are timed; 0: none")
    arguments = made.parse_args()
    table, published = networks(arguments.data, arguments.dataset, arguments.networks)
    accuracy = table[DATA[arguments.dataset].accuracy].to_numpy()
    designs = designed(table, arguments.dataset)
    raw = designed(table, arguments.dataset, drop_dead_edges=False)
    metrics, seconds = measured(table, arguments)
    values = dict(zip(arguments.metrics, metrics.T, strict=True))
    values["params, dead edges too"] = known(Params(), raw)
    counts = {"params": Params(), "macs": Macs(), "nn_degree": NNDegree(), "nn_mass": NNMass()}
    values |= {name: known(evaluator, designs) for name, evaluator in counts.items()}
    voters = (*arguments.metrics, "params", "macs")
    ranks = {name: rankdata(np.nan_to_num(values[name], nan=-np.inf)) for name in voters}
    for name, chosen in VOTES.items():
        if set(chosen or ()) <= set(voters):
            values[name] = np.mean([ranks[voter] for voter in chosen or voters], axis=0)
    best = accuracy >= np.quantile(accuracy, 0.9)
    print(f"{len(table)} networks of {arguments.dataset}, {best.sum()} in the best 10 %")
    print(f"batch {arguments.batch}, {seconds.mean():.2f} CPU s per network for all together")
    head = ("all", "best 10 %", "published", "best 10 %", "ours : theirs", "CPU s alone")
    print(f"{'':34}" + "".join(f"{text:>15}" for text in head))
    for name, ours in values.items():
        theirs = published.get(PUBLISHED.get(name, name))
        figures = [ranked(ours, accuracy), ranked(ours[best], accuracy[best])]
        if theirs is not None:
            column = theirs.to_numpy(np.float64)
            figures += [ranked(column, accuracy), ranked(column[best], accuracy[best])]
            figures.append(ranked(ours, column))
        figures += [np.nan] * (5 - len(figures))
        figures.append(cost(name, designs.space, arguments.timed))
        shown = ("" if np.isnan(figure) else f"{figure:.3f}" for figure in figures)
        print(f"{name:34}" + "".join(f"{figure:>15}" for figure in shown), flush=True)


def known(evaluator: Evaluator, designs: Designs) -> np.ndarray:
    """The one metric of an evaluator, NaN where it is not defined."""
    return evaluator.evaluate(designs)[evaluator.metrics[0].name]


def ranked(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(spearmanr(np.nan_to_num(ours, nan=-np.inf), theirs).statistic)


def cost(name: str, space: Space, networks: int) -> float:
    """CPU seconds per network of one metric of `ZeroCost` alone."""
    if not networks or name not in PROXIES:
        return np.nan
    designs = Designs(space, space.sample(networks, np.random.default_rng(0)))
    evaluator = ZeroCost(metric=name, batch=TIMED_BATCH)
    evaluator.evaluate(designs[:1])
    start = time.process_time()
    evaluator.evaluate(designs)
    return (time.process_time() - start) / networks


if __name__ == "__main__":
    main()
