"""What a model's scores can tell apart: precision against recall, and how scores are spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.schema import score_rows
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.unit_task import UnitTask

if TYPE_CHECKING:
    from clinical_tl.metrics.matrix import Bools, Floats
    from clinical_tl.schema import Note, Prediction
    from clinical_tl.tasks.task import Task

BINS = 20
MOST_POINTS = 120
MOST_LABELS = 4


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision at each recall that some threshold gives, from the highest threshold on.

    `points` are (recall, precision); `average_precision` is the area under them in steps, over
    the recall that is reached (of mentions never predicted there is no score). `positives` is
    what recall is a share of.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    average_precision: float
    positives: int


@dataclass(frozen=True)
class ScoreCounts:
    """How many scores lie in each of `BINS` equal steps from 0 to 1."""

    name: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ScoreCurves:
    """Curves over all thresholds, and scores of what is true beside those of what is not.

    `of` says what has a score. The first curve is of all labels together, the others of the most
    frequent ones.
    """

    of: str
    precision_recall: tuple[PrecisionRecall, ...]
    spread: tuple[ScoreCounts, ScoreCounts]


def score_curves(
    task: Task, notes: Sequence[Note], predictions: Sequence[Prediction]
) -> ScoreCurves | None:
    """Curves from the task's own probabilities; `None` where there are none, or nothing true."""
    if isinstance(task, UnitTask):
        return _of_mentions(notes, predictions)
    matrix = score_rows(predictions, task.labels.names) if isinstance(task, NoteTask) else None
    if matrix is None or not isinstance(task, NoteTask):
        return None
    gold = task.gold(notes)
    one_label = gold.ndim == 1
    truth = gold[:, None] == np.arange(matrix.shape[1]) if one_label else gold.astype(np.bool_)
    # What the model has no column for is missed at every threshold.
    unknown = sum(task.gold_labels(notes).values()) - int(truth.sum())
    if not truth.any():
        return None
    every = _curve("all labels", truth.ravel(), matrix.ravel(), missed=max(unknown, 0))
    if one_label:
        known = gold >= 0
        right = truth[known][np.arange(int(known.sum())), matrix[known].argmax(axis=1)]
        of, likely = "the likeliest label of each note", matrix[known].max(axis=1)
        spread = (_spread("right", likely[right]), _spread("wrong", likely[~right]))
    else:
        of = "every label of every note"
        spread = (_spread("in the gold", matrix[truth]), _spread("not in it", matrix[~truth]))
    support = truth.sum(axis=0)
    frequent = [int(i) for i in np.argsort(-support, kind="stable")[:MOST_LABELS] if support[i]]
    labels = [
        _curve(task.labels.names[i], truth[:, i], matrix[:, i])
        for i in (frequent if len(task.labels) > 1 else ())
    ]
    return ScoreCurves(of, (every, *labels), spread)


def _of_mentions(notes: Sequence[Note], predictions: Sequence[Prediction]) -> ScoreCurves | None:
    rows: list[tuple[str, bool, float]] = []
    gold: list[str] = []
    for note, prediction in zip(notes, predictions, strict=True):
        true = {span.key for span in note.spans or () if not span.is_discontinuous}
        gold += [label for _, _, label in true]
        gold += [span.label for span in note.spans or () if span.is_discontinuous]
        for span in prediction.spans or ():
            if span.score is None:
                return None
            rows.append((span.label, span.key in true, span.score))
            # Predicted twice, it is right once.
            true.discard(span.key)
    if not rows or not gold:
        return None
    right = np.array([row[1] for row in rows], dtype=np.bool_)
    sure = np.array([row[2] for row in rows])
    labels = np.array([row[0] for row in rows])
    frequent = sorted(set(gold), key=lambda name: (-gold.count(name), name))[:MOST_LABELS]
    curves = [_curve("all labels", right, sure, missed=len(gold) - int(right.sum()))]
    for name in frequent if len(set(gold)) > 1 else ():
        own = labels == name
        missed = gold.count(name) - int(right[own].sum())
        if own.any():
            curves.append(_curve(name, right[own], sure[own], missed=missed))
    spread = (_spread("right", sure[right]), _spread("wrong", sure[~right]))
    return ScoreCurves("the mentions predicted", tuple(curves), spread)


def _curve(name: str, right: Bools, sure: Floats, *, missed: int = 0) -> PrecisionRecall:
    order = np.argsort(-sure, kind="stable")
    hits = np.cumsum(right[order])
    # Equal scores can't be told apart by any threshold.
    last = np.append(np.flatnonzero(np.diff(sure[order])), len(order) - 1)
    found, claimed = hits[last], last + 1
    positives = int(hits[-1]) + missed
    recall, precision = found / max(positives, 1), found / claimed
    steps = np.diff(recall, prepend=0.0)
    points = list(_thinned(recall, precision))
    return PrecisionRecall(name, tuple(points), float(steps @ precision), positives)


def _thinned(recall: Floats, precision: Floats) -> Iterator[tuple[float, float]]:
    """At most `MOST_POINTS` of a curve's points, evenly spread over its recall, and its ends."""
    wanted = np.linspace(recall[0], recall[-1], MOST_POINTS)
    # The first point that reaches each recall is the one of the best precision there.
    chosen = np.unique([0, *np.searchsorted(recall, wanted).clip(0, len(recall) - 1)])
    for i in chosen.tolist():
        yield round(float(recall[i]), 6), round(float(precision[i]), 6)


def _spread(name: str, scores: Floats) -> ScoreCounts:
    counts, _ = np.histogram(scores, bins=BINS, range=(0.0, 1.0))
    return ScoreCounts(name, tuple(counts.tolist()))
