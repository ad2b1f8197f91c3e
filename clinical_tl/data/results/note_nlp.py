"""Rows of NOTE_NLP, the table for what is found in notes, of the OMOP Common Data Model 5.4."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import date, datetime

from clinical_tl.data.results.tidy_rows import Columns, Row, in_words
from clinical_tl.errors import NoteError, OutputError, shown_id
from clinical_tl.schema import Note, Prediction, Span
from clinical_tl.storage.clock import now
from clinical_tl.version import __version__

log = logging.getLogger(__name__)

NOTE_NLP: Columns = {
    "note_nlp_id": int,
    "note_id": int,
    "section_concept_id": int,
    "snippet": str,
    "offset": str,
    "lexical_variant": str,
    "note_nlp_concept_id": int,
    "note_nlp_source_concept_id": int,
    "nlp_system": str,
    "nlp_date": date,
    "nlp_datetime": datetime,
    "term_exists": str,
    "term_temporal": str,
    "term_modifiers": str,
}
NO_CONCEPT = 0
LONGEST_TEXT = 250
LONGEST_MODIFIERS = 2_000
# What makes a term one that the patient does not have, as the model's guide says.
ABSENT = ("negation", "family", "hypothetical")


def note_nlp_rows(pairs: Iterable[tuple[Prediction, Note | None]], *, text: bool) -> Iterator[Row]:
    """One row for each mention, class, and stretch of evidence of a code.

    What was found (`label` or `code`, `score`, a mention's `end`, its concepts and attributes)
    is in `term_modifiers`, since the concepts' columns take ids of the OMOP vocabulary, which
    are not known here: they are 0. `term_exists` is `N` where an attribute says so and
    otherwise left open. `snippet` and `lexical_variant` are text of the note: blank unless
    `text`. Relations, which have no place in the table, are counted in the log.

    Raises:
        NoteError: a note id that is no whole number.
        OutputError: attributes that have no room.
    """
    time = now().replace(tzinfo=None)
    number = relations = 0
    for said, note in pairs:
        relations += len(said.relations or ())
        for span, modifiers in _terms(said):
            number += 1
            yield {
                "note_nlp_id": number,
                "note_id": _whole(said.note_id),
                "section_concept_id": NO_CONCEPT,
                "snippet": _snippet(note, span) if text else None,
                "offset": None if span is None else str(span.start),
                "lexical_variant": _words(note, span) if text else "",
                "note_nlp_concept_id": NO_CONCEPT,
                "note_nlp_source_concept_id": NO_CONCEPT,
                "nlp_system": f"clinical_tl {__version__}",
                "nlp_date": time.date(),
                "nlp_datetime": time,
                "term_exists": _exists(span),
                "term_temporal": _temporal(span),
                "term_modifiers": _modifiers(said, modifiers),
            }
    if relations:
        log.warning("%d relations left out: NOTE_NLP holds terms, not what is between", relations)


Modifiers = list[tuple[str, str]]


def _terms(said: Prediction) -> Iterator[tuple[Span | None, Modifiers]]:
    if said.label is not None:
        yield None, [("label", said.label), *_score(said.scores.get(said.label))]
    for code in said.codes or ():
        modifiers = [("code", code), *_score(said.scores.get(code))]
        for span in said.evidence.get(code) or (None,):
            end = [] if span is None else [("end", str(span.end))]
            yield span, [*modifiers, *end]
    for span in said.spans or ():
        concepts = [("concept", concept) for concept in span.concepts]
        yield (
            span,
            [
                ("label", span.label),
                *_score(span.score),
                ("end", str(span.end)),
                *concepts,
                *span.attributes,
            ],
        )


def _score(score: float | None) -> Modifiers:
    return [] if score is None else [("score", f"{score:.4f}")]


def _modifiers(said: Prediction, modifiers: Modifiers) -> str | None:
    words = in_words(modifiers)
    if words is not None and len(words) > LONGEST_MODIFIERS:
        raise OutputError(
            f"note {shown_id(said.note_id)}: {len(words):,} characters of attributes, but "
            f"NOTE_NLP's term_modifiers holds {LONGEST_MODIFIERS:,}; write .csv or .parquet "
            "without format='omop'"
        )
    return words


def _whole(note_id: str) -> int:
    if not (note_id.isascii() and note_id.isdecimal()):
        raise NoteError(
            f"note {shown_id(note_id)}: the id is no whole number, but NOTE_NLP refers to notes by "
            "NOTE's note_id; read the notes with it: columns={'note_id': '<its column>'}"
        )
    return int(note_id)


def _words(note: Note | None, span: Span | None) -> str:
    if note is None or span is None:
        return ""
    pieces = span.fragments or ((span.start, span.end),)
    return " ".join(note.text[start:end] for start, end in pieces)[:LONGEST_TEXT]


def _snippet(note: Note | None, span: Span | None) -> str | None:
    if note is None or span is None:
        return None
    before = max(0, LONGEST_TEXT - (span.end - span.start)) // 2
    start = max(0, span.start - before)
    return note.text[start : start + LONGEST_TEXT]


def _exists(span: Span | None) -> str | None:
    attributes = {} if span is None else dict(span.attributes)
    return "N" if any(attributes.get(name) == "true" for name in ABSENT) else None


def _temporal(span: Span | None) -> str | None:
    attributes = {} if span is None else dict(span.attributes)
    return "Past" if attributes.get("historical") == "true" else None
