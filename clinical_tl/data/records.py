"""One record (JSON object, table row, dataset row) as a note, by a mapping of columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from clinical_tl.data.faults import Faults, Place
from clinical_tl.data.layout import Layout
from clinical_tl.data.span_records import record_to_span
from clinical_tl.schema import Note, Relation, Span


def record_to_note(
    record: Mapping[str, object], number: int, place: Place, faults: Faults, layout: Layout
) -> Note | None:
    """Reads one record; what is wrong goes to `faults`, and `None` comes back.

    Args:
        record: column → value. Nested fields are lists and objects, or those as JSON text.
        number: the record's position from 1, for notes that are numbered.
        place: where the record stands.
        faults: where what is wrong goes.
        layout: which column holds which field.
    """
    mark = len(faults)
    for name, column in layout.missing(record).items():
        faults.add(place, f"no column {column!r}", f"the column of {name} (or map it: columns=…)")
    if len(faults) > mark:
        return None
    note_id = _note_id(record, number, place, faults, layout)
    if note_id:
        place = replace(place, note_id=note_id)
    text = layout.value(record, "text")
    if not isinstance(text, str):
        faults.add(place, f"text is of type {_type(text)}", "a string")
        return None
    patient_id = _string(layout.value(record, "patient_id"), "patient_id", place, faults)
    label = _string(layout.value(record, "label"), "label", place, faults)
    codes = _codes(layout.value(record, "codes"), place, faults, layout.separator)
    spans = _spans(layout.value(record, "spans"), text, place, faults)
    relations = _relations(layout.value(record, "relations"), place, faults)
    metadata = _metadata(layout.value(record, "metadata"), place, faults)
    if len(faults) > mark or note_id is None:
        return None
    metadata |= {name: _plain(record[name]) for name in layout.metadata_of(record)}
    return Note(note_id, text, patient_id, label, codes, spans, relations, metadata)


def _note_id(
    record: Mapping[str, object], number: int, place: Place, faults: Faults, layout: Layout
) -> str | None:
    if layout.id_prefix is not None:
        return f"{layout.id_prefix}-{number}"
    mark = len(faults)
    note_id = _string(layout.value(record, "note_id"), "note_id", place, faults)
    if note_id is None and len(faults) == mark:
        faults.add(place, "no note_id", "an id in every record (or make_ids=True to number them)")
    return note_id


def _type(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _string(value: object, name: str, place: Place, faults: Faults) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        # "P1 " would be another patient than "P1", and " " a class of its own.
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    faults.add(place, f"{name} is of type {_type(value)}", "a string or a whole number")
    return None


def _codes(value: object, place: Place, faults: Faults, separator: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed(value)
    if isinstance(value, str):
        return tuple(code for part in value.split(separator) if (code := part.strip()))
    if isinstance(value, list) and all(isinstance(code, str) and code.strip() for code in value):
        return tuple(value)
    faults.add(place, "codes is no list of strings", "a list of strings that are not blank")
    return None


def _parsed(value: object) -> object:
    # Tables have no nested cells, so lists and objects stand in them as JSON.
    if not isinstance(value, str):
        return value
    try:
        return cast(object, json.loads(value)) if value else None
    except (ValueError, RecursionError):
        return value


def _items(
    value: object, name: str, place: Place, faults: Faults
) -> list[Mapping[str, object]] | None:
    value = _parsed(value)
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return value
    faults.add(place, f"{name} is no list of objects", "a list of objects")
    return None


def _spans(value: object, text: str, place: Place, faults: Faults) -> tuple[Span, ...] | None:
    items = _items(value, "spans", place, faults)
    if items is None:
        return None
    spans = (record_to_span(item, f"span {i}", text, place, faults) for i, item in enumerate(items))
    return tuple(span for span in spans if span is not None)


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
    value = _parsed(value)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    faults.add(
        place,
        f"metadata is of type {_type(value)}",
        "an object (or columns={'metadata': None} to leave it out)",
    )
    return {}


def _plain(value: object) -> object:
    # Parquet and dataset columns may hold dates, bytes and decimals, which JSON can't.
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value
