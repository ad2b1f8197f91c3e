"""Scores of relation extraction, on the pairs that the notes' own annotation relates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clinical_tl.errors import TaskError
from clinical_tl.metrics.label_score import (
    LabelScore,
    NoteLabels,
    average,
    check_same_notes,
    label_scores,
    pool,
)
from clinical_tl.metrics.scores import Scores
from clinical_tl.schema import Relation, ScoredRelation


@dataclass(frozen=True, repr=False)
class RelationScores(Scores):
    """What `relation_scores` finds; see there for the conventions.

    `precision`, `recall` and `f1` are micro averages, `macro_f1` the mean over labels in gold
    or predicted. `gold` counts distinct relations, `duplicate_gold` what was dropped to make
    them distinct, `lost` the gold relations that no candidate could give and `share_lost` their
    share of all gold relations.
    """

    notes: int
    gold: int
    predicted: int
    duplicate_gold: int
    lost: int
    share_lost: float
    precision: float
    recall: float
    f1: float
    macro_f1: float
    per_label: tuple[LabelScore, ...]

    def summary(self) -> dict[str, float]:
        """Metric name → value."""
        return {
            "f1": self.f1,
            "precision": self.precision,
            "recall": self.recall,
            "macro_f1": self.macro_f1,
            "share_lost": self.share_lost,
            "notes": self.notes,
            "gold": self.gold,
            "predicted": self.predicted,
            "lost": self.lost,
        }


@dataclass(frozen=True, repr=False)
class RelationExtractionScores(Scores):
    """Scores against all relations of the notes, by label and, where there are any, by group.

    `candidates` counts the pairs that were classified.
    """

    relations: RelationScores
    groups: RelationScores | None
    candidates: int

    @property
    def per_label(self) -> tuple[LabelScore, ...]:
        """Counts by label."""
        return self.relations.per_label

    def summary(self) -> dict[str, float]:
        """Metric name → value; the groups' carry the prefix `group_`."""
        row = {**self.relations.summary(), "candidates": self.candidates}
        if self.groups is not None:
            for name in ("f1", "precision", "recall", "macro_f1"):
                row[f"group_{name}"] = self.groups.summary()[name]
        return row


def relation_scores(
    gold: Sequence[Sequence[Relation]],
    predicted: Sequence[Sequence[Relation | ScoredRelation]],
    *,
    lost: int = 0,
    groups: Mapping[str, str] | None = None,
) -> RelationScores:
    """Precision, recall and F1 of the relations (note, head, tail, label).

    Conventions:

    - `gold` is everything annotated on the notes: a relation whose pair was no candidate (too
      far apart, of types that training never related) counts as missed.
    - A relation is found where head, tail and label agree; the ends in the wrong order are
      wrong. With concept ids as ends this is the document-level scoring of the chemical-disease
      task (Wei et al. 2016, Assessing the state of the art in biomedical relation extraction,
      Database, section "Evaluation metrics"), where one label exists.
    - A gold relation given twice is one relation to find; one predicted twice is right once,
      and the copy is a false positive.

    Args:
        gold: the relations of n notes, empty for a note with none.
        predicted: the relations predicted for the same notes in the same order.
        lost: how many of the gold relations given no candidate could give; reported, and part
            of what is missed, not added to it.
        groups: label → group to score instead of the label, on both sides; relations whose
            label has no group are left out on both sides.

    Raises:
        TaskError: no notes, lengths that disagree, `lost` outside 0 to the number of gold
            relations.

    Example:
        >>> gold = [[Relation("T1", "T2", "causes"), Relation("T1", "T3", "treats")]]
        >>> found = [[Relation("T1", "T2", "causes"), Relation("T3", "T1", "treats")]]
        >>> scores = relation_scores(gold, found)
        >>> scores.precision, scores.recall
        (0.5, 0.5)
    """
    check_same_notes(len(gold), len(predicted))
    given = sum(map(len, gold))
    if not 0 <= lost <= given:
        raise TaskError(f"lost is {lost}; allowed: 0 to {given}, the number of gold relations")
    counted = sum(len(_keys(relations, groups)) for relations in gold)
    per_label = label_scores(
        relation_labels(*sides, groups=groups) for sides in zip(gold, predicted, strict=True)
    )
    total = pool(per_label)
    averages = average(per_label)
    return RelationScores(
        notes=len(gold),
        gold=total.support,
        predicted=total.tp + total.fp,
        duplicate_gold=counted - total.support,
        lost=lost,
        share_lost=lost / max(given, 1),
        precision=averages.micro_precision,
        recall=averages.micro_recall,
        f1=averages.micro_f1,
        macro_f1=averages.macro_f1,
        per_label=per_label,
    )


def relation_labels(
    gold: Sequence[Relation],
    predicted: Sequence[Relation | ScoredRelation],
    *,
    groups: Mapping[str, str] | None = None,
) -> NoteLabels:
    """Of one note: labels of the relations found, in gold (each once), predicted."""
    true, claimed = dict.fromkeys(_keys(gold, groups)), _keys(predicted, groups)
    return (
        Counter(label for _, _, label in true.keys() & set(claimed)),
        Counter(label for _, _, label in true),
        Counter(label for _, _, label in claimed),
    )


def _keys(
    relations: Sequence[Relation | ScoredRelation], groups: Mapping[str, str] | None
) -> list[tuple[str, str, str]]:
    if groups is None:
        return [(r.head, r.tail, r.label) for r in relations]
    return [(r.head, r.tail, groups[r.label]) for r in relations if r.label in groups]
