"""The records that travel through the package.

Offsets are characters (Unicode code points, as Python's `str` counts them), half-open.
Everywhere `None` means *not annotated* and an empty collection *annotated with nothing*:
a note whose `codes` are `None` can't be used to train a coder, one whose `codes` are `()`
is a note that needs no code.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from clinical_tl.display.discreet import Discreet
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import NoteError, TaskError, shown_id, shown_ids

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
SAID_NAMES = ("note_id", "head", "tail", "code", "label")
"""Columns of `Prediction.table()` that hold names."""
SHOWN_SAID = 5
WRITTEN_SCORES = 20

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

    >>> text = "Metformin was stopped."
    >>> span = Span(start=0, end=9, label="Drug", score=0.98)
    >>> text[span.start : span.end], span.key
    ('Metformin', (0, 9, 'Drug'))
    >>> Span(5, 5, "Drug")
    Traceback (most recent call last):
        ...
    clinical_tl.errors.NoteError: span 5–5 (Drug): offsets must satisfy 0 <= start < end
        (half-open, in characters)
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
    """A directed relation between two mentions (span ids) or two concepts (concept ids).

    >>> drug, effect = Span(10, 21, "Drug", id="T1"), Span(0, 4, "Effect", id="T2")
    >>> note = Note(
    ...     "n1",
    ...     "Rash from amoxicillin.",
    ...     spans=(effect, drug),
    ...     relations=(Relation(drug.id, effect.id, "causes"),),
    ... )
    >>> note.relations
    (Relation(head='T1', tail='T2', label='causes'),)
    """

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
    """One document with whatever is annotated on it.

    >>> Note("n1", "Denies fever.", patient_id="p7", label="well", codes=())
    Note(note_id='n1', text=<13 characters>, patient_id=<2 characters>, label='well', codes=<0>,
        spans=None, relations=None, metadata=<0>)
    """

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
class Prediction(Discreet, Tabular):
    """What a model, or a set of rules, says of one note; it shows names, offsets and scores.

    `label` and `scores` come from classification, `codes`, `scores` and `evidence` from
    coding (evidence: code → the stretches of text its attention points to, best first; of an
    open code set also `sources`: code → what spoke for it, most first),
    `spans` from entity recognition, `relations` from relation extraction. `scores` maps label,
    code or candidate relation to a probability in [0, 1].

    The decision (`label`, `codes`, `spans`, `relations`) is what counts as said, wherever it
    comes from: accuracy, precision, recall and F1 are its own. Where a reviewer or a rule
    changed it, `scores` may disagree; AUROC, MAP and calibration are theirs. A note without
    anything to read (blank) gets no label, code, mention or relation, and the labels' shares in
    training as its scores. `novelty`, where it was asked for,
    says how unlike the training notes the note is (larger is stranger, on the scale of
    `NoveltyDetector.novelty`).

    >>> drug, problem = Span(0, 9, "Drug", score=0.98), Span(20, 24, "Problem")
    >>> prediction = Prediction("n1", spans=(drug, problem))
    >>> prediction
    Prediction(note_id='n1', spans=[0–9 Drug 0.98, 20–24 Problem])
    >>> prediction.table()
    note_id  start  end  label    score
    -------  -----  ---  -------  -----
    n1           0    9  Drug     0.980
    n1          20   24  Problem      –
    >>> Prediction("n2", codes=("I10", "E11.9"), scores={"I10": 0.91, "E11.9": 0.64, "J45": 0.02})
    Prediction(note_id='n2', codes=[I10 0.91, E11.9 0.64])
    """

    note_id: str
    label: str | None = None
    codes: tuple[str, ...] | None = None
    spans: tuple[Span, ...] | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    relations: tuple[ScoredRelation, ...] | None = None
    novelty: float | None = None
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def table(self) -> Table:
        """One row a mention, code, relation or label, with its score; none if nothing is said."""
        about = {"note_id": self.note_id}
        strange = {} if self.novelty is None else {"novelty": self.novelty}
        rows = (about | row | strange for rows in self._said().values() for row in rows)
        return Table(rows, names=SAID_NAMES)

    def to_dict(self) -> dict[str, Any]:
        """The prediction as JSON values; what the task doesn't give is left out.

        Of a coding model's scores the 20 highest and those of the codes given are kept.
        """
        record: dict[str, Any] = {"note_id": self.note_id}
        if self.label is not None:
            record["label"] = self.label
        if self.codes is not None:
            record["codes"] = list(self.codes)
        said = self._said()
        record |= {name: said[name] for name in ("spans", "relations") if name in said}
        if isinstance(self.scores, LabelScores):
            # With a threshold for each code one that is given may score less than many others.
            given = {code: self.scores[code] for code in self.codes or () if code in self.scores}
            record["scores"] = self.scores.top(WRITTEN_SCORES) | given
        elif self.scores:
            record["scores"] = dict(self.scores)
        if self.evidence:
            record["evidence"] = {
                code: [_said_span(span) for span in spans] for code, spans in self.evidence.items()
            }
        if self.sources:
            record["sources"] = {code: list(said) for code, said in self.sources.items()}
        if self.novelty is not None:
            record["novelty"] = self.novelty
        return record

    def _said(self) -> dict[str, list[dict[str, Any]]]:
        """Field → one row for each thing it says; without the fields that say nothing."""
        said: dict[str, list[dict[str, Any]]] = {}
        if self.label is not None:
            said["label"] = [{"label": self.label, "score": self.scores.get(self.label)}]
        if self.codes is not None:
            said["codes"] = [{"code": code, "score": self.scores.get(code)} for code in self.codes]
        if self.spans is not None:
            said["spans"] = [_said_span(span) for span in self.spans]
        if self.relations is not None:
            said["relations"] = [dict(vars(relation)) for relation in self.relations]
        return said

    def _shown(self) -> Iterator[str]:
        yield f"note_id={shown_id(self.note_id)!r}"
        for name, rows in self._said().items():
            said = [_in_words(row) for row in rows[:SHOWN_SAID]]
            said += [f"… {len(rows) - SHOWN_SAID:,} more"] if len(rows) > SHOWN_SAID else []
            yield f"{name}=[{', '.join(said)}]"
        if self.novelty is not None:
            yield f"novelty={self.novelty:.2f}"


def _said_span(span: Span) -> dict[str, Any]:
    return {"start": span.start, "end": span.end, "label": span.label, "score": span.score}


def _in_words(row: Mapping[str, Any]) -> str:
    """A row of `Prediction.table()` in one line: where, what, and the score."""
    where = [f"{row['start']}–{row['end']}"] if "start" in row else []
    what = [shown_id(row[name], name) for name in SAID_NAMES if name in row]
    score = [] if row["score"] is None else [f"{row['score']:.2f}"]
    return " ".join(where + what + score)


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
    after they were pickled together. `others` are labels that the model has no output for, such
    as codes of an open set.

    >>> probabilities = np.array([0.25, 0.75, 0.125], dtype=np.float32)
    >>> scores = LabelScores(("E11.9", "I10", "J45"), probabilities)
    >>> scores["I10"]
    0.75
    >>> scores.top(2)
    {'I10': 0.75, 'E11.9': 0.25}
    >>> scores
    LabelScores(3 labels, best: {'I10': 0.75, 'E11.9': 0.25, 'J45': 0.125})
    """

    def __init__(
        self,
        names: Sequence[str],
        array: npt.NDArray[np.float32],
        others: Mapping[str, float] | None = None,
    ) -> None:
        if len(names) != len(array):
            raise TaskError(f"{len(names)} labels but {len(array)} scores; give one a label")
        self.names = tuple(names)
        self.array = array
        self.others = others or {}

    @cached_property
    def _positions(self) -> Mapping[str, int]:
        return _columns(self.names)

    def __getitem__(self, name: str) -> float:
        if name in self.others:
            return self.others[name]
        return float(self.array[self._positions[name]])

    def __contains__(self, name: object) -> bool:
        return name in self._positions or name in self.others

    def __iter__(self) -> Iterator[str]:
        yield from self.names
        yield from self.others

    def __len__(self) -> int:
        return len(self.names) + len(self.others)

    def __reduce__(self) -> tuple[type[LabelScores], tuple[Any, ...]]:
        # Without the index: each row would carry its own.
        return (LabelScores, (self.names, self.array, self.others))

    def top(self, n: int) -> dict[str, float]:
        """The `n` highest scores, best first."""
        best = np.argsort(-self.array, kind="stable")[:n]
        own = {self.names[i]: float(self.array[i]) for i in best}
        if not self.others:
            return own
        ranked = sorted((own | dict(self.others)).items(), key=lambda item: -item[1])
        return dict(ranked[:n])

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

    >>> labels = LabelSet.fitted(["ward", "icu", "ward"])
    >>> labels
    LabelSet(names=<2>, support=<2>)
    >>> labels.names, labels.support
    (('icu', 'ward'), (1, 2))
    >>> labels.positions["ward"]
    1
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
