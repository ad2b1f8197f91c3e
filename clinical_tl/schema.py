"""The records that travel through the package, and the Arrow schema of a set of notes.

Offsets are characters (Unicode code points, as Python's `str` counts them), half-open.
Everywhere `None` means *not annotated* and an empty collection *annotated with nothing*:
a note whose `codes` are `None` can't be used to train a coder, one whose `codes` are `()`
is a note that needs no code.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from clinical_tl.discreet import Discreet
from clinical_tl.errors import NoteError, TaskError, shown_id, shown_ids

if TYPE_CHECKING:
    from datasets import Dataset, Features

NOTE_FIELDS = (
    "note_id",
    "patient_id",
    "text",
    "label",
    "codes",
    "spans",
    "relations",
    "metadata",
)

# What takes no room: soft hyphens, zero-width characters, marks of direction and byte order.
WIDTHLESS = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_BLANKS = re.compile(rf"[\s{WIDTHLESS}]*")


def visible(text: str, start: int = 0, end: int | None = None) -> tuple[int, int]:
    """The stretch without the blank characters at its ends; empty if it has no others."""
    end = len(text) if end is None else min(end, len(text))
    if start < end and text[start].isalnum() and text[end - 1].isalnum():
        return start, end
    first = _BLANKS.match(text, start, end)
    start = end if first is None else first.end()
    while end > start and _BLANKS.fullmatch(text, end - 1, end):
        end -= 1
    return start, end


@dataclass(frozen=True, eq=False, repr=False)
class Span(Discreet):
    """A labelled stretch of a note's text, characters `start` (inclusive) to `end` (exclusive).

    A discontinuous mention has its pieces in `fragments` (sorted, at least two) and covers
    `fragments[0][0]` to `fragments[-1][1]`; a contiguous one has none. `concepts` are ids in
    a terminology, `attributes` name-value pairs such as `("negation", "true")`, `id` the
    mention's id within the note (what `Relation` refers to), `score` a model's confidence
    in [0, 1] or `None` for gold.
    """

    start: int
    end: int
    label: str
    id: str = ""
    concepts: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    fragments: tuple[tuple[int, int], ...] = ()
    score: float | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or self.end <= self.start:
            raise NoteError(
                f"span {self.start}–{self.end} ({shown_id(self.label, 'label')}): offsets must "
                "satisfy 0 <= start < end (half-open, in characters)"
            )

    @property
    def is_discontinuous(self) -> bool:
        """Whether the mention consists of several pieces."""
        return len(self.fragments) > 1

    @property
    def key(self) -> tuple[int, int, str]:
        """What two mentions must share to be the same under exact scoring."""
        return (self.start, self.end, self.label)


@dataclass(frozen=True, eq=False, repr=False)
class Relation(Discreet):
    """A directed relation between two mentions (span ids) or two concepts (concept ids)."""

    head: str
    tail: str
    label: str


@dataclass(frozen=True, eq=False, repr=False)
class ScoredRelation(Discreet):
    """A relation that a model found, with its probability in [0, 1]."""

    head: str
    tail: str
    label: str
    score: float


@dataclass(frozen=True, eq=False, repr=False)
class Note(Discreet):
    """One document with whatever is annotated on it."""

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"text", "patient_id", "metadata"})

    note_id: str
    text: str
    patient_id: str | None = None
    label: str | None = None
    codes: tuple[str, ...] | None = None
    spans: tuple[Span, ...] | None = None
    relations: tuple[Relation, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Discreet):
    """What a model, or a set of rules, says of one note.

    `label` and `scores` come from classification, `codes`, `scores` and `evidence` from
    coding (evidence: code → the stretches of text its attention points to, best first),
    `spans` from entity recognition, `relations` from relation extraction. `scores` maps label,
    code or candidate relation to a probability in [0, 1].

    The decision (`label`, `codes`, `spans`, `relations`) is what counts as said, wherever it
    comes from: accuracy, precision, recall and F1 are its own. Where a reviewer or a rule
    changed it, `scores` may disagree; AUROC, MAP and calibration are theirs. A note without
    anything to read (blank) gets no label, code, mention or relation, and the labels' shares in
    training as its scores. `novelty`, where it was asked for,
    says how unlike the training notes the note is (larger is stranger, on the scale of
    `NoveltyDetector.novelty`).
    """

    note_id: str
    label: str | None = None
    codes: tuple[str, ...] | None = None
    spans: tuple[Span, ...] | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    relations: tuple[ScoredRelation, ...] | None = None
    novelty: float | None = None


@lru_cache(maxsize=32)
def _columns(names: tuple[str, ...]) -> Mapping[str, int]:
    """Label → column: one index for all rows of a model's output, wherever they came from."""
    columns = {name: i for i, name in enumerate(names)}
    if len(columns) != len(names):
        twice = sorted(name for name, n in Counter(names).items() if n > 1)
        raise TaskError(f"labels must be unique; given more than once: {shown_ids(twice, 'label')}")
    return columns


class LabelScores(Mapping[str, float]):
    """Label → probability, backed by one row of a model's output.

    Thousands of labels a note cost an array and not a dictionary; `array` has shape (labels,)
    in the order of `names`. Rows of one model share their names and the index of them, also
    after they were pickled together.
    """

    def __init__(self, names: Sequence[str], array: npt.NDArray[np.float32]) -> None:
        if len(names) != len(array):
            raise TaskError(f"{len(names)} labels but {len(array)} scores; give one a label")
        self.names = tuple(names)
        self.array = array

    @cached_property
    def _positions(self) -> Mapping[str, int]:
        return _columns(self.names)

    def __getitem__(self, name: str) -> float:
        return float(self.array[self._positions[name]])

    def __contains__(self, name: object) -> bool:
        return name in self._positions

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[type[LabelScores], tuple[Sequence[str], npt.NDArray[np.float32]]]:
        # Without the index: each row would carry its own.
        return (LabelScores, (self.names, self.array))

    def top(self, n: int) -> dict[str, float]:
        """The `n` highest scores, best first."""
        best = np.argsort(-self.array, kind="stable")[:n]
        return {self.names[i]: float(self.array[i]) for i in best}

    def __repr__(self) -> str:
        best = {shown_id(name, "label"): score for name, score in self.top(3).items()}
        return f"LabelScores({len(self)} labels, best: {best})"


def score_rows(
    predictions: Sequence[Prediction], names: tuple[str, ...]
) -> npt.NDArray[np.float64] | None:
    """The predictions' scores of `names`, shape (n, names); `None` where one lacks some of them.

    Linear in the number of scores, whatever mapping holds them.
    """
    rows = np.empty((len(predictions), len(names)))
    for i, prediction in enumerate(predictions):
        scores = prediction.scores
        if isinstance(scores, LabelScores) and scores.names == names:
            rows[i] = scores.array
            continue
        given = [scores.get(name) for name in names]
        if None in given:
            return None
        rows[i] = given
    return rows


@dataclass(frozen=True, eq=False, repr=False)
class LabelSet(Discreet):
    """The labels a model can give, in the order of its outputs, with their training support.

    Always fitted on the training notes alone (`LabelSet.fitted`), sorted by name.
    """

    names: tuple[str, ...]
    support: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _columns(tuple(self.names))
        if self.support and len(self.support) != len(self.names):
            raise TaskError(
                f"{len(self.names)} labels but {len(self.support)} support counts; "
                "give one count a label or none at all"
            )

    @classmethod
    def fitted(cls, labels: Iterable[str]) -> LabelSet:
        """The distinct labels of `labels` with how often each occurs."""
        counts = Counter(labels)
        names = tuple(sorted(counts))
        return cls(names, tuple(counts[name] for name in names))

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Label → column of the model's output."""
        return _columns(tuple(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.positions

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


def tidied(note: Note) -> Note:
    """The note with the borders of its mentions where a reader sees them.

    Annotation tools store a mention that runs over a line break in two pieces, and take blanks
    along at its ends. Pieces that blank characters alone part become one, and every piece
    begins and ends with a visible character. A mention without any stays as it is.
    """
    if not note.spans:
        return note
    spans = tuple(_tidied_span(note.text, span) for span in note.spans)
    return note if spans == note.spans else replace(note, spans=spans)


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


class Notes(Protocol):
    """What the package asks of a set of notes: a sized, indexable table of rows.

    `datasets.Dataset` satisfies it.
    """

    def __len__(self) -> int:
        """How many notes there are."""
        ...

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401  (rows by int, columns by str)
        """A row (dict) for an int, a column for a str."""
        ...


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


def notes_to_dataset(notes: Iterable[Note]) -> Dataset:
    """Notes as a `datasets.Dataset` in the one Arrow schema.

    Raises `NoteError` if two notes share an id.
    """
    from datasets import Dataset

    rows = [note_to_row(note) for note in notes]
    counts = Counter(row["note_id"] for row in rows)
    twice = [note_id for note_id, n in counts.items() if n > 1]
    if twice:
        raise NoteError(
            f"note ids must be unique: {len(twice)} occur more than once, e.g. {shown_ids(twice)}"
        )
    columns = {name: [row[name] for row in rows] for name in NOTE_FIELDS}
    return Dataset.from_dict(columns, features=note_features())


def dataset_to_notes(dataset: Notes) -> list[Note]:
    """The rows of a dataset in the one Arrow schema as `Note` records, in order."""
    return [row_to_note(dataset[i]) for i in range(len(dataset))]


def as_notes(notes: Notes | Sequence[Note] | Sequence[str]) -> list[Note]:
    """Notes from a dataset, from records, or from plain texts (ids are then `0`, `1`, …).

    Mentions have their borders as `tidied` sets them. Raises `NoteError` for anything else, or
    for one text or note where a sequence is expected.
    """
    notes = in_order(notes)
    rows: list[Note] = []
    for i in range(len(notes)):
        item = notes[i]
        if isinstance(item, Note):
            rows.append(tidied(item))
        elif isinstance(item, str):
            rows.append(Note(note_id=str(i), text=item))
        elif isinstance(item, Mapping):
            missing = [name for name in NOTE_FIELDS if name not in item]
            if missing:
                raise NoteError(
                    f"row {i} lacks the columns {missing}; build the dataset with read_notes() "
                    "or notes_to_dataset()"
                )
            rows.append(tidied(row_to_note(item)))
        else:
            raise NoteError(
                f"item {i} is of type {type(item).__name__}; give Note records, texts, or a "
                "dataset from read_notes()"
            )
    return rows


def in_order(
    notes: Notes | Sequence[Note] | Sequence[str],
) -> Notes | Sequence[Note] | Sequence[str]:
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
