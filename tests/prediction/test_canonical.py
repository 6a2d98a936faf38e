"""Canonical features: equal for equal networks, and worth their columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.ensemble import ExtraTreesRegressor

from hwnas.design import BitsPerCell, Designs, NASBench201, SkipNet, SystolicArray, UniformBits
from hwnas.metrics import Measurements, Metric
from hwnas.prediction import CanonicalFeatures, SpaceFeatures, fit_metric
from hwnas.space import Gene, Space
from predictors.gaussian_process import GaussianProcess

CELLS = NASBench201(drop_dead_edges=True).space() + UniformBits().space() + SystolicArray().space()
SKIPS = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
PARTS = [(), ("net",), ("quant",), ("net", "quant"), ("hw", "net")]


def sample(space, n=200, seed=1):
    return Designs(space, space.sample(n, np.random.default_rng(seed)))


@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize("space", [CELLS, SKIPS], ids=["cells", "skips"])
def test_shape_names_and_projection(space, parts):
    """One distinct name per column; the same for the designs projected onto the parts alone."""
    features, designs = CanonicalFeatures(*parts), sample(space)
    matrix = features.matrix(designs)
    names = features.names(space)
    assert matrix.dtype == np.float64
    assert matrix.shape == (200, len(names))
    assert len(set(names)) == len(names)
    assert np.isfinite(matrix).all()
    assert features.matrix(designs[:0]).shape == (0, len(names))
    assert features.reads == frozenset(parts)
    projected, row_of = designs.part(*(parts or space.part_names))
    assert features.names(projected.space) == names
    assert np.array_equal(features.matrix(projected)[row_of], matrix)


def test_a_part_with_an_encoding_is_described_by_it_alone():
    designs = sample(CELLS)
    family = NASBench201(drop_dead_edges=True)
    assert CanonicalFeatures("net").names(CELLS) == tuple(
        f"net.{name}" for name in family.encoding_names()
    )
    expected = family.encoding(designs.columns, len(designs))
    assert np.array_equal(CanonicalFeatures("net").matrix(designs), expected)


def test_equal_networks_have_equal_features():
    """A convolution 0->3, and the same with a detour over node 1."""
    rows = [[0, 0, 0, 3, 0, 0], [3, 0, 0, 0, 1, 0], [1, 0, 0, 0, 3, 0], [0, 0, 0, 2, 0, 0]]
    one, *same, other = CanonicalFeatures().matrix(Designs(NASBench201().space(), np.array(rows)))
    assert all(np.array_equal(one, row) for row in same)
    assert not np.array_equal(one, other)


def test_layer_statistics_by_hand():
    """The network of tests/design/test_skipnet.py: 39,208 MACs, 652 weights."""
    space = SkipNet().space()
    config = {"cells": 1, "width": 1, "skip": "concat"}
    config |= {"cell1.layers": 3, "cell1.skip_channels": 4}
    genomes = space.encode([{f"net.{k}": v for k, v in config.items()}])
    features = CanonicalFeatures()
    values = dict(
        zip(features.names(space), features.matrix(Designs(space, genomes))[0], strict=True)
    )
    macs, C = np.array([2304, 9216, 9216, 18432, 40]), np.array([1, 4, 4, 8, 4])
    assert values["net.log2_macs"] == pytest.approx(np.log2(39_208))
    assert values["net.log2_weights"] == pytest.approx(np.log2(652))
    assert values["net.layers"] == 5
    assert values["net.additions"] == 0
    assert values["net.log2_widest"] == pytest.approx(np.log2(10))
    assert values["net.mean_log2_C"] == pytest.approx((macs * np.log2(C)).sum() / macs.sum())
    assert values["net.mean_log2_P"] == pytest.approx(3 * (1 - 40 / 39_208))
    assert values["net.mean_R"] == pytest.approx((3 * 39_168 + 40) / 39_208)
    assert [values[name] for name in space.feature_names] == space.features(genomes)[0].tolist()


def test_rounding_steps_by_hand():
    """Bits 2, 3, 4, 6, 8 have steps 1, 1/2, 1/4, 1/16, 1/64 of the coarsest."""
    space = UniformBits().space()
    features = CanonicalFeatures("quant")
    matrix = features.matrix(Designs(space, space.rows()))
    column = features.names(space).index("2^-quant.weight_bits")
    assert sorted(set(matrix[:, column])) == [1 / 64, 1 / 16, 1 / 4, 1 / 2, 1]
    assert np.array_equal(matrix[:, :2], space.features(space.rows()))


def test_bits_of_absent_cells_count_as_nothing():
    designs = sample(SKIPS)
    features = CanonicalFeatures("net", "quant")
    column = features.names(SKIPS).index("2^-quant.cell3.weight_bits")
    absent = designs["net.cells"] < 3
    assert absent.any()
    assert np.array_equal(features.matrix(designs)[:, column] == 0, absent)


def test_a_part_has_no_encoding_unless_it_says_so():
    designs = sample(SKIPS)
    for part in SKIPS.parts.values():
        assert part.encoding_names() == ()
        assert part.encoding(designs.columns, len(designs)).shape == (200, 0)


def test_parts_that_nobody_decodes_are_their_genes():
    space = Space((Gene("map.order", ("a", "b"), ordered=False), Gene("map.tile", (1, 2, 4))))
    features = CanonicalFeatures()
    designs = sample(space)
    assert features.names(space) == space.feature_names
    assert np.array_equal(features.matrix(designs), SpaceFeatures().matrix(designs))


def test_columns_mean_the_same_only_for_the_same_part():
    features = CanonicalFeatures("net")
    assert features.agree(CELLS, CELLS.part("net", "hw"))
    assert not features.agree(CELLS, NASBench201(stem_channels=8, drop_dead_edges=True).space())
    assert not features.agree(CELLS, CELLS.restrict({"net.e01": "none"}))


def test_it_serves_a_predictor():
    designs = sample(CELLS, 100)
    metric = Metric("cost")
    cost = designs.layers.total(designs.layers.macs) * designs["quant.weight_bits"]
    measured = Measurements.of((metric,), {"cost": np.log(cost)})
    features = CanonicalFeatures("net", "quant")
    predicted = fit_metric(GaussianProcess(n_restarts=0), features, designs, measured, "cost")
    assert predicted.reads == {"net", "quant"}
    other = sample(CELLS, 50, seed=2)
    truth = np.log(other.layers.total(other.layers.macs) * other["quant.weight_bits"])
    assert kendalltau(predicted.evaluate(other)["cost"], truth).statistic > 0.8


def test_it_needs_fewer_trained_networks_than_the_genes(shared):
    """Kendall's tau with CIFAR-10 accuracy from 100 networks."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(shared / "data" / "nb201.parquet")
    space = NASBench201().space()
    codes = table[[c for c in table if c.startswith("op_e")]].to_numpy(np.int64)
    order = np.random.default_rng(0).permutation(len(codes))
    train, test = order[:100], order[-3000:]
    accuracy = table["acc200_c10_test"].to_numpy()
    taus = []
    for features in (CanonicalFeatures(), SpaceFeatures()):
        X = features.matrix(Designs(space, codes))
        model = ExtraTreesRegressor(100, random_state=0).fit(X[train], accuracy[train])
        taus.append(kendalltau(model.predict(X[test]), accuracy[test]).statistic)
    assert taus[0] > 0.7
    assert taus[0] > taus[1] + 0.1
