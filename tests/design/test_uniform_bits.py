"""One pair of bit widths for the whole network."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.design import Designs, NASBench201, UniformBits
from hwnas.errors import SpaceError
from hwnas.testing import SpaceSubject, space_checks


def test_every_layer_has_the_bits_of_its_design():
    space = NASBench201(cells_per_stage=1).space() + UniformBits((2, 8), (4,)).space()
    genomes = np.array([[3] * 6 + [0, 0], [2] * 6 + [1, 0]])
    layers = Designs(space, genomes).layers
    assert np.array_equal(layers.weight_bits, np.where(layers.design == 0, 2, 8))
    assert set(layers.activation_bits.tolist()) == {4}


def test_its_genes():
    genes = {gene.name: gene.choices for gene in UniformBits().genes()}
    assert genes == {"quant.weight_bits": (2, 3, 4, 6, 8), "quant.activation_bits": (4, 6, 8)}


@pytest.mark.parametrize("option", ["weight_bits", "activation_bits"])
@pytest.mark.parametrize("values", [(), (1, 4), (33,)])
def test_impossible_bits_are_refused(option, values):
    with pytest.raises(SpaceError, match=f"uniform_bits cannot have {option}"):
        UniformBits(**{option: values})


def test_lists_are_accepted():
    assert UniformBits(weight_bits=[2, 4]) == UniformBits(weight_bits=(2, 4))


@pytest.mark.parametrize("check", space_checks(), ids=str)
def test_conformance(check):
    check(SpaceSubject.of(UniformBits()))
