"""`Notes`: a set of notes as a sequence of records over an Arrow table.

What is read, split or generated is one of these. The table may lie on disk and be larger than
memory; a record is made when it is asked for. Whatever else a caller has (records, texts, a
`datasets.Dataset`) becomes a sequence of notes at the door, by `as_notes`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from html import escape
from itertools import islice
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from clinical_tl.errors import NoteError, shown_id, shown_ids
from clinical_tl.schema import NOTE_FIELDS, Note, Relation, Span, visible
from clinical_tl.storage.replacement import replacing_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from datasets import Dataset, Features

NotesLike: TypeAlias = "Sequence[Note] | Dataset"
"""What is taken where notes are wanted: `Notes`, records, or a dataset in the one schema."""

BATCH_NOTES = 1_000
ANNOTATION = ("label", "codes", "spans", "relations")


class Notes(Sequence[Note]):
    """A set of notes: `notes[3]` is a `Note`, `notes[:9]` are `Notes`, `notes["label"]` a column.

    Made of records (`Notes(records)`) or of a `datasets.Dataset` in the one schema. Nothing of
    it ever prints text.

    Raises `NoteError` if two notes share an id, or a dataset lacks columns.

    >>> notes = Notes([Note("a", "No fever.", label="well"), Note("b", "Fever.", label="ill")])
    >>> notes
    Notes(2 notes; annotated: label 2)
    >>> notes[1].label, notes["note_id"]
    ('ill', ['a', 'b'])
    >>> notes.filter(lambda note: note.label == "ill")
    Notes(1 notes; annotated: label 1)
    """

    division: str | None = None
    """How this set was divided from others (`split_notes`, a corpus' own sets), in words."""

    def __init__(self, notes: Iterable[Note] | Dataset = ()) -> None:
        self._records: list[Note] | None = None
        if hasattr(notes, "column_names"):
            missing = [name for name in NOTE_FIELDS if name not in notes.column_names]
            if missing:
                raise NoteError(
                    f"the dataset lacks the columns {missing}; make notes of it: "
                    "read_notes(dataset, columns=…)"
                )
            # Lazily made otherwise, see below.
            self.__dict__["dataset"] = notes
            return
        self._records = [_checked(note) for note in notes]
        check_unique(self._records)

    @cached_property
    def dataset(self) -> Dataset:
        """The notes as a `datasets.Dataset` in the one schema."""
        from datasets import Dataset

        rows = [note_to_row(note) for note in self._records or ()]
        columns = {name: [row[name] for row in rows] for name in NOTE_FIELDS}
        return Dataset.from_dict(columns, features=note_features())

    @property
    def records(self) -> list[Note]:
        """All notes as records, made once and kept: for what needs all of them in memory."""
        if self._records is None:
            self._records = list(self)
        return self._records

    def __len__(self) -> int:
        return len(self.dataset) if self._records is None else len(self._records)

    def __iter__(self) -> Iterator[Note]:
        if self._records is not None:
            yield from self._records
            return
        for start in range(0, len(self.dataset), BATCH_NOTES):
            columns = self.dataset[start : start + BATCH_NOTES]
            for values in zip(*(columns[name] for name in NOTE_FIELDS), strict=True):
                yield tidied(row_to_note(dict(zip(NOTE_FIELDS, values, strict=True))))

    @overload
    def __getitem__(self, key: int) -> Note: ...
    @overload
    def __getitem__(self, key: slice) -> Notes: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    def __getitem__(self, key: int | slice | str) -> Note | Notes | list[Any]:
        if isinstance(key, str):
            if key not in NOTE_FIELDS:
                raise NoteError(f"notes have no field {key!r}; allowed: {list(NOTE_FIELDS)}")
            if self._records is None and key in ("note_id", "text", "label"):
                return list(self.dataset[key])
            if self._records is None and key == "patient_id":
                return [_patient(value) for value in self.dataset[key]]
            return [getattr(note, key) for note in self]
        if isinstance(key, slice):
            return self.select(range(*key.indices(len(self))))
        if self._records is not None:
            return self._records[key]
        return tidied(row_to_note(self.dataset[index(key)]))

    def select(self, positions: Iterable[int]) -> Notes:
        """The notes at these positions, in their order."""
        chosen = [index(position) for position in positions]
        mapped = "dataset" in self.__dict__
        part = Notes(self.dataset.select(chosen) if mapped else [self[i] for i in chosen])
        part.division = self.division
        if mapped and self._records is not None:
            part.__dict__["_records"] = [self._records[i] for i in chosen]
        return part

    def filter(self, keep: Callable[[Note], bool]) -> Notes:
        """The notes for which `keep` is true, in their order."""
        return self.select([i for i, note in enumerate(self) if keep(note)])

    def to_pandas(self) -> pd.DataFrame:
        """A data frame with a row a note and a column a field, text included."""
        frame: pd.DataFrame = self.dataset.to_pandas()
        return frame

    def counts(self) -> dict[str, int]:
        """How many notes, patients, and notes with each annotation there are; without zeros."""
        n_patients = len({patient for patient in self["patient_id"] if patient is not None})
        found = {"notes": len(self), "patients": n_patients}
        for name in ANNOTATION:
            if self._records is None:
                found[name] = len(self) - _nulls(self.dataset, name)
            else:
                found[name] = sum(getattr(note, name) is not None for note in self._records)
        return {name: n for name, n in found.items() if n or name == "notes"}

    def __repr__(self) -> str:
        counts = self.counts()
        patients = f" of {counts['patients']} patients" if "patients" in counts else ""
        annotated = ", ".join(f"{name} {counts[name]}" for name in ANNOTATION if name in counts)
        return f"Notes({counts['notes']} notes{patients}; annotated: {annotated or 'nothing'})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{n:,}</td></tr>" for name, n in self.counts().items()
        )
        return f"<table>{rows}</table>"


def _nulls(dataset: Dataset, column: str) -> int:
    values: pa.ChunkedArray = dataset.select_columns(column).with_format("arrow")[:][column]
    return int(values.null_count)


def as_notes(notes: NotesLike | Sequence[str]) -> list[Note]:
    """Notes from `Notes`, a dataset, records, or plain texts (ids are then `0`, `1`, …).

    Mentions have their borders as `tidied` sets them. Raises `NoteError` for anything else, for
    one text or note where a sequence is expected, and for notes with fields of another type.
    """
    if isinstance(notes, Notes):
        return notes.records
    notes = in_order(notes)
    rows: list[Note] = []
    for i in range(len(notes)):
        item: object = notes[i]
        if isinstance(item, Note):
            rows.append(_checked(item))
        elif isinstance(item, str):
            rows.append(Note(note_id=str(i), text=item))
        elif isinstance(item, Mapping):
            missing = [name for name in NOTE_FIELDS if name not in item]
            if missing:
                raise NoteError(
                    f"row {i} lacks the columns {missing}; make notes of the rows: "
                    "read_notes(rows, columns=…)"
                )
            rows.append(tidied(row_to_note(item)))
        else:
            raise NoteError(
                f"item {i} is of type {type(item).__name__}; give Note records, texts, or notes "
                "from read_notes()"
            )
    return rows


def check_unique(notes: Sequence[Note]) -> None:
    """Raise `NoteError` for two notes of one id."""
    counts = Counter(note.note_id for note in notes)
    twice = [note_id for note_id, n in counts.items() if n > 1]
    if twice:
        raise NoteError(
            f"note ids must be unique: {len(twice)} occur more than once, e.g. {shown_ids(twice)}"
        )


def each_note(notes: NotesLike | Sequence[str]) -> Iterator[Note]:
    """As `as_notes`, one at a time: a mapped set may be larger than memory."""
    if isinstance(notes, Notes):
        return iter(notes)
    given = in_order(notes)
    if hasattr(given, "column_names"):
        return iter(Notes(given))
    return iter(as_notes(given))


def in_order(
    notes: NotesLike | Sequence[str],
) -> NotesLike | Sequence[str]:
    """The notes as something whose item i is the i-th note.

    A pandas series answers by its index instead, which after a filter or a shuffle is not the
    position; it becomes a list.

    Raises `NoteError` for what is no sequence: one text, one note, a data frame.
    """
    if isinstance(notes, str):
        raise NoteError("a single text was given; give a sequence of texts: [text]")
    given: Any = notes
    if hasattr(given, "columns") and hasattr(given, "iloc"):
        raise NoteError("a data frame was given; make notes of it: read_notes(frame, columns=…)")
    if hasattr(given, "iloc"):
        return list(given.tolist())
    is_sequence = hasattr(given, "__len__") and hasattr(given, "__getitem__")
    if isinstance(given, Mapping) or not is_sequence:
        raise NoteError(
            f"a {type(notes).__name__} was given; give a sequence of notes or texts (of one: "
            "[note]), or a dataset from read_notes()"
        )
    return notes


def _checked(note: Note) -> Note:
    """`tidied`, of a note that was made by hand."""
    for found, allowed in wrong_types(note):
        raise NoteError(f"note {shown_id(note.note_id)!r}: {found}; allowed: {allowed}")
    return tidied(note)


def wrong_types(note: Note) -> Iterator[tuple[str, str]]:
    """(field and what it holds, what is allowed there) for the fields that hold something else."""
    single: tuple[tuple[str, Any, str], ...] = (
        ("note_id", str, "a string"),
        ("text", str, "a string"),
        ("patient_id", str | None, "a string or None"),
        ("label", str | None, "a string or None"),
        ("metadata", Mapping, "a mapping of what JSON knows"),
    )
    for name, one, allowed in single:
        value = getattr(note, name)
        if not isinstance(value, one):
            yield f"{name} of type {type(value).__name__}", allowed
    several: tuple[tuple[str, type], ...] = (
        ("codes", str),
        ("spans", Span),
        ("relations", Relation),
    )
    for name, kind in several:
        values = getattr(note, name)
        if values is None:
            continue
        allowed = f"a tuple of {kind.__name__}, or None"
        if not isinstance(values, list | tuple):
            yield f"{name} of type {type(values).__name__}", allowed
        elif odd := [value for value in values if not isinstance(value, kind)]:
            yield f"{name} with {type(odd[0]).__name__} inside", allowed


def tidied(note: Note) -> Note:
    """The note with the borders of its mentions where a reader sees them, its patient or none.

    Annotation tools store a mention that runs over a line break in two pieces, and take blanks
    along at its ends. Pieces that blank characters alone part become one, and every piece
    begins and ends with a visible character. A mention without any stays as it is. Notes with a
    blank for their patient are not those of one patient: theirs is not known.
    """
    if note.patient_id != _patient(note.patient_id):
        note = replace(note, patient_id=None)
    if not note.spans:
        return note
    spans = tuple(_tidied_span(note.text, span) for span in note.spans)
    return note if spans == note.spans else replace(note, spans=spans)


def _patient(given: str | None) -> str | None:
    return given if given and given.strip() else None


def _tidied_span(text: str, span: Span) -> Span:
    pieces: list[tuple[int, int]] = []
    if span.end > len(text):
        # Another text's offsets; whoever needs the text says so.
        return span
    for start, end in span.fragments or ((span.start, span.end),):
        first, last = visible(text, start, end)
        if first == last:
            continue
        if pieces and pieces[-1][1] <= first == visible(text, pieces[-1][1], first)[0]:
            first = pieces.pop()[0]
        pieces.append((first, last))
    fragments = tuple(pieces) if len(pieces) > 1 else ()
    if not pieces or (pieces[0][0], pieces[-1][1], fragments) == (
        span.start,
        span.end,
        span.fragments,
    ):
        return span
    return replace(span, start=pieces[0][0], end=pieces[-1][1], fragments=fragments)


def note_features() -> Features:
    """The one Arrow schema of a set of notes."""
    from datasets import Features, List, Value

    text = Value("string")
    offset = Value("int64")
    span = {
        "id": text,
        "start": offset,
        "end": offset,
        "label": text,
        "concepts": List(text),
        "attributes": List({"name": text, "value": text}),
        "fragments": List({"start": offset, "end": offset}),
        "score": Value("float64"),
    }
    return Features(
        {
            "note_id": text,
            "patient_id": text,
            "text": Value("large_string"),
            "label": text,
            "codes": List(text),
            "spans": List(span),
            "relations": List({"head": text, "tail": text, "label": text}),
            # Free-form keys differ from note to note, which Arrow structs can't hold: JSON.
            "metadata": text,
        }
    )


def note_to_row(note: Note) -> dict[str, Any]:
    """A note as one row of the Arrow schema."""
    return {
        "note_id": note.note_id,
        "patient_id": note.patient_id,
        "text": note.text,
        "label": note.label,
        "codes": None if note.codes is None else list(note.codes),
        "spans": None if note.spans is None else [span_to_row(span) for span in note.spans],
        "relations": None
        if note.relations is None
        else [{"head": r.head, "tail": r.tail, "label": r.label} for r in note.relations],
        "metadata": json.dumps(dict(note.metadata), sort_keys=True, ensure_ascii=False),
    }


def span_to_row(span: Span) -> dict[str, Any]:
    """A span as the struct of the Arrow schema."""
    return {
        "id": span.id,
        "start": span.start,
        "end": span.end,
        "label": span.label,
        "concepts": list(span.concepts),
        "attributes": [{"name": name, "value": value} for name, value in span.attributes],
        "fragments": [{"start": start, "end": end} for start, end in span.fragments],
        "score": span.score,
    }


def row_to_span(row: Mapping[str, Any]) -> Span:
    """The inverse of `span_to_row`."""
    return Span(
        start=row["start"],
        end=row["end"],
        label=row["label"],
        id=row["id"] or "",
        concepts=tuple(row["concepts"] or ()),
        attributes=tuple((a["name"], a["value"]) for a in row["attributes"] or ()),
        fragments=tuple((f["start"], f["end"]) for f in row["fragments"] or ()),
        score=row["score"],
    )


def row_to_note(row: Mapping[str, Any]) -> Note:
    """The inverse of `note_to_row`."""
    return Note(
        note_id=row["note_id"],
        text=row["text"],
        patient_id=row["patient_id"],
        label=row["label"],
        codes=None if row["codes"] is None else tuple(row["codes"]),
        spans=None if row["spans"] is None else tuple(row_to_span(s) for s in row["spans"]),
        relations=None
        if row["relations"] is None
        else tuple(Relation(r["head"], r["tail"], r["label"]) for r in row["relations"]),
        metadata=json.loads(row["metadata"]) if row["metadata"] else {},
    )


def tabulate(notes: Iterable[Note], path: Path | None = None) -> Notes:
    """Builds the set of an iterable of notes without holding more than a batch as objects.

    Args:
        notes: the notes, in the order of the rows.
        path: where to write the table (Arrow stream), which is then memory-mapped; `None` keeps
            it in memory. An existing file is replaced, never read; datasets that map the old
            one keep it.
    """
    import pyarrow as pa
    from datasets import Dataset, DatasetInfo
    from datasets.table import InMemoryTable

    features = note_features()
    schema = features.arrow_schema
    batches = note_batches(notes, schema)
    if path is None:
        kept = list(batches)
        # The default fingerprint would pickle the whole table into memory once more.
        content = blake2b(digest_size=8)
        for batch in kept:
            content.update(batch.serialize())
        table = InMemoryTable(pa.Table.from_batches(kept, schema=schema))
        info = DatasetInfo(features=features)
        return Notes(Dataset(table, info=info, fingerprint=content.hexdigest()))
    with (
        replacing_file(path) as draft,
        pa.OSFile(str(draft), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
    return Notes(Dataset.from_file(str(path)))


def note_batches(notes: Iterable[Note], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yields the rows of the notes, `BATCH_NOTES` at a time."""
    import pyarrow as pa

    rows = (note_to_row(note) for note in notes)
    while batch := list(islice(rows, BATCH_NOTES)):
        yield pa.RecordBatch.from_pylist(batch, schema=schema)
