"""The units of a text that tags are given to, as its tokens can tell them apart.

Whatever the tokenizer (WordPiece, BPE, Unigram), a unit of words is a run of letters, a run of
digits or one other visible character: "500mg," has three. In scripts that set no blank
between words (`text.scripts`) every letter is one. Of units of tokens every visible character
is, so that a mention may begin and end inside words, as German compounds, Korean and Arabic
with particles, and words that an export ran together need it. A token is never cut: units
that it covers are one. A unit is decided at its first token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from clinical_tl.schema import Span
from clinical_tl.text.scripts import characters, is_blankless
from clinical_tl.text.tokenizer import IntArray, TokenisedNote

UnitSize = Literal["words", "tokens"]

_BLANK, _LETTER, _DIGIT, _SINGLE = range(4)


@dataclass(frozen=True)
class Units:
    """The units of a note, in order.

    `tokens` (the token each is decided at), `starts` and `ends` (characters, half-open)
    have shape (units,). `borders` are the starts and the ends that units of tokens have.
    """

    tokens: IntArray
    starts: IntArray
    ends: IntArray
    borders: tuple[IntArray, IntArray]

    def __len__(self) -> int:
        return len(self.tokens)

    def why_not(self, span: Span) -> Literal["inside_word", "inside_token", "on_space"] | None:
        """Why no run of units is this (contiguous) mention; `None` where one is.

        It begins or ends where units of tokens do, inside a token, or on no visible character.
        """
        if _holds(self.starts, span.start) and _holds(self.ends, span.end):
            return None
        starts, ends = self.borders
        if _holds(starts, span.start) and _holds(ends, span.end):
            return "inside_word"
        edges = np.array([span.start, span.end - 1])
        at = np.searchsorted(starts, edges, side="right") - 1
        is_visible = len(starts) > 0 and (at >= 0).all() and (edges < ends[at]).all()
        return "inside_token" if is_visible else "on_space"


def text_units(text: str, size: UnitSize = "words") -> Units:
    """The units of a text by itself, without a tokenizer; `tokens` numbers them.

    >>> text = "Aspirin 500mg, q8h"
    >>> units = text_units(text)
    >>> [text[start:end] for start, end in zip(units.starts, units.ends)]
    ['Aspirin', '500', 'mg', ',', 'q', '8', 'h']
    >>> units.why_not(Span(0, 13, "Drug")), units.why_not(Span(0, 4, "Drug"))
    (None, 'inside_word')
    """
    bounds, opens = _openings(text)
    return _joined(np.arange(len(bounds)), bounds[:, 0], bounds[:, 1], opens, size)


def find_units(text: str, tokens: TokenisedNote, size: UnitSize = "words") -> Units:
    """The units of a text, as its tokens can tell them apart.

    Tokens without a visible character (line breaks in some tokenizers) belong to none.
    Combining marks that a tokenizer drops, or cuts off, belong to the character before them.
    """
    bounds, opens = _openings(text)
    # The characters that each token touches; one that touches none is left out.
    first = np.searchsorted(bounds[:, 1], tokens.starts, side="right")
    stop = np.searchsorted(bounds[:, 0], tokens.ends)
    visible = np.flatnonzero((stop > first) & (tokens.ends > tokens.starts))
    if not len(visible):
        return _joined(visible, visible, visible, opens[:0], size)
    first, own_starts = np.maximum.accumulate(first[visible]), tokens.starts[visible]
    starts = bounds[first, 0]
    # A token that begins inside a character (bytes, marks) goes on with what was begun before it.
    begins = own_starts == starts
    begins[1:] &= first[1:] > first[:-1]
    begins[0] = True
    opening = np.flatnonzero(begins)
    starts, opens = starts[opening], opens[first[opening]]
    opens[0] = True
    # Tokens that share a character's bytes overlap where it meets the next.
    ends = np.maximum.reduceat(tokens.ends[visible], opening)
    ends = np.minimum(ends, np.append(starts[1:], len(text)))
    return _joined(
        visible[opening], starts, bounds[np.searchsorted(bounds[:, 0], ends) - 1, 1], opens, size
    )


def _joined(
    tokens: IntArray, starts: IntArray, ends: IntArray, opens: np.ndarray, size: UnitSize
) -> Units:
    """Units of tokens, or what they make up where each that does not open goes on."""
    borders = (starts, ends)
    if size == "words" and len(starts):
        first = np.flatnonzero(opens)
        last = np.append(first[1:], len(starts)) - 1
        tokens, starts, ends = tokens[first], starts[first], ends[last]
    return Units(tokens, starts, ends, borders)


def _openings(text: str) -> tuple[IntArray, np.ndarray]:
    """The visible characters, shape (characters, 2), and whether each opens a unit of words."""
    bounds = characters(text)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    distinct, which = np.unique(codes[bounds[:, 0]], return_inverse=True)
    kinds = np.array([_kind(chr(code)) for code in distinct.tolist()], dtype=np.int8)[which]
    opens = kinds == _SINGLE
    if len(kinds):
        opens[0] = True
        # Where a joiner of zero width was left out, a part of a word ends.
        apart = bounds[1:, 0] != bounds[:-1, 1]
        opens[1:] |= (kinds[1:] != kinds[:-1]) | apart
    visible = kinds != _BLANK
    return bounds[visible], opens[visible]


@lru_cache(maxsize=2**16)
def _kind(character: str) -> int:
    if character.isspace():
        return _BLANK
    if character.isdecimal():
        return _DIGIT
    return _LETTER if character.isalnum() and not is_blankless(character) else _SINGLE


def _holds(borders: IntArray, position: int) -> bool:
    at = int(np.searchsorted(borders, position))
    return at < len(borders) and int(borders[at]) == position
