"""The units that rules are matched on: words, and every other visible character by itself."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from clinical_tl.display.discreet import Discreet
from clinical_tl.text.words import SOFT_HYPHEN, word_bounds


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
    bounds = word_bounds(text)
    return TextUnits(
        [_composed(text[start:end]) for start, end in bounds],
        [start for start, _ in bounds],
        [end for _, end in bounds],
    )


def words_of(text: str) -> list[str]:
    """The units of a text without their places."""
    return split_units(text).words


def lowered(text: str) -> tuple[str, ...]:
    """A text's units in lower case: what two patterns must share to match the same stretches."""
    return tuple(word.lower() for word in words_of(text))


def _composed(word: str) -> str:
    if word.isascii():
        return word
    shown = word.replace(SOFT_HYPHEN, "") or word
    return unicodedata.normalize("NFC", shown)
