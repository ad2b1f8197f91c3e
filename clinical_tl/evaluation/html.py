"""An evaluation report as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_tl.display.table import html_table
from clinical_tl.saved.evaluations import LEAKAGE, leaks_of
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replace_text

if TYPE_CHECKING:
    from clinical_tl.evaluation.report import EvaluationReport
    from clinical_tl.metrics.calibration import ReliabilityBin

SIDE = 260
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; color: #1a1a1a; }
table { border-collapse: collapse; margin: 0.6rem 0 1.6rem; }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
svg { background: #fafafa; border: 1px solid #ddd; }
"""


def write_page(report: EvaluationReport, file: str | Path) -> Path:
    """Write the report as HTML: scores with intervals, groups, calibration, labels.

    It shows names of labels and groups, never text of notes.
    """
    file = as_path(file)
    return replace_text(file, report_page(report))


def report_page(report: EvaluationReport) -> str:
    """The HTML of `write_page`."""
    title = report.title
    share = f"{100 * report.confidence:g} %"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{report.notes} notes of {report.patients} patients. Intervals: {share}, "
        f"{report.resamples} bootstrap resamples of the patients, seed {report.seed}. They tell "
        "how far the scores would move on other patients like these, not on notes of another "
        "hospital. Scores without an interval do not add up over notes.</p>",
        *(f"<p><strong>{escape(said)}</strong></p>" for said in report.leaks),
        "<h2>Scores</h2>",
        html_table(report.table()),
        f"<h2>Groups by {escape(report.metric)}</h2>",
        html_table(report.subgroup_table())
        if report.subgroups
        else "<p>Not compared: no metadata field was named.</p>",
        *_comparison(report),
        "<h2>Calibration</h2>",
        _calibration(report),
        "<h2>Labels</h2>",
        html_table(report.labels) if report.labels else "<p>None.</p>",
    ]
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _comparison(report: EvaluationReport) -> list[str]:
    found = report.comparison
    if found is None:
        return []
    leaks = leaks_of({report.name: found.scores, LEAKAGE: {report.name: found.leakage}})
    return [
        "<h2>Compared with another model</h2>",
        "<p>On the same notes, and on the same resamples of the patients: where the interval of "
        "the difference leaves out 0, the models differ on notes like these.</p>",
        *(f"<p><strong>The other model: {escape(said)}</strong></p>" for said in leaks.values()),
        html_table(report.comparison_table()),
    ]


def _calibration(report: EvaluationReport) -> str:
    found = report.calibration
    if found is None:
        return "<p>Not evaluated: there are no probabilities to compare with the gold.</p>"
    left_out = (
        f" {found.left_out} gold labels have no probability, for the model does not know them, "
        "and are left out here."
        if found.left_out
        else ""
    )
    return (
        f"<p>Of {escape(found.of)}: how often what was said with a probability was right. On the "
        f"diagonal a probability means what it says.{left_out}</p>\n"
        f"{html_table(found.table())}\n{_diagram(found.scores.bins)}"
    )


def _diagram(bins: Sequence[ReliabilityBin]) -> str:
    """Accuracy over confidence, a point a bin, its area by the share of predictions."""
    total = max(sum(row.count for row in bins), 1)
    points = "\n".join(
        f'<circle cx="{SIDE * row.confidence:.1f}" cy="{SIDE * (1 - row.accuracy):.1f}" '
        f'r="{3 + 9 * (row.count / total) ** 0.5:.1f}" fill="#1f6feb" fill-opacity="0.7">'
        f"<title>{row.count} predictions: said {row.confidence:.3f}, right {row.accuracy:.3f}"
        "</title></circle>"
        for row in bins
    )
    return (
        f'<svg width="{SIDE}" height="{SIDE}" role="img" aria-label="reliability diagram">\n'
        f'<line x1="0" y1="{SIDE}" x2="{SIDE}" y2="0" stroke="#999"/>\n{points}\n</svg>'
        "<p>Across: the probability said; up: the share that was right.</p>"
    )
