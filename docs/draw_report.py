"""Draws `docs/report.png`: the report of the README's example, on synthetic notes, as a picture.

It runs the README's code up to the report (half a minute), so that the picture shows what the
README says.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from clinical_tl.evaluation.reliability import Calibration
    from clinical_tl.evaluation.report import Estimate, EvaluationReport

README = Path(__file__).parent.parent / "README.md"
PICTURE = Path(__file__).parent / "report.png"
SCORES = ("f1", "precision", "recall", "macro_f1")
COLOUR = "#1f6feb"


def main() -> None:
    """Run the README up to its report and draw that."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        while "report" not in names:
            exec(blocks.pop(0), names)  # noqa: S102  (this repository's own README)
        os.chdir(README.parent)
    draw_report(cast("EvaluationReport", names["report"]), PICTURE)


def draw_report(report: EvaluationReport, file: Path) -> None:
    """Scores and groups with their intervals at the left, calibration at the right.

    The file says in its metadata which figures it shows.
    """
    of_scores = [(name, report.intervals[name]) for name in SCORES]
    of_groups = [
        (f"{report.metric}, {group.group}", group.score)
        for group in report.subgroups
        if group.score is not None
    ]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(
        f"{report.title} · {report.notes} SYNTHETIC notes of {report.patients} patients\n"
        "what a report looks like, no evidence of quality",
        fontsize=11,
    )
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_intervals(left, of_scores + of_groups, len(of_scores), report.confidence)
    if report.calibration is not None:
        _draw_calibration(right, report.calibration)
    told = json.dumps({name: round(found.value, 4) for name, found in of_scores})
    figure.savefig(file, dpi=110, metadata={"Software": None, "Description": told})


def _draw_intervals(
    axes: Axes, rows: Sequence[tuple[str, Estimate]], n_scores: int, confidence: float
) -> None:
    """One line a score, with its value in figures; a rule below the scores of all notes."""
    for i, (_, found) in enumerate(rows):
        axes.plot([found.low, found.high], [i, i], color=COLOUR, linewidth=2)
        axes.plot(found.value, i, "o", color=COLOUR)
        said = f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
        axes.text(1.02, i, said, va="center", fontsize=8, transform=axes.get_yaxis_transform())
    axes.axhline(n_scores - 0.5, color="#bbb", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(axis="x", color="#eee")
    axes.set_xlabel(f"score, interval of {100 * confidence:g} % over patients", fontsize=9)


def _draw_calibration(axes: Axes, found: Calibration) -> None:
    """Share that was right over the probability said, a point a bin, its area by the count."""
    bins = found.scores.bins
    axes.plot([0, 1], [0, 1], color="#bbb", linewidth=0.8)
    axes.scatter(
        [row.confidence for row in bins],
        [row.accuracy for row in bins],
        s=[12 + 250 * row.count / sum(row.count for row in bins) for row in bins],
        color=COLOUR,
        alpha=0.7,
    )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.05)
    axes.set_aspect("equal")
    axes.set_xlabel("probability said", fontsize=9)
    axes.set_ylabel("share that was right", fontsize=9)
    axes.set_title(f"{found.of}: ECE {found.scores.ece:.2f}", fontsize=9)


if __name__ == "__main__":
    main()
