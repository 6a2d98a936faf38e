"""Costs one layer with ZigZag. Runs under an interpreter that has it, without hwnas."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

DISTRIBUTION = "zigzag-dse"


def answer(request: dict[str, Any]) -> dict[str, float]:
    """Searches the best temporal mapping of the only layer of a workload.

    Args:
        request: ``files``, what ``accelerator``, ``mapping`` and ``workload`` say; ``minimize``,
            ``energy``, ``latency`` or ``EDP``; ``lpf_limit``; ``cycles_per_step``, the cycles that
            one of the tool's stands for.

    Returns:
        Cycles and energy in the unit of the accelerator, and what they consist of.
    """
    import yaml
    from zigzag.api import get_hardware_performance_zigzag
    from zigzag.stages.results import visualization

    # It draws loop orders, and stops at layers of a single step, which have none.
    visualization.print_mapping = lambda *_, **__: None
    with tempfile.TemporaryDirectory() as folder:
        for name, values in request["files"].items():
            # In their order: memories are listed from the inside out.
            text = yaml.safe_dump(values, sort_keys=False)
            Path(folder, f"{name}.yaml").write_text(text)
        energy, latency, found = get_hardware_performance_zigzag(
            workload=str(Path(folder, "workload.yaml")),
            accelerator=str(Path(folder, "accelerator.yaml")),
            mapping=str(Path(folder, "mapping.yaml")),
            opt=request["minimize"],
            lpf_limit=request["lpf_limit"],
            dump_folder=str(Path(folder, "out")),
            loma_show_progress_bar=False,
        )
    best = found[0][1][0][0]
    times = request["cycles_per_step"]
    return {
        "cycles": float(latency) * times,
        "energy": float(energy),
        "energy_mac": float(best.mac_energy),
        "energy_memory": float(best.mem_energy),
        "ideal_temporal_cycles": float(best.ideal_temporal_cycle) * times,
        "cycles_without_on_and_offload": float(best.latency_total0) * times,
    }
