"""Whether a text says anything: one rule for every way to read notes, whatever the tokenizer."""

from __future__ import annotations

import unicodedata

# Letters and signs by their category, blank by their looks: fillers of Hangul, empty Braille, and
# what stands for an object that the text lost.
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffc")
# White space, control and format characters (zero-width spaces, byte order marks, soft hyphens),
# and marks that stand on no letter.
_NOTHING = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"})


def has_text(text: str) -> bool:
    """Whether a text has a visible character; `str.strip` sees one in a zero-width space."""
    return any(
        character not in _FILLERS and unicodedata.category(character) not in _NOTHING
        for character in text
    )
