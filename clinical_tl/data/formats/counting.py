r"""What the offsets of a note's mentions count, found out by the mentions that are quoted.

Tools count a text as they hold it: with `\r\n` as one character or `\n` as two, without the
byte-order mark, in bytes or, as JavaScript does, in units of UTF-16.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product

from clinical_tl.data.formats.mention import quotes
from clinical_tl.data.formats.problems import Faults

Pieces = Sequence[tuple[int, int]]

BYTE_ORDER_MARK = "\ufeff"
LONGEST_TRIED = 10_000_000


@dataclass(frozen=True)
class Quoted:
    """A mention's offsets in the order of the corpus, and how it is quoted, if it is."""

    pieces: Pieces
    quoted: str | None


@dataclass(frozen=True)
class Settled:
    """Where the mentions stand.

    Attributes:
        pieces: for each mention, its pieces in characters of the text.
        counts_mark: whether the offsets count a byte-order mark.
        hint: where the mentions don't fit, what would make more of them fit.
    """

    pieces: tuple[Pieces, ...]
    counts_mark: bool = True
    hint: str = ""


@dataclass(frozen=True)
class _Counting:
    unit: str = "characters"
    line_end: str = ""
    counts_mark: bool = True

    def __str__(self) -> str:
        parts = [self.line_end, "" if self.counts_mark else "no byte-order mark"]
        parts = [part for part in parts if part]
        return ", ".join(parts if parts and self.unit == "characters" else [self.unit, *parts])

    def moved(self, text: str, mentions: Sequence[Quoted]) -> list[Pieces | None]:
        """The mentions' pieces in characters; `None` where an offset is inside a character."""
        ends = [0, *accumulate(self._widths(text))]

        def place(offset: int, *, is_start: bool) -> int | None:
            # What has no width stands before the mention that starts there.
            at = bisect_right(ends, offset) - 1 if is_start else bisect_left(ends, offset)
            return at if 0 <= at < len(ends) and ends[at] == offset else None

        found: list[Pieces | None] = []
        for mention in mentions:
            bounds = [
                (place(a, is_start=True), place(b, is_start=False)) for a, b in mention.pieces
            ]
            whole = [(a, b) for a, b in bounds if a is not None and b is not None and a < b]
            found.append(whole if len(whole) == len(bounds) else None)
        return found

    def _widths(self, text: str) -> Iterator[int]:
        if not self.counts_mark:
            yield 0
            text = text.removeprefix(BYTE_ORDER_MARK)
        for before, char in pairwise(f"\0{text}"):
            if char == "\n" and before == "\r" and self.line_end == CRLF_AS_ONE:
                yield 0
            elif char == "\n" and before != "\r" and self.line_end == LF_AS_TWO:
                yield 2
            elif self.unit == BYTES:
                yield len(char.encode("utf-8", "surrogateescape"))
            else:
                yield 2 if self.unit == UTF16 and char > "\uffff" else 1


BYTES, UTF16 = "bytes", "units of UTF-16"
CRLF_AS_ONE, LF_AS_TWO = "CRLF line ends as one character", "LF line ends as two (CRLF)"


def settle(text: str, mentions: Sequence[Quoted], faults: Faults) -> Settled:
    """Finds what the offsets count: what makes every quoted mention stand where they say.

    Plain characters come first. Where another way of counting fits all of them, and no two that
    fit differ in their result, it is taken, and said. Else the offsets stay as they are.
    """
    as_given = Settled(tuple(mention.pieces for mention in mentions))
    quoted = sum(mention.quoted is not None for mention in mentions)
    if not quoted:
        return as_given
    plain = _agreeing(text, mentions, [mention.pieces for mention in mentions])
    if plain == quoted or len(text) > LONGEST_TRIED:
        return as_given
    fits: dict[tuple[Pieces, ...], _Counting] = {}
    best, most = None, plain
    for counting in _countings(text):
        moved = counting.moved(text, mentions)
        agreeing = _agreeing(text, mentions, moved)
        if agreeing > most:
            best, most = counting, agreeing
        whole = tuple(tuple(pieces) for pieces in moved if pieces is not None)
        if agreeing == quoted and len(whole) == len(mentions):
            fits.setdefault(whole, counting)
    if len(fits) == 1:
        ((pieces, counting),) = fits.items()
        faults.changed[f"notes whose offsets count {counting}, read so"] += 1
        return Settled(pieces, counting.counts_mark)
    if best is None:
        return as_given
    hint = f"{most} of {quoted} mentions would fit if the offsets counted {best}"
    return Settled(as_given.pieces, hint=hint)


def _countings(text: str) -> Iterator[_Counting]:
    units = ["characters"] if text.isascii() else ["characters", BYTES, UTF16]
    line_ends = ["", *[CRLF_AS_ONE] * ("\r\n" in text), *[LF_AS_TWO] * ("\n" in text)]
    marks = [True, False] if text.startswith(BYTE_ORDER_MARK) else [True]
    for unit, line_end, counts_mark in product(units, line_ends, marks):
        yield _Counting(unit, line_end, counts_mark)


def _agreeing(text: str, mentions: Sequence[Quoted], pieces: Sequence[Pieces | None]) -> int:
    return sum(
        mention.quoted is not None and own is not None and quotes(text, own, mention.quoted)
        for mention, own in zip(mentions, pieces, strict=True)
    )
