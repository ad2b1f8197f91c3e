"""A text put together from stretches whose offsets are known: sentences, passages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from clinical_tl.data.formats.counting import BYTES, UTF16, Pieces, Quoted
from clinical_tl.data.formats.mention import quotes
from clinical_tl.data.formats.problems import UnreadableError
from clinical_tl.display.discreet import Discreet

CHARACTERS = "characters"

WIDTHS: dict[str, Callable[[str], int]] = {
    CHARACTERS: len,
    UTF16: lambda text: len(text) + sum(char > "\uffff" for char in text),
    BYTES: lambda text: len(text.encode("utf-8", "surrogateescape")),
}
"""What offsets may count → how much of it a text has."""

MOST_BLANKS = 100_000
"""More blanks than this, and than text, are no gaps: an offset is wrong, or made to fill memory."""

TOO_FAR = (
    "parts of a text that are further apart than they are long",
    f"offsets that leave at most {MOST_BLANKS:,} blanks between the parts, or fewer than text",
)


@dataclass(frozen=True, eq=False, repr=False)
class Stretch(Discreet):
    """A part of a text: where it begins, and what parts it from the stretch before it."""

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"text"})
    offset: int
    text: str
    mark: str = "\n"


@dataclass(frozen=True, eq=False, repr=False)
class Joined(Discreet):
    """A text put together.

    Attributes:
        text: the stretches, each where it begins: after its mark and as many blanks as it needs.
        unit: what the offsets count, a key of `WIDTHS`.
        places: offset → character of the text.
    """

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"text"})
    text: str
    unit: str
    places: Mapping[int, int]

    def pieces(self, given: Pieces) -> Pieces | None:
        """A mention's pieces in characters; `None` where an offset lies inside one, or outside."""
        found = [(self.places.get(a, -1), self.places.get(b, -1)) for a, b in given]
        return found if all(a >= 0 and b >= 0 for a, b in found) else None

    def agreeing(self, mentions: Sequence[Quoted]) -> int:
        """How many mentions stand where they say."""
        placed = ((mention.quoted, self.pieces(mention.pieces)) for mention in mentions)
        return sum(
            said is not None and pieces is not None and quotes(self.text, pieces, said)
            for said, pieces in placed
        )


def join(stretches: Sequence[Stretch], mentions: Sequence[Quoted], units: Sequence[str]) -> Joined:
    """Puts a text together, the offsets counting the first unit in which all mentions fit.

    Where there is none: the one in which the most do.

    Raises:
        UnreadableError: stretches that overlap, or lie too far apart, whatever the offsets count.
    """
    are_apart = False
    quoted = sum(mention.quoted is not None for mention in mentions)
    best, most = None, -1
    for unit in units:
        gaps, width = _gaps(stretches, WIDTHS[unit])
        if min(gaps, default=0) < 0:
            continue
        if are_too_far(sum(gaps), width):
            are_apart = True
            continue
        joined = _joined(stretches, gaps, unit)
        agreeing = joined.agreeing(mentions)
        if agreeing == quoted:
            return joined
        if agreeing > most:
            best, most = joined, agreeing
    if best is None and are_apart:
        raise UnreadableError(*TOO_FAR)
    if best is None:
        raise UnreadableError(
            "parts of a text that overlap: one begins before the one above it ends",
            "offsets that count the whole text, its parts in order",
        )
    return best


def are_too_far(blanks: int, width: int) -> bool:
    """Whether blanks between parts are more than parts of this width may have."""
    return blanks > max(MOST_BLANKS, width)


def _gaps(stretches: Sequence[Stretch], width: Callable[[str], int]) -> tuple[list[int], int]:
    """The blanks before each stretch, below 0 where it overlaps, and the width of them all."""
    gaps, end, written = [], 0, 0
    for stretch in stretches:
        own = width(stretch.text)
        gaps.append(stretch.offset - end)
        end = stretch.offset + own
        written += own
    return gaps, written


def _joined(stretches: Sequence[Stretch], gaps: Sequence[int], unit: str) -> Joined:
    width = WIDTHS[unit]
    pieces: list[str] = []
    for stretch, gap in zip(stretches, gaps, strict=True):
        mark = stretch.mark if pieces else " "
        blank = mark + " " * (gap - 1) if gap else ""
        pieces += [blank, stretch.text]
    text = "".join(pieces)
    places = {end: i for i, end in enumerate([0, *accumulate(map(width, text))])}
    return Joined(text, unit, places)
