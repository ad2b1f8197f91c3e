"""How sure a teacher must be, class by class, for its labels to be right often enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import TaskError

NEVER = float("inf")


@dataclass(frozen=True)
class ConfidenceThresholds:
    """The least confidence at which a class's predictions are taken; `NEVER`: none are.

    Classes with too few predictions to judge take the threshold over all classes, `shared`;
    `judged` are those with one of their own.
    """

    shared: float
    by_class: dict[str, float]
    judged: tuple[str, ...]

    def of(self, name: str) -> float:
        """The threshold of a class, the shared one for a class that is not listed."""
        return self.by_class.get(name, self.shared)


def confidence_thresholds(
    classes: Sequence[str],
    confidence: npt.ArrayLike,
    correct: npt.ArrayLike,
    *,
    precision: float,
    min_predictions: int = 10,
) -> ConfidenceThresholds:
    """Thresholds from predictions on development notes.

    A threshold is the lowest confidence t at which the predictions at or above t are right
    with the wanted `precision`, estimated as (right + 1) / (all + 2) (Laplace's rule), so
    that a handful of lucky predictions does not open the door.

    Args:
        classes: the predicted class of each prediction, shape (n,).
        confidence: its probability, shape (n,).
        correct: whether it is right, shape (n,).
        precision: wanted, in (0, 1).
        min_predictions: a class with fewer takes the threshold over all classes.

    Raises `TaskError` for shapes that differ or a precision outside (0, 1).
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if not len(classes) == len(sure) == len(right):
        raise TaskError(
            f"{len(classes)} classes, {len(sure)} confidences and {len(right)} outcomes; give one "
            "of each a prediction"
        )
    if not 0 < precision < 1:
        raise TaskError(f"a precision of {precision} can't be asked for; choose in (0, 1)")
    shared = lowest_confidence(sure, right, precision)
    names = np.asarray(classes, dtype=object)
    by_class, judged = {}, []
    for name in sorted(set(classes)):
        mine = names == name
        if mine.sum() >= min_predictions:
            by_class[name] = lowest_confidence(sure[mine], right[mine], precision)
            judged.append(name)
        else:
            by_class[name] = shared
    return ConfidenceThresholds(shared, by_class, tuple(judged))


def lowest_confidence(
    sure: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], precision: float
) -> float:
    """The lowest confidence from which on predictions are right with a precision, both (n,).

    Estimated as by `confidence_thresholds`; `NEVER` where none is.
    """
    order = np.argsort(-sure, kind="stable")
    estimates = (np.cumsum(right[order]) + 1) / (np.arange(1, len(order) + 1) + 2)
    # Equal confidences come in or stay out together.
    last = np.append(sure[order][1:] != sure[order][:-1], True) if len(order) else order == 0
    enough = np.flatnonzero((estimates >= precision) & last)
    return float(sure[order[enough[-1]]]) if len(enough) else NEVER
