"""JSON lines: one note a line, optionally gzipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import json_values, read_json_records, values
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.packing import packed_output
from clinical_tl.data.formats.problems import Faults
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.tag_schemes import Scheme
from clinical_tl.data.formats.token_tags import tag_layout, tag_lists
from clinical_tl.data.formats.written_json import check_note, json_line
from clinical_tl.data.notes import span_to_row
from clinical_tl.schema import Note


def read_json_lines(
    file: File,
    faults: Faults,
    *,
    layout: Layout,
    scheme: Scheme | None = None,
    tag_names: Sequence[str] | None = None,
    mention_label: str | None = None,
) -> Iterator[Note]:
    """Yields a note for every line; blank lines are passed over. One list of objects will do, too.

    Keys that the layout doesn't map are left out; `null` and an absent key both mean *not
    annotated*, an empty list *annotated with nothing*.

    Args:
        file: the file.
        faults: where what is wrong goes.
        layout: which key holds which field.
        scheme: of the tags, where `tokens` and tags stand instead of a text (`token_tags`).
        tag_names: what tags are called that are numbers.
        mention_label: the label of all mentions, where tags are marks alone (B, I, O).
    """
    has_tokens = layout.token_columns(Sight.of(file).record) is not None
    seen = tag_lists(layout, values(json_values(file, Faults(file.name)))) if has_tokens else ()
    layout = tag_layout(layout, scheme, tag_names, seen, mention_label)
    yield from read_json_records(file, faults, layout)


def write_json_lines(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes one note a line, in order; gzipped if the name ends in `.gz`.

    The same notes give the same bytes: keys have a fixed order, and the gzip header carries
    neither time nor name.

    Ids, labels and codes that the reader would take for something else are losses.

    Raises:
        NoteError: a note that JSON lines can't hold (broken characters, metadata that is not
            JSON).
    """
    with packed_output(path) as stream:
        stream.writelines(_line(note, losses) for note in losses.counted(notes))


def _line(note: Note, losses: Losses) -> bytes:
    check_note(note, losses)
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
    return json_line(note, record)


def _looks(sight: Sight) -> bool:
    record = sight.record
    if {"note_id", "text"} <= record.keys() or Layout().is_bigbio(record):
        return sight.is_json
    columns = Layout().token_columns(record)
    if columns is None or columns[1] is None:
        return False
    tokens = record[columns[0]]
    return isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)


JSON_LINES = Format(
    "json_lines",
    "JSON lines of the package (or one JSON list)",
    read_json_lines,
    write_json_lines,
    endings=(".jsonl", ".ndjson"),
    looks=_looks,
)
