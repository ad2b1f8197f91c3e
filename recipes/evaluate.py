"""Evaluate a saved model on annotated notes: intervals, groups of patients, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.data.seen_notes import Leak
from clinical_tl.data.split_record import SplitRecord, file_beside
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
    split: str | None = None,
    name: str | None = None,
    read: ReadOptions = ReadOptions(),
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
        split: score only this side (train, dev, test) of the notes that the model was trained
            with, as the recipe kept it beside the model (model.split.json).
        name: of the set of notes, in the report and the card; by default that of split, or test.
        read: how the notes are read, e.g. --read.columns.text letter.
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
    if card:
        require_replaceable(_folder(model, "--card"))
    if (notes is None) == (corpus is None):
        raise ConfigError(
            "give one of the two: notes (a file or folder), or corpus (the name of a public one)"
        )
    record = None if split is None else SplitRecord.beside(_folder(model, "--split"))
    own = read.read_each({"notes": notes, "train": train, "dev": dev})
    trained, chosen = own.get("train"), own.get("dev")
    if corpus is not None:
        splits = ctl.note_splits(corpus)
        trained, annotated = splits["train"], splits[split if split in splits else "test"]
    else:
        annotated = own["notes"]
        has_record = Path(model).is_dir() and file_beside(model).is_file()
        known = record or (SplitRecord.beside(model) if has_record else None)
        if known is not None and trained is None and "train" in known.sides:
            # Its training notes are refused wherever they come along.
            trained = known.among("train", annotated) or None
    if record is not None and split is not None:
        annotated = record.find(split, annotated)
        print(f"{len(annotated)} {split} notes of the model's split ({record.origin})")
    name = name or split or "test"
    loaded = ctl.load(model, encoder=encoder, revision=revision)
    annotated = _annotated(annotated, loaded.task.fields)
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


def _annotated(notes: ctl.Notes, fields: Sequence[str]) -> ctl.Notes:
    """Those of the notes that are; how many are left out is said."""
    kept = notes.filter(lambda note: all(getattr(note, name) is not None for name in fields))
    if kept and len(kept) < len(notes):
        print(f"left out, since they are not annotated: {len(notes) - len(kept)} of {len(notes)}")
    # Of none the evaluation says what is amiss.
    return kept or notes


def _folder(model: str, flag: str) -> str:
    if not Path(model).is_dir():
        raise ConfigError(f"{flag} is for a model's folder, and {shown_path(model)} is none here")
    return model


if __name__ == "__main__":
    run(main)
