"""The size of deep, tied spaces, against a closed form."""

from __future__ import annotations

import pytest

from hwnas import Gene, Space, When


@pytest.mark.parametrize("n", [1, 3, 8, 30])
def test_a_chain_of_optional_layers_is_counted_quickly(n):
    """Depth 1 to n; per layer conv or dw with three kernels, or skip: the sum of 7^k."""
    genes = [Gene("net.depth", tuple(range(1, n + 1)))]
    for i in range(1, n + 1):
        exists = (When("net.depth", at_least=i),)
        has_kernel = (When(f"net.op{i}", one_of=("conv", "dw")),)
        genes.append(Gene(f"net.op{i}", ("conv", "dw", "skip"), ordered=False, when=exists))
        genes.append(Gene(f"net.kernel{i}", (3, 5, 7), when=has_kernel))
    assert Space(tuple(genes)).size() == sum(7**k for k in range(1, n + 1))
