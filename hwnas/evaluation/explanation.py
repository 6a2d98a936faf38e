"""What an evaluator can say about where its metrics come from, as plain records at rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hwnas.arrays import Floats
from hwnas.errors import MeasurementError


@dataclass(frozen=True, eq=False)
class Roofline:
    """Layers under the two bounds of their accelerator.

    After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
    multicore architectures", CACM 2009; the operation is the multiply-accumulate.

    Attributes:
        peak: Multiply-accumulates per second that the accelerator can do at most.
        bandwidth: Bytes per second from and to DRAM.
        intensity: Multiply-accumulates per byte of DRAM traffic, per layer, ``(L,)``; 0 for layers
            without any.
        attained: Multiply-accumulates per second, per layer, ``(L,)``; 0 for layers without any.

    Raises:
        MeasurementError: A number is negative or not finite, peak or bandwidth is 0, or the
            columns differ in length.
    """

    peak: float
    bandwidth: float
    intensity: Floats
    attained: Floats

    def __post_init__(self) -> None:
        for name in ("peak", "bandwidth"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise MeasurementError(
                    f"a roofline cannot have {name} {value}", rule="finite, greater than 0"
                )
        _check_columns({"intensity": self.intensity, "attained": self.attained})

    @property
    def bound(self) -> Floats:
        """The most that each layer could attain, min(peak, intensity x bandwidth), ``(L,)``."""
        return np.minimum(self.peak, self.intensity * self.bandwidth)

    @property
    def ridge(self) -> float:
        """The intensity from which on the bandwidth suffices for the peak, MAC/B."""
        return self.peak / self.bandwidth


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where the metrics of one design come from. Everything is in the metrics' units, at rest.

    Attributes:
        parts: Metric to component to value. Those of ``energy`` and ``area`` add up to the metric;
            those of ``latency`` may overlap.
        layers: Column to one value per row of the design's layer table, ``(L,)``. Known are
            ``latency``, ``compute_time`` and ``dram_time`` (s), ``energy`` (J), ``utilization``
            (share of the processing elements at work while the layer is computed), ``macs``, and
            ``dram_bytes`` (B), ``power`` (average, W); others may be there.
        roofline: ``None`` where there is none.

    Raises:
        MeasurementError: A number is negative or not finite, or the columns differ in length.
    """

    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    layers: Mapping[str, Floats] = field(default_factory=dict)
    roofline: Roofline | None = None

    def __post_init__(self) -> None:
        for metric, components in self.parts.items():
            for component, value in components.items():
                if not (np.isfinite(value) and value >= 0):
                    raise MeasurementError(
                        f"the part {component!r} of {metric!r} is {value}",
                        rule="finite, not negative",
                    )
        columns = dict(self.layers)
        if self.roofline is not None:
            columns["roofline"] = self.roofline.intensity
        _check_columns(columns)

    @property
    def rows(self) -> int | None:
        """How many layers it speaks of; ``None`` where of none in particular."""
        columns = list(self.layers.values())
        if self.roofline is not None:
            columns.append(self.roofline.intensity)
        return len(columns[0]) if columns else None

    def beside(self, other: Explanation) -> Explanation:
        """Joins what two evaluators say of one design; where both speak, this one is heard.

        Raises:
            MeasurementError: They speak of different numbers of layers.
        """
        return Explanation(
            {**other.parts, **self.parts},
            {**other.layers, **self.layers},
            self.roofline or other.roofline,
        )


def _check_columns(columns: Mapping[str, Floats]) -> None:
    lengths = {name: np.shape(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        raise MeasurementError(
            "the columns of an explanation differ in length",
            rule="one value per layer, (L,)",
            given=", ".join(f"{name} {shape}" for name, shape in lengths.items()),
        )
    for name, column in columns.items():
        bad = np.flatnonzero(~(np.isfinite(column) & (np.asarray(column) >= 0)))
        if bad.size:
            raise MeasurementError(
                f"{name!r} is not finite, or negative, in some layers",
                where="layers " + ", ".join(map(str, bad[:10])),
                rule="finite, not negative",
            )
