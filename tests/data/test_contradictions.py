"""Copies of a text that are annotated differently are counted before anything is learnt."""

from dataclasses import replace
from random import Random
from time import perf_counter

import pytest

from clinical_tl.data.contradictions import annotation_of, contradictions
from clinical_tl.schema import Note, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.task_checks import check_notes

WORDS = "the patient was seen for follow up of a known condition and reports no new complaints"
LONG = f"{WORDS} since the last visit some weeks ago; {WORDS.replace('seen', 'examined')}."


def label(note):
    return note.label


def test_texts_with_two_labels_are_counted_and_what_can_be_right_at_most():
    notes = [
        Note("a", "Chest pain.", label="x"),
        Note("b", "chest \n pain.", label="x"),
        Note("c", "CHEST PAIN.", label="y"),
        Note("d", "Fever.", label="x"),
        Note("e", "Fever.", label="x"),
        Note("f", "Cough.", label="y"),
    ]
    found = contradictions(notes, label)
    assert (found.texts, found.of_texts, found.agreeable, found.of_notes) == (1, 3, 5, 6)
    assert found.ids == ("a", "b", "c")
    assert found.near_ids == ()
    assert "1 of 3 distinct texts carry two or more" in str(found)
    assert "no model can agree with more than 5 of the notes" in str(found)
    assert str(found).endswith("Mend them, or leave them out")
    assert not any(word in f"{found} {found!r}" for word in ("Chest", "Fever"))


def test_copies_that_agree_are_none_and_single_ones_are_to_be_mended():
    notes = [Note(str(i), f"Text {i}.", label="x") for i in range(20)]
    assert not contradictions([*notes, replace(notes[0], note_id="copy")], label)
    found = contradictions([*notes, replace(notes[0], note_id="copy", label="y")], label)
    assert found.ids == ("0", "copy")
    assert str(found).endswith("Mend them, or leave them out")


def test_nearly_identical_notes_with_another_label_are_counted_apart():
    notes = [Note("a", LONG, label="x"), Note("b", f"{LONG} Stable.", label="y")]
    found = contradictions(notes, label)
    assert (found.texts, found.ids, found.near_ids, found.agreeable) == (0, (), ("a", "b"), 2)
    assert found
    assert str(found).startswith("2 of 2 notes have nearly the text of another that is annotated")
    same = [Note("c", "Fever.", label="x"), Note("d", "Fever.", label="y")]
    both = str(contradictions([*notes, *same], label))
    assert both.startswith("1 of 3 distinct texts carry two or more")
    assert "2 more notes have nearly the text of another such" in both
    assert not contradictions([notes[0], replace(notes[1], label="x")], label)


@pytest.mark.parametrize(("texts", "are_many"), [(9, False), (10, True)])
def test_many_texts_of_several_labels_are_a_matter_of_the_task(texts, are_many):
    notes = [Note(f"{i}{end}", f"Text {i}.", label=end) for i in range(texts) for end in "xy"]
    assert str(contradictions(notes, label)).endswith("not one") == are_many


def test_mentions_are_compared_by_offsets_and_only_where_texts_are_the_same():
    spans = (Span(0, 7, "Drug", id="T1"), Span(12, 17, "Drug", id="T2"))
    note = Note("a", "Aspirin and Plavix.", spans=spans)
    same = replace(note, note_id="b", spans=(replace(spans[1], id="T9"), spans[0]))
    other = replace(note, note_id="c", spans=spans[:1])
    blank = Note("d", "Aspirin  and Plavix.", spans=spans[:1])

    def said(given):
        return annotation_of(given, "spans")

    assert not contradictions([note, same, blank], said, offsets=True)
    assert contradictions([note, same, other], said, offsets=True).agreeable == 2


@pytest.mark.parametrize(
    ("kind", "annotations"),
    [
        (NoteClassification, [{"label": "x"}, {"label": "y"}]),
        (DiagnosisCoding, [{"codes": ("I10",)}, {"codes": ("I10", "E11.9")}]),
        (EntityRecognition, [{"spans": (Span(0, 5, "Sign"),)}, {"spans": ()}]),
    ],
)
def test_every_task_says_it_once_before_training(kind, annotations, caplog):
    notes = [
        Note(f"{text}{i}", f"{text}.", **given)
        for text in ("Fever", "Chill")
        for i, given in enumerate(annotations)
    ]
    task = kind.from_notes(notes)
    assert "distinct texts" not in caplog.text
    check_notes(task, notes, None)
    (line,) = [r.getMessage() for r in caplog.records if "distinct texts" in r.getMessage()]
    assert line.startswith(f"{task.title}, training notes: 2 of 2 distinct texts")
    assert "Fever." not in line


def test_codes_that_are_one_at_the_tasks_level_do_not_contradict(caplog):
    notes = [Note("a", "Diabetes.", codes=("E11.9",)), Note("b", "Diabetes.", codes=("E11.65",))]
    check_notes(DiagnosisCoding.from_notes(notes, level="category"), notes, None)
    assert "distinct texts" not in caplog.text
    check_notes(DiagnosisCoding.from_notes(notes), notes, None)
    assert "1 of 1 distinct texts" in caplog.text


def test_twenty_thousand_notes_take_no_time():
    random = Random(0)
    notes = [
        Note(str(i), " ".join(random.choices(WORDS.split(), k=60)), label="xy"[i % 2])
        for i in range(20_000)
    ]
    start = perf_counter()
    contradictions(notes, label)
    # A tenth of it here; other machines, and other work on them, are slower.
    assert perf_counter() - start < 5
