import json

import pytest

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.guessing import guess_format
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError
from clinical_tl.schema import Note, Span

SECRET = "Quartermaine"
WORDS = ["took", "acetyl", "acid", "😀", "today"]


def lines(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def test_token_indexes_are_inclusive_and_lists_will_do(tmp_path):
    records = [
        {"tokenized_text": WORDS, "ner": [[1, 2, "drug name"], [4, 4, "time"]]},
        {"tokenized_text": ["well"], "ner": []},
        {"tokenized_text": list("高血压"), "ner": [[0, 2, "病"]], "id": "z"},
        {"tokenized_text": ["unseen"]},
    ]
    notes = list(read_notes(lines(tmp_path / "train.jsonl", *records)))
    assert notes == [
        Note("train-1", " ".join(WORDS), spans=(Span(5, 16, "drug name"), Span(19, 24, "time"))),
        Note("train-2", "well", spans=()),
        Note("train-3", "高血压", spans=(Span(0, 3, "病"),)),
        Note("train-4", "unseen"),
    ]
    for record, note in zip(records, notes, strict=True):
        said = [" ".join(record["tokenized_text"][a : b + 1]) for a, b, _ in record.get("ner", ())]
        assert [note.text[s.start : s.end] for s in note.spans or ()] == [
            s if note.note_id != "train-3" else s.replace(" ", "") for s in said
        ]
    path = tmp_path / "train.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    assert guess_format(File.at(path)).name == "gliner"
    assert list(read_notes(path)) == notes
    assert read_notes(path, columns={"note_id": "id"}, on_error="skip")["note_id"] == ["z"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokenized_text": [SECRET], "ner": [[0, 1, "x"]]}, "tokens 0–1 of 1"),
        ({"tokenized_text": [SECRET], "ner": [["0", 1, "x"]]}, "ner that is no list of mentions"),
        ({"tokenized_text": [SECRET], "ner": SECRET}, "ner that is no list of mentions"),
        ({"tokenized_text": SECRET, "ner": []}, "tokenized_text that is no list of words"),
        ({"tokenized_text": [], "ner": []}, "tokenized_text that is no list of words"),
    ],
)
def test_faults_have_their_place_and_no_text(tmp_path, record, message):
    sound = {"tokenized_text": ["well"], "ner": []}
    path = lines(tmp_path / "a.jsonl", sound, record)
    with pytest.raises(FaultyNotesError, match=f"a.jsonl:2: {message}") as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1
    assert SECRET not in str(caught.value)
    assert read_notes(path, on_error="skip")["note_id"] == ["a-1"]
