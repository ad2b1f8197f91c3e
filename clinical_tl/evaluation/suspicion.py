"""`suspect_labels`: annotations that models which did not see them take for mistakes.

A linear model on frozen features is fitted on folds of the notes, so that each note is judged
by one that saw neither it nor its patient nor a copy of it. What it holds improbable, though an
annotator wrote it, is worth a second look, most improbable first (confident learning: Northcutt,
Jiang & Chuang, https://arxiv.org/abs/1911.00068). It is a list for people: rare labels, which
a model knows little of, stand in it too. How many of its rows are mistakes it does not say: the
paper's estimate was five times too high where models are right of six notes in ten (MTS-Dialog).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.predictions import TABLES
from clinical_tl.data.results.tidy_rows import Columns
from clinical_tl.data.ties import related_notes
from clinical_tl.display.discreet import Discreet
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import ConfigError, TaskError, shown_path
from clinical_tl.estimators.feature_classifier import FeatureClassifier
from clinical_tl.models.feature_model import class_weight
from clinical_tl.models.linear_tagger import (
    UNIT_STRENGTHS,
    UNSEEN,
    check_of_notes,
    decoded_mentions,
    settled_on_sample,
    unit_tags,
)
from clinical_tl.network.embeddings import embed, embed_units
from clinical_tl.schema import Note, Span
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replacing_file
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task import Task
from clinical_tl.tasks.task_checks import check_notes
from clinical_tl.tasks.unit_task import UnitTask
from clinical_tl.text.units import find_units
from clinical_tl.text.visible import can_be_read, tell_unread, written_notes

if TYPE_CHECKING:
    from clinical_tl.network.frozen_encoder import FrozenEncoder, VectorPooling

COLUMNS: Columns = {
    "note_id": str,
    "start": int,
    "end": int,
    "given": str,
    "expected": str,
    "score": float,
}
# An annotation of which it takes more than this to be believed.
HALF = 0.5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Suspicion(Discreet):
    """One annotation that may be wrong.

    `given` is what the note has and `expected` what the model would say; of codes and mentions
    one of them is `None`: given but improbable, or probable but not given. Mentions have offsets.
    """

    note_id: str
    given: str | None
    expected: str | None
    score: float
    start: int | None = None
    end: int | None = None

    def row(self) -> dict[str, str | int | float | None]:
        """The record by `COLUMNS`."""
        return {name: getattr(self, name) for name in COLUMNS}


@dataclass(frozen=True, eq=False, repr=False)
class Suspicions(Tabular, Discreet):
    """Annotations that may be wrong, the most suspicious first; ids and labels, never text.

    Attributes:
        records: those that the model contradicts.
        judged: how many labels of notes, given codes or mentions there are.
        not_judged: how many more are within another mention of their type, which tags can't say, or
            have a label that a single patient (or text) has: whoever
            has not seen it can't know it.
    """

    records: tuple[Suspicion, ...]
    judged: int
    not_judged: int

    def summary(self) -> dict[str, int]:
        """How many there are, were judged, and were not."""
        counts = {"judged": self.judged, "not_judged": self.not_judged}
        return {"suspicious": len(self.records), **counts}

    def table(self) -> Table:
        """One row an annotation."""
        empty = {
            name
            for name in ("start", "end")
            if all(getattr(record, name) is None for record in self.records)
        }
        return Table(
            (
                {name: cell for name, cell in record.row().items() if name not in empty}
                for record in self.records
            ),
            names=("note_id", "given", "expected"),
        )

    def glance(self) -> Iterable[str | Table]:
        """How many there are, and the first of them."""
        return type(self).__name__, Table([self.summary()]), self.table()

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write all rows as a table, by the ending: `.csv`, `.tsv`, `.parquet` or `.xlsx`.

        The file appears only when it is complete. Raises `ConfigError` for other endings.
        """
        target = as_path(path)
        writer = TABLES.get(target.suffix.lower().removeprefix("."))
        if writer is None:
            raise ConfigError(
                f"{shown_path(target.name)}: allowed endings: {[f'.{name}' for name in TABLES]}"
            )
        with replacing_file(target) as draft:
            writer((record.row() for record in self.records), COLUMNS, draft)
        return target


def suspect_labels(
    task: Task,
    notes: NotesLike,
    encoder: str | Path | FrozenEncoder = "offline",
    *,
    layer: int | None = None,
    pooling: VectorPooling = "mean",
    cache: str | Path | None = None,
    folds: int = 5,
    seed: int = 0,
    progress: bool = True,
) -> Suspicions:
    """Annotations that may be wrong, the most suspicious first.

    - A note's label: where another is likelier. The score is one minus its probability (the
      paper's self-confidence, which found more of what was made wrong than the margin did).
    - Codes: given ones that are less likely than not, and absent ones that are likelier than not.
      The score is how far the probability lies below what it is on average where the code is
      given, or absent (the class threshold of confident learning): rare codes, of which the
      model never is sure, don't come first.
    - Mentions: given ones that the tagger does not make, and those that it makes where none is
      given. The score is one minus the mean probability of the mention's label at its units,
      or the mean probability of the tags.

    Args:
        task: fitted on these notes.
        notes: annotated, best all there are: what is judged may be dev and test notes, too.
        encoder: a folder, a Hub id, `"offline"`, or an encoder already loaded.
        layer: as `FeatureModel.fit` has it.
        pooling: as `embed` has it.
        cache: as `embed` has it.
        folds: how many models; neither a patient's notes nor copies are parted.
        seed: of the folds.
        progress: show a progress bar.

    Raises:
        TaskError: a task that has no linear form; notes that `FeatureModel.fit` would refuse.
        EncoderError, ConfigError, NoteError: as `embed`.
    """
    records = as_notes(notes)
    task = task.untuned()
    if not isinstance(task, NoteTask | UnitTask):
        raise TaskError(
            f"{task.title} has no linear form on frozen features; allowed: tasks that label notes "
            "or tag their units"
        )
    check_notes(task, records, None)
    written = written_notes(records)
    if isinstance(task, UnitTask):
        check_of_notes(pooling, cache)
        return _mentions(task, written, encoder, layer, folds, seed, progress=progress)
    features = embed(
        encoder, written, layer=layer, pooling=pooling, cache=cache, progress=progress
    ).matrix
    gold, groups = task.gold(written), related_notes(written)
    # Weights that are to be chosen are for scores; how likely a label is, frequencies tell too.
    weights = None if task.chooses_weights else class_weight(task, written)
    classifier = FeatureClassifier(folds=folds, seed=seed, class_weight=weights)
    columns = np.arange(len(task.labels)) if task.multi_label else np.unique(gold)
    every = np.zeros((len(written), len(task.labels)))
    every[:, columns] = classifier.held_out_proba(features, gold, groups.tolist())
    judge = _judged_codes if task.multi_label else _judged_labels
    return judge([note.note_id for note in written], task.labels.names, gold, every, groups)


def _judged_labels(
    ids: Sequence[str],
    names: Sequence[str],
    gold: npt.NDArray[np.int64],
    every: Floats,
    groups: npt.NDArray[np.int64],
) -> Suspicions:
    """Of one label a note: `gold` (notes,), probabilities (notes, labels)."""
    rows = np.arange(len(gold))
    counts = np.array([len(set(groups[gold == k].tolist())) for k in range(len(names))])
    known = counts[gold] > 1
    own = every[rows, gold]
    likeliest = every.argmax(axis=1)
    found = np.flatnonzero(known & (likeliest != gold))
    records = [
        Suspicion(ids[row], names[gold[row]], names[likeliest[row]], float(1 - own[row]))
        for row in found[np.argsort(own[found], kind="stable")].tolist()
    ]
    return Suspicions(tuple(records), int(known.sum()), int((~known).sum()))


def _judged_codes(
    ids: Sequence[str],
    names: Sequence[str],
    gold: npt.NDArray[np.int64],
    every: Floats,
    groups: npt.NDArray[np.int64],
) -> Suspicions:
    """Of many labels a note: `gold` 0 or 1, probabilities, both (notes, labels)."""
    given = gold.astype(bool)
    counts = np.array([len(set(groups[column].tolist())) for column in given.T])
    known = np.broadcast_to(counts > 1, given.shape)
    own = np.where(given, every, 1 - every)
    n_given = given.sum(axis=0)
    with np.errstate(invalid="ignore"):
        usual_given = np.where(given, own, 0).sum(axis=0) / n_given
        usual_absent = np.where(given, 0, own).sum(axis=0) / (len(given) - n_given)
    less = np.where(given, usual_given, usual_absent) - own
    contradicted = known & (own < HALF)
    found = np.argwhere(contradicted)
    found = found[np.argsort(-less[contradicted], kind="stable")]
    records = [
        Suspicion(
            ids[row],
            names[column] if given[row, column] else None,
            None if given[row, column] else names[column],
            float(less[row, column]),
        )
        for row, column in found.tolist()
    ]
    n_judged = int((given & known).sum())
    return Suspicions(tuple(records), n_judged, int(given.sum()) - n_judged)


def _mentions(
    task: UnitTask,
    notes: Sequence[Note],
    encoder: str | Path | FrozenEncoder,
    layer: int | None,
    folds: int,
    seed: int,
    *,
    progress: bool,
) -> Suspicions:
    from clinical_tl.network.frozen_encoder import FrozenEncoder

    if isinstance(encoder, str | Path):
        encoder = FrozenEncoder.from_pretrained(encoder)
    every_tokens = encoder.tokenizer.encode([note.text for note in notes])
    readable = [can_be_read(n.text, own) for n, own in zip(notes, every_tokens, strict=True)]
    tell_unread(note for note, read in zip(notes, readable, strict=True) if not read)
    notes = list(compress(notes, readable))
    tokens = list(compress(every_tokens, readable))
    task.check_targets(notes, tokens)
    tags, taught, owner = unit_tags(task, notes, tokens)
    units = embed_units(encoder, notes, layer=layer, size=task.units, progress=progress)
    groups = related_notes(notes)
    # They may be gigabytes, and are mostly all of them.
    features = units.matrix if len(taught) == len(units) else units.matrix[taught]
    of_units = groups[owner]
    classifier, _ = settled_on_sample(
        FeatureClassifier(
            strengths=UNIT_STRENGTHS, folds=folds, seed=seed, block=task.tag_set.width
        ),
        features,
        tags,
        of_units,
    )
    every = np.full((len(units), len(task.tag_set)), UNSEEN)
    found = classifier.held_out_proba(features, tags, of_units.tolist())
    columns = np.unique(tags) if tags.ndim == 1 else np.arange(tags.shape[1])
    every[np.ix_(taught, columns)] = np.maximum(found, UNSEEN)
    rows: list[Suspicion] = []
    owners: dict[str, set[int]] = {}
    for group, note in zip(groups.tolist(), notes, strict=True):
        for span in note.spans or ():
            owners.setdefault(span.label, set()).add(group)
    known = {label for label, own in owners.items() if len(own) > 1}
    said = decoded_mentions(task.tag_set, units, every)
    n_gold = n_judged = 0
    for row, (note, mentions) in enumerate(zip(notes, said, strict=True)):
        low, high = np.searchsorted(units.note, (row, row + 1))
        own = _Judged(task, units.starts[low:high], units.ends[low:high], every[low:high])
        gold = {(*s.key, s.fragments): s for s in note.spans or ()}
        words = find_units(note.text, tokens[row], task.units)
        held = task.tag_set.held(words, list(gold.values()))
        judged = [
            span
            for span in gold.values()
            if span.label in known
            and not span.is_discontinuous
            # Of one beside another of which there are no tags, not to be said tells nothing.
            and (span.key in held or span.key not in task.tag_set.held(words, [span]))
        ]
        rows += own.suspicions(note, judged, mentions)
        n_gold, n_judged = n_gold + len(gold), n_judged + len(judged)
    rows.sort(key=lambda one: -one.score)
    return Suspicions(tuple(rows), n_judged, n_gold - n_judged)


@dataclass(frozen=True, eq=False, repr=False)
class _Judged(Discreet):
    """A note's units and their tags' probabilities, shape (units, outputs)."""

    task: UnitTask
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    every: Floats

    def suspicions(
        self, note: Note, gold: Sequence[Span], mentions: Sequence[Span]
    ) -> Iterator[Suspicion]:
        """Gold that the tagger does not make, and what it makes where the note has no mention."""
        made = {span.key for span in mentions}
        for span in gold:
            if span.key in made:
                continue
            inside = (self.starts < span.end) & (self.ends > span.start)
            other = next((m.label for m in mentions if _overlap(m, span)), None)
            # On white space there is nothing that could be a mention.
            score = 1 - float(self._of_label(span.label)[inside].mean()) if inside.any() else 1.0
            yield Suspicion(note.note_id, span.label, other, score, span.start, span.end)
        for span in mentions:
            if not any(_overlap(span, other) for other in note.spans or ()):
                score = float(span.score or 0.0)
                yield Suspicion(note.note_id, None, span.label, score, span.start, span.end)

    def _of_label(self, label: str) -> Floats:
        """The probability that a unit belongs to a mention of the label, shape (units,)."""
        own = self.task.tag_set.outputs_of(label)
        total: Floats = self.every[:, own].sum(axis=1)
        return total


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end
