"""The closed forms of the mapping family against explicit loop nests.

Where tiles divide the layer, every mapping of the family is a nest of three levels: registers,
scratchpads and DRAM. `evaluators.loop_nest_traffic` counts what nests move without knowing of any
family, and is itself tested against a walk through all iterations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import assume, given
from hypothesis import strategies as st

from evaluators.loop_nest import Level, LoopNest
from evaluators.loop_nest_traffic import Conventions as Counting
from evaluators.loop_nest_traffic import Halo, traffic
from evaluators.spatial.tilings import POLICIES, Tiling, tilings
from evaluators.spatial.unrolled import Unrolling, room_for
from hwnas.design.mappings import TILINGS
from tests.evaluators.spatial_rows import arrays_of, layers_of

ORDERS = {
    "weights": "KCNPQ",
    "inputs": "NPQCK",
    "outputs_of_filters": "KNPQC",
    "outputs_of_pixels": "NPQKC",
    "outputs_by_halves": "NPQKC",
    "outputs_by_eighths": "NPQKC",
    "weights_in_parts": "KCNPQ",
}
"""The DRAM loops of each tiling, outermost first."""
KC = Unrolling(("K", "C"))


def layer(shape: dict[str, int]) -> Any:
    return layers_of(pd.DataFrame([{**shape, "groups": 1}]))


def cut(shape: dict[str, int], t: Tiling) -> dict[str, int] | None:
    """The factors at DRAM, or None where the tiles do not divide the loops."""
    k, c, x = (int(np.ravel(value)[0]) for value in (t.k, t.c, t.x))
    steps = {"K": -(-shape["K"] // 4), "C": -(-shape["C"] // 4)}
    plane = shape["P"] * shape["Q"]
    images, rest = (x // plane, plane) if x >= plane else (1, x)
    lines, columns = (rest // shape["Q"], shape["Q"]) if rest >= shape["Q"] else (1, rest)
    tile = {"K": k, "C": c, "N": images, "P": lines, "Q": columns}
    whole = {**{d: shape[d] for d in "NPQ"}, **steps}
    if any(whole[d] % tile[d] for d in whole):
        return None
    return {d: whole[d] // tile[d] for d in whole}


SHAPES = st.fixed_dictionaries(
    {
        "N": st.sampled_from([1, 2]),
        "K": st.sampled_from([4, 8, 16, 32]),
        "C": st.sampled_from([4, 8, 16]),
        "P": st.sampled_from([2, 4, 6, 8]),
        "Q": st.sampled_from([2, 4, 8]),
        "R": st.sampled_from([1, 2, 3]),
        "S": st.sampled_from([1, 3]),
        "stride": st.sampled_from([1, 2]),
    }
)
ROOMS = st.sampled_from([64, 128, 256, 512, 1024, 4096])


def least(
    letter: str, shape: dict[str, int], outside: dict[str, int], order: str, room: int
) -> tuple[float, float]:
    """The least that an operand's scratchpad is filled and drained, elements.

    The scratchpad keeps what the innermost DRAM loops of some number touch, if that fits: every
    operand cuts the loops where it likes (uneven mapping). At least it keeps a tile.
    """
    inside = {d: shape[d] // outside[d] for d in "NPQ"} | {"R": shape["R"], "S": shape["S"]}
    inside |= {d: shape[d] // 4 // outside[d] for d in "KC"}
    place = "WIO".index(letter)
    found = []
    for cut_at in range(len(order) + 1):
        above, below = order[:cut_at], order[cut_at:]
        nest = LoopNest.of(
            [
                Level("", inside, {"K": 4, "C": 4}),
                Level(letter, {d: outside[d] for d in below}),
                Level(loops={d: outside[d] for d in above}),
            ],
            shape["stride"],
        )
        if nest.tiles[0, 1, place] <= room or cut_at == len(order):
            moved = traffic(nest, Counting(halo=Halo.NONE))
            found.append((moved.fills[0, 1, place], moved.drains[0, 1, place]))
    return min(found)


@given(SHAPES, ROOMS, ROOMS, ROOMS, st.sampled_from(list(POLICIES)))
def test_off_chip_traffic_is_that_of_the_nest(shape, ifmap, filters, ofmap, policy):
    # Between the lines of a kernel shorter than its stride lie lines that nobody fetches.
    assume(shape["stride"] <= min(shape["R"], shape["S"]))
    g = layer(shape)
    a = arrays_of(
        rows=4.0, columns=4.0, ifmap_bits=8.0 * ifmap, filter_bits=8.0 * filters,
        ofmap_bits=16.0 * ofmap,
    )  # fmt: skip
    room, _ = room_for(np, g, a, KC.lay_out(np, g, a))
    t = tilings(np, room, lines_kept=False)[TILINGS.index(policy)]
    assume(bool(np.ravel(t.fits)[0]))
    outside = cut(shape, t)
    assume(outside is not None)
    order = ORDERS[policy]
    weights = shape["K"] * shape["C"] * shape["R"] * shape["S"]
    outputs = shape["N"] * shape["K"] * shape["P"] * shape["Q"]
    filters_moved = float(np.ravel(t.filters)[0]) * weights
    inputs_moved = float(np.ravel(t.ifmap)[0]) * shape["N"] * shape["C"]
    passes = float(np.ravel(t.passes)[0])
    assert filters_moved == least("W", shape, outside, order, filters)[0]
    fewest, most = least("I", shape, outside, order, ifmap), least("I", shape, outside, order, 0)
    if outside["P"] == outside["Q"] == 1 or shape["R"] == shape["S"] == shape["stride"]:
        assert inputs_moved == fewest[0]
    else:
        # Lines under two tiles might stay where a whole line, plane or image fits, but is cut for
        # its sums; the family then fetches them again.
        assert fewest[0] <= inputs_moved <= most[0]
    filled, drained = least("O", shape, outside, order, ofmap)
    assert ((passes - 1) * outputs, passes * outputs) == (filled, drained)
