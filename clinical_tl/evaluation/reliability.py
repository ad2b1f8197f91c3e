"""How sure a model was of each thing it said, against whether it was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.display.table import Table
from clinical_tl.metrics.calibration import (
    CalibrationScores,
    at_temperature,
    binary_calibration,
    calibration_scores,
    dev_temperature,
)
from clinical_tl.schema import Note, Prediction, score_rows
from clinical_tl.tasks.note_task import NoteTask, written
from clinical_tl.tasks.unit_task import UnitTask

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Task


@dataclass(frozen=True)
class Calibration:
    """Calibration scores, what they are of, and how many gold labels had no probability.

    `applied` is the temperature that the model's own probabilities have been scaled by already
    (the task's, chosen in training). `scaled` are the scores at the further `temperature` that was
    fitted on dev notes for this evaluation, where one was: what is left when the model is as sure
    as it should be on the whole. It is about 1 where the applied one is right.
    """

    of: str
    scores: CalibrationScores
    left_out: int
    temperature: float | None = None
    scaled: CalibrationScores | None = None
    applied: float | None = None

    def table(self) -> Table:
        """One row for the probabilities as they are, one at the temperature."""
        at = "" if self.applied is None else f", by the model's temperature {self.applied:.3g}"
        rows: list[dict[str, Any]] = [
            {"probabilities": f"as predicted{at}", **self.scores.summary()}
        ]
        if self.scaled is not None:
            further = "" if self.applied is None else "a further "
            said = f"at {further}temperature {self.temperature:.3g}, fitted on dev notes"
            rows.append({"probabilities": said, **self.scaled.summary()})
        return Table(rows)


def temperature_of(
    task: Task, notes: Sequence[Note], predictions: Sequence[Prediction]
) -> float | None:
    """The temperature that a model's predictions, as they are, would be given on dev notes.

    `None` where the task gives no label of a note a probability, or by `dev_temperature`, such as
    of fewer than twenty notes. Blank ones have no part in it.
    """
    matrix = score_rows(predictions, task.labels.names) if isinstance(task, NoteTask) else None
    if matrix is None or not isinstance(task, NoteTask):
        return None
    gold, read = task.gold(notes), written(notes)
    truth = gold.astype(np.bool_) if gold.ndim > 1 else gold
    return dev_temperature(matrix[read], truth[read])


def calibration_of(
    task: Task,
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
    *,
    temperature: float | None = None,
) -> Calibration | None:
    """Calibration by the task's own probabilities; `None` where there are none.

    Of the scores, whatever was decided. Classification: the likeliest label's probability, notes
    whose label the model does not know left out. Many labels: every one of every note, in bins of
    equal counts. Entities: the scores of the mentions predicted, right if start, end and label
    agree; a `temperature` (`temperature_of`) tells nothing of these.
    """
    if isinstance(task, UnitTask):
        found = _of_mentions(notes, predictions)
        return found and replace(found, applied=getattr(task, "temperature", None))
    matrix = score_rows(predictions, task.labels.names) if isinstance(task, NoteTask) else None
    if matrix is None or not isinstance(task, NoteTask):
        return None
    gold = task.gold(notes)
    if gold.ndim == 1:
        known = gold >= 0
        if not known.any():
            return None
        gold, matrix = gold[known], matrix[known]
        of, left_out = "the likeliest label of a note", int((~known).sum())
    else:
        left_out = sum(len(task.gold_labels([note])) for note in notes) - int(gold.sum())
        gold, of = gold.astype(np.bool_), "every label of every note"
    one_label = gold.ndim == 1
    scores = calibration_scores(gold, matrix, equal_mass=not one_label)
    scaled = None
    if temperature is not None:
        at = at_temperature(matrix, temperature, one_label=one_label)
        scaled = calibration_scores(gold, at, equal_mass=not one_label)
    return Calibration(of, scores, left_out, temperature, scaled, task.temperature)


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
    # Above 1 is rounding.
    likely = np.minimum(sure, 1.0)
    scores = binary_calibration(np.array(right, dtype=np.bool_), likely)
    return Calibration("the mentions predicted", scores, 0)
