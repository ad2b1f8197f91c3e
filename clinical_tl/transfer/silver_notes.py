"""Silver notes: unlabelled notes with those of a teacher's labels that it can be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clinical_tl.data.results.predicted import with_origin
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import TaskError
from clinical_tl.estimators.confidence import confidence_thresholds
from clinical_tl.schema import Note, Prediction, Span
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.unit_task import UnitTask

if TYPE_CHECKING:
    from clinical_tl.models.transfer_model import TransferModel
    from clinical_tl.tasks.task import Task

SOURCE = "self-training"
LIKELY = 0.1
"""From this probability of a mention on, a stretch is not taught as outside of mentions."""
NEARLY = 0.5
"""From this share of its threshold on, a code that is not taken is not taught as absent."""


@dataclass(frozen=True, eq=False, repr=False)
class SilverNotes(Discreet):
    """Notes with labels from a teacher; `n_labels` labels, codes or mentions in all.

    Each note's metadata has `silver`: source, round and score (of several labels the lowest,
    or the mentions' mean), of codes also `scores`, and what was left open as `unsure` or
    `unsure_codes`; a mention carries its own as attributes and `score`.
    """

    notes: tuple[Note, ...]
    n_labels: int
    thresholds: dict[str, float]


def select_silver(
    model: TransferModel,
    labelled: Sequence[Note],
    unlabelled: Sequence[Note],
    dev: Sequence[Note],
    *,
    precision: float,
    ratio: float,
    number: int,
) -> SilverNotes:
    """Label `unlabelled` with the model, and keep what reaches `precision` by dev's account.

    Classification: the surest notes of each class, at most `ratio` times its labelled ones.
    Coding: the codes that are sure enough, in notes that have one; a code is added to at most
    `ratio` times its labelled notes, the surest. Entities: the sure mentions; at most `ratio`
    times as many notes as labelled ones, those with the surest mentions first. Not taken but
    likely (a mention with a probability of at least `LIKELY`, a code with `NEARLY` the
    probability from which the task assigns it): listed in the note's metadata (`silver.unsure`,
    `silver.unsure_codes`) and taught as neither there nor absent.

    Raises `TaskError` for a task without confidences of this kind.
    """
    task = model.task
    check_self_trainable(task)
    if isinstance(task, UnitTask):
        # Mentions below the task's own threshold are unsure ones too, not absent ones, and so
        # is what the teacher nearly took for one: taught as none, students learn to miss it.
        model.task = task.doubting(LIKELY)
    try:
        on_dev = model.predict(dev, progress=False)
        predictions = model.predict(unlabelled, progress=False)
    finally:
        model.task = task
    said = _Said(
        labelled,
        unlabelled,
        dev,
        on_dev,
        predictions,
        precision,
        ratio,
        number,
    )
    return _labels(task, said) if isinstance(task, NoteTask) else _mentions(said)


def check_self_trainable(task: Task) -> None:
    """Raises `TaskError` for a task whose predictions have no confidence a label."""
    if not isinstance(task, NoteTask | UnitTask):
        raise TaskError(
            f"{type(task).__name__} can't be self-trained; allowed: tasks that label notes or tag "
            "their units (NoteClassification, MultiLabelClassification, DiagnosisCoding, "
            "EntityRecognition)"
        )


@dataclass(frozen=True, eq=False, repr=False)
class _Said(Discreet):
    """What a teacher said of dev and unlabelled notes, and how much of it may be taken."""

    labelled: Sequence[Note]
    unlabelled: Sequence[Note]
    dev: Sequence[Note]
    on_dev: Sequence[Prediction]
    predictions: Sequence[Prediction]
    precision: float
    ratio: float
    number: int


def _labels(task: NoteTask, said: _Said) -> SilverNotes:
    # A note with nothing to read has no label, and teaches nothing.
    gold = [set(task.gold_labels([note])) for note in said.dev]
    given = [
        (p, label, own) for p, own in zip(said.on_dev, gold, strict=True) for label in task.said(p)
    ]
    limits = confidence_thresholds(
        [label for _, label, _ in given],
        [p.scores[label] for p, label, _ in given],
        [label in own for _, label, own in given],
        precision=said.precision,
    )
    quota = _Quota(Counter(task.gold_labels(said.labelled)), said.ratio)
    candidates = [(i, label) for i, p in enumerate(said.predictions) for label in task.said(p)]
    order = _surest_first([said.predictions[i].scores[label] for i, label in candidates])
    taken: dict[int, list[str]] = {}
    for position in order:
        i, label = candidates[position]
        if said.predictions[i].scores[label] >= limits.of(label) and quota.take(label):
            taken.setdefault(i, []).append(label)
    notes = []
    for i, labels in sorted(taken.items()):
        prediction = said.predictions[i]
        scores = {name: round(float(prediction.scores[name]), 4) for name in sorted(labels)}
        origin = _origin(said.number, min(scores.values()))
        if task.multi_label:
            origin["scores"] = scores
            likely = task.likely(prediction, NEARLY)
            origin["unsure_codes"] = sorted(likely - set(labels))
        silver = task.labelled(said.unlabelled[i], tuple(scores))
        notes.append(with_origin(silver, "silver", origin))
    return SilverNotes(tuple(notes), sum(map(len, taken.values())), dict(limits.by_class))


def _mentions(said: _Said) -> SilverNotes:
    gold = [{span.key for span in note.spans or ()} for note in said.dev]
    found = [
        (span, own) for p, own in zip(said.on_dev, gold, strict=True) for span in p.spans or ()
    ]
    limits = confidence_thresholds(
        [span.label for span, _ in found],
        [float(span.score or 0.0) for span, _ in found],
        [span.key in own for span, own in found],
        precision=said.precision,
    )
    sure: dict[int, tuple[Span, ...]] = {}
    for i, prediction in enumerate(said.predictions):
        sure[i] = tuple(
            replace(
                span, attributes=(*span.attributes, ("source", SOURCE), ("round", str(said.number)))
            )
            for span in prediction.spans or ()
            if float(span.score or 0.0) >= limits.of(span.label)
        )
    with_mentions = [i for i in sure if sure[i]]
    means = [_mean_score(sure[i]) for i in with_mentions]
    most = max(1, round(said.ratio * len(said.labelled)))
    chosen = sorted(with_mentions[position] for position in _surest_first(means)[:most])
    notes = []
    for i in chosen:
        kept = {span.key for span in sure[i]}
        unsure = [
            [span.start, span.end]
            for span in said.predictions[i].spans or ()
            if span.key not in kept
        ]
        origin = _origin(said.number, _mean_score(sure[i])) | {"unsure": unsure}
        notes.append(with_origin(replace(said.unlabelled[i], spans=sure[i]), "silver", origin))
    return SilverNotes(tuple(notes), sum(len(sure[i]) for i in chosen), dict(limits.by_class))


class _Quota:
    """How many silver labels of a class may still be taken."""

    def __init__(self, labelled: Counter[str], ratio: float) -> None:
        self._left = {name: max(1, round(ratio * n)) for name, n in labelled.items()}

    def take(self, name: str) -> bool:
        left = self._left.get(name, 0)
        self._left[name] = left - 1
        return left > 0


def _surest_first(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def _mean_score(spans: Sequence[Span]) -> float:
    return sum(float(span.score or 0.0) for span in spans) / len(spans)


def _origin(number: int, score: float) -> dict[str, Any]:
    return {"source": SOURCE, "round": number, "score": round(float(score), 4)}
