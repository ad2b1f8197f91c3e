"""Training sets of several sizes, each within the next, and a task fitted on each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

import clinical_tl as ctl
from clinical_tl.data.codes.known_systems import SystemName
from clinical_tl.errors import ConfigError, shown_ids
from clinical_tl.training.config import TrainingConfig

if TYPE_CHECKING:
    from clinical_tl.tasks.note_task import NoteTask
    from clinical_tl.tasks.unit_task import UnitTask

TaskName = Literal[
    "note_classification", "multi_label_classification", "diagnosis_coding", "entity_recognition"
]
VectorPooling = Literal["mean", "max", "cls"]
Lexical = bool | Literal["hashed"]
Level = Literal["code", "category", "chapter"]
FEWEST_DEV = 20
MOST_EPOCHS = 30


def fit_task(
    name: TaskName,
    notes: ctl.Notes,
    level: Level = "category",
    *,
    code_system: SystemName = "icd10cm",
    allow_implausible: bool = False,
) -> NoteTask | UnitTask:
    """The task fitted on training notes."""
    if name == "note_classification":
        return ctl.NoteClassification.from_notes(notes, allow_implausible=allow_implausible)
    if name == "entity_recognition":
        return ctl.EntityRecognition.from_notes(notes, allow_implausible=allow_implausible)
    if name == "multi_label_classification":
        return ctl.MultiLabelClassification.from_notes(notes, allow_implausible=allow_implausible)
    return ctl.DiagnosisCoding.from_notes(
        notes, level=level, code_system=code_system, allow_implausible=allow_implausible
    )


def check_budgets(budgets: Sequence[int], n_notes: int) -> list[int]:
    """The budgets in order, 0 standing for all notes; refuses more than there are."""
    sizes = sorted({n_notes if budget == 0 else budget for budget in budgets})
    if not sizes or sizes[0] < 1 or sizes[-1] > n_notes:
        raise ConfigError(
            f"budgets {list(budgets)}: give numbers of notes between 1 and {n_notes}, 0 for all"
        )
    return sizes


def subset(splits: dict[str, ctl.Notes], budget: int, seed: int) -> tuple[ctl.Notes, ctl.Notes]:
    """`budget` training notes, and as large a share of the dev notes (at least 20).

    A larger budget contains a smaller one of the same seed. Choosing epochs on more dev notes
    than there are training notes would be a luxury that few have.
    """
    train, dev = splits["train"], splits["dev"]
    order = np.random.default_rng(seed).permutation(len(train))
    n_dev = min(len(dev), max(FEWEST_DEV, round(len(dev) * budget / len(train))))
    dev_order = np.random.default_rng(seed).permutation(len(dev))
    return (
        train.select(sorted(order[:budget].tolist())),
        dev.select(sorted(dev_order[:n_dev].tolist())),
    )


def subset_by_class(
    splits: dict[str, ctl.Notes], size: int, seed: int
) -> tuple[ctl.Notes, ctl.Notes]:
    """`size` training notes of each label, or all it has, and dev notes as of `subset`."""
    train = splits["train"]
    labels = np.array([str(note.label) for note in train])
    random = np.random.default_rng(seed)
    drawn = [
        row
        for label in sorted(set(labels.tolist()))
        for row in random.permutation(np.flatnonzero(labels == label))[:size].tolist()
    ]
    return train.select(sorted(drawn)), subset(splits, len(drawn), seed)[1]


def epochs_for(epochs: int, budget: int, n_notes: int) -> int:
    """More passes over fewer notes: by the root of the ratio, thirty at most."""
    return min(max(MOST_EPOCHS, epochs), math.ceil(epochs * math.sqrt(n_notes / budget)))


def with_tracked_folder(training: TrainingConfig, output: str) -> TrainingConfig:
    """The settings with a folder for all runs where trackers need one and none is named."""
    if training.trackers and training.output_dir is None:
        return replace(training, output_dir=f"{output}/runs")
    return training


def run_settings(
    training: TrainingConfig, n_seen: int, n_notes: int, seed: int, name: str
) -> TrainingConfig:
    """The settings of one of many runs: epochs for `n_seen` of `n_notes`, a folder of its own."""
    folder = None if training.output_dir is None else Path(training.output_dir) / name
    # Left open, they are chosen by the notes anyway.
    told = training.epochs
    epochs = None if told is None else epochs_for(told, n_seen, n_notes)
    return replace(training, epochs=epochs, seed=seed, output_dir=folder)


def unlabelled_rest(
    notes: ctl.Notes, labelled: ctl.Notes, at_most: int | None, seed: int
) -> list[ctl.Note]:
    """The notes that are not among the labelled ones, without their annotation."""
    known = set(labelled["note_id"])
    rows = [i for i, note_id in enumerate(notes["note_id"]) if note_id not in known]
    if at_most is not None and at_most < len(rows):
        kept = np.random.default_rng(seed).choice(len(rows), at_most, replace=False)
        rows = [rows[i] for i in sorted(kept.tolist())]
    return [
        replace(note, label=None, codes=None, spans=None, relations=None)
        for note in notes.select(rows)
    ]


def with_labels(notes: ctl.Notes, labels: list[str] | None) -> list[ctl.Note]:
    """The notes with only the spans of these labels; with all of them if None.

    Raises `ConfigError` for a label that no span has.
    """
    records = list(notes)
    if labels is None:
        return records
    present = {span.label for note in records for span in note.spans or ()}
    unknown = sorted(set(labels) - present)
    if unknown:
        raise ConfigError(
            f"labels {unknown}: no mention has them; choose from "
            f"{shown_ids(sorted(present), 'label')}"
        )
    return [
        replace(note, spans=tuple(span for span in note.spans or () if span.label in labels))
        for note in records
    ]
