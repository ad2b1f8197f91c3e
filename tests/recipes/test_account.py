"""A training says what was read, divided and counted, and where what was skipped is listed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clinical_tl.data.corpora import Splits, note_splits
from clinical_tl.data.notes import Notes
from clinical_tl.data.split_record import SplitOrigin
from clinical_tl.errors import TaskError
from clinical_tl.schema import Note, Span
from recipes.account import ANNOTATION, MOST_LABELS, account, annotated

ROOT = Path(__file__).parent.parent.parent
OWN = SplitOrigin(given=("train", "test"))


def said(annotation, train, test, origin=OWN):
    return account(Splits({"train": Notes(train), "test": Notes(test)}, origin), annotation)


def test_labels_are_counted_and_empty_cells_are_explained():
    train = [Note(f"a{i}", f"{i}.", patient_id=f"p{i // 2}", label="xy"[i % 2]) for i in range(4)]
    test = [Note("b1", "Text.", patient_id="q", label="x"), Note("b2", "Text.", patient_id="q")]
    assert said("label", train, test).splitlines() == [
        "notes: train, test as given",
        "side   notes  patients  annotated  not annotated",
        "-----  -----  --------  ---------  -------------",
        "train      4         2          4              0",
        "test       2         1          1              1",
        "an empty label cell is read as not annotated",
        "label  train  test",
        "-----  -----  ----",
        "x          2     1",
        "y          2     0",
    ]


def test_the_most_frequent_codes_are_shown_and_the_others_counted():
    codes = [f"E{i}" for i in range(12)]
    train = [Note(f"a{i}", f"{i}.", "p", codes=tuple(codes[: i + 1])) for i in range(12)]
    test = [Note("b1", "Text.", "q", codes=()), Note("b2", "Text.", "q", codes=None)]
    lines = said("codes", train, test).splitlines()
    assert lines[1:5] == [
        "side   notes  patients  annotated  no code  not annotated",
        "-----  -----  --------  ---------  -------  -------------",
        "train     12         1         12        0              0",
        "test       2         1          0        1              1",
    ]
    assert lines[5] == "an empty codes cell is read as no code, not as not annotated"
    assert lines[8] == "E0       12     0"
    assert len(lines) == 8 + MOST_LABELS + 1
    assert lines[-1] == "… and 2 more of 12 codes"


def test_copies_with_other_annotations_are_counted_over_all_sides():
    spans = (Span(0, 4, "Sign"),)
    first, second = Note("a", "Text.", "p"), Note("b", "Text.", "q")
    for name, one, other in (("label", "x", "y"), ("codes", ("I10",), ()), ("spans", spans, ())):
        train, test = [replace(first, **{name: one})], [replace(second, **{name: other})]
        assert "1 of 1 distinct texts carry two or more" in said(name, train, test)
        assert "distinct texts" not in said(name, train, [replace(second, **{name: one})])
        assert "distinct texts" not in said(name, train, [second])


def test_that_there_are_no_patients_is_said_of_own_notes():
    train, test = [Note("a", "Text.", label="x")], [Note("b", "Text.", label="x")]
    assert "no note has a patient_id" in said("label", train, test)
    assert "--read.columns.patient_id '<column>'" in said("label", train, test)
    one = [replace(train[0], patient_id="p")]
    assert "no note has a patient_id" not in said("label", one, test)
    corpus = SplitOrigin(corpus="mts_dialog", given=("train", "test"))
    told = said("label", train, test, corpus)
    assert told.startswith("notes: the corpus 'mts_dialog' with its own sides\n")
    assert "no note has a patient_id" not in told


@pytest.mark.parametrize("task", ANNOTATION)
def test_every_task_has_its_account_without_text(task):
    splits = note_splits(limit=12)
    text = account(splits, ANNOTATION[task])
    assert "train     12" in text
    assert not any(note.text[:20] in text for notes in splits.values() for note in notes)


def test_a_column_of_text_is_not_shown_as_labels():
    long = "The patient was seen for chest pain"
    assert long not in said("label", [Note("a", "Text.", label=long)], [])
    many = [Note(str(i), f"{long} {'very ' * (i // 2)}much.") for i in range(6)]
    assert long not in said("label", [replace(note, label=note.text) for note in many], [])
    twice = [Note(str(i), "Text.", label="infectious disease") for i in range(2)]
    assert "infectious disease      2     0" in said("label", twice, [])


def test_own_notes_are_accounted_for_and_rejects_are_found(tiny_encoder, tmp_path):
    rows = [f"n{i};Letter number {i} says {'ab'[i % 2] * 3}.;{'ab'[i % 2]}" for i in range(20)]
    file = tmp_path / "own.csv"
    file.write_text("\n".join(["ID;letter;class", *rows, "n20;a row without its class", ""]))
    flags = [
        f"--train={file}", "--read.delimiter", ";", "--read.columns.note_id=ID",
        "--read.columns.text=letter", "--read.columns.label=class", "--read.on_error=skip",
        f"--encoder={tiny_encoder}", "--training.epochs=1", "--training.min_steps=1",
        "--training.progress=false", f"--output={tmp_path / 'out'}",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "recipes.note_classification", *flags],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    listed = tmp_path / "own.csv.rejected.jsonl"
    assert f"20 notes kept, 1 rejected for 1 faults, which are listed in {listed}" in done.stderr
    assert len(listed.read_text().splitlines()) == 1
    assert done.stdout.startswith("notes: the training notes divided note by note")
    assert "no note has a patient_id" in done.stdout
    assert "train     13" in done.stdout
    assert "Letter number" not in done.stdout + done.stderr


def test_a_side_without_any_annotation_is_refused_before_anything_is_trained():
    train = [Note("a", "One text.", label="x"), Note("b", "Another.", label="y")]
    test = [replace(note, label=None) for note in train]
    with pytest.raises(TaskError, match="none of the 2 test notes is annotated: label is missing"):
        annotated(Splits({"train": Notes(train), "test": Notes(test)}, OWN), "label")
