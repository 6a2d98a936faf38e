"""Exact fronts of joint spaces: brute force, structure, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evaluators.systolic import Systolic
from hwnas import Gene, Problem, Space, measures
from hwnas.design import BitsPerCell, SkipNet, SystolicArray
from hwnas.errors import ExactRefusedError
from hwnas.exact import solve
from hwnas.exact.measuring import enumerated_front, one_each
from hwnas.exact.quotient import _best_of_classes, quotient_front
from hwnas.space import When
from hwnas.testing import toys
from hwnas.testing.toys import exact_front
from tests.random_problems import Table, built, problems

_LIMIT = 100_000


def assert_exact(found, problem, *, rtol=1e-12):
    """The losses are those of brute force, each once, and the designs have them."""
    expected = np.unique(exact_front(problem).losses, axis=0)
    order = np.lexsort(found.losses.T[::-1])
    np.testing.assert_allclose(found.losses[order], expected, rtol=rtol)
    np.testing.assert_array_equal(problem.space.canonical(found.genomes), found.genomes)
    measured = problem.evaluate(problem.designs(found.genomes))
    assert problem.satisfied(measured).all()
    np.testing.assert_array_equal(problem.losses(measured), found.losses)
    assert found.designs == problem.space.size()


# --- real networks on real arrays -----------------------------------------------------------------

NETWORKS = (
    SkipNet(
        cells=(1, 2),
        layers_per_cell=(2, 3),
        widths=(1, 2),
        skip_channels=(0, 4),
        skips=("concat", "add"),
    ).space()
    + BitsPerCell(cells=2, weight_bits=(2, 8), activation_bits=(4,)).space()
)
ARRAYS = SystolicArray(
    rows=(4, 8),
    columns=(4, 16),
    dataflow=("os", "ws"),
    ifmap_sram=(16, 256),  # 16 bytes are too few for most networks
    filter_sram=(16, 512),
    ofmap_sram=(64, 512),
    dram_bandwidth=(4e8,),
    clock=(1e8, 2e8),
).space()
JOINT = NETWORKS + ARRAYS


@measures(
    "accuracy", "size", goal="maximize", reads=("net", "quant"), expense="free", batch=True
)  # fmt: skip
def accuracy(designs):
    """Larger is better, with quirks that no formula of the hardware knows."""
    score = np.zeros(len(designs))
    for name in (n for n in designs.space.names if n.startswith(("net.", "quant."))):
        column = designs.genomes[:, designs.space.names.index(name)]
        score += column * (1 + 0.3 * np.sin(7.0 * len(name) + ord(name[-1])))
    return {"accuracy": 1 - np.exp(-0.2 * score) + 0.02 * np.sin(9 * score), "size": score}


@pytest.mark.parametrize(
    ("objectives", "constraints"),
    [
        (["accuracy", "energy"], []),
        (["accuracy", "energy", "latency", "area"], ["area <= 0.1 mm2"]),
        (["accuracy", "minimize: edp = energy * latency"], ["size <= 4"]),
        (["accuracy", "maximize: utilization"], ["latency <= 50 us", "size >= 2"]),
        (["accuracy", "size", "dram_bytes"], ["utilization >= 0.05"]),
        (["accuracy"], ["latency <= 100 us"]),  # the array decides no objective
        (["energy", "area"], ["accuracy >= 0.5"]),  # the array decides all of them
        (["energy", "area"], []),
        (["accuracy", "energy"], ["area <= 1 um2"]),  # nothing can be built
        (["accuracy", "energy"], ["size >= 1000"]),
    ],
    ids=lambda texts: ", ".join(texts) or "-",
)
def test_networks_on_systolic_arrays(objectives, constraints):
    problem = Problem(JOINT, [accuracy, Systolic()], objectives, constraints)
    found = quotient_front(problem, limit=_LIMIT)
    assert_exact(found, problem)
    assert "classes" in found.how
    assert "Systolic" in found.how


def test_networks_that_cost_alike_are_one_class():
    # Without skip channels it does not matter how they are joined.
    problem = Problem(JOINT, [accuracy, Systolic()], ["accuracy", "energy"])
    found = quotient_front(problem, limit=_LIMIT)
    names, genomes = NETWORKS.names, NETWORKS.rows()
    joins = names.index("net.skip")
    channels = [j for j, name in enumerate(names) if name.endswith("skip_channels")]
    redundant = (genomes[:, joins] == 1) & (genomes[:, channels] == 0).all(axis=1)
    assert redundant.sum() > 30
    assert found.measured == len(genomes) + (len(genomes) - redundant.sum()) * ARRAYS.size()


def test_networks_that_share_costs_leave_the_most_accurate_one():
    space = Space((Gene("net.a", (0, 1, 2, 3)), Gene("hw.x", (0, 1, 2))))
    values = np.array([0.5, 0.9, 0.7, 0.1])
    cost = np.array([[3.0, 1.0, 2.0], [9.0, 9.0, 9.0]])

    @measures("right", goal="maximize", reads=("net",), expense="free", batch=True)
    def right(designs):
        return values[designs["net.a"]]

    class Cost(Table):
        def evaluate(self, designs, fidelity=1.0):
            given_costs = cost[designs["net.a"] // 3, designs["hw.x"]]
            return type(super().evaluate(designs)).of(self.metrics, {"cost": given_costs})

        def fingerprints(self, designs):
            if "hw" in designs.space.part_names:
                return super().fingerprints(designs)
            return [bytes([int(a) // 3]) for a in designs["net.a"]]

    problem = Problem(space, [right, Cost(["cost"], (), 1)], ["right", "cost"])
    found = quotient_front(problem, limit=_LIMIT)
    assert_exact(found, problem)
    assert found.genomes.tolist() == [[1, 1]]
    assert found.measured == 4 + 2 * 3
    assert "2 classes" in found.how


def test_networks_that_are_ruled_out_are_in_no_class():
    space = Space((Gene("net.a", (0, 1, 2, 3)), Gene("hw.x", (0, 1, 2))))
    values = np.array([0.1, 0.5, 0.9, 0.7])
    cost = np.array([[3.0, 1.0, 2.0], [9.0, 8.0, 9.0]])

    @measures("right", goal="maximize", reads=("net",), expense="free", batch=True)
    def right(designs):
        return values[designs["net.a"]]

    class Cost(Table):
        def evaluate(self, designs, fidelity=1.0):
            given_costs = cost[designs["net.a"] // 2, designs["hw.x"]]
            return type(super().evaluate(designs)).of(self.metrics, {"cost": given_costs})

        def fingerprints(self, designs):
            if "hw" in designs.space.part_names:
                return super().fingerprints(designs)
            return [bytes([int(a) // 2]) for a in designs["net.a"]]

    evaluators = [right, Cost(["cost"], (), 1)]
    problem = Problem(space, evaluators, ["right", "cost"], ["right >= 0.2"])
    found = quotient_front(problem, limit=_LIMIT)
    assert_exact(found, problem)
    assert sorted(found.genomes.tolist()) == [[1, 1], [2, 1]]
    assert "the 3 settings of net" in found.how
    assert "2 classes" in found.how


# --- toys, three parts, conditions ----------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in toys.PROBLEMS if name not in ("conditional",)])
def test_toys(name):
    problem = toys.PROBLEMS[name]()
    assert_exact(solve(problem, measure_costly=True), problem)


def test_of_designs_with_equal_losses_one_is_kept():
    found = solve(toys.constant())
    assert len(found) == 1
    assert len(exact_front(toys.constant()).losses) == 5**4


def test_the_inner_part_need_not_be_the_accelerator():
    # Bits decide the cost together with the network; the accelerator is seen by nobody else.
    space = Space((Gene("hw.x", (0, 1, 2)), Gene("net.a", (0, 1, 2)), Gene("quant.b", (0, 1, 2))))
    problem = Problem(
        space,
        [Table(["speed"], ("hw", "net"), 5), Table(["loss"], ("quant",), 8)],
        ["speed", "maximize: loss"],
    )
    found = quotient_front(problem, limit=9)  # not enough for all 27
    assert_exact(found, problem)


def test_a_part_that_is_active_only_with_some_networks():
    """Inner genes may depend on outer ones: then cells of a grid are equal designs."""
    space = Space(
        (
            Gene("net.a", (0, 1, 2)),
            Gene("hw.on", ("no", "yes")),
            Gene("hw.size", (0, 1, 2), when=(When("net.a", (1,)), When("hw.on", ("yes",)))),
        )
    )
    table = Table(["left"], ("hw",), 77)
    problem = Problem(space, [table, Table(["right"], ("net",), 3)], ["left", "right"])
    assert_exact(quotient_front(problem, limit=_LIMIT), problem)


def test_networks_differ_in_which_inner_genes_they_wake():
    """An evaluator may see that a gene sleeps, though it cannot tell networks apart."""
    space = Space((Gene("net.a", (0, 1)), Gene("hw.x", (0, 1), when=(When("net.a", (1,)),))))

    class Awake(Table):
        def evaluate(self, designs, fidelity=1.0):
            column = designs.space.names.index("hw.x")
            values = np.where(designs.active[:, column], designs["hw.x"] - 1.0, 0.5)
            return type(super().evaluate(designs)).of(self.metrics, {"cost": values})

    problem = Problem(
        space, [Awake(["cost"], ("hw",), 1), Table(["loss"], ("net",), 4)], ["cost", "loss"]
    )
    assert_exact(quotient_front(problem, limit=_LIMIT), problem)


def test_outer_genes_that_depend_on_inner_ones_are_no_outer_genes():
    space = Space((Gene("hw.x", (0, 1)), Gene("net.a", (0, 1, 2), when=(When("hw.x", (1,)),))))
    problem = Problem(space, [Table(["m"], ("net",), 5), Table(["n"], ("hw",), 6)], ["m", "n"])
    assert_exact(solve(problem), problem)


@given(problems())
@settings(max_examples=150, deadline=None)
def test_random_problems(parts):
    problem = built(parts)
    assume(problem is not None)
    assert_exact(solve(problem), problem)


@given(problems(), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_random_problems_in_chunks(parts, size):
    """Rows are measured, marked and filtered some at a time; no boundary may matter."""
    problem = built(parts)
    assume(problem is not None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.exact.quotient.CHUNK", size)
        patch.setattr("hwnas.cost_classes._AT_ONCE", size)
        found = solve(problem)
    assert_exact(found, problem)
    assert found.how == solve(problem).how


@given(
    st.lists(st.tuples(st.integers(0, 4), *[st.integers(0, 3)] * 3), max_size=25), st.integers(0, 3)
)
def test_the_best_of_each_class(rows, k):
    classes = np.array([row[0] for row in rows], dtype=np.int64)
    losses = np.array([row[1 : 1 + k] for row in rows], dtype=np.float64).reshape(len(rows), k)
    kept = _best_of_classes(losses, classes).tolist()
    found = sorted((int(classes[i]), *losses[i].tolist()) for i in kept)
    different = {(int(c), *x) for c, x in zip(classes, losses.tolist(), strict=True)}

    def beaten(one):
        rivals = (other for other in different if other[0] == one[0] and other != one)
        return any(all(a <= b for a, b in zip(r, one, strict=True)) for r in rivals)

    assert found == sorted(one for one in different if not beaten(one))


# --- methods and refusals -------------------------------------------------------------------------


def mixed():
    """An objective that needs both what sees the accelerator and what does not."""
    tables = [Table(["a"], ("net",), 5), Table(["b"], ("net", "hw"), 6)]
    space = Space((Gene("net.x", tuple(range(9))), Gene("hw.y", tuple(range(9)))))
    return Problem(space, tables, ["minimize: both = a * b", "b"])


def test_mixed_objectives_are_enumerated_or_refused():
    assert_exact(solve(mixed()), mixed())
    assert "every one of the 81" in solve(mixed()).how
    found = solve(mixed(), limit=80)  # nobody is blind, yet rows can be laid against columns
    assert_exact(found, mixed())
    assert "9 classes" in found.how
    with pytest.raises(ExactRefusedError, match="apart from the others") as refused:
        quotient_front(mixed(), limit=8)
    assert "Table reads net+hw" in refused.value.given


def test_the_refusal_names_what_every_method_lacks():
    with pytest.raises(ExactRefusedError, match=r"1\.559e\+17 designs") as refused:
        solve(toys.conditional())
    for method in ("cost classes", "enumeration", "sums over genes"):
        assert method in refused.value.given
    assert "155,867,505,885,345,240" in refused.value.given
    assert "net.layer2.width" in refused.value.given


def test_costly_evaluators_are_asked_only_if_that_is_allowed():
    problem = toys.joint()
    with pytest.raises(ExactRefusedError, match="cannot be computed") as refused:
        solve(problem)
    assert "joint_error" in refused.value.given
    assert "measure_costly" in refused.value.cure
    assert_exact(solve(problem, measure_costly=True), problem)


def test_stochastic_evaluators_are_refused():
    space = Space((Gene("net.x", (0, 1)),))
    table = Table(["a"], (), 5)
    table.deterministic = False
    with pytest.raises(ExactRefusedError) as refused:
        solve(Problem(space, [table], ["a"]))
    assert "equal answers" in refused.value.given


def test_failures_are_refused():
    @measures("value", expense="free", reads=("net",))
    def value(design):
        return 1 / design["net.x"]

    space = Space((Gene("net.x", (0, 1)), Gene("hw.y", (0, 1))))
    problem = Problem(space, [value, Table(["m"], ("hw",), 3)], ["value", "m"])
    for method in (quotient_front, enumerated_front):
        with pytest.raises(ExactRefusedError, match="could not be measured") as refused:
            method(problem, limit=_LIMIT)
        assert "ZeroDivisionError" in refused.value.given


def test_sums_are_the_last_resort():
    """Too large to enumerate in any way, but its metrics add up."""
    genes = tuple(Gene(f"quant.g{i}", (1, 2, 4)) for i in range(16))

    @measures("cost", "loss", expense="free", batch=True)
    def sums(designs):
        table = np.stack([designs[name] for name in designs.space.names], axis=1)
        return {"cost": table.sum(axis=1) * 1.0, "loss": (1.0 / table).sum(axis=1)}

    problem = Problem(Space(genes), [sums], ["cost", "loss"])
    found = solve(problem)
    assert found.designs == 3**16
    assert "dynamic programming" in found.how
    # k genes at 2 cost k and gain k / 2; at 4 they cost 2 more and gain 1 / 4.
    convex = {(16.0 + k, 16 - k / 2) for k in range(17)}
    assert convex <= set(map(tuple, found.losses.tolist()))


def test_evaluators_that_lie_about_what_they_read_are_refused():
    """The designs of the front are measured once more, whole."""
    space = Space((Gene("net.x", (1, 2, 3)), Gene("hw.y", (0, 1, 2))))

    class Lies(Table):
        def evaluate(self, designs, fidelity=1.0):
            values = designs["net.x"] * 1.0
            if "hw" in designs.space.part_names:
                values = values + 0.25 * designs["hw.y"]
            return type(super().evaluate(designs)).of(self.metrics, {"m": values})

    class Best(Table):
        def evaluate(self, designs, fidelity=1.0):
            values = 2.0 - designs["hw.y"]
            return type(super().evaluate(designs)).of(self.metrics, {"n": values})

    problem = Problem(space, [Lies(["m"], ("net",), 1), Best(["n"], ("hw",), 2)], ["m", "n"])
    with pytest.raises(ExactRefusedError, match="alone as in a grid"):
        quotient_front(problem, limit=_LIMIT)


def test_too_many_cells_are_refused_before_they_are_measured(monkeypatch):
    monkeypatch.setattr("hwnas.exact.quotient._CELLS", 2)
    problem = Problem(JOINT, [accuracy, Systolic()], ["accuracy", "energy"])
    with pytest.raises(ExactRefusedError, match="cells would have to be measured") as refused:
        quotient_front(problem, limit=200)
    assert "classes of net+quant" in refused.value.given


def test_rows_without_objectives_are_all_equal():
    assert one_each(np.empty((3, 0))).tolist() == [0]
    assert one_each(np.empty((0, 0))).tolist() == []
    assert one_each(np.array([[1.0, 2.0], [1.0, 2.0], [np.inf, 0.0], [2.0, 1.0]])).tolist() == [
        0,
        3,
    ]


def test_the_function_and_the_package_do_not_hide_each_other():
    import hwnas.exact

    assert hwnas.exact_front is solve
    assert hwnas.exact.solve is solve
    assert "exact_front" in hwnas.__all__
