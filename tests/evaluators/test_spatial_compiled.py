"""The spatial core in torch, eager and compiled, equals the one in numpy."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from evaluators.spatial.costs import spatial_costs
from evaluators.spatial.mapping_choice import Conventions, Objective
from evaluators.spatial.rows import Arrays, Costs, Layers
from evaluators.spatial.stays import Stay
from evaluators.spatial.unrolled import RowStationary, Unrolling
from tests.evaluators.spatial_rows import arrays_of, layers_of

torch = pytest.importorskip("torch")
KC = Unrolling(("K", "C"))


def pairs(n: int) -> tuple[Layers, Arrays]:
    rng = np.random.default_rng(0)
    sizes = {"K": (1, 300), "C": (1, 300), "P": (1, 60), "Q": (1, 60), "R": (1, 7), "S": (1, 7)}
    columns = {name: rng.integers(low, high, n) for name, (low, high) in sizes.items()}
    g = layers_of(pd.DataFrame({**columns, "stride": rng.integers(1, 3, n)}))
    rooms = {
        f"{name}_bits": 2.0 ** rng.integers(12, 21, n) for name in ("ifmap", "filter", "ofmap")
    }
    some = arrays_of(rows=rng.integers(2, 40, n), columns=rng.integers(2, 40, n), **rooms)
    a = Arrays(*(np.broadcast_to(column, n).astype(np.float64) for column in some))
    return Layers(*(np.ascontiguousarray(column[:, 0]) for column in g)), a


def assert_equal(found: Costs, expected: Costs) -> None:
    for name in Costs._fields:
        values = np.asarray(getattr(found, name))
        np.testing.assert_allclose(values, getattr(expected, name), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("dataflow", [KC, RowStationary(), Unrolling(("P", "Q"))])
@pytest.mark.parametrize("objective", list(Objective))
def test_torch_is_numpy(dataflow, objective):
    g, a = pairs(500)
    options = {"how": Conventions(overlap=0.7), "objective": objective}
    expected = spatial_costs(np, g, a, dataflow, **options)
    assert 0 < expected.unfit.sum() < 500
    tensors = (type(part)(*map(torch.from_numpy, part)) for part in (g, a))
    assert_equal(spatial_costs(torch, *tensors, dataflow, **options), expected)


# torch's compiler warns of torch's own deprecations.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with a C++ compiler")
def test_compiled_is_numpy(monkeypatch):
    from evaluators.spatial import compiled as spatial_compiled

    monkeypatch.setattr(spatial_compiled, "BLOCK", 256)
    g, a = pairs(300)
    # One tiling and one operand that stays: all members together compile for a minute or two.
    options = {
        "how": Conventions(),
        "objective": Objective.EDP,
        "stays": (Stay.OUTPUTS_FOR_WEIGHTS,),
        "members": 1,
        "given": False,
    }
    expected = spatial_costs(np, g, a, KC, **options)
    assert_equal(spatial_compiled.compiled_costs(g, a, KC, **options), expected)
