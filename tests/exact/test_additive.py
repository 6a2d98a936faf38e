"""Pareto dynamic programming: brute force, real spaces, guarantees, refusals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.counts import BitOps, Macs, Params
from evaluators.systolic import Systolic
from hwnas import Gene, Metric, Problem, Space, measures
from hwnas.design import BitsPerCell, SkipNet, SystolicArray
from hwnas.errors import ExactRefusedError
from hwnas.evaluation.additive import (
    Additive,
    Terms,
    connected,
    rank,
    settings,
    tables_by_probing,
    varying,
)
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.exact.additive import additive_front, pareto_sums, thinned_pareto_sums
from hwnas.exact.monotone import Range, range_of
from hwnas.exact.sums import nondominated_once
from hwnas.expressions import Objective
from hwnas.metrics import Goal, Measurements
from hwnas.problem import nondominated
from hwnas.space import When
from hwnas.testing.toys import exact_front

# --- sums of tables -------------------------------------------------------------------------------


@st.composite
def tables(draw):
    """Up to five tables of up to five rows, whole numbers so that sums are exact."""
    m = draw(st.integers(1, 4))
    rows = st.lists(st.lists(st.integers(-5, 9), min_size=m, max_size=m), min_size=1, max_size=5)
    return [np.array(table, float) for table in draw(st.lists(rows, min_size=1, max_size=5))]


def all_sums(given_tables) -> np.ndarray:
    return np.array([np.sum(rows, axis=0) for rows in product(*given_tables)])


def front_by_force(given_tables) -> np.ndarray:
    sums = all_sums(given_tables)
    return np.unique(sums[nondominated(sums)], axis=0)


@given(tables())
def test_the_front_of_sums_is_that_of_all_combinations(given_tables):
    found = pareto_sums(given_tables)
    order = np.lexsort(found.sums.T[::-1])
    np.testing.assert_array_equal(found.sums[order], front_by_force(given_tables))
    taken = sum(t[c] for t, c in zip(given_tables, found.choices.T, strict=True))
    np.testing.assert_array_equal(taken, found.sums)
    assert not found.error.any()


@given(tables(), st.integers(1, 6))
def test_a_thinned_front_keeps_its_guarantee(given_tables, size):
    found = thinned_pareto_sums(given_tables, size=size)
    assert 1 <= len(found) <= size
    taken = sum(t[c] for t, c in zip(given_tables, found.choices.T, strict=True))
    np.testing.assert_array_equal(taken, found.sums)
    excess = found.sums[:, None] - front_by_force(given_tables)[None]
    assert ((excess <= found.error + 1e-9).all(axis=2).any(axis=0)).all()


def trade_offs(layers: int, choices: int, m: int, seed: int = 0) -> list[np.ndarray]:
    """Tables without a dominated row: the more of one, the less of the others."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(layers):
        x = np.sort(rng.random(choices))
        rest = [(1 - x) ** p for p in np.linspace(1.5, 3, m - 1)]
        found.append(rng.lognormal(size=m) * np.stack([x, *rest], axis=1))
    return found


def test_a_thinned_front_is_near_the_whole():
    given_tables = trade_offs(20, 9, 2)
    whole = pareto_sums(given_tables)
    thinned = thinned_pareto_sums(given_tables, size=300)
    assert len(whole) > 2_000
    assert 150 < len(thinned) <= 300
    excess = (thinned.sums[:, None] - whole.sums[None]).max(axis=2, initial=-np.inf)
    assert (thinned.error > 0).all()
    away = thinned.sums[:, None] - whole.sums[None] - thinned.error
    assert (away <= 1e-9).all(axis=2).any(axis=0).all()
    # The guarantee is not far from idle: a tenth of the extents at worst.
    assert (thinned.error < 0.1 * np.ptp(whole.sums, axis=0)).all()
    assert excess.min(axis=0).max() > 0
    same = thinned_pareto_sums(given_tables, size=len(whole) + 10_000)
    np.testing.assert_array_equal(same.sums, whole.sums)
    assert not same.error.any()


def test_real_numbers_and_blocks(monkeypatch):
    given_tables = [*trade_offs(3, 6, 3), *trade_offs(2, 4, 3, seed=1)]
    whole = pareto_sums(given_tables)
    sums = all_sums(given_tables)
    brute = sums[nondominated(sums)]
    np.testing.assert_allclose(
        whole.sums[np.lexsort(whole.sums.T[::-1])], brute[np.lexsort(brute.T[::-1])], rtol=1e-12
    )
    monkeypatch.setattr("hwnas.exact.sums._BLOCK", 50)
    blocks = pareto_sums(given_tables)
    np.testing.assert_array_equal(np.unique(blocks.sums, axis=0), np.unique(whole.sums, axis=0))


def test_the_supported_points_of_a_huge_front_are_on_it():
    # For weights w the smallest w . sum takes the best row of each table: known without search.
    given_tables = trade_offs(30, 12, 2)
    found = pareto_sums(given_tables)
    for share in np.linspace(0.05, 0.95, 19):
        w = np.array([share, 1 - share])
        best = sum((table @ w).min() for table in given_tables)
        assert (found.sums @ w).min() == pytest.approx(best, rel=1e-12)
    assert len(nondominated(found.sums)) == len(found)


@given(tables(), st.lists(st.integers(-5, 30), min_size=4, max_size=4))
def test_bounds_rule_out_what_cannot_meet_them(given_tables, limits):
    upper = np.array(limits[: given_tables[0].shape[1]], float)
    found = pareto_sums(given_tables, possible=lambda low: (low <= upper + 1e-6).all(axis=1))
    sums = all_sums(given_tables)
    sums = sums[(sums <= upper).all(axis=1)]
    expected = np.unique(sums[nondominated(sums)], axis=0) if len(sums) else sums
    np.testing.assert_array_equal(found.sums[np.lexsort(found.sums.T[::-1])], expected)


def test_bounds_save_partial_sums():
    given_tables = trade_offs(12, 9, 2)
    sizes: list[int] = []

    def possible(lowest):
        sizes.append(len(lowest))
        return lowest[:, 0] <= upper

    upper = np.inf
    whole = pareto_sums(given_tables, possible=possible)
    free = sum(sizes)
    sizes.clear()
    upper = np.quantile(whole.sums[:, 0], 0.1)
    few = pareto_sums(given_tables, possible=possible)
    assert sum(sizes) < 0.5 * free
    np.testing.assert_array_equal(few.sums, whole.sums[whole.sums[:, 0] <= upper])


def test_rows_that_are_infinite_are_not_taken():
    inf = np.inf
    found = pareto_sums([np.array([[inf, 0], [1, 1]]), np.array([[0, 0], [-1, inf]])])
    assert found.sums.tolist() == [[1, 1]]
    assert found.choices.tolist() == [[1, 0]]
    nothing = pareto_sums([np.ones((2, 2)), np.full((2, 2), inf), np.ones((1, 2))])
    assert nothing.choices.shape == (0, 3)
    assert nothing.sums.shape == (0, 2)


def test_what_cannot_be_added_up_is_refused():
    with pytest.raises(ExactRefusedError, match="no tables"):
        pareto_sums([])
    for strange in ([np.ones((2, 2)), np.ones((2, 3))], [np.ones(3)], [np.array([[np.nan]])]):
        with pytest.raises(ExactRefusedError, match="do not fit"):
            pareto_sums(strange)
    with pytest.raises(ExactRefusedError, match="after 3 of 6 tables"):
        pareto_sums(trade_offs(6, 9, 3), limit=100)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40))
def test_two_columns_are_filtered_like_any_other(rows):
    losses = np.array(rows, float).reshape(-1, 2)
    kept = nondominated_once(losses)
    expected = losses[nondominated(losses)]
    np.testing.assert_array_equal(losses[kept], np.unique(expected, axis=0).reshape(-1, 2))


# --- the ways of expressions ----------------------------------------------------------------------

METRICS = {"a": Range(0.5, 3.0), "b": Range(1.0, 2.0), "c": Range(-4.0, -1.0), "d": Range(-1, 1)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minimize: a", {"a": 1}),
        ("minimize: a * b", {"a": 1, "b": 1}),
        ("minimize: 3 - a", {"a": -1}),
        ("minimize: a / b", {"a": 1, "b": -1}),
        ("minimize: a * c", {"a": -1, "c": 1}),
        ("minimize: a - a", {"a": 0}),
        ("minimize: a * d", {"a": 0, "d": 1}),
        ("minimize: 1 / d", {"d": 0}),
        ("minimize: (a + b) ^ 2 * sqrt(b)", {"a": 1, "b": 1}),
        ("minimize: -log10(a * b) + c", {"a": -1, "b": -1, "c": 1}),
        ("minimize: c ^ 2", {"c": 0}),
        ("minimize: log(d)", {"d": 0}),
        ("minimize: a ^ -1 + log2(b)", {"a": -1, "b": 1}),
        ("minimize: 7", {}),
    ],
)
def test_the_ways_of_expressions(text, expected):
    assert dict(range_of(Objective.parse(text).values, METRICS).slopes) == expected


_ATOMS = st.sampled_from(["a", "b", "c", "d", "2", "0.5"])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"(-{t})"),
        inner.map(lambda t: f"sqrt({t})"),
        inner.map(lambda t: f"log({t})"),
        st.tuples(inner, st.sampled_from(["2", "0.5", "-1", "3"])).map(
            lambda t: f"({t[0]})^{t[1]}"
        ),
    ),
    max_leaves=6,
)


@given(_EXPRESSIONS, st.integers(0, 2**32 - 1))
def test_ranges_hold_and_slopes_are_right(text, seed):
    objective = Objective.parse("minimize: " + text)
    found = range_of(objective.values, METRICS)
    rng = np.random.default_rng(seed)
    columns = {name: rng.uniform(r.low, r.high, 200) for name, r in METRICS.items()}
    with np.errstate(all="ignore"):
        values = np.broadcast_to(objective.values(columns), 200)
        slack = 1e-9 * (1 + np.abs(values))
        if np.isfinite([found.low, found.high]).all():
            assert (values >= found.low - slack).all()
            assert (values <= found.high + slack).all()
        for name, slope in found.slopes.items():
            raised = dict(columns)
            raised[name] = rng.uniform(columns[name], METRICS[name].high)
            change = np.broadcast_to(objective.values(raised), 200) - values
            if slope:
                assert (slope * change >= -slack).all()
    assert set(found.slopes) == set(objective.node.metrics)


def test_a_metric_that_does_not_vary_has_no_way():
    found = range_of(Objective.parse("minimize: a * b").values, {**METRICS, "b": Range(2.0, 2.0)})
    assert found.slopes == {"a": 1}
    assert (found.low, found.high) == (1.0, 6.0)


# --- terms by probing -----------------------------------------------------------------------------


def fixed_net(cells: int = 3, **options) -> Space:
    """A SkipNet of one shape, with bits per cell to choose."""
    net = SkipNet(cells=(cells,), layers_per_cell=(3,), widths=(2,), skip_channels=(4,), **options)
    return net.space().restrict({"net.skip": "concat"})


def bits(cells: int = 3, choices: tuple[int, ...] = (2, 4, 8)) -> Space:
    return BitsPerCell(cells, choices, choices).space()


def test_bit_operations_add_up_over_cells():
    space = fixed_net() + bits()
    evaluator = BitOps()
    assert isinstance(evaluator, Additive)
    terms = evaluator.terms(space)
    assert terms.groups == tuple(
        (f"quant.cell{c}.weight_bits", f"quant.cell{c}.activation_bits") for c in (1, 2, 3)
    )
    rows = space.rows()
    measured = evaluator.evaluate(Problem(space, [evaluator], ["bitops"]).designs(rows))
    np.testing.assert_array_equal(terms.values(space, rows)["bitops"], measured["bitops"])
    # By hand: the table of a cell is its MACs times what w x a exceeds 2 x 2 by.
    layers = Problem(space, [evaluator], ["bitops"]).designs(rows[:1]).layers
    macs = layers.macs[layers.cell == 2].sum()
    products = np.multiply.outer([2, 4, 8], [2, 4, 8]).reshape(-1)
    np.testing.assert_array_equal(terms.tables["bitops"][1], macs * (products - 4))


def test_counts_that_bits_do_not_change_are_constant():
    space = fixed_net() + bits()
    for evaluator in (Params(), Macs()):
        terms = evaluator.terms(space)
        (tables_found,) = terms.tables.values()
        assert not np.concatenate(tables_found).any()
        assert min(terms.constants.values()) > 0


def test_what_only_adds_up_within_a_group_is_found():
    @measures("mixed", expense="free", batch=True)
    def mixed(designs):
        x = [designs[f"net.{name}"].astype(float) for name in "abcde"]
        return 100 + x[0] * x[2] + np.maximum(x[1], x[3]) + x[4] ** 2

    space = Space(tuple(Gene(f"net.{name}", (1, 2, 3, 5)) for name in "abcde"))
    terms = tables_by_probing(mixed, space)
    assert terms.groups == (("net.a", "net.c"), ("net.b", "net.d"), ("net.e",))
    rows = space.rows()
    measured = mixed.evaluate(Problem(space, [mixed], ["mixed"]).designs(rows))["mixed"]
    np.testing.assert_allclose(terms.values(space, rows)["mixed"], measured, rtol=1e-12)
    coarse = tables_by_probing(mixed, space, [("net.a", "net.b", "net.c", "net.d"), ("net.e",)])
    np.testing.assert_allclose(coarse.values(space, rows)["mixed"], measured, rtol=1e-12)
    with pytest.raises(ExactRefusedError, match="is not a sum over its groups"):
        tables_by_probing(mixed, space, [(f"net.{name}",) for name in "abcde"])


def test_cycles_add_up_over_cells_and_energy_does_not():
    # The widest bits of the network are those of every multiplier: energy ties all cells together.
    sram = (65_536,)
    array = SystolicArray((16,), (16,), ("os",), sram, sram, sram, (0.05e9,), (800e6,))
    space = fixed_net() + bits() + array.space()
    terms = tables_by_probing(Systolic(), space, metrics=["latency"])
    cells = ["quant.cell1.weight_bits", "quant.cell2.weight_bits", "quant.cell3.weight_bits"]
    homes = [next(i for i, g in enumerate(terms.groups) if name in g) for name in cells]
    assert len(set(homes)) == 3
    assert np.ptp(np.concatenate(terms.tables["latency"])) > 0.01 * terms.constants["latency"]
    energy = tables_by_probing(Systolic(), space, metrics=["energy"], samples=64)
    assert max(map(len, energy.groups)) > 2


def test_conditional_and_infeasible_designs_are_refused():
    conditional = Space(
        (Gene("net.a", (1, 2)), Gene("net.b", (1, 2), when=(When("net.a", at_least=2),)))
    )
    with pytest.raises(ExactRefusedError, match=r"net\.b.*some designs only"):
        varying(conditional)
    assert varying(conditional.restrict({"net.a": 2})) == ("net.b",)
    assert varying(conditional.restrict({"net.a": 1})) == ()
    assert varying(conditional.restrict({"net.b": 2})) == ("net.a",)

    class Half(Evaluator):
        metrics = (Metric("m"),)
        expense = Expense.FREE

        def evaluate(self, designs, fidelity=1.0):
            reason = np.where(designs["net.a"] == 2, 1, 0)
            return Measurements.of(self.metrics, {"m": np.ones(len(designs))}, reason=reason)

    with pytest.raises(ExactRefusedError, match="infeasible"):
        tables_by_probing(Half(), Space((Gene("net.a", (1, 2)),)))


def test_too_many_genes_that_act_together_are_refused():
    @measures("product", expense="free", batch=True)
    def multiplied(designs):
        return np.prod([designs[name].astype(float) for name in designs.space.names], axis=0)

    space = Space(tuple(Gene(f"net.x{j}", tuple(range(1, 11))) for j in range(7)))
    with pytest.raises(ExactRefusedError, match="7 genes act together"):
        tables_by_probing(multiplied, space)


def test_stochastic_evaluators_are_refused():
    @measures("noise", expense="free", deterministic=False)
    def noise(design):
        return 1.0

    with pytest.raises(ExactRefusedError, match="stochastic"):
        tables_by_probing(noise, Space((Gene("net.a", (1, 2)),)))


def test_groups_are_joined_and_ranked():
    assert connected([("d", "b"), ("a",), ("b", "e")], "abcde") == (("a",), ("b", "d", "e"))
    space = Space((Gene("net.a", (1, 2)), Gene("net.b", (1, 2, 3)), Gene("net.c", (5,))))
    group = ("net.b", "net.a")
    assert settings(space, group).tolist() == [[i, j] for i in range(3) for j in range(2)]
    np.testing.assert_array_equal(rank(space, group, np.array([[1, 2, 0], [0, 1, 0]])), [5, 2])


# --- fronts of problems ---------------------------------------------------------------------------


class Sensitivity(Evaluator):
    """A stand-in for accuracy: each cell loses something by few bits, more by weights."""

    metrics = (Metric("loss"),)
    reads = frozenset({"quant"})
    expense = Expense.COSTLY

    def __init__(self, cells: int) -> None:
        self.cells = cells

    def _of_cell(self, cell, weight, activation):
        return (0.3 + cell**-0.5) * (4.0**-weight + 0.3 * 3.0**-activation + 0.1 * 2.0**-weight)

    def evaluate(self, designs, fidelity=1.0):
        total = np.zeros(len(designs))
        for c in range(1, self.cells + 1):
            columns = (designs[f"quant.cell{c}.{k}_bits"] for k in ("weight", "activation"))
            total += self._of_cell(c, *(column.astype(float) for column in columns))
        return Measurements.of(self.metrics, {"loss": total})

    def terms(self, space):
        groups, found = [], []
        genes = {gene.name: gene for gene in space.genes}
        for c in range(1, self.cells + 1):
            group = (f"quant.cell{c}.activation_bits", f"quant.cell{c}.weight_bits")
            groups.append(group)
            grid = np.meshgrid(*(genes[name].choices for name in group), indexing="ij")
            a, w = (axis.reshape(-1).astype(float) for axis in grid)
            found.append(self._of_cell(c, w, a))
        return Terms(tuple(groups), {"loss": 0.0}, {"loss": tuple(found)})


def check_front(problem: Problem) -> np.ndarray:
    """Compares with every design measured; equal losses count once."""
    found = additive_front(problem)
    expected = exact_front(problem)
    losses = np.unique(np.round(expected.losses / np.abs(expected.losses).max(axis=0), 12), axis=0)
    np.testing.assert_allclose(
        np.unique(np.round(found.losses / np.abs(expected.losses).max(axis=0), 12), axis=0),
        losses,
        atol=1e-11,
    )
    assert len(found) == len(losses)
    measured = problem.evaluate(problem.designs(found.genomes))
    np.testing.assert_allclose(problem.losses(measured), found.losses, rtol=1e-9)
    assert problem.satisfied(measured).all()
    np.testing.assert_array_equal(problem.space.canonical(found.genomes), found.genomes)
    assert (np.diff(found.losses[:, 0]) >= 0).all()
    return found.losses


def bits_problem(objectives, constraints=(), **options) -> Problem:
    evaluators = [Sensitivity(3), BitOps(), *options.pop("evaluators", ())]
    return Problem(fixed_net() + bits(), evaluators, objectives, constraints)


@pytest.mark.parametrize(
    ("objectives", "constraints"),
    [
        (["loss", "bitops"], []),
        (["maximize: score = log2(1 / loss)", "bitops"], []),
        (["minimize: both = loss * bitops"], []),
        (["minimize: both = loss * bitops", "bitops"], ["loss <= 0.05"]),
        (["loss"], ["bitops <= 4e6"]),
        (["loss", "bitops"], ["bitops <= 8e6", "loss >= 0.01"]),
        (["maximize: loss", "bitops"], ["loss * bitops <= 1e5"]),
        (["maximize: bitops", "loss"], []),
        (["loss", "bitops"], ["bitops <= 1e12", "loss <= 5"]),
    ],
)
def test_the_front_of_bits_per_cell(objectives, constraints):
    problem = bits_problem(objectives, constraints)
    assert len(check_front(problem)) >= 1


def test_constraints_bind():
    free = additive_front(bits_problem(["loss", "bitops"]))
    limit = float(np.median(free.losses[:, 1]))
    bound = additive_front(bits_problem(["loss", "bitops"], [f"bitops <= {limit:.0f}"]))
    assert 0 < len(bound) < len(free)
    nothing = additive_front(bits_problem(["loss", "bitops"], ["bitops <= 10"]))
    assert nothing.genomes.shape == (0, len(bits_problem(["loss"]).space))
    assert nothing.losses.shape == (0, 2)


def test_evaluators_with_different_groups_are_joined():
    @measures("memory", expense="free", batch=True)
    def memory(designs):
        first, second = (designs[f"quant.cell{c}.weight_bits"].astype(float) for c in (1, 2))
        return first * second + designs["quant.cell3.weight_bits"]

    check_front(bits_problem(["loss", "bitops", "memory"], evaluators=[memory]))


@given(st.integers(0, 2**32 - 1), st.integers(2, 3))
def test_random_sums_of_random_genes(seed, m):
    rng = np.random.default_rng(seed)
    names = [f"net.x{j}" for j in range(5)]
    space = Space(tuple(Gene(name, tuple(range(int(rng.integers(1, 5))))) for name in names))
    weights = rng.integers(-4, 8, size=(m, 5, 4)).astype(float)
    pair = rng.integers(0, 5, size=(m, 4, 4)).astype(float)
    goals = [Goal.MINIMIZE if flag else Goal.MAXIMIZE for flag in rng.integers(0, 2, m)]

    @measures(*(Metric(f"m{k}", goal=g) for k, g in enumerate(goals)), expense="free", batch=True)
    def values(designs):
        G = designs.genomes
        single = weights[:, np.arange(5), G].sum(axis=2)
        return {f"m{k}": single[k] + pair[k][G[:, 1], G[:, 3]] for k in range(m)}

    limit = float(np.round(rng.uniform(0, 20)))
    problem = Problem(space, [values], [f"m{k}" for k in range(m)], [f"m0 <= {limit:g}"])
    found = additive_front(problem)
    expected = np.unique(exact_front(problem).losses, axis=0)
    np.testing.assert_array_equal(np.unique(found.losses, axis=0), expected.reshape(-1, m))
    assert len(found) == len(expected)


def test_many_cells_are_no_matter():
    cells = 7
    net = fixed_net(cells, image=64)
    space = net + BitsPerCell(cells, (2, 3, 4, 6, 8), (2, 3, 4, 6, 8)).space()
    problem = Problem(space, [Sensitivity(cells), BitOps()], ["loss", "bitops"])
    found = additive_front(problem)
    assert found.designs == 25**cells
    assert len(found) > 500
    # No design drawn at random beats one of the front, and the cheapest and the best are on it.
    rows = space.sample(20_000, np.random.default_rng(0))
    losses = problem.losses(problem.evaluate(problem.designs(rows)))
    both = np.concatenate([found.losses * (1 + 1e-12), losses])
    assert (nondominated(both) < len(found)).sum() == len(found)
    corners = [
        problem.designs(np.minimum(row, space.cardinalities - 1))
        for row in (np.zeros((1, len(space)), np.int64), np.full((1, len(space)), 99))
    ]
    for corner in corners:
        loss = problem.losses(problem.evaluate(corner))[0]
        assert np.isclose(found.losses, loss, rtol=1e-9).all(axis=1).any()


def test_problems_that_do_not_add_up_are_refused_with_the_reason():
    with pytest.raises(ExactRefusedError, match=r"loss - 0\.05.*neither rises nor falls in 'loss'"):
        additive_front(bits_problem(["minimize: (loss - 0.05) ^ 2", "bitops"]))

    @measures("costly")
    def costly(design):
        return 1.0

    with pytest.raises(ExactRefusedError, match="COSTLY evaluator 'costly'"):
        additive_front(bits_problem(["costly", "bitops"], evaluators=[costly]))
    conditional = Problem(SkipNet().space() + BitsPerCell().space(), [BitOps()], ["bitops"])
    with pytest.raises(ExactRefusedError, match="some designs only"):
        additive_front(conditional)
    with pytest.raises(ExactRefusedError, match="limit"):
        additive_front(bits_problem(["loss", "bitops"]), limit=3)


def test_terms_that_are_wrong_are_noticed():
    class Wrong(BitOps):
        def terms(self, space):
            terms = super().terms(space)
            return Terms(terms.groups, {"bitops": 0.5 * terms.constants["bitops"]}, terms.tables)

    problem = Problem(fixed_net() + bits(), [Sensitivity(3), Wrong()], ["loss", "bitops"])
    with pytest.raises(ExactRefusedError, match="is not what its terms add up to"):
        additive_front(problem)
