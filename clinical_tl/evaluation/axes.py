"""Axes of a plot in SVG: scales, ticks, titles, and marks at data coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clinical_tl.evaluation.markup import Markup, element, joined

INK, GREY, FAINT = "#222222", "#767676", "#e3e3e3"
# Okabe & Ito's colours, which people tell apart whatever they see of red and green.
BLUE, VERMILION, GREEN, PURPLE, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
DASHES = ("", "7 3", "2 3", "9 3 2 3", "1 2")
"""Lines differ in these too: a colour is never all that tells."""

Transform = Callable[[float], float]


@dataclass(frozen=True)
class Scale:
    """The values along an axis, with a title and ticks; `transform` makes it other than linear."""

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]
    transform: Transform = float

    def at(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one; outside ones at the ends."""
        low, high = self.transform(self.low), self.transform(self.high)
        inside = self.transform(min(max(value, self.low), self.high))
        return (inside - low) / (high - low)


def shares(title: str) -> Scale:
    """From 0 to 1."""
    return Scale(title, 0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))


def small_shares(title: str) -> Scale:
    """From 0 to 1 by the square root, so that small ones have room."""
    return Scale(title, 0.0, 1.0, (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0), math.sqrt)


def counts(title: str, most: float, *, logarithmic: bool = False) -> Scale:
    """From 0 to a count, round numbers as ticks; the logarithm is of one more."""
    if logarithmic:
        powers = tuple(10.0**n for n in range(math.ceil(math.log10(max(most, 2))) + 1))
        kept = powers[:: max(1, len(powers) // 4)]
        return Scale(title, 0.0, max(most, 1.0), (0.0, *kept), math.log1p)
    ticks = round_numbers(0.0, max(most, 1.0))
    return Scale(title, 0.0, max(most, ticks[-1]), ticks)


def around(title: str, values: Sequence[float]) -> Scale:
    """As far as the values go."""
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return Scale(title, low - room, high + room, round_numbers(low - room, high + room))


def round_numbers(low: float, high: float, about: int = 5) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten within a range.

    >>> round_numbers(0, 37)
    (0.0, 10.0, 20.0, 30.0)
    """
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= raw)
    first = math.ceil(low / step - 1e-9)
    return tuple(
        round(n * step, 12) for n in range(first, first + 2 * about) if n * step <= high + 1e-9
    )


@dataclass
class Axes:
    """A plot's area, in pixels of the picture it is in, and what is drawn in it."""

    left: float
    top: float
    width: float
    height: float
    across: Scale
    up: Scale
    marks: list[Markup] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return round(self.left + self.width * self.across.at(value), 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return round(self.top + self.height * (1 - self.up.at(value)), 1)

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, dash: str = "", wide: float = 2
    ) -> None:
        """A line through points."""
        path = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)
        self.marks.append(
            element(
                "polyline", points=path, fill="none", stroke=colour, stroke_width=wide,
                stroke_dasharray=dash or None, stroke_linejoin="round",
            )
        )  # fmt: skip

    def dot(self, x: float, y: float, colour: str, *, radius: float = 4.5, said: str = "") -> None:
        """A point, with what a pointer over it says."""
        title = element("title", said) if said else None
        self.marks.append(
            element("circle", title, cx=self.x(x), cy=self.y(y), r=radius, fill=colour)
        )

    def bar(self, first: float, last: float, count: float, colour: str, *, said: str = "") -> None:
        """A bar from 0 up to a count, between two values across."""
        left, right, top = self.x(first), self.x(last), self.y(count)
        title = element("title", said) if said else None
        self.marks.append(
            element(
                "rect", title, x=left, y=top, width=round(max(right - left - 1, 1), 1),
                height=round(self.top + self.height - top, 1), fill=colour,
            )
        )  # fmt: skip

    def text(self, x: float, y: float, said: str, *, anchor: str = "start", dx: float = 0) -> None:
        """Words at a point."""
        self.marks.append(words(self.x(x) + dx, self.y(y) + 4, said, anchor=anchor))

    def drawn(self, *, name_across: bool = True) -> Markup:
        """Grid, ticks, titles and marks; without the axis's name below where another has it."""
        bottom = self.top + self.height
        parts: list[Markup] = []
        for value in self.across.ticks:
            if not self.across.low <= value <= self.across.high:
                continue
            x = self.x(value)
            parts.append(_rule(x, self.top, x, bottom, FAINT))
            if name_across:
                parts.append(words(x, bottom + 16, f"{value:g}", anchor="middle", size=11))
        for value in self.up.ticks:
            if not self.up.low <= value <= self.up.high:
                continue
            y = self.y(value)
            parts.append(_rule(self.left, y, self.left + self.width, y, FAINT))
            parts.append(words(self.left - 6, y + 4, f"{value:,g}", anchor="end", size=11))
        parts.append(_rule(self.left, bottom, self.left + self.width, bottom, GREY))
        parts.append(_rule(self.left, self.top, self.left, bottom, GREY))
        if name_across:
            middle = self.left + self.width / 2
            parts.append(words(middle, bottom + 34, self.across.title, anchor="middle"))
        centre = self.top + self.height / 2
        parts.append(
            element(
                "text", self.up.title, x=0, y=0, text_anchor="middle", font_size=12, fill=INK,
                transform=f"translate({self.left - 44:g} {centre:g}) rotate(-90)",
            )
        )  # fmt: skip
        return joined(*parts, *self.marks, by="\n")


def words(x: float, y: float, said: str, *, anchor: str = "start", size: int = 12) -> Markup:
    """Text in a picture."""
    return element(
        "text", said, x=round(x, 1), y=round(y, 1), text_anchor=anchor, font_size=size, fill=INK
    )


def key(x: float, y: float, rows: Sequence[tuple[str, str, str]]) -> Markup:
    """What lines stand for: (colour, dash, words), one below the other."""
    parts = []
    for i, (colour, dash, said) in enumerate(rows):
        at = y + 17 * i
        parts.append(
            element(
                "line", x1=x, y1=at, x2=x + 26, y2=at, stroke=colour, stroke_width=2.5,
                stroke_dasharray=dash or None,
            )
        )  # fmt: skip
        parts.append(words(x + 32, at + 4, said, size=11))
    return joined(*parts, by="\n")


def picture(width: int, height: int, described: str, *parts: Markup) -> Markup:
    """The SVG, which says in words what it shows."""
    return element(
        "svg", element("title", described), *parts, role="img", viewBox=f"0 0 {width} {height}",
        width=width, height=height, xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour)
