"""Looking designs up in tables: parquet, CSV, npz; what is wrong with a table is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluators.tabular import TableMetric, Tabular
from hwnas.design import Designs, NASBench201, NASBenchMacro
from hwnas.errors import MissingExtraError, ProblemError, StudyFileError, UnitError
from hwnas.evaluation import Expense
from hwnas.metrics import Goal, Reason
from hwnas.space import Gene, Space, When
from hwnas.studyfile import load
from hwnas.testing import EvaluatorSubject, evaluator_checks

SPACE = Space(
    (
        Gene("net.kind", ("plain", "dense"), ordered=False),
        Gene("net.depth", (2, 4, 8), when=When("net.kind", ("dense",))),
        Gene("quant.bits", (4, 8)),
        Gene("hw.rows", (8, 16, 32)),
    )
)
DESIGNS = Designs(SPACE, SPACE.rows())
KEYS = {"net.kind": "kind", "net.depth": "depth", "quant.bits": "bits"}
ACCURACY = TableMetric("accuracy", complement=100, best=0, worst=1)


def frame():
    """A row per network and bits, but for one network that is missing and one without a number."""
    rows = [
        {"kind": kind, "depth": depth, "bits": bits, "accuracy": 50.0 + 3 * depth + bits}
        for kind, depths in (("plain", (2,)), ("dense", (2, 4, 8)))
        for depth in depths
        for bits in (4, 8)
    ]
    table = pd.DataFrame(rows)
    table["time"] = 0.5 * table["depth"] * table["bits"]
    table["again"] = table["accuracy"] + 2
    table.loc[table["depth"] == 8, "again"] = np.nan
    table.loc[(table["depth"] == 4) & (table["bits"] == 4), "accuracy"] = np.nan
    return table[(table["depth"] != 8) | (table["bits"] != 4)].sample(frac=1, random_state=0)


def write(table, path):
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path, index=False)
    elif path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        columns = {name: table[name].to_numpy() for name in table}
        np.savez(path, **{k: v.astype(str) if v.dtype == object else v for k, v in columns.items()})
    return path


@pytest.fixture(params=[".parquet", ".csv", ".npz"])
def path(request, tmp_path):
    return write(frame(), tmp_path / f"table{request.param}")


@pytest.fixture
def csv(tmp_path):
    """A function that writes a table and says where it is."""
    return lambda table: write(table, tmp_path / "table.csv")


def looked_up(design):
    """The accuracy by the formula of `frame`, or why there is none."""
    depth = design.config.get("net.depth", 2)
    bits = design["quant.bits"]
    if depth == 8 and bits == 4:
        return "not in the table"
    if depth == 4 and bits == 4:
        return "the table has no number for this design"
    return 1 - (50.0 + 3 * depth + bits) / 100


def test_every_design_has_its_row(path):
    evaluator = Tabular(path=path, keys=KEYS, metrics={"error": ACCURACY})
    answer = evaluator.evaluate(DESIGNS)
    for i, design in enumerate(DESIGNS):
        expected = looked_up(design)
        if isinstance(expected, str):
            assert answer.reason[i] == Reason.INFEASIBLE
            assert answer.notes[i] == expected
        else:
            assert answer["error"][i] == pytest.approx(expected, abs=1e-12)
            assert answer.notes[i] == ""
    assert 0 < np.count_nonzero(answer.feasible) < len(DESIGNS)


@pytest.mark.parametrize("expense", ["costly", "free"])
@pytest.mark.parametrize("repeats", ["mean", "one"])
@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_conformance(check, repeats, expense, tmp_path):
    evaluator = Tabular(
        path=write(frame(), tmp_path / "table.csv"),
        keys=KEYS,
        metrics={
            "error": TableMetric(["accuracy", "again"], complement=100, best=0, worst=1),
            "latency": TableMetric("time", unit="ms"),
        },
        repeats=repeats,
        expense=expense,
    )
    check(EvaluatorSubject(evaluator, SPACE))


def test_units_goals_and_bounds_come_to_rest(csv):
    evaluator = Tabular(
        path=csv(frame()),
        keys=KEYS,
        metrics={
            "latency": TableMetric("time", unit="ms", scale=2, offset=1, best=0, worst=100),
            "accuracy": TableMetric("accuracy", unit="%", goal="maximize", best=100, worst=0),
        },
        expense="free",
    )
    latency, accuracy = evaluator.metrics
    assert (latency.unit, latency.goal, latency.best, latency.worst) == ("s", Goal.MINIMIZE, 0, 0.1)
    assert (accuracy.unit, accuracy.goal, accuracy.best, accuracy.worst) == (
        *("1", Goal.MAXIMIZE),
        *(1, 0),
    )
    assert evaluator.expense is Expense.FREE
    design = Designs(SPACE, SPACE.encode([{"net.kind": "plain", "quant.bits": 8, "hw.rows": 8}]))
    answer = evaluator.evaluate(design)
    assert answer["latency"][0] == pytest.approx((8.0 * 2 + 1) * 1e-3)
    assert answer["accuracy"][0] == pytest.approx(0.64)


def test_repeated_measurements(csv):
    """The mean of those that there are; or one of them, which the study's seed draws."""
    metrics = {"error": TableMetric(["accuracy", "again"], complement=100)}
    path = csv(frame())
    mean = Tabular(path=path, keys=KEYS, metrics=metrics).evaluate(DESIGNS)
    values = {}
    for seed in range(40):
        one = Tabular(path=path, keys=KEYS, metrics=metrics, repeats="one")
        answer = one.evaluate(Designs(SPACE, DESIGNS.genomes, seed))
        assert np.array_equal(answer.feasible, mean.feasible)
        for i, error in enumerate(answer["error"]):
            values.setdefault(i, set()).add(round(error, 9))
    for i, design in enumerate(DESIGNS):
        depth, bits = design.config.get("net.depth", 2), design["quant.bits"]
        accuracy = 50.0 + 3 * depth + bits
        both = {accuracy, accuracy + 2}
        both -= {accuracy} if (depth, bits) == (4, 4) else set()
        both -= {accuracy + 2} if depth == 8 else set()
        if (depth, bits) == (8, 4):
            assert not mean.feasible[i]
            continue
        assert values[i] == {round(1 - v / 100, 9) for v in both}
        assert mean["error"][i] == pytest.approx(1 - np.mean(list(both)) / 100)


def test_names_of_choices_are_translated(csv):
    table = frame().assign(kind=lambda t: (t["kind"] == "dense").astype(int))
    keys, metrics = KEYS, {"error": ACCURACY}
    named = Tabular(path=csv(frame()), keys=keys, metrics=metrics).evaluate(DESIGNS)
    values = {"plain": 0, "dense": 1}
    coded = Tabular(path=csv(table), keys=keys, values=values, metrics=metrics).evaluate(DESIGNS)
    assert np.array_equal(named["error"], coded["error"], equal_nan=True)


@pytest.mark.parametrize(
    ("template", "write_name"),
    [
        ("{net.kind}-{net.depth}/{quant.bits}", lambda r: f"{r.kind}-{r.depth}/{r.bits}"),
        ("{net.kind}{net.depth}{quant.bits}", lambda r: f"{r.kind}{r.depth}{r.bits}"),
        ("({quant.bits}) {net.kind}.{net.depth}+", lambda r: f"({r.bits}) {r.kind}.{r.depth}+"),
    ],
)
def test_joined_names_are_taken_apart(csv, template, write_name):
    table = frame()
    expected = Tabular(path=csv(table), keys=KEYS, metrics={"error": ACCURACY}).evaluate(DESIGNS)
    table["arch"] = [write_name(row) for row in table.itertuples()]
    values = {"plain": "plain", "dense": "dense"}
    joined = Tabular(
        path=csv(table[["arch", "accuracy"]]),
        join={"arch": template},
        values=values,
        metrics={"error": ACCURACY},
    )
    assert joined.reads == {"net", "quant"}
    answer = joined.evaluate(DESIGNS)
    assert np.array_equal(answer["error"], expected["error"], equal_nan=True)


def test_names_that_look_like_numbers_stay_text(csv):
    """The zeros in front of ``0012`` count."""
    space = Space(tuple(Gene(f"net.b{b}", (0, 1, 2)) for b in range(4)))
    designs = Designs(space, space.rows())
    names = ["".join(map(str, row)) for row in space.rows().tolist()]
    path = csv(pd.DataFrame({"arch": names, "loss": np.arange(81)}))
    template = "".join(f"{{net.b{b}}}" for b in range(4))
    metrics = {"loss": TableMetric("loss")}
    answer = Tabular(path=path, join={"arch": template}, metrics=metrics).evaluate(designs)
    assert answer["loss"].tolist() == list(range(81))


def test_names_of_choices_that_look_like_nothing(csv):
    """A choice may be called None or NA: only a number can be missing."""
    space = Space((Gene("net.skip", ("None", "NA", "add"), ordered=False),))
    path = csv(pd.DataFrame({"skip": ["None", "NA", "add"], "loss": ["1.5", "NA", ""]}))
    evaluator = Tabular(path=path, keys={"net.skip": "skip"}, metrics={"loss": TableMetric("loss")})
    answer = evaluator.evaluate(Designs(space, space.rows()))
    assert answer["loss"][0] == 1.5
    assert answer.feasible.tolist() == [True, False, False]


def test_many_genes_are_no_problem(csv):
    """Forty genes of four choices have more designs than 64 bits can count."""
    rng = np.random.default_rng(0)
    space = Space(tuple(Gene(f"net.g{g}", (0, 1, 2, 3)) for g in range(40)))
    rows = space.sample(200, rng)
    table = pd.DataFrame({f"g{g}": rows[:, g] for g in range(40)}).assign(loss=rows.sum(axis=1))
    keys = {f"net.g{g}": f"g{g}" for g in range(40)}
    evaluator = Tabular(path=csv(table[:100]), keys=keys, metrics={"loss": TableMetric("loss")})
    answer = evaluator.evaluate(Designs(space, rows))
    assert answer.feasible.tolist() == [True] * 100 + [False] * 100
    assert answer["loss"][:100].tolist() == rows[:100].sum(axis=1).tolist()


def test_an_empty_table_has_no_design(csv):
    evaluator = Tabular(path=csv(frame()[:0]), keys=KEYS, metrics={"error": ACCURACY})
    assert not evaluator.evaluate(DESIGNS).feasible.any()


def test_the_version_follows_file_and_options(csv):
    def version(table, **other):
        return Tabular(path=csv(table), keys=KEYS, **{"metrics": {"e": ACCURACY}, **other}).version

    first = version(frame())
    assert version(frame()) == first
    changed = frame()
    changed.iloc[0, changed.columns.get_loc("accuracy")] += 1
    others = [
        version(changed),
        version(frame(), repeats="one"),
        version(frame(), metrics={"e": TableMetric("again", complement=100)}),
    ]
    assert len({first, *others}) == 4


def refused(error=ProblemError, **options):
    """What is said when these options are refused."""
    with pytest.raises(error) as caught:
        Tabular(**{"keys": KEYS, "metrics": {"error": ACCURACY}, **options})
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    assert "there is no table 'nothing.csv'" in refused(path=tmp_path / "nothing.csv")
    assert str(tmp_path) in refused(path=tmp_path / "nothing.csv")


def test_an_unknown_suffix_is_named(tmp_path):
    file = tmp_path / "table.xlsx"
    file.write_bytes(b"?")
    assert ".parquet, .csv, .npz" in refused(path=file)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_broken_file_is_named(tmp_path, suffix):
    file = tmp_path / f"table{suffix}"
    file.write_bytes(b"this is no table")
    assert "cannot be read" in refused(path=file)


def test_an_unknown_column_is_named(path):
    said = refused(path=path, metrics={"error": TableMetric("acuracy")})
    assert "no column 'acuracy'" in said
    assert "did you mean 'accuracy'" in said
    assert "no column 'dept'" in refused(path=path, keys={**KEYS, "net.depth": "dept"})


def test_repeated_designs_are_named(path):
    keys = {"net.kind": "kind", "net.depth": "depth"}
    said = refused(path=path, keys=keys)
    assert "has a design twice: net.kind=" in said
    assert "net.depth=" in said


def test_text_among_numbers_is_named(csv):
    table = frame().assign(accuracy=lambda t: t["accuracy"].astype(object))
    table.iloc[3, table.columns.get_loc("accuracy")] = "good"
    said = refused(path=csv(table))
    assert "no numbers" in said
    assert "'good'" in said
    assert "rows 3" in said


def test_empty_keys_are_named(csv):
    table = frame()
    table["depth"] = table["depth"].astype(float)
    table.iloc[2, table.columns.get_loc("depth")] = np.nan
    assert "column 'depth' of 'table.csv' has empty cells" in refused(path=csv(table))


def test_columns_of_different_lengths_are_named(tmp_path):
    np.savez(tmp_path / "t.npz", kind=["a"], depth=[1], bits=[1, 2], accuracy=[3.0])
    assert "bits (2,)" in refused(path=tmp_path / "t.npz")


def test_pickled_arrays_are_not_read(tmp_path):
    columns = {name: np.array([1], dtype=object) for name in ("kind", "depth", "bits", "accuracy")}
    np.savez(tmp_path / "t.npz", **columns)
    assert "cannot be read" in refused(path=tmp_path / "t.npz")


def test_values_beyond_the_bounds_are_named(csv):
    said = refused(path=csv(frame()), metrics={"error": TableMetric("accuracy", best=0, worst=1)})
    assert "beyond its bounds" in said


def test_names_that_do_not_fit_are_named(csv):
    table = frame().assign(arch="plain/2")
    said = refused(path=csv(table), keys=None, join={"arch": "{net.kind}-{net.depth}"})
    assert "'arch'" in said
    assert "given: plain/2" in said
    assert "no gene is joined" in refused(path=csv(table), join={"arch": "plain"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": None}, "nothing tells rows apart"),
        ({"join": {"kind": "{net.kind}"}}, "gene 'net.kind' is in the table twice"),
        ({"metrics": {}}, "the table measures nothing"),
        ({"repeats": "median"}, "repeats cannot be 'median'"),
        ({"expense": "cheap"}, "expense cannot be 'cheap'"),
        ({"metrics": {"e": TableMetric("time", goal="max")}}, "did you mean 'maximize'?"),
        ({"metrics": {"e": TableMetric([])}}, "'e' has no column"),
        ({"metrics": {"e": TableMetric("time", complement=0)}}, "complement"),
        ({"metrics": {"e": TableMetric("time", complement=1, unit="%")}}, "complement"),
    ],
)
def test_contradicting_options_are_refused(csv, options, message):
    assert message in refused(path=csv(frame()), **options)


def test_unknown_units_are_refused(csv):
    refused(UnitError, path=csv(frame()), metrics={"e": TableMetric("time", unit="furlongs/x")})
    said = refused(UnitError, path=csv(frame()), metrics={"e": TableMetric("time", unit="g")})
    assert "cannot be brought to a unit at rest" in said


def test_a_gene_that_the_space_lacks_is_named(csv):
    evaluator = Tabular(
        path=csv(frame()), keys={**KEYS, "net.dept": "time"}, metrics={"error": ACCURACY}
    )
    with pytest.raises(ProblemError, match=r"no gene 'net.dept'") as caught:
        evaluator.evaluate(DESIGNS)
    assert "net.depth" in caught.value.cure


def test_choices_that_the_table_never_has_are_named(csv):
    table = frame().assign(kind=lambda t: t["kind"].str.upper())
    evaluator = Tabular(path=csv(table), keys=KEYS, metrics={"error": ACCURACY})
    with pytest.raises(ProblemError, match=r"no choice of gene 'net.kind' is in the table") as e:
        evaluator.evaluate(DESIGNS)
    assert "'DENSE', 'PLAIN'" in str(e.value)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("hwnas.data_files.import_module", absent)
    file = tmp_path / "table.parquet"
    file.write_bytes(b"")
    assert "hwnas[table]" in refused(MissingExtraError, path=file)


STUDY = """
name: table
space:
  - use: skipnet
    cells: [1]
    layers_per_cell: [2]
    skip_channels: [0]
    skips: [add]
evaluators:
  - use: tabular
    path: {path}
    keys: {{net.width: width}}
    metrics:
      error: {{{column}: [first, second], complement: 100, worst: 1, best: 0}}
objectives:
  - minimize: error
budget: 4
"""


def study(tmp_path, column):
    table = pd.DataFrame({"width": [1, 2, 3, 4], "first": [50.0, 60, 70, 80], "second": 60.0})
    file = tmp_path / "study.yaml"
    path = write(table, tmp_path / "widths.csv")
    file.write_text(STUDY.format(path=path, column=column))
    return file


def test_a_study_file_can_say_all_that(tmp_path):
    problem = load(study(tmp_path, "column")).problem
    (evaluator,) = problem.evaluators
    designs = Designs(problem.space, problem.space.rows())
    assert evaluator.evaluate(designs)["error"] == pytest.approx([0.45, 0.4, 0.35, 0.3])


def test_a_study_file_with_a_typo_is_refused(tmp_path):
    with pytest.raises(StudyFileError, match="colum"):
        load(study(tmp_path, "colum"))


def test_published_networks(shared):
    """The best accuracy of NAS-Bench-201 on CIFAR-10 is 94.373 %; names and codes agree."""
    path = shared / "data" / "nb201.parquet"
    codes = {"none": 0, "skip_connect": 1, "nor_conv_1x1": 2, "nor_conv_3x3": 3, "avg_pool_3x3": 4}
    edges = ("01", "02", "12", "03", "13", "23")
    metrics = {"error": TableMetric("acc200_c10_test", complement=100, best=0, worst=1)}
    coded = Tabular(
        path=path, keys={f"net.e{e}": f"op_e{e}" for e in edges}, values=codes, metrics=metrics
    )
    text = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*(f"{{net.e{e}}}" for e in edges))
    named = Tabular(path=path, join={"arch_str": text}, metrics=metrics)
    space = NASBench201().space()
    designs = Designs(space, space.rows())
    one, other = coded.evaluate(designs), named.evaluate(designs)
    assert one.feasible.all()
    assert np.array_equal(one["error"], other["error"])
    assert one["error"].min() == pytest.approx(1 - 0.94373, abs=5e-6)


def test_published_macro_networks(shared):
    """Of 6,561 names of eight digits each is found once."""
    evaluator = Tabular(
        path=Path(shared) / "data" / "nas_bench_macro.parquet",
        join={"arch": "".join(f"{{net.b{b}}}" for b in range(1, 9))},
        values={"identity": 0, "mbconv_e3_k3": 1, "mbconv_e6_k5": 2},
        metrics={"error": TableMetric(["acc0", "acc1", "acc2"], complement=100)},
    )
    space = NASBenchMacro().space()
    answer = evaluator.evaluate(Designs(space, space.rows()))
    assert answer.feasible.all()
    assert answer["error"][0] == pytest.approx(1 - 0.45363332)


def test_shorter_evaluations_have_columns_of_their_own(path):
    tabular = Tabular(
        path=path, keys=KEYS, metrics={"error": ACCURACY}, fidelities={0.1: {"error": "again"}}
    )
    assert tabular.fidelities == (0.1, 1.0)
    for i, design in enumerate(DESIGNS):
        whole = tabular.evaluate(DESIGNS[i : i + 1])
        early = tabular.evaluate(DESIGNS[i : i + 1], 0.1)
        depth, bits = design.config.get("net.depth", 2), design["quant.bits"]
        assert early.feasible[0] == (depth != 8)
        if depth != 8:
            assert early["error"][0] == pytest.approx(1 - (52.0 + 3 * depth + bits) / 100)
        assert whole.feasible[0] == (not isinstance(looked_up(design), str))
    alone = Tabular(path=path, keys=KEYS, metrics={"error": ACCURACY})
    assert tabular.version != alone.version
    for check in evaluator_checks():
        check(EvaluatorSubject(tabular, SPACE))


@pytest.mark.parametrize(
    ("fidelities", "where"),
    [
        ({1.0: {"error": "again"}}, "fidelities"),
        ({0.0: {"error": "again"}}, "fidelities"),
        ({0.1: {}}, "fidelities.0.1"),
        ({0.1: {"error": "again", "loss": "time"}}, "fidelities.0.1"),
    ],
)
def test_fidelities_that_are_none_are_refused(csv, fidelities, where):
    with pytest.raises(ProblemError) as refused:
        Tabular(path=csv(frame()), keys=KEYS, metrics={"error": ACCURACY}, fidelities=fidelities)
    assert refused.value.where == where


def test_a_fidelity_that_the_table_has_not_is_refused(csv):
    with pytest.raises(ProblemError, match=r"no fidelity 0\.5"):
        Tabular(path=csv(frame()), keys=KEYS, metrics={"error": ACCURACY}).evaluate(DESIGNS, 0.5)


def test_values_for_a_choice_that_no_gene_has_are_refused(csv):
    written = {"plain": "plain", "densest": "dense"}
    tabular = Tabular(path=csv(frame()), keys=KEYS, values=written, metrics={"error": ACCURACY})
    with pytest.raises(ProblemError, match="densest") as refused:
        tabular.evaluate(DESIGNS)
    assert "dense" in refused.value.cure
