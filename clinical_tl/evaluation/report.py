"""Evaluating so that the figures can be trusted: intervals, groups of patients, calibration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.seen_notes import require_apart
from clinical_tl.data.traces import Traces
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import NoteError, TaskError
from clinical_tl.evaluation.reliability import Calibration, calibration_of, temperature_of
from clinical_tl.evaluation.subgroups import Subgroup, patients_of, subgroups_of
from clinical_tl.metrics.intervals import check_resampling, interval_around, resample
from clinical_tl.saved.artifact import REPORT_FILE
from clinical_tl.saved.evaluations import LEAKAGE, leak_of, leaks_of
from clinical_tl.saved.saved_report import card_report
from clinical_tl.schema import Note
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replace_text
from clinical_tl.tasks.task import DecidesNotes, check_order

if TYPE_CHECKING:
    from clinical_tl.metrics.matrix import Floats
    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.schema import Prediction
    from clinical_tl.tasks.task import Task
    from clinical_tl.text.tokenizer import NoteTokenizer

FORMAT = 1


@dataclass(frozen=True)
class Estimate:
    """A score and the percentile interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SubgroupScore:
    """A group's headline score; no figures (`None`) for a group of fewer than ten patients.

    `score` is what `evaluate` gives for the group's notes, over all labels that these have.
    `shared` is the same over those labels alone that every group of the field has in gold: what
    groups can be compared by. It is `None` where there are none, and for a group without gold.
    """

    field: str
    group: str
    notes: int | None
    patients: int | None
    score: Estimate | None
    shared: Estimate | None = None


@dataclass(frozen=True)
class Gap:
    """The distance between the groups with the highest and the lowest score on shared labels.

    On labels that one group has and another lacks a difference would be one of the labels and
    not of the groups: the gap is over the `labels` that all groups have in gold, of the
    `of_labels` that some have. Where they share none there is no `difference`, and no pair. The
    pair was chosen by the scores, so the interval leans towards a gap: read it as a reason to
    look, not as a test.
    """

    field: str
    highest: str | None
    lowest: str | None
    difference: Estimate | None
    labels: int
    of_labels: int


@dataclass(frozen=True)
class Comparison:
    """Another model on the same notes, and how far this one is above it.

    `scores` are the other's. `differences` are this model's scores minus those, each with the
    interval of a paired bootstrap (Koehn 2004, "Statistical significance tests for machine
    translation evaluation"): both are scored on the same resamples of the patients, so what is
    hard for both cancels out, and models can be told apart whose own intervals overlap. Where 0
    lies outside, they differ on notes like these. `leakage` is what the notes share with the
    other's training notes; `None` where that was not checked.
    """

    scores: Mapping[str, float]
    differences: Mapping[str, Estimate]
    leakage: Mapping[str, Any] | None = None


@dataclass(frozen=True, repr=False)
class EvaluationReport(Tabular):
    """What an evaluation found on one set of notes; figures and names of labels, no text.

    `scores` are all of the task's, `intervals` those of them that add up over notes (counts
    and means; not AUROC, MCC or overlap), `metric` the one that subgroups are compared by.
    `leakage` is what the notes share with the training notes, in counts (`seen_notes.Leak`);
    `None` where that was not checked. `comparison` is with another model, if one was given.
    """

    kind: str
    name: str
    notes: int
    patients: int
    metric: str
    scores: Mapping[str, float]
    intervals: Mapping[str, Estimate]
    resamples: int
    confidence: float
    seed: int
    subgroups: tuple[SubgroupScore, ...] = ()
    gaps: tuple[Gap, ...] = ()
    calibration: Calibration | None = None
    labels: tuple[Mapping[str, Any], ...] = ()
    leakage: Mapping[str, Any] | None = None
    comparison: Comparison | None = None

    @property
    def title(self) -> str:
        """What was evaluated on what."""
        return f"{self.kind.replace('_', ' ').capitalize()}: {self.name} notes"

    @property
    def leaks(self) -> tuple[str, ...]:
        """A sentence where the notes share patients or texts with the training notes."""
        told = {self.name: self.scores, LEAKAGE: {self.name: self.leakage}}
        return tuple(leaks_of(told).values())

    def table(self) -> Table:
        """One row a score, with its interval where it has one."""
        rows = []
        for name, value in self.scores.items():
            interval = self.intervals.get(name)
            limits = {"low": interval.low, "high": interval.high} if interval else {}
            rows.append({"metric": name, "value": value, **limits})
        return Table(rows)

    def subgroup_table(self) -> Table:
        """One row a group, then one a gap."""
        return Table(self.for_card()["subgroups"])

    def glance(self) -> Iterator[str | Table]:
        """The notes, what they share with training, scores, groups of patients, calibration."""
        yield self.title
        of = f"{self.notes} notes of {self.patients} patients"
        yield f"{of}; intervals of {100 * self.confidence:g} %"
        yield from self.leaks
        yield self.table()
        if self.subgroups:
            yield self.subgroup_table()
        if self.calibration is not None:
            yield f"calibration of {self.calibration.of}:"
            yield self.calibration.table()
        if self.comparison is not None:
            yield "compared with another model:"
            yield self.comparison_table()

    def comparison_table(self) -> Table:
        """One row a score that was compared: this model's, the other's, and the difference."""
        if self.comparison is None:
            return Table([])
        rows = [
            {
                "metric": name,
                "value": self.scores[name],
                "other": self.comparison.scores[name],
                "difference": found.value,
                "low": found.low,
                "high": found.high,
            }
            for name, found in self.comparison.differences.items()
        ]
        return Table(rows)

    def to_dict(self) -> dict[str, Any]:
        """For `report.json`."""
        return {"format": FORMAT, **asdict(self)}

    def for_card(self) -> dict[str, Any]:
        """What `write_card(..., report=...)` takes."""
        return card_report(self.to_dict())

    def save(self, folder: str | Path) -> Path:
        """Write `report.json` into a folder, such as the saved model's; returns the file."""
        file = as_path(folder) / REPORT_FILE
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        return replace_text(file, text + "\n")


FEWEST_PATIENTS = 10
"""A group of fewer patients is not scored, nor its size told: it might point at persons."""


class Predictor(Protocol):
    """A model with its task: `TransferModel`, `FeatureModel`."""

    task: Task

    def predict(self, notes: Any, *, progress: bool = True) -> list[Prediction]:  # noqa: ANN401  (all that as_notes takes)
        """One prediction a note, in order."""
        ...


def evaluation_report(
    model: Predictor,
    notes: NotesLike,
    *,
    name: str = "test",
    by: Sequence[str] = (),
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = True,
    train: NotesLike | None = None,
    dev: NotesLike | None = None,
    against: Predictor | None = None,
    allow_leakage: bool = False,
) -> EvaluationReport:
    """Predict annotated notes and report on the predictions; see `report_on`.

    Args:
        model: what is evaluated.
        notes: annotated.
        name: of the set of notes; this and the next four as for `report_on`.
        by: metadata fields to compare groups by.
        resamples: how many times the patients are drawn.
        confidence: share of the resamples that an interval covers.
        seed: of the resamples.
        progress: show progress bars.
        train: what the model (and `against`) was trained on, where it does not remember that.
        dev: annotated notes that a temperature is fitted on, so that the report says how good
            the probabilities could be.
        against: another model for the same task, such as a baseline or the last version; the
            report says by how much `model` is above it, patient by patient.
        allow_leakage: notes that share patients or texts with those that a model has learnt
            from, or with `dev`, are an error without it, and marked in the report with it.

    Raises:
        NoteError: no notes, or such shared ones.
        TaskError: as `report_on`; or the two models are asked different things.
    """
    records = as_notes(notes)
    if not records:
        raise NoteError("there are no notes to evaluate; give at least one annotated note")
    trained = None if train is None else as_notes(train)

    def leak_into(one: Predictor) -> dict[str, Any] | None:
        leak = leak_of(
            getattr(one, "metrics", {}),
            getattr(one, "seen", None),
            records,
            name,
            train=trained,
            allow_leakage=allow_leakage,
        )
        return None if leak is None else asdict(leak)

    leaks = [leak_into(one) for one in (model, against) if one is not None]
    temperature = None
    if dev is not None:
        chosen = as_notes(dev)
        require_apart(
            Traces.of(chosen),
            Traces.of(records),
            known_as="dev notes",
            notes_as=f"{name} notes",
            allow_leakage=allow_leakage,
        )
        temperature = temperature_of(model.task, chosen, model.predict(chosen, progress=progress))
    if against is not None:
        _check_same_task(model.task, against.task, records)
    predictions = model.predict(records, progress=progress)
    report = report_on(
        model.task,
        records,
        predictions,
        tokenizer=getattr(model, "tokenizer", None),
        name=name,
        by=by,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        temperature=temperature,
        against=None if against is None else against.predict(records, progress=progress),
    )
    comparison = report.comparison
    if comparison is not None:
        comparison = replace(comparison, leakage=leaks[1])
    return replace(report, leakage=leaks[0], comparison=comparison)


def report_on(
    task: Task,
    notes: NotesLike,
    predictions: Sequence[Prediction],
    *,
    tokenizer: NoteTokenizer | None = None,
    name: str = "test",
    by: Sequence[str] = (),
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    temperature: float | None = None,
    against: Sequence[Prediction] | None = None,
) -> EvaluationReport:
    """Scores with intervals, groups of patients compared, calibration; another model's beside it.

    Scores are `task.evaluate`'s. Intervals are bootstrap intervals over patients, each drawn
    with all of its notes (`metrics.intervals`); they say how far the score would move on other
    patients like these, not on those of another hospital, nor with another training seed. Macro
    averages are over the labels of all the notes in every resample too (`metrics.note_counts`).
    Of labels with a handful of notes the few notes show little of the spread, so intervals of
    macro averages over many rare labels are too narrow. Groups are compared on labels that all
    of them have. Predictions of anything, rules included, can be reported.

    Args:
        task: the fitted task, which scores the predictions.
        notes: annotated.
        predictions: one a note, in the same order.
        tokenizer: the model's; `share_lost` then is what the model's own `evaluate` says.
        name: of the set of notes.
        by: fields of the notes' metadata (sex, age band, hospital, …) to compare groups by;
            groups of fewer than ten patients are listed without figures.
        resamples: how many times the patients are drawn.
        confidence: share of the resamples that an interval covers, in (0, 1).
        seed: the same seed gives the same intervals.
        temperature: that `confidence.temperature_of` fitted to predictions for dev notes.
        against: another model's predictions for the same notes (or those of rules): by how much
            these are above them, paired (`Comparison`). Both are scored by `task`.

    Raises:
        TaskError: notes that are not annotated, or predictions of other notes.
        ConfigError: `resamples` below 1, `confidence` outside (0, 1), a metadata field that no
            note has or that has more than 20 values.
    """
    check_resampling(resamples, confidence)
    records = as_notes(notes)
    check_order(records, predictions)
    groups = [group for field_name in by for group in subgroups_of(records, field_name)]
    scored: Any = task.score(records, predictions, tokenizer)
    summary = scored.summary()
    if not isinstance(task, DecidesNotes):
        raise TaskError(f"{task.kind} decides nothing about notes, so there is nothing to report")
    counts = task.note_counts(records, predictions)
    patients = patients_of(records)
    bootstrap = _Bootstrap(patients, resamples, confidence, seed)
    intervals = bootstrap.estimates(counts, range(len(records)))
    metric = task.monitor if task.monitor in summary else next(iter(intervals))
    comparison = None
    if against is not None:
        check_order(records, against)
        comparison = Comparison(
            task.score(records, against, None).summary(),
            bootstrap.differences(counts, task.note_counts(records, against)),
        )
    shown, gaps = _compare(task, records, predictions, groups, counts, bootstrap, metric)
    return EvaluationReport(
        kind=task.kind,
        name=name,
        notes=len(records),
        patients=len(set(patients)),
        metric=metric,
        scores=summary,
        intervals=intervals,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        subgroups=tuple(shown),
        gaps=tuple(gaps),
        calibration=calibration_of(task, records, predictions, temperature=temperature),
        labels=tuple(score.row() for score in getattr(scored, "per_label", ())),
        comparison=comparison,
    )


def _check_same_task(task: Task, other: Task, notes: Sequence[Note]) -> None:
    """Raise `TaskError` unless both models are asked the same of the notes."""
    if task.kind == other.kind and task.gold_labels(notes) == other.gold_labels(notes):
        return
    raise TaskError(
        f"the models are asked different things of these notes: one is for {task.title}, the "
        f"other for {other.title}"
        + (" of other gold labels" if task.kind == other.kind else "")
        + "; compare models of one task, with the same settings for what counts as a label"
    )


@dataclass(frozen=True)
class _Bootstrap:
    """The resamples of the notes' patients, drawn anew (the same ones) for each use."""

    patients: Sequence[int]
    resamples: int
    confidence: float
    seed: int

    def figures(self, counts: NoteCounts, notes: Sequence[int]) -> dict[str, Floats]:
        """Metric → its value on each resample, of some notes (positions) as if no others were."""
        own, rows = counts.of(notes), list(notes)
        parts = [
            own.figures(weights[:, rows].astype(np.float64))
            for weights in resample(self.patients, self.resamples, self.seed)
        ]
        return {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}

    def estimates(self, counts: NoteCounts, notes: Sequence[int]) -> dict[str, Estimate]:
        """Metric → its value on some notes, with the interval; undefined ones left out."""
        drawn = self.figures(counts, notes)
        found = {
            metric: self.around(float(value[0]), drawn[metric])
            for metric, value in counts.of(notes).figures(np.ones((1, len(notes)))).items()
        }
        return {metric: estimate for metric, estimate in found.items() if estimate is not None}

    def differences(self, counts: NoteCounts, others: NoteCounts) -> dict[str, Estimate]:
        """Metric → the first minus the second on the same resamples, with the interval of that."""
        every = range(len(counts))
        ones = np.ones((1, len(counts)))
        value, other = counts.figures(ones), others.figures(ones)
        drawn, drawn_others = self.figures(counts, every), self.figures(others, every)
        found = {
            metric: self.around(
                float(value[metric][0] - other[metric][0]), drawn[metric] - drawn_others[metric]
            )
            for metric in value
            if metric in other
        }
        return {metric: estimate for metric, estimate in found.items() if estimate is not None}

    def around(self, value: float, drawn: Floats) -> Estimate | None:
        """The interval of a value from what it is on the resamples."""
        interval = interval_around(value, drawn, self.confidence)
        if interval is None or not np.isfinite(value):
            return None
        return Estimate(value, interval.low, interval.high)


def _compare(
    task: Any,  # noqa: ANN401  (a task that decides notes: no type is both protocols)
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
    groups: Sequence[Subgroup],
    counts: NoteCounts,
    bootstrap: _Bootstrap,
    metric: str,
) -> tuple[list[SubgroupScore], list[Gap]]:
    """Each group's score, and for each field the gap between its extreme groups."""
    shown: list[SubgroupScore] = []
    gaps: list[Gap] = []
    for field in dict.fromkeys(group.field for group in groups):
        of_field = [group for group in groups if group.field == field]
        gold = {
            group.name: set(task.gold_labels([notes[i] for i in group.notes]))
            for group in of_field
            if group.patients >= FEWEST_PATIENTS
        }
        having = [labels for labels in gold.values() if labels]
        labels = set.intersection(*having) if having else set()
        on_shared = task.note_counts(notes, predictions, labels=labels)
        shared: dict[str, Estimate] = {}
        for group in of_field:
            if group.name not in gold:
                shown.append(SubgroupScore(field, group.name, None, None, None))
                continue
            if labels and gold[group.name]:
                found = bootstrap.estimates(on_shared, group.notes).get(metric)
                if found is not None:
                    shared[group.name] = found
            shown.append(
                SubgroupScore(
                    field,
                    group.name,
                    len(group.notes),
                    group.patients,
                    bootstrap.estimates(counts, group.notes).get(metric),
                    shared.get(group.name),
                )
            )
        if len(having) < 2:
            continue
        of_labels = len(set.union(*having))
        if len(shared) < 2:
            gaps.append(Gap(field, None, None, None, len(labels), of_labels))
            continue
        ranked = sorted(shared, key=lambda name: (shared[name].value, name), reverse=True)
        members = {group.name: group.notes for group in of_field}
        high, low = ranked[0], ranked[-1]
        drawn = (
            bootstrap.figures(on_shared, members[high])[metric]
            - bootstrap.figures(on_shared, members[low])[metric]
        )
        difference = bootstrap.around(shared[high].value - shared[low].value, drawn)
        gaps.append(Gap(field, high, low, difference, len(labels), of_labels))
    return shown, gaps
