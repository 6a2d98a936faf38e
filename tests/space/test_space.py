"""The space: conditions, canonical genomes, sizes, features, neighbours."""

from __future__ import annotations

import itertools
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas import BitsPerCell, Gene, SkipNet, Space, SystolicArray, When
from hwnas.errors import PluginError, SpaceError
from hwnas.space import differing, keys, unique
from hwnas.testing import SpaceSubject, layers, space_checks
from tests.space.strategies import spaces, spaces_with_genomes

CHAIN = Space(
    (
        Gene("net.c", (10, 20), when=When("net.b", one_of=("on",))),
        Gene("net.a", (1, 2, 3)),
        Gene("net.b", ("off", "on"), ordered=False, when=When("net.a", at_least=2)),
        Gene("hw.d", (1, 2), when=(When("net.c", one_of=(20,)), When("net.a", one_of=(3,)))),
    )
)
"""Conditions on conditions, listed out of order. Its designs, counted by hand, are 1 + 3 + 4:
a=1: 1;  a=2: off, on with c=10, on with c=20;  a=3: off, on with c=10, on with c=20 and 2 of d.
"""


def oracle(space: Space) -> set[tuple[tuple[str, object], ...]]:
    """All designs as sets of active genes, by brute force over values and without numpy."""
    genes = {gene.name: gene for gene in space.genes}
    designs = set()
    for values in itertools.product(*(gene.choices for gene in space.genes)):
        config = dict(zip(genes, values, strict=True))

        def meets(name, config=config):
            return all(
                condition.gene not in genes
                or (
                    meets(condition.gene)
                    and (
                        config[condition.gene] in condition.one_of
                        if condition.one_of
                        else float(config[condition.gene]) >= condition.at_least
                    )
                )
                for condition in genes[name].when
            )

        designs.add(tuple((name, value) for name, value in config.items() if meets(name)))
    return designs


def test_a_chain_of_conditions_counted_by_hand():
    assert CHAIN.size() == 8
    assert len(CHAIN.rows()) == 8


@given(spaces())
def test_size_and_rows_are_what_brute_force_finds(space):
    expected = oracle(space)
    assert space.size() == len(expected)
    rows = space.rows()
    configs = [
        tuple(
            (gene.name, gene.choices[index])
            for gene, index, on in zip(space.genes, row, active, strict=True)
            if on
        )
        for row, active in zip(rows, space.active(rows), strict=True)
    ]
    assert len(configs) == len(expected)
    assert set(configs) == expected


ABOUT_PARTS = {function.__name__.replace("_", " ") for function in layers.CHECKS}


@pytest.mark.parametrize(
    "check",
    [c for c in space_checks() if not (c.name.startswith("parts") or c.name in ABOUT_PARTS)],
    ids=str,
)
@settings(max_examples=20)
@given(space=spaces())
def test_random_spaces_conform(check, space):
    check(SpaceSubject(space, rows=8))


def test_size_is_exact_where_enumeration_is_hopeless():
    width = tuple(
        Gene(f"net.w{i}", tuple(range(7)), when=When("net.n", at_least=i)) for i in range(1, 41)
    )
    space = Space((Gene("net.n", tuple(range(1, 41))), *width))
    assert space.size() == sum(7**k for k in range(1, 41))


def test_size_does_not_enumerate_parents_that_are_independent():
    blocks = [
        gene
        for i in range(30)
        for gene in (
            Gene(f"net.op{i}", ("conv", "skip"), ordered=False),
            Gene(f"net.kernel{i}", (3, 5, 7), when=When(f"net.op{i}", one_of=("conv",))),
        )
    ]
    assert Space(tuple(blocks)).size() == 4**30


def test_an_empty_space_has_one_design():
    assert Space(()).size() == 1
    assert Space(()).rows().shape == (1, 0)


def test_two_genes_of_one_name_are_refused():
    with pytest.raises(SpaceError, match=r"'net\.a' occurs twice"):
        Space((Gene("net.a", (1,)), Gene("net.a", (2,))))


def test_circles_are_refused_and_shown():
    a = Gene("net.a", (1, 2), when=When("net.c", at_least=2))
    b = Gene("net.b", (1, 2), when=When("net.a", at_least=2))
    c = Gene("net.c", (1, 2), when=When("net.b", at_least=2))
    with pytest.raises(SpaceError, match="circle") as caught:
        Space((a, b, c))
    assert all(name in caught.value.given for name in ("net.a", "net.b", "net.c"))


def test_a_gene_cannot_depend_on_itself():
    with pytest.raises(SpaceError, match="circle"):
        Space((Gene("net.a", (1, 2), when=When("net.a", at_least=2)),))


def test_conditions_on_missing_genes_count_as_met_until_the_spaces_are_added():
    bits = Space((Gene("quant.bits", (4, 8), when=When("net.cells", at_least=2)),))
    assert [w.gene for w in bits.open_conditions] == ["net.cells"]
    assert bits.active(np.array([[1]])).all()
    joint = Space((Gene("net.cells", (1, 2)),)) + bits
    assert joint.open_conditions == ()
    np.testing.assert_array_equal(joint.canonical(np.array([[0, 1], [1, 1]])), [[0, 0], [1, 1]])


def test_addition_refuses_parts_and_genes_that_are_there_twice():
    with pytest.raises(SpaceError, match="'net' is in both"):
        SkipNet().space() + SkipNet(widths=(1,)).space()
    with pytest.raises(SpaceError, match="occurs twice"):
        Space((Gene("net.a", (1,)),)) + Space((Gene("net.a", (1,)),))


def test_addition_keeps_order_and_parts():
    joint = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
    assert joint.part_names == ("net", "quant", "hw")
    assert list(joint.parts) == ["net", "quant", "hw"]
    assert joint.part("quant", "net").genes == (SkipNet().space() + BitsPerCell().space()).genes
    assert joint.part("hw").parts == {"hw": SystolicArray()}


def test_the_default_joint_space_counted_by_hand():
    # Per cell: 4 depths, of which 3 (3, 4, 6) have 5 numbers of skip channels: 1 + 3 * 5 = 16.
    networks = 4 * 2 * (16 + 16**2 + 16**3)
    assert SkipNet().space().size() == networks
    joint = SkipNet().space() + BitsPerCell().space()
    assert joint.size() == 4 * 2 * sum((16 * 25) ** cells for cells in (1, 2, 3))
    assert SystolicArray().space().size() == 4 * 4 * 3 * 7**3 * 5 * 4
    assert (joint + SystolicArray().space()).size() == joint.size() * 329_280


@pytest.mark.parametrize(
    ("genomes", "message"),
    [
        ([[0, 0, 0]], "wrong shape"),
        ([0, 0, 0, 0], "wrong shape"),
        ([[0.0, 0.5, 0.0, 0.0]], "choice indices"),
        ([[0, 3, 0, 0]], r"'net\.a' has no choice number 3"),
        ([[0, 0, 0, 0], [-1, 0, 0, 0]], r"'net\.c' has no choice number -1"),
    ],
)
def test_genomes_are_checked(genomes, message):
    with pytest.raises(SpaceError, match=message):
        CHAIN.check(genomes)


def test_the_bad_row_is_named():
    with pytest.raises(SpaceError) as caught:
        CHAIN.check([[0, 0, 0, 0], [0, 0, 2, 0]])
    assert caught.value.where == "row 1 of 2"
    assert caught.value.rule == "0 to 1"


def test_no_genomes_are_fine():
    assert CHAIN.check(np.empty((0, 4))).dtype == np.int64
    assert CHAIN.canonical(CHAIN.check(np.empty((0, 4)))).shape == (0, 4)


@given(spaces_with_genomes())
def test_active_is_what_the_conditions_say(drawn):
    space, raw = drawn
    expected = oracle(space)
    for row, active in zip(raw, space.active(raw), strict=True):
        config = tuple(
            (gene.name, gene.choices[index])
            for gene, index, on in zip(space.genes, row, active, strict=True)
            if on
        )
        assert config in expected


def test_encode_reads_configurations():
    rows = CHAIN.encode([{"net.a": 2, "net.b": "on", "net.c": 20}, {"net.a": 1}])
    np.testing.assert_array_equal(rows, [[1, 1, 1, 0], [0, 0, 0, 0]])


def test_encode_clears_sleeping_genes():
    np.testing.assert_array_equal(CHAIN.encode([{"net.a": 1, "net.b": "on"}]), [[0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"net.a": 1, "net.z": 1}, r"no gene 'net\.z'"),
        ({"net.a": 4}, r"'net\.a' has no choice 4"),
        ({"net.a": 2}, r"'net\.b' is active but has no value"),
        ({}, r"'net\.a' is active"),
    ],
)
def test_encode_refuses(config, message):
    with pytest.raises(SpaceError, match=message) as caught:
        CHAIN.encode([{"net.a": 1}, config])
    assert caught.value.where == "design 1"


def test_features_by_hand():
    space = Space(
        (
            Gene("net.a", (1, 2, 3)),
            Gene("net.b", ("x", "y"), ordered=False, when=When("net.a", at_least=2)),
            Gene("net.c", (5,)),
        )
    )
    assert space.feature_names == ("net.a", "net.b=x", "net.b=y", "net.b?", "net.c")
    features = space.features(np.array([[0, 1, 0], [1, 0, 0], [2, 1, 0]]))
    np.testing.assert_array_equal(features, [[0, 0, 0, 0, 0], [0.5, 1, 0, 1, 0], [1, 0, 1, 1, 0]])


def test_neighbours_by_hand():
    # a=2, b=on, c=10: a steps to 1 (all else sleeps) or 3, b to off (c sleeps), c to 20.
    np.testing.assert_array_equal(
        CHAIN.neighbours(np.array([0, 1, 1, 0])),
        [[0, 0, 0, 0], [0, 1, 0, 0], [0, 2, 1, 0], [1, 1, 1, 0]],
    )


def test_neighbourhood_is_not_symmetric_as_documented():
    far, near = np.array([1, 1, 1, 0]), np.array([0, 0, 0, 0])
    assert near.tolist() in CHAIN.neighbours(far).tolist()
    assert far.tolist() not in CHAIN.neighbours(near).tolist()


def test_a_design_without_alternatives_has_no_neighbours():
    assert Space((Gene("net.a", (1,)),)).neighbours(np.array([0])).shape == (0, 1)


def test_uniform_genes_are_not_uniform_designs():
    rows = CHAIN.sample(30_000, np.random.default_rng(0))
    shallow = (rows[:, 1] == 0).mean()
    assert abs(shallow - 1 / 3) < 0.02  # one of three choices, though one of eight designs


@given(spaces())
def test_json_gives_the_space_back(space):
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    kinds = [[type(choice) for choice in gene.choices] for gene in space.genes]
    assert [[type(choice) for choice in gene.choices] for gene in again.genes] == kinds


def test_json_gives_parts_and_their_options_back():
    space = SkipNet(cells=(1, 2), skips=("add",)).space() + BitsPerCell(cells=2).space()
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.parts["net"] == SkipNet(cells=(1, 2), skips=("add",))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({}, SpaceError),
        ({"genes": [{"name": "net.a"}], "parts": {}}, SpaceError),
        ({"genes": [], "parts": {"net": {"use": "skipnet", "options": {"depth": 3}}}}, SpaceError),
        ({"genes": [], "parts": {"net": {"use": "skipnot", "options": {}}}}, PluginError),
    ],
)
def test_json_that_is_no_space_is_refused(data, error):
    with pytest.raises(error):
        Space.from_json(data)


@given(spaces())
def test_spaces_pickle(space):
    again = pickle.loads(pickle.dumps(space))
    assert again == space
    np.testing.assert_array_equal(again.rows(), space.rows())


@given(spaces_with_genomes(), st.data())
def test_restrict_and_translate(drawn, data):
    space, raw = drawn
    allowed = {
        gene.name: data.draw(
            st.lists(st.sampled_from(gene.choices), min_size=1, unique=True), gene.name
        )
        for gene in space.genes
    }
    small = space.restrict(allowed)
    assert oracle(small) <= oracle(space)
    there, exact = space.translate(raw, small)
    assert small.is_valid(there).all()
    back, lost_nothing = small.translate(there, space)
    assert lost_nothing.all()
    np.testing.assert_array_equal(back[exact], space.canonical(raw)[exact])
    assert (back[~exact] != space.canonical(raw)[~exact]).any(axis=1).all()


def test_one_value_pins_a_gene():
    assert CHAIN.restrict({"net.a": 2}).genes[1].choices == (2,)
    assert CHAIN.restrict({"net.b": "on"}).genes[2].choices == ("on",)


def test_restriction_keeps_the_order_of_the_choices():
    assert CHAIN.restrict({"net.a": [3, 1]}).genes[1].choices == (1, 3)


@pytest.mark.parametrize("allowed", [{"net.z": 1}, {"net.a": 4}, {"net.a": [1, 4]}, {"net.a": []}])
def test_restrict_refuses(allowed):
    with pytest.raises(SpaceError):
        CHAIN.restrict(allowed)


def test_translate_between_spaces_of_different_genes():
    old = Space((Gene("net.a", (1, 2, 4)), Gene("net.gone", (1, 2))))
    new = Space((Gene("net.fresh", (7, 8)), Gene("net.a", (4, 2))))
    rows, exact = old.translate(np.array([[2, 0], [0, 0], [1, 1]]), new)
    np.testing.assert_array_equal(rows[:, 0], 0)
    np.testing.assert_array_equal(rows[[0, 2], 1], [0, 1])
    assert exact.tolist() == [False, False, False]  # net.gone is active and has no place to go
    rows, exact = old.part("net").restrict({"net.gone": 1}).translate(np.array([[2, 0]]), new)
    assert not exact.any()


def test_translate_says_when_a_value_falls_asleep_over_there():
    awake = Space((Gene("net.a", (1, 2)), Gene("net.b", (1, 2))))
    drowsy = Space((Gene("net.a", (1, 2)), Gene("net.b", (1, 2), when=When("net.a", at_least=2))))
    _, exact = awake.translate(np.array([[0, 1], [1, 1]]), drowsy)
    assert exact.tolist() == [False, True]


def test_unknown_parts_are_refused():
    with pytest.raises(SpaceError, match="no part 'nett'") as caught:
        CHAIN.columns_of("nett")
    assert "'net'" in caught.value.cure


def test_columns_of_parts():
    np.testing.assert_array_equal(CHAIN.columns_of("net"), [0, 1, 2])
    np.testing.assert_array_equal(CHAIN.columns_of("hw", "net"), [0, 1, 2, 3])


@given(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), max_size=20))
def test_differing_rows_and_their_keys(rows):
    array = np.array(rows, dtype=np.int64).reshape(-1, 3)
    seen: dict[tuple[int, ...], int] = {}
    for i, row in enumerate(map(tuple, rows)):
        seen.setdefault(row, i)
    np.testing.assert_array_equal(differing(array), sorted(seen.values()))
    found = keys(array)
    assert len(found) == len(rows)
    assert all(
        (found[i] == found[j]) == (rows[i] == rows[j])
        for i, j in itertools.combinations(range(len(rows)), 2)
    )


@given(
    st.lists(st.lists(st.sampled_from((0, 1, 7)), min_size=3, max_size=3), max_size=12),
    st.sampled_from((1, 2**20, 2**30)),
)
def test_unique_is_that_of_numpy_also_beyond_64_bits(rows, size):
    array = np.array(rows, dtype=np.int64).reshape(-1, 3) * size
    _, first, inverse = np.unique(array, axis=0, return_index=True, return_inverse=True)
    found, places = unique(array)
    np.testing.assert_array_equal(found, first)
    np.testing.assert_array_equal(places, inverse.reshape(-1))


@pytest.mark.parametrize("shape", [(0, 3), (0, 0), (4, 0)])
def test_unique_rows_where_there_is_nothing_to_compare(shape):
    first, inverse = unique(np.empty(shape, dtype=np.int64))
    assert first.tolist() == [0][: shape[0]]
    assert inverse.tolist() == [0] * shape[0]


def test_keys_of_rows_without_columns_and_of_strided_rows():
    assert keys(np.empty((3, 0), dtype=np.int64)) == [b""] * 3
    grid = np.arange(12).reshape(3, 4)
    assert keys(grid[:, ::2]) == keys(np.ascontiguousarray(grid[:, ::2]))


def test_counts_are_python_integers_beyond_64_bits():
    genes = tuple(Gene(f"net.g{i}", tuple(range(10))) for i in range(25))
    assert math.log10(Space(genes).size()) == 25
