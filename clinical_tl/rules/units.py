"""The units that rules are matched on: words, and every other visible character by itself.

In scripts that set no blank between words (`text.scripts`) each letter is a unit, so that rules
find what stands within a sentence of them.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from dataclasses import dataclass

from clinical_tl.discreet import Discreet
from clinical_tl.text.scripts import Bounds, has_blankless, parts

SOFT_HYPHEN = "\u00ad"
_JOINED = "".join(
    chr(code)
    for code in range(0x300, min(0x10000, sys.maxunicode))
    if unicodedata.category(chr(code)) in ("Mn", "Mc")
)
# A run of letters, digits and underscores, with the accents that are characters of their own and
# the hyphens that only show at a line's end, is one unit, so that no rule fires inside a word.
_UNIT = re.compile(rf"\w[\w{SOFT_HYPHEN}\u200c\u200d{_JOINED}]*|[^\w\s]")


@dataclass(frozen=True, eq=False, repr=False)
class TextUnits(Discreet):
    """The units of a text, in order.

    `words` (accents composed, soft hyphens left out, so that two spellings of one word are
    one), `starts` and `ends` (characters of the text, half-open) have shape (units,).
    """

    words: list[str]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.words)


def split_units(text: str) -> TextUnits:
    """All units of a text; white space belongs to none."""
    bounds = unit_bounds(text)
    return TextUnits(
        [_composed(text[start:end]) for start, end in bounds],
        [start for start, _ in bounds],
        [end for _, end in bounds],
    )


def words_of(text: str) -> list[str]:
    """The units of a text without their places."""
    return split_units(text).words


def unit_bounds(text: str) -> Bounds:
    """Start and end of each unit of a text, in order."""
    bounds = [found.span() for found in _UNIT.finditer(text)]
    if has_blankless(text):
        return [part for start, end in bounds for part in parts(text, start, end)]
    return bounds


def lowered(text: str) -> tuple[str, ...]:
    """A text's units in lower case: what two patterns must share to match the same stretches."""
    return tuple(word.lower() for word in words_of(text))


def _composed(word: str) -> str:
    if word.isascii():
        return word
    shown = word.replace(SOFT_HYPHEN, "") or word
    return unicodedata.normalize("NFC", shown)
