"""Cycles and energy of loop nests, from what they move.

Every level transfers while the multipliers work (double buffering, perfect overlap): a nest takes
as long as its slowest part, as in Timeloop. Filling and draining of the array is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluators.loop_nest import LoopNest
from evaluators.loop_nest_traffic import Conventions, Traffic, traffic
from hwnas.arrays import Floats, Ints


@dataclass(frozen=True, eq=False)
class Memories:
    """What a hierarchy of ``D`` levels costs and how fast it is; all rows or one for all.

    Attributes:
        read: Energy of reading one element of an operand, J, broadcast to ``(m, D, 3)``.
        write: Energy of writing one.
        bandwidth: Elements per cycle that one instance of a level reads and writes, all operands
            together, broadcast to ``(m, D)``; ``inf`` where it never waits. Operands with memories
            of their own are levels of their own, which the others pass by.
        mac: Energy of one multiply-accumulate, J, broadcast to ``(m,)``.
        block: Elements that one access of a level moves, broadcast to ``(m, D)``: for the energy,
            the elements of an operand read, or written, are rounded up to whole accesses.
        size: What an element takes of the bandwidth, broadcast to ``(m, D, 3)``: its bytes, where
            bandwidths are in B per cycle.
    """

    read: Floats
    write: Floats
    bandwidth: Floats | float = np.inf
    mac: Floats | float = 0.0
    block: Floats | float = 1.0
    size: Floats | float = 1.0


@dataclass(frozen=True, eq=False)
class NestCosts:
    """What nests cost, ``float64``.

    Attributes:
        cycles: Whole clock cycles, ``(m,)``.
        steps: Of these, what the multipliers need: the compute bound, ``(m,)``.
        level_cycles: What every level needs for its traffic, ``(m, D)``.
        energy: J, ``(m,)``.
        level_energy: Share of every level, J, ``(m, D)``.
        mac_energy: Share of the multipliers, J, ``(m,)``.
        traffic: Elements moved per level and operand.
    """

    cycles: Floats
    steps: Floats
    level_cycles: Floats
    energy: Floats
    level_energy: Floats
    mac_energy: Floats
    traffic: Traffic

    @property
    def bound_by(self) -> Ints:
        """The level that a nest waits for, -1 where it is the multipliers, ``(m,)``."""
        slowest = np.argmax(self.level_cycles, axis=1)
        waits = self.level_cycles.max(axis=1) > self.steps
        return np.where(waits, slowest, -1)


def nest_costs(
    nest: LoopNest, memories: Memories, conventions: Conventions | None = None
) -> NestCosts:
    """Costs of loop nests: for these layers, unrollings, tilings and orders, the counts and costs.

    Cycles are the product of the temporal factors over the least share of it that a level can
    keep up with. The sums are in Timeloop's order, so that its rounding up agrees.

    >>> from evaluators.loop_nest import Level
    >>> nest = LoopNest.of([
    ...     Level("W"), Level(loops={"C": 2}, spatial={"K": 4}), Level(loops={"P": 3})
    ... ])
    >>> access = np.array([[1.0], [6.0], [200.0]])          # Eyeriss' units, all operands alike
    >>> memories = Memories(access, access, np.array([np.inf, np.inf, 2.0]), mac=1.0)
    >>> costs = nest_costs(nest, memories)
    >>> costs.steps, costs.level_cycles[:, 2], costs.cycles, costs.bound_by
    (array([6.]), array([13.]), array([13.]), array([2]))

    Args:
        nest: ``m`` mappings.
        memories: The hierarchy; levels in the nest's order, the innermost first.
        conventions: How traffic is counted.
    """
    return costs_of(nest, traffic(nest, conventions), memories)


def costs_of(nest: LoopNest, moved: Traffic, memories: Memories) -> NestCosts:
    """As `nest_costs`, of traffic that is counted already."""
    steps = nest.steps
    pace = nest.instances * steps[:, None]
    down = (moved.reads + moved.drains) * memories.size / pace[:, :, None]
    up = (moved.fills + moved.updates) * memories.size / pace[:, :, None]
    weights, inputs, outputs = 0, 1, 2
    rate = (down[..., weights] + down[..., inputs] + down[..., outputs]) + (
        up[..., weights] + up[..., inputs] + up[..., outputs]
    )
    bandwidth = np.broadcast_to(memories.bandwidth, rate.shape)
    speed = np.divide(bandwidth, rate, out=np.full(rate.shape, np.inf), where=rate > 0)
    slowest = np.minimum(1.0, speed.min(axis=1))

    block = np.broadcast_to(memories.block, rate.shape)[..., None]
    read = np.ceil((moved.reads + moved.drains) / block) * block * memories.read
    written = np.ceil((moved.fills + moved.updates) / block) * block * memories.write
    level_energy = (read + written).sum(axis=2)
    mac_energy = steps * nest.multipliers * memories.mac
    return NestCosts(
        cycles=np.ceil(steps / slowest),
        steps=steps,
        level_cycles=rate * steps[:, None] / bandwidth,
        energy=level_energy.sum(axis=1) + mac_energy,
        level_energy=level_energy,
        mac_energy=mac_energy,
        traffic=moved,
    )
