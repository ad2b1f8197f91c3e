"""Tasks that decide a note as a whole, whatever their labels are.

Linear models on features, baselines, rankings of encoders and self-training work for all of them.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from clinical_tl.data.contradictions import Contradictions, contradictions
from clinical_tl.errors import shown_ids
from clinical_tl.metrics.calibration import at_temperature, dev_temperature
from clinical_tl.schema import LabelScores, Note, Prediction, score_rows
from clinical_tl.tasks.task import Task
from clinical_tl.tasks.task_checks import check_order
from clinical_tl.text.visible import has_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from clinical_tl.estimators.feature_classifier import Balance
    from clinical_tl.text.tokenizer import TokenisedNote

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NoteTask(Task):
    """A task that decides each note as a whole, by one probability a label.

    `temperature` divides the logits of these, so that they mean what they say (Guo et al. 2017,
    arXiv 1706.04599); it is chosen on dev notes by `tuned`. `None`: they are the model's own.
    """

    temperature: float | None = field(default=None, kw_only=True)

    @abstractmethod
    def predicted(self, note_id: str, probabilities: npt.NDArray[np.float32]) -> Prediction:
        """What `probabilities`, shape (labels,), decide, with them as scores.

        They are taken as they are; a model's own are `scaled` first.
        """

    def scaled(self, probabilities: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A model's own probabilities, shape (…, labels), at the task's temperature, float32.

        Which label of a note is the likeliest does not change, nor of many labels which are above
        one half. They are as they came where there is no temperature.
        """
        if self.temperature is None:
            return probabilities
        rows = probabilities.reshape(-1, probabilities.shape[-1])
        found = at_temperature(rows, self.temperature, one_label=not self.multi_label)
        return found.astype(np.float32).reshape(probabilities.shape)

    def untuned(self) -> Self:
        """The task without a temperature."""
        return replace(self, temperature=None)

    def tuned(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> Self:
        """The task with its temperature chosen on development notes (`dev_temperature`).

        Blank ones, of which no model says anything, have no part in it. None where predictions
        lack the score of some label.
        """
        check_order(notes, predictions)
        rows = score_rows(predictions, self.labels.names)
        if rows is None:
            return replace(self, temperature=None)
        gold = self.gold(notes)
        truth = gold.astype(np.bool_) if gold.ndim > 1 else gold
        read = written(notes)
        return replace(self, temperature=dev_temperature(rows[read], truth[read]))

    def decided(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> list[Prediction]:
        """The predictions with their scores at the task's temperature; labels stay.

        Those of blank notes are the labels' shares, and stay too.
        """
        if self.temperature is None:
            return list(predictions)
        names = self.labels.names
        found = [
            score_rows([prediction], names) if is_read else None
            for prediction, is_read in zip(predictions, written(notes), strict=True)
        ]
        return [
            p if row is None else replace(p, scores=LabelScores(names, self.scaled(row[0])))
            for p, row in zip(predictions, found, strict=True)
        ]

    @abstractmethod
    def said(self, prediction: Prediction) -> tuple[str, ...]:
        """The labels that a prediction gives the note."""

    @abstractmethod
    def labelled(self, note: Note, labels: Sequence[str]) -> Note:
        """The note with these labels as its annotation."""

    @abstractmethod
    def gold(self, notes: Sequence[Note]) -> npt.NDArray[np.int64]:
        """The notes' columns, shape (notes,), −1 where unknown; of many labels 0 or 1.

        Those have the shape (notes, labels).
        Raises `TaskError` for a note that has no annotation.
        """

    def decode(self, note: Note, tokens: TokenisedNote, pieces: Sequence[Any]) -> Prediction:
        """What the note's probabilities decide."""
        del tokens
        return self.predicted(note.note_id, self.scaled(pieces[0]))

    def contradictions(self, notes: Sequence[Note]) -> Contradictions:
        """Notes with one text, or nearly one, that have other labels, as the task names them."""
        return contradictions(notes, lambda note: frozenset(self.gold_labels([note])))

    def likely(self, prediction: Prediction, share: float) -> set[str]:
        """The labels that reach `share` of what it takes to be given, where there are many."""
        del prediction, share
        return set()

    def loss_weights(self) -> tuple[float, ...] | None:
        """What a linear model multiplies a label's (positive) losses by; `None`: nothing."""
        return None

    def descriptions(self) -> list[str] | None:
        """What each label means, in words that notes might have; `None` where nothing says so."""
        return None

    @property
    def chooses_weights(self) -> bool:
        """Whether training is to choose what labels weigh."""
        return False

    @property
    def balance(self) -> Balance | Literal["own"] | None:
        """How its labels' weights follow their frequencies; `None` where they weigh the same."""
        return None

    def weighted(self, balance: Balance | None) -> Self:
        """The task with the weights that training chose, by its labels' frequencies."""
        del balance
        return self

    @property
    def shares(self) -> npt.NDArray[np.float32]:
        """How many of the training notes have each label, shape (labels,); equal where unknown."""
        support = np.array(self.labels.support or [1] * len(self.labels), dtype=np.float64)
        shares: npt.NDArray[np.float32] = (support / support.sum()).astype(np.float32)
        return shares

    def unread(self, note_id: str) -> Prediction:
        """No label, and the labels' shares of the training notes as scores."""
        return Prediction(note_id, scores=LabelScores(self.labels.names, self.shares))


def written(notes: Sequence[Note]) -> npt.NDArray[np.bool_]:
    """Which notes have anything to read, shape (notes,)."""
    return np.array([has_text(note.text) for note in notes], dtype=np.bool_)


def scores_of_all(task: Task, predictions: Sequence[Prediction]) -> npt.NDArray[np.float64] | None:
    """The scores of the task's labels, shape (n, labels); `None` where some are not given.

    Metrics of scores are then left out. That is said where some predictions have them and
    others do not.
    """
    names = task.labels.names
    rows = score_rows(predictions, names)
    if rows is None:
        lacking = [p.note_id for p in predictions if score_rows([p], names) is None]
        if len(lacking) < len(predictions):
            logger.warning(
                "%s: %d of %d predictions lack the score of some label, e.g. of the notes %s; "
                "AUROC and ranking metrics are left out",
                task.title,
                len(lacking),
                len(predictions),
                shown_ids(lacking),
            )
    return rows
