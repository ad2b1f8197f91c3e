"""The questions that frozen features are asked on behalf of a task: rows and their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.errors import TaskError
from clinical_tl.schema import Note
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task_checks import check_annotated
from clinical_tl.tasks.unit_task import UnitTask
from clinical_tl.text.tags import OUTSIDE
from clinical_tl.text.units import text_units

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Task

LEAST_SUPPORT = 3
"""A code needs so many notes with it, and without it, to be estimated."""


@dataclass(frozen=True)
class Probe:
    """Which rows are asked about, and the truth.

    `targets` are classes, shape (rows,), or 0/1 labels, shape (rows, labels); `note` is the
    position of each row's note, shape (rows,). Where rows are units of text, `keys` are their
    (note, start, end), shape (rows, 3), else `None`.
    """

    targets: np.ndarray
    note: np.ndarray
    keys: np.ndarray | None
    rows_left_out: int
    labels_left_out: int


def probe(
    task: Task, notes: Sequence[Note], *, max_units: int, random: np.random.Generator
) -> Probe:
    """The rows of `notes` that `task` decides, with their targets.

    Notes for classification and coding (codes with fewer than 3 notes with or without them
    are left out), units of text for entity recognition: at most half of `max_units` inside
    mentions, and as many outside, both drawn by `random`.

    Raises `TaskError` for another task, notes not annotated for it, no code with enough
    notes, no mention.
    """
    if isinstance(task, UnitTask):
        return _tagging(task, notes, max_units, random)
    if isinstance(task, NoteTask):
        return _labelling(task.gold(notes))
    raise TaskError(
        f"encoders can't be ranked for {task.title}; allowed: tasks that label notes or tag their "
        "units (note classification, diagnosis coding, entity recognition)"
    )


def _labelling(gold: np.ndarray) -> Probe:
    n = len(gold)
    if gold.ndim == 1:
        known = np.flatnonzero(gold >= 0)
        if not len(known):
            raise TaskError(
                f"none of the {n} notes has a label of the task's; fit the task on them with "
                "from_notes()"
            )
        return Probe(gold[known], known, None, n - len(known), 0)
    usable = _usable(gold, "notes")
    return Probe(gold[:, usable], np.arange(n), None, 0, int((~usable).sum()))


def _tagging(
    task: UnitTask, notes: Sequence[Note], max_units: int, random: np.random.Generator
) -> Probe:
    check_annotated(notes, "spans", "entity recognition")
    known = set(task.tag_set.labels)
    keys, tags = [], []
    for row, note in enumerate(notes):
        units = text_units(note.text, task.units)
        spans = [span for span in note.spans or () if span.label in known]
        tags.append(task.tag_set.encode(units, spans)[0])
        keys.append(np.stack([np.full(len(units), row), units.starts, units.ends], axis=1))
    all_tags, all_keys = np.concatenate(tags), np.concatenate(keys)
    marked = (all_tags != OUTSIDE).any(axis=1)
    inside = random.permutation(np.flatnonzero(marked))[: max_units // 2]
    outside = random.permutation(np.flatnonzero(~marked))[: len(inside)]
    if not len(inside):
        raise TaskError(
            f"none of the {len(notes)} notes has a mention that tags can hold; give notes with "
            "mentions"
        )
    chosen = np.sort(np.concatenate([inside, outside]))
    notes_of, keys_of = all_keys[chosen, 0], all_keys[chosen]
    if len(task.tag_set.sets) == 1:
        left_out = len(task.tag_set) - len(np.unique(all_tags[chosen]))
        return Probe(all_tags[chosen, 0], notes_of, keys_of, 0, left_out)
    # Of layers it is asked which types a unit is in.
    within = (all_tags[chosen] != OUTSIDE).astype(np.int64)
    usable = _usable(within, "units")
    return Probe(within[:, usable], notes_of, keys_of, 0, int((~usable).sum()))


def _usable(gold: np.ndarray, rows: str) -> np.ndarray:
    """Which labels, shape (labels,), have rows enough with them and without; some must."""
    support = gold.sum(axis=0)
    usable: np.ndarray = (support >= LEAST_SUPPORT) & (len(gold) - support >= LEAST_SUPPORT)
    if not usable.any():
        raise TaskError(
            f"none of {gold.shape[1]} labels has {LEAST_SUPPORT} of the {len(gold)} {rows} with it "
            "and as many without; give more notes, or coarser labels (of codes: level='category')"
        )
    return usable
