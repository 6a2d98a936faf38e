"""Examples from tables: text as numbers, columns by pattern, what is refused and what left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hwnas.errors import ProblemError
from hwnas.prediction.examples import Encoding, Examples, Table, read_table

FRAME = pd.DataFrame(
    {
        "name": [f"net{i}" for i in range(60)],
        "depth": np.arange(60) % 7,
        "kind": [["conv", "pool", "skip"][i % 3] for i in range(60)],
        "wide": [i % 2 == 0 for i in range(60)],
        "macs": np.linspace(1.5, 9.0, 60),
        "accuracy": np.linspace(80, 90, 60),
    }
)


@pytest.fixture(params=[".csv", ".parquet"])
def file(tmp_path, request):
    path = tmp_path / f"table{request.param}"
    if request.param == ".csv":
        FRAME.to_csv(path, index=False)
    else:
        FRAME.to_parquet(path)
    return path


def table(**columns):
    plain = {n: np.array(v, dtype=float if not isinstance(v[0], str) else str)
             for n, v in columns.items()}  # fmt: skip
    return Table("t", plain)


def test_text_becomes_one_column_per_kind_as_pandas_has_it(file):
    found = Examples.of(read_table(file), "accuracy")
    expected = pd.get_dummies(FRAME[["depth", "kind", "wide", "macs"]], columns=["kind"])
    expected = expected[["depth", "kind_conv", "kind_pool", "kind_skip", "wide", "macs"]]
    assert found.encoding.names == ("depth", "kind=conv", "kind=pool", "kind=skip", "wide", "macs")
    np.testing.assert_array_equal(found.X, expected.to_numpy(dtype=float))
    np.testing.assert_array_equal(found.y, FRAME["accuracy"])
    assert found.encoding.passed_over == {"name": "60 different texts"}
    assert found.left_out == {}


def test_columns_by_pattern_in_the_order_named(file):
    read = read_table(file)
    names = Encoding.of(read, "accuracy", ["macs", "*d*", "acc*"]).names
    assert names == ("macs", "depth", "kind=conv", "kind=pool", "kind=skip", "wide")
    with pytest.raises(ProblemError, match="did you mean 'depth'"):
        Encoding.of(read, "accuracy", ["dephts"])
    with pytest.raises(ProblemError, match="at most 50 kinds"):
        Encoding.of(read, "accuracy", ["name"])
    with pytest.raises(ProblemError, match="there is no feature"):
        Encoding.of(read, "accuracy", ["accuracy"])


def test_words_of_a_table_stand_for_columns():
    t = Table(
        "run", {n: np.arange(3.0) for n in "abcd"}, {"parts": ("a", "b"), "metrics": ()}, ("a",)
    )
    assert Encoding.of(t, "d").names == ("a",)
    assert Encoding.of(t, "d", ["parts", "c"]).names == ("a", "b", "c")
    with pytest.raises(ProblemError, match="parts or metrics"):
        Encoding.of(t, "d", ["e"])


def test_rows_with_gaps_are_left_out_and_counted(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,k,y\n1,a,5\n2,,6\n,a,7\n4,b,\n5,b,9\n,,\n")
    found = Examples.of(read_table(path), "y")
    assert found.rows.tolist() == [0, 4]
    assert found.left_out == {"without y": 2, "without a feature": 2}
    np.testing.assert_array_equal(found.X, [[1, 1, 0], [5, 0, 1]])


def test_a_text_that_no_example_had_is_nothing_known():
    seen = Encoding.of(table(k=["a", "b", "a"], y=[1, 2, 3]), "y")
    found = seen.matrix(table(k=["b", "c", ""]))
    np.testing.assert_array_equal(found, [[0, 1], [np.nan, np.nan], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("columns", "predicts", "message"),
    [
        ({"x": [1, 2], "y": [1, 2]}, "z", "there is no column 'z'"),
        ({"x": [1, 2], "accuracy": [1, 2]}, "acuracy", "did you mean 'accuracy'"),
        ({"x": [1, 2], "y": ["1", "bad"]}, "y", "t, row 2"),
        ({"x": [1, 2, 3], "y": [4, 4, 4]}, "y", "targets that differ"),
        ({"x": [1, np.nan, 3], "y": [4, 5, np.nan]}, "y", "1 of 3 rows"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(columns, predicts, message):
    with pytest.raises(ProblemError, match=message):
        Examples.of(table(**columns), predicts)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ProblemError, match="there is no table"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "t.xlsx").write_text("")
    with pytest.raises(ProblemError, match="a suffix of"):
        read_table(tmp_path / "t.xlsx")
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(ProblemError, match="cannot be read"):
        read_table(tmp_path / "t.csv")
