"""`Notes`: records over an Arrow table, as a sequence, and what is shown of them."""

import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.data import notes as notes_module
from clinical_tl.data.notes import Notes, as_notes, each_note
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.errors import NoteError
from clinical_tl.schema import NOTE_FIELDS, Note, Span

RECORDS = [
    Note("a", "SECRET fever", patient_id="p1", label="ill", spans=(Span(7, 12, "S"),)),
    Note("b", "SECRET cough", patient_id="p1", codes=("R05",)),
    Note("c", "SECRET", patient_id="p2", label="well", metadata={"age": 3}),
]


def both():
    """The same notes from records and from a table."""
    return Notes(RECORDS), Notes(Notes(RECORDS).dataset)


@pytest.mark.parametrize("notes", both(), ids=["records", "table"])
def test_a_set_of_notes_is_a_sequence_of_records(notes):
    assert len(notes) == 3
    assert list(notes) == RECORDS
    assert (notes[1], notes[-1]) == (RECORDS[1], RECORDS[2])
    assert isinstance(notes[:2], Notes)
    assert list(notes[::-1]) == RECORDS[::-1]
    assert list(notes.select([2, 0])) == [RECORDS[2], RECORDS[0]]
    assert list(notes.filter(lambda note: note.label is not None)) == [RECORDS[0], RECORDS[2]]
    assert notes["label"] == ["ill", None, "well"]
    assert notes["codes"] == [None, ("R05",), None]
    assert RECORDS[0] in notes
    with pytest.raises(IndexError):
        notes[3]
    with pytest.raises(NoteError, match=r"no field 'lable'; allowed: \['note_id'"):
        notes["lable"]


@pytest.mark.parametrize("notes", both(), ids=["records", "table"])
def test_what_is_shown_counts_and_has_no_text(notes):
    assert repr(notes) == "Notes(3 notes of 2 patients; annotated: label 2, codes 1, spans 1)"
    assert repr(notes[1:2]) == "Notes(1 notes of 1 patients; annotated: codes 1)"
    shown = notes._repr_html_()
    assert "<tr><th>patients</th><td>2</td></tr>" in shown
    assert "SECRET" not in repr(notes) + shown


@pytest.mark.parametrize("notes", both(), ids=["records", "table"])
def test_the_table_is_at_hand(notes):
    assert isinstance(notes.dataset, Dataset)
    frame = notes.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(NOTE_FIELDS)
    assert list(frame["note_id"]) == ["a", "b", "c"]


def test_records_are_made_once_however_often_they_are_asked_for(monkeypatch):
    notes = both()[1]
    made = []
    original = notes_module.row_to_note
    monkeypatch.setattr(notes_module, "row_to_note", lambda row: made.append(0) or original(row))
    first = as_notes(notes)
    assert as_notes(notes) is first
    assert as_notes(notes[1:]) == first[1:]
    assert len(made) == 3


def test_a_stream_holds_a_batch_at_a_time(monkeypatch):
    monkeypatch.setattr(notes_module, "BATCH_NOTES", 2)
    notes = both()[1]
    made = []
    original = notes_module.row_to_note
    monkeypatch.setattr(notes_module, "row_to_note", lambda row: made.append(0) or original(row))
    stream = each_note(notes)
    next(stream)
    assert len(made) == 1
    assert list(stream) == RECORDS[1:]
    assert list(each_note(notes.dataset)) == RECORDS
    assert [note.text for note in each_note(["one", "two"])] == ["one", "two"]


def test_what_is_no_set_of_notes_is_refused():
    with pytest.raises(NoteError, match=r"lacks the columns .*read_notes\(dataset, columns"):
        Notes(Dataset.from_dict({"body": ["SECRET"]}))
    with pytest.raises(NoteError, match="1 occur more than once"):
        Notes([RECORDS[0], RECORDS[0]])


@given(st.lists(st.integers(0, 39), unique=True), st.slices(40))
@settings(deadline=None, max_examples=40)
def test_selections_are_those_of_a_list(positions, part):
    notes = Notes(GENERATED.dataset)
    records = list(GENERATED)
    assert list(notes.select(positions)) == [records[i] for i in positions]
    assert list(notes[part]) == records[part]


GENERATED = generate_notes(40, seed=3, words=(8, 48))


def test_blank_patients_are_not_one_patient():
    blank = [Note("x", "x", patient_id=""), Note("y", "y", patient_id=" "), RECORDS[0]]
    table = Notes(blank).dataset.map(lambda row: {"patient_id": row["patient_id"] or ""})
    for notes in (Notes(blank), Notes(table)):
        assert notes["patient_id"] == [None, None, "p1"]
        assert [note.patient_id for note in notes] == [None, None, "p1"]
        assert notes.counts()["patients"] == 1
    assert [note.patient_id for note in as_notes(blank)] == [None, None, "p1"]


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (Note(3, "SECRET"), "note '3': note_id of type int; allowed: a string"),
        (Note("n", 5), "note 'n': text of type int; allowed: a string"),
        (Note("n", "SECRET", patient_id=7), "patient_id of type int; allowed: a string or None"),
        (Note("n", "SECRET", label=["ill"]), "label of type list"),
        (Note("n", "SECRET", codes="I10"), "codes of type str; allowed: a tuple of str, or None"),
        (Note("n", "SECRET", codes=(401.9,)), "codes with float inside"),
        (Note("n", "SECRET", spans=((0, 6, "S"),)), "spans with tuple inside"),
    ],
)
def test_notes_made_by_hand_with_fields_of_another_type_are_refused_by_name(note, message):
    for made in (Notes, as_notes):
        with pytest.raises(NoteError, match=message) as caught:
            made([RECORDS[0], note])
        assert "SECRET" not in str(caught.value)
