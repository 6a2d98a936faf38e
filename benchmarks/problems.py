"""The joint problems that the searchers are measured on, and those that they were developed on.

Test problems (no option of any searcher was chosen by looking at them):

* `nas_bench_201`: 15,625 networks x 15 bit policies x 7,200 systolic arrays; accuracies of the
  published table, the loss by quantisation is synthetic.
* `nas_bench_201_int8`: the same with the table's real int8 accuracies: 8 bits or float weights.
* `nas_bench_macro`: 6,561 networks of another table, other arrays, three other objectives.
* `resnet18_bits`: bits per layer of ResNet-18; the accuracy is synthetic.

Development problems: `cells` (the cell space with a synthetic accuracy) and `skips` (skip-connected
networks with bits per cell, synthetic accuracy).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluators.systolic import Systolic
from hwnas import Gene, Metric, Problem, Space, measures
from hwnas.design import Designs
from hwnas.design.bits_per_cell import BitsPerCell
from hwnas.design.bits_per_layer import BitsPerLayer
from hwnas.design.fixed_network import FixedNetwork
from hwnas.design.nas_bench_201 import OPERATORS, NASBench201
from hwnas.design.nas_bench_macro import NASBenchMacro
from hwnas.design.skipnet import SkipNet
from hwnas.design.systolic_array import SystolicArray
from hwnas.design.uniform_bits import UniformBits
from hwnas.evaluation import Evaluator, Expense
from hwnas.metrics import Measurements, Reason

KIB = 1024
OBJECTIVES = ("error", "minimize: edp = log10(energy * latency)", "minimize: size = log10(area)")
ARRAYS = SystolicArray(
    rows=(4, 8, 16, 32, 64),
    columns=(4, 8, 16, 32, 64),
    dataflow=("ws", "os"),
    ifmap_sram=tuple(KIB * k for k in (16, 32, 64, 128, 256, 512)),
    filter_sram=tuple(KIB * k for k in (16, 32, 64, 128, 256, 512)),
    ofmap_sram=(64 * KIB,),
    dram_bandwidth=(0.8e9, 1.6e9, 3.2e9, 6.4e9),
    clock=(400e6,),
)
"""7,200 systolic arrays."""


def data() -> Path:
    """Where the tables are: HWNAS_DATA, or ``shared/data`` beside the project."""
    given = os.environ.get("HWNAS_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"


class Error(Evaluator):
    """Costly: the error of a network at some bits, as a function of the genome's columns.

    Args:
        function: From designs to errors in [0, 1].
        reads: The parts that it reads.
        early: The same at lower fidelities.
    """

    metrics = (Metric("error", worst=1.0, best=0.0),)
    expense = Expense.COSTLY

    def __init__(
        self, function: Callable[[Designs], np.ndarray], reads=("net", "quant"), early=None
    ) -> None:
        self.function = {1.0: function, **(early or {})}
        self.fidelities = tuple(sorted(self.function))
        self.reads = frozenset(reads)

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        error = np.clip(self.function[fidelity](designs), 0.0, 1.0)
        reason = np.full(len(designs), int(Reason.NONE))
        return Measurements.of(self.metrics, {"error": error}, reason=reason)


def quantised(accuracy, chance, sensitivity, weight_bits, activation_bits):
    """SYNTHETIC: what is left of an accuracy; the excess over chance shrinks smoothly with bits."""
    damage = 2.0 ** (-1.5 * (weight_bits - 1.0)) + 0.7 * 2.0 ** (-1.3 * (activation_bits - 1.0))
    return chance + (accuracy - chance) * np.exp(-0.8 * sensitivity * damage)


def sensitivity(seed: int, rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """SYNTHETIC: how much networks suffer: smooth in their genes, less for larger networks."""
    rng = np.random.default_rng(seed)
    tables = [rng.normal(0.0, 0.2, size=int(rows[:, j].max()) + 1) for j in range(rows.shape[1])]
    smooth = sum(table[rows[:, j]] for j, table in enumerate(tables))
    return np.exp(smooth) * (sizes / np.median(sizes)) ** -0.3


def joint(space, error) -> Problem:
    return Problem(space, [error, Systolic()], OBJECTIVES)


def _looked_up(
    networks: np.ndarray, accuracy: np.ndarray, sizes: np.ndarray, chance: float, seed: int
):
    """Error from a table of networks; rows of choice indices, their accuracies, weights."""
    suffers = sensitivity(seed, networks, sizes)
    radix = networks.max(axis=0) + 1
    weights = np.cumprod(np.r_[1, radix[:0:-1]])[::-1]
    place = np.empty(int(np.prod(radix)), dtype=np.int64)
    place[networks @ weights] = np.arange(len(networks))

    def error(designs: Designs) -> np.ndarray:
        row = place[designs.genomes[:, designs.space.columns_of("net")] @ weights]
        bits = [designs[f"quant.{name}_bits"].astype(float) for name in ("weight", "activation")]
        return 1.0 - quantised(accuracy[row], chance, suffers[row], *bits)

    return error


def nas_bench_201(bits: UniformBits | None = None, *, early: bool = False) -> Problem:
    import pandas as pd

    table = pd.read_parquet(data() / "nb201.parquet")
    edges = [f"op_{edge}" for edge in ("e01", "e02", "e12", "e03", "e13", "e23")]
    whole, short = (
        _looked_up(
            table[edges].to_numpy(np.int64),
            table[column].to_numpy() / 100,
            table["params_c10"].to_numpy(np.float64),
            0.1,
            201,
        )
        for column in ("acc200_c10_test", "acc12_c10_valid")
    )
    bits = bits or UniformBits()
    error = Error(whole, early={12 / 200: short} if early else None)
    return joint(NASBench201().space() + bits.space() + ARRAYS.space(), error)


def nas_bench_201_early() -> Problem:
    """The same with the published accuracies after 12 of 200 epochs, for 0.06 evaluations each."""
    return nas_bench_201(early=True)


def cells(seed: int = 0, *, early: bool = False) -> Problem:
    """DEVELOPMENT: the cell space with a synthetic accuracy made of paths."""
    family = NASBench201()
    space = family.space()
    rows = space.rows()
    rng = np.random.default_rng((seed, 77))
    strength = np.array([0.0, 0.55, 0.8, 1.2, 0.45]) * rng.uniform(0.7, 1.3, size=(6, 5))
    s = strength[np.arange(6), rows]
    # Edges 01, 02, 12, 03, 13, 23.
    node1 = s[:, 0]
    node2 = s[:, 1] + node1 * s[:, 2]
    out = s[:, 3] + node1 * s[:, 4] + node2 * s[:, 5]
    pairs = rng.normal(0, 0.012, size=(6, 5, 6, 5))
    twist = sum(pairs[a, rows[:, a], b, rows[:, b]] for a in range(6) for b in range(a))
    accuracy = 0.93 - 0.12 * np.exp(-0.8 * out) - 0.03 * np.exp(-3.0 * out) + 0.1 * twist
    accuracy += rng.normal(0, 0.0012, size=len(rows))
    accuracy = np.where(out > 0, accuracy, 0.1)
    table = Designs(space, rows).layers
    sizes = np.bincount(table.design, weights=table.weights, minlength=len(rows))
    error = _looked_up(rows, accuracy, sizes, 0.1, 1000 + seed)
    # Early, weak networks look weaker, and noise is larger.
    noisy = 0.1 + (accuracy - 0.1) ** 2 * 0.9 + rng.normal(0, 0.025, size=len(rows))
    short = _looked_up(rows, np.clip(noisy, 0.05, 1.0), sizes, 0.1, 1000 + seed)
    whole = Error(error, early={0.06: short} if early else None)
    return joint(space + UniformBits().space() + ARRAYS.space(), whole)


def skips(seed: int = 0) -> Problem:
    """DEVELOPMENT: skip-connected networks with bits per cell; a synthetic accuracy."""
    space = SkipNet(cells=(1, 2, 3), layers_per_cell=(2, 3, 4, 5, 6), skips=("concat",)).space()
    space = space + BitsPerCell(cells=3).space()
    rng = np.random.default_rng((seed, 78))
    tables = rng.normal(0, 0.08, size=(len(space), 16))

    def error(designs: Designs) -> np.ndarray:
        own, inverse = designs.part("net", "quant")
        table = own.layers

        def total(values):
            return np.bincount(table.design, weights=values, minlength=table.n)

        capacity = np.log10(total(table.weights) + 1.0)
        depth = np.log2(1.0 + total(np.ones(len(table))))
        damage = total(
            table.weights
            * (
                2.0 ** (-1.5 * (table.weight_bits - 1))
                + 0.7 * 2.0 ** (-1.3 * (table.activation_bits - 1))
            )
        )
        damage = damage / np.maximum(total(table.weights), 1)
        genes = own.genomes
        twist = np.sum(np.where(own.active, tables[np.arange(genes.shape[1]), genes], 0.0), axis=1)
        accuracy = 0.97 - 0.5 * np.exp(-0.55 * (capacity - 2.0) - 0.25 * depth + 0.6 * twist)
        accuracy += 0.003 * np.sin(37.0 * (genes @ np.arange(1, genes.shape[1] + 1)) + twist * 50)
        return (1.0 - (0.1 + (accuracy - 0.1) * np.exp(-0.8 * damage)))[inverse]

    return joint(space + ARRAYS.space(), Error(error))


STAGES = 5


def black_box(seed: int = 0) -> Problem:
    """SYNTHETIC, everything costly: 35 genes of network, bits and accelerator, three objectives.

    Seed 0 is the test problem, seed 1 was used for development.
    """
    genes = []
    for i in range(1, STAGES + 1):
        genes += [Gene(f"net.s{i}.depth", (1, 2, 3, 4)), Gene(f"net.s{i}.expand", (1, 2, 3, 4, 6))]
        genes += [Gene(f"net.s{i}.kernel", (3, 5, 7))]
    bits = (2, 3, 4, 6, 8)
    for i in range(1, STAGES + 1):
        genes += [Gene(f"quant.s{i}.w", bits), Gene(f"quant.s{i}.a", bits)]
    genes += [Gene("quant.first", (4, 6, 8)), Gene("quant.last", (4, 6, 8))]
    genes += [Gene("hw.rows", (4, 8, 16, 32, 64)), Gene("hw.columns", (4, 8, 16, 32, 64))]
    genes += [
        Gene("hw.register", (16, 32, 64, 128, 256)),
        Gene("hw.buffer", (32, 64, 128, 256, 512, 1024)),
    ]
    genes += [Gene("hw.bandwidth", (1, 2, 4, 8, 16)), Gene("hw.clock", (100, 200, 400, 800))]
    genes += [
        Gene("hw.dataflow", ("ws", "os", "rs"), ordered=False),
        Gene("hw.noc", ("bus", "mesh", "tree"), ordered=False),
    ]
    space = Space(tuple(genes))
    rng = np.random.default_rng((seed, 35))
    main = [rng.normal(0, 0.05, len(g.choices)) for g in genes]
    pairs = {
        (a, b): rng.normal(0, 0.02, (len(genes[a].choices), len(genes[b].choices)))
        for a, b in rng.integers(0, 27, size=(40, 2))
        if a != b
    }
    mix = rng.uniform(0.8, 1.25, size=(3, 3, STAGES))
    noc = rng.uniform(0.9, 1.3, size=(2, 3))

    @measures("error", Metric("latency", "s"), Metric("energy", "J"), batch=True)
    def everything(designs):
        v = {
            name: designs[name].astype(float)
            for name in space.names
            if name not in ("hw.dataflow", "hw.noc")
        }
        flow, link = designs.genomes[:, -2], designs.genomes[:, -1]
        lanes = v["hw.rows"] * v["hw.columns"]
        cycles, traffic, energy, capacity, damage = (np.zeros(len(designs)) for _ in range(5))
        for i in range(1, STAGES + 1):
            d, e, k = (v[f"net.s{i}.{name}"] for name in ("depth", "expand", "kernel"))
            w, a = v[f"quant.s{i}.w"], v[f"quant.s{i}.a"]
            width = 12.0 * 2 ** (i - 1)
            macs = d * (2 * e * width**2 + e * width * k**2) * (64 / 2 ** (i - 1)) ** 2
            weights = d * (2 * e * width**2 + e * width * k**2)
            fit = np.minimum(
                1.0, (e * width / v["hw.columns"]) / np.ceil(e * width / v["hw.columns"])
            )
            cycles += macs * mix[0, flow, i - 1] / (lanes * fit)
            refetch = 1.0 + np.log1p(weights * w / 8 / (1024 * v["hw.buffer"]))
            reuse = 1.0 + 40.0 / np.sqrt(v["hw.register"]) * mix[1, flow, i - 1]
            traffic += refetch * (weights * w + e * width * a * (64 / 2 ** (i - 1)) ** 2) / 8
            energy += macs * (0.02 * w * a + 0.1 * reuse * np.sqrt(v["hw.buffer"] / 64)) * 1e-12
            capacity += np.log1p(d * e * (1 + 0.15 * (k - 3))) * (0.6 + 0.15 * i)
            damage += 2.0 ** (-1.2 * (w - 1)) + 0.6 * 2.0 ** (-1.1 * (a - 1))
        damage += 0.5 * (2.0 ** (-v["quant.first"] / 2) + 2.0 ** (-v["quant.last"] / 2))
        latency = (
            np.maximum(cycles / (v["hw.clock"] * 1e6), traffic / (v["hw.bandwidth"] * 1e9))
            * noc[0, link]
        )
        energy = (
            energy + traffic * 8 * 4e-12 + latency * lanes * 2e-5 * (v["hw.clock"] / 400)
        ) * noc[1, link]
        twist = sum(table[designs.genomes[:, j]] for j, table in enumerate(main[:27]))
        twist = twist + sum(
            t[designs.genomes[:, a], designs.genomes[:, b]] for (a, b), t in pairs.items()
        )
        error = 0.05 + 0.75 * np.exp(-0.28 * capacity + 0.22 * damage + 0.35 * twist)
        return {"error": np.minimum(error, 0.95), "latency": latency, "energy": energy}

    goals = ["error", "minimize: slow = log10(latency)", "minimize: hungry = log10(energy)"]
    return Problem(space, [everything], goals)


OTHER_ARRAYS = SystolicArray(
    rows=(8, 16, 32, 64),
    columns=(8, 16, 32, 64),
    dataflow=("os", "ws", "is"),
    ifmap_sram=(32 * KIB, 128 * KIB, 512 * KIB),
    filter_sram=(32 * KIB, 128 * KIB, 512 * KIB),
    ofmap_sram=(64 * KIB,),
    dram_bandwidth=(0.8e9, 3.2e9, 12.8e9),
    clock=(400e6,),
)
"""1,296 systolic arrays."""


def nas_bench_macro() -> Problem:
    import pandas as pd

    table = pd.read_parquet(data() / "nas_bench_macro.parquet")
    digits = np.array([[int(d) for d in arch] for arch in table["arch"]], dtype=np.int64)
    sizes = table["params"].to_numpy(np.float64)
    error = _looked_up(digits, table["acc_mean"].to_numpy() / 100, sizes, 0.1, 8)
    space = NASBenchMacro().space() + UniformBits().space() + OTHER_ARRAYS.space()
    goals = ["error", "minimize: slow = log10(latency)", "minimize: hungry = log10(energy)"]
    return Problem(space, [Error(error), Systolic()], goals, ["area <= 1.5 mm2"])


def resnet18_bits() -> Problem:
    """SYNTHETIC accuracy: layers suffer differently, neighbours suffer together."""
    network = FixedNetwork(network="resnet18")
    depth = network.depth
    space = network.space() + BitsPerLayer(layers=depth).space() + OTHER_ARRAYS.space()
    rng = np.random.default_rng(18)
    suffers = rng.lognormal(-2.0, 0.8, size=(2, depth))
    together = rng.lognormal(-2.0, 0.5, size=depth - 1)

    def error(designs: Designs) -> np.ndarray:
        w = np.stack([designs[f"quant.w{i + 1}"].astype(float) for i in range(depth)], axis=1)
        a = np.stack([designs[f"quant.a{i + 1}"].astype(float) for i in range(depth)], axis=1)
        by_weights, by_inputs = 2.0 ** (-1.4 * (w - 1)), 2.0 ** (-1.2 * (a - 1))
        damage = by_weights @ suffers[0] + by_inputs @ suffers[1]
        damage += np.sqrt(by_weights[:, 1:] * by_weights[:, :-1]) @ together
        return 1.0 - 0.7 * np.exp(-0.6 * damage)

    return joint(space, Error(error, ("net", "quant")))


def nas_bench_201_int8(folder: str | Path | None = None) -> Problem:
    """Real quantised accuracies (AnalogNAS-Bench): float, or 8 bits after training."""
    import tempfile

    import pandas as pd

    from evaluators.tabular import TableMetric, Tabular

    table = pd.read_parquet(data() / "nb201.parquet")
    edges = ("e01", "e02", "e12", "e03", "e13", "e23")
    rows = [
        table[[f"op_{edge}" for edge in edges]].assign(w=bits, a=bits, accuracy=table[column])
        for bits, column in ((8, "anb_c10_int8_ptq"), (32, "anb_c10_fp32"))
    ]
    folder = Path(folder or tempfile.mkdtemp())
    pd.concat(rows).to_parquet(folder / "int8.parquet")
    keys = {f"net.{edge}": f"op_{edge}" for edge in edges}
    keys |= {"quant.weight_bits": "w", "quant.activation_bits": "a"}
    tabular = Tabular(
        path=folder / "int8.parquet",
        keys=keys,
        values={name: place for place, name in enumerate(OPERATORS)},
        metrics={"error": TableMetric("accuracy", complement=100, worst=1, best=0)},
    )
    bits = UniformBits(weight_bits=(8, 32), activation_bits=(8, 32))
    return joint(NASBench201().space() + bits.space() + ARRAYS.space(), tabular)


def nas_bench_201_accuracy() -> Problem:
    """One objective, nothing free: the error of the published table."""
    import pandas as pd

    from evaluators.tabular import TableMetric, Tabular

    path = data() / "nb201.parquet"
    edges = ("e01", "e02", "e12", "e03", "e13", "e23")
    assert len(pd.read_parquet(path, columns=["arch_idx"])) == 15_625
    tabular = Tabular(
        path=path,
        keys={f"net.{edge}": f"op_{edge}" for edge in edges},
        values={name: place for place, name in enumerate(OPERATORS)},
        metrics={"error": TableMetric("acc200_c10_test", complement=100, worst=1, best=0)},
    )
    return Problem(NASBench201().space(), [tabular], ["error"])
