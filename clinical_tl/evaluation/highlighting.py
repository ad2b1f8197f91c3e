"""Notes with their spans marked, for a console or for displaCy. Shows note text: local use only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clinical_tl.schema import Span


def highlight(text: str, spans: Sequence[Span], *, width: int | None = None) -> str:
    """The text with each span as `[mention | label]`, line breaks as spaces.

    Of overlapping spans the first is marked. `width` cuts the result to about so many
    characters around the first spans (`…` marks the cut).

    >>> text = "Metformin was stopped because of nausea."
    >>> highlight(text, [Span(0, 9, "Drug"), Span(33, 39, "Problem")])
    '[Metformin | Drug] was stopped because of [nausea | Problem].'
    >>> highlight(text, [Span(33, 39, "Problem")], width=30)
    '…use of [nausea | Problem].'
    """
    pieces: list[str] = []
    position = 0
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if span.start < position:
            continue
        pieces += [text[position : span.start], f"[{text[span.start : span.end]} | {span.label}]"]
        position = span.end
    marked = " ".join("".join([*pieces, text[position:]]).split())
    if width is None or len(marked) <= width:
        return marked
    first = max(0, marked.find("[") - width // 4)
    cut = marked[first : first + width]
    return ("…" if first else "") + cut + ("…" if first + width < len(marked) else "")


def displacy_record(
    text: str, spans: Sequence[Span], *, title: str | None = None
) -> dict[str, Any]:
    """What `spacy.displacy.render(..., style="ent", manual=True)` takes."""
    ends = [
        {"start": span.start, "end": span.end, "label": span.label}
        for span in sorted(spans, key=lambda s: (s.start, s.end))
    ]
    return {"text": text, "ents": ends, "title": title}
