"""Fields below the top level: dotted paths, and the keys of mentions and relations."""

import json

import pandas as pd
import pytest
from datasets import Dataset

from clinical_tl.data.formats.nesting import look_up, rows_of
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note, Relation, Span

RECORD = {
    "data": {"text": "took aspirin", "info": {"nr": 7}, "kind": "a"},
    "entities": [{"from": 5, "to": 12, "type": {"name": "Drug"}, "said": "aspirin", "nr": 3}],
    "links": [{"a": 3, "b": 3, "kind": "same"}],
}
COLUMNS = {
    "note_id": "data.info.nr",
    "text": "data.text",
    "label": "data.kind",
    "spans": "entities",
    "spans.start": "from",
    "spans.end": "to",
    "spans.label": "type.name",
    "spans.text": "said",
    "spans.id": "nr",
    "relations": "links",
    "relations.head": "a",
    "relations.tail": "b",
    "relations.label": "kind",
}
NOTE = Note(
    "7",
    "took aspirin",
    label="a",
    spans=(Span(5, 12, "Drug", id="3"),),
    relations=(Relation("3", "3", "same"),),
)


def test_any_source_of_records_can_be_mapped(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([RECORD]), encoding="utf-8")
    assert list(read_notes(path, format="json_lines", columns=COLUMNS)) == [NOTE]
    pd.DataFrame([RECORD]).to_parquet(tmp_path / "a.parquet")
    for source in ([RECORD], pd.DataFrame([RECORD]), Dataset.from_list([RECORD])):
        assert list(read_notes(source, columns=COLUMNS)) == [NOTE]
    assert list(read_notes(tmp_path / "a.parquet", columns=COLUMNS)) == [NOTE]


def test_a_quotation_that_does_not_fit_is_a_fault_and_can_be_left_out():
    record = json.loads(json.dumps(RECORD))
    record["entities"][0]["said"] = "ASPIRIN"
    with pytest.raises(FaultyNotesError, match="do not cover the quoted mention"):
        read_notes([record], columns=COLUMNS)
    assert list(read_notes([record], columns={**COLUMNS, "spans.text": None})) == [NOTE]


def test_mentions_as_lists_and_a_single_concept():
    records = [
        {"note_id": "1", "text": "took aspirin", "spans": [[5, 12, "Drug"]]},
        {
            "note_id": "2",
            "text": "took aspirin",
            "spans": [{"start": 5, "end": 12, "label": "Drug", "cui": "C1"}],
        },
    ]
    first, second = read_notes(records, columns={"spans.concepts": "cui"})
    assert first.spans == (Span(5, 12, "Drug"),)
    assert second.spans == (Span(5, 12, "Drug", concepts=("C1",)),)


def test_an_object_of_lists_is_a_list_of_objects():
    spans = {"start": [0, 5], "end": [4, 12], "label": ["Verb", "Drug"]}
    (note,) = read_notes([{"note_id": "1", "text": "took aspirin", "spans": spans}])
    assert note.spans == (Span(0, 4, "Verb"), Span(5, 12, "Drug"))
    assert rows_of({"a": [1], "b": [1, 2]}) == {"a": [1], "b": [1, 2]}


def test_what_a_path_finds():
    record = {"a.b": 1, "a": {"b": 2, "c": None, "d": [{"e": 3}], "f.g": {"h": 4}}}
    assert look_up(record, "a.b") == (True, 1)
    assert look_up(record, "a.c.x") == (True, None)
    assert look_up(record, "a.d.0.e") == (True, 3)
    assert look_up(record, "a.f.g.h") == (True, 4)
    assert look_up(record, "a.d.1.e") == (False, None)
    assert look_up(record, "b") == (False, None)


def test_metadata_may_lie_deeper():
    (note,) = read_notes([RECORD], columns=COLUMNS, metadata_columns=["data.info"])
    assert note.metadata == {"data.info": {"nr": 7}}


def test_what_is_not_there_is_named():
    with pytest.raises(FaultyNotesError, match=r"records:1: no column 'data.body'"):
        read_notes([RECORD], columns={**COLUMNS, "text": "data.body"})
    with pytest.raises(FaultyNotesError, match="span 0: start is missing"):
        read_notes([RECORD], columns={**COLUMNS, "spans.start": "frm"})
    with pytest.raises(FaultyNotesError, match=r"do not include 'dat\.text'"):
        read_notes(pd.DataFrame([RECORD]).pipe(Dataset.from_pandas), columns={"text": "dat.text"})
    with pytest.raises(ConfigError, match="unknown fields"):
        read_notes([RECORD], columns={"spans.begin": "from"})
