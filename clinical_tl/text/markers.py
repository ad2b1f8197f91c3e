"""A pair of entities marked in its context, as text that any tokenizer can read.

The typed entity marker with punctuation of Zhou & Chen 2022 (An Improved Baseline for
Sentence-level Relation Extraction, arXiv 2102.01373, section 3.1): `@ * chemical * aspirin @`
for the head, `# ^ disease ^ ulcer #` for the tail. It needs no new tokens, so no embedding
starts untrained and the encoder's vocabulary stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from clinical_tl.display.discreet import Discreet
from clinical_tl.schema import Span
from clinical_tl.text.pairs import Pair
from clinical_tl.text.words import Words

HEAD, TAIL = ("@", "*"), ("#", "^")
ELLIPSIS = " ... "

_NOT_A_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, eq=False, repr=False)
class MarkedPair(Discreet):
    """The text with its markers, and how many words between its stretches were left out."""

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"text"})

    text: str
    elided: int


def mark_pair(
    text: str, words: Words, pair: Pair, *, mention_pairs: int, context: int
) -> MarkedPair:
    """The words around a pair's mentions, with the mentions marked as head and tail.

    Shown are the `mention_pairs` closest pairs of mentions with `context` words on either side
    of each mention, so both ends are always there, however far apart they stand; what lies
    between two stretches is left out, with an ellipsis in its place. Every mention of the two
    entities that lies within a stretch is marked, not the closest alone; a discontinuous one
    from its first character to its last. Nested mentions get nested markers.
    """
    shown = {span for mentions in pair.mentions[:mention_pairs] for span in mentions}
    stretches = _stretches(text, words, shown, context)
    marks: list[tuple[tuple[int, int, int, int], int, str]] = []
    for role, (entity, signs) in enumerate(((pair.head, HEAD), (pair.tail, TAIL))):
        opening, closing = _markers(entity.label, signs)
        for span in entity.mentions:
            if any(start <= span.start and span.end <= end for start, end in stretches):
                # At one place: what ends before what begins, inner ends and outer begins first.
                marks.append(((span.start, 1, -span.end, role), span.start, opening))
                marks.append(((span.end, 0, -span.start, -role), span.end, closing))
    marks.sort()
    shown_texts = []
    for start, end in stretches:
        pieces, done = [], start
        for _, position, marker in marks:
            if start <= position <= end:
                pieces += [text[done:position], marker]
                done = position
        shown_texts.append("".join([*pieces, text[done:end]]))
    bounds = [words.touched(start, end) for start, end in stretches]
    elided = sum(later[0] - earlier[1] for earlier, later in pairwise(bounds))
    return MarkedPair(ELLIPSIS.join(shown_texts), elided)


def _markers(label: str, signs: tuple[str, str]) -> tuple[str, str]:
    outer, inner = signs
    kind = _NOT_A_WORD.sub(" ", label).strip().lower() or label
    return f"{outer} {inner} {kind} {inner} ", f" {outer}"


def _stretches(text: str, words: Words, spans: set[Span], context: int) -> list[tuple[int, int]]:
    """Character ranges of the words around the mentions, in order, touching ones joined."""
    ranges = []
    for span in spans:
        first, last = words.touched(span.start, span.end)
        first, last = max(0, first - context), min(len(words), last + context)
        # A mention may begin or end inside white space, where no word does.
        start = min([span.start, *words.starts[first : first + 1]])
        end = max([span.end, *words.ends[last - 1 : last]])
        ranges.append((start, end))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and (start <= joined[-1][1] or text[joined[-1][1] : start].isspace()):
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
