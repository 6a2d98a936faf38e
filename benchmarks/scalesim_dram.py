"""DRAM reads by SCALE-Sim's rule against our closed form, and how long the rule takes.

    python benchmarks/scalesim_dram.py [REFERENCE_FOLDER]

Prints every layer of ResNet-18 at 224 x 224 on 32 x 32 arrays of each dataflow with three
scratchpads of 64 KB: the rule (evaluators/scalesim_dram.py), the closed form
(evaluators/dataflows.py), their ratio and the CPU time of the rule, then rank correlations. With
the folder of SCALE-Sim's printed rows, these too, and how many the rule meets exactly.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from evaluators.scalesim_dram import dram_reads
from evaluators.systolic_costs import layer_costs
from evaluators.technology import load
from hwnas.design import FixedNetwork, LayerTable

_SHAPE = ["P", "Q", "K", "C", "R", "S", "stride"]


def measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Rule and closed form of every row, in elements, and the rule's CPU time, s."""
    out = []
    for _, row in rows.iterrows():
        columns = {name: np.array([row[name]]) for name in _SHAPE}
        table = LayerTable.of(1, np.zeros(1, int), **columns, weight_bits=8, activation_bits=8)
        size = np.array([64 * 1024])
        arrays = {
            "rows": np.array([row["AR"]]),
            "columns": np.array([row["AC"]]),
            "dataflow": np.array([row["df"]]),
            **dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), size),
            **dict.fromkeys(("dram_bandwidth", "clock"), np.array([1e9])),
        }
        start = time.process_time()
        rule = dram_reads(table, arrays)
        seconds = time.process_time() - start
        closed = layer_costs(table, arrays, load("aladdin40"))
        out.append(
            (rule.ifmap[0], rule.filter[0], closed.dram_ifmap[0], closed.dram_filter[0], seconds)
        )
    names = ["rule_if", "rule_f", "closed_if", "closed_f", "cpu_s"]
    found = pd.concat([rows.reset_index(drop=True), pd.DataFrame(out, columns=names)], axis=1)
    return found.assign(
        ratio_if=found["closed_if"] / found["rule_if"], ratio_f=found["closed_f"] / found["rule_f"]
    )


def resnet18() -> pd.DataFrame:
    network = FixedNetwork("resnet18")
    layers = network.layers({}, 1)
    keep = layers.macs > 0
    rows = pd.DataFrame({name: getattr(layers, name)[keep] for name in _SHAPE}).drop_duplicates()
    return pd.concat([rows.assign(AR=32, AC=32, df=flow) for flow in ("os", "ws", "is")])


def printed(folder: Path) -> pd.DataFrame:
    """SCALE-Sim's own rows."""
    names = {"dram_ifmap_reads_one": "dram_if", "dram_filter_reads_one": "dram_f"}
    resnet = pd.read_csv(folder / "scalesim300_resnet18_32x32_ws_CALC_buf64KB.csv")
    resnet = resnet.rename(columns=names).assign(df="ws", AR=32, AC=32)
    small = pd.read_csv(folder / "scalesim300_IS_and_nonsquare_small.csv")
    return pd.concat([resnet, small])[[*_SHAPE, "AR", "AC", "df", "dram_if", "dram_f"]]


def show(title: str, found: pd.DataFrame) -> None:
    print(f"\n{title}\n{found.to_string(index=False, float_format=lambda v: f'{v:.4g}')}")
    for operand in ("if", "f"):
        rank = spearmanr(found[f"closed_{operand}"], found[f"rule_{operand}"]).statistic
        print(f"closed form against rule, {operand}: Spearman {rank:.4f}")
    print(f"rule: {found['cpu_s'].sum():.1f} s CPU, at most {found['cpu_s'].max():.2f} s a layer")


def main() -> None:
    show("ResNet-18, 32 x 32, 64 KB", measured(resnet18()))
    if len(sys.argv) > 1:
        found = measured(printed(Path(sys.argv[1])))
        show("rows that SCALE-Sim 3.0.0 printed", found)
        same = (found["rule_if"] == found["dram_if"]) & (found["rule_f"] == found["dram_f"])
        print(f"the rule meets {same.sum()} of {len(found)} printed rows exactly")


if __name__ == "__main__":
    main()
