"""Predictions beside the notes that they are of."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from clinical_tl.data.notes import Notes, NotesLike, as_notes
from clinical_tl.errors import NoteError, shown_id, shown_ids
from clinical_tl.schema import Note, Prediction

log = logging.getLogger(__name__)


def note_set(notes: NotesLike) -> Notes:
    """The notes as `Notes`; a mapped set stays where it is."""
    if isinstance(notes, Notes):
        return notes
    return Notes(notes) if hasattr(notes, "column_names") else Notes(as_notes(notes))


def matched(predictions: Iterable[Prediction], notes: Notes) -> Iterator[tuple[Prediction, Note]]:
    """Each prediction with its note, one at a time.

    Predictions in the notes' order cost one walk through the notes; from the first on that is
    not, notes are looked up by their ids. Notes without a prediction are counted in the log.

    Raises `NoteError` for a prediction of a note that is not there, of one that has a prediction
    already, or of another text (its offsets lie outside).
    """
    walk = iter(notes)
    positions: dict[str, int] | None = None
    seen: set[str] = set()
    n_seen = 0
    for prediction in predictions:
        note = next(walk, None) if positions is None else None
        if note is None or note.note_id != prediction.note_id:
            if positions is None:
                positions = {note_id: i for i, note_id in enumerate(notes["note_id"])}
                seen = set(islice(positions, n_seen))
            note = _looked_up(prediction.note_id, notes, positions, seen)
        _check_offsets(prediction, note)
        n_seen += 1
        yield prediction, note
    if n_seen < len(notes):
        ids = notes["note_id"]
        left = (note_id for note_id in ids if note_id not in seen) if seen else iter(ids[n_seen:])
        log.warning(
            "%d of %d notes have no prediction and are left out, e.g. %s",
            len(notes) - n_seen,
            len(notes),
            shown_ids(left),
        )


def _looked_up(note_id: str, notes: Notes, positions: dict[str, int], seen: set[str]) -> Note:
    if note_id in seen:
        raise NoteError(
            f"note {shown_id(note_id)} has two predictions; give one a note, those of one model"
        )
    if note_id not in positions:
        raise NoteError(
            f"a prediction is of note {shown_id(note_id)}, which is none of the {len(notes)} "
            "notes; give the notes that were predicted"
        )
    seen.add(note_id)
    return notes[positions[note_id]]


def _check_offsets(prediction: Prediction, note: Note) -> None:
    evidence = chain.from_iterable(prediction.evidence.values())
    last = max((span.end for span in chain(prediction.spans or (), evidence)), default=0)
    if last > len(note.text):
        raise NoteError(
            f"note {shown_id(note.note_id)}: a prediction reaches to character {last:,}, but the "
            f"text has {len(note.text):,}; give the notes as they were when they were predicted"
        )
