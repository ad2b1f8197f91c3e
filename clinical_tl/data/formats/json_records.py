"""The values of a JSON file: one a line, the items of one list, or objects over several lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import BYTE_ORDER_MARK, File
from clinical_tl.data.formats.json_values import parse_json, parse_json_at
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.errors import ConfigError
from clinical_tl.schema import NOTE_FIELDS, Note

Translate = Callable[[Mapping[str, object]], Mapping[str, object] | None]
"""What makes the fields of a note of one record of another tool; `None`: no note of it.

Fields that `columns` maps are read as it says instead. It raises `UnreadableError` where the
record is not of the tool.
"""
Expand = Callable[[object], Iterable[object]]
"""What yields the records within one value of a tool that puts several into it.

It raises `UnreadableError` where the value is not of the tool.
"""


Places = Iterable[tuple[Place, Callable[[], object]]]
"""Where the values of a file stand, and what parses each."""

_MADE = "\0"

_BROKEN = ("a JSON list that is broken here", "one list of objects, and nothing after it")


def json_values(file: File, faults: Faults) -> Places:
    """Yields (place, what parses the value) for every line, or for every item of a list.

    A file that begins with `[` is one list, held in memory whole, unless it has a list in each of
    its lines. A list that breaks off is refused. So is a file whose first line ends within an
    object: it holds objects over several lines. Blank lines between others are passed over.
    """
    with file.text() as stream:
        lines = (line.strip() for line in stream if line.strip())
        start, second = next(lines, ""), next(lines, "")
    if start.startswith("[") and not (second and _is_value(start)):
        yield from _items(file, faults)
        return
    if start.startswith("{") and start.endswith(("{", "[", ",", ":")) and not _is_value(second):
        yield from _objects(file, faults)
        return
    for number, line in file.lines():
        if line.strip():
            yield Place(file.name, number), partial(parse_json, line)


def values(places: Places) -> Iterator[object]:
    """The values that can be read, to learn from before they are read as notes."""
    for _, parse in places:
        try:
            yield parse()
        except (UnreadableError, ValueError, RecursionError):
            continue


def read_json_records(
    file: File,
    faults: Faults,
    layout: Layout,
    translate: Translate | None = None,
    *,
    expand: Expand | None = None,
    places: Places | None = None,
    own: Collection[str] = (),
    are_numbered: bool = False,
) -> Iterator[Note]:
    """Yields a note for every object of a JSON file.

    Args:
        file: JSON lines, or one list.
        faults: where what is wrong goes.
        layout: which key holds which field.
        translate: makes the fields that the layout doesn't map.
        expand: yields a value's records; by default a value is a record.
        places: where the file's values stand, if it is no JSON.
        own: the keys of which `translate` makes the fields, which are no metadata.
        are_numbered: whether records without an id are numbered (`<file>-1`, …), as tools that
            have no ids need it.
    """
    number, prefix = 0, file.stem if are_numbered else None
    for place, parse in json_values(file, faults) if places is None else places:
        mark, passed = len(faults), faults.passed_over.total()
        records: list[object] = []
        try:
            value = _parsed(parse, place, faults)
            if len(faults) == mark:
                records = [value] if expand is None else list(expand(value))
        except ConfigError:
            raise
        except Exception as error:  # of a kind that only the value knows
            faults.add_error(place, error)
        if len(faults) > mark:
            number += 1
            yield from faults.admitted(None, place, since=mark)
        elif not records and faults.passed_over.total() == passed:
            faults.passed_over["values without a note in them"] += 1
        for record in records:
            number += 1
            read = partial(_note, record, number, place, faults, layout, translate, own, prefix)
            yield from faults.reading(read, place)


def _parsed(parse: Callable[[], object], place: Place, faults: Faults) -> object:
    try:
        return parse()
    except json.JSONDecodeError as error:
        faults.add(place, f"broken JSON at column {error.colno}", "one JSON object a line")
    except UnreadableError:
        raise
    except (ValueError, RecursionError):
        faults.add(place, "a value that JSON does not know", "no NaN, Infinity or deep nesting")
    return None


def _note(
    value: object,
    number: int,
    place: Place,
    faults: Faults,
    layout: Layout,
    translate: Translate | None,
    own: Collection[str],
    prefix: str | None,
) -> Note | None:
    if not isinstance(value, dict):
        faults.add(place, f"a JSON {type(value).__name__}", "one JSON object a line")
        return None
    record: Mapping[str, object] = value
    # Where somebody says which key holds the ids, one that lacks is a fault.
    may_number = prefix is not None and "note_id" not in layout.columns
    if translate is not None:
        fields = translate(value)
        if fields is None:
            return None
        record, layout = _with_fields(value, fields, layout, own)
    if may_number and layout.id_prefix is None and layout.value(record, "note_id") is None:
        layout = replace(layout, id_prefix=prefix)
    return record_to_note(record, number, place, faults, layout)


def _with_fields(
    record: Mapping[str, object],
    fields: Mapping[str, object],
    layout: Layout,
    own: Collection[str],
) -> tuple[dict[str, object], Layout]:
    """The record with the fields under keys of their own, and the layout that finds them there."""
    made = {f"{_MADE}{name}": value for name, value in fields.items()}
    columns: dict[str, str | Sequence[str] | None] = {
        name: None for name in NOTE_FIELDS if name in own
    }
    columns |= {name: f"{_MADE}{name}" for name in fields} | dict(layout.columns)
    kept = layout.metadata_columns
    if kept == "rest":
        used = {column for name in columns for column in _listed(columns[name])}
        kept = [key for key in record if key not in {*own, *used}]
    return {**record, **made}, replace(layout, columns=columns, metadata_columns=kept)


def _listed(columns: str | Sequence[str] | None) -> Sequence[str]:
    return () if columns is None else (columns,) if isinstance(columns, str) else columns


def _is_value(line: str) -> bool:
    try:
        parse_json(line)
    except (ValueError, RecursionError):
        return False
    return True


def _items(file: File, faults: Faults) -> Places:
    text = file.read_text()
    at, line, counted = text.index("[") + 1, 1, 0
    while True:
        at = _after_blanks(text, at)
        line += text.count("\n", counted, at)
        counted = at
        place = Place(file.name, line)
        try:
            value, at = parse_json_at(text, at)
        except UnreadableError as error:
            faults.refuse(place, error.found, error.allowed)
            return
        except (ValueError, RecursionError):
            if text[at : at + 1] != "]":
                faults.refuse(place, *_BROKEN)
            return
        yield place, partial(_same, value)
        at = _after_blanks(text, at)
        mark = text[at : at + 1]
        if mark != ",":
            if mark != "]" or text[at + 1 :].strip():
                line += text.count("\n", counted, at)
                faults.refuse(Place(file.name, line), *_BROKEN)
            return
        at += 1


def _objects(file: File, faults: Faults) -> Places:
    text = file.read_text().removeprefix(BYTE_ORDER_MARK)
    at, line = _after_blanks(text, 0), 1
    while at < len(text):
        place = Place(file.name, line)
        try:
            value, end = parse_json_at(text, at)
        except UnreadableError as error:
            faults.refuse(place, error.found, error.allowed)
            return
        except (ValueError, RecursionError):
            allowed = "objects that are complete, one after the other"
            faults.refuse(place, "a JSON object that is broken", allowed)
            return
        yield place, partial(_same, value)
        end = _after_blanks(text, end)
        line += text.count("\n", at, end)
        at = end


def _same(value: object) -> object:
    return value


def _after_blanks(text: str, at: int) -> int:
    while text[at : at + 1] in {" ", "\t", "\n", "\r"}:
        at += 1
    return at
