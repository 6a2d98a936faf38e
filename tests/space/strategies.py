"""Random conditional spaces, and genomes of theirs."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hwnas.arrays import Ints
from hwnas.space import Gene, Space, When

PARTS = ("net", "quant", "hw")


@st.composite
def choices(draw: st.DrawFn, most: int = 4) -> tuple[object, ...]:
    """Numbers, strings or truth values, all different."""
    kind = draw(st.sampled_from(("int", "float", "str", "bool")))
    if kind == "bool":
        return draw(st.sampled_from(((True,), (False, True), (True, False))))
    values = {
        "int": st.integers(-8, 64),
        "float": st.floats(-1e6, 1e6, allow_subnormal=False),
        "str": st.text("abcdef", min_size=1, max_size=3),
    }[kind]
    return tuple(draw(st.lists(values, min_size=1, max_size=most, unique=True)))


@st.composite
def conditions(draw: st.DrawFn, parents: list[Gene]) -> tuple[When, ...]:
    """Conditions on genes that are there already, so that no circle arises."""
    if not parents or draw(st.booleans()):
        return ()
    chosen = draw(st.lists(st.sampled_from(parents), min_size=1, max_size=2, unique=True))
    return tuple(draw(condition(parent)) for parent in chosen)


@st.composite
def condition(draw: st.DrawFn, parent: Gene) -> When:
    """A condition on one gene; it may be met always or never."""
    if not isinstance(parent.choices[0], str) and draw(st.booleans()):
        bound = draw(st.sampled_from(parent.choices))
        return When(parent.name, at_least=float(bound) + draw(st.sampled_from((0.0, 0.5))))
    size = draw(st.integers(1, len(parent.choices)))
    return When(parent.name, one_of=tuple(draw(st.permutations(parent.choices))[:size]))


@st.composite
def spaces(draw: st.DrawFn, most_genes: int = 6, most_choices: int = 4) -> Space:
    """Spaces of up to some thousand genomes; genes come in any order, conditions form chains."""
    genes: list[Gene] = []
    for j in range(draw(st.integers(1, most_genes))):
        name = f"{draw(st.sampled_from(PARTS))}.g{j}"
        when = draw(conditions(genes))
        genes.append(Gene(name, draw(choices(most_choices)), draw(st.booleans()), when))
    return Space(tuple(draw(st.permutations(genes))))


@st.composite
def spaces_with_genomes(draw: st.DrawFn, n: int = 8) -> tuple[Space, Ints]:
    """A space and raw genomes, in which sleeping genes have any value."""
    space = draw(spaces())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return space, rng.integers(0, space.cardinalities, size=(n, len(space)))
