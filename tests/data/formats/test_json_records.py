import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError

RECORDS = [{"note_id": "1", "text": "took aspirin"}, {"note_id": "2", "text": "no [meds], {none}"}]


@pytest.mark.parametrize("indent", [None, 0, 1, "\t"])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_list_of_records_is_read_as_its_lines_would_be(tmp_path, indent, name):
    path = tmp_path / name
    path.write_text(json.dumps(RECORDS, indent=indent), encoding="utf-8")
    assert read_notes(path)["text"] == [record["text"] for record in RECORDS]


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5))
def test_any_text_survives_in_a_list(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("list") / "a.json"
    records = [{"note_id": str(i), "text": text} for i, text in enumerate(texts)]
    path.write_text(json.dumps(records, indent=1), encoding="utf-8")
    assert read_notes(path)["text"] == texts


def test_a_fault_of_an_item_names_its_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([*RECORDS, {"note_id": "3"}, 5], indent=1), encoding="utf-8")
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(path)
    assert [fault.where for fault in caught.value.faults] == ["a.json:10", "a.json:13"]
    assert read_notes(path, on_error="skip")["note_id"] == ["1", "2"]


@pytest.mark.parametrize("end", ["", ",", ", {", "] []", '], "x"', ', {"a": NaN}]', "\0]"])
def test_a_list_that_is_broken_is_refused_whole(tmp_path, end):
    path = tmp_path / "a.json"
    text = json.dumps(RECORDS, indent=1).rstrip().removesuffix("]")
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
