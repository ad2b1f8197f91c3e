"""Evaluate a saved model on annotated notes: intervals, groups of patients, calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import clinical_tl as ctl
from clinical_tl.data.seen_notes import Leak
from clinical_tl.errors import ConfigError, shown_path
from clinical_tl.evaluation.report import EvaluationReport
from clinical_tl.saved.evaluations import record_scores
from clinical_tl.storage.output import require_replaceable

from .claim import claim_output
from .command_line import run


def main(
    model: str,
    notes: str | None = None,
    corpus: str | None = None,
    train: str | None = None,
    dev: str | None = None,
    against: str | None = None,
    by: list[str] | None = None,
    name: str = "test",
    format: str | None = None,
    columns: dict[str, str] | None = None,
    as_written: tuple[str, ...] = (),
    allow_implausible: bool = False,
    allow_leakage: bool = False,
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
        train: the model's training notes, to see whether the others share patients or texts with
            them (with corpus: its training notes, without being asked).
        dev: annotated notes to fit a temperature on, which says how good the model's
            probabilities could be.
        against: another saved model of the same task, to be compared with on the same notes.
        by: metadata fields to compare groups of patients by, e.g. [sex, age_band].
        name: of the set of notes, in the report and the card.
        format: of the notes, where the ending does not tell.
        columns: field to column, e.g. {"note_id": "ID", "text": "note"}.
        as_written: fields whose cells mean what they say, e.g. [label] where "NA" is a label.
        allow_implausible: take labels and ids that look like text and not like names.
        allow_leakage: go on where notes share patients or texts with train; the scores are marked.
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
    claim_output(output)
    if (notes is None) == (corpus is None):
        raise ConfigError(
            "give one of the two: notes (a file or folder), or corpus (the name of a public one)"
        )
    reading: dict[str, Any] = {
        "format": format,
        "columns": columns,
        "as_written": as_written,
        "allow_implausible": allow_implausible,
    }
    if corpus is not None:
        splits = ctl.note_splits(corpus)
        trained, annotated = splits["train"], splits["test"]
    else:
        annotated = ctl.read_notes(str(notes), **reading)
        trained = None if train is None else ctl.read_notes(train, **reading)
    if card and not Path(model).is_dir():
        raise ConfigError(
            f"--card writes into the model's folder, and {shown_path(model)} is none here"
        )
    if card:
        require_replaceable(model)
    chosen = None if dev is None else ctl.read_notes(dev, **reading)
    loaded = ctl.load(model, encoder=encoder, revision=revision)
    report = ctl.evaluation_report(
        loaded, annotated, name=name, by=by or (), resamples=resamples, confidence=confidence,
        seed=seed, train=trained, dev=chosen, allow_leakage=allow_leakage,
        against=None if against is None else ctl.load(against),
    )  # fmt: skip
    print(report)
    print(report.save(Path(output) / "report.json"))
    print(report.save(Path(output) / "report.html"))
    if card:
        leak = None if report.leakage is None else Leak(**report.leakage)
        records = list(annotated)
        record_scores(loaded.metrics, name, records, report.scores, leak=leak)
        loaded.save_pretrained(model)
        report.save(model)
        print(ctl.saved.write_card(model))
    return report


if __name__ == "__main__":
    run(main)
