"""spaCy 2's tuples and training JSON; of the latter spaCy itself gives the second count."""

import json

import pytest
from spacy.training.converters import json_to_docs

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.guessing import guess_format
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note, Span

SECRET = "Quartermaine"
TEXT = "No 😀 fever, took aspirin."
TUPLE = [TEXT, {"entities": [[5, 10, "Sign"], [17, 24, "Drug", "C1"]]}]
SPANS = (Span(5, 10, "Sign"), Span(17, 24, "Drug", concepts=("C1",)))


def test_tuples_in_one_list_or_one_a_line(tmp_path):
    records = [TUPLE, ["Well.", {"entities": []}], ["Unseen.", {"cats": {}}]]
    expected = [
        Note("a-1", TEXT, spans=SPANS),
        Note("a-2", "Well.", spans=()),
        Note("a-3", "Unseen."),
    ]
    for name, content in (
        ("a.json", json.dumps(records)),
        ("a.json", json.dumps(records, indent=2)),
        ("a.jsonl", "".join(json.dumps(record) + "\n" for record in records)),
    ):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        assert guess_format(File.at(path)).name == "spacy_json"
        assert list(read_notes(path)) == expected


def test_categories_of_tuples(tmp_path):
    path = tmp_path / "a.json"
    records = [["a", {"cats": {"x": 1.0, "y": 0.0}}], ["b", {"cats": {"x": 0, "y": 0}}]]
    path.write_text(json.dumps(records), encoding="utf-8")
    assert read_notes(path)["label"] == ["x", None]
    assert read_notes(path, cats="codes")["codes"] == [("x",), ()]
    records[1][1]["cats"] = {"x": 1, "y": True}
    path.write_text(json.dumps(records), encoding="utf-8")
    assert read_notes(path)["codes"] == [("x",), ("x", "y")]
    with pytest.raises(ConfigError, match="cats='all'"):
        read_notes(path, cats="all")


def token(word, tag):
    return {"orth": word, "tag": "-", "dep": "-", "head": 0, "ner": tag}


def paragraph(raw=None, tags=("O", "B-Drug", "L-Drug", "O")):
    words = ("took", "acetyl", "acid", ".")
    tokens = [{"id": i, **token(w, t)} for i, (w, t) in enumerate(zip(words, tags, strict=True))]
    own = {} if raw is None else {"raw": raw}
    return {**own, "sentences": [{"tokens": tokens, "brackets": []}], "cats": []}


def test_the_training_json(tmp_path):
    documents = [
        {"id": 0, "paragraphs": [paragraph("took acetyl  acid."), paragraph()]},
        {"id": 7, "paragraphs": [paragraph("took acetyl acid.", ["O", "O", "U-Sign", "O"])]},
        {"id": 8, "paragraphs": [paragraph("took acetyl acid.", ["-"] * 4)]},
    ]
    content = json.dumps(documents)
    path = tmp_path / "train.json"
    path.write_text(content, encoding="utf-8")
    assert guess_format(File.at(path)).name == "spacy_json"
    notes = list(read_notes(path))
    assert [(note.note_id, note.text) for note in notes] == [
        ("0-1", "took acetyl  acid."),
        ("0-2", "took acetyl acid ."),
        ("7", "took acetyl acid."),
        ("8", "took acetyl acid."),
    ]
    assert notes[3].spans is None
    theirs = [[(e.text.split(), e.label_) for e in doc.ents] for doc in json_to_docs(content)]
    ours = [[(n.text[s.start : s.end].split(), s.label) for s in n.spans or ()] for n in notes]
    assert ours == theirs


def test_sentences_without_raw_text_stand_in_lines(tmp_path):
    sentences = [
        {"tokens": [token("No", "O"), token("fever", "U-S")]},
        {"tokens": [token("ok", "O")]},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"id": 1, "paragraphs": [{"sentences": sentences}]}]), "utf-8")
    assert list(read_notes(path)) == [Note("1", "No fever\nok", spans=(Span(3, 8, "S"),))]


def test_tokens_without_a_tag_are_counted(tmp_path, caplog):
    path = tmp_path / "a.json"
    document = {"id": 1, "paragraphs": [paragraph(None, ["-", "U-D", "-", "O"])]}
    path.write_text(json.dumps([document]), encoding="utf-8")
    (note,) = read_notes(path)
    assert len(note.spans) == 1
    assert "2 tokens without a tag beside others" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([SECRET, {"entities": [[0, 99, "X"]]}], "offsets 0–99"),
        ([SECRET, {"entities": SECRET}], "entities that are no list"),
        ([SECRET], "neither a tuple nor a document"),
        ({"text": SECRET}, "neither a tuple nor a document"),
        ({"paragraphs": [SECRET]}, "a paragraph that is no object"),
        ({"id": 3, "paragraphs": [paragraph(SECRET)]}, "tokens that do not make up the raw text"),
        (
            {"id": 3, "paragraphs": [paragraph(None, ["O", "B-D", "O", "O"])]},
            r"token 1: a mention that is not closed.*BILOU",
        ),
    ],
)
def test_faults_have_their_place_and_no_text(tmp_path, wrong, message):
    path = tmp_path / "a.json"
    path.write_text(f"[{json.dumps(TUPLE)},\n{json.dumps(wrong)}]", encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=message) as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1
    assert "a.json:2" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert read_notes(path, on_error="skip")["note_id"] == ["a-1"]
