"""JSON over several lines, values that hold several notes, and what no format may claim."""

import json

import pytest

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.guessing import guess_format
from clinical_tl.data.formats.known import FORMATS
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note

SECRET = "Quartermaine"
RECORDS = [{"note_id": str(i), "text": f"text {i}"} for i in (1, 2)]
NOTES = [Note("1", "text 1"), Note("2", "text 2")]


@pytest.mark.parametrize("indent", [None, 0, 1, "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_objects_may_go_over_several_lines(tmp_path, indent, mark):
    path = tmp_path / "a.json"
    content = "\n".join(json.dumps(record, indent=indent) for record in RECORDS)
    path.write_text(mark + content, encoding="utf-8")
    assert list(read_notes(path)) == NOTES
    path.write_text(mark + json.dumps(RECORDS[0], indent=indent), encoding="utf-8")
    assert list(read_notes(path)) == NOTES[:1]


def test_faults_of_objects_have_the_line_in_which_they_begin(tmp_path):
    path = tmp_path / "a.json"
    whole, twice = json.dumps(RECORDS[0], indent=1), json.dumps({"note_id": SECRET * 9}, indent=1)
    path.write_text(f"{whole}\n\n{twice}\n", encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"a.json:6: no column 'text'"):
        read_notes(path)
    path.write_text(f'{whole}\n{{\n "text": "{SECRET}\n', encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"a.json:5: a JSON object that is broken") as caught:
        read_notes(path)
    assert SECRET not in str(caught.value)
    # Which of the notes after it are lost is not known.
    with pytest.raises(FaultyNotesError, match=r"a.json:5"):
        read_notes(path, on_error="skip")


def test_a_first_line_that_breaks_off_spoils_no_other_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"note_id": "0",\n' + json.dumps(RECORDS[0]) + "\n", encoding="utf-8")
    assert list(read_notes(path, on_error="skip")) == NOTES[:1]


MENTION = {"start": 0, "end": 1, "label": "x"}
LOOKS = {
    "json_lines": [
        {"note_id": "1", "text": "a", "spans": [MENTION]},
        {"note_id": "1", "text": "a", "label": "b", "codes": ["c"]},
        {"tokens": ["a"], "ner_tags": [0]},
        {"document_id": "1", "passages": [], "entities": []},
    ],
    "doccano": [
        {"id": 1, "text": "a", "label": [], "Comments": []},
        {"id": 1, "text": "a", "label": [[0, 1, "x"]]},
        {"id": 1, "text": "a", "entities": [{"id": 1, "start_offset": 0, "end_offset": 1}]},
    ],
    "label_studio": [
        {"id": 1, "data": {"text": "a"}, "annotations": []},
        {"id": 1, "data": {"text": "a"}, "predictions": []},
        {"text": "a", "annotator": 1, "annotation_id": 1, "lead_time": 1.0},
    ],
    "prodigy": [
        {"text": "a", "_input_hash": 1, "_task_hash": 1},
        {"text": "a", "answer": "accept", "spans": [MENTION]},
    ],
    "gliner": [{"tokenized_text": ["a"], "ner": []}],
    "spacy_json": [["a", {"entities": []}], {"id": 1, "paragraphs": [{"raw": "a"}]}],
    "mdace": [{"hadm_id": 1, "comment": "", "notes": [{"note_id": 1, "annotations": []}]}],
    "medcat": [{"projects": [{"name": "p", "documents": []}]}],
    "fhir": [{"resourceType": "DocumentReference", "id": "1"}, {"resourceType": "Bundle"}],
}
SEEN = [(name, record) for name, records in LOOKS.items() for record in records]


@pytest.mark.parametrize(("name", "record"), SEEN, ids=range(len(SEEN)))
def test_what_one_format_claims_no_other_does(tmp_path, name, record):
    path = tmp_path / "a.json"
    is_whole = name in ("mdace", "medcat", "fhir")
    path.write_text(json.dumps(record if is_whole else [record]), encoding="utf-8")
    claiming = [known.name for known in FORMATS.values() if known.looks(Sight.of(File.at(path)))]
    assert claiming == [name]


@pytest.mark.parametrize(
    "record",
    [
        {"id": 1, "text": "a"},
        {"text": "a", "label": "b"},
        {"text": "a", "label": ["b"]},
        {"data": {"text": "a"}},
        {"tokens": 7, "text": "a"},
        {"tokens": ["a"]},
        {"notes": []},
        {"resourceType": "Observation"},
        ["a", "b"],
        ["a", {}],
    ],
    ids=range(10),
)
def test_what_might_be_anything_is_claimed_by_none(tmp_path, record):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([record]), encoding="utf-8")
    with pytest.raises(ConfigError, match="which tells no format"):
        guess_format(File.at(path))
