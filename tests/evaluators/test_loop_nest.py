"""Loop nests against a walk through all their iterations."""

from __future__ import annotations

import doctest
import importlib
from collections import defaultdict
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.loop_nest import DIMENSIONS, OPERANDS, OUTPUTS, Level, LoopNest, Operand
from evaluators.loop_nest_costs import Memories, nest_costs
from evaluators.loop_nest_traffic import (
    TIMELOOP,
    Conventions,
    Halo,
    Sharing,
    Traffic,
    traffic,
)
from hwnas.errors import DesignError

INPUTS = 1
EVERYTHING = tuple(range(len(DIMENSIONS)))


class Walk:
    """One row of a nest, iteration by iteration: the oracle.

    A place in time is a tuple of indices of the temporal loops above a level, outermost first; an
    instance likewise of spatial loops. Slow, and without any formula of the code under test.
    """

    def __init__(self, nest: LoopNest, conventions: Conventions) -> None:
        self.c = conventions
        self.stride = int(nest.stride[0])
        self.depth = nest.depth
        self.kept = nest.kept
        # Innermost first: (level, is temporal, dimension, factor, step of the dimension).
        self.loops: list[tuple[int, bool, int, int, int]] = []
        step = [1] * len(DIMENSIONS)
        for level in range(nest.depth):
            inside = [(False, d) for d in EVERYTHING]
            inside += [(True, int(d)) for d in nest.order[0, level, ::-1]]
            for temporal, d in inside:
                factor = int((nest.temporal if temporal else nest.spatial)[0, level, d])
                if factor > 1:
                    self.loops.append((level, temporal, d, factor, step[d]))
                step[d] *= factor
        shape = (self.depth, len(OPERANDS))
        self.moved = {k: np.zeros(shape) for k in ("reads", "fills", "updates", "drains")}
        for place, operand in enumerate(OPERANDS):
            keepers = [-1, *np.flatnonzero(nest.kept[:, place]).tolist()]
            for child, parent in pairwise(keepers):
                self.link(place, operand, child, parent)

    def offsets(self, loops, indices):
        at = [0] * len(DIMENSIONS)
        for (_, _, d, _, step), index in zip(loops, indices, strict=True):
            at[d] += index * step
        return tuple(at)

    def ranges(self, loops):
        return product(*(range(factor) for _, _, _, factor, _ in loops))

    def box(self, operand: Operand, child: int):
        """The elements of a child's tile at the origin: plain indices and lines of both axes."""
        inner = [loop for loop in self.loops if loop[0] <= child]
        points = [self.offsets(inner, indices) for indices in self.ranges(inner)]
        plain = {tuple(p[d] for d in operand.plain) for p in points}
        axes = []
        for output, kernel in operand.axes:
            at = {p[output] * self.stride + p[kernel] for p in points}
            axes.append(set(range(min(at), max(at) + 1)) if self.c.gaps else at)
        return plain, axes

    def tile(self, operand: Operand, box, at):
        plain, axes = box
        ranges = []
        for (output, kernel), lines in zip(operand.axes, axes, strict=True):
            origin = at[output] * self.stride + at[kernel]
            ranges.append([origin + line for line in lines])
        moved = [tuple(i + at[d] for i, d in zip(p, operand.plain, strict=True)) for p in plain]
        return {(*p, *rest) for p in moved for rest in product(*ranges)}

    def link(self, place: int, operand: Operand, child: int, parent: int) -> None:
        time = [loop for loop in reversed(self.loops) if loop[0] > child and loop[1]]
        between = [lp for lp in reversed(self.loops) if child < lp[0] <= parent and not lp[1]]
        above = [loop for loop in self.loops if loop[0] > parent and not loop[1]]
        parents = int(np.prod([factor for _, _, _, factor, _ in above]))
        box = self.box(operand, child)
        # What instances of different parents do is the same: one parent stands for all.
        children = [self.offsets(between, indices) for indices in self.ranges(between)]
        clock = [(indices, self.offsets(time, indices)) for indices in self.ranges(time)]
        if place == OUTPUTS:
            self.outputs(operand, child, parent, clock, children, box, parents)
        else:
            self.inputs(place, operand, child, parent, clock, children, box, parents)

    def new(self, operand, child, clock, tiles):
        """What comes in at every time: sets of elements. `tiles` of a time: (identity, set)."""
        before = None
        for t, (indices, at) in enumerate(clock):
            identity, now = tiles(at)
            if before is None or (child < 0 and not self.c.latched):
                new = now
            elif identity == before[0]:
                new = set()
            elif self.c.halo is Halo.NONE:
                new = now
            elif self.c.halo is Halo.INNERMOST and (indices[:-1] != clock[t - 1][0][:-1]):
                # A weight or an input that is the same set without being the same loop index.
                new = now
            else:
                new = now - before[1]
            before = (identity, now)
            yield new

    def inputs(self, place, operand, child, parent, clock, children, box, parents) -> None:
        def of(offset):
            def tiles(at):
                there = tuple(a + b for a, b in zip(at, offset, strict=True))
                identity = tuple(at[d] for d in operand.relevant)
                return identity, self.tile(operand, box, there)

            return list(self.new(operand, child, clock, tiles))

        single = {offset: of(offset) for offset in set(children)}
        fills = sum(len(new) for offset in children for new in single[offset])
        if child >= 0:
            self.moved["fills"][child, place] += fills * parents
        if self.c.sharing is Sharing.NONE:
            reads = fills
        elif self.c.sharing is Sharing.MULTICAST:
            different = {tuple(o[d] for d in operand.relevant): o for o in children}
            reads = sum(len(new) for o in different.values() for new in single[o])
        else:

            def tiles(at):
                union = set()
                for offset in children:
                    there = tuple(a + b for a, b in zip(at, offset, strict=True))
                    union |= self.tile(operand, box, there)
                return tuple(at[d] for d in operand.relevant), union

            reads = sum(len(new) for new in self.new(operand, child, clock, tiles))
        self.moved["reads"][parent, place] += reads * parents

    def outputs(self, operand, child, parent, clock, children, box, parents) -> None:
        known: set[tuple[int, ...]] = set()
        count: dict[str, int] = defaultdict(int)
        before = None
        for _, at in clock:
            identity = tuple(at[d] for d in operand.plain)
            if identity == before and not (child < 0 and not self.c.latched):
                continue
            before = identity
            held = [
                self.tile(operand, box, tuple(a + b for a, b in zip(at, offset, strict=True)))
                for offset in children
            ]
            together = set().union(*held)
            count["visited"] += sum(map(len, held))
            if self.c.reduction:
                count["returned"] += len(together & known)
                count["filled"] += len(together & known)
                count["updates"] += len(together)
                known |= together
            else:
                for tile in held:
                    count["returned"] += len(tile & known)
                    count["updates"] += len(tile)
                    known |= tile
        self.moved["reads"][parent, OUTPUTS] += count["returned"] * parents
        self.moved["updates"][parent, OUTPUTS] += count["updates"] * parents
        if child >= 0:
            drained = 0 if self.c.one_way else count["visited"]
            filled = count["visited"] if self.c.one_way else count["filled"]
            self.moved["drains"][child, OUTPUTS] += drained * parents
            self.moved["fills"][child, OUTPUTS] += filled * parents


conventions = st.builds(
    Conventions,
    halo=st.sampled_from(Halo),
    sharing=st.sampled_from(Sharing),
    reduction=st.booleans(),
    latched=st.booleans(),
    gaps=st.booleans(),
    one_way=st.booleans(),
)


@st.composite
def nests(draw, letters: str = "GNKCPQRS", most_temporal: int = 6, most_spatial: int = 4):
    """One row: two to four levels, a few loops of 2 or 3 each, random bypasses."""
    depth = draw(st.integers(2, 4))
    shape = (1, depth, len(DIMENSIONS))
    temporal, spatial = np.ones(shape, dtype=np.int64), np.ones(shape, dtype=np.int64)
    dimensions = st.sampled_from([DIMENSIONS.index(letter) for letter in letters])
    for factors, most in ((temporal, most_temporal), (spatial, most_spatial)):
        for _ in range(draw(st.integers(0, most))):
            level = draw(st.integers(0, depth - 1))
            factors[0, level, draw(dimensions)] = draw(st.integers(2, 3))
    order = np.array([[draw(st.permutations(EVERYTHING)) for _ in range(depth)]], dtype=np.int64)
    kept = np.array([[draw(st.booleans()) for _ in OPERANDS] for _ in range(depth)])
    kept[-1] = True
    stride = np.array([draw(st.integers(1, 3))])
    return LoopNest(temporal, order, spatial, stride, kept)


def assert_walked(nest: LoopNest, c: Conventions) -> None:
    counted, walked = traffic(nest, c), Walk(nest, c).moved
    for name, expected in walked.items():
        np.testing.assert_array_equal(getattr(counted, name)[0], expected, err_msg=name)


@given(nests(), conventions)
def test_counts_are_those_of_a_walk_through_all_iterations(nest: LoopNest, c: Conventions) -> None:
    assert_walked(nest, c)


@given(
    nests(letters="PRQC", most_temporal=5),
    st.sampled_from(Halo),
    st.sampled_from(Sharing),
    st.booleans(),
)
def test_halos_and_diagonals_are_those_of_a_walk(
    nest: LoopNest, halo: Halo, sharing: Sharing, gaps: bool
) -> None:
    assert_walked(nest, Conventions(halo=halo, sharing=sharing, gaps=gaps))


@given(nests())
def test_tiles_are_what_the_loops_inside_touch(nest: LoopNest) -> None:
    walk = Walk(nest, Conventions())
    for level, place in product(range(nest.depth), range(len(OPERANDS))):
        operand = OPERANDS[place]
        held = walk.tile(operand, walk.box(operand, level), (0,) * len(DIMENSIONS))
        assert nest.tiles[0, level, place] == (len(held) if nest.kept[level, place] else 0)


@given(nests())
def test_a_nest_conserves_its_work(nest: LoopNest) -> None:
    macs = nest.steps * nest.multipliers
    assert macs == np.prod(nest.extents.astype(float))
    moved = traffic(nest, Conventions(sharing=Sharing.NONE, reduction=False))
    # Without any sharing every multiplier reads two operands and writes one a step.
    assert (moved.reads.sum(axis=1)[0, :OUTPUTS] >= macs).all()
    assert moved.updates.sum(axis=1)[0, OUTPUTS] >= macs
    # With every sharing, each operand crosses the last level at least once.
    least = traffic(nest, Conventions(sharing=Sharing.NEIGHBOURS, latched=True))
    if nest.extents[0, DIMENSIONS.index("P") :].prod() == 1:
        assert (least.reads[0, -1, :OUTPUTS] >= nest.tiles[0, -1, :OUTPUTS]).all()
    assert least.updates[0, -1, OUTPUTS] >= nest.tiles[0, -1, OUTPUTS]


@given(nests())
def test_every_reuse_saves_traffic(nest: LoopNest) -> None:
    def total(**options: object) -> Traffic:
        return traffic(nest, Conventions(**options))  # type: ignore[arg-type]

    for worse, better in (
        (total(halo=Halo.NONE), total(halo=Halo.INNERMOST)),
        (total(halo=Halo.INNERMOST), total(halo=Halo.ALL)),
        (total(sharing=Sharing.NONE), total(sharing=Sharing.MULTICAST)),
        (total(sharing=Sharing.MULTICAST), total(sharing=Sharing.NEIGHBOURS)),
        (total(latched=False), total(latched=True)),
        (total(halo=Halo.NONE), total(halo=Halo.NONE, gaps=False)),
    ):
        assert (better.reads <= worse.reads).all()
        assert (better.fills <= worse.fills).all()
        assert (better.updates <= worse.updates).all()


@given(nests(), st.floats(0.1, 100), st.floats(1, 10), conventions)
def test_a_nest_takes_as_long_as_its_slowest_part(
    nest: LoopNest, bandwidth: float, faster: float, c: Conventions
) -> None:
    access = np.ones((nest.depth, len(OPERANDS)))
    slow = nest_costs(nest, Memories(access, access, bandwidth), c)
    fast = nest_costs(nest, Memories(access, access, bandwidth * faster), c)
    assert nest.steps <= fast.cycles <= slow.cycles
    moved = slow.traffic
    each = moved.reads + moved.fills + moved.updates + moved.drains
    np.testing.assert_array_equal(moved.accesses, each)
    exact = max(nest.steps[0], (each.sum(axis=2) / nest.instances / bandwidth).max())
    assert slow.cycles[0] in (np.ceil(exact), np.floor(exact) + 1)
    assert slow.bound_by[0] == -1 or slow.level_cycles[0, slow.bound_by[0]] > nest.steps[0]
    assert slow.energy == fast.energy == each.sum()


def test_many_rows_are_the_rows_one_by_one() -> None:
    rng = np.random.default_rng(7)
    shape = (5000, 3, len(DIMENSIONS))
    temporal = np.where(rng.random(shape) < 0.2, rng.integers(1, 5, shape), 1)
    spatial = np.where(rng.random(shape) < 0.1, rng.integers(1, 5, shape), 1)
    order = rng.permuted(np.broadcast_to(np.arange(8), shape), axis=2)
    kept = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=np.bool_)
    nest = LoopNest(temporal, order, spatial, rng.integers(1, 3, 5000), kept)
    c = Conventions(sharing=Sharing.NEIGHBOURS)
    together = traffic(nest, c)
    for row in (0, 1, 4095, 4096, 4999):
        alone = traffic(nest.pick(np.array([row])), c)
        for name, column in vars(alone).items():
            np.testing.assert_array_equal(column[0], getattr(together, name)[row])
    assert traffic(nest.pick(slice(0, 0)), c).reads.shape == (0, 3, 3)


def test_an_output_stationary_array_by_hand() -> None:
    """4 x 2 PEs hold sums of one pixel and filter each; K and P outside, the window inside."""
    nest = LoopNest.of(
        [
            Level("O", {"C": 3, "R": 2}),
            Level("WIO", {"K": 5, "P": 7}, spatial={"P": 4, "K": 2}),
            Level(),
        ]
    )
    assert nest.steps == 5 * 7 * 6
    moved = traffic(nest, Conventions(sharing=Sharing.MULTICAST, latched=False))
    weights, inputs, outputs = moved.reads[0].T
    assert weights[1] == 6 * 2 * 35  # every step, two filters, multicast to the rows
    assert inputs[1] == 6 * 4 * 35  # every step, four pixels, multicast to the columns
    assert moved.updates[0, 1, OUTPUTS] == outputs[1] + 10 * 28  # sums leave once, complete
    assert outputs[1] == 0
    assert moved.updates[0, 0, OUTPUTS] == 8 * 210  # a sum is written every step
    assert moved.reads[0, 0, OUTPUTS] == 8 * 210 - 8 * 35  # and read, but for the first of each
    shared = traffic(nest, Conventions(sharing=Sharing.NEIGHBOURS))
    assert shared.reads[0, 1, INPUTS] == 6 * 4 * 35  # a step wants one kernel row: no halo
    assert traffic(nest).reads[0, 2, INPUTS] == 3 * 29


def test_row_stationary_diagonals_share_their_input() -> None:
    """Kernel rows down, output rows across: r + p of 3 x 5 PEs are 7 different input rows."""
    nest = LoopNest.of([Level("W"), Level(loops={"C": 2}, spatial={"R": 3, "P": 5})])
    apart = traffic(nest, Conventions(sharing=Sharing.MULTICAST)).reads[0, 1, INPUTS]
    shared = traffic(nest, Conventions(sharing=Sharing.NEIGHBOURS)).reads[0, 1, INPUTS]
    assert (apart, shared) == (2 * 15, 2 * 7)


def test_factors_that_are_arrays_give_rows() -> None:
    nest = LoopNest.of([Level("W"), Level(loops={"C": np.array([2, 3]), "K": 4})], stride=2)
    assert nest.steps.tolist() == [8, 12]
    assert nest.stride.tolist() == [2, 2]
    assert traffic(nest, TIMELOOP).reads.shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([Level("W"), Level("WI")], "does not keep every operand"),
        ([Level(loops={"K": 0})], "factor below 1"),
        ([Level(loops={"X": 2})], "no 'X'"),
        ([Level("WIOZ")], "no 'Z'"),
    ],
)
def test_nests_that_cannot_be_are_refused(levels: list[Level], message: str) -> None:
    with pytest.raises(DesignError, match=message):
        LoopNest.of(levels)


def test_arrays_that_do_not_fit_are_refused() -> None:
    nest = LoopNest.of([Level(loops={"K": 2})])
    with pytest.raises(DesignError, match="do not fit together"):
        LoopNest(nest.temporal, nest.order, nest.spatial[:, :0], nest.stride, nest.kept)
    with pytest.raises(DesignError, match="no permutation"):
        LoopNest(nest.temporal, nest.order * 0, nest.spatial, nest.stride, nest.kept)


@pytest.mark.parametrize(
    ("loops", "none", "innermost", "every"),
    [
        # Tiles of 2 rows and 1 column, in steps of one row: half of each is new.
        ({"P": 5}, 10, 6, 6),
        ({"K": 2, "P": 5}, 20, 12, 12),
        # A loop inside P that leaves the tile where it is.
        ({"P": 5, "K": 2}, 10, 10, 6),
        # A column step starts the rows again.
        ({"Q": 3, "P": 5}, 30, 18, 18),
        # Rows move on while the columns start again, too far off to overlap.
        ({"P": 5, "Q": 3}, 30, 30, 30),
    ],
)
def test_halos_by_hand(loops: dict[str, int], none: int, innermost: int, every: int) -> None:
    nest = LoopNest.of([Level("I", {"R": 2}), Level(loops=loops)])
    for halo, expected in zip(Halo, (none, innermost, every), strict=True):
        assert traffic(nest, Conventions(halo=halo)).fills[0, 0, INPUTS] == expected, halo


@pytest.mark.parametrize("name", ["loop_nest", "loop_nest_traffic", "loop_nest_costs"])
def test_examples_in_docstrings_hold(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"evaluators.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
