"""Predictions scored as their model reads notes: the one way of all that evaluates a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinical_tl.schema import Note, Prediction
from clinical_tl.tasks.entity_recognition import EntityRecognition

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Scores, Task
    from clinical_tl.text.tokenizer import NoteTokenizer


def score_predictions(
    task: Task,
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
    tokenizer: NoteTokenizer | None,
) -> Scores:
    """The task's scores; `share_lost` of entities also has what the model's tokens can't hold.

    `tokenizer` is the model's, `None` for predictions of no model. Raises as `task.evaluate`.
    """
    if tokenizer is None or not isinstance(task, EntityRecognition):
        return task.evaluate(notes, predictions)
    tokens = tokenizer.encode([note.text for note in notes])
    return task.evaluate(notes, predictions, tokens=tokens)
