"""One row a label: counts, scores with the interval of F1, and what is odd about it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinical_tl.evaluation.estimates import Estimate
    from clinical_tl.metrics.label_score import LabelScore
    from clinical_tl.tasks.task import Task

NEVER_PREDICTED = "never predicted"
NEVER_IN_GOLD = "never in the gold"
UNKNOWN = "unknown to the model"


def label_rows(
    task: Task,
    scores: Sequence[LabelScore],
    intervals: Mapping[str, Estimate],
    thresholds: Mapping[str, float],
) -> tuple[dict[str, Any], ...]:
    """The labels in gold or predicted, the most frequent in gold first.

    `f1_low` and `f1_high` are `None` where there is no interval, codes have their `title`,
    and `said` names what a score of 0 may hide.
    """
    rows = []
    titles = {score.label: task.label_title(score.label) for score in scores}
    for score in sorted(scores, key=lambda score: (-score.support, score.label)):
        found = intervals.get(score.label)
        row: dict[str, Any] = {"label": score.label}
        if any(titles.values()):
            row["title"] = titles[score.label]
        row |= score.row() | {
            "f1_low": None if found is None else found.low,
            "f1_high": None if found is None else found.high,
            "said": "; ".join(_odd(score, known=score.label in task.labels)),
        }
        if score.label in thresholds:
            row["threshold"] = thresholds[score.label]
        rows.append(row)
    return tuple(rows)


def _odd(score: LabelScore, *, known: bool) -> list[str]:
    said = []
    if not known:
        said.append(UNKNOWN)
    elif score.tp + score.fp == 0:
        said.append(NEVER_PREDICTED)
    if score.support == 0:
        said.append(NEVER_IN_GOLD)
    return said
