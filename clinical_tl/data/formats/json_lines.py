"""JSON lines: one note a line, optionally gzipped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import read_json_records
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.packing import packed_output
from clinical_tl.data.formats.problems import Faults, note_problems
from clinical_tl.data.notes import span_to_row
from clinical_tl.errors import NoteError, shown_id
from clinical_tl.schema import Note


def read_json_lines(file: File, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every line; blank lines are passed over. One list of objects will do, too.

    Keys that the layout doesn't map are left out; `null` and an absent key both mean *not
    annotated*, an empty list *annotated with nothing*.
    """
    yield from read_json_records(file, faults, layout)


def write_json_lines(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes one note a line, in order; gzipped if the name ends in `.gz`.

    The same notes give the same bytes: keys have a fixed order, and the gzip header carries
    neither time nor name.

    Raises:
        NoteError: a note that JSON lines can't hold (broken characters, metadata that is not
            JSON).
    """
    with packed_output(path) as stream:
        stream.writelines(map(_line, losses.counted(notes)))


def _line(note: Note) -> bytes:
    for found, allowed in note_problems(note):
        raise NoteError(f"note {shown_id(note.note_id)}: {found}; allowed: {allowed}")
    record = {
        "note_id": note.note_id,
        "patient_id": note.patient_id,
        "text": note.text,
        "label": note.label,
        "codes": note.codes,
        "spans": None if note.spans is None else [span_to_row(span) for span in note.spans],
        "relations": None if note.relations is None else [vars(r) for r in note.relations],
        "metadata": dict(note.metadata),
    }
    try:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        message = (
            f"note {shown_id(note.note_id)}: metadata or a score that JSON does not know; "
            "allowed: strings, finite numbers, booleans, null, lists and objects of them"
        )
        raise NoteError(message) from None
    return line.encode() + b"\n"


JSON_LINES = Format(
    "json_lines",
    "JSON lines of the package (or one JSON list)",
    read_json_lines,
    write_json_lines,
    endings=(".jsonl", ".ndjson"),
    looks=lambda sight: sight.is_json and {"note_id", "text"} <= sight.record.keys(),
)
