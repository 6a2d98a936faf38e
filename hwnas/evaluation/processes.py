"""Wrappers that move evaluations into other processes: side by side, or on a leash.

Training on small inputs gains nothing from a second thread, and ran up to 31 times slower with it
when the cores were shared. So every worker computes with one thread, and parallelism comes from
processes.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import cloudpickle
import numpy as np
from threadpoolctl import threadpool_limits

from hwnas.design.designs import Designs
from hwnas.errors import HwnasError, MeasurementError
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.interface import Chunk, Evaluator, describe
from hwnas.evaluation.safety import kept_from_measuring, safely
from hwnas.evaluation.wrappers import Transparent
from hwnas.metrics import Measurements, Reason
from hwnas.space import Space

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def one_thread() -> None:
    """Tells numerical libraries that are loaded later to compute with one thread."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = "1"


class Parallel(Transparent):
    """Measures the designs of a batch side by side with joblib.

    Grids (`Evaluator.against`) are measured here, as they cost less than their cells.
    The backend is joblib's current one: processes on this machine (loky) unless the caller says
    otherwise, e.g. ``with joblib.parallel_config("dask"):``.

    Args:
        inner: The evaluator that is wrapped.
        workers: How many designs are measured at once.
    """

    def __init__(self, inner: Evaluator, workers: int) -> None:
        super().__init__(inner)
        self.workers = workers

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Hands out rows as they are finished; see `Evaluator.stream`."""
        import joblib

        failure = kept_from_measuring(self.inner, designs, fidelity)
        if failure is not None:
            yield np.arange(len(designs)), failure
            return
        pool = joblib.Parallel(n_jobs=self.workers, return_as="generator_unordered")
        tasks = (
            joblib.delayed(_measure_row)(self.inner, designs[i : i + 1], fidelity, i)
            for i in range(len(designs))
        )
        for i, measured in pool(tasks):
            yield np.array([i]), measured


def _measure_row(
    evaluator: Evaluator, design: Designs, fidelity: float, row: int
) -> tuple[int, Measurements]:
    one_thread()
    with threadpool_limits(1):
        return row, evaluator.evaluate(design, fidelity)


class Timeout(Transparent):
    """Measures each design in another process, which is killed when it takes too long.

    An evaluator that hangs, dies or exhausts the memory costs one failed row, not the study.
    Processes are kept for further designs until `close`.

    Args:
        inner: The evaluator that is wrapped.
        seconds: How long one design may take, s.
        workers: How many designs are measured at once, each in a process.
    """

    def __init__(self, inner: Evaluator, seconds: float, workers: int = 1) -> None:
        super().__init__(inner)
        self.seconds = seconds
        self.workers = workers
        self._pool: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}

    def against(
        self, space: Space, inner: Designs, names: frozenset[str]
    ) -> Callable[[Designs], Grid] | None:
        """``None``: a way of the evaluator's own to measure grids would not be on the leash."""
        del space, inner, names
        return None

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Hands out rows as they are finished; see `Evaluator.stream`."""
        if not len(designs):
            return
        failure = kept_from_measuring(self.inner, designs, fidelity)
        if failure is not None:
            yield np.arange(len(designs)), failure
            return
        if self._pool is None:
            self._pool = self._start()
        # Cloudpickle carries evaluators that are defined in a notebook or a script.
        evaluator = cloudpickle.dumps(self.inner)
        row_of = {
            self._pool.schedule(
                _measure_pickled,
                args=(evaluator, cloudpickle.dumps(designs[i : i + 1]), fidelity),
                timeout=self.seconds,
            ): i
            for i in range(len(designs))
        }
        try:
            for future in as_completed(row_of):
                yield np.array([row_of[future]]), self._answer(future)
        finally:
            if not all(future.done() for future in row_of):
                self.close()

    def _start(self) -> Any:
        from pebble import ProcessPool

        # A fresh interpreter: forking one that holds threads and locks may hang.
        context = multiprocessing.get_context("spawn")
        return ProcessPool(max_workers=self.workers, context=context, initializer=one_thread)

    def _answer(self, future: Future[Measurements]) -> Measurements:
        from pebble import ProcessExpired

        try:
            return future.result()
        except FutureTimeout:
            return self._nothing(Reason.TIMED_OUT, f"took longer than {self.seconds:g} s")
        except ProcessExpired as error:
            return self._nothing(Reason.CRASHED, f"the process died with code {error.exitcode}")
        except MeasurementError as error:
            return self._nothing(Reason.BROKEN, describe(error))
        except HwnasError:
            raise  # a mistake of the person, which no row can answer
        except Exception as error:  # whatever the evaluator raised over there
            return self._nothing(Reason.RAISED, describe(error))

    def _nothing(self, reason: Reason, note: str) -> Measurements:
        return Measurements.nothing(self.metrics, 1, reason, note)

    def close(self) -> None:
        """Ends the processes; the next batch starts new ones."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None
        super().close()


def _measure_pickled(evaluator: bytes, design: bytes, fidelity: float) -> Measurements:
    # The bytes come from the parent process through a pipe, never from a disk.
    with threadpool_limits(1):
        # What it raises becomes a row there: a TimeoutError of its own is not ours.
        return safely(cloudpickle.loads(evaluator), cloudpickle.loads(design), fidelity)
