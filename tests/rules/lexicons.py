"""Rules and notes that the tests of rules share, all made up."""

from __future__ import annotations

from clinical_tl.rules.rule import Rule
from clinical_tl.schema import Note, Prediction, Span


def rule(pattern, label="Problem", *, origin="t", **fields):
    return Rule(f"{origin}:{pattern}:{label}", pattern, label, origin, **fields)


def marked(note_id, text, *mentions, label="Problem"):
    """A note in which the first occurrence of each mention is annotated."""
    spans = []
    for mention in mentions:
        start = text.index(mention)
        spans.append(Span(start, start + len(mention), label, concepts=(f"C-{mention.lower()}",)))
    return Note(note_id, text, spans=tuple(spans))


def claims(note_id, *spans):
    """A prediction of (start, end, label, score) each."""
    return Prediction(
        note_id, spans=tuple(Span(s, e, label, score=score) for s, e, label, score in spans)
    )


def found(note_or_text, spans):
    text = note_or_text if isinstance(note_or_text, str) else note_or_text.text
    return [text[span.start : span.end] for span in spans]
