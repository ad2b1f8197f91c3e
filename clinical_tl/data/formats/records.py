"""One record (JSON object, table row, dataset row) as a note, by a mapping of columns."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from typing import cast

from clinical_tl.data.formats.bigbio import passages_to_text
from clinical_tl.data.formats.cells import Cells
from clinical_tl.data.formats.column_sets import codes_of_set, label_of_set
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.counting import Quoted, settle
from clinical_tl.data.formats.json_values import parse_json
from clinical_tl.data.formats.mention import read_mention
from clinical_tl.data.formats.nesting import look_up, renamed, rows_of
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.data.formats.token_tags import tokens_to_text
from clinical_tl.errors import shown_id
from clinical_tl.schema import Note, Relation, Span


class _WrongTypeError(Exception):
    def __init__(self, found: str, allowed: str) -> None:
        super().__init__(found)
        self.found = found
        self.allowed = allowed


@dataclass(frozen=True)
class _Record:
    mention: Quoted
    label: str
    id: str
    concepts: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    score: float | None


def records_to_spans(
    records: Sequence[Mapping[str, object]], text: str, place: Place, faults: Faults
) -> tuple[Span, ...]:
    """Reads a note's `{start, end, label, …}`; what is wrong goes to `faults`.

    Attributes may be a list of `{name, value}` or one object, fragments a list of
    `{start, end}` or of pairs. A `text` key quotes the mention and is checked; where all that are
    quoted say so, the offsets are read as what they count (`counting.settle`).
    """
    read: list[_Record] = []
    for i, record in enumerate(records):
        try:
            read.append(_record(record))
        except _WrongTypeError as error:
            faults.add(place, f"span {i}: {error.found}", error.allowed)
    settled = settle(text, [record.mention for record in read], faults)
    spans = (
        read_mention(
            text,
            pieces,
            record.label,
            place,
            faults,
            quoted=record.mention.quoted,
            hint=settled.hint,
            mention_id=record.id,
            concepts=record.concepts,
            attributes=record.attributes,
            score=record.score,
        )
        for record, pieces in zip(read, settled.pieces, strict=True)
    )
    return tuple(span for span in spans if span is not None)


def _record(record: Mapping[str, object]) -> _Record:
    whole = (_offset(record.get("start"), "start"), _offset(record.get("end"), "end"))
    label = _text(record.get("label"), "label")
    quoted = None if record.get("text") is None else _text(record["text"], "text")
    pieces = [_piece(p) for p in _list(record.get("fragments"), "fragments")] or [whole]
    if (min(pieces)[0], max(pieces)[1]) != whole:
        raise _WrongTypeError("start and end do not enclose its fragments", "the outermost")
    return _Record(
        Quoted(pieces, quoted),
        label,
        "" if record.get("id") is None else _name(record["id"], "id"),
        _concepts(record.get("concepts")),
        _attributes(record.get("attributes")),
        _score(record.get("score")),
    )


def _offset(value: object, name: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Arrow and pandas make floats of whole numbers where one is missing.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise _WrongTypeError(f"{name} is missing or no whole number", "a whole number")


def _text(value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    raise _WrongTypeError(f"{name} is missing or no string", "a string")


def _name(value: object, name: str) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else _text(value, name)


def _concepts(value: object) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str | int) else _list(value, "concepts")
    return tuple(_name(concept, "a concept") for concept in listed)


def _list(value: object, name: str) -> Sequence[object]:
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return value
    raise _WrongTypeError(f"{name} is no list", "a list or nothing")


def _piece(value: object) -> tuple[int, int]:
    if isinstance(value, Mapping):
        value = [value.get("start"), value.get("end")]
    ends = _list(value, "a fragment")
    if len(ends) != 2:
        raise _WrongTypeError(f"a fragment has {len(ends)} offsets", "start and end")
    return _offset(ends[0], "a fragment's start"), _offset(ends[1], "a fragment's end")


def _attributes(value: object) -> tuple[tuple[str, str], ...]:
    if isinstance(value, Mapping):
        value = [{"name": name, "value": content} for name, content in value.items()]
    pairs = []
    for item in _list(value, "attributes"):
        if not isinstance(item, Mapping):
            raise _WrongTypeError("an attribute is no object", "{name, value}, both strings")
        name, content = item.get("name"), item.get("value")
        pairs.append((_text(name, "an attribute's name"), _text(content, "an attribute's value")))
    return tuple(pairs)


def _score(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise _WrongTypeError("score is no number in [0, 1]", "a number in [0, 1] or nothing")


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
        layout: which column holds which field. Where the text is given as tokens, or as passages
            of BigBIO's schema, the text and the mentions are made of them.
    """
    mark = len(faults)
    tokens = layout.token_columns(record)
    if tokens is not None:
        record, layout = tokens_to_text(record, tokens, layout, place)
    elif layout.is_bigbio(record):
        record, layout = passages_to_text(record, layout, faults)
    for name, column in layout.missing(record).items():
        faults.add(
            place,
            f"no column {shown_id(column, 'column')!r}",
            f"the column of {name} (or map it: columns={{{name!r}: '<column>'}}"
            + (", or number the notes: make_ids=True)" if name == "note_id" else ")"),
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
    label = _label(record, cells, layout)
    codes = _codes(record, cells, layout)
    spans = _spans(nested("spans"), text, place, faults, layout.keys_of("spans"))
    relations = _relations(nested("relations"), place, faults, layout.keys_of("relations"))
    metadata = _metadata(nested("metadata"), place, faults)
    if len(faults) > mark or note_id is None:
        return None
    metadata |= {name: _plain(look_up(record, name)[1]) for name in layout.metadata_of(record)}
    note = Note(note_id, text, patient_id, label, codes, spans, relations, metadata)
    faults.empty_here += _empty(note, record, layout)
    return note


def _empty(note: Note, record: Mapping[str, object], layout: Layout) -> Iterator[str]:
    """Yields how each annotation was read whose cells are there and empty."""
    for name in ("label", "codes", "spans", "relations"):
        value = getattr(note, name)
        if value is None and any(c in record for c in layout.of_field(name, record)):
            yield f"of {name}: not annotated"
        elif value == () and isinstance(layout.value(record, name), str) and name == "codes":
            yield "of codes: no code"


def _note_id(record: Mapping[str, object], number: int, cells: Cells, layout: Layout) -> str | None:
    if layout.id_prefix is not None:
        return f"{layout.id_prefix}-{number}"
    mark = len(cells.faults)
    note_id = cells.name(layout.value(record, "note_id"), "note_id")
    if note_id is None and len(cells.faults) == mark:
        allowed = "an id in every record (or make_ids=True to number them)"
        cells.faults.add(cells.place, "no note_id", allowed)
    return note_id


def _label(record: Mapping[str, object], cells: Cells, layout: Layout) -> str | None:
    several = layout.values(record, "label")
    if several is not None:
        return label_of_set(several, cells)
    return cells.name(layout.value(record, "label"), "label")


def _codes(record: Mapping[str, object], cells: Cells, layout: Layout) -> tuple[str, ...] | None:
    several = layout.values(record, "codes")
    if several is not None:
        return codes_of_set(several, layout.separator, cells)
    return cells.codes(layout.value(record, "codes"), layout.separator)


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
    value: object, name: str, place: Place, faults: Faults, keys: Mapping[str, str | None]
) -> list[Mapping[str, object]] | None:
    if value is None:
        return None
    listed = rows_of(value)
    found = [renamed(item, keys) for item in listed] if isinstance(listed, list) else []
    items = [item for item in found if isinstance(item, Mapping)]
    if isinstance(listed, list) and len(items) == len(listed):
        return items
    faults.add(place, f"{name} is no list of objects", "a list of objects")
    return None


def _spans(
    value: object, text: str, place: Place, faults: Faults, keys: Mapping[str, str | None]
) -> tuple[Span, ...] | None:
    items = _items(value, "spans", place, faults, keys)
    return None if items is None else records_to_spans(items, text, place, faults)


def _relations(
    value: object, place: Place, faults: Faults, keys: Mapping[str, str | None]
) -> tuple[Relation, ...] | None:
    items = _items(value, "relations", place, faults, keys)
    if items is None:
        return None
    relations = []
    for i, item in enumerate(items):
        try:
            head, tail = _name(item.get("head"), "head"), _name(item.get("tail"), "tail")
            relations.append(Relation(head, tail, _text(item.get("label"), "label")))
        except _WrongTypeError:
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
