"""Notes as lines of JSON that other tools import."""

from __future__ import annotations

import json
from collections.abc import Mapping

from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.note_cells import count_changed
from clinical_tl.data.formats.problems import note_problems
from clinical_tl.errors import NoteError, shown_id
from clinical_tl.schema import Note


def check_note(note: Note, losses: Losses) -> None:
    """Raises `NoteError` for a note that breaks the schema.

    Ids, labels and codes that the reader would take for something else go to `losses`.
    """
    for found, allowed in note_problems(note):
        raise NoteError(f"note {shown_id(note.note_id)}: {found}; allowed: {allowed}")
    count_changed(note, losses)


def json_line(note: Note, record: Mapping[str, object]) -> bytes:
    """What a note becomes as one line.

    Raises `NoteError` for metadata or scores that JSON does not know.
    """
    try:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        message = (
            f"note {shown_id(note.note_id)}: metadata or a score that JSON does not know; "
            "allowed: strings, finite numbers, booleans, null, lists and objects of them"
        )
        raise NoteError(message) from None
    return line.encode() + b"\n"
