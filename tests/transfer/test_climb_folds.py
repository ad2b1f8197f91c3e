"""Folds of a climb: what belongs together is on one side, and notes enough are on each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clinical_tl.errors import TaskError
from clinical_tl.schema import Note
from clinical_tl.transfer.climb_folds import FEWEST_FOR_DEV, climb_folds, with_dev


def notes_of(patients, each=2):
    return [
        Note(f"{patient}-{i}", f"On day {i} patient {patient} was seen.", label="ab"[patient % 2],
             patient_id=f"p{patient}")
        for patient in range(patients)
        for i in range(each)
    ]  # fmt: skip


def test_folds_part_neither_patients_nor_copies_and_hold_every_note():
    notes = notes_of(20)
    copy = replace(notes[0], note_id="copy", patient_id="another")
    folds = climb_folds([*notes, copy], 5, seed=1)
    ids = [[note.note_id for note in fold] for fold in folds]
    assert len(folds) == 5
    assert sorted(name for fold in ids for name in fold) == sorted(
        note.note_id for note in [*notes, copy]
    )
    patients = [{note.patient_id for note in fold} for fold in folds]
    assert sum(map(len, patients)) == 21
    assert sum({"0-0", "copy"} <= set(fold) for fold in ids) == 1


def test_few_patients_make_few_folds_and_one_none():
    assert len(climb_folds(notes_of(3), 5, seed=0)) == 3
    with pytest.raises(TaskError, match="the 2 training notes make no two folds"):
        climb_folds(notes_of(1), 5, seed=0)


def test_dev_notes_are_set_aside_where_there_are_enough():
    many = notes_of(FEWEST_FOR_DEV // 2)
    train, dev = with_dev(many, None, seed=0)
    assert 5 <= len(dev) <= 13
    assert len(train) + len(dev) == len(many)
    assert {n.patient_id for n in train}.isdisjoint(n.patient_id for n in dev)
    few = notes_of(FEWEST_FOR_DEV // 2 - 1)
    assert with_dev(few, None, seed=0) == (few, None)
    assert with_dev(many, few, seed=0) == (many, few)
    # One patient's notes can't be parted.
    alike = notes_of(1, each=FEWEST_FOR_DEV)
    assert with_dev(alike, None, seed=0) == (alike, None)
