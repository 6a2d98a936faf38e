"""Searching with a predictor in place of the costly metric, as FLASH does.

Three studies in one storage: a few random designs are measured; the predictor is fitted on them and
searched with, which is free; some designs of the predicted front are measured at last.

Source: Li, Mandal, Ogras, Marculescu, "FLASH: Fast Neural Architecture Search with Hardware
Optimization", ACM TECS 2021 (an accuracy predictor from as few as 25 trained networks).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hwnas import plugins
from hwnas.arrays import Ints
from hwnas.errors import NothingFeasibleError
from hwnas.evaluation.interface import Evaluator
from hwnas.problem import Problem
from hwnas.progress import Status
from hwnas.searchers.listed import Listed
from hwnas.study import Study
from hwnas.studyfile import Plan
from hwnas.studyfile.options import option_model
from hwnas.studyfile.predicted import check_features, predicted_evaluator


@dataclass(frozen=True)
class Verified:
    """One design of the predicted front that was measured.

    Attributes:
        number: Its number in the search.
        predicted: What was predicted.
        measured: What was measured; NaN where that failed.
    """

    number: int
    predicted: float
    measured: float


@dataclass(frozen=True)
class Verdict:
    """How good the prediction was where it mattered.

    Attributes:
        metric: The metric that was predicted.
        unit: Its unit.
        samples: Designs that the predictor was fitted on.
        rank: Spearman's rank correlation between predicted and measured on those samples; NaN
            where one of them does not vary.
        designs: Predicted against measured.
    """

    metric: str
    unit: str
    samples: int
    rank: float
    designs: tuple[Verified, ...]

    @property
    def mean_error(self) -> float:
        """The mean absolute difference between predicted and measured; NaN if none was."""
        differences = [abs(d.predicted - d.measured) for d in self.designs]
        finite = [d for d in differences if np.isfinite(d)]
        return float(np.mean(finite)) if finite else float("nan")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "mean_error": self.mean_error}


class SurrogateSearch:
    """A search with a predictor.

    Args:
        plan: The study file, with a ``surrogate`` section.
        storage: A journal file's path or an Optuna storage URL; all three studies live there.

    Raises:
        ProblemError: The section does not fit the study.
    """

    def __init__(self, plan: Plan, storage: str | Path) -> None:
        assert plan.model.surrogate is not None
        self.plan = plan
        self.spec = plan.model.surrogate
        self.storage = storage
        self.predicted = predicted_evaluator(self.spec, plan.problem)
        check_features(self.spec, plan.problem)
        self.samples = self._study(
            plan.problem, "random", f"{plan.model.name}-samples", self.spec.samples, {}
        )

    def _study(
        self, problem: Problem, searcher: Any, name: str, budget: int, options: dict[str, Any]
    ) -> Study:
        model = self.plan.model
        return Study(
            problem,
            searcher,
            budget=budget,
            seed=model.seed,
            options=options,
            name=name,
            storage=self.storage,
            reference=self.plan.reference,
            workers=model.workers,
            timeout=model.timeout,
        )

    @cached_property
    def study(self) -> Study:
        """The search with the predictor, whose front is the predicted one.

        Raises:
            NothingFeasibleError: The samples are not measured yet.
        """
        if self.samples.status is Status.READY:
            raise NothingFeasibleError(
                f"{len(self.samples.history)} of {self.spec.samples} samples are measured so far",
                rule="the predictor is fitted when all are",
                cure="go on with: hwnas resume DIR",
            )
        model = self.plan.model
        plain = [e for e in self.plan.problem.evaluators if e is not self.predicted]
        problem = Problem(
            self.plan.problem.space,
            [self._fitted(), *plain],
            self.plan.problem.objectives,
            self.plan.problem.constraints,
        )
        return self._study(
            problem,
            self.plan.searcher,
            model.name,
            self.plan.budget.evaluations,
            self.plan.searcher_options,
        )

    def _fitted(self) -> Evaluator:
        from hwnas.prediction import fit_metric

        chosen = self.spec.predictor
        options = option_model("hwnas.predictors", chosen.use).model_validate(chosen.options)
        predictor = plugins.load("hwnas.predictors", chosen.use)(
            **{name: getattr(options, name) for name in type(options).model_fields}
        )
        rows = self.samples.history.rows
        evaluator: Evaluator = fit_metric(
            predictor,
            self._features(),
            self.plan.problem.designs(rows.genomes, self.plan.model.seed),
            rows.measurements,
            self.spec.predicts,
        )
        return evaluator

    def _features(self) -> Any:
        from hwnas.prediction import MetricFeatures, SpaceFeatures

        parts = [f.removesuffix(".*") for f in self.spec.features if f.endswith(".*")]
        metrics = [f for f in self.spec.features if not f.endswith(".*")]
        if not parts:
            return MetricFeatures(self.plan.problem.free_evaluators, metrics)
        genes = SpaceFeatures(*parts)
        if not metrics:
            return genes
        return genes + MetricFeatures(self.plan.problem.free_evaluators, metrics)

    def chosen(self) -> Ints:
        """The designs of the predicted front that are measured at last, as rows, best first.

        Spread evenly over the predicted metric, and no two that the costly evaluator cannot tell
        apart.
        """
        designs = self.study.front().designs
        numbers = np.array([d.number for d in designs], dtype=np.int64)
        predicted = np.array([d.metrics[self.spec.predicts] for d in designs])
        genomes = self.study.history.rows.genomes[numbers]
        space = self.plan.problem.space
        reads = space.columns_of(*space.read_by(self.predicted.reads))
        projected = space.canonical(genomes)[:, reads]
        order = np.argsort(predicted, kind="stable")
        _, first = np.unique(projected[order], axis=0, return_index=True)
        different = order[np.sort(first)]
        count = min(self.spec.verify, len(different))
        places = np.linspace(0, len(different) - 1, count).round().astype(np.int64)
        chosen: Ints = numbers[different[places]]
        return chosen

    @cached_property
    def verification(self) -> Study:
        """The study that measures the chosen designs."""
        genomes = self.study.history.rows.genomes[self.chosen()]
        return self._study(
            self.plan.problem,
            Listed,
            f"{self.plan.model.name}-verified",
            max(1, len(genomes)),
            {"genomes": self.plan.problem.space.canonical(genomes).tolist()},
        )

    def phases(self) -> Iterator[tuple[str, Study]]:
        """The studies in order; run each before asking for the next."""
        yield f"measuring {self.spec.samples} samples", self.samples
        yield f"searching with {self.spec.predictor.use}", self.study
        if self.spec.verify:
            yield f"measuring {self.spec.verify} of the front", self.verification

    def verdict(self) -> Verdict:
        """Predicted against measured, for the designs that were measured at last."""
        name = self.spec.predicts
        predicted = self.study.history.rows.measurements[name]
        history = self.verification.history
        measured = history.rows.measurements[name]
        genomes = self.study.history.rows.genomes
        designs = []
        for number in self.chosen():
            row = int(history.row_of(genomes[number][None, :])[0])
            found = float(measured[row]) if row >= 0 else float("nan")
            designs.append(Verified(int(number), float(predicted[number]), found))
        unit = self.plan.problem.metrics[name].unit
        fitted = int(self.samples.history.evaluations)
        return Verdict(name, unit, fitted, self._rank_on_samples(), tuple(designs))

    def _rank_on_samples(self) -> float:
        from scipy.stats import spearmanr

        name = self.spec.predicts
        rows = self.samples.history.rows
        usable = np.flatnonzero(rows.measurements.feasible)
        designs = self.plan.problem.designs(rows.genomes[usable], self.plan.model.seed)
        evaluator = next(
            e for e in self.study.problem.evaluators if any(m.name == name for m in e.metrics)
        )
        predicted = evaluator.evaluate(designs)[name]
        measured = rows.measurements[name][usable]
        if not (np.ptp(predicted) > 0 and np.ptp(measured) > 0):
            return float("nan")
        return float(spearmanr(predicted, measured).statistic)
