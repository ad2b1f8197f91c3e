"""Scores by label as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinical_tl.display.figure import new_figure
from clinical_tl.errors import shown_id

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LABELS = 30
# Okabe & Ito's colours, which people tell apart whatever they see of red and green.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"


def draw_labels(rows: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """F1 by label with its interval (`f1_low` to `f1_high`, where rows have it).

    Precision and recall stand beside it; shown are the `MOST_LABELS` labels that are most
    frequent in gold. Raises `MissingExtraError` without matplotlib (extra `[plots]`).
    """
    ranked = sorted(rows, key=lambda row: (-row["support"], row["label"]))
    shown = ranked[:MOST_LABELS]
    figure = new_figure(7.5, 1.4 + 0.27 * max(len(shown), 1))
    axes = figure.subplots()
    places = range(len(shown))
    for name, marker, colour in (("precision", "<", ORANGE), ("recall", ">", GREEN)):
        values = [row[name] for row in shown]
        axes.plot(values, places, marker, color=colour, markersize=5, alpha=0.8, label=name)
    for i, row in enumerate(shown):
        if row.get("f1_low") is not None:
            axes.plot([row["f1_low"], row["f1_high"]], [i, i], color=BLUE, linewidth=2)
    axes.plot([row["f1"] for row in shown], places, "o", color=BLUE, label="F1")
    axes.set_yticks(places, [f"{shown_id(r['label'], 'label')} ({r['support']})" for r in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("score (lines: interval of F1)" if _has_intervals(shown) else "score")
    axes.set_ylabel("label (how often in gold)")
    axes.grid(axis="x", color="#dddddd")
    left = len(rows) - len(shown)
    axes.set_title(f"{title}\nnot shown: {left} rarer labels" if left else title, fontsize=11)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small", frameon=False)
    return figure


def draw_metrics(figures: Mapping[str, float], *, title: str) -> Figure:
    """Metrics of scores that have no labels, as bars with their values."""
    figure = new_figure(7.5, 1.4 + 0.32 * max(len(figures), 1))
    axes = figure.subplots()
    bars = axes.barh(range(len(figures)), list(figures.values()), color=BLUE, height=0.6)
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.set_yticks(range(len(figures)), list(figures))
    axes.set_ylim(len(figures) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.set_xlabel("value")
    axes.set_title(title, fontsize=11)
    return figure


def _has_intervals(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(row.get("f1_low") is not None for row in rows)
