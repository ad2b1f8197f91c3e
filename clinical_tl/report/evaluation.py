"""Evaluating so that the figures can be trusted: intervals, groups of patients, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.metrics_record import leak_of
from clinical_tl.report.confidence import calibration_of
from clinical_tl.report.evaluation_report import (
    Estimate,
    EvaluationReport,
    Gap,
    SubgroupScore,
)
from clinical_tl.report.note_scores import NoteScores, note_scores, per_label
from clinical_tl.report.subgroups import Subgroup, patients_of, subgroups_of
from clinical_tl.schema import Note, Notes, as_notes
from clinical_tl.tasks.task import check_order

if TYPE_CHECKING:
    from clinical_tl.metrics.matrix import Floats
    from clinical_tl.schema import Prediction
    from clinical_tl.tasks.task import Task

FEWEST_PATIENTS = 10
"""A group of fewer patients is not scored, nor its size told: it might point at persons."""
_CHUNK = 200
"""Resamples at a time: counts of thousands of codes in all of them would not fit."""


class Predictor(Protocol):
    """A model with its task: `TransferModel`, `FeatureModel`."""

    task: Task

    def predict(self, notes: Any, *, progress: bool = True) -> list[Prediction]:  # noqa: ANN401  (all that as_notes takes)
        """One prediction a note, in order."""
        ...


def evaluation_report(
    model: Predictor,
    notes: Notes | Sequence[Note],
    *,
    name: str = "test",
    by: Sequence[str] = (),
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = True,
    train: Notes | Sequence[Note] | None = None,
    allow_leakage: bool = False,
) -> EvaluationReport:
    """Predict annotated notes and report on the predictions; see `report_on`.

    Notes that share patients or texts with those that the model has learnt from (what it
    remembers, and `train`) are an error, or with `allow_leakage` marked in the report.
    """
    records = as_notes(notes)
    if not records:
        raise NoteError("there are no notes to evaluate; give at least one annotated note")
    leak = leak_of(
        getattr(model, "metrics", {}),
        getattr(model, "seen", None),
        records,
        name,
        train=None if train is None else as_notes(train),
        allow_leakage=allow_leakage,
    )
    predictions = model.predict(records, progress=progress)
    report = report_on(
        model.task,
        records,
        predictions,
        name=name,
        by=by,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    return replace(report, leakage=None if leak is None else asdict(leak))


def report_on(
    task: Task,
    notes: Notes | Sequence[Note],
    predictions: Sequence[Prediction],
    *,
    name: str = "test",
    by: Sequence[str] = (),
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> EvaluationReport:
    """Scores with intervals, groups of patients compared, calibration.

    Intervals are percentile bootstrap intervals over patients, each drawn with all of its
    notes (Efron & Tibshirani 1993, ch. 13; Davison & Hinkley 1997, ch. 3); they say how far
    the score would move on other patients like these, not on those of another hospital, nor
    with another training seed. Predictions of anything, rules included, can be reported.

    Args:
        task: the fitted task, which scores the predictions.
        notes: annotated.
        predictions: one a note, in the same order.
        name: of the set of notes.
        by: fields of the notes' metadata (sex, age band, hospital, …) to compare groups by;
            groups of fewer than ten patients are listed without figures.
        resamples: how many times the patients are drawn.
        confidence: share of the resamples that an interval covers, in (0, 1).
        seed: the same seed gives the same intervals.

    Raises:
        TaskError: notes that are not annotated, or predictions of other notes.
        ConfigError: `resamples` below 1, `confidence` outside (0, 1), a metadata field that no
            note has or that has more than 20 values.
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise ConfigError(
            f"resamples is {resamples} and confidence {confidence}; allowed: at least 1, and "
            "above 0 but below 1"
        )
    records = as_notes(notes)
    check_order(records, predictions)
    groups = [group for field_name in by for group in subgroups_of(records, field_name)]
    scored: Any = task.evaluate(records, predictions)
    own = note_scores(task, records, predictions)
    patients = patients_of(records)
    weights = _draws(patients, resamples, seed)
    everyone = np.ones((1, len(records)))
    resampled = _figures(own, weights)
    point = {metric: float(v[0]) for metric, v in own.figures(everyone).items()}
    tail = (1 - confidence) / 2
    intervals = {
        metric: _estimate(value, resampled[metric], tail)
        for metric, value in point.items()
        if np.isfinite(value)
    }
    metric = task.monitor if task.monitor in intervals else next(iter(intervals))
    shown, gaps = _compare(own, groups, weights, metric, tail)
    return EvaluationReport(
        kind=task.kind,
        name=name,
        notes=len(records),
        patients=len(set(patients)),
        metric=metric,
        scores=scored.summary(),
        intervals=intervals,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        subgroups=tuple(shown),
        gaps=tuple(gaps),
        calibration=calibration_of(task, records, predictions),
        labels=tuple(score.row() for score in per_label(scored)),
    )


def _draws(patients: Sequence[int], resamples: int, seed: int) -> Floats:
    """How often each note occurs in each resample of the patients, shape (resamples, notes)."""
    n = max(patients) + 1
    random = np.random.default_rng(seed)
    drawn = random.integers(n, size=(resamples, n))
    times = np.apply_along_axis(np.bincount, 1, drawn, minlength=n)
    weights: Floats = times[:, list(patients)].astype(np.float64)
    return weights


def _figures(scores: NoteScores, weights: Floats) -> dict[str, Floats]:
    parts = [
        scores.figures(weights[first : first + _CHUNK]) for first in range(0, len(weights), _CHUNK)
    ]
    return {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}


def _estimate(value: float, resampled: Floats, tail: float) -> Estimate:
    # A resample without any of the notes a score needs says nothing of it.
    low, high = np.nanquantile(resampled, [tail, 1 - tail]).tolist()
    return Estimate(value, low, high)


def _compare(
    scores: NoteScores, groups: Sequence[Subgroup], weights: Floats, metric: str, tail: float
) -> tuple[list[SubgroupScore], list[Gap]]:
    """Each group's score, and for each field the gap between its extreme groups."""
    shown: list[SubgroupScore] = []
    resampled: dict[tuple[str, str], Floats] = {}
    for group in groups:
        if group.patients < FEWEST_PATIENTS:
            shown.append(SubgroupScore(group.field, group.name, None, None, None))
            continue
        mask = np.zeros(weights.shape[1])
        mask[list(group.notes)] = 1
        value = float(scores.figures(mask[None])[metric][0])
        draws = _figures(scores, weights * mask)[metric]
        estimate = None
        if np.isfinite(value):
            estimate = _estimate(value, draws, tail)
            resampled[group.field, group.name] = draws
        shown.append(
            SubgroupScore(group.field, group.name, len(group.notes), group.patients, estimate)
        )
    gaps = []
    for field in dict.fromkeys(group.field for group in groups):
        ranked = sorted(
            ((g.score.value, g.group) for g in shown if g.field == field and g.score), reverse=True
        )
        if len(ranked) < 2:
            continue
        (high, highest), (low, lowest) = ranked[0], ranked[-1]
        draws = resampled[field, highest] - resampled[field, lowest]
        gaps.append(Gap(field, highest, lowest, _estimate(high - low, draws, tail)))
    return shown, gaps
