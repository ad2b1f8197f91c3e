"""The report's plots, each an SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

from clinical_tl.errors import shown_id
from clinical_tl.evaluation.axes import (
    BLUE,
    DASHES,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILION,
    Axes,
    Scale,
    around,
    counts,
    key,
    picture,
    shares,
    small_shares,
    words,
)
from clinical_tl.evaluation.markup import Markup, element, joined

if TYPE_CHECKING:
    from clinical_tl.evaluation.estimates import Estimate
    from clinical_tl.evaluation.report import EvaluationReport
    from clinical_tl.evaluation.score_curves import PrecisionRecall, ScoreCurves
    from clinical_tl.metrics.calibration import ReliabilityBin

SIDE = 300
LEFT, TOP = 62, 16
Z = 1.96
LONGEST_KEY = 34


def shown_plots(report: EvaluationReport) -> Markup:
    """All plots that the report has figures for, for a notebook."""
    found: list[Markup] = []
    if report.calibration is not None:
        found.append(reliability_plot(report.calibration.scores.bins))
    if report.curves is not None:
        drawn = report.curves.precision_recall
        found.append(precision_recall_plot(drawn, report.decided, named=_discreet))
        found.append(spread_plot(report.curves))
    if report.model is not None and has_curve(report.model.epochs):
        settings = report.model.settings
        found.append(
            learning_plot(
                report.model.epochs, report.model.best_epoch, str(settings.get("metric", "score"))
            )
        )
    return joined(*found, by="\n")


def is_crowded(bins: Sequence[ReliabilityBin]) -> bool:
    """Whether most probabilities are so small that a plot needs more room for them."""
    return sum(row.confidence < 0.1 for row in bins) > len(bins) / 2


def reliability_plot(bins: Sequence[ReliabilityBin]) -> Markup:
    """How often what was said with a probability was right, and how often each was said."""
    scale = small_shares if is_crowded(bins) else shares
    across = scale("probability said")
    main = Axes(LEFT, TOP, SIDE, SIDE, across, scale("share that was right"))
    main.line([(i / 50, i / 50) for i in range(51)], GREY, DASHES[1], 1.2)
    most = max(row.count for row in bins)
    below = Axes(LEFT, TOP + SIDE + 18, SIDE, 74, across, counts("count", most))
    for row in bins:
        said = f"{row.count:,} said {row.confidence:.3f} on average, right {row.accuracy:.3f}"
        low, high = _wilson(row.accuracy, row.count)
        main.line([(row.confidence, low), (row.confidence, high)], BLUE, wide=1.4)
        main.dot(row.confidence, row.accuracy, BLUE, said=said)
        low, high = sorted((row.low, row.high))
        below.bar(low, max(high, low + 0.004), row.count, BLUE, said=said)
    named = f"Reliability diagram with {len(bins)} bins and their counts"
    height = TOP + SIDE + 18 + 74 + 46
    return picture(LEFT + SIDE + 20, height, named, main.drawn(name_across=False), below.drawn())


def precision_recall_plot(
    curves: Sequence[PrecisionRecall],
    decided: tuple[float, float] | None,
    *,
    named: Callable[[str], str] = str,
) -> Markup:
    """Precision over recall; where the model's own decisions lie is a square.

    `named` is how labels are shown.
    """
    axes = Axes(LEFT, TOP, SIDE, SIDE, shares("recall"), shares("precision"))
    colours = (INK, BLUE, VERMILION, GREEN, PURPLE)
    rows = []
    for i, curve in enumerate(curves):
        dash, wide = DASHES[i % len(DASHES)], 2.6 if i == 0 else 1.6
        axes.line([(r, p) for r, p in curve.points], colours[i], dash, wide)
        if len(curve.points) == 1:
            axes.dot(*curve.points[0], colours[i], radius=3)
        name = curve.name if i == 0 else named(curve.name)
        name = name if len(name) <= LONGEST_KEY else f"{name[: LONGEST_KEY - 1]}…"
        rows.append((colours[i], dash, f"{name}: average precision {curve.average_precision:.2f}"))
    if decided is not None:
        recall, precision = decided
        x, y = axes.x(recall), axes.y(precision)
        axes.marks.append(
            element(
                "rect", element("title", f"recall {recall:.3f}, precision {precision:.3f}"),
                x=x - 5, y=y - 5, width=10, height=10, fill=ORANGE, stroke=INK,
            )
        )  # fmt: skip
    bottom = TOP + SIDE + 58
    parts = [axes.drawn(), key(LEFT, bottom, rows)]
    height = bottom + 17 * len(rows)
    if decided is not None:
        parts.append(
            element("rect", x=LEFT + 8, y=height - 5, width=10, height=10, fill=ORANGE, stroke=INK)
        )
        parts.append(words(LEFT + 32, height + 4, "as decided, all labels", size=11))
        height += 17
    return picture(LEFT + SIDE + 20, height, "Precision over recall", *parts)


def spread_plot(curves: ScoreCurves) -> Markup:
    """How many scores lie where: of what is true above, of what is not below."""
    half, gap = 128, 46
    parts = []
    steps = len(curves.spread[0].counts)
    for i, (side, colour) in enumerate(zip(curves.spread, (BLUE, VERMILION), strict=True)):
        most, filled = max(side.counts), [n for n in side.counts if n]
        logarithmic = bool(filled) and most > 200 * sorted(filled)[len(filled) // 2]
        title = "count, logarithmic" if logarithmic else "count"
        axes = Axes(
            LEFT,
            TOP + 12 + i * (half + gap),
            SIDE,
            half,
            shares("score"),
            counts(title, most, logarithmic=logarithmic),
        )
        for step, n in enumerate(side.counts):
            if n:
                said = f"{n:,} from {step / steps:g} to {(step + 1) / steps:g}"
                axes.bar(step / steps, (step + 1) / steps, n, colour, said=said)
        parts.append(words(LEFT, axes.top - 6, f"{side.name}: {sum(side.counts):,}"))
        parts.append(axes.drawn(name_across=i == 1))
    height = TOP + 12 + 2 * half + gap + 46
    return picture(LEFT + SIDE + 20, height, f"Spread of the scores of {curves.of}", *parts)


def _discreet(label: str) -> str:
    return shown_id(label, "label")


def has_curve(epochs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is anything to draw of the epochs."""
    return any(row[name] is not None for row in epochs for name in ("loss", "dev_loss", "dev"))


def learning_plot(epochs: Sequence[Mapping[str, Any]], best: int | None, metric: str) -> Markup:
    """Losses and the dev metric by epoch; the epoch whose weights were kept is marked."""
    last = max(row["epoch"] for row in epochs)
    every = tuple(float(n) for n in range(1, last + 1, ceil(last / 10)))
    across = Scale("epoch", 0.7, last + 0.3, every)
    parts, left = [], LEFT
    losses = [("loss", "training", BLUE, ""), ("dev_loss", "dev", VERMILION, "7 3")]
    panels = [
        ("mean loss of a decision", losses),
        (f"{metric} on dev", [("dev", metric, GREEN, "")]),
    ]
    for title, lines in panels:
        shown = [
            (said, colour, dash, points)
            for name, said, colour, dash in lines
            if (points := [(r["epoch"], r[name]) for r in epochs if r[name] is not None])
        ]
        if not shown:
            continue
        values = [value for *_, points in shown for _, value in points]
        axes = Axes(left, TOP, SIDE, 200, across, around(title, values))
        if best is not None:
            axes.line([(best, axes.up.low), (best, axes.up.high)], GREY, "2 3", 1.4)
            side = "end" if best > last / 2 else "start"
            axes.text(best, axes.up.high, "kept", anchor=side, dx=-4 if side == "end" else 4)
        for _, colour, dash, points in shown:
            axes.line(points, colour, dash)
            for epoch, value in points:
                axes.dot(epoch, value, colour, radius=3, said=f"epoch {epoch}: {value:.4g}")
        parts.append(axes.drawn())
        rows = [(colour, dash, said) for said, colour, dash, _ in shown]
        parts.append(key(left, TOP + 200 + 56, rows))
        left += SIDE + LEFT + 24
    return picture(left - LEFT + 10, TOP + 200 + 86, f"Losses and {metric} by epoch", *parts)


def interval_mark(found: Estimate | None, value: float) -> Markup:
    """A value from 0 to 1 and its interval, in a row of a table."""
    width = 150
    axes = Axes(6, 3, width - 12, 14, shares(""), Scale("", 0, 1, ()))
    axes.marks.append(_box(axes, 0.0, 1.0, "#f0f0f0", 8))
    if found is not None:
        axes.line([(found.low, 0.5), (found.high, 0.5)], BLUE, wide=2.5)
    axes.dot(value, 0.5, BLUE, radius=4)
    said = f"{value:.3f}" if found is None else f"{value:.3f} ({found.low:.3f} to {found.high:.3f})"
    return picture(width, 20, said, *axes.marks)


def difference_mark(found: Estimate, reach: float) -> Markup:
    """A difference and its interval beside the line of no difference."""
    width = 190
    axes = Axes(6, 3, width - 12, 14, Scale("", -reach, reach, ()), Scale("", 0, 1, ()))
    axes.marks.append(_box(axes, -reach, reach, "#f0f0f0", 8))
    axes.line([(0.0, 0.0), (0.0, 1.0)], INK, wide=1.2)
    axes.line([(found.low, 0.5), (found.high, 0.5)], BLUE, wide=2.5)
    axes.dot(found.value, 0.5, BLUE, radius=4)
    said = f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    return picture(width, 20, said, *axes.marks)


def _box(axes: Axes, low: float, high: float, colour: str, tall: float) -> Markup:
    middle = axes.top + axes.height / 2
    return element(
        "rect", x=axes.x(low), y=middle - tall / 2, width=axes.x(high) - axes.x(low),
        height=tall, fill=colour,
    )  # fmt: skip


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share of n, as if they were independent."""
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
