import json

import pytest

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.guessing import guess_format
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError
from clinical_tl.schema import Note, Relation, Span

SECRET = "Quartermaine"
TEXT = "No 😀 fever, took aspirin."


def annotation(number, start, end, cui, **more):
    return {
        "id": number,
        "user": "admin",
        "cui": cui,
        "value": TEXT[start:end],
        "start": start,
        "end": end,
        "validated": True,
        "correct": True,
        "deleted": False,
        "alternative": False,
        "killed": False,
        "manually_created": False,
        "acc": 1.0,
        "meta_anns": [],
        **more,
    }


def document(number, *annotations, text=TEXT, **more):
    return {"id": number, "name": f"d{number}", "text": text, "annotations": [*annotations], **more}


def export(path, *documents, indent=None):
    project = {"name": "p", "id": 3, "cuis": "", "documents": list(documents)}
    path.write_text(json.dumps({"projects": [project]}, indent=indent), encoding="utf-8")
    return path


@pytest.mark.parametrize("indent", [None, 2])
def test_what_annotators_left_is_read_and_the_rest_is_counted(tmp_path, indent, caplog):
    meta = [{"name": "Time", "value": "Now", "acc": 1.0, "validated": True}]
    path = export(
        tmp_path / "MedCAT_Export_With_Text.json",
        document(
            7,
            annotation(1, 5, 10, "S-1", meta_anns=meta),
            annotation(2, 17, 24, "S-2", correct=False, manually_created=True),
            annotation(3, 5, 10, "S-3", correct=False, deleted=True),
            annotation(4, 5, 10, "S-3", correct=False, killed=True),
            annotation(5, 5, 10, "S-3", validated=False),
        ),
        document(8, text="Well."),
        indent=indent,
    )
    assert guess_format(File.at(path)).name == "medcat"
    assert list(read_notes(path)) == [
        Note(
            "7",
            TEXT,
            spans=(
                Span(5, 10, "Concept", id="1", concepts=("S-1",), attributes=(("Time", "Now"),)),
                Span(17, 24, "Concept", id="2", concepts=("S-2",)),
            ),
        ),
        Note("8", "Well.", spans=()),
    ]
    for what in ("deleted", "killed", "not validated"):
        assert f"1 annotations that are {what}" in caplog.text


def test_newer_exports_have_meta_annotations_by_name_and_relations(tmp_path, caplog):
    newer = {"Time": {"name": "Time", "value": "Past", "acc": 1, "validated": True}}
    links = [
        {"start_entity": 1, "end_entity": 2, "relation": "with", "start_entity_cui": "S-1"},
        {"start_entity": 1, "end_entity": 3, "relation": "with"},
    ]
    path = export(
        tmp_path / "a.json",
        document(
            7,
            annotation(1, 5, 10, "S-1", meta_anns=newer),
            annotation(2, 17, 24, "S-2"),
            annotation(3, 17, 24, "S-2", deleted=True),
            relations=links,
        ),
    )
    (note,) = read_notes(path, columns={"note_id": "name"}, metadata_columns=["project"])
    assert (note.note_id, note.metadata) == ("d7", {"project": "p"})
    assert note.spans[0].attributes == (("Time", "Past"),)
    assert note.relations == (Relation("1", "2", "with"),)
    assert "1 relations of annotations that are no mentions" in caplog.text


def test_offsets_in_units_of_utf16_are_known_by_the_values(tmp_path):
    moved = [
        annotation(1, 5, 10, "S-1") | {"start": 6, "end": 11},
        annotation(2, 17, 24, "S-2") | {"start": 18, "end": 25},
    ]
    (note,) = read_notes(export(tmp_path / "a.json", document(1, *moved)))
    assert [TEXT[s.start : s.end] for s in note.spans] == ["fever", "aspirin"]


def test_an_export_without_text_is_named(tmp_path):
    without = {"id": 1, "name": "x", "annotations": []}
    with pytest.raises(FaultyNotesError, match=r"a document without its text; .* export with text"):
        read_notes(export(tmp_path / "a.json", without))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (document(2, annotation(1, 5, 10, None), text=TEXT), "a concept is missing"),
        (document(2, annotation(1, 5, 99, "S")), "offsets 5–99"),
        (document(2, text=SECRET) | {"annotations": SECRET}, "annotations that are no list"),
    ],
)
def test_faults_are_of_their_document_and_without_text(tmp_path, wrong, message):
    path = export(tmp_path / "a.json", document(1), wrong)
    with pytest.raises(FaultyNotesError, match=message) as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1
    assert SECRET not in str(caught.value)
    assert read_notes(path, on_error="skip")["note_id"] == ["1"]
