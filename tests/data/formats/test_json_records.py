"""JSON over several lines, values that hold several notes, and what no format may claim."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.guessing import guess_format
from clinical_tl.data.formats.known import FORMATS
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ClinicalTLError, ConfigError, FaultyNotesError
from clinical_tl.schema import Note
from tests.data.formats import test_bigbio as bigbio
from tests.data.formats import test_fhir as fhir
from tests.data.formats import test_label_studio as studio
from tests.data.formats import test_mdace as mdace
from tests.data.formats import test_medcat as medcat
from tests.data.formats import test_prodigy as prodigy
from tests.data.formats import test_spacy_json as spacy

SECRET = "Quartermaine was seen for chest pain"
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


ENTITY = {"id": 1, "label": "A", "start_offset": 0, "end_offset": 2}
LINK = {"from_id": 1, "to_id": 1, "type": "x"}
META = [{"name": "a", "value": "b"}]
WHOLE = {
    "bigbio": ("json_lines", bigbio.record()),
    "tokens": ("json_lines", {"id": 1, "tokens": ["a", "b"], "tags": ["O", "B-x"]}),
    "doccano": (
        "doccano",
        {"text": "abc", "entities": [ENTITY], "relations": [LINK], "cats": ["a"], "Comments": []},
    ),
    "label_studio": (
        "label_studio",
        studio.task(
            1,
            studio.annotation(
                studio.FEVER,
                studio.choice("x"),
                studio.choice("no", control="sure", start=5, end=10) | {"id": "a"},
                {"type": "relation", "from_id": "a", "to_id": "a", "labels": ["l"]},
            ),
        ),
    ),
    "flat": ("label_studio", studio.flat(1, studio.FEVER, kind={"choices": ["a"]})),
    "prodigy": (
        "prodigy",
        prodigy.task(
            "a fever",
            spans=[{"token_start": 1, "token_end": 1, "label": "S"}],
            relations=[{"head": 1, "child": 1, "label": "t"}],
            accept=["A"],
        ),
    ),
    "gliner": ("gliner", {"tokenized_text": ["a", "b"], "ner": [[0, 1, "x"]]}),
    "tuple": ("spacy_json", spacy.TUPLE),
    "document": ("spacy_json", {"id": 1, "paragraphs": [spacy.paragraph("took acetyl acid.")]}),
    "medcat": (
        "medcat",
        {
            "projects": [
                {
                    "documents": [
                        medcat.document(1, medcat.annotation(1, 5, 10, "S", meta_anns=META))
                    ]
                }
            ]
        },
    ),
    "mdace": (
        "mdace",
        {"hadm_id": 1, "notes": [mdace.note(5, mdace.evidence(0, 8, "I"), text=mdace.TEXT)]},
    ),
    "fhir": ("fhir", fhir.resource(1, fhir.attachment())),
}


def changed(value, odd):
    """The value with one thing in it, each in turn, replaced by the odd one."""
    yield odd
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: other} for other in changed(inner, odd))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from ([*value[:i], other, *value[i + 1 :]] for other in changed(inner, odd))


@pytest.mark.parametrize("odd", [None, -1, [SECRET], {SECRET: [1]}], ids=range(4))
@pytest.mark.parametrize("name", WHOLE)
def test_whatever_stands_in_a_record_is_told_as_its_own_fault(tmp_path, name, odd):
    known, whole = WHOLE[name]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(whole) + "\n" + json.dumps(whole) + "\n", encoding="utf-8")
    assert len(read_notes(path, format=known, duplicates="number")) == 2
    for record in changed(whole, odd):
        path.write_text(json.dumps(record) + "\n" + json.dumps(whole) + "\n", encoding="utf-8")
        try:
            read_notes(path, format=known, duplicates="number")
        except ClinicalTLError as error:
            told = str(error)
            # These would be the last resort, of a cause that nobody thought of.
            assert "breaks off" not in told
            assert "a record that can't be read" not in told
            assert SECRET not in told


LISTED = [{"note_id": "1", "text": "took aspirin"}, {"note_id": "2", "text": "no [meds], {none}"}]


@pytest.mark.parametrize("indent", [None, 0, 1, "\t"])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_list_of_records_is_read_as_its_lines_would_be(tmp_path, indent, name):
    path = tmp_path / name
    path.write_text(json.dumps(LISTED, indent=indent), encoding="utf-8")
    assert read_notes(path)["text"] == [record["text"] for record in LISTED]


NUL_FREE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@given(st.lists(NUL_FREE.filter(str.strip), min_size=1, max_size=5))
def test_any_text_survives_in_a_list(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("list") / "a.json"
    records = [{"note_id": str(i), "text": text} for i, text in enumerate(texts)]
    path.write_text(json.dumps(records, indent=1), encoding="utf-8")
    assert read_notes(path)["text"] == texts


def test_a_fault_of_an_item_names_its_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([*LISTED, {"note_id": "3"}, 5], indent=1), encoding="utf-8")
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(path)
    assert [fault.where for fault in caught.value.faults] == ["a.json:10", "a.json:13"]
    assert read_notes(path, on_error="skip")["note_id"] == ["1", "2"]


@pytest.mark.parametrize("end", ["", ",", ", {", "] []", '], "x"', ', {"a": NaN}]', "\0]"])
def test_a_list_that_is_broken_is_refused_whole(tmp_path, end):
    path = tmp_path / "a.json"
    text = json.dumps(LISTED, indent=1).rstrip().removesuffix("]")
    path.write_text(text + end, encoding="utf-8")
    for on_error in ("raise", "skip"):
        with pytest.raises(FaultyNotesError, match=r"a\.json:\d+: a "):
            read_notes(path, on_error=on_error)


def test_an_empty_list_has_no_note(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[\n]\n", encoding="utf-8")
    with pytest.raises(FaultyNotesError, match="no note at all"):
        read_notes(path, format="json_lines")


def test_a_list_in_each_line_is_no_list_of_records(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('["a"]\n["b"]\n', encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"a\.jsonl:2: a JSON list"):
        read_notes(path)
