"""What each note adds to the scores, so that any weighting of the notes can be scored at once.

F1 and its relatives are functions of counts that add up over notes; ranking metrics are means
over notes. A thousand resamples are then one matrix product, not a thousand evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.errors import TaskError
from clinical_tl.metrics.label_score import LabelScore, check_same_notes
from clinical_tl.metrics.matrix import Floats

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from clinical_tl.schema import Note, Prediction
    from clinical_tl.tasks.task import Task

# Task → metric, as its summary names it → the average of counts that it is.
_AVERAGES: dict[str, dict[str, str]] = {
    # One label a note: the share of notes that are right is micro recall.
    "note_classification": {
        "accuracy": "micro_recall", "macro_f1": "macro_f1", "weighted_f1": "weighted_f1",
    },
    "diagnosis_coding": {
        name: name
        for name in (
            "micro_f1", "micro_precision", "micro_recall",
            "macro_f1", "macro_precision", "macro_recall", "macro_f1_gold",
        )
    },
    "entity_recognition": {
        "f1": "micro_f1", "precision": "micro_precision", "recall": "micro_recall",
        "macro_f1": "macro_f1",
    },
    "relation_extraction": {
        "f1": "micro_f1", "precision": "micro_precision", "recall": "micro_recall",
        "macro_f1": "macro_f1",
    },
}  # fmt: skip
_MEANS = {
    "diagnosis_coding": (
        "map", "r_precision", "precision_at_5", "precision_at_8", "precision_at_15",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class NoteScores:
    """Counts and means of n notes.

    `tp`, `fp`, `fn` are (n, labels) sparse counts of the labels in gold or predicted; `means`
    has metric → (n,), NaN for a note on which it is undefined.
    """

    kind: str
    tp: csr_array
    fp: csr_array
    fn: csr_array
    means: Mapping[str, Floats]

    def figures(self, weights: Floats) -> dict[str, Floats]:
        """Metric → its value under each weighting, shape (r,); NaN where no note counts.

        `weights`, shape (r, n), says how often each note occurs: one row of ones gives the
        scores that the task's own `evaluate` gives.
        """
        counted = weights.sum(axis=1) > 0
        averages = _averages(*((weights @ side) for side in (self.tp, self.fp, self.fn)))
        found = {
            metric: np.where(counted, averages[average], np.nan)
            for metric, average in _AVERAGES[self.kind].items()
        }
        for metric, values in self.means.items():
            defined = ~np.isnan(values)
            total = weights @ np.where(defined, values, 0.0)
            n = weights @ defined.astype(np.float64)
            found[metric] = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
        return found


def note_scores(task: Task, notes: Sequence[Note], predictions: Sequence[Prediction]) -> NoteScores:
    """Every note scored on its own, by the task's own `evaluate`.

    Raises `TaskError` for a task without such counts, or for lengths that disagree.
    """
    from scipy.sparse import csr_array

    if task.kind not in _AVERAGES:
        raise TaskError(f"{task.kind} has no counts to resample; allowed: {sorted(_AVERAGES)}")
    check_same_notes(len(notes), len(predictions))
    columns: dict[str, int] = {}
    rows: list[int] = []
    places: list[int] = []
    counts: list[tuple[int, int, int]] = []
    metrics = _MEANS.get(task.kind, ())
    means = {metric: np.full(len(notes), np.nan) for metric in metrics}
    for row, (note, prediction) in enumerate(zip(notes, predictions, strict=True)):
        scores: Any = task.evaluate([note], [prediction])
        for label in per_label(scores):
            rows.append(row)
            places.append(columns.setdefault(label.label, len(columns)))
            counts.append((label.tp, label.fp, label.fn))
        if metrics:
            summary = scores.summary()
            for metric in metrics:
                means[metric][row] = summary.get(metric, np.nan)
    shape = (len(notes), max(len(columns), 1))
    values = np.array(counts, dtype=np.float64).reshape(-1, 3)
    tp, fp, fn = (csr_array((values[:, i], (rows, places)), shape=shape) for i in range(3))
    return NoteScores(task.kind, tp, fp, fn, means)


def per_label(scores: Any) -> Sequence[LabelScore]:  # noqa: ANN401  (each task has scores of its own)
    """The counts of each label, where a task's scores keep them."""
    for part in ("entities", "relations"):
        scores = getattr(scores, part, scores)
    labels: Sequence[LabelScore] = scores.per_label
    return labels


def _averages(tp: Floats, fp: Floats, fn: Floats) -> dict[str, Floats]:
    """The averages of `metrics.label_score`, for (r, labels) counts at once."""
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    f1 = _ratio(2 * tp, 2 * tp + fp + fn)
    present, in_gold = (tp + fp + fn) > 0, (tp + fn) > 0
    all_tp, all_fp, all_fn = (side.sum(axis=1) for side in (tp, fp, fn))
    labels = np.maximum(present.sum(axis=1), 1)
    support = tp + fn
    return {
        "micro_precision": _ratio(all_tp, all_tp + all_fp),
        "micro_recall": _ratio(all_tp, all_tp + all_fn),
        "micro_f1": _ratio(2 * all_tp, 2 * all_tp + all_fp + all_fn),
        "macro_precision": precision.sum(axis=1) / labels,
        "macro_recall": recall.sum(axis=1) / labels,
        "macro_f1": f1.sum(axis=1) / labels,
        "macro_f1_gold": (f1 * in_gold).sum(axis=1) / np.maximum(in_gold.sum(axis=1), 1),
        "weighted_f1": (f1 * support).sum(axis=1) / np.maximum(support.sum(axis=1), 1),
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    return part / np.maximum(whole, 1)
