"""The suite of spaces lets good ones pass, and finds every kind of bad one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from hwnas import BitsPerCell, Gene, SkipNet, Space, SystolicArray, When, plugins
from hwnas.design import Graph, Join, LayerTable, NASBench201, Operator, SearchedTraining, Source
from hwnas.errors import DesignError
from hwnas.testing import SpaceSubject, run, space_checks
from hwnas.testing.spaces import all_genomes, restricted

SMALL = SkipNet(cells=(1, 2), layers_per_cell=(2, 4), widths=(1, 2), skip_channels=(0, 8))
PLAIN = Space(
    (
        Gene("net.a", (1, 2, 3)),
        Gene("net.b", ("x", "y", "z"), ordered=False, when=When("net.a", at_least=2)),
        Gene("hw.c", (0.5, 1.5, 2.5, 3.5)),
    )
)
CHECKS = {check.name: check for check in space_checks()}


def passes(name, subject):
    (outcome,) = run([CHECKS[name]], subject)
    assert outcome.passed or outcome.message
    return outcome.passed


@pytest.mark.parametrize("check", space_checks(), ids=str)
@pytest.mark.parametrize("subject", [PLAIN, Space(()), SMALL, BitsPerCell(), SystolicArray()],
                         ids=["plain", "empty", "network", "policy", "template"])  # fmt: skip
def test_good_ones_pass(check, subject):
    check(SpaceSubject.of(subject))


# --- spaces: what a method answers wrongly --------------------------------------------------------


def _sampling_raw(self, n, rng):
    return rng.integers(0, self.cardinalities, size=(n, len(self)))


def _sampling_globally(self, n, rng):
    return self.canonical(np.random.default_rng().integers(0, 2, size=(n, len(self))))


def _one_way(original):
    def neighbours(self, row):
        rows = original(self, row)
        return rows[(rows >= self.canonical(row[None, :])[0]).all(axis=1)]

    return neighbours


def _with(change):
    def wrapped(original):
        return lambda self, *arguments: change(self, original(self, *arguments), *arguments)

    return wrapped


def _always(function):
    return lambda original: function


BROKEN_METHODS = [
    ("samples are valid and canonical", "sample", _always(_sampling_raw)),
    ("samples are valid and canonical", "sample", _always(_sampling_globally)),
    ("samples are valid and canonical", "sample", _with(lambda s, rows, *a: rows.astype(float))),
    ("canonical is idempotent", "canonical", _with(lambda s, rows, g: rows + (rows < 1))),
    ("canonical is idempotent", "canonical", _with(lambda s, rows, g: np.zeros_like(g))),
    ("canonical clears sleeping genes only", "canonical", _always(lambda s, g: g)),
    ("canonical clears sleeping genes only", "canonical", _with(lambda s, rows, g: rows * 0)),
    ("size counts designs", "size", _always(lambda s: int(np.prod(s.cardinalities)))),
    ("size counts designs", "rows", _with(lambda s, rows: rows[1:])),
    ("size counts designs", "rows", _with(lambda s, rows: np.roll(rows, 1, axis=1))),
    ("survives json", "to_json", _with(lambda s, d: {**d, "genes": d["genes"][::-1]})),
    ("survives pickling", "__reduce__", _always(lambda s: (Space, (s.genes[:-1],)))),
    ("configurations are encoded back", "encode", _with(lambda s, rows, c: rows * 0)),
    ("features have their shape", "features", _with(lambda s, f, g: 2 * f)),
    ("features have their shape", "features", _with(lambda s, f, g: f[:, 1:])),
    ("features tell designs apart", "features", _with(lambda s, f, g: f * (f < 1))),
    ("features tell designs apart", "features",
     _always(lambda s, g: g / np.maximum(1, s.cardinalities - 1))),
    ("neighbours differ in one gene", "neighbours", _with(lambda s, n, row: np.repeat(n, 2, 0))),
    ("neighbours differ in one gene", "neighbours", _with(lambda s, n, row: np.vstack([n, row]))),
    ("neighbours differ in one gene", "neighbours", _with(lambda s, n, row: n + 1)),
    ("every design can be reached", "neighbours", _one_way),
    ("restrictions translate back", "translate",
     _with(lambda s, found, g, to: (found[0] * 0, found[1]))),
    ("restrictions translate back", "translate",
     _with(lambda s, found, g, to: (found[0], np.ones(len(g), dtype=bool)))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "method", "wrapped"),
    BROKEN_METHODS,
    ids=[f"{i} {m}" for i, (_, m, _) in enumerate(BROKEN_METHODS)],
)
def test_broken_methods_are_found(monkeypatch, name, method, wrapped):
    assert passes(name, SpaceSubject(PLAIN))
    monkeypatch.setattr(Space, method, wrapped(getattr(Space, method)))
    assert not passes(name, SpaceSubject(PLAIN))


# --- parts ----------------------------------------------------------------------------------------


def network(**methods):
    """A broken network family."""
    methods["name"] = "broken"
    return dataclass(frozen=True)(type("Broken", (SkipNet,), methods))(
        cells=(1, 2), layers_per_cell=(2, 4), widths=(1, 2), skip_channels=(0, 8)
    )


def layers_changed(change):
    """A family whose layer table is changed by a function of the family, the table, the columns."""

    def layers(self, columns, n):
        return change(self, SkipNet.layers(self, columns, n), columns)

    return network(layers=layers)


def graph_changed(change, index=2):
    """A family whose graphs have one layer changed; the table keeps the original."""

    def graph(self, config):
        built = SkipNet.graph(self, config)
        layers = list(built.layers)
        layers[index] = change(layers[index])
        return Graph(tuple(layers), built.image, built.channels, built.classes)

    return network(graph=graph)


def no_graph(self, config):
    raise DesignError("networks of broken cannot be built as graphs")


def graph_of_some(self, config):
    return no_graph(self, config) if config["net.cells"] == 2 else SkipNet.graph(self, config)


def with_column(name, change):
    return layers_changed(
        lambda family, table, columns: replace(table, **{name: change(getattr(table, name))})
    )


def _forgets_options(self):
    return {"cells": [1, 2]}


def _reads_sleeping_genes(family, table, columns):
    return replace(table, K=table.K + (columns["net.cell2.skip_channels"] == 8)[table.design])


def _depends_on_the_batch(family, table, columns):
    return replace(table, K=table.K + (table.n > 2))


def _without_the_last_row(family, table, columns):
    rows = np.flatnonzero(table.operator != int(Operator.LINEAR))
    kept = {k: v[rows] for k, v in vars(table).items() if k != "n"}
    return LayerTable(n=table.n, **kept)


def _backwards(family, table, columns):
    kept = {k: v[::-1] for k, v in vars(table).items() if k != "n"}
    return LayerTable(n=table.n, **kept)


SENSE, WORK = "layer rows make sense", "layer rows have work"
BATCH = "layer rows do not depend on the batch"
AGREE, SOUND = "graphs agree with layer rows", "graphs are sound"

BROKEN_PARTS = [
    ("parts name their genes",
     network(genes=lambda self: (Gene("quant.a", (1, 2)), *SkipNet.genes(self)))),
    ("parts are rebuilt from their options", network(options=_forgets_options)),
    ("parts are rebuilt from their options", network(options=lambda self: {"cells": self})),
    (SENSE, layers_changed(_backwards)),
    (SENSE, with_column("K", lambda k: k.astype(float))),
    (SENSE, with_column("K", lambda k: k[:-1])),
    (SENSE, with_column("P", lambda p: p - 1)),
    (SENSE, with_column("operator", lambda o: o + 9)),
    (SENSE, with_column("density", lambda d: d * 0)),
    (SENSE, with_column("weight_bits", lambda b: b + 1)),
    (SENSE, with_column("cell", lambda c: c - 1)),
    (SENSE, layers_changed(lambda f, t, c: replace(t, n=t.n + 1))),
    (WORK, with_column("groups", lambda g: g + 6)),
    (WORK, with_column("R", lambda r: r * 0)),
    (WORK, with_column("S", lambda s: s + 1)),
    (BATCH, layers_changed(_depends_on_the_batch)),
    ("sleeping genes change no layer", layers_changed(_reads_sleeping_genes)),
    (SOUND, network(graph=graph_of_some)),
    (AGREE, network(graph=graph_of_some)),
    (SOUND, graph_changed(lambda layer: replace(layer, sources=()))),
    (SOUND, graph_changed(lambda layer: replace(layer, sources=(Source(2),)))),
    (SOUND, graph_changed(lambda layer: replace(layer, sources=(Source(1, (0, 99)),)))),
    (SOUND, graph_changed(lambda layer: replace(layer, sources=(Source(1, (1, 0)),)))),
    (SOUND, graph_changed(lambda layer: replace(layer, sources=(Source(-1), Source(1))))),
    (SOUND, graph_changed(lambda layer: replace(layer, C=layer.C + 1))),
    (SOUND, graph_changed(lambda layer: replace(layer, image=layer.image + 1))),
    (SOUND, graph_changed(lambda layer: replace(layer, stride=2))),
    (SOUND, graph_changed(lambda layer: replace(layer, name="stem"))),
    (SOUND, graph_changed(lambda layer: replace(layer, K=11), index=-1)),
    (AGREE, graph_changed(lambda layer: replace(layer, groups=2))),
    (AGREE, graph_changed(lambda layer: replace(layer, cell=2))),
    (AGREE, graph_changed(lambda layer: replace(layer, kernel=5))),
    (AGREE, graph_changed(lambda layer: replace(layer, weight_bits=8))),
    (AGREE, layers_changed(_without_the_last_row)),
    (AGREE, network(skip_sources=lambda self, *place: {})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "part"), BROKEN_PARTS, ids=[f"{i} {n}" for i, (n, _) in enumerate(BROKEN_PARTS)]
)
def test_broken_networks_are_found(name, part):
    assert passes(name, SpaceSubject.of(SMALL))
    assert not passes(name, SpaceSubject.of(part))


def _of_kind(operator, change):
    """NAS-Bench-201 with graphs whose first layer of an operator is changed; the table is not."""

    def graph(self, config):
        built = NASBench201.graph(self, config)
        layers = list(built.layers)
        index = next(i for i, layer in enumerate(layers) if layer.operator is operator)
        layers[index] = change(layers[index], built)
        return replace(built, layers=tuple(layers))

    methods = {"name": "broken", "graph": graph}
    kind = dataclass(frozen=True)(type("Broken", (NASBench201,), methods))
    return kind(image=8, cells_per_stage=1)


def _scaled(layer, graph):
    return replace(layer, operator=Operator.ELEMENTWISE, join=Join.MULTIPLY)


@pytest.mark.parametrize(
    ("name", "operator", "change"),
    [
        (SOUND, Operator.ADD, lambda layer, graph: replace(layer, join=Join.CONCATENATE)),
        (SOUND, Operator.ADD, lambda layer, graph: replace(layer, sources=layer.sources[:1])),
        (SOUND, Operator.ADD, lambda layer, graph: replace(layer, sources=3 * layer.sources[:1])),
        (SOUND, Operator.POOL, lambda layer, graph: replace(layer, padding=1)),
        (SOUND, Operator.POOL, lambda layer, graph: replace(layer, operator=Operator.ELEMENTWISE)),
        (AGREE, Operator.ADD, _scaled),
        (AGREE, Operator.ADD, lambda layer, graph: replace(layer, cell=9)),
        (AGREE, Operator.ADD, lambda layer, graph: replace(layer, activation_bits=4)),
        (AGREE, Operator.POOL, lambda layer, graph: replace(layer, cell=9)),
    ],
)
def test_broken_sums_and_pools_are_found(name, operator, change):
    assert passes(name, SpaceSubject.of(NASBench201(image=8, cells_per_stage=1)))
    assert not passes(name, SpaceSubject.of(_of_kind(operator, change)))


def test_a_part_that_is_not_registered_is_found():
    with pytest.raises(plugins.PluginError, match="no space named 'broken'"):
        CHECKS["survives json"](SpaceSubject.of(network()))


@dataclass(frozen=True)
class BrokenPolicy(BitsPerCell):
    """Changes the bits in the way named."""

    name: ClassVar[str] = "broken_policy"
    how: str = ""

    def bits(self, columns, design, cell):
        weight, activation = super().bits(columns, design, cell)
        ways = {
            "fractions": weight / 2,
            "nothing": weight * 0,
            "too many": weight * 16 + 1,
            "too few rows": weight[:-1],
            "by position": weight + np.arange(len(weight)) % 2,
        }
        return ways[self.how], activation


@pytest.mark.parametrize("how", ["fractions", "nothing", "too many", "too few rows", "by position"])
def test_broken_policies_are_found(how):
    name = "bits are whole and possible"
    assert passes(name, SpaceSubject.of(BitsPerCell()))
    assert not passes(name, SpaceSubject.of(BrokenPolicy(how=how)))


@pytest.mark.parametrize(
    "change",
    [
        lambda columns, n: {},
        lambda columns, n: {**columns, "clock": columns["clock"][:-1]},
        lambda columns, n: {**columns, "clock": columns["clock"] * np.nan},
        lambda columns, n: {**columns, "rows": -columns["rows"]},
        lambda columns, n: {**columns, "rows": columns["rows"] + n},
    ],
    ids=["none", "too few rows", "nan", "negative", "by batch"],
)
def test_broken_templates_are_found(change):
    name = "accelerators have their parameters"

    def accelerators(self, columns, n):
        return change(SystolicArray.accelerators(self, columns, n), n)

    kind = dataclass(frozen=True)(
        type("Broken", (SystolicArray,), {"accelerators": accelerators, "name": "broken"})
    )
    assert passes(name, SpaceSubject.of(SystolicArray()))
    assert not passes(name, SpaceSubject.of(kind()))


TRAINED = SearchedTraining(resolution=(6, 8), schedule=("constant", "cyclic"), lower_bits=(2, 3))


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("images", lambda found, columns: None),
        ("images", lambda found, columns: found / 1.0),
        ("images", lambda found, columns: found[:-1]),
        ("images", lambda found, columns: found + 1),
        ("images", lambda found, columns: np.where(columns["train.lower_bits"] == 3, 6, 8)),
        ("recipes", lambda found, columns: {**found, "cycles": found["cycles"][:-1]}),
        ("recipes", lambda found, columns: {**found, "cycles": columns["train.lower_bits"]}),
        ("recipes", lambda found, columns: {**found, "cycles": np.arange(len(found["cycles"]))}),
    ],
    ids=[
        "none", "fractions", "too few rows", "not its own", "asleep",
        "too few settings", "asleep setting", "by position",
    ],
)  # fmt: skip
def test_broken_trainings_are_found(method, change):
    def broken(self, columns, n):
        return change(getattr(SearchedTraining, method)(self, columns, n), columns)

    methods = {method: broken, "name": "broken"}
    kind = dataclass(frozen=True)(type("Broken", (SearchedTraining,), methods))
    name = "trainings have their settings"
    assert passes(name, SpaceSubject.of(TRAINED))
    assert not passes(name, SpaceSubject.of(kind(**TRAINED.options())))


def test_every_rule_is_broken_by_somebody():
    broken = {name for name, *_ in (*BROKEN_METHODS, *BROKEN_PARTS)}
    broken |= {"bits are whole and possible", "accelerators have their parameters"}
    broken |= {"trainings have their settings"}
    assert broken == set(CHECKS)


# --- what the suite stands on ---------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 5, 40, 300, 10**6])
def test_restricted_spaces_are_small_and_keep_ends(limit):
    space = SkipNet().space() + BitsPerCell().space()
    small = restricted(space, limit)
    assert np.prod(small.cardinalities) <= limit
    assert small.names == space.names
    for gene, kept in zip(space.genes, small.genes, strict=True):
        assert kept.choices[-1] == gene.choices[-1]
        assert len(kept.choices) == 1 or kept.choices[0] == gene.choices[0]


def test_a_small_space_is_not_restricted():
    assert restricted(PLAIN, 36) == PLAIN


def test_all_genomes_are_counted_like_an_odometer():
    expected = [[a, b, c] for a in range(3) for b in range(3) for c in range(4)]
    assert all_genomes(PLAIN).tolist() == expected
    assert all_genomes(Space(())).tolist() == [[]]


@pytest.mark.parametrize("name", [SOUND, AGREE])
def test_a_family_need_not_have_graphs(name):
    subject = SpaceSubject.of(network(graph=no_graph))
    (outcome,) = run([check for check in space_checks() if check.name == name], subject)
    assert outcome.skipped
    assert "cannot be built as graphs" in outcome.message
