"""A learning curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_tl.errors import MissingExtraError
from clinical_tl.storage.replacement import replacing_file
from clinical_tl.transfer.gain import Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = {"baseline": ":", "transfer": "-", "random": "--"}


def draw_curve(points: Sequence[Point], metric: str) -> Figure:
    """Mean scores over the number of training notes, with bands where there are seeds."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", "plots", "The plot") from error
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for method in dict.fromkeys(point.method for point in points):
        mine = [point for point in points if point.method == method]
        budgets = [point.budget for point in mine]
        style = STYLES[mine[0].kind]
        (line,) = axes.plot(budgets, [p.mean for p in mine], style, marker="o", label=method)
        banded = [p for p in mine if p.low is not None and p.high is not None]
        axes.fill_between(
            [p.budget for p in banded],
            [float(p.low or 0.0) for p in banded],
            [float(p.high or 0.0) for p in banded],
            alpha=0.15,
            color=line.get_color(),
        )
    axes.set_xscale("log")
    axes.set_xlabel("training notes")
    axes.set_ylabel(f"test {metric}")
    axes.legend(fontsize="small")
    return figure


def plot_curve(points: Sequence[Point], metric: str, file: str | Path) -> Path:
    """Write `draw_curve` as a picture. Raises `MissingExtraError` without matplotlib."""
    figure = draw_curve(points, metric)
    with replacing_file(file) as draft:
        figure.savefig(draft, dpi=150)
    return Path(file)
