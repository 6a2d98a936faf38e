"""Rows refuse what cannot be; tables number the layers with weights."""

from __future__ import annotations

import pytest

from hwnas.design import Operator
from hwnas.design.rows import Row, attention, convolution, linear, pooling, table_of
from hwnas.errors import DesignError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({name: 0}, f"{name} = 0") for name in "NCKPQRS"),
        ({"stride": -1}, "stride = -1"),
        ({"groups": 0}, "groups = 0"),
        ({"groups": 3}, "C = 4"),
        ({"C": 3, "groups": 3}, "K = 8"),
        ({"weight_bits": 33}, "weight_bits = 33"),
        ({"activation_bits": 0}, "activation_bits = 0"),
        ({"R": 3, "operator": Operator.LINEAR}, "R = 3"),
        ({"stride": 2, "operator": Operator.MATMUL}, "stride = 2"),
        ({"operator": Operator.POOL}, "K = 8"),
    ],
)
def test_impossible_rows_are_refused_by_name(changes, message):
    usual = {"C": 4, "K": 8}
    assert Row(**usual).name == ""
    with pytest.raises(DesignError, match=f"layer 'stem' cannot have {message}"):
        Row(**{**usual, **changes}, name="stem")


def test_cells_number_the_layers_with_weights():
    rows = [
        pooling(3, 4, 2, 2), convolution(3, 8, 4), pooling(8, 2, 2, 2), linear(8, 8, 4),
        *attention(2, 4, 4, 4), Row(8, 8, operator=Operator.SHIFT),
    ]  # fmt: skip
    assert table_of(rows).cell.tolist() == [0, 1, 1, 2, 2, 2, 2, 3]


def test_no_rows_are_no_network():
    with pytest.raises(DesignError, match="has no layer"):
        table_of([])
