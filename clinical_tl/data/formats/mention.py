"""One mention: offsets checked against the text and against what the corpus quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.schema import WIDTHLESS, Span

_WIDTHLESS = re.compile(f"[{WIDTHLESS}]")


def read_mention(
    text: str,
    pieces: Sequence[tuple[int, int]],
    label: str,
    place: Place,
    faults: Faults,
    *,
    quoted: str | None = None,
    hint: str = "",
    mention_id: str = "",
    concepts: tuple[str, ...] = (),
    attributes: tuple[tuple[str, str], ...] = (),
    score: float | None = None,
) -> Span | None:
    """Builds a span, or adds a fault and returns `None`.

    Args:
        text: the note.
        pieces: half-open character offsets, several for a discontinuous mention, in the order
            in which the corpus quotes them.
        label: the entity type.
        place: where the mention stands.
        faults: where what is wrong goes.
        quoted: the mention as the corpus quotes it. Runs of whitespace are compared as one
            space, since corpora quote line breaks as spaces and pad mentions.
        hint: what would make more of the note's mentions fit, for the error.
        mention_id: the mention's id within the note.
        concepts: ids in a terminology.
        attributes: name-value pairs.
        score: a model's confidence.
    """
    fault = offset_fault(pieces, len(text))
    if not fault and not label.strip():
        fault = ("a mention without a label", "a label")
    if not fault and quoted is not None and not quotes(text, pieces, quoted):
        fault = (
            f"offsets {_shown(pieces)} do not cover the quoted mention of {len(quoted)} "
            f"characters{_distance(text, pieces, quoted)}{f'; {hint}' if hint else ''}",
            "offsets in characters (not bytes) into the text with its line breaks untouched "
            "(CRLF is two)",
        )
    if fault:
        faults.add(place, *fault)
        return None
    ordered = tuple(sorted(pieces))
    return Span(
        start=ordered[0][0],
        end=ordered[-1][1],
        label=label,
        id=mention_id,
        concepts=concepts,
        attributes=attributes,
        fragments=ordered if len(ordered) > 1 else (),
        score=score,
    )


def offset_fault(pieces: Sequence[tuple[int, int]], length: int) -> tuple[str, str] | None:
    """What is wrong with a mention's offsets in a text of `length` characters, if anything."""
    if not pieces or any(not 0 <= start < end <= length for start, end in pieces):
        found = f"offsets {_shown(pieces)} in a text of {length} characters"
        return found, f"0 <= start < end <= {length}"
    ordered = sorted(pieces)
    if any(first[1] > second[0] for first, second in pairwise(ordered)):
        return f"pieces {_shown(pieces)} that overlap", "pieces that do not overlap"
    return None


def quotes(text: str, pieces: Sequence[tuple[int, int]], quoted: str) -> bool:
    """Whether the pieces, joined by a space, are the quoted mention but for blanks."""
    found = " ".join(text[start:end] for start, end in pieces)
    return found == quoted or _words(found) == _words(quoted)


def _words(text: str) -> list[str]:
    return _WIDTHLESS.sub("", text).split()


def _shown(pieces: Sequence[tuple[int, int]]) -> str:
    return ";".join(f"{start}–{end}" for start, end in pieces) or "(none)"


def _distance(text: str, pieces: Sequence[tuple[int, int]], quoted: str) -> str:
    # The distance tells its cause: growing steadily through a note means bytes or CRLF.
    start = pieces[0][0]
    if len(pieces) > 1 or not quoted:
        return ""
    places = [
        at
        for at in (text.find(quoted, start), text.rfind(quoted, 0, start + len(quoted)))
        if at >= 0
    ]
    if not places:
        return " (which the text does not contain)"
    nearest = min(places, key=lambda at: abs(at - start))
    return f" (which stands {nearest - start:+d} characters away)"
