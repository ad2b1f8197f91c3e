"""The text a code rests on: the tokens that label attention looked at, as stretches of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinical_tl.schema import Span
from clinical_tl.text.scripts import is_blankless

if TYPE_CHECKING:
    from clinical_tl.text.tokenizer import TokenisedNote

EVIDENCE_CONTEXT = 24


def code_evidence(
    text: str, tokens: TokenisedNote, code: str, attended: Sequence[tuple[int, float]]
) -> tuple[Span, ...]:
    """Attended tokens as stretches of text: the words around each, near ones joined."""
    spans: list[Span] = []
    for token, weight in attended:
        start, end = int(tokens.starts[token]), int(tokens.ends[token])
        if end <= start:
            continue
        # Out to the line or word boundary within reach, so that a person can read it.
        left = max(0, start - EVIDENCE_CONTEXT)
        right = min(len(text), end + EVIDENCE_CONTEXT)
        while left < start and left > 0 and _inside_word(text, left):
            left += 1
        while right > end and right < len(text) and _inside_word(text, right):
            right -= 1
        stretch = text[left:right]
        left += len(stretch) - len(stretch.lstrip())
        right -= len(stretch) - len(stretch.rstrip())
        touching = [s for s in spans if s.start <= right and left <= s.end]
        spans = [s for s in spans if s not in touching]
        spans.append(
            Span(
                min([left, *(s.start for s in touching)]),
                max([right, *(s.end for s in touching)]),
                code,
                score=min(1.0, weight + sum(s.score or 0.0 for s in touching)),
            )
        )
    return tuple(sorted(spans, key=lambda s: -(s.score or 0.0)))


def _inside_word(text: str, position: int) -> bool:
    beside = text[position - 1 : position + 1]
    return not any(map(str.isspace, beside)) and not is_blankless(beside[1])
