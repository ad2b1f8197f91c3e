"""doccano's exports (https://doccano.github.io): JSONL, JSON and CSV.

A text labelling project gives `label` (once `labels`) as a list of `[start, end, label]`; one with
relations `entities` and `relations`; classification `label` as a list of names, which in a CSV
stand as `a#b`. Offsets are characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clinical_tl.data.formats.categories import (
    Categories,
    categories_kind,
    category_fields,
    category_names,
)
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import json_values, read_json_records, values
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.nesting import renamed
from clinical_tl.data.formats.problems import Faults, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.tool_tables import header_of, table_values
from clinical_tl.data.formats.written_json import check_note, json_line
from clinical_tl.schema import Note

_LABELS = ("label", "labels", "annotations")
_KEYS = {"start": "start_offset", "end": "end_offset"}
_OWN = ("id", "text", "data", *_LABELS, "entities", "relations", "cats", "Comments")


@dataclass(frozen=True)
class _Project:
    """What all records of a file together tell of the project."""

    categories: Categories
    has_categories: bool
    has_mentions: bool


def read_doccano(
    file: File, faults: Faults, *, layout: Layout, cats: Categories | None = None
) -> Iterator[Note]:
    """Yields a note for every text.

    An empty list of labels means *no mention* in a file that has mentions elsewhere, *no category*
    in one that has categories, and in a file without either that nothing is annotated. The id is
    `note_id` where the texts were imported with one, else doccano's own.

    Args:
        file: the export.
        faults: where what is wrong goes.
        layout: which key holds what doccano has no place for (ids of patients, codes).
        cats: whether categories are the `label` or the `codes`; by default codes where any text
            of the file has several.

    Raises:
        ConfigError: unknown `cats`.
    """
    places = json_values if Sight.of(file).is_json else table_values
    most, has_mentions = 0, False
    for record in values(places(file, Faults(file.name))):
        if isinstance(record, Mapping):
            most = max(most, len(_categories(record) or ()))
            has_mentions |= any(map(_is_mention, _labels(record))) or "entities" in record
    project = _Project(categories_kind(cats, most, file.name), most > 0, has_mentions)
    yield from read_json_records(
        file,
        faults,
        layout,
        partial(_fields, project=project, faults=faults),
        places=places(file, faults),
        own=_OWN,
        are_numbered=True,
    )


def _fields(record: Mapping[str, object], project: _Project, faults: Faults) -> dict[str, object]:
    text = record.get("text", record.get("data"))
    note_id = record.get("note_id", record.get("id"))
    fields: dict[str, object] = {"note_id": note_id, "text": text, "spans": None}
    names, labels = _categories(record), _labels(record)
    if names and any(map(_is_mention, labels)):
        raise UnreadableError("mentions and categories in one list", "one kind of label a text")
    fields |= category_fields(names if project.has_categories else None, project.categories)
    if "entities" in record or (labels and not names):
        fields["spans"] = [_mention(label) for label in [*_listed(record, "entities"), *labels]]
    elif project.has_mentions and any(record.get(key) == [] for key in _LABELS):
        fields["spans"] = []
    elif not names and not project.has_categories and any(k in record for k in _LABELS):
        faults.doubtful["texts without a label in a file without any, read as not annotated"] += 1
    if "relations" in record:
        keys = {"head": "from_id", "tail": "to_id", "label": "type"}
        fields["relations"] = [renamed(item, keys) for item in _listed(record, "relations")]
    return fields


def _listed(record: Mapping[str, object], key: str) -> list[object]:
    value = record.get(key)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise UnreadableError(f"{key} that are no list", "a list, as doccano exports it")


def _labels(record: Mapping[str, object]) -> list[object]:
    found = [record[key] for key in _LABELS if isinstance(record.get(key), list)]
    return [item for value in found if isinstance(value, list) for item in value]


def _categories(record: Mapping[str, object]) -> list[str] | None:
    """The names of the text's categories; `None` where its labels are of another kind."""
    for key in ("cats", *_LABELS):
        value = record.get(key)
        if isinstance(value, str):
            # A cell of a CSV.
            return [name for name in value.split("#") if name]
        names = category_names(value)
        if names is not None:
            return names
    return None


def _is_mention(label: object) -> bool:
    return isinstance(label, list | Mapping)


def _mention(label: object) -> object:
    is_object = isinstance(label, Mapping)
    if isinstance(label, Mapping) and isinstance(label.get("label"), int):
        raise UnreadableError(
            "labels that are numbers, as old exports have them", "the export with text labels"
        )
    return renamed(label, _KEYS if is_object else {})


def write_doccano(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes JSONL that doccano imports: `entities` and `relations`, or `label` for categories.

    doccano numbers mentions, so ids that are no numbers become such, which is counted. It takes
    `note_id`, `patient_id` and `metadata` along as meta data, and has them in its exports.
    Discontinuous mentions, concepts, attributes, scores, relations between concepts, and labels or
    codes of notes with mentions count as lost. So do labels in a file where a note has several
    codes, and codes in one where none has: a file has one kind of categories.

    Raises:
        NoteError: a note that JSON can't hold.
    """
    kinds: Counter[str] = Counter()
    with path.open("wb") as stream:
        for note in losses.counted(notes):
            check_note(note, losses)
            stream.write(json_line(note, _record(note, losses)))
            kinds[_kind(note)] += 1
    # A reader takes the categories of one text as those of all texts suggest.
    if kinds["several codes"]:
        losses.add("labels where other notes have several codes", kinds["label"])
        empty = kinds["no code"] if kinds["mentions"] else 0
        losses.add("codes (notes) that are none, beside mentions", empty)
    else:
        losses.add("codes (notes) where no note has several", kinds["one code"] + kinds["no code"])


def _kind(note: Note) -> str:
    if note.spans is not None or note.relations is not None:
        return "mentions"
    if note.label is not None:
        return "label"
    if note.codes is None:
        return "nothing"
    return ("no code", "one code", "several codes")[min(len(note.codes), 2)]


def _record(note: Note, losses: Losses) -> dict[str, object]:
    record: dict[str, object] = {"note_id": note.note_id, "text": note.text}
    if note.patient_id is not None:
        record["patient_id"] = note.patient_id
    if note.metadata:
        record["metadata"] = dict(note.metadata)
    if note.spans is None and note.relations is None:
        losses.add("codes (notes)", note.label is not None and note.codes is not None)
        if note.label is not None:
            record["label"] = [note.label]
        elif note.codes is not None:
            record["label"] = list(note.codes)
    else:
        losses.add("labels", note.label is not None)
        losses.add("codes (notes)", note.codes is not None)
        record |= _marked(note, losses)
    return {**record, "Comments": []}


def _marked(note: Note, losses: Losses) -> dict[str, object]:
    kept = [span for span in note.spans or () if not span.is_discontinuous]
    losses.add("discontinuous mentions", len(note.spans or ()) - len(kept))
    losses.add("concepts", sum(len(span.concepts) for span in kept))
    losses.add("attributes", sum(len(span.attributes) for span in kept))
    losses.add("scores", sum(span.score is not None for span in kept))
    ids = [span.id for span in kept if span.id]
    are_numbers = all(own.isdecimal() and str(int(own)) == own for own in ids)
    losses.add("mention ids", 0 if are_numbers else len(ids))
    by_id = {own: int(own) if are_numbers else number for number, own in enumerate(ids, 1)}
    # Without an id, doccano gives one.
    entities = [
        ({"id": by_id[span.id]} if span.id else {})
        | {"label": span.label, "start_offset": span.start, "end_offset": span.end}
        for span in kept
    ]
    ends = [(by_id.get(r.head), by_id.get(r.tail), r.label) for r in note.relations or ()]
    held = [(head, tail, label) for head, tail, label in ends if None not in (head, tail)]
    losses.add("relations", len(ends) - len(held))
    relations = [
        {"id": i, "from_id": head, "to_id": tail, "type": label}
        for i, (head, tail, label) in enumerate(held, 1)
    ]
    losses.add("notes not annotated with mentions but with relations", note.spans is None)
    return {"entities": entities} | ({} if note.relations is None else {"relations": relations})


def _looks(sight: Sight) -> bool:
    record = sight.record
    if not record:
        return {"id", "text", "label", "Comments"} <= header_of(sight)
    if not isinstance(record.get("text", record.get("data")), str):
        return False
    entities, labels = record.get("entities"), _labels(record)
    return "Comments" in record or any(
        (isinstance(item, Mapping) and {"start_offset", "end_offset"} <= item.keys())
        or (isinstance(item, list) and list(map(type, item)) == [int, int, str])
        for item in (*(entities if isinstance(entities, list) else ()), *labels)
    )


DOCCANO = Format(
    "doccano", "doccano's JSONL, JSON or CSV", read_doccano, write_doccano, looks=_looks
)
