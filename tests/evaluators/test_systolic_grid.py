"""Grids of networks and systolic arrays against one design at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.layer_keys import multisets
from evaluators.systolic import Systolic
from evaluators.systolic_grid import SystolicGrid
from hwnas import Designs
from hwnas.design import BitsPerCell, SkipNet, SystolicArray, UniformBits
from hwnas.design.nas_bench_201 import NASBench201
from hwnas.evaluation.pairing import against, paired

HW = SystolicArray(
    rows=(1, 3, 8, 32),
    columns=(1, 4, 16),
    ifmap_sram=(16, 64, 1024),
    filter_sram=(16, 256, 4096),
    ofmap_sram=(64, 1024),
).space()
SPACES = {
    "skipnet": SkipNet().space() + BitsPerCell().space() + HW,
    "large skipnet": SkipNet(image=32, base_width=8).space() + UniformBits().space() + HW,
    "nas_bench_201": NASBench201().space() + UniformBits().space() + HW,
    "single precision": SkipNet().space() + HW,
}
EVERYTHING = frozenset(metric.name for metric in Systolic.metrics)


def sides(space, n, seed):
    rng = np.random.default_rng(seed)
    parts = [part for part in space.part_names if part != "hw"]
    outer = space.part(*parts)
    return Designs(outer, outer.sample(n, rng)), Designs(HW, HW.sample(3 * n, rng))


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("overlap", [1.0, 0.3])
@given(seed=st.integers(0, 2**20))
@settings(max_examples=5, deadline=None)
def test_cells_are_what_evaluate_says(name, overlap, seed):
    space = SPACES[name]
    evaluator = Systolic(overlap=overlap)
    outer, inner = sides(space, 6, seed)
    grid = against(evaluator, space, inner, EVERYTHING)(outer)
    cells = evaluator.evaluate(Designs(space, paired(space, outer, inner)))
    np.testing.assert_array_equal(grid.feasible, cells.feasible.reshape(grid.feasible.shape))
    assert grid.columns.keys() == EVERYTHING
    for metric, column in grid.columns.items():
        np.testing.assert_allclose(
            column, cells[metric].reshape(column.shape), rtol=1e-12, err_msg=metric
        )


def test_the_sample_has_arrays_that_are_too_small_and_others():
    outer, inner = sides(SPACES["skipnet"], 6, 0)
    feasible = SystolicGrid(Systolic().technology, 1.0, inner, EVERYTHING)(outer).feasible
    assert 0.1 < feasible.mean() < 0.9


def test_only_what_is_wanted_is_answered():
    outer, inner = sides(SPACES["skipnet"], 2, 0)
    grid = SystolicGrid(Systolic().technology, 1.0, inner, frozenset({"area"}))(outer)
    assert set(grid.columns) == {"area"}


def test_no_networks_make_an_empty_grid():
    outer, inner = sides(SPACES["skipnet"], 2, 0)
    grid = SystolicGrid(Systolic().technology, 1.0, inner, EVERYTHING)(outer[:0])
    assert grid.feasible.shape == grid.columns["energy"].shape == (0, len(inner))


def test_what_is_kept_and_what_is_forgotten_makes_no_difference(monkeypatch):
    space = SPACES["skipnet"]
    outer, inner = sides(space, 12, 4)
    at_once = SystolicGrid(Systolic().technology, 1.0, inner, EVERYTHING)(outer)
    monkeypatch.setattr("evaluators.layer_cache._BYTES", 20 * 6 * 8 * len(inner))
    monkeypatch.setattr("evaluators.systolic_grid._CELLS", 50)
    forgetful = SystolicGrid(Systolic().technology, 1.0, inner, EVERYTHING)
    for i in (*range(12), 3, 0):
        grid = forgetful(outer[i : i + 1])
        for name, column in grid.columns.items():
            np.testing.assert_allclose(column[0], at_once.columns[name][i], rtol=1e-12)


def test_arrays_are_costed_by_themselves_only_where_they_are_the_inner_part():
    outer, inner = sides(SPACES["skipnet"], 2, 0)
    both = Designs(SPACES["skipnet"].part("quant", "hw"), np.zeros((1, 14), dtype=np.int64))
    assert Systolic().against(SPACES["skipnet"], inner, EVERYTHING) is not None
    assert Systolic().against(SPACES["skipnet"], both, EVERYTHING) is None
    del outer


@pytest.mark.parametrize("name", ["skipnet", "nas_bench_201"])
def test_equal_fingerprints_cost_alike_under_any_bits_on_any_array(name):
    space = SPACES[name]
    net = space.part("net")
    rng = np.random.default_rng(1)
    rows = np.unique(net.sample(3000, rng), axis=0)
    names = Systolic().fingerprints(Designs(net, rows))
    first: dict[bytes, int] = {}
    other = np.array([first.setdefault(key, i) for i, key in enumerate(names)])
    twins = np.flatnonzero(other != np.arange(len(rows)))[:200]
    assert len(twins) > 20
    rest = space.sample(len(twins), rng)
    one, two = rest.copy(), rest.copy()
    one[:, space.columns_of("net")] = rows[twins]
    two[:, space.columns_of("net")] = rows[other[twins]]
    if name == "skipnet":  # bits of absent cells sleep; twins have the same number of cells
        assert (one[:, 0] == two[:, 0]).all()
    a, b = (Systolic().evaluate(Designs(space, genomes)) for genomes in (one, two))
    assert a.feasible.any()
    np.testing.assert_array_equal(a.feasible, b.feasible)
    for metric in a.columns:
        np.testing.assert_allclose(a[metric], b[metric], rtol=1e-12)


def test_fingerprints_tell_bits_and_cells_apart():
    space = SkipNet(cells=(2,), layers_per_cell=(2, 3)).space() + BitsPerCell(cells=2).space()
    net = space.part("net")
    count = len(set(Systolic().fingerprints(Designs(net, net.rows()))))
    assert 1 < count < net.size()
    whole = Designs(space, space.sample(500, np.random.default_rng(0)))
    by_layers = Systolic().fingerprints(whole)
    table = whole.layers
    fields = ("operator", "C", "K", "P", "R", "S", "stride", "weight_bits", "activation_bits")
    expected = [
        tuple(sorted(zip(*(getattr(table, f)[table.design == i] for f in fields), strict=True)))
        for i in range(len(whole))
    ]
    assert len(by_layers) == 500
    pairs = {(key, layers) for key, layers in zip(by_layers, expected, strict=True)}
    assert len(pairs) == len(set(by_layers)) == len(set(expected))


def test_multisets_do_not_depend_on_the_batch():
    space = SPACES["skipnet"].part("net", "quant")
    designs = Designs(space, space.sample(60, np.random.default_rng(2)))
    for with_cells in (False, True):
        whole = multisets(designs.layers, with_cells=with_cells)
        alone = [
            multisets(designs[i : i + 1].layers, with_cells=with_cells)[0]
            for i in range(len(designs))
        ]
        assert whole == alone
    assert multisets(designs[:0].layers, with_cells=True) == []


def test_fingerprints_of_other_parts_are_their_genes():
    space = SPACES["skipnet"]
    quant = Designs(space.part("quant"), space.part("quant").sample(50, np.random.default_rng(0)))
    assert len(set(Systolic().fingerprints(quant))) == len(np.unique(quant.genomes, axis=0))
    whole = Designs(space, space.sample(20, np.random.default_rng(0)))
    assert len(set(Systolic().fingerprints(whole))) == 20
