"""A matplotlib figure that shows itself in a notebook, whatever backend that has."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from clinical_tl.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, of no window and no global state.

    Raises `MissingExtraError` without matplotlib (extra `[plots]`).
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", "plots", "The plot") from error

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            stream = BytesIO()
            self.savefig(stream, format="png", dpi=DOTS_PER_INCH)
            return stream.getvalue()

    return ShownFigure(figsize=(width, height), layout="constrained")
