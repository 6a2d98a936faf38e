"""NN-Mass, NN-Degree and the counts: fixtures, oracles that read genes and graphs, properties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from evaluators.counts import BitOps, Macs, Params
from evaluators.nn_degree import NNDegree
from evaluators.nn_mass import NNMass, SkipCells
from hwnas import plugins
from hwnas.arrays import Choice, Columns
from hwnas.design import (
    BitsPerCell,
    Design,
    Designs,
    Graph,
    LayerTable,
    NASBench201,
    Operator,
    SkipNet,
    SystolicArray,
)
from hwnas.design.parts import NetworkFamily
from hwnas.errors import ProblemError
from hwnas.evaluation import Evaluator, Expense
from hwnas.metrics import Goal, Reason
from hwnas.space import Gene
from hwnas.testing import EvaluatorSubject, evaluator_checks

ALL: dict[str, Evaluator] = {
    "nn_degree": NNDegree(),
    "nn_mass": NNMass(),
    "params": Params(),
    "macs": Macs(),
    "bitops": BitOps(),
}
JOINT = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()


def measure(evaluator: Evaluator, designs: Designs) -> np.ndarray:
    measured = evaluator.evaluate(designs)
    assert measured.feasible.all()
    return measured[evaluator.metrics[0].name]


def some(family: SkipNet, n: int, seed: int = 0) -> Designs:
    space = family.space()
    return Designs(space, space.sample(n, np.random.default_rng(seed)))


def one(family: SkipNet, **genes: Choice) -> Designs:
    space = family.space()
    config = {"net." + name.replace("__", "."): value for name, value in genes.items()}
    return Designs(space, space.encode([config]))


# --- the fixture of the released code -------------------------------------------------------------


def released() -> Designs:
    """3 cells of 8 layers, width multiplier 2 (32, 64, 128 channels), t = 10, 20, 40.

    SLDGroup/NN_Mass@1de4bb5, model_zoo.py, regular_dense_cnn: its formula gives 160 (by hand:
    P = 32 * 21 = 672, 6 * 10 borrowed, 60 / 672 * 32 * 8 = 160 / 7, and 2 and 4 times that).
    """
    family = SkipNet(
        cells=(3,),
        layers_per_cell=(8,),
        widths=(2,),
        skip_channels=(10, 20, 40),
        skips=("concat",),
        base_width=16,
    )
    genes: dict[str, Any] = {"cells": 3, "width": 2, "skip": "concat"}
    for cell, channels in enumerate((10, 20, 40), start=1):
        genes |= {f"cell{cell}__layers": 8, f"cell{cell}__skip_channels": channels}
    return one(family, **genes)


def test_nn_mass_of_the_released_fixture_is_exactly_160():
    assert measure(NNMass(), released()).tolist() == [160.0]


def test_nn_degree_of_the_released_fixture():
    # Widths 32 + 64 + 128; links 6 * 10 * 32 / (32 * 8) = 7.5, then 15 and 30.
    assert measure(NNDegree(), released()).tolist() == [276.5]
    # Channels: 60 / 256 = 120 / 512 = 240 / 1024.
    assert measure(NNDegree(count="channels"), released()).tolist() == [224 + 3 * 60 / 256]


# --- oracles that never see the layer table -------------------------------------------------------


def from_genes(design: Design, family: SkipNet) -> tuple[float, float, float]:
    """NN-Mass, NN-Degree by links, NN-Degree by channels; formulas of the papers, in loops."""
    mass = links = channels = 0.0
    for cell in range(1, int(design["net.cells"]) + 1):
        w = family.base_width * int(design["net.width"]) * 2 ** (cell - 1)
        d = int(design[f"net.cell{cell}.layers"])
        t = int(design.config.get(f"net.cell{cell}.skip_channels", 0))
        possible = present = 0
        for i in range(2, d):
            P = (i - 1) * w
            possible += P
            present += min(t, P) if design["net.skip"] == "concat" else min(t, P, w)
        mass += present / possible * w * d if possible else 0.0
        links += w + present * w / (w * d)
        channels += w + present / (w * d)
    return mass, links, channels


def degree_of_graph(graph: Graph) -> float:
    """NN-Degree by links: every channel that arrives from elsewhere than the layer before."""
    cells = sorted({layer.cell for layer in graph.layers} - {0})
    degree = 0.0
    for cell in cells:
        inside = [(i, layer) for i, layer in enumerate(graph.layers) if layer.cell == cell]
        nodes = sum(layer.K for _, layer in inside)
        links = 0
        for i, layer in inside:
            for source in layer.sources:
                if source.layer != i - 1:
                    assert source.channels is not None
                    links += len(source.channels) * layer.K
        degree += nodes / len(inside) + links / nodes
    return degree


@pytest.mark.parametrize(
    "family",
    [
        SkipNet(),
        SkipNet(skips=("concat",), layers_per_cell=(1, 3, 5, 9), skip_channels=(0, 3, 50, 400)),
        SkipNet(skips=("add",), layers_per_cell=(2, 3, 7), base_width=3, skip_channels=(0, 2, 7)),
    ],
    ids=["default", "concat", "add"],
)
def test_against_the_genes_and_the_graph(family):
    designs = some(family, 120)
    expected = np.array([from_genes(design, family) for design in designs])
    assert np.any(expected[:, 0] > 0)
    np.testing.assert_allclose(measure(NNMass(), designs), expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(measure(NNDegree(), designs), expected[:, 1], rtol=1e-12)
    by_channels = measure(NNDegree(count="channels"), designs)
    np.testing.assert_allclose(by_channels, expected[:, 2], rtol=1e-12)
    of_graph = [degree_of_graph(design.graph) for design in designs]
    np.testing.assert_allclose(measure(NNDegree(), designs), of_graph, rtol=1e-12)


# --- what follows from the definitions ------------------------------------------------------------


@given(
    width=st.integers(1, 4),
    depth=st.integers(3, 12),
    skips=st.integers(0, 200),
    more=st.integers(1, 200),
    join=st.sampled_from(["concat", "add"]),
)
def test_properties_of_one_cell(width, depth, skips, more, join):
    def cell(t: int, d: int) -> tuple[float, float]:
        family = SkipNet(
            cells=(1,), layers_per_cell=(d,), widths=(width,), skip_channels=(t,), skips=(join,)
        )
        designs = one(
            family, cells=1, width=width, skip=join, cell1__layers=d, cell1__skip_channels=t
        )
        return measure(NNMass(), designs)[0], measure(NNDegree(), designs)[0]

    mass, degree = cell(skips, depth)
    w, size = 4 * width, 4 * width * depth
    assert cell(skips + more, depth)[0] >= mass
    assert cell(skips + more, depth)[1] >= degree
    assert 0 <= mass <= size * (1 + 1e-12)
    # Deep cells: w + m/2; for any depth, times (d-1)(d-2)/d^2.
    assert degree == pytest.approx(w + mass / 2 * (depth - 1) * (depth - 2) / depth**2)
    # Without skip connections, NN-Degree is a width and nothing else.
    assert cell(0, depth) == (0.0, w)
    if join == "concat" and skips >= (depth - 2) * w:
        assert mass == pytest.approx(size)


# --- networks of other families -------------------------------------------------------------------


@dataclass(frozen=True)
class Rows(NetworkFamily):
    """Some networks, each given by its rows; the one gene says which."""

    networks: tuple[tuple[Mapping[str, int], ...], ...]
    name: ClassVar[str] = "rows"

    def genes(self) -> tuple[Gene, ...]:
        return (Gene("net.number", tuple(range(len(self.networks)))),)

    def options(self) -> dict[str, Any]:
        return {}

    def layers(self, columns: Columns, n: int) -> LayerTable:
        rows = [(i, row) for i, k in enumerate(columns["net.number"]) for row in self.networks[k]]
        names = sorted({name for _, row in rows for name in row})
        usual = {name: 0 if name in ("operator", "cell") else 1 for name in names}
        table = {name: np.array([row.get(name, usual[name]) for _, row in rows]) for name in names}
        return LayerTable.of(n, np.array([i for i, _ in rows], dtype=np.int64), **table)

    def graph(self, config: Mapping[str, Choice]) -> Graph:
        raise NotImplementedError


def networks(*rows: list[dict[str, int]]) -> Designs:
    space = Rows(tuple(tuple(network) for network in rows)).space()
    return Designs(space, np.arange(len(rows))[:, None])


def conv(C: int, K: int, cell: int = 1, **others: int) -> dict[str, int]:
    return {"C": C, "K": K, "cell": cell, **others}


ADD = int(Operator.ADD)
POOL = int(Operator.POOL)
LINEAR = int(Operator.LINEAR)


def test_a_dense_block_is_full():
    # Growth 12 after 24 input channels, which every layer sees: more than the candidates.
    dense = [conv(24 + 12 * i, 12) for i in range(6)]
    assert measure(NNMass(), networks(dense))[0] == 12 * 6
    # Links beyond the direct predecessor's: 24 + 12 (i - 1) channels to 12 each, i = 1..5.
    links = 12 * sum(24 + 12 * (i - 1) for i in range(1, 6))
    assert measure(NNDegree(), networks(dense))[0] == pytest.approx(12 + links / 72)


def test_widths_that_differ_within_a_cell():
    # Layer 2 borrows 3 of 10 candidates, layer 3 borrows 2 of 10 + 20; 10 + 20 + 5 + 8 nodes.
    network = [conv(7, 10), conv(10, 20), conv(23, 5), conv(7, 8), {"C": 8, "K": 9, "cell": 0}]
    assert measure(NNMass(), networks(network))[0] == pytest.approx(5 / 40 * 43)
    cells = SkipCells.of(networks(network).layers)
    assert (cells.candidates.tolist(), cells.borrowed.tolist()) == ([40], [5])
    assert measure(NNDegree(), networks(network))[0] == pytest.approx(43 / 4 + 5 / 4)


def test_only_convolutions_in_cells_count():
    plain = [conv(3, 4, 0), conv(4, 4), conv(4, 4), conv(6, 4), conv(4, 10, 0, operator=LINEAR)]
    pooled = [*plain[:2], conv(4, 4, operator=POOL), *plain[2:], conv(9, 9, 0, operator=ADD)]
    lonely = [*plain, conv(5, 5, 2, operator=ADD)]
    for evaluator in (NNMass(), NNDegree()):
        values = measure(evaluator, networks(plain, pooled, lonely))
        assert values[0] == values[1] == values[2]


@pytest.mark.parametrize("operator", [Operator.SHIFT, Operator.ADDER])
def test_layers_that_shift_or_add_are_convolutions(operator):
    network = [conv(7, 10), conv(10, 20), conv(23, 5), conv(7, 8)]
    others = [{**row, "operator": int(operator)} for row in network]
    for evaluator in (NNMass(), NNDegree()):
        values = measure(evaluator, networks(network, others))
        assert values[0] == values[1] > 0


def test_cells_may_take_turns():
    first, second = [conv(4, 4), conv(4, 4), conv(5, 4)], [conv(8, 8, 2), conv(8, 8, 2)]
    second.append(conv(10, 8, 2))
    woven = [row for pair in zip(first, second, strict=True) for row in pair]
    for evaluator in (NNMass(), NNDegree()):
        apart, together = measure(evaluator, networks(first + second, woven))
        assert apart == together > 0


def test_networks_without_cells_are_infeasible_and_say_so():
    designs = networks([conv(3, 4, 0)], [conv(3, 4), conv(4, 4), conv(5, 4)])
    for evaluator in (NNMass(), NNDegree()):
        measured = evaluator.evaluate(designs)
        assert measured.reason.tolist() == [Reason.INFEASIBLE, Reason.NONE]
        assert "cell" in measured.notes[0]
        nobody = evaluator.evaluate(designs[:1])
        assert not nobody.feasible.any()


# --- counts ---------------------------------------------------------------------------------------


def small(join: str) -> Designs:
    family = SkipNet(cells=(1,), layers_per_cell=(3,), widths=(1,), skip_channels=(4,))
    return one(family, cells=1, width=1, skip=join, cell1__layers=3, cell1__skip_channels=4)


@pytest.mark.parametrize(("join", "last"), [("concat", 8), ("add", 4)])
def test_counts_by_hand(join, last):
    # Stem 1 -> 4, layers 4 -> 4, 4 -> 4, last -> 4, all 3x3 on 8 x 8; classifier 4 -> 10.
    convolutions = 9 * 4 * (1 + 4 + 4 + last)
    assert measure(Params(), small(join))[0] == convolutions + 40
    assert measure(Macs(), small(join))[0] == 64 * convolutions + 40
    # Without quantization all is 32 bits.
    assert measure(BitOps(), small(join))[0] == (64 * convolutions + 40) * 32 * 32


def test_bit_operations_follow_the_bits_of_each_cell():
    family = SkipNet(cells=(2,), layers_per_cell=(1,), widths=(1,), skip_channels=(0,))
    policy = BitsPerCell(cells=2, weight_bits=(2, 4), activation_bits=(3, 8), boundary_bits=8)
    space = family.space() + policy.space()
    config = {
        "net.cells": 2, "net.width": 1, "net.skip": "concat",
        "net.cell1.layers": 1, "net.cell2.layers": 1,
        "quant.cell1.weight_bits": 2, "quant.cell1.activation_bits": 3,
        "quant.cell2.weight_bits": 4, "quant.cell2.activation_bits": 8,
    }  # fmt: skip
    designs = Designs(space, space.encode([config]))
    stem, first, second, head = 64 * 9 * 4, 64 * 9 * 16, 16 * 9 * 4 * 8, 8 * 10
    assert measure(Macs(), designs)[0] == stem + first + second + head
    expected = stem * 64 + first * 2 * 3 + second * 4 * 8 + head * 64
    assert measure(BitOps(), designs)[0] == expected


def test_grouped_convolutions():
    depthwise = networks([conv(8, 8, groups=8, R=3, S=3, P=5, Q=5), conv(8, 16, P=5, Q=5)])
    assert measure(Params(), depthwise)[0] == 72 + 128
    assert measure(Macs(), depthwise)[0] == 25 * (72 + 128)


def test_counts_of_resnet18(shared):
    # Known of ResNet-18 at 224 x 224: 1,814,073,344 MACs; 11,689,512 parameters, of which 9,600
    # belong to batch normalisation and 1,000 are biases.
    table = pd.read_csv(shared / "reference" / "workload_resnet18.csv")
    rows = []
    for row in table.itertuples():
        sizes = {k: int(getattr(row, k)) for k in ("N", "K", "C", "R", "S", "P", "Q", "groups")}
        rows.append({**sizes, "operator": LINEAR if row.type == "fc" else 0})
    assert LINEAR in [row["operator"] for row in rows]
    designs = networks(rows)
    assert measure(Macs(), designs)[0] == 1_814_073_344
    assert measure(Params(), designs)[0] == 11_689_512 - 9_600 - 1_000 == 11_678_912


def cells(codes: list[list[int]], **options: Any) -> Designs:
    return Designs(NASBench201(**options).space(), np.array(codes))


def test_sizes_without_dead_edges_are_those_of_the_living_cell():
    # Edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3; 3 is a 3x3 convolution, 2 a 1x1 one, 1 a skip. Nothing
    # enters node 1, nothing leaves node 2; in the last cell there is no path at all.
    written = [[0, 3, 2, 2, 3, 0], [3, 0, 3, 0, 1, 0], [3, 3, 3, 0, 0, 0]]
    alive = [[0, 0, 0, 2, 0, 0], [3, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]]
    for evaluator in (Params(), Macs(), BitOps()):
        dropped = measure(evaluator, cells(written, drop_dead_edges=True))
        assert dropped.tolist() == measure(evaluator, cells(alive)).tolist()
        assert (dropped < measure(evaluator, cells(written))).all()


def test_dead_edges_hide_how_well_sizes_rank(shared):
    # Spearman's correlations with the accuracy of all 15,625 networks on CIFAR-10, found with the
    # published numbers of parameters: .752 with dead edges, .822 without.
    table = pd.read_parquet(shared / "data" / "nb201.parquet")
    genes = [f"op_e{name.removeprefix('net.e')}" for name in NASBench201().space().names]
    codes = table[genes].to_numpy(np.int64).tolist()
    for options, expected in (({}, 0.752), ({"drop_dead_edges": True}, 0.822)):
        # One cell per stage: the others only multiply what the cell adds.
        designs = cells(codes, cells_per_stage=1, **options)
        for evaluator in (Params(), Macs()):
            found = spearmanr(measure(evaluator, designs), table["acc200_c10_test"]).statistic
            assert found == pytest.approx(expected, abs=0.001)


# --- contracts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("evaluator", ALL.values(), ids=ALL.keys())
@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_conformance(check, evaluator):
    check(EvaluatorSubject(evaluator, JOINT))


@pytest.mark.parametrize("name", ALL)
def test_plugins_are_found_by_name(name):
    evaluator = plugins.load("hwnas.evaluators", name)()
    assert type(evaluator) is type(ALL[name])
    assert [metric.name for metric in evaluator.metrics] == [name]
    assert evaluator.expense is Expense.FREE
    better = Goal.MAXIMIZE if name.startswith("nn_") else Goal.MINIMIZE
    assert evaluator.metrics[0].goal is better


def test_what_nn_degree_counts_is_part_of_its_version():
    assert NNDegree("links").version != NNDegree("channels").version
    with pytest.raises(ProblemError, match="neurons"):
        NNDegree("neurons")


def test_skips_are_the_two_that_the_oracles_know():
    assert set(SkipNet().skips) == {"concat", "add"}
