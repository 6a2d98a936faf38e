"""Reports on a study: a record that is computed first, then figures, a page and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwnas.report.contents import Record, record
from hwnas.report.files import Written, write_design, write_report

if TYPE_CHECKING:
    from hwnas.study import Study

__all__ = ["Record", "Written", "figure", "record", "write_design", "write_report"]


def figure(study: Study) -> Any:
    """The front of a study as one plotly figure, e.g. for a notebook.

    One objective: its best value against evaluations. Two: a plane; three: a room that can be
    turned; more: every pair of them.

    Args:
        study: A study, finished or not; designs that are not feasible are shown in grey.

    Returns:
        A ``plotly.graph_objects.Figure``.
    """
    from hwnas.report import figures, quantity
    from hwnas.report.points import points
    from hwnas.report.trace import Trace, trace

    objectives = quantity.objectives(study)
    progress = trace(study) if len(objectives) == 1 else Trace()
    return figures.front(objectives, points(study), progress)
