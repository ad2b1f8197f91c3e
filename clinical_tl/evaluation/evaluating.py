"""Evaluating so that the figures can be trusted: intervals, groups of patients, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.seen_notes import require_apart
from clinical_tl.data.traces import Traces
from clinical_tl.errors import NoteError, TaskError
from clinical_tl.evaluation.acceptance import Chosen, acceptance_of, acceptance_thresholds
from clinical_tl.evaluation.confusions import Confusions
from clinical_tl.evaluation.estimates import Bootstrap
from clinical_tl.evaluation.label_rows import label_rows
from clinical_tl.evaluation.mention_errors import mention_errors
from clinical_tl.evaluation.provenance import EvaluatedModel, Provenance, thresholds_of
from clinical_tl.evaluation.reliability import calibration_of, temperature_of
from clinical_tl.evaluation.report import Comparison, EvaluationReport
from clinical_tl.evaluation.score_curves import score_curves
from clinical_tl.evaluation.subgroups import compare_groups, patients_of, subgroups_of
from clinical_tl.metrics.intervals import check_resampling
from clinical_tl.saved.evaluations import leak_of
from clinical_tl.schema import Note
from clinical_tl.tasks.abilities import DecidesNotes
from clinical_tl.tasks.task_checks import check_order, check_scores

if TYPE_CHECKING:
    from clinical_tl.schema import Prediction
    from clinical_tl.tasks.task import Task
    from clinical_tl.text.tokenizer import NoteTokenizer


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
    predictions: Sequence[Prediction] | None = None,
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
        train: what the model (and `against`) was trained on, where it does not remember that;
            of mentions it also tells those that were seen in training from new ones.
        dev: annotated notes that a temperature is fitted on, beyond the one that the model
            applies, so that the report says how good the probabilities could be; they also choose
            from which confidence on to accept.
        predictions: the model's own of these notes, in order, where it has made them already.
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
    temperature, accept = None, None
    if dev is not None:
        chosen = as_notes(dev)
        require_apart(
            Traces.of(chosen),
            Traces.of(records),
            known_as="dev notes",
            notes_as=f"{name} notes",
            allow_leakage=allow_leakage,
        )
        on_dev = model.predict(chosen, progress=progress)
        temperature = temperature_of(model.task, chosen, on_dev)
        accept = acceptance_thresholds(model.task, chosen, on_dev)
    if against is not None:
        _check_same_task(model.task, against.task, records)
    if predictions is None:
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
        accept=accept,
        against=None if against is None else against.predict(records, progress=progress),
        train=trained,
    )
    comparison = report.comparison
    if comparison is not None:
        other = None if against is None else EvaluatedModel.of(against, against.task)
        comparison = replace(comparison, leakage=leaks[1], model=other)
    return replace(
        report,
        leakage=leaks[0],
        comparison=comparison,
        model=EvaluatedModel.of(model, model.task),
    )


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
    accept: Chosen | None = None,
    against: Sequence[Prediction] | None = None,
    train: NotesLike | None = None,
) -> EvaluationReport:
    """Scores with intervals, groups of patients compared, calibration; another model's beside it.

    Scores are `task.evaluate`'s. Intervals are bootstrap intervals over patients, each drawn
    with all of its notes (`metrics.intervals`); they say how far the score would move on other
    patients like these, not on those of another hospital, nor with another training seed. Macro
    averages are over the labels of all the notes in every resample too (`metrics.note_counts`).
    Of labels with a handful of notes the few notes show little of the spread, so intervals of
    macro averages over many rare labels are too narrow, and so are all of fewer than ten patients,
    as the report then says; notes of one patient have none. Groups are compared on labels that all
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
        accept: what `acceptance.acceptance_thresholds` chose on dev notes: share wanted right →
            confidence to accept from. Without it these notes choose.
        against: another model's predictions for the same notes (or those of rules): by how much
            these are above them, paired (`Comparison`). Both are scored by `task`.
        train: the training notes, to tell mentions that they have from new ones.

    Raises:
        TaskError: notes that are not annotated, predictions of other notes, or ones with a score
            that is no probability.
        ConfigError: `resamples` below 1, `confidence` outside (0, 1), `seed` below 0, a metadata
            field that no note has or that has more than 20 values.
    """
    check_resampling(resamples, confidence, seed)
    records = as_notes(notes)
    check_order(records, predictions)
    check_scores(predictions)
    groups = [group for field_name in by for group in subgroups_of(records, field_name)]
    scored: Any = task.score(records, predictions, tokenizer)
    summary = scored.summary()
    if not isinstance(task, DecidesNotes):
        raise TaskError(f"{task.kind} decides nothing about notes, so there is nothing to report")
    counts = task.note_counts(records, predictions)
    patients = patients_of(records)
    bootstrap = Bootstrap(patients, resamples, confidence, seed)
    # One patient is in every resample alike, which would pass for certainty.
    several = len(set(patients)) > 1
    intervals = bootstrap.estimates(counts, range(len(records))) if several else {}
    metric = task.monitor if task.monitor in summary else next(iter(intervals or summary))
    comparison = None
    if against is not None:
        check_order(records, against)
        comparison = Comparison(
            task.score(records, against, None).summary(),
            bootstrap.differences(counts, task.note_counts(records, against)) if several else {},
        )
    shown, gaps = compare_groups(task, records, predictions, groups, counts, bootstrap, metric)
    per_label = getattr(scored, "per_label", ())
    model = EvaluatedModel(
        kind="not given: predictions alone",
        thresholds=thresholds_of(task),
        temperature=getattr(task, "temperature", None),
    )
    known = None if train is None else as_notes(train)
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
        labels=label_rows(
            task, per_label, bootstrap.labels(counts) if several else {}, model.thresholds
        ),
        comparison=comparison,
        unused=len(set(task.labels) - {score.label for score in per_label}),
        confusions=Confusions.of(scored),
        mentions=mention_errors(records, predictions, bootstrap, known)
        if task.fields == ("spans",)
        else None,
        curves=score_curves(task, records, predictions),
        acceptance=acceptance_of(task, records, predictions, bootstrap, accept),
        model=model,
        provenance=Provenance.of(task, records),
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
