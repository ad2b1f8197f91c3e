"""Tokens and tags in records: every scheme, every kind of source."""

import json

import datasets
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from clinical_tl.data.formats.token_tags import seen_scheme
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note, Span

NAMES = ["O", "B-Drug", "I-Drug", "B-Sign", "I-Sign"]
TOKENS = ["took", "acetyl", "acid", ",", "no", "fever"]
NUMBERS = [0, 1, 2, 0, 0, 3]
TEXT = "took acetyl acid , no fever"
SPANS = (Span(5, 16, "Drug"), Span(22, 27, "Sign"))
SECRET = "Quartermaine"


def named(numbers):
    return [NAMES[number] for number in numbers]


def rows(**more):
    return {"tokens": [TOKENS, ["well"]], "ner_tags": [NUMBERS, [0]], **more}


def dataset(**more):
    features = {"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=NAMES))}
    own = {name: Value("string") for name in more}
    return Dataset.from_dict(rows(**more), features=Features({**features, **own}))


def test_a_dataset_with_class_numbers_becomes_texts_with_mentions():
    notes = list(read_notes(dataset(id=["7", "8"])))
    assert notes == [Note("7", TEXT, spans=SPANS), Note("8", "well", spans=())]
    assert [note.text[s.start : s.end] for note in notes for s in note.spans] == [
        "acetyl acid",
        "fever",
    ]


def test_without_ids_notes_are_numbered_and_other_columns_can_be_kept():
    notes = read_notes(dataset(ward=["A", "B"]), metadata_columns="rest")
    assert [note.note_id for note in notes] == ["dataset-1", "dataset-2"]
    assert [note.metadata for note in notes] == [{"ward": "A"}, {"ward": "B"}]
    numbered = read_notes(dataset(id=["7", "8"]), make_ids=True)
    assert numbered["note_id"] == ["note-1", "note-2"]


def test_a_dataset_of_the_hub_is_read_as_one_in_memory(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: dataset(id=["7", "8"]))
    assert list(read_notes("hub:org/ner", split="train")) == list(
        read_notes(dataset(id=["7", "8"]))
    )


def test_a_stream_is_read_as_its_dataset():
    stream = dataset(id=["7", "8"]).to_iterable_dataset()
    assert list(read_notes(stream)) == list(read_notes(dataset(id=["7", "8"])))


def test_parquet_json_and_frames_say_the_same(tmp_path):
    expected = [Note("7", TEXT, spans=SPANS), Note("8", "well", spans=())]
    dataset(id=["7", "8"]).to_parquet(tmp_path / "a.parquet")
    assert list(read_notes(tmp_path / "a.parquet")) == expected
    records = [
        {"id": "7", "tokens": TOKENS, "ner_tags": named(NUMBERS)},
        {"id": "8", "tokens": ["well"], "ner_tags": ["O"]},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    for name in ("a.jsonl", "a.json"):
        (tmp_path / name).write_text(lines, encoding="utf-8")
        assert list(read_notes(tmp_path / name)) == expected
    (tmp_path / "b.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    assert list(read_notes(tmp_path / "b.json")) == expected
    assert list(read_notes(records)) == expected
    assert list(read_notes(iter(records))) == expected
    assert list(read_notes(pd.DataFrame(records))) == expected


def test_cells_of_a_table_hold_lists_as_they_are_printed(tmp_path):
    tokens, tags = [*TOKENS[:-1], "it's"], named(NUMBERS)
    pd.DataFrame({"id": [7], "tokens": [tokens], "ner_tags": [tags]}).to_csv(tmp_path / "a.csv")
    (note,) = read_notes(tmp_path / "a.csv")
    assert note == Note("7", "took acetyl acid , no it's", spans=(SPANS[0], Span(22, 26, "Sign")))


def test_numbers_without_names_are_a_fault_and_names_can_be_given(tmp_path):
    record = {"id": 1, "tokens": TOKENS, "ner_tags": NUMBERS}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"a.jsonl:1: class numbers in 'ner_tags' .*tag_nam"):
        read_notes(path)
    frame = pd.DataFrame([record])
    frame.to_parquet(tmp_path / "a.parquet")
    for source in (path, [record], frame, Dataset.from_list([record]), tmp_path / "a.parquet"):
        assert next(iter(read_notes(source, tag_names=NAMES))).spans == SPANS
        with pytest.raises(FaultyNotesError, match="and 3 names for them"):
            read_notes(source, tag_names=NAMES[:3])
    with pytest.raises(ConfigError, match="tag_names must be a list"):
        read_notes([record], tag_names="O")


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("BIO", ["O", "B-D", "I-D", "B-D", "O", "B-S"]),
        ("IOBES", ["O", "B-D", "E-D", "S-D", "O", "S-S"]),
        ("BILOU", ["O", "B-D", "L-D", "U-D", "O", "U-S"]),
        ("IOB1", ["O", "I-D", "I-D", "B-D", "O", "I-S"]),
    ],
)
def test_every_scheme_gives_the_same_mentions(scheme, tags):
    record = {"id": 1, "tokens": TOKENS, "tags": tags}
    expected = (Span(5, 16, "D"), Span(17, 18, "D"), Span(22, 27, "S"))
    assert next(iter(read_notes([record], scheme=scheme))).spans == expected
    if scheme != "IOB1":
        assert next(iter(read_notes([record]))).spans == expected


def test_labels_without_prefix_are_joined_where_they_adjoin():
    for tags in (["O", "D", "D", "O", "O", "S"], ["O", "I-D", "I-D", "O", "O", "I-S"]):
        (note,) = read_notes([{"id": 1, "tokens": TOKENS, "labels": tags}])
        assert note.spans == (Span(5, 16, "D"), Span(22, 27, "S"))


def test_all_records_together_tell_the_scheme_not_each_for_itself():
    begun, whole = ["I-D", "I-D"], ["B-D", "I-D"]
    records = [{"id": i, "tokens": ["a", "b"], "tags": t} for i, t in enumerate((begun, whole))]
    with pytest.raises(FaultyNotesError, match=r"records:1: token 0: .*; allowed: a valid BIO"):
        read_notes(records)
    assert [len(note.spans) for note in read_notes(records, scheme="IOB1")] == [1, 1]
    assert [seen_scheme(tags) for tags in (begun, whole, ["O"])] == ["IO", "BIO", None]


def test_tags_of_a_hyphenated_label_are_labels():
    (note,) = read_notes([{"id": 1, "tokens": ["a", "b"], "tags": ["O", "X-ray"]}])
    assert note.spans == (Span(2, 3, "X-ray"),)


def test_columns_of_other_names():
    record = {"nr": 4, "words": TOKENS, "bio": named(NUMBERS), "text": "another text"}
    columns = {"note_id": "nr", "tokens": "words", "tags": "bio"}
    assert list(read_notes([record], columns=columns)) == [Note("4", TEXT, spans=SPANS)]
    alone = {"note_id": "nr", "tokens": "words", "tags": None}
    assert list(read_notes([record], columns=alone)) == [Note("4", TEXT)]
    with pytest.raises(FaultyNotesError, match="no column 'pos'"):
        read_notes([record], columns={**columns, "tags": "pos"})


def test_a_text_beside_tokens_is_the_text():
    record = {"note_id": "1", "text": "took  it", "tokens": ["took", "it"], "tags": ["O", "O"]}
    assert list(read_notes([record])) == [Note("1", "took  it")]


def test_unlabelled_test_sets_are_not_annotated():
    features = Features({"tokens": List(Value("string")), "tags": List(ClassLabel(names=NAMES))})
    rows = {"tokens": [["a", "b"], ["a", "b"]], "tags": [[-1, -1], [1, -1]]}
    with pytest.raises(FaultyNotesError, match="dataset:2: tokens without a tag between others"):
        read_notes(Dataset.from_dict(rows, features=features))
    first = Dataset.from_dict({k: v[:1] for k, v in rows.items()}, features=features)
    assert list(read_notes(first)) == [Note("dataset-1", "a b")]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokens": [SECRET], "tags": ["O", "O"]}, "1 tokens and 2 tags"),
        ({"tokens": [SECRET, " "], "tags": ["O", "O"]}, "tokens that are no list of words"),
        ({"tokens": SECRET, "tags": ["O"]}, "tokens that are no list of words"),
        ({"tokens": [], "tags": []}, "tokens that are no list of words"),
        ({"tokens": [SECRET], "tags": [1.5]}, "tags of type float in 'tags'"),
        ({"tokens": [SECRET], "tags": ["L-D"]}, r"token 0: a tag inside .* a valid BILOU"),
    ],
)
def test_faults_have_their_place_and_no_text(tmp_path, record, message):
    sound = {"id": "s", "tokens": ["well"], "tags": ["O"]}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(sound) + "\n" + json.dumps(record) + "\n", encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=message) as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1
    assert "a.jsonl:2" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert read_notes(path, on_error="skip")["note_id"] == ["s"]
    with pytest.raises(ConfigError, match="scheme='BIOS'"):
        read_notes(path, scheme="BIOS")


def test_text_of_scripts_without_blanks_has_none():
    record = {"id": 1, "tokens": list("患者高血压"), "tags": ["O", "O", "B-D", "I-D", "I-D"]}
    assert list(read_notes([record])) == [Note("1", "患者高血压", spans=(Span(2, 5, "D"),))]


@pytest.mark.parametrize(
    "names",
    [
        ["O", "b-drug", "i-drug"],
        ["O", "B_drug", "I_drug"],
        ["O", "b_drug", "i_drug"],
        ["O", "drug-B", "drug-I"],
        ["O", "drug_B", "drug_I"],
    ],
)
def test_tags_are_read_however_mark_and_label_are_written(names, tmp_path):
    numbers = [0, 1, 2, 0, 0, 1]
    expected = (Span(5, 16, "drug"), Span(22, 27, "drug"))
    records = [{"id": "7", "tokens": TOKENS, "ner_tags": [names[n] for n in numbers]}]
    features = {"id": Value("string"), "tokens": List(Value("string"))}
    rows = {"id": ["7"], "tokens": [TOKENS], "ner_tags": [numbers]}
    classes = Features({**features, "ner_tags": List(ClassLabel(names=names))})
    numbered = Dataset.from_dict(rows, features=classes)
    numbered.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(json.dumps(records[0]), encoding="utf-8")
    plain = Dataset.from_list(records)
    streams = [numbered.to_iterable_dataset(), plain.to_iterable_dataset()]
    files = [tmp_path / "a.parquet", tmp_path / "a.jsonl"]
    for source in (records, pd.DataFrame(records), numbered, plain, *streams, *files):
        assert [note.spans for note in read_notes(source)] == [expected]


def test_tags_that_are_marks_alone_need_a_label():
    records = [{"id": "7", "tokens": TOKENS, "ner_tags": ["O", "B", "I", "O", "O", "B"]}]
    features = {"id": Value("string"), "tokens": List(Value("string"))}
    classes = Features({**features, "ner_tags": List(ClassLabel(names=["O", "B", "I"]))})
    rows = {"id": ["7"], "tokens": [TOKENS], "ner_tags": [[0, 1, 2, 0, 0, 1]]}
    numbered = Dataset.from_dict(rows, features=classes)
    for source in (records, pd.DataFrame(records), numbered, numbered.to_iterable_dataset()):
        with pytest.raises(FaultyNotesError, match=r"marks alone.*mention_label='…'"):
            read_notes(source)
        (note,) = read_notes(source, mention_label="Drug")
        assert note.spans == (Span(5, 16, "Drug"), Span(22, 27, "Drug"))
    (note,) = read_notes(records, scheme="IO")
    assert [span.label for span in note.spans] == ["B", "I", "B"]


def test_a_label_that_begins_as_a_mark_does_is_a_label():
    records = [{"id": "7", "tokens": ["in", "S", "G1"], "ner_tags": ["O", "S_phase", "G1_phase"]}]
    (note,) = read_notes(records)
    assert [span.label for span in note.spans] == ["S_phase", "G1_phase"]
