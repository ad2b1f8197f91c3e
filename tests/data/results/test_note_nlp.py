from datetime import UTC, date, datetime

import pytest

from clinical_tl.data.results.note_nlp import LONGEST_TEXT, NOTE_NLP, note_nlp_rows
from clinical_tl.errors import NoteError, OutputError
from clinical_tl.schema import Note, Prediction, ScoredRelation, Span

TEXT = "Metformin for diabetes, no fever."
COLUMNS = [
    *("note_nlp_id", "note_id", "section_concept_id", "snippet", "offset", "lexical_variant"),
    *("note_nlp_concept_id", "note_nlp_source_concept_id", "nlp_system", "nlp_date"),
    *("nlp_datetime", "term_exists", "term_temporal", "term_modifiers"),
]


def rows(*said, text=False, notes=None):
    notes = [None] * len(said) if notes is None else notes
    return list(note_nlp_rows(zip(said, notes, strict=True), text=text))


def test_rows_have_the_columns_of_the_model_in_its_order(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    (row,) = rows(Prediction("12", spans=(Span(0, 9, "Drug", score=0.5),)))
    assert list(NOTE_NLP) == list(row) == COLUMNS
    assert row["note_nlp_id"] == 1
    assert row["note_id"] == 12
    assert row["offset"] == "0"
    assert row["nlp_date"] == date(1970, 1, 2)
    assert row["nlp_datetime"] == datetime(1970, 1, 2, tzinfo=UTC).replace(tzinfo=None)
    assert row["term_modifiers"] == "label=Drug; score=0.5000; end=9"
    assert row["nlp_system"].startswith("clinical_tl ")
    assert all(row[name] == 0 for name in COLUMNS if name.endswith("concept_id"))


def test_text_is_blank_unless_it_is_asked_for():
    said = Prediction("1", spans=(Span(0, 9, "Drug"), Span(27, 32, "Problem")))
    note = Note("1", TEXT)
    assert all(
        not row["snippet"] and not row["lexical_variant"] for row in rows(said, notes=[note])
    )
    found = rows(said, notes=[note], text=True)
    assert [row["lexical_variant"] for row in found] == ["Metformin", "fever"]
    assert [row["snippet"] for row in found] == [TEXT, TEXT]


def test_a_snippet_is_as_long_as_its_column_and_holds_the_term():
    text = "x" * 600 + "fever" + "y" * 600
    long = Span(0, 600, "Run")
    said = Prediction("1", spans=(Span(600, 605, "Problem"), long))
    first, second = rows(said, notes=[Note("1", text)], text=True)
    assert len(first["snippet"]) == len(second["snippet"]) == LONGEST_TEXT
    assert "fever" in first["snippet"]
    assert len(second["lexical_variant"]) == LONGEST_TEXT


def test_every_stretch_of_evidence_is_a_term_and_a_code_without_one_too():
    said = Prediction(
        "1",
        codes=("E11.9", "I10"),
        scores={"E11.9": 0.75},
        evidence={"E11.9": (Span(14, 22, "E11.9"), Span(0, 9, "E11.9"))},
    )
    found = rows(said, Prediction("2", label="ward", scores={"ward": 1.0}), Prediction("3"))
    assert [(row["note_nlp_id"], row["offset"], row["term_modifiers"]) for row in found] == [
        (1, "14", "code=E11.9; score=0.7500; end=22"),
        (2, "0", "code=E11.9; score=0.7500; end=9"),
        (3, None, "code=I10"),
        (4, None, "label=ward; score=1.0000"),
    ]


def test_attributes_say_whether_the_patient_has_it():
    spans = (
        Span(27, 32, "Problem", attributes=(("negation", "true"),), concepts=("C1",)),
        Span(0, 9, "Drug", attributes=(("historical", "true"),)),
        Span(14, 22, "Problem", attributes=(("negation", "false"),)),
    )
    found = rows(Prediction("1", spans=spans))
    assert [(row["term_exists"], row["term_temporal"]) for row in found] == [
        ("N", None),
        (None, "Past"),
        (None, None),
    ]
    assert found[0]["term_modifiers"] == "label=Problem; end=32; concept=C1; negation=true"


def test_relations_have_no_place_and_are_counted(caplog):
    assert rows(Prediction("1", relations=(ScoredRelation("T1", "T2", "treats", 0.5),))) == []
    assert "1 relations left out" in caplog.text


def test_what_the_model_has_no_room_for_is_refused():
    with pytest.raises(NoteError, match="note n1: the id is no whole number"):
        rows(Prediction("n1", label="ward"))
    attributes = (("remark", "x" * 2_000),)
    with pytest.raises(OutputError, match="term_modifiers holds 2,000"):
        rows(Prediction("1", spans=(Span(0, 9, "Drug", attributes=attributes),)))
