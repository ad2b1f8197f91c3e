"""Pieces of a note that are about one thing each: sentences, items and lines, never long."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 60
"""Words of a piece; what has no end is cut there."""
_END = re.compile(r"[.;:!?]+(?=\s)|[。；！？]|\n+")
_WORD = re.compile(r"\S+")


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """Where each piece of a text starts and ends, in order; white space between them is nobody's.

    A piece ends with a mark of punctuation that white space follows, with a line, or after
    `LONGEST` words.

    >>> text = "Chest pain. Denies fever; no rash"
    >>> [text[start:end] for start, end in pieces(text)]
    ['Chest pain.', 'Denies fever;', 'no rash']
    """
    start = 0
    for stop in [*(found.end() for found in _END.finditer(text)), len(text)]:
        words = [found.span() for found in _WORD.finditer(text, start, stop)]
        for first in range(0, len(words), LONGEST):
            own = words[first : first + LONGEST]
            yield own[0][0], own[-1][1]
        start = stop
