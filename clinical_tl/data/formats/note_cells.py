"""A note as a row of cells that hold text: what CSV, TSV and Excel are written with.

`note_id`, `patient_id`, `text` and `label` stand as they are; where there is none the cell is
empty. `codes` have `; ` between them, or are a JSON list where one of them would not survive that;
empty is *no code*, `null` *not annotated*. `spans` and `relations` are JSON lists, `metadata` is
a JSON object; empty is *not annotated*, or none.

What the reader would take for something else (a label that is called "None", an id "7.0") is a
loss, also of formats with nested values (`count_changed`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from clinical_tl.data.formats.cells import CELL_FIELDS
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.problems import Faults, Place, note_problems
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.data.notes import span_to_row
from clinical_tl.errors import NoteError, shown_id
from clinical_tl.schema import NOTE_FIELDS, Note

COLUMNS = NOTE_FIELDS
NOT_ANNOTATED = "null"
SEPARATOR = "; "
_LAYOUT = Layout()


def note_to_cells(note: Note, losses: Losses) -> dict[str, str]:
    """Column → cell; fields that a reader would take for something else go to `losses`.

    Raises `NoteError` for a note that no file can hold (broken characters, unsound offsets).
    """
    for found, allowed in note_problems(note):
        raise NoteError(f"note {shown_id(note.note_id)}: {found}; allowed: {allowed}")
    spans = None if note.spans is None else [span_to_row(span) for span in note.spans]
    relations = None if note.relations is None else [vars(r) for r in note.relations]
    cells = {
        "note_id": note.note_id,
        "patient_id": note.patient_id or "",
        "text": note.text,
        "label": note.label or "",
        "codes": _codes(note),
        "spans": "" if spans is None else _json(spans),
        "relations": "" if relations is None else _json(relations),
        "metadata": _json(dict(note.metadata)) if note.metadata else "",
    }
    for name in _changed(note, cells):
        losses.add(f"{name}, which a reader would take for something else")
    return cells


def count_changed(note: Note, losses: Losses, layout: Layout = _LAYOUT) -> None:
    """Counts the ids, labels and codes that a reader of JSON or Parquet would take otherwise."""
    record = {name: getattr(note, name) for name in CELL_FIELDS}
    record |= {"text": "a", "codes": None if note.codes is None else list(note.codes)}
    for name in _changed(note, record, CELL_FIELDS, layout):
        losses.add(f"{name}, which a reader would take for something else")


def cells_of(notes: Iterable[Note], losses: Losses) -> Iterator[list[str]]:
    """Yields a header, and a row a note."""
    yield list(COLUMNS)
    for note in losses.counted(notes):
        yield list(note_to_cells(note, losses).values())


def _codes(note: Note) -> str:
    if note.codes is None:
        return NOT_ANNOTATED
    plain = SEPARATOR.join(note.codes)
    row = {"note_id": "1", "text": "a", "codes": plain}
    read = record_to_note(row, 1, Place(""), Faults(""), _LAYOUT)
    is_kept = read is not None and read.codes == note.codes
    return plain if is_kept else _json(list(note.codes))


def _changed(
    note: Note,
    record: Mapping[str, object],
    fields: Sequence[str] = COLUMNS,
    layout: Layout = _LAYOUT,
) -> list[str]:
    """The fields that come back as something else."""
    read = record_to_note(record, 1, Place(""), Faults(""), layout)
    if read is None:
        return ["a note"]
    return [name for name in fields if getattr(read, name) != getattr(note, name)]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
