"""JSON lines: one note a line, optionally gzipped."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.json_values import parse_json
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.lines import numbered_lines
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError, note_problems
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.data.notes import span_to_row
from clinical_tl.errors import NoteError, shown_id
from clinical_tl.schema import Note


def read_json_lines(path: Path, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every line; blank lines are passed over.

    Keys that the layout doesn't map are left out; `null` and an absent key both mean *not
    annotated*, an empty list *annotated with nothing*.
    """
    number = 0
    for line_number, line in numbered_lines(path):
        if not line.strip():
            continue
        number += 1
        place = Place(path.name, line_number)
        yield from faults.reading(partial(_note, line, number, place, faults, layout), place)


def _note(line: str, number: int, place: Place, faults: Faults, layout: Layout) -> Note | None:
    try:
        record = parse_json(line)
    except json.JSONDecodeError as error:
        faults.add(place, f"broken JSON at column {error.colno}", "one JSON object a line")
        return None
    except UnreadableError:
        raise
    except (ValueError, RecursionError):
        faults.add(place, "a value that JSON does not know", "no NaN, Infinity or deep nesting")
        return None
    if isinstance(record, dict):
        return record_to_note(record, number, place, faults, layout)
    faults.add(place, f"a JSON {type(record).__name__}", "one JSON object a line")
    return None


def write_json_lines(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes one note a line, in order; gzipped if the name ends in `.gz`.

    The same notes give the same bytes: keys have a fixed order, and the gzip header carries
    neither time nor name.

    Raises:
        NoteError: a note that JSON lines can't hold (broken characters, metadata that is not
            JSON).
    """
    with path.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream:
                stream.writelines(map(_line, losses.counted(notes)))
        else:
            raw.writelines(map(_line, losses.counted(notes)))


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
