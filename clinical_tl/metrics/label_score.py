"""Counts of one label and what follows from them; averages over labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

from clinical_tl.errors import TaskError

NoteLabels = tuple[Counter[str], Counter[str], Counter[str]]
"""Of one note: how often each label was found, is in gold, was predicted."""


@dataclass(frozen=True)
class LabelScore:
    """How well one label (class, code or entity type) was found.

    `tp`, `fp`, `fn` count notes for classes and codes, mentions for entity types. A ratio
    whose denominator is 0 is 0, as with scikit-learn's and seqeval's `zero_division=0`.

    >>> score = LabelScore("Drug", tp=8, fp=2, fn=4)
    >>> score.support, score.precision, round(score.recall, 3), round(score.f1, 3)
    (12, 0.8, 0.667, 0.727)
    """

    label: str
    tp: int
    fp: int
    fn: int

    @property
    def support(self) -> int:
        """How often the label is in gold."""
        return self.tp + self.fn

    @property
    def is_present(self) -> bool:
        """Whether the label occurs in gold or among the predictions."""
        return bool(self.tp or self.fp or self.fn)

    @property
    def precision(self) -> float:
        """Share of the predictions that are right."""
        return self.tp / max(self.tp + self.fp, 1)

    @property
    def recall(self) -> float:
        """Share of gold that was found."""
        return self.tp / max(self.tp + self.fn, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, from the counts: 2tp / (2tp + fp + fn)."""
        return 2 * self.tp / max(2 * self.tp + self.fp + self.fn, 1)

    def row(self) -> dict[str, str | int | float]:
        """One row for `format_table` or JSON."""
        return {
            "label": self.label,
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "support": self.support,
        }


@dataclass(frozen=True)
class Averages:
    """Micro and macro averages over labels.

    Micro: from the summed counts. Macro: unweighted mean of the labels' own figures (so macro
    F1 is the mean of F1s, not the F1 of mean precision and mean recall). Weighted F1: mean
    weighted by support in gold; it is neither of the other two and is never called micro.
    """

    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    weighted_f1: float


def average(scores: Sequence[LabelScore]) -> Averages:
    """Averages over the labels that occur in gold or among the predictions.

    Labels that occur in neither are left out: an F1 of 0 for something that was neither there
    nor claimed measures the size of the label set, not the model. All averages are 0 where no
    label is left.

    >>> common, rare = LabelScore("I10", tp=90, fp=10, fn=10), LabelScore("E84.0", tp=0, fp=0, fn=4)
    >>> averages = average([common, rare])
    >>> round(averages.micro_f1, 3), round(averages.macro_f1, 3)
    (0.882, 0.45)
    """
    present = [score for score in scores if score.is_present]
    pooled = pool(present)
    support = max(pooled.support, 1)
    n = max(len(present), 1)
    return Averages(
        micro_precision=pooled.precision,
        micro_recall=pooled.recall,
        micro_f1=pooled.f1,
        macro_precision=fsum(score.precision for score in present) / n,
        macro_recall=fsum(score.recall for score in present) / n,
        macro_f1=fsum(score.f1 for score in present) / n,
        weighted_f1=fsum(score.f1 * score.support for score in present) / support,
    )


def pool(scores: Sequence[LabelScore], label: str = "micro") -> LabelScore:
    """The summed counts of several labels under one name."""
    return LabelScore(
        label,
        tp=sum(score.tp for score in scores),
        fp=sum(score.fp for score in scores),
        fn=sum(score.fn for score in scores),
    )


def check_same_notes(gold: int, predicted: int, *, unit: str = "notes") -> None:
    """Raises `TaskError` unless gold and predictions cover the same, non-zero number."""
    if gold != predicted:
        raise TaskError(
            f"gold has {gold} {unit}, the predictions {predicted}; give one prediction for each "
            "in the same order"
        )
    if gold == 0:
        raise TaskError(f"there are no {unit} to score; give at least one")


def label_scores(notes: Iterable[NoteLabels]) -> tuple[LabelScore, ...]:
    """A score for each label that the notes have in gold or predicted, by name."""
    found, in_gold, in_predicted = Counter[str](), Counter[str](), Counter[str]()
    for own in notes:
        for total, part in zip((found, in_gold, in_predicted), own, strict=True):
            total.update(part)
    return tuple(
        LabelScore(
            label,
            tp=found[label],
            fp=in_predicted[label] - found[label],
            fn=in_gold[label] - found[label],
        )
        for label in sorted(in_gold | in_predicted)
    )
