"""Networks of NAS-Bench-201 against published sizes, equal cells against arithmetic."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.design import Designs, NASBench201, Operator
from hwnas.design.nas_bench_201_cell import EDGES, OPERATORS, canonical, living
from hwnas.errors import SpaceError
from hwnas.testing import SpaceSubject, space_checks

FAMILY = NASBench201()
SPACE = FAMILY.space()
EVERY = SPACE.rows()

cells = st.lists(st.integers(0, 4), min_size=6, max_size=6)

# Operators of the edges 01, 02, 12, 03, 13, 23; parameters and multiply-accumulates for CIFAR-10,
# and for ImageNet16-120: networks 0 to 4 as published with NATS-Bench (MIT).
PUBLISHED = [
    ((4, 2, 1, 2, 1, 1), 129_306, 15_647_360, 136_456, 3_919_360),
    ((3, 3, 4, 1, 3, 1), 802_426, 113_951_360, 809_576, 28_495_360),
    ((4, 3, 3, 4, 4, 4), 559_386, 78_561_920, 566_536, 19_648_000),
    ((4, 1, 0, 0, 0, 1), 73_306, 7_783_040, 80_456, 1_953_280),
    ((1, 1, 2, 1, 1, 2), 129_306, 15_647_360, 136_456, 3_919_360),
]


def sizes(family, codes):
    """Parameters, with batch normalisation and biases, and multiply-accumulates."""
    table = Designs(family.space(), np.asarray(codes)).layers
    shortcut = (table.R == 1) & (table.C < table.K) & (table.operator == 0)
    normalised = (table.operator == int(Operator.CONVOLUTION)) & ~shortcut
    last = table.operator == int(Operator.LINEAR)
    extra = 2 * table.K * normalised + (2 * table.C + table.K) * last
    return table.total(table.weights + extra), table.total(table.macs)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: str(row[0]))
def test_sizes_are_the_published_ones(row):
    codes, *published = row
    cifar = sizes(FAMILY, [codes])
    small = sizes(NASBench201(image=16, classes=120), [codes])
    assert [int(v[0]) for v in (*cifar, *small)] == published


def test_all_sizes_are_the_published_ones(shared):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(shared / "data" / "nb201.parquet")
    codes = table[[f"op_e{i}{j}" for i, j in EDGES]].to_numpy(np.int64)
    for family, name in ((FAMILY, "c10"), (NASBench201(image=16, classes=120), "in16")):
        params, macs = sizes(family, codes)
        assert np.array_equal(params, table[f"params_{name}"])
        assert np.array_equal(macs, table[f"macs_{name}"])


def test_one_cell_by_hand():
    """Node 2 = pool(input); output = input + conv1x1(input) + conv3x3(node 2): two additions."""
    family = NASBench201(image=4, cells_per_stage=1, stem_channels=2, classes=3)
    names = [OPERATORS[code] for code in (2, 4, 0, 1, 1, 3)]
    space = family.space()
    genes = dict(zip(space.names, names, strict=True))
    rows = Designs(space, space.encode([genes])).layers
    conv, linear, pool, add = 0, 1, 2, 3
    cell = [conv, pool, conv, add, add]
    block = [conv, conv, pool, conv, add]
    assert rows.operator.tolist() == [conv, *cell, *block, *cell, *block, *cell, pool, linear]
    assert rows.R.tolist()[:11] == [3, 1, 3, 3, 1, 1, 3, 3, 2, 1, 1]
    assert rows.cell.tolist() == [0, *[c for c in (1, 2, 3, 4, 5) for _ in range(5)], 0, 0]
    assert rows.K.tolist()[::5] == [2, 2, 4, 4, 8, 8]
    assert rows.P.tolist() == [*[4] * 6, *[2] * 10, *[1] * 12]
    assert rows.C.tolist()[6:11] == [2, 4, 2, 2, 4]
    assert rows.stride.tolist()[6:11] == [2, 1, 2, 1, 1]
    assert rows.R.tolist()[-2:] == [1, 1]


def test_dead_edges_can_be_left_out():
    """A convolution into node 1, from which nothing leads on, is dropped and otherwise kept."""
    codes = [[3, 0, 0, 1, 0, 0]]
    kept = Designs(SPACE, np.array(codes)).layers
    dropped = Designs(NASBench201(drop_dead_edges=True).space(), np.array(codes)).layers
    empty = Designs(SPACE, np.array([[0, 0, 0, 1, 0, 0]])).layers
    assert len(kept) == len(dropped) + 15
    assert np.array_equal(dropped.macs, empty.macs)


@pytest.mark.parametrize(
    "options",
    [{"image": 30}, {"image": 0}, {"cells_per_stage": 0}, {"classes": 0}, {"stem_channels": -1}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(SpaceError, match=next(iter(options))):
        NASBench201(**options)


@given(cells)
def test_living_edges_are_those_on_a_path(codes):
    """Edges that can be walked from the input and from which the output can be reached."""
    here = {edge for edge, code in zip(EDGES, codes, strict=True) if code}
    reached, leading = {0}, {3}
    for _ in range(3):
        reached |= {j for i, j in here if i in reached}
        leading |= {i for i, j in here if j in leading}
    alive = [(i, j) in here and i in reached and j in leading for i, j in EDGES]
    expected = [code if on else 0 for code, on in zip(codes, alive, strict=True)]
    assert living(np.array([codes])).tolist() == [expected]


def outputs(codes):
    """Cells as arithmetic on a number: convolutions with every order of six weights, ``(n, 720)``.

    Cells that are the same network have the same outputs, in another order of the weights.
    """
    orders = np.array(list(permutations(np.linspace(0.5, 1.4, 6))))
    nodes = [np.full((len(codes), len(orders)), value) for value in (0.7, 0.0, 0.0, 0.0)]
    for edge, (i, j) in enumerate(EDGES):
        code = codes[:, edge, None]
        convolved = np.sin(orders[:, edge] * nodes[i] + 0.37 * code)
        pooled = np.exp(-0.8 * nodes[i])
        nodes[j] = nodes[j] + np.choose(code, [0.0, nodes[i], convolved, convolved, pooled])
    return nodes[3]


def test_canonical_cells_are_the_different_ones():
    """Two cells have one canonical form exactly if no order of weights tells them apart."""
    alive = np.unique(living(EVERY), axis=0)
    forms = canonical(alive)
    # Moments over all orders do not depend on the order of the weights.
    marks = []
    for block in np.array_split(alive, 20):
        values = outputs(block)
        marks.append(np.stack([(values**power).mean(axis=1) for power in (1, 2, 3)], axis=1))
    _, by_value = np.unique(np.concatenate(marks).round(9), axis=0, return_inverse=True)
    _, by_form = np.unique(forms, axis=0, return_inverse=True)
    pairs = {*zip(by_value.tolist(), by_form.tolist(), strict=True)}
    assert len(pairs) == by_value.max() + 1 == by_form.max() + 1 == 5260
    assert np.array_equal(canonical(forms), forms)
    assert np.array_equal(canonical(EVERY), canonical(living(EVERY)))


def encoded(codes):
    rows = np.asarray(codes, dtype=np.int64).reshape(-1, 6)
    return FAMILY.encoding(SPACE.decode(rows), len(rows))


def test_encodings_are_equal_exactly_for_equal_networks():
    encoding = encoded(EVERY)
    assert encoding.shape == (15_625, len(FAMILY.encoding_names()))
    assert encoding.min() == 0
    assert encoding.max() == 1
    assert len(set(FAMILY.encoding_names())) == encoding.shape[1]
    _, by_encoding = np.unique(encoding, axis=0, return_inverse=True)
    _, by_form = np.unique(canonical(EVERY), axis=0, return_inverse=True)
    pairs = {*zip(by_encoding.tolist(), by_form.tolist(), strict=True)}
    assert len(pairs) == by_encoding.max() + 1 == by_form.max() + 1


def test_an_encoding_by_hand():
    """conv3x3 0->1, skip 1->3: one path, one convolution; the same as conv3x3 0->3."""
    names = FAMILY.encoding_names()
    one, other = (
        dict(zip(names, row, strict=True))
        for row in encoded([[3, 0, 0, 0, 1, 0], [0, 0, 0, 3, 0, 0]])
    )
    assert one == other
    assert one["e03=nor_conv_3x3"] == 1
    assert one["paths"] == 1 / 4
    assert one["path1.nor_conv_3x3"] == 1 / 3
    assert one["count.nor_conv_3x3"] == 1 / 6
    assert one["longest"] == one["shortest"] == 2 / 4
    # 21 (C^2 + (2C)^2 + (4C)^2) N per edge and 1x1; of six 3x3 edges 9 x 6 times that.
    table = Designs(SPACE, np.array([[0] * 6, [0, 0, 0, 3, 0, 0], [3] * 6])).layers
    empty, this, most = table.total(table.macs)
    assert one["log_macs"] == pytest.approx(np.log(this / empty) / np.log(most / empty))
    nothing = dict(zip(names, encoded([[0] * 6])[0], strict=True))
    assert [nothing[name] for name in ("paths", "longest", "shortest", "log_weights")] == [0] * 4


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("check", space_checks(), ids=str)
def test_conformance(check, drop):
    check(SpaceSubject.of(NASBench201(cells_per_stage=2, drop_dead_edges=drop)))
