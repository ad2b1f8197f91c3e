"""doccano's exports, in the layouts of its several versions."""

import csv
import json
import logging
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.guessing import guess_format
from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note, Relation, Span
from tests.data.strategies import note_sets

SECRET = "Quartermaine"
TEXT = "No 😀 fever, took aspirin."
PAIRS = [[5, 10, "Sign"], [17, 24, "Drug"]]
ENTITIES = [
    {"id": 31, "label": "Sign", "start_offset": 5, "end_offset": 10},
    {"id": 32, "label": "Drug", "start_offset": 17, "end_offset": 24},
]
SPANS = (Span(5, 10, "Sign"), Span(17, 24, "Drug"))


def lines(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def said(notes):
    return [[note.text[s.start : s.end] for s in note.spans or ()] for note in notes]


@pytest.mark.parametrize("key", ["label", "labels"])
@pytest.mark.parametrize("text", ["text", "data"])
def test_mentions_as_triples(tmp_path, key, text):
    path = lines(
        tmp_path / "admin.jsonl",
        {"id": 1, text: TEXT, key: PAIRS, "Comments": []},
        {"id": 2, text: "Well.", key: [], "Comments": []},
        {"id": 3, text: "Unseen.", "Comments": []},
    )
    notes = list(read_notes(path))
    assert notes == [
        Note("1", TEXT, spans=SPANS),
        Note("2", "Well.", spans=()),
        Note("3", "Unseen."),
    ]
    assert said(notes)[0] == re.findall("fever|aspirin", TEXT)


def test_entities_with_relations(tmp_path):
    relations = [{"id": 5, "from_id": 32, "to_id": 31, "type": "treats"}]
    path = lines(
        tmp_path / "a.jsonl",
        {"id": 1, "text": TEXT, "Comments": [], "entities": ENTITIES, "relations": relations},
    )
    (note,) = read_notes(path)
    assert note.spans == (replace(SPANS[0], id="31"), replace(SPANS[1], id="32"))
    assert note.relations == (Relation("32", "31", "treats"),)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_one_category_each_is_the_label_and_several_are_codes(tmp_path, name, caplog):
    def export(*labels):
        records = [
            {"id": i, "text": f"text, {i}", "label": label, "Comments": []}
            for i, label in enumerate(labels, 1)
        ]
        path = tmp_path / name
        if name.endswith(".csv"):
            with path.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, records[0], quoting=csv.QUOTE_NONNUMERIC)
                writer.writeheader()
                for record in records:
                    joined = {"label": "#".join(record["label"]), "Comments": ""}
                    writer.writerow(record | joined)
        elif name.endswith(".jsonl"):
            lines(path, *records)
        else:
            path.write_text(json.dumps(records), encoding="utf-8")
        return path

    with caplog.at_level(logging.INFO):
        notes = read_notes(export(["a"], ["b"], []))
    assert (notes["label"], notes["codes"]) == (["a", "b", None], [None] * 3)
    assert f"{name}: categories are read as labels, since texts have up to 1" in caplog.text
    assert read_notes(export(["a"], []), cats="codes")["codes"] == [("a",), ()]
    several = export(["a"], ["a", "b"], [])
    assert read_notes(several)["codes"] == [("a",), ("a", "b"), ()]
    assert read_notes(several, cats="ignore")["codes"] == [None] * 3
    with pytest.raises(FaultyNotesError, match=r":\d: 2 categories of one text; .* cats='codes'"):
        read_notes(several, cats="label")
    with pytest.raises(ConfigError, match="cats='classes'"):
        read_notes(several, cats="classes")


def test_intents_have_mentions_and_categories(tmp_path):
    path = lines(
        tmp_path / "a.jsonl",
        {"id": 1, "text": TEXT, "entities": PAIRS, "cats": ["order"], "Comments": []},
    )
    assert list(read_notes(path)) == [Note("1", TEXT, label="order", spans=SPANS)]


def test_offsets_in_units_of_utf16_of_old_versions_are_no_guess(tmp_path):
    """They are not quoted, so nothing tells; characters are what doccano counts."""
    path = lines(tmp_path / "a.jsonl", {"id": 1, "text": "😀 ab\r\ncd", "label": [[6, 8, "X"]]})
    assert said(read_notes(path)) == [["cd"]]


def test_a_file_without_any_label_is_not_annotated(tmp_path, caplog):
    path = lines(tmp_path / "a.jsonl", {"id": 1, "text": TEXT, "label": [], "Comments": []})
    assert list(read_notes(path)) == [Note("1", TEXT)]
    assert "1 texts without a label in a file without any" in caplog.text


def test_columns_reach_meta_data_and_come_first(tmp_path):
    record = {"id": 1, "text": TEXT, "label": PAIRS, "Comments": ["x"], "nr": "p3", "old": "v"}
    path = lines(tmp_path / "a.jsonl", record)
    (note,) = read_notes(path, columns={"patient_id": "nr"}, metadata_columns="rest")
    assert (note.patient_id, note.metadata) == ("p3", {"old": "v"})
    (note,) = read_notes(path, columns={"note_id": "nr"}, metadata_columns=["Comments"])
    assert (note.note_id, note.metadata) == ("p3", {"Comments": ["x"]})
    (note,) = read_notes(path, columns={"spans": "label", "label": None, "note_id": "id"})
    assert note.spans == SPANS
    (note,) = read_notes(path, make_ids=True)
    assert note.note_id == "a-1"


def test_records_without_ids_are_numbered(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"text": TEXT, "label": PAIRS})
    assert read_notes(path)["note_id"] == ["a-1"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": 1, "text": SECRET, "label": [[0, 99, "X"]]}, "offsets 0–99 in a text of 12"),
        ({"id": 1, "text": SECRET, "label": [[0, "X"]]}, "spans is no list of objects"),
        ({"id": 1, "text": SECRET, "entities": SECRET}, "entities that are no list"),
        ({"id": 1, "text": [SECRET], "label": []}, "text is of type list"),
        ({"id": 1, "label": []}, "text is of type null"),
        (
            {"id": 1, "text": SECRET, "entities": [], "relations": [{"from_id": 1}]},
            "relation 0 is incomplete",
        ),
        (
            {
                "id": 1,
                "text": SECRET,
                "annotations": [{"label": 4, "start_offset": 0, "end_offset": 2}],
            },
            "labels that are numbers.*export with text labels",
        ),
    ],
)
def test_faults_have_their_place_and_no_text(tmp_path, record, message):
    sound = {"id": "s", "text": TEXT, "label": PAIRS, "Comments": []}
    path = lines(tmp_path / "a.jsonl", sound, record)
    with pytest.raises(FaultyNotesError, match=message) as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1
    assert "a.jsonl:2" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert read_notes(path, on_error="skip")["note_id"] == ["s"]


def test_a_table_that_breaks_off_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('"id","text","label","Comments"\n1,"a","x",""\n2,"b\n', encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"a.csv:3: a row that is broken"):
        read_notes(path)
    path.write_text('"id","text","label","Comments"\n1,"a","x",""\n2,"b"\n', encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"a.csv:3: 2 cells; allowed: 4 cells"):
        read_notes(path)


def test_other_files_are_not_taken_for_its_own(tmp_path):
    for record in (
        {"note_id": "1", "text": "a", "label": "x"},
        {"note_id": "1", "text": "a", "spans": [{"start": 0, "end": 1, "label": "x"}]},
        {"tokens": ["a"], "tags": ["O"]},
    ):
        path = lines(tmp_path / "a.json", record)
        assert guess_format(File.at(path)).name == "json_lines"


def held(note):
    """What doccano's import can hold of a note."""
    if note.spans is None and note.relations is None:
        codes = note.codes if note.label is None else None
        return replace(note, codes=codes)
    kept = [span for span in note.spans if not span.is_discontinuous]
    numbers = {own: str(i) for i, own in enumerate((s.id for s in kept if s.id), 1)}
    relations = note.relations and tuple(
        Relation(numbers[r.head], numbers[r.tail], r.label)
        for r in note.relations
        if r.head in numbers and r.tail in numbers
    )
    spans = tuple(Span(s.start, s.end, s.label, id=numbers.get(s.id, "")) for s in kept)
    return replace(note, label=None, codes=None, spans=spans, relations=relations)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets())
def test_what_is_written_comes_back(tmp_path, notes):
    # Names of categories are as they are within doccano: no label and code at once.
    notes = [replace(n, label=None, codes=None) if n.spans is None else n for n in notes]
    write_notes(notes, tmp_path / "a.jsonl", format="doccano", lossy=True)
    read = list(read_notes(tmp_path / "a.jsonl"))
    assert read == [held(note) for note in notes]


def test_categories_come_back(tmp_path):
    for notes in (
        [Note("1", "a", label="x"), Note("2", "b", label="y", patient_id="p")],
        [Note("1", "a", codes=("x", "y")), Note("2", "b", codes=(), metadata={"k": 1})],
    ):
        assert write_notes(notes, tmp_path / "a.jsonl", format="doccano").losses == {}
        assert list(read_notes(tmp_path / "a.jsonl")) == notes


def test_what_is_lost_is_counted_and_the_rest_is_what_doccano_imports(tmp_path):
    spans = (
        Span(0, 5, "A", id="T1", score=0.5, concepts=("C1",), attributes=(("n", "v"),)),
        Span(0, 9, "B", id="T2", fragments=((0, 1), (8, 9))),
    )
    relations = (Relation("T1", "T2", "r"), Relation("T1", "T1", "s"))
    note = Note("n1", "fever, no", label="x", codes=("c",), spans=spans, relations=relations)
    with pytest.raises(NoteError, match="doccano can't hold"):
        write_notes([note], tmp_path / "a.jsonl", format="doccano")
    losses = write_notes([note], tmp_path / "a.jsonl", format="doccano", lossy=True).losses
    assert losses == {
        "attributes": 1,
        "codes (notes)": 1,
        "concepts": 1,
        "discontinuous mentions": 1,
        "labels": 1,
        "mention ids": 1,
        "relations": 1,
        "scores": 1,
    }
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8")) == {
        "note_id": "n1",
        "text": "fever, no",
        "entities": [{"id": 1, "label": "A", "start_offset": 0, "end_offset": 5}],
        "relations": [{"id": 1, "from_id": 1, "to_id": 1, "type": "s"}],
        "Comments": [],
    }


@pytest.mark.parametrize(
    "notes",
    [
        [Note("n", "abc", codes=("I10",))],
        [Note("n", "abc", codes=())],
        [Note("n", "abc", label="x"), Note("m", "abc", codes=("I10",))],
        [Note("n", "abc", label="x"), Note("m", "abc", codes=())],
        [Note("n", "abc", label="x"), Note("m", "abc", codes=("I10", "E11"))],
        [
            Note("n", "abc", codes=("I10", "E11")),
            Note("m", "abc", codes=()),
            Note("o", "abc", spans=(Span(0, 1, "A"),)),
        ],
    ],
)
def test_categories_that_do_not_come_back_are_counted(tmp_path, notes):
    losses = write_notes(notes, tmp_path / "a.jsonl", format="doccano", lossy=True).losses
    read = list(read_notes(tmp_path / "a.jsonl"))
    assert sum(losses.values()) == sum(a != b for a, b in zip(notes, read, strict=True)) == 1


def test_mentions_without_an_id_stay_without(tmp_path):
    for ids in (("", ""), ("", "1"), ("7", "")):
        spans = tuple(Span(0, 1, "A", id=own) for own in ids)
        note = Note("n", "abc", spans=spans)
        assert write_notes([note], tmp_path / "a.jsonl", format="doccano").losses == {}
        assert list(read_notes(tmp_path / "a.jsonl")) == [note]
