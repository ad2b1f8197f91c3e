"""The words of a note, to measure distance and context in, whatever the tokenizer.

In scripts that set no blank between words (`text.scripts`) each letter is a word, so that what
stands within a sentence of them is found and told apart.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from clinical_tl.schema import Span
from clinical_tl.text.scripts import Bounds, has_blankless, parts

SOFT_HYPHEN = "\u00ad"
_JOINED = "".join(
    chr(code)
    for code in range(0x300, min(0x10000, sys.maxunicode))
    if unicodedata.category(chr(code)) in ("Mn", "Mc")
)
_WORD = re.compile(r"\S+")
# A run of letters, digits and underscores, with the accents that are characters of their own and
# the hyphens that only show at a line's end, is one word, so that no rule fires inside it.
_WORD_OR_SIGN = re.compile(rf"\w[\w{SOFT_HYPHEN}\u200c\u200d{_JOINED}]*|[^\w\s]")


@dataclass(frozen=True)
class Words:
    """Where each run of visible characters starts and ends, in text order."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Words:
        """The words of a text; none for a blank one."""
        bounds = _bounds(_WORD, text)
        return cls(tuple(start for start, _ in bounds), tuple(end for _, end in bounds))

    def __len__(self) -> int:
        return len(self.starts)

    def touched(self, start: int, end: int) -> tuple[int, int]:
        """First and one past the last word that characters `start` to `end` touch.

        Equal where they touch none (white space alone): then the word that follows.
        """
        first = bisect_right(self.ends, start)
        return first, max(first, bisect_left(self.starts, end))

    def between(self, one: Span, other: Span) -> int:
        """How many words stand between two mentions; 0 where they touch or overlap."""
        left, right = sorted((one, other), key=lambda span: (span.start, span.end))
        return max(
            0, self.touched(right.start, right.end)[0] - self.touched(left.start, left.end)[1]
        )


def split_words(text: str) -> list[str]:
    """The words of a text as `str.split` gives them, letters of scripts without blanks apart."""
    if not has_blankless(text):
        return text.split()
    return [text[start:end] for start, end in _bounds(_WORD, text)]


def word_bounds(text: str) -> Bounds:
    """Start and end of each word and, by itself, of every other visible character, in order."""
    return _bounds(_WORD_OR_SIGN, text)


def _bounds(pattern: re.Pattern[str], text: str) -> Bounds:
    bounds = [found.span() for found in pattern.finditer(text)]
    if has_blankless(text):
        return [part for start, end in bounds for part in parts(text, start, end)]
    return bounds
