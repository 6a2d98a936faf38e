"""A vote of training-free metrics: the mean of a network's ranks among networks drawn at random.

Ranks within a batch would say of the same network something else in every batch. So ranks are those
within a sample of the space that is drawn and measured once: equal networks have equal votes, in
any batch, process and resumed run.

Source of the idea that metrics vote: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS",
ICLR 2021, where synflow, jacob_cov and snip decide by majority between two networks. Ranks within a
sample are our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import numpy as np

from hwnas import plugins
from hwnas.arrays import Floats
from hwnas.design import Designs
from hwnas.errors import ProblemError
from hwnas.evaluation import Evaluator, Expense, Joined
from hwnas.evaluation.interface import Chunk, collect
from hwnas.metrics import Goal, Measurements, Metric
from hwnas.space import Space

_GROUP: Final = "hwnas.evaluators"
_LEAST_REFERENCE: Final = 2


class Vote(Evaluator):
    """The mean over some metrics of a network's rank in a random sample, from 0 to 1.

    The rank is the share of the sample that the network beats, where equals count half. More of a
    metric is a better rank, also of ``params`` and ``macs``: as training-free metrics they speak
    for the larger network.

    The sample is of the whole family, whatever genes a study pins, and follows from the seeds
    alone. Measuring it takes ``reference`` times what one network takes, in each process that
    evaluates. In it, networks without a metric rank last; asked about, they are infeasible.

    Metrics: ``vote``, unit 1, larger is better.

    Args:
        metrics: Who votes: metrics of ``zero_cost``, or FREE evaluators that answer one metric,
            e.g. ``params`` or ``nn_degree``.
        reference: Size of the sample.
        seed: Which sample, beside the seed of the study.
        batch: See ``zero_cost``.
        data: See ``zero_cost``.
        expense: See ``zero_cost``; a vote of FREE evaluators alone is FREE.

    Raises:
        ProblemError: An option is out of range, or names nothing or something COSTLY.
    """

    metrics = (Metric("vote", "1", Goal.MAXIMIZE, best=1.0, worst=0.0),)

    def __init__(
        self,
        *,
        metrics: tuple[str, ...] = ("synflow", "jacob_cov", "snip"),
        reference: int = 100,
        seed: int = 0,
        batch: int = 32,
        data: str = "random",
        expense: Literal["costly", "free"] = "costly",
    ) -> None:
        if reference < _LEAST_REFERENCE:
            raise ProblemError(
                f"vote cannot rank among {reference} networks",
                where="option reference",
                rule=f"at least {_LEAST_REFERENCE}",
                given=str(reference),
            )
        names = tuple(metrics)
        own = [name for name in names if name in plugins.available(_GROUP)]
        others = tuple(name for name in names if name not in own)
        voters = [_free(name) for name in own]
        if others or not names:
            zero_cost: Any = plugins.load(_GROUP, "zero_cost")
            voters.append(zero_cost(metric=others, batch=batch, data=data, expense=expense))
        self.voters = Joined(voters)
        self.reference = reference
        self.seed = seed
        self.reads = self.voters.reads
        self.expense = self.voters.expense
        self.deterministic = self.voters.deterministic
        self.version = f"1 of {reference} drawn with {seed}: {self.voters.version}"
        self._samples: list[tuple[Space, int, Floats]] = []

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        return collect(self.metrics, len(designs), self.stream(designs, fidelity))

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Streams the votes of what the metrics stream; see `Evaluator.stream`."""
        if not len(designs):
            return
        sample = self._sample(designs)
        for rows, part in self.voters.stream(designs, fidelity):
            votes = np.where(
                part.feasible, _ranks(sample, self._columns(part)).mean(axis=1), np.nan
            )
            yield (
                rows,
                Measurements.of(
                    self.metrics, {"vote": votes}, reason=part.reason, notes=part.notes
                ),
            )

    def close(self) -> None:
        """Lets go of what the metrics hold; see `Evaluator.close`."""
        self.voters.close()

    def _sample(self, designs: Designs) -> Floats:
        """The metrics of the sample, each sorted, ``(reference, k)``; measured once."""
        space = _whole(designs.space.part(*designs.space.read_by(self.reads)))
        for known, seed, sample in self._samples:
            if seed == designs.seed and known == space:
                return sample
        genomes = space.sample(self.reference, np.random.default_rng([self.seed, designs.seed]))
        measured = self.voters.evaluate(Designs(space, genomes, designs.seed))
        columns = np.where(measured.feasible[:, None], self._columns(measured), -np.inf)
        sample = np.sort(columns, axis=0)
        self._samples.append((space, designs.seed, sample))
        return sample

    def _columns(self, measured: Measurements) -> Floats:
        return np.stack([measured[metric.name] for metric in self.voters.metrics], axis=1)


def _free(name: str) -> Evaluator:
    """An evaluator that may vote beside `zero_cost`.

    Raises:
        ProblemError: It is COSTLY, or answers several metrics.
    """
    voter: Evaluator = plugins.load(_GROUP, name)()
    if voter.expense is not Expense.FREE or len(voter.metrics) > 1:
        raise ProblemError(
            f"{name!r} cannot vote",
            where="option metrics",
            rule="metrics of zero_cost, and FREE evaluators that answer one metric",
            given=f"{name} is {voter.expense.value} and answers {len(voter.metrics)}",
        )
    return voter


def _whole(space: Space) -> Space:
    """The space before any of its genes was restricted, as far as its parts know."""
    if set(space.part_names) != set(space.parts):
        return space
    whole = [space.parts[name].space() for name in space.part_names]
    return sum(whole[1:], whole[0])


def _ranks(sample: Floats, values: Floats) -> Floats:
    """The share of a sorted sample ``(r, k)`` below each of ``(n, k)``; equals count half."""
    columns = zip(sample.T, values.T, strict=True)
    below_and_up_to = [
        np.searchsorted(column, value, "left") + np.searchsorted(column, value, "right")
        for column, value in columns
    ]
    ranks: Floats = np.stack(below_and_up_to, axis=1) / (2 * len(sample))
    return ranks
