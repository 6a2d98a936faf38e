"""How much hypervolume can still be gained at most.

The rule: in a box close around the measured front, what remains is at most what all candidates
would add together if each were 1.645 standard deviations better than expected, plus the larger of
two: twice what the second half of the evaluations added, and 17.5 % of what was added after the
first one in as many evaluations as there are genes; all as shares of what is reached there. There
is no bound before the second half of the evaluations was chosen by a model, nor before there is one
evaluation for two genes.

The first term is what the model knows that it does not know, among the designs that it thinks of;
each is below its optimistic loss in 5 % of cases. The others are for what nobody thinks of. If
every doubling of the number of evaluations gains at most a share ``r`` of what the doubling before
it gained, then all further ones gain at most ``r / (1 - r)`` times the last gain; twice is r = 2/3.
But in large spaces a search may stand still long before it is done: 3 to 14 % from the front of 42
to 106 bit widths the model hoped for nothing, and the last doubling added next to nothing. What was
left then was no share of any late gain, but 6 to 15 % of what the search had gained since it began.
In small spaces, where the same share would be far too much, it gained nearly all of that before it
had evaluated one design in as many as there are genes. In longer runs than those by which the rule
was chosen that gain counts from where it did in the longest, lest the bound vanish unseen.

The box counts, because a share of what is reached shrinks as the reference point moves away: in the
wide box that the search itself looks at, the same gain can look ten times smaller. Here the
reference point is worse than the front by a tenth of the front's extent, as in the benchmarks.
Against one further away the bound is too large; one closer to the front it does not cover. A
free objective in which the front spans decades is seen by its logarithm, as by a study's yardstick.

How it was chosen, first without the last term: it was the narrowest of 480 rules (two margins of
the box, five optimisms, three windows and eight factors of the gain, sum or the larger of both)
among those that were right in 96 % of the steps of 24 runs of 200 evaluations on development
problems, equally weighted by family: synthetic cells, skip-connected and mobile networks, bits per
layer of ResNet-18 and MobileNetV2, black boxes of 35 genes, and random functions of 8 to 29 genes.
On the random functions it was right in 79 % (by references of that time): there a search may be
stuck far from the front for a hundred evaluations and the model does not know. Widening deviations
by leave-one-out residuals was dropped: 95 % of those are within 0.9 to 1.9 of the model's
deviations. So were wider pools of candidates, which raised the first term by a tenth to a fifth.

The last term came from 17 runs of 500 evaluations (bits per layer of ResNet-18 and MobileNetV2,
cells, mobile networks, black boxes), where the rule without it was right in 51 % of the steps after
200 evaluations. It was picked by hand among some 3,000 (windows of the last half to 15/16 or by
genes, eleven factors, sum or the larger; ratios of successive gains, power laws and factors that
grow with the genes did worse); its factor is the least multiple of 1/40 that was right after 200
evaluations in 99 % of the steps of each family even if a tenth more were left, because the
references are not exact. Left out of this choice, ResNet-18, black boxes, cells or mobile networks
change nothing; without MobileNetV2 it is 15 % and right there in 98 %. Right in these runs: 100 %
after 200 evaluations, 99 % before (83 % on MobileNetV2 between 50 and 100, 87 % on the black boxes
up to 50). Where the exact front is not known, the best known one stands for it: from all runs,
bits that are optimal for a network on each accelerator (exact for a chain of layers, one weight of
the objectives at a time), and a long evolution from both. It matters: with earlier references,
which knew no such bits, a tenth to two thirds of that seemed to be left.

Measured on test problems, right in all steps: 320 of five runs each of 200 evaluations, and 144
after 200 of three runs of 500 (without the last term, 319 and 110). The factor was 15 % when these
were looked at, and right in all but one step; better references of development problems then
raised it. Median of the bound / of what was left, up to 50, 50 to 100, 100 to 200 and 200 to 500
evaluations: nas_bench_201 26 / 6.8 %, 13 / 2.4 %, 4.4 / 0.5 %, 1.2 / 0.1 %; nas_bench_macro 41 /
3.4 %, 15 / 1.0 %, 6.3 / 0.3 %, 0.7 / 0.05 %; resnet18_bits 59 / 22 %, 28 / 12 %, 13 / 6.8 %, 8.7 /
4.1 %; black_box (200 evaluations) 217 / 86 %, 104 / 32 %, 49 / 13 %.

Not covered: longer runs, and spaces of more than 106 genes. Nor does the last term see anything
of the problem at hand: it is what searches that stood still had missed elsewhere, most of it at the
cheap end of the front, where the search looks too little. Another search needs another factor.

Symbols: ``n`` designs measured, ``p`` candidates, ``q`` points, ``f`` free objectives, ``u`` other
ones.

Source: own. The optimistic front of candidates: Zuluaga, Krause, Püschel, "e-PAL: an active
learning approach to the multi-objective optimization problem", JMLR 17, 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.problem import nondominated
from hwnas.searchers.greybox.volume import DECADES, Volume

OPTIMISM: Final = 1.645
"""Standard deviations that each candidate is taken to be better than expected."""
TREND: Final = 2.0
"""What is left for what no candidate shows, as a multiple of the gain of the second half."""
CREEP: Final = 0.175
"""The least that is left for it, as a share of all that was gained but at first."""
_MARGIN: Final = 0.1
"""From the worst of the front to the reference point, relative to the extent of the front."""
_ROOM: Final = 0.4
"""From the best of the front to the other end of the box, likewise."""
_GENES: Final = 0.5
_MOST: Final = 80
"""Evaluations after which there is a bound, however many genes there are."""
_WATCHED: Final = 500
"""Evaluations of the runs by which the rule was chosen."""


@dataclass(frozen=True, eq=False)
class Designs:
    """Designs with all their inner designs.

    Attributes:
        fronts: Free losses of the inner designs of each cost class, ``(j, f)`` each.
        labels: The cost class of each design, ``(n,)``.
        ahead: Losses in the other objectives on the scale of the search, ``(n, u)``, u >= 1.
    """

    fronts: Sequence[Floats]
    labels: Ints
    ahead: Floats


def enough(count: int, first: int, genes: int) -> bool:
    """Whether there is enough to go by.

    Args:
        count: Evaluations.
        first: How many of them were chosen before there was a model.
        genes: Genes with more than one choice that costly evaluations depend on.
    """
    return count >= max(2 * first, min(_GENES * genes, _MOST))


def begun(count: int, genes: int) -> tuple[int, int]:
    """After how many evaluations the gains begin that the bound goes by.

    Args:
        count: Evaluations.
        genes: See `enough`.

    Returns:
        After one in as many as there are genes, but never later than in a run of the length by
        which the rule was chosen; after the first half.
    """
    return min(count, _WATCHED) // max(genes, 2), count // 2


def remaining(
    volume: Volume,
    measured: Designs,
    candidates: Designs,
    early: int,
    half: int,
    low: Floats,
    high: Floats,
) -> float | None:
    """The bound.

    Args:
        volume: Whose points are used; neither read nor changed otherwise.
        measured: Designs that meet the constraints, in the order in which they were measured.
        candidates: Designs that might be; their losses are optimistic ones.
        early: How many of those measured came before the first gain of `begun`.
        half: How many came before the second, no fewer.
        low: The least free losses known of any design, ``(f,)``.
        high: The worst that the search looks at.

    Returns:
        At most so much is still to be gained, as a share of what is reached; ``None`` if nothing
        is.
    """
    box = Box.around(measured, low, high)
    masks, ahead = box.masks(volume, measured), box.ahead(measured)
    reached, shares = volume.empty(), []
    for part in np.split(np.arange(len(ahead)), [early, half]):
        reached.add_all(masks[part], ahead[part])
        shares.append(reached.share())
    at_first, before, share = shares
    if not share > 0:
        return None
    hoped = reached.bound(box.masks(volume, candidates), box.ahead(candidates))
    unseen = max(TREND * (share - before), CREEP * (share - at_first))
    return (hoped + unseen) / share


@dataclass(frozen=True, eq=False)
class Box:
    """A box around a front; the worst corner is the reference point.

    Attributes:
        low: The best corner, free objectives first, ``(f + u,)``.
        high: The worst.
        logarithmic: Free objectives that are seen by their logarithm, as a study's yardstick sees
            them, because the front spans decades, ``(f,)``.
    """

    low: Floats
    high: Floats
    logarithmic: Bools

    @classmethod
    def around(cls, measured: Designs, low: Floats, high: Floats) -> Box:
        """The box around the front of some designs, at least one.

        Args:
            measured: The designs. Where their front has no extent, the box is that of the search.
            low: The least free losses known of any design, ``(f,)``.
            high: The worst that the search looks at.
        """
        own = [measured.fronts[label] for label in measured.labels]
        ahead = np.repeat(measured.ahead, [len(losses) for losses in own], axis=0)
        losses = np.concatenate([np.concatenate(own), ahead], axis=1)
        front = losses[nondominated(losses)]
        f, u = len(low), measured.ahead.shape[1]
        low = np.minimum(front[:, :f].min(axis=0), low)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = front[:, :f].max(axis=0) / low
            logarithmic = (low > 0) & (np.log10(ratio) > DECADES)
        front[:, :f], low = _seen(front[:, :f], logarithmic), _seen(low, logarithmic)
        best, worst = front.min(axis=0), front.max(axis=0)
        extent = worst - best
        # The box of the search, which is [0, 1] in the other objectives.
        high = np.concatenate([_seen(high, logarithmic), np.ones(u)])
        low = np.concatenate([low, np.minimum(0.0, best[f:])])
        high = np.maximum(high, worst + _MARGIN * (high - low))
        high = np.where(extent > 0, worst + _MARGIN * extent, high)
        low[f:] = np.where(extent > 0, best - _ROOM * extent, low)[f:]
        return cls(low, high, logarithmic)

    def masks(self, volume: Volume, designs: Designs) -> Bools:
        """See `Volume.masks`, ``bool (n, q)``."""
        low, high = self.low[: volume.free], self.high[: volume.free]
        which, place = np.unique(designs.labels, return_inverse=True)
        scaled = [(_seen(designs.fronts[i], self.logarithmic) - low) / (high - low) for i in which]
        made: Bools = volume.masks(scaled)[place]
        return made

    def ahead(self, designs: Designs) -> Floats:
        """Losses in the other objectives with the box at [0, 1], ``(n, u)``."""
        u = designs.ahead.shape[1]
        scaled: Floats = (designs.ahead - self.low[-u:]) / (self.high[-u:] - self.low[-u:])
        return scaled


def _seen(free: Floats, logarithmic: Bools) -> Floats:
    if not logarithmic.any():
        return free
    positive = np.maximum(free, np.finfo(np.float64).tiny)
    return np.where(logarithmic, np.log10(positive), free)
