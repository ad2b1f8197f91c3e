"""BigBIO's schema, as records and as datasets."""

import json

import pytest
from datasets import Dataset

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError
from clinical_tl.schema import Note, Relation, Span

SECRET = "Quartermaine"


def record(**changes):
    return {
        "id": "0",
        "document_id": "d7",
        "passages": [
            {"id": "1", "type": "title", "text": ["Ague 😀."], "offsets": [[0, 7]]},
            {"id": "2", "type": "abstract", "text": ["Took aspirin."], "offsets": [[8, 21]]},
        ],
        "entities": [
            {
                "id": "3",
                "type": "Drug",
                "text": ["aspirin"],
                "offsets": [[13, 20]],
                "normalized": [{"db_name": "MESH", "db_id": "D001241"}],
            },
            {
                "id": "4",
                "type": "Sign",
                "text": ["Ague", "Took"],
                "offsets": [[0, 4], [8, 12]],
                "normalized": [],
            },
        ],
        "relations": [
            {"id": "9", "type": "treats", "arg1_id": "3", "arg2_id": "4", "normalized": []}
        ],
        "events": [],
        "coreferences": [],
        **changes,
    }


NOTE = Note(
    "d7",
    "Ague 😀. Took aspirin.",
    spans=(
        Span(13, 20, "Drug", id="3", concepts=("MESH:D001241",)),
        Span(0, 12, "Sign", id="4", fragments=((0, 4), (8, 12))),
    ),
    relations=(Relation("3", "4", "treats"),),
)


def test_it_is_known_by_its_look_in_every_source(tmp_path):
    assert list(read_notes([record()])) == [NOTE]
    assert list(read_notes(Dataset.from_list([record()]))) == [NOTE]
    (tmp_path / "a.json").write_text(json.dumps([record()], indent=1), encoding="utf-8")
    assert list(read_notes(tmp_path / "a.json")) == [NOTE]
    Dataset.from_list([record()]).to_parquet(tmp_path / "a.parquet")
    assert list(read_notes(tmp_path / "a.parquet")) == [NOTE]


def test_ids_can_be_chosen_and_events_are_counted(caplog):
    changed = record(coreferences=[{"id": "5", "entity_ids": ["3", "4"]}])
    (note,) = read_notes([changed], columns={"note_id": "id"}, metadata_columns=["document_id"])
    assert (note.note_id, note.metadata) == ("0", {"document_id": "d7"})
    assert "1 coreferences of BigBIO's schema" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"passages": [{"text": [SECRET], "offsets": [[0, 5]]}]}, "not as long as they are"),
        (
            {"passages": [{"text": [SECRET] * 2, "offsets": [[0, 12], [3, 15]]}]},
            "passages that overlap",
        ),
        ({"passages": [{"text": [SECRET]}]}, "a passage without offsets"),
        ({"entities": [{"id": "3", "type": "D", "text": ["a"]}]}, "a mention without offsets"),
        ({"entities": SECRET}, "entities that are no list"),
        ({"relations": [{"arg1_id": "3", "arg2_id": "77", "type": "x"}]}, "relations whose head"),
        (
            {"entities": [{"id": "3", "type": "D", "text": [SECRET], "offsets": [[0, 4]]}]},
            "do not cover the quoted mention",
        ),
    ],
)
def test_faults_have_their_place_and_no_text(changes, message):
    with pytest.raises(FaultyNotesError, match=rf"records:1.*: .*{message}") as caught:
        read_notes([record(**changes)])
    assert SECRET not in str(caught.value)


def test_passages_far_apart_are_refused_before_they_fill_memory():
    first, _ = record()["passages"]
    for start in (2_000_000_000, 10**18):
        far = {"id": "2", "type": "x", "text": ["End."], "offsets": [[start, start + 4]]}
        with pytest.raises(FaultyNotesError, match="further apart than they are long"):
            read_notes([record(passages=[first, far], entities=[], relations=[])])
