"""How networks are quantised: the choices of a study, and what they are made of.

Rounding itself is torch's where that is public and fast (``torch.fake_quantize_*``). Its observers
and learnable quantisers are not used: ``torch.ao.quantization`` is deprecated, and the operation of
the latter private. torchao, which follows it, trains linear and embedding layers only, to integers
of one of torch's types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Literal

import numpy as np

from evaluators.quantization.calibration import WaitingActivations, WaitingWeights
from evaluators.quantization.interface import (
    ActivationRounding,
    ObservedActivations,
    WeightRounding,
)
from evaluators.quantization.learned import LearnedActivations, LearnedWeights
from evaluators.quantization.ranges import LargestWeights, PercentileActivations
from evaluators.quantization.rounding import RoundedActivations, RoundedWeights
from hwnas.design.designs import Designs
from hwnas.errors import DesignError, HwnasError, ProblemError, nearest
from hwnas.space import Space

LEAST_BITS: Final = 2

_Shape = tuple[int, ...]
_WEIGHTS: Final[Mapping[str, Callable[[int, _Shape], WeightRounding]]] = {
    "statistics": RoundedWeights,
    "max": LargestWeights,
    "learned": LearnedWeights,
}
_ACTIVATIONS: Final[Mapping[str, Callable[[int, bool, float], ActivationRounding]]] = {
    "statistics": lambda bits, signed, _: RoundedActivations(bits, signed=signed),
    "percentile": lambda bits, signed, percentile: PercentileActivations(
        bits, signed=signed, percentile=percentile
    ),
    "learned": lambda bits, signed, _: LearnedActivations(bits, signed=signed),
}
_MODES: Final = ("qat", "ptq")


@dataclass(frozen=True)
class Quantization:
    """How networks are quantised, at whatever bits their designs say.

    Attributes:
        weights: What the steps of weights follow from, channel by channel: ``statistics`` (least
            squared error for their mean square), ``max`` (the largest weight) or ``learned``.
        activations: What the step of each activation tensor follows from: ``statistics``,
            ``percentile`` (of the sizes in a batch) or ``learned``.
        mode: ``qat`` rounds from the first step of training on, with straight-through gradients;
            ``ptq`` trains in floating point and rounds afterwards.
        calibration_images: Training images, distorted as in training, that ``ptq`` sets the steps
            of activations with.
        percentile: For ``percentile``; 100 is the largest activation.

    Raises:
        ProblemError: A number is out of range, a name unknown, or steps were to be learned after
            training.
    """

    weights: Literal["statistics", "max", "learned"] = "statistics"
    activations: Literal["statistics", "percentile", "learned"] = "statistics"
    mode: Literal["qat", "ptq"] = "qat"
    calibration_images: int = 256
    percentile: float = 99.9

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name, known in (
            ("weights", _WEIGHTS), ("activations", _ACTIVATIONS), ("mode", _MODES),
        ):  # fmt: skip
            given = getattr(self, name)
            if given not in known:
                raise _error(name, given, rule=", ".join(known), cure=nearest(given, known))
        if self.mode == "ptq" and "learned" in (self.weights, self.activations):
            raise _error(
                "mode", "ptq with learned steps",
                rule="steps are learned while the network is trained with them",
                cure="mode: qat, or other steps, e.g. activations: percentile",
            )  # fmt: skip
        if self.calibration_images < 1:
            raise _error("calibration_images", self.calibration_images, rule="at least 1")
        if not (math.isfinite(self.percentile) and 0 < self.percentile <= 100):
            raise _error("percentile", self.percentile, rule="above 0, at most 100")

    @property
    def label(self) -> str:
        """What a version says of it: nothing but what is not as usual."""
        usual = Quantization()
        told = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(usual, field.name)
        ]
        return " ".join(told)

    @property
    def waits(self) -> bool:
        """Whether networks are rounded after training only."""
        return self.mode == "ptq"

    def rounded_weights(self, bits: int, shape: tuple[int, ...]) -> WeightRounding:
        """A quantiser of weights.

        Args:
            bits: At least 2.
            shape: Shape of the weights, output channels first.
        """
        rounding = _WEIGHTS[self.weights](bits, shape)
        return WaitingWeights(rounding) if self.waits else rounding

    def rounded_activations(self, bits: int, *, signed: bool) -> ActivationRounding:
        """A quantiser of activations.

        Args:
            bits: At least 2.
            signed: Whether they may be negative.
        """
        rounding = _ACTIVATIONS[self.activations](bits, signed, self.percentile)
        if self.waits and isinstance(rounding, ObservedActivations):
            return WaitingActivations(rounding)
        return rounding

    def check_bits(self, layer: str, weight_bits: int, activation_bits: int) -> None:
        """Refuses bits that it cannot do.

        Raises:
            DesignError: They are below 2.
        """
        if min(weight_bits, activation_bits) < LEAST_BITS:
            raise DesignError(
                f"layer {layer!r} cannot be rounded to so few bits",
                rule="at least 2 bits: a symmetric grid with 1 bit has no level but 0",
                given=f"{weight_bits} weight bits, {activation_bits} activation bits",
            )

    def check_space(self, space: Space) -> None:
        """Refuses a space that offers bits which it cannot do, before anything is trained.

        Every choice of every quantization gene is looked at, in the first network of the space
        and in the one of all last choices.

        Raises:
            ProblemError: There are layers with less than 2 bits.
        """
        columns = space.columns_of(*space.read_by(frozenset({"quant"}))).tolist()
        choices = space.cardinalities
        rounds = max((int(choices[column]) for column in columns), default=1)
        for network in (np.zeros_like(choices), choices - 1):
            rows = np.tile(network, (rounds, 1))
            for column in columns:
                rows[:, column] = np.minimum(np.arange(rounds), choices[column] - 1)
            try:
                layers = Designs(space, rows).layers
            except HwnasError:
                continue  # designs that cannot be read say so themselves, when they are measured
            for kind, bits in (
                ("weight", layers.weight_bits), ("activation", layers.activation_bits),
            ):  # fmt: skip
                if len(bits) and bits.min() < LEAST_BITS:
                    raise ProblemError(
                        f"the quantization policy offers {bits.min()} {kind} bits, which training "
                        "cannot round to",
                        where="space, part quant",
                        rule="at least 2 bits: a symmetric grid with 1 bit has no level but 0",
                        given=f"{bits.min()}",
                        cure=f"leave it out of {kind}_bits",
                    )


def _error(option: str, given: Any, *, rule: str, cure: str = "") -> ProblemError:
    return ProblemError(
        f"networks cannot be quantised with {option} = {given}",
        where=f"option quantization, {option}",
        rule=rule,
        given=str(given),
        cure=cure,
    )
