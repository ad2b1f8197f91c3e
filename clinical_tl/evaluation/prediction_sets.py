"""Sets of labels in place of one answer, which hold the right ones as often as was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.errors import TaskError
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.evaluation.subgroups import patients_of
from clinical_tl.metrics.conformal import covering_threshold, recall_threshold
from clinical_tl.metrics.matrix import Floats
from clinical_tl.metrics.scores import Scores
from clinical_tl.schema import Note, Prediction, score_rows
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task import Task
from clinical_tl.tasks.task_checks import check_order


@dataclass(frozen=True, repr=False)
class SetScores(Scores):
    """What sets hold, and how large they are: `coverage` is the mean share of a note's gold.

    Of one label a note `coverage` is the share of notes whose label is in the set. `set_size` is
    the mean, `empty_sets` and `single_labels` are shares of the notes.
    """

    coverage: float
    set_size: float
    empty_sets: float
    single_labels: float

    def summary(self) -> dict[str, float]:
        """Metric name → value."""
        return dict(vars(self))


@dataclass(frozen=True, eq=False, repr=False)
class PredictionSets:
    """Sets of a task's labels, made by `conformal_sets`: all that are at least so likely.

    `patients` calibrated the `threshold` for the `coverage`, one note each.
    """

    task: NoteTask
    coverage: float
    threshold: float
    patients: int

    def apply(self, predictions: Sequence[Prediction]) -> list[tuple[str, ...]]:
        """Each note's set of labels, the likeliest first; it may be empty.

        Raises `TaskError` for predictions that lack the score of some label.
        """
        names = self.task.labels.names
        found = []
        for row in _scores(self.task, predictions):
            inside = np.flatnonzero(row >= self.threshold)
            order = inside[np.argsort(-row[inside], kind="stable")]
            found.append(tuple(names[i] for i in order))
        return found

    def evaluate(self, notes: NotesLike, predictions: Sequence[Prediction]) -> SetScores:
        """What the sets hold of annotated notes, such as test notes.

        Raises `TaskError` for no notes, notes without annotation, or predictions of others.
        """
        records = as_notes(notes)
        check_order(records, predictions)
        self.task.gold_labels(records)
        sets = self.apply(predictions)
        shares = []
        for note, found in zip(records, sets, strict=True):
            gold = set(self.task.gold_labels([note]))
            shares.append(len(gold & set(found)) / len(gold) if gold else 1.0)
        sizes = np.array([len(found) for found in sets])
        return SetScores(
            float(np.mean(shares)),
            float(sizes.mean()),
            float((sizes == 0).mean()),
            float((sizes == 1).mean()),
        )

    def __repr__(self) -> str:
        return (
            f"PredictionSets(labels with a probability of {self.threshold:.3g} or more; coverage "
            f"{self.coverage}, by {self.patients} patients)"
        )


def conformal_sets(
    task: Task,
    notes: NotesLike,
    predictions: Sequence[Prediction],
    *,
    coverage: float = 0.9,
    seed: int = 0,
) -> PredictionSets:
    """Sets of labels that hold the right one in at least `coverage` of new patients' notes.

    With one label a note by `covering_threshold`, with many (of which it is the mean share of a
    note's that is in its set) by `recall_threshold`. The promise is for a note of a new patient
    like these, on average over all of them: for no single label, group of patients or other
    hospital. Sets are of the task's labels: codes of an open set count as missed, found or not.
    Notes of one patient are alike, so one of each is drawn. It holds exactly where the
    model has not seen the notes; dev notes by which epoch and temperature were chosen make it
    approximate, so best hold some back.

    Args:
        task: the model's.
        notes: annotated, that the model was not trained on.
        predictions: the model's, in the notes' order.
        coverage: in (0, 1).
        seed: of the notes that are drawn.

    Raises:
        TaskError: a task that does not decide notes as a whole, predictions without scores, or
            too few patients for the coverage.
        ConfigError: a coverage outside (0, 1), or a seed below 0.
    """
    if not isinstance(task, NoteTask):
        raise TaskError(
            f"{task.title} has no sets of labels; allowed: tasks that decide a note as a whole "
            "(NoteClassification, MultiLabelClassification, DiagnosisCoding)"
        )
    check_at_least(0, seed=seed)
    records = as_notes(notes)
    check_order(records, predictions)
    drawn = _one_each(records, seed)
    own = [records[i] for i in drawn]
    rows = _scores(task, predictions)[drawn]
    gold = task.gold(own)
    if gold.ndim == 1:
        threshold = covering_threshold(gold, rows, coverage=coverage)
    else:
        unknown = [len(task.gold_labels([note])) for note in own] - gold.sum(axis=1)
        threshold = recall_threshold(
            gold.astype(np.bool_), rows, coverage=coverage, unknown=unknown
        )
    return PredictionSets(task, coverage, threshold, len(own))


def _one_each(notes: Sequence[Note], seed: int) -> list[int]:
    """The position of one note of each patient, at random; without a patient it is its own."""
    order = np.random.default_rng(seed).permutation(len(notes))
    patients = np.array(patients_of(notes))
    _, first = np.unique(patients[order], return_index=True)
    return sorted(order[first].tolist())


def _scores(task: NoteTask, predictions: Sequence[Prediction]) -> Floats:
    rows = score_rows(predictions, task.labels.names)
    if rows is None:
        raise TaskError(
            f"{task.title}: predictions lack the score of some label; give what a model's "
            "predict() gives"
        )
    return rows
