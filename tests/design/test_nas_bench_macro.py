"""Networks of NAS-Bench-Macro against published sizes and accuracies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.ensemble import ExtraTreesRegressor

from hwnas.design import Designs, NASBenchMacro, Operator
from hwnas.design.nas_bench_macro import STAGES, canonical
from hwnas.errors import SpaceError
from hwnas.testing import SpaceSubject, space_checks

FAMILY = NASBenchMacro()
SPACE = FAMILY.space()
EVERY = SPACE.rows()

# Architecture, parameters, FLOPs: as published with NAS-Bench-Macro (Apache-2.0).
PUBLISHED = [
    ("00000000", 387_882, 7_713_280),
    ("00000001", 791_594, 14_115_328),
    ("00000002", 1_219_370, 20_910_592),
    ("00000010", 791_594, 14_115_328),
    ("00000011", 1_195_306, 20_517_376),
]


def sizes(codes):
    """Parameters, with batch normalisation and biases, and multiply-accumulates."""
    table = Designs(SPACE, np.asarray(codes)).layers
    normalised = table.operator == int(Operator.CONVOLUTION)
    last = table.operator == int(Operator.LINEAR)
    return table.total(table.weights + table.K * (2 * normalised + last)), table.total(table.macs)


@pytest.mark.parametrize(("name", "params", "flops"), PUBLISHED)
def test_sizes_are_the_published_ones(name, params, flops):
    assert [int(v[0]) for v in sizes([[int(digit) for digit in name]])] == [params, flops]


@pytest.fixture
def published(shared):
    """Codes and the published table, row by row."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(shared / "data" / "nas_bench_macro.parquet")
    return np.array([[int(digit) for digit in name] for name in table["arch"]]), table


def test_all_sizes_are_the_published_ones(published):
    codes, table = published
    params, macs = sizes(codes)
    assert np.array_equal(params, table["params"])
    assert np.array_equal(macs, table["flops"])


def test_one_network_by_hand():
    """The second block is an expansion 3: 64 to 192, depthwise, back to 64, and an addition."""
    names = ["identity"] * 8
    names[1] = "mbconv_e3_k3"
    genes = {f"net.b{b}": name for b, name in enumerate(names, 1)}
    layers = Designs(SPACE, SPACE.encode([genes])).layers
    conv, linear, pool, add = 0, 1, 2, 3
    assert layers.operator.tolist() == [*[conv] * 5, add, conv, conv, conv, pool, linear]
    assert layers.C.tolist() == [3, 32, 64, 192, 192, 64, 64, 128, 256, 1280, 1280]
    assert layers.K.tolist() == [32, 64, 192, 192, 64, 64, 128, 256, 1280, 1280, 10]
    assert layers.P.tolist() == [32, 16, 16, 16, 16, 16, 8, 4, 4, 1, 1]
    assert layers.R.tolist() == [3, 1, 1, 3, 1, 1, 1, 1, 1, 4, 1]
    assert layers.groups.tolist() == [1, 1, 1, 192, 1, 1, 1, 1, 1, 1, 1]
    assert layers.stride.tolist() == [1, 2, 1, 1, 1, 1, 2, 2, 1, 1, 1]
    assert layers.cell.tolist() == [0, 1, 2, 2, 2, 2, 3, 6, 0, 0, 0]


def test_a_block_that_changes_the_width_adds_nothing():
    layers = Designs(SPACE, np.array([[2, 0, 2, 0, 0, 2, 0, 0]])).layers
    assert int(Operator.ADD) not in layers.operator.tolist()


def without_identities(codes):
    """The blocks that compute something, stage by stage."""
    return tuple((codes[s[0]], *(codes[b] for b in s[1:] if codes[b])) for s in STAGES)


def test_canonical_forms_are_the_different_networks():
    forms = canonical(EVERY)
    assert [without_identities(row) for row in forms.tolist()] == [
        without_identities(row) for row in EVERY.tolist()
    ]
    assert len({tuple(row) for row in forms.tolist()}) == 3 * 3 * (3 * 7) ** 2
    assert np.array_equal(canonical(forms), forms)


def test_equal_networks_were_trained_once(published):
    """The published accuracies of one canonical form are the same in all three runs."""
    codes, table = published
    _, form = np.unique(canonical(codes), axis=0, return_inverse=True)
    accuracies = table[["acc0", "acc1", "acc2"]].to_numpy()
    spread = [np.ptp(accuracies[form == f], axis=0).max() for f in range(form.max() + 1)]
    assert max(spread) == 0


def test_encodings_are_equal_exactly_for_equal_networks():
    encoding = FAMILY.encoding(SPACE.decode(EVERY), len(EVERY))
    assert encoding.shape == (6561, len(set(FAMILY.encoding_names())))
    assert encoding.min() == 0
    assert encoding.max() == 1
    _, by_encoding = np.unique(encoding, axis=0, return_inverse=True)
    _, by_form = np.unique(canonical(EVERY), axis=0, return_inverse=True)
    pairs = {*zip(by_encoding.tolist(), by_form.tolist(), strict=True)}
    assert len(pairs) == by_encoding.max() + 1 == by_form.max() + 1


def test_encodings_need_fewer_trained_networks_than_the_genes(published):
    """Kendall's tau with accuracy, from 100 networks."""
    codes, table = published
    order = np.random.default_rng(0).permutation(len(codes))
    train, test = order[:100], order[-2000:]
    accuracy = table["acc_mean"].to_numpy()
    taus = []
    for X in (FAMILY.encoding(SPACE.decode(codes), len(codes)), SPACE.features(codes)):
        model = ExtraTreesRegressor(100, random_state=0).fit(X[train], accuracy[train])
        taus.append(kendalltau(model.predict(X[test]), accuracy[test]).statistic)
    assert taus[0] > 0.8
    assert taus[0] > taus[1]


@pytest.mark.parametrize("options", [{"image": 12}, {"channels": 0}, {"classes": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(SpaceError, match=next(iter(options))):
        NASBenchMacro(**options)


@pytest.mark.parametrize("check", space_checks(), ids=str)
def test_conformance(check):
    check(SpaceSubject.of(NASBenchMacro(image=16, classes=3)))
