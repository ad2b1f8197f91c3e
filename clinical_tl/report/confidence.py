"""How sure a model was of each thing it said, against whether it was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.metrics.calibration import (
    CalibrationScores,
    binary_calibration,
    calibration_scores,
)
from clinical_tl.schema import Note, Prediction, score_rows
from clinical_tl.tasks.task import NoteTask, UnitTask

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Task


@dataclass(frozen=True)
class Calibration:
    """Calibration scores, what they are of, and how many gold labels had no probability."""

    of: str
    scores: CalibrationScores
    left_out: int


def calibration_of(
    task: Task, notes: Sequence[Note], predictions: Sequence[Prediction]
) -> Calibration | None:
    """Calibration by the task's own probabilities; `None` where there are none.

    Of the scores, whatever was decided. Classification: the likeliest label's probability, notes
    whose label the model does not know left out. Many labels: every one of every note, in bins of
    equal counts. Entities: the scores of the mentions predicted, right if start, end and label
    agree.
    """
    if isinstance(task, UnitTask):
        return _of_mentions(notes, predictions)
    matrix = score_rows(predictions, task.labels.names) if isinstance(task, NoteTask) else None
    if matrix is None or not isinstance(task, NoteTask):
        return None
    gold = task.gold(notes)
    if gold.ndim == 1:
        known = gold >= 0
        if not known.any():
            return None
        scores = calibration_scores(gold[known], matrix[known])
        return Calibration("the likeliest label of a note", scores, int((~known).sum()))
    unseen = sum(len(task.gold_labels([note])) for note in notes) - int(gold.sum())
    scores = calibration_scores(gold.astype(np.bool_), matrix, equal_mass=True)
    return Calibration("every label of every note", scores, unseen)


def _of_mentions(notes: Sequence[Note], predictions: Sequence[Prediction]) -> Calibration | None:
    right, sure = [], []
    for note, prediction in zip(notes, predictions, strict=True):
        gold = {span.key for span in note.spans or () if not span.is_discontinuous}
        for span in prediction.spans or ():
            if span.score is None:
                return None
            right.append(span.key in gold)
            sure.append(span.score)
    if not sure:
        return None
    scores = binary_calibration(np.array(right, dtype=np.bool_), np.array(sure, dtype=np.float64))
    return Calibration("the mentions predicted", scores, 0)
