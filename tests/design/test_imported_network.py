"""A layer table as a part of a space."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluators.systolic import Systolic
from hwnas.design import (
    BitsPerLayer,
    Designs,
    FixedNetwork,
    ImportedNetwork,
    LayerTable,
    Operator,
    SystolicArray,
)
from hwnas.design.rows import COLUMNS, Row, convolution, linear, table_of
from hwnas.errors import DesignError, SpaceError

TABLE = table_of([convolution(3, 8, 4, 3), Row(8, 8, operator=Operator.ADDER), linear(8, 2)])


def test_a_table_comes_back_as_it_was():
    table = FixedNetwork("mobilenet_v3_small").table
    again = ImportedNetwork.of(table, "mine").table
    for name in (*COLUMNS, "cell"):
        np.testing.assert_array_equal(getattr(again, name), getattr(table, name))


def test_it_is_its_own_options():
    network = ImportedNetwork.of(TABLE, "mine")
    again = ImportedNetwork(**json.loads(json.dumps(network.options())))
    assert again == network
    assert again.label == network.label


def test_the_gene_tells_other_layers_apart():
    wider = table_of([convolution(3, 16, 4, 3)])
    labels = {ImportedNetwork.of(table, "mine").label for table in (TABLE, wider)}
    assert len(labels) == 2
    assert all(label.startswith("mine-") for label in labels)


def test_bits_and_accelerators_are_searched_for_it():
    table = table_of([convolution(3, 8, 6, 3), linear(8, 10)])
    network = ImportedNetwork.of(table, "mine")
    space = network.space() + BitsPerLayer(layers=network.depth).space() + SystolicArray().space()
    designs = Designs(space, space.sample(20, np.random.default_rng(0)))
    assert len(set(designs.layers.weight_bits.tolist())) > 1
    found = Systolic().evaluate(designs)
    assert len(set(found["energy"][found.feasible].tolist())) > 5


def test_its_own_bits_count_without_a_policy():
    table = table_of([Row(3, 8, weight_bits=4, activation_bits=6)])
    space = ImportedNetwork.of(table, "mine").space()
    layers = Designs(space, space.rows()).layers
    assert (layers.weight_bits.tolist(), layers.activation_bits.tolist()) == ([4], [6])


GOOD = [*ImportedNetwork.of(TABLE, "mine").rows[0]]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([GOOD[:-1]], SpaceError, "layer 0 of an imported network has 11 values"),
        (
            [["deconvolution" if v == "convolution" else v for v in GOOD]],
            SpaceError,
            "deconvolution",
        ),
        ([[2.5 if v == 8 else v for v in GOOD]], SpaceError, "2.5"),
        ([GOOD, [-1 if v == 8 else v for v in GOOD]], DesignError, "layer '1' cannot have K = -1"),
        ([], DesignError, "no layer"),
    ],
)
def test_impossible_rows_are_refused(rows, error, message):
    with pytest.raises(error, match=message):
        ImportedNetwork("mine", rows)


@pytest.mark.parametrize("n", [0, 2])
def test_several_designs_are_not_one_network(n):
    table = LayerTable.of(n, np.arange(n), K=1, C=1)
    with pytest.raises(DesignError, match="not one network"):
        ImportedNetwork.of(table, "mine")
