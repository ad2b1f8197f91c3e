"""The units that rules are matched on: words, and every other visible character by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A run of letters, digits and underscores is one unit, so that no rule fires inside a word.
_UNIT = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class TextUnits:
    """The units of a text, in order.

    `words`, `starts` and `ends` (characters, half-open) have shape (units,).
    """

    words: list[str]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.words)


def split_units(text: str) -> TextUnits:
    """All units of a text; white space belongs to none."""
    found = list(_UNIT.finditer(text))
    return TextUnits(
        [match[0] for match in found],
        [match.start() for match in found],
        [match.end() for match in found],
    )


def words_of(text: str) -> list[str]:
    """The units of a text without their places."""
    return _UNIT.findall(text)


def lowered(text: str) -> tuple[str, ...]:
    """A text's units in lower case: what two patterns must share to match the same stretches."""
    return tuple(word.lower() for word in _UNIT.findall(text))
