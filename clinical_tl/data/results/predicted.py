"""Notes annotated with what was predicted: what annotation tools open for correction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from clinical_tl.data.notes import Notes, NotesLike, tabulate
from clinical_tl.data.results.matched_notes import matched, note_set
from clinical_tl.schema import Note, Prediction, Relation

ORIGIN = "predicted"


def predicted_notes(notes: NotesLike, predictions: Iterable[Prediction]) -> Notes:
    """The notes with the predictions as their annotation, in the predictions' order.

    They carry what was predicted and nothing else: annotations that the notes had are left out,
    but for mentions that predicted relations are between. Mentions keep their scores; those of
    labels, codes and relations, evidence and novelty are in `metadata["predicted"]`. Notes
    without a prediction are left out and counted in the log.

    Raises `NoteError` for predictions of notes that are not there, or two of one note.

    >>> from clinical_tl.schema import Span
    >>> notes = [Note("a", "Took aspirin.", label="old"), Note("b", "No drugs.")]
    >>> drug = Span(5, 12, "Drug", score=0.9)
    >>> annotated = predicted_notes(notes, [Prediction("a", spans=(drug,)), Prediction("b")])
    >>> annotated[0].spans == (drug,), annotated[0].label
    (True, None)
    """
    return tabulate(_annotated(note, said) for said, note in matched(predictions, note_set(notes)))


def with_origin(note: Note, name: str, origin: Mapping[str, Any]) -> Note:
    """The note with where its annotations come from in its metadata, under `name`."""
    return replace(note, metadata={**note.metadata, name: dict(origin)})


def _annotated(note: Note, said: Prediction) -> Note:
    own = note.spans if said.relations is not None else None
    annotated = replace(
        note,
        label=said.label,
        codes=said.codes,
        spans=own if said.spans is None else said.spans,
        relations=None
        if said.relations is None
        else tuple(Relation(r.head, r.tail, r.label) for r in said.relations),
    )
    origin = _origin(said)
    return with_origin(annotated, ORIGIN, origin) if origin else annotated


def _origin(said: Prediction) -> dict[str, Any]:
    given = [*([] if said.label is None else [said.label]), *(said.codes or ())]
    found: dict[str, Any] = {
        "scores": {name: float(said.scores[name]) for name in given if name in said.scores},
        "relation_scores": [float(relation.score) for relation in said.relations or ()],
        "evidence": {
            code: [[span.start, span.end] for span in spans]
            for code, spans in said.evidence.items()
        },
    }
    if said.sources:
        found["sources"] = {code: list(own) for code, own in said.sources.items()}
    if said.novelty is not None:
        found["novelty"] = float(said.novelty)
    return {name: value for name, value in found.items() if value or name == "novelty"}
