"""Simulates one layer with SCALE-Sim. Runs under an interpreter that has it, without hwnas."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

DISTRIBUTION = "scalesim"
_OPERANDS = ("ifmap", "filter", "ofmap")


def answer(request: dict[str, Any]) -> dict[str, float]:
    """Simulates the only layer of a topology.

    Args:
        request: ``files``, the text of ``scalesim.cfg``, ``topology.csv`` and ``layout.csv``.

    Returns:
        Cycles as printed, and words read and written.
    """
    import numpy

    if int(numpy.__version__.split(".")[0]) >= 2:
        raise ImportError(f"scalesim 3.0.0 needs numpy < 2, not {numpy.__version__}")
    from scalesim.scale_sim import scalesim

    with tempfile.TemporaryDirectory() as folder:
        for name, text in request["files"].items():
            Path(folder, name).write_text(text)
        simulation = scalesim(
            save_disk_space=True,
            verbose=False,
            config=str(Path(folder, "scalesim.cfg")),
            topology=str(Path(folder, "topology.csv")),
            layout=str(Path(folder, "layout.csv")),
            input_type_gemm=False,
        )
        simulation.run_scale(top_path=str(Path(folder, "out")))
    (layer,) = simulation.runner.single_layer_sim_object_list
    _, cycles, stalls, _, mapping, _ = layer.get_compute_report_items()
    counts = layer.get_detail_report_items()[2::3]
    names = [f"{memory}_{operand}" for memory in ("sram", "dram") for operand in _OPERANDS]
    return {
        "cycles": int(cycles),
        "stalls": int(stalls),
        "mapping_efficiency": mapping / 100,
        **{name: int(counts[place]) for place, name in enumerate(names)},
    }
