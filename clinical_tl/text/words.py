"""The words of a note, to measure distance and context in, whatever the tokenizer."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from clinical_tl.schema import Span
from clinical_tl.text.scripts import has_blankless, parts

_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Words:
    """Where each run of visible characters starts and ends, in text order.

    In scripts that set no blank between words (`text.scripts`) each letter is a word.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Words:
        """The words of a text; none for a blank one."""
        bounds = [found.span() for found in _WORD.finditer(text)]
        if has_blankless(text):
            bounds = [part for start, end in bounds for part in parts(text, start, end)]
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
