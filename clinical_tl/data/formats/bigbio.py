"""BigBIO's schema for texts with mentions and relations (`kb`).

One schema for some hundred biomedical datasets: Fries et al., BigBIO (2022). The text stands in
`passages`, whose offsets say where in it each of them lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.nesting import rows_of
from clinical_tl.data.formats.problems import Faults, UnreadableError
from clinical_tl.data.formats.stretches import TOO_FAR, are_too_far

_FIELDS = ("passages", "entities", "relations", "events", "coreferences")


def passages_to_text(
    record: Mapping[str, object], layout: Layout, faults: Faults
) -> tuple[dict[str, object], Layout]:
    """The record with `text`, `spans` and `relations` of the package, and the layout for it.

    Ids of a terminology are `<db_name>:<db_id>`. The note's id is `note_id`, else `document_id`,
    else `id`. Events and coreferences are passed over, which is counted.

    Raises `UnreadableError` for what is not of the schema.
    """
    parts = {name: _rows(record.get(name), name) for name in _FIELDS}
    for name in ("events", "coreferences"):
        if parts[name]:
            faults.passed_over[f"{name} of BigBIO's schema"] += len(parts[name])
    rest = {name: value for name, value in record.items() if name not in _FIELDS}
    note_id = next((c for c in ("note_id", "document_id", "id") if rest.get(c) is not None), None)
    if "note_id" not in layout.columns and note_id is not None:
        layout = replace(layout, columns={**layout.columns, "note_id": note_id})
    made = {
        "text": _text(parts["passages"]),
        "spans": [_span(entity) for entity in parts["entities"]],
        "relations": [
            {"head": r.get("arg1_id"), "tail": r.get("arg2_id"), "label": r.get("type")}
            for r in parts["relations"]
        ]
        if "relations" in record
        else None,
    }
    return {**rest, **made}, layout


def _rows(value: object, name: str) -> list[Mapping[str, object]]:
    rows = rows_of(value)
    if rows is None or rows == {}:
        return []
    if isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows):
        return rows
    raise UnreadableError(f"{name} that are no list of objects", "BigBIO's schema")


def _offsets(row: Mapping[str, object], name: str) -> list[tuple[int, int]]:
    value = row.get("offsets")
    pairs = value if isinstance(value, list) else []
    # Some datasets have the two numbers without the list around them.
    if len(pairs) == 2 and all(isinstance(number, int) for number in pairs):
        pairs = [pairs]
    found = [
        (pair[0], pair[1])
        for pair in pairs
        if isinstance(pair, list) and list(map(type, pair)) == [int, int]
    ]
    if not found or len(found) < len(pairs):
        raise UnreadableError(f"{name} without offsets", "[[start, end], …]")
    return found


def _said(row: Mapping[str, object]) -> list[str]:
    value = row.get("text")
    said = [value] if isinstance(value, str) else value
    if isinstance(said, list) and all(isinstance(piece, str) for piece in said):
        return said
    raise UnreadableError("a passage or mention without its text", "a string, or a list of them")


def _text(passages: Sequence[Mapping[str, object]]) -> str:
    """The passages, each where its offsets say, with blanks between them."""
    text = ""
    pieces: list[tuple[int, int, str]] = []
    for passage in passages:
        offsets, said = _offsets(passage, "a passage"), _said(passage)
        if len(offsets) != len(said):
            raise UnreadableError("a passage of more or fewer texts than offsets", "one for each")
        pieces += [(*pair, piece) for pair, piece in zip(offsets, said, strict=True)]
    width = sum(len(own) for *_, own in pieces)
    if are_too_far(max((end for _, end, _ in pieces), default=0) - width, width):
        raise UnreadableError(*TOO_FAR)
    for start, end, own in sorted(pieces):
        if start < len(text) or end - start != len(own):
            raise UnreadableError(
                "passages that overlap, or whose offsets are not as long as they are",
                "offsets in characters of the text that the passages make up",
            )
        text = text.ljust(start) + own
    return text


def _span(entity: Mapping[str, object]) -> dict[str, object]:
    pieces = _offsets(entity, "a mention")
    return {
        "start": min(pieces)[0],
        "end": max(pieces)[1],
        "label": entity.get("type"),
        "text": " ".join(_said(entity)),
        "id": entity.get("id"),
        "fragments": [list(piece) for piece in pieces] if len(pieces) > 1 else None,
        "concepts": [_concept(link) for link in _rows(entity.get("normalized"), "normalized")],
    }


def _concept(link: Mapping[str, object]) -> str:
    name, number = link.get("db_name"), link.get("db_id")
    if not isinstance(number, str | int):
        raise UnreadableError("a link to a terminology without db_id", "db_name and db_id")
    return f"{name}:{number}" if isinstance(name, str) and name.strip() else str(number)
