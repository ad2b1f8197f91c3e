"""One span as a record: JSON object, Parquet struct or dataset row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clinical_tl.data.counting import Quoted, settle
from clinical_tl.data.faults import Faults, Place
from clinical_tl.data.mention import read_mention
from clinical_tl.schema import Span


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
        "" if record.get("id") is None else _text(record["id"], "id"),
        tuple(_text(c, "a concept") for c in _list(record.get("concepts"), "concepts")),
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
