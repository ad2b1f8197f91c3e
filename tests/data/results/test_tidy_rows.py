import json

import pytest

from clinical_tl.data.notes import Notes
from clinical_tl.data.results.tidy_rows import SAID, TidyRows
from clinical_tl.schema import Note, Prediction, ScoredRelation, Span

TEXT = "Metformin for diabetes."


def rows(said, note=None, *, text=False):
    tidy = TidyRows(None if note is None else Notes([note]), text=text)
    found = list(tidy.of(said, note))
    assert all(list(row) == list(tidy.columns) for row in found)
    return [{name: cell for name, cell in row.items() if cell is not None} for row in found]


def test_each_thing_that_is_said_has_a_row():
    mention = Span(
        *(0, 22, "Drug"),
        concepts=("C1", "C2"),
        attributes=(("negation", "true"), ("source", "rules")),
        fragments=((0, 9), (14, 22)),
        score=0.5,
    )
    said = Prediction(
        "a",
        label="ward",
        codes=("I10", "XYZ"),
        spans=(mention,),
        scores={"ward": 0.75, "I10": 0.25},
        evidence={"I10": (Span(14, 22, "I10"), Span(0, 9, "I10"))},
        relations=(ScoredRelation("T1", "T2", "treats", 1.0),),
        novelty=2.0,
    )
    about = {"note_id": "a", "novelty": 2.0}
    assert rows(said) == [
        about | {"kind": "class", "label": "ward", "score": 0.75},
        about
        | {
            "kind": "code",
            "code": "I10",
            "title": "Essential (primary) hypertension",
            "score": 0.25,
            "evidence": "[[14, 22], [0, 9]]",
        },
        about | {"kind": "code", "code": "XYZ"},
        about
        | {
            "kind": "mention",
            "label": "Drug",
            "start": 0,
            "end": 22,
            "score": 0.5,
            "fragments": "[[0, 9], [14, 22]]",
            "concepts": "C1; C2",
            "attributes": "negation=true; source=rules",
        },
        about | {"kind": "relation", "head": "T1", "tail": "T2", "label": "treats", "score": 1.0},
    ]


@pytest.mark.parametrize(
    "said",
    [Prediction("a"), Prediction("a", codes=()), Prediction("a", spans=(), scores={"x": 0.5})],
)
def test_a_note_of_which_nothing_is_said_has_a_row(said):
    assert rows(said) == [{"note_id": "a", "kind": "nothing"}]


def test_text_is_there_only_where_it_is_asked_for():
    note = Note("a", TEXT)
    said = Prediction(
        "a",
        codes=("E11.9",),
        spans=(Span(0, 9, "Drug"), Span(0, 22, "Pair", fragments=((0, 9), (14, 22)))),
        evidence={"E11.9": (Span(14, 22, "E11.9"),)},
    )
    assert [row.get("text") for row in rows(said, note)] == [None] * 3
    assert [row["text"] for row in rows(said, note, text=True)] == [
        "diabetes",
        "Metformin",
        "Metformin … diabetes",
    ]


def test_columns_depend_on_the_notes_and_not_on_what_is_said():
    notes = Notes(
        [
            Note("a", TEXT, "p1", metadata={"age": 71, "sex": "f", "dose": 1, "odd": 1}),
            Note("b", TEXT, metadata={"day": {"d": 1}, "dose": 0.5, "odd": "x", "icu": True}),
            Note("c", TEXT, metadata={"number": 10**16, "nothing": None, "bad": float("nan")}),
        ]
    )
    tidy = TidyRows(notes, text=False)
    types = {
        "age": int,
        "sex": str,
        "dose": float,
        "odd": str,
        "day": str,
        "icu": bool,
        "number": str,
        "nothing": str,
        "bad": float,
    }
    assert tidy.columns == {"note_id": str, "patient_id": str, **types, **SAID}
    assert list(TidyRows(None, text=True).columns) == ["note_id", *SAID, "text"]
    found = [next(tidy.of(Prediction(note.note_id), note)) for note in notes]
    assert [row["patient_id"] for row in found] == ["p1", None, None]
    assert [row["odd"] for row in found] == ["1", "x", None]
    assert [row["dose"] for row in found] == [1.0, 0.5, None]
    assert json.loads(found[1]["day"]) == {"d": 1}
    assert found[2]["number"] == "1" + "0" * 16
    assert found[2]["bad"] is None


def test_metadata_does_not_hide_what_is_said():
    note = Note(
        "a", TEXT, metadata={"score": 3, "metadata.score": 4, "text": "t", "kind": "letter"}
    )
    (row,) = rows(Prediction("a", label="ward", scores={"ward": 0.5}), note)
    assert row == {
        "note_id": "a",
        "metadata.metadata.score": 3,
        "metadata.score": 4,
        "metadata.text": "t",
        "metadata.kind": "letter",
        "kind": "class",
        "label": "ward",
        "score": 0.5,
    }
