"""Scores of note classification: one label a note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import TaskError
from clinical_tl.metrics.auroc import macro_auroc
from clinical_tl.metrics.label_score import LabelScore, average, check_same_notes
from clinical_tl.metrics.matrix import column_names, probability_matrix
from clinical_tl.metrics.scores import Scores

UNDECIDED = "no label given"
"""The column of the confusion matrix for notes that were given no label."""


@dataclass(frozen=True, repr=False)
class ClassificationScores(Scores):
    """What `classification_scores` finds.

    Macro and weighted F1 are over the labels that occur in gold or among the predictions
    (scikit-learn's default); gold labels unknown to the model are among them with F1 = 0.
    `auroc_ovr` is the mean one-vs-rest AUROC over the `auroc_labels` labels of the model that
    some but not all notes have; `None` where there is no such label, or are no probabilities.
    `undecided` notes were given no label. `confusion[i][j]` counts notes with gold
    `confusion_labels[i]` predicted as `confusion_labels[j]`: the model's labels in its order,
    then other ones by name, last `UNDECIDED` where there are such notes. `per_label` has only
    labels that occur, in the same order.
    """

    notes: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    mcc: float
    auroc_ovr: float | None
    auroc_labels: int
    unknown_gold: int
    undecided: int
    per_label: tuple[LabelScore, ...]
    confusion_labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    def summary(self) -> dict[str, float]:
        """Metric name → value; an undefined AUROC is left out."""
        figures: dict[str, float] = {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "weighted_f1": self.weighted_f1,
            "mcc": self.mcc,
        }
        if self.auroc_ovr is not None:
            figures["auroc_ovr"] = self.auroc_ovr
        return figures | {
            "notes": self.notes,
            "unknown_gold": self.unknown_gold,
            "undecided": self.undecided,
        }


def classification_scores(
    gold: Sequence[str],
    predicted: Sequence[str | None],
    labels: Sequence[str],
    probabilities: npt.ArrayLike | None = None,
) -> ClassificationScores:
    """Accuracy, macro and weighted F1, MCC and one-vs-rest AUROC.

    Args:
        gold: n labels. One that is not in `labels` can't be predicted: the note counts as an
            error everywhere and in `unknown_gold`.
        predicted: n labels, as decided; `None` for a note that was given none, which counts as
            an error.
        labels: the model's k labels, in the order of the columns.
        probabilities: (n, k) in [0, 1], for AUROC alone: they may disagree with a decision that
            was not the model's. `None` leaves AUROC out.

    Returns:
        The scores; MCC is the k-category coefficient (Gorodkin 2004), 0 where it is
        undefined.

    Raises:
        TaskError: no notes, lengths or shapes that disagree, labels given twice, a note
            without a gold label, probabilities outside [0, 1].

    Example:
        >>> gold = ["ward", "ward", "icu", "clinic"]
        >>> decided = ["ward", "icu", "icu", None]
        >>> scores = classification_scores(gold, decided, labels=["icu", "ward"])
        >>> scores.accuracy, scores.unknown_gold, scores.undecided
        (0.5, 1, 1)
        >>> scores.table()
        label   tp  fp  fn  precision  recall     f1  support
        ------  --  --  --  ---------  ------  -----  -------
        icu      1   1   0      0.500   1.000  0.667        1
        ward     1   0   1      1.000   0.500  0.667        2
        clinic   0   0   1      0.000   0.000  0.000        1
    """
    names = column_names(labels)
    check_same_notes(len(gold), len(predicted))
    bare = [i for i, label in enumerate(gold) if not isinstance(label, str)]
    if bare:
        raise TaskError(
            f"{len(bare)} notes have no label, the first at position {bare[0]}; leave notes that "
            "are not annotated out of scoring"
        )
    undecided = sum(label is None for label in predicted)
    others = {label for label in (*gold, *predicted) if label is not None} - set(names)
    everything = names + tuple(sorted(others))
    position: dict[str | None, int] = {name: i for i, name in enumerate(everything)}
    position[None] = len(everything)
    gold_ids = np.array([position[label] for label in gold])
    predicted_ids = np.array([position[label] for label in predicted])
    size = len(everything) + bool(undecided)
    confusion = np.bincount(gold_ids * size + predicted_ids, minlength=size * size)
    confusion = confusion.reshape(size, size)

    right = confusion.diagonal()
    in_gold, in_predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    counts = [
        LabelScore(name, tp=int(right[i]), fp=int(in_predicted[i] - right[i]), fn=int(n - right[i]))
        for i, (name, n) in enumerate(zip(everything, in_gold, strict=False))
    ]
    averages = average(counts)
    auroc_ovr, auroc_labels = None, 0
    if probabilities is not None:
        shape = (len(gold), len(names))
        matrix = probability_matrix(probabilities, name="probabilities", shape=shape)
        auroc_ovr, auroc_labels = macro_auroc(gold_ids[:, None] == np.arange(len(names)), matrix)
    return ClassificationScores(
        notes=len(gold),
        accuracy=int(right.sum()) / len(gold),
        macro_f1=averages.macro_f1,
        weighted_f1=averages.weighted_f1,
        mcc=_matthews(confusion),
        auroc_ovr=auroc_ovr,
        auroc_labels=auroc_labels,
        unknown_gold=int((gold_ids >= len(names)).sum()),
        undecided=undecided,
        per_label=tuple(score for score in counts if score.is_present),
        confusion_labels=(*everything, UNDECIDED) if undecided else everything,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _matthews(confusion: npt.NDArray[np.int64]) -> float:
    """MCC of a (k, k) confusion matrix; 0 where gold or the predictions are constant."""
    notes = int(confusion.sum())
    in_gold = [int(n) for n in confusion.sum(axis=1)]
    in_predicted = [int(n) for n in confusion.sum(axis=0)]
    covariance = notes * int(confusion.trace()) - sum(
        g * p for g, p in zip(in_gold, in_predicted, strict=True)
    )
    gold_spread = notes**2 - sum(n * n for n in in_gold)
    predicted_spread = notes**2 - sum(n * n for n in in_predicted)
    if not gold_spread or not predicted_spread:
        return 0.0
    return float(covariance / (gold_spread * predicted_spread) ** 0.5)
