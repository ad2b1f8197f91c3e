"""One record (JSON object, table row, dataset row) as a note, by a mapping of columns."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, time
from typing import cast

from clinical_tl.data.cells import Cells
from clinical_tl.data.faults import Faults, Place
from clinical_tl.data.json_values import parse_json
from clinical_tl.data.layout import Layout
from clinical_tl.data.span_records import records_to_spans
from clinical_tl.errors import shown_id
from clinical_tl.schema import Note, Relation, Span

# A Python parser takes some hundred times the text's size.
LONGEST_PRINTED = 1_000_000


def record_to_note(
    record: Mapping[str, object], number: int, place: Place, faults: Faults, layout: Layout
) -> Note | None:
    """Reads one record; what is wrong goes to `faults`, and `None` comes back.

    Args:
        record: column → value. Nested fields are lists and objects, or those as JSON text or as
            Python prints them.
        number: the record's position from 1, for notes that are numbered.
        place: where the record stands.
        faults: where what is wrong goes.
        layout: which column holds which field.
    """
    mark = len(faults)
    for name, column in layout.missing(record).items():
        faults.add(
            place,
            f"no column {shown_id(column, 'column')!r}",
            f"the column of {name} (or map it: columns=…)",
        )
    if len(faults) > mark:
        return None
    cells = Cells(place, faults, frozenset(layout.as_written))
    note_id = _note_id(record, number, cells, layout)
    if note_id:
        place = replace(place, note_id=note_id)
        cells = replace(cells, place=place)
    text = layout.value(record, "text")
    if not isinstance(text, str):
        faults.add(place, f"text is of type {_type(text)}", "a string")
        return None

    def nested(name: str) -> object:
        return _parsed(cells.present(layout.value(record, name), name))

    patient_id = cells.name(layout.value(record, "patient_id"), "patient_id")
    if patient_id is not None and not any(map(str.isalnum, patient_id)):
        # SAS writes a point, others a dash: one patient whom all unknown ones would share.
        faults.changed["patient_id: marks without letter or digit, read as nothing"] += 1
        patient_id = None
    label = cells.name(layout.value(record, "label"), "label")
    codes = cells.codes(layout.value(record, "codes"), layout.separator)
    spans = _spans(nested("spans"), text, place, faults)
    relations = _relations(nested("relations"), place, faults)
    metadata = _metadata(nested("metadata"), place, faults)
    if len(faults) > mark or note_id is None:
        return None
    metadata |= {name: _plain(record[name]) for name in layout.metadata_of(record)}
    return Note(note_id, text, patient_id, label, codes, spans, relations, metadata)


def _note_id(record: Mapping[str, object], number: int, cells: Cells, layout: Layout) -> str | None:
    if layout.id_prefix is not None:
        return f"{layout.id_prefix}-{number}"
    mark = len(cells.faults)
    note_id = cells.name(layout.value(record, "note_id"), "note_id")
    if note_id is None and len(cells.faults) == mark:
        allowed = "an id in every record (or make_ids=True to number them)"
        cells.faults.add(cells.place, "no note_id", allowed)
    return note_id


def _type(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _parsed(value: object) -> object:
    # Tables have no nested cells, so lists and objects stand in them as text.
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except json.JSONDecodeError:
        pass
    try:
        if len(value) <= LONGEST_PRINTED and value[:1] in "[{":
            return cast(object, ast.literal_eval(value))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    return value


def _items(
    value: object, name: str, place: Place, faults: Faults
) -> list[Mapping[str, object]] | None:
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return value
    faults.add(place, f"{name} is no list of objects", "a list of objects")
    return None


def _spans(value: object, text: str, place: Place, faults: Faults) -> tuple[Span, ...] | None:
    items = _items(value, "spans", place, faults)
    return None if items is None else records_to_spans(items, text, place, faults)


def _relations(value: object, place: Place, faults: Faults) -> tuple[Relation, ...] | None:
    items = _items(value, "relations", place, faults)
    if items is None:
        return None
    relations = []
    for i, item in enumerate(items):
        head, tail, label = (item.get(name) for name in ("head", "tail", "label"))
        if isinstance(head, str) and isinstance(tail, str) and isinstance(label, str):
            relations.append(Relation(head, tail, label))
        else:
            faults.add(place, f"relation {i} is incomplete", "head, tail and label, all strings")
    return tuple(relations)


def _metadata(value: object, place: Place, faults: Faults) -> dict[str, object]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    faults.add(
        place,
        f"metadata is of type {_type(value)}",
        "an object (or columns={'metadata': None} to leave it out)",
    )
    return {}


def _plain(value: object) -> object:
    # Columns may hold dates, bytes, decimals and NaN, which JSON can't.
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, date | time):
        return value.isoformat()
    return value if isinstance(value, str | int | float | None) else str(value)
