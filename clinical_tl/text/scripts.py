"""What a script says of a text's parts: characters as readers see them, and where words begin."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import regex

# Scripts that set no blank between words: those of Unicode's line-breaking classes ID (Han, Kana,
# Bopomofo, Yi) and SA (Thai and its neighbours; UAX 14), and Tibetan. Digits are not among them.
# Korean sets blanks. The three single characters belong to Kana and Han, but to no script.
_BLANKLESS = (
    r"[[\p{L}\p{N}--\p{Nd}]&&[ー\uff70〆\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}"
    r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}"
    r"\p{Ahom}\p{Tibetan}]]"
)
_IS_BLANKLESS = regex.compile(_BLANKLESS, regex.V1)
_PARTS = regex.compile(rf"(?={_BLANKLESS})\X|(?:(?!{_BLANKLESS})\X)+", regex.V1)
# Only these make a character of several code points (UAX 29).
_JOINING = regex.compile(
    r"[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}\p{GCB=Prepend}\p{GCB=RI}"
    r"\p{GCB=L}\p{GCB=V}\p{GCB=T}]"
)
_CHARACTER = regex.compile(r"\X")
# Full stops and commas as wide as a letter of these scripts have their blank in them.
_WIDE_SIGN = r"[\p{P}&&[\p{East_Asian_Width=Wide}\p{East_Asian_Width=Fullwidth}]]"
_ENDS_WITHOUT_BLANK = regex.compile(rf"(?:{_BLANKLESS}\p{{M}}*|{_WIDE_SIGN})\Z", regex.V1)
_BEGINS_WITHOUT_BLANK = regex.compile(rf"{_BLANKLESS}|{_WIDE_SIGN}", regex.V1)
# Their width is zero and they end a word's part, as between a Persian noun and its plural.
_JOINERS = "\u200c\u200d"

Bounds = list[tuple[int, int]]


@lru_cache(maxsize=2**16)
def is_blankless(character: str) -> bool:
    """Whether a letter is of a script that sets no blank between words."""
    return _IS_BLANKLESS.match(character) is not None


def has_blankless(text: str) -> bool:
    """Whether a text has a letter of a script that sets no blank between words."""
    return not text.isascii() and _IS_BLANKLESS.search(text) is not None


def characters(text: str) -> npt.NDArray[np.int64]:
    """Start and end of each character as a reader sees it, shape (characters, 2).

    They are the extended grapheme clusters of UAX 29 (Unicode text segmentation), without
    joiners of zero width that nothing follows.
    """
    if text.isascii() or _JOINING.search(text) is None:
        return np.arange(len(text))[:, None] + (0, 1)
    bounds = [
        (found.start(), found.start() + max(1, len(found[0].rstrip(_JOINERS))))
        for found in _CHARACTER.finditer(text)
    ]
    return np.array(bounds, dtype=np.int64)


def parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A word (characters `start` to `end`) cut into what could be words by itself.

    That is each letter of a script without blanks, and what stands between such letters.
    """
    for found in _PARTS.finditer(text, start, end):
        yield found.span()


def sets_blank(before: str, after: str) -> bool:
    """Whether a blank stands between two words in a text; beside scripts without, none does."""
    if before.isascii() and after.isascii():
        return True
    ends = _ENDS_WITHOUT_BLANK.search(before) is not None
    return not ends and _BEGINS_WITHOUT_BLANK.match(after) is None
