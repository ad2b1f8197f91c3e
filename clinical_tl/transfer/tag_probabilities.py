"""What a trained tagger says of every unit of notes: distributions over its tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.errors import TaskError
from clinical_tl.tasks.task import UnitTask

if TYPE_CHECKING:
    from clinical_tl.schema import Note
    from clinical_tl.transfer_model import TransferModel


def unit_probabilities(
    model: TransferModel, notes: Sequence[Note], *, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The model's tag probabilities, shape (units, tags), and the units, shape (units, 3).

    A unit (a word, number or sign) is given as its note's position, start and end.

    Raises `TaskError` for a model that does not tag.
    """
    task = model.task
    if not isinstance(task, UnitTask):
        raise TaskError(f"{type(task).__name__} has no tags; give a model for entity recognition")
    found = model.reader.read(notes, progress=progress)
    rows, keys = [np.zeros((0, len(task.tag_set)))], [np.zeros((0, 3), dtype=np.int64)]
    for i, (note, tokens) in enumerate(zip(notes, found.encoded.windowed.tokens, strict=True)):
        if len(tokens):
            units, logs = task.unit_log_probabilities(note, tokens, found.pieces[i])
            rows.append(np.exp(logs))
            keys.append(np.stack([np.full(len(units), i), units.starts, units.ends], axis=1))
    return np.concatenate(rows), np.concatenate(keys)
