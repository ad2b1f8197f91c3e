"""Evaluate a saved model on annotated notes: intervals, groups of patients, calibration."""

from __future__ import annotations

from pathlib import Path

import clinical_tl as ctl
from clinical_tl.errors import ConfigError, shown_path
from clinical_tl.metrics_record import record_scores
from clinical_tl.report.evaluation_report import EvaluationReport
from clinical_tl.report.page import write_page
from recipes.command_line import run


def main(
    model: str,
    notes: str | None = None,
    corpus: str | None = None,
    by: list[str] | None = None,
    name: str = "test",
    format: str | None = None,
    columns: dict[str, str] | None = None,
    allow_implausible: bool = False,
    encoder: str | None = None,
    revision: str | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    card: bool = False,
    output: str = "runs/evaluation",
) -> EvaluationReport:
    """Score a saved model, with 95 % intervals over patients.

    Args:
        model: a folder written by a training recipe (…/model), or a Hub id ("hub:org/name").
        notes: annotated notes (JSON lines, CSV, Parquet, BRAT, PubTator, …).
        corpus: instead of notes, the test notes of a public corpus by name, or "synthetic".
        by: metadata fields to compare groups of patients by, e.g. [sex, age_band].
        name: of the set of notes, in the report and the card.
        format: of the notes, where the ending does not tell.
        columns: field to column, e.g. {"note_id": "ID", "text": "note"}.
        allow_implausible: take labels and ids that look like text and not like names.
        encoder: where the model's encoder lies, if not where it was in training.
        revision: of a Hub id: a branch, tag or commit.
        resamples: bootstrap resamples of the patients.
        confidence: share of the resamples that an interval covers.
        seed: of the resamples.
        card: also write the scores, the report and a new card into the model's own folder.
        output: folder for report.json and report.html.

    Returns:
        The report.
    """
    if (notes is None) == (corpus is None):
        raise ConfigError(
            "give one of the two: notes (a file or folder), or corpus (the name of a public one)"
        )
    annotated = (
        ctl.note_splits(corpus)["test"]
        if notes is None
        else ctl.read_notes(
            notes, format=format, columns=columns, allow_implausible=allow_implausible
        )
    )
    if card and not Path(model).is_dir():
        raise ConfigError(
            f"--card writes into the model's folder, and {shown_path(model)} is none here"
        )
    loaded = ctl.load_model(model, encoder=encoder, revision=revision)
    report = ctl.evaluation_report(
        loaded, annotated, name=name, by=by or (), resamples=resamples, confidence=confidence,
        seed=seed,
    )  # fmt: skip
    print(ctl.format_table(report.table()))
    if report.subgroups:
        print(ctl.format_table(report.subgroup_table()))
    if report.calibration is not None:
        print(f"calibration of {report.calibration.of}:")
        print(ctl.format_table([report.calibration.scores.summary()]))
    print(report.save(output))
    print(write_page(report, Path(output) / "report.html"))
    if card:
        record_scores(loaded.metrics, name, ctl.dataset_to_notes(annotated), report.scores)
        loaded.save_pretrained(model)
        report.save(model)
        print(ctl.write_card(model))
    return report


if __name__ == "__main__":
    run(main)
