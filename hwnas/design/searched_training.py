"""How networks are trained, and on which images, as genes: resolution, slimming, precision.

Data slimming follows DANCE: training images that are easy are left out or shown at half their
height and width, with a weight of their own in the loss. Precision that changes along the training
follows CPT (cycles) and FracTrain (stages).

Sources: Li et al., "DANCE: DAta-Network Co-optimization for Efficient Segmentation Model Training
and Inference", arXiv 2107.07706; Fu et al., "CPT: Efficient Deep Neural Network Training via Cyclic
Precision", ICLR 2021; Fu et al., "FracTrain: Fractionally Squeezing Bit Savings Both Temporally and
Spatially for Efficient DNN Training", NeurIPS 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Final, TypeVar

import numpy as np

from hwnas.arrays import Columns, Ints, Values
from hwnas.design.bit_widths import LEAST_BITS, MOST_BITS
from hwnas.design.parts import NetworkFamily, TrainingPolicy
from hwnas.errors import SpaceError, nearest
from hwnas.space import Gene, Space, When

CONSTANT: Final = "constant"
CYCLIC: Final = "cyclic"
PROGRESSIVE: Final = "progressive"
DROP: Final = "drop"
DOWNSAMPLE: Final = "downsample"
SCHEDULES: Final = (CONSTANT, CYCLIC, PROGRESSIVE)
EASY: Final = (DROP, DOWNSAMPLE)

_Answer = TypeVar("_Answer")


def halved(image: Ints) -> Ints:
    """Height and width of images at half resolution, rounded up."""
    return -(-image // 2)


@dataclass(frozen=True)
class SearchedTraining(TrainingPolicy):
    """Image size, data slimming, batch size and precision along the training.

    Every option is a list of choices, and what has none is not searched. At least one of
    ``resolution``, ``keep``, ``batch_size`` and ``schedule`` is needed.

    Attributes:
        resolution: Heights and widths of the images, in training and afterwards, pixels. The
            network family is asked at that size, so every cost follows.
        keep: Shares of the training images that are kept as they are, the hardest ones of every
            class, above 0 and up to 1.
        easy: What is done with the others: ``drop`` (they are left out) or ``downsample`` (they
            are shown at half the height and width).
        easy_weight: Weights of down-sampled images in the loss, 1 for that of the others.
        batch_size: Images per step.
        schedule: Of ``constant``, ``cyclic`` and ``progressive``. Bits of weights and activations
            in training are those of the quantization policy, but at most those of the schedule.
        lower_bits: Bits in which a cycle begins.
        upper_bits: Bits in which a cycle ends, all above those of ``lower_bits``.
        cycles: Numbers of cycles.
        stages: Bits of the stages of a progressive schedule, ascending, each stage as long as the
            others.

    Raises:
        SpaceError: Nothing is searched, or a choice is impossible.
    """

    resolution: tuple[int, ...] = ()
    keep: tuple[float, ...] = ()
    easy: tuple[str, ...] = (DROP,)
    easy_weight: tuple[float, ...] = (1.0,)
    batch_size: tuple[int, ...] = ()
    schedule: tuple[str, ...] = ()
    lower_bits: tuple[int, ...] = (3,)
    upper_bits: tuple[int, ...] = (8,)
    cycles: tuple[int, ...] = (4,)
    stages: tuple[tuple[int, ...], ...] = ((3, 4, 6, 8),)

    name: ClassVar[str] = "searched_training"

    def __post_init__(self) -> None:
        for option in vars(self):
            object.__setattr__(self, option, tuple(getattr(self, option)))
        object.__setattr__(self, "stages", tuple(tuple(bits) for bits in self.stages))
        if not (self.resolution or self.keep or self.batch_size or self.schedule):
            raise SpaceError(
                f"{self.name} searches nothing",
                rule="choices of resolution, keep, batch_size or schedule",
                cure=f"{self.name}(schedule=['constant', 'cyclic'])",
            )
        self._check_numbers()
        self._check_names("easy", EASY)
        self._check_names("schedule", SCHEDULES)
        if max(self.lower_bits) >= min(self.upper_bits):
            raise self._error("lower_bits", f"less than every choice of upper_bits: "
                              f"{min(self.upper_bits)}")  # fmt: skip
        for bits in self.stages:
            rising = all(a < b for a, b in pairwise(bits))
            if not (bits and rising and bits[0] >= LEAST_BITS and bits[-1] <= MOST_BITS):
                raise self._error(
                    "stages", f"lists of ascending bits, each {LEAST_BITS} to {MOST_BITS}"
                )

    def _check_numbers(self) -> None:
        """Refuses numbers out of range, and options that need a choice and have none."""
        bounds = {
            "resolution": (1, float("inf")),
            "keep": (0, 1),
            "easy_weight": (0, float("inf")),
            "batch_size": (2, float("inf")),
            "lower_bits": (LEAST_BITS, MOST_BITS),
            "upper_bits": (LEAST_BITS, MOST_BITS),
            "cycles": (1, float("inf")),
        }
        for option, (least, most) in bounds.items():
            values = getattr(self, option)
            if not all(least <= value <= most for value in values):
                raise self._error(option, f"each {least} to {most}".replace(" to inf", " or more"))
        if 0 in self.keep:
            raise self._error("keep", "each above 0 and up to 1")
        for option in ("easy", "easy_weight", "lower_bits", "upper_bits", "cycles", "stages"):
            if not getattr(self, option):
                raise self._error(option, "at least one choice")

    def _check_names(self, option: str, known: tuple[str, ...]) -> None:
        strange = [value for value in getattr(self, option) if value not in known]
        if strange:
            error = self._error(option, "choices of " + ", ".join(known))
            error.cure = nearest(strange[0], known)
            raise error

    def _error(self, option: str, rule: str) -> SpaceError:
        given = list(getattr(self, option))
        return SpaceError(f"{self.name} cannot have {option} = {given}", rule=rule)

    def genes(self) -> tuple[Gene, ...]:
        """The genes of the options that have choices; some sleep, depending on others."""
        return tuple(self._genes())

    def _genes(self) -> Iterator[Gene]:
        if self.resolution:
            yield Gene("train.resolution", self.resolution)
        slimmer = tuple(share for share in self.keep if share < 1)
        if self.keep:
            yield Gene("train.keep", self.keep)
        if slimmer:
            some = When("train.keep", one_of=slimmer)
            yield Gene("train.easy", self.easy, ordered=False, when=(some,))
            if DOWNSAMPLE in self.easy:
                shown = When("train.easy", one_of=(DOWNSAMPLE,))
                yield Gene("train.easy_weight", self.easy_weight, when=(shown,))
        if self.batch_size:
            yield Gene("train.batch_size", self.batch_size)
        if self.schedule:
            yield Gene("train.schedule", self.schedule, ordered=False)
        if CYCLIC in self.schedule:
            cyclic = (When("train.schedule", one_of=(CYCLIC,)),)
            yield Gene("train.lower_bits", self.lower_bits, when=cyclic)
            yield Gene("train.upper_bits", self.upper_bits, when=cyclic)
            yield Gene("train.cycles", self.cycles, when=cyclic)
        if PROGRESSIVE in self.schedule:
            progressive = When("train.schedule", one_of=(PROGRESSIVE,))
            written = tuple("-".join(map(str, bits)) for bits in self.stages)
            yield Gene("train.stages", written, ordered=False, when=(progressive,))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The choices of ``resolution``; see `TrainingPolicy.sizes`."""
        return self.resolution

    def recipes(self, columns: Columns, n: int) -> Mapping[str, Values]:
        """The settings that have genes, sleeping ones neutral; see `TrainingPolicy.recipes`.

        Returns:
            ``keep``, ``easy`` and ``easy_weight`` together; ``batch_size``; ``schedule`` together
            with ``lower_bits``, ``upper_bits`` and ``cycles`` where it may be cyclic, and with
            ``stages`` (bits joined by dashes) where it may be progressive.
        """
        own = {name.removeprefix("train."): c for name, c in columns.items()}
        settings: dict[str, Values] = {}
        if self.keep:
            slim = own["keep"].astype(np.float64) < 1
            easy = own.get("easy", np.full(n, DROP))
            shown = slim & (easy == DOWNSAMPLE)
            settings["keep"] = own["keep"].astype(np.float64)
            settings["easy"] = np.where(shown, DOWNSAMPLE, DROP)
            weight = own.get("easy_weight", np.ones(n))
            settings["easy_weight"] = np.where(shown, weight, 1.0)
        if self.batch_size:
            settings["batch_size"] = own["batch_size"].astype(np.int64)
        if self.schedule:
            settings["schedule"] = own["schedule"]
        if CYCLIC in self.schedule:
            cyclic = own["schedule"] == CYCLIC
            for name, neutral in (
                ("lower_bits", MOST_BITS),
                ("upper_bits", MOST_BITS),
                ("cycles", 1),
            ):
                settings[name] = np.where(cyclic, own[name], neutral)
        if PROGRESSIVE in self.schedule:
            staged = own["schedule"] == PROGRESSIVE
            settings["stages"] = np.where(staged, own["stages"], str(MOST_BITS))
        return settings

    def check(self, space: Space) -> None:
        """Refuses images that the networks are not made for, and schedules of bits that none has.

        Raises:
            SpaceError: There are such choices; see `Part.check`.
        """
        family = space.parts.get("net")
        choices = {gene.name: gene.choices for gene in space.genes}
        changing = set(choices.get("train.schedule", ())) - {CONSTANT}
        if changing and "quant" not in space.part_names:
            raise SpaceError(
                "no bits change along the training: the networks are in single precision",
                where=f"train.schedule = {min(map(str, changing))}",
                rule="a space with a precision schedule has quant genes, too",
                cure="add a quantization policy, e.g. uniform_bits",
            )
        if not isinstance(family, NetworkFamily):
            return
        half = DOWNSAMPLE in choices.get("train.easy", ())
        sizes = [int(size) for size in choices.get("train.resolution", ())]
        if half and not sizes:
            where = "train.easy = downsample"
            sizes = [_asked(lambda: family.own_image, where, "leave out 'downsample'")]
        for size in sizes:
            where = f"train.resolution = {size}"
            _asked(partial(family.at, size), where, "leave that resolution out")
            if half:
                where = f"train.easy = downsample, half of images of {size} x {size}"
                cure = "leave out 'downsample', or take larger images"
                _asked(partial(family.at, -(-size // 2)), where, cure)

    def options(self) -> dict[str, Any]:
        """All options, as lists; see `hwnas.space.Part.options`."""
        stages = [list(bits) for bits in self.stages]
        return {**super().options(), "stages": stages}


def _asked(question: Callable[[], _Answer], where: str, cure: str) -> _Answer:
    """Asks a network family, and says where the question came from if it refuses."""
    try:
        return question()
    except SpaceError as error:
        raise SpaceError(
            f"the networks do not fit the images: {error.what}",
            where=where,
            rule=error.rule,
            given=error.given,
            cure=error.cure or cure,
        ) from error
