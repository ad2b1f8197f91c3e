import json

import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError
from clinical_tl.schema import Note, Span

TEXT = "Bleeding of the brain. Bleeding again."


def evidence(begin, end, code, system="ICD-10-CM"):
    return {"begin": begin, "end": end, "code": code, "code_system": system, "type": "Human"}


def admission(path, *notes, number=100):
    path.write_text(json.dumps({"hadm_id": number, "comment": "", "notes": notes}, indent=2))
    return path


def note(number, *annotations, **more):
    return {
        "note_id": number,
        "category": "Discharge summary",
        "description": "Report",
        "annotations": list(annotations),
        **more,
    }


def test_a_folder_of_admissions_with_texts(tmp_path):
    admission(
        tmp_path / "100-ICD-10.json",
        note(5, evidence(0, 8, "I61.8"), evidence(23, 31, "I61.8"), text=TEXT),
        note(6, text="Well."),
    )
    admission(
        tmp_path / "101-ICD-10.json",
        note(7, evidence(16, 21, "0W91", "ICD-10-PCS"), text=TEXT),
        number=101,
    )
    notes = list(read_notes(tmp_path, metadata_columns=["hadm_id"]))
    assert notes == [
        Note(
            "5",
            TEXT,
            codes=("I61.8",),
            spans=(
                Span(0, 8, "ICD-10-CM", concepts=("I61.8",)),
                Span(23, 31, "ICD-10-CM", concepts=("I61.8",)),
            ),
            metadata={"hadm_id": 100},
        ),
        Note("6", "Well.", codes=(), spans=(), metadata={"hadm_id": 100}),
        Note(
            "7",
            TEXT,
            codes=("0W91",),
            spans=(Span(16, 21, "ICD-10-PCS", concepts=("0W91",)),),
            metadata={"hadm_id": 101},
        ),
    ]


def test_without_the_texts_it_says_where_they_are(tmp_path):
    path = admission(tmp_path / "100-ICD-10.json", note(5, evidence(0, 8, "I61.8")))
    with pytest.raises(FaultyNotesError, match=r"a note of MDACE without its text; .*NOTEEVENTS"):
        read_notes(path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (note(5, evidence(0, 99, "I61.8"), text=TEXT), "offsets 0–99"),
        (note(5, text=TEXT) | {"annotations": TEXT}, "annotations that are no list"),
    ],
)
def test_faults_have_no_text(tmp_path, wrong, message):
    path = admission(tmp_path / "a.json", note(4, text=TEXT), wrong)
    with pytest.raises(FaultyNotesError, match=message) as caught:
        read_notes(path)
    assert TEXT not in str(caught.value)
    assert read_notes(path, on_error="skip")["note_id"] == ["4"]
