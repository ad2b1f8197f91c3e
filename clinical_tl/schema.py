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

from clinical_tl.discreet import Discreet
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
