"""The tree-structured Parzen estimator of Optuna.

Sources: Bergstra, Bardenet, Bengio, Kegl, "Algorithms for Hyper-Parameter Optimization", NeurIPS
2011; for several objectives Ozaki, Tanigaki, Watanabe, Nomura, Onishi, "Multiobjective
Tree-Structured Parzen Estimator", Journal of Artificial Intelligence Research 73, 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from optuna.samplers import BaseSampler, TPESampler

from hwnas.problem import Problem
from hwnas.searchers.options import at_least
from hwnas.searchers.optuna_sampler import OptunaSearcher, constraint_options


class TPE(OptunaSearcher):
    """Optuna's TPE, multivariate, with pending designs kept away from (constant liar).

    Where genes are conditional, groups of genes that occur together are drawn together. It learns
    from each design: larger batches cost quality. A design takes about 30 ms at 1,000 told.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        batch: How many designs are asked for at once.
        startup: How many designs are drawn at random first.
        candidates: How many candidates are compared per design.
        multivariate: Whether genes are drawn together, not each for itself.
    """

    name: ClassVar[str] = "tpe"

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        batch: int = 1,
        startup: int = 10,
        candidates: int = 24,
        multivariate: bool = True,
    ) -> None:
        at_least(0, self.name, startup=startup)
        at_least(1, self.name, candidates=candidates)
        self.startup = startup
        self.candidates = candidates
        self.multivariate = multivariate
        self._grouped = multivariate and any(gene.when for gene in problem.space.genes)
        super().__init__(problem, self._sampler, seed=seed, budget=budget, batch=batch)

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {
            "batch": self.batch,
            "startup": self.startup,
            "candidates": self.candidates,
            "multivariate": self.multivariate,
        }

    def _sampler(self, seed: int) -> BaseSampler:
        return TPESampler(
            seed=seed,
            n_startup_trials=self.startup,
            n_ei_candidates=self.candidates,
            multivariate=self.multivariate,
            group=self._grouped,
            constant_liar=True,
            **constraint_options(),
        )
