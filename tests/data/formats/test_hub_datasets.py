import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDataset, List, Value

from clinical_tl.data.notes import Notes
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note


def test_columns_of_any_dataset_and_names_of_classes():
    features = Features(
        {
            "idx": Value("int32"),
            "body": Value("string"),
            "kind": ClassLabel(names=["ROS", "PMH"]),
            "tags": List(ClassLabel(names=["I10", "J44"])),
            "ward": Value("string"),
        }
    )
    rows = {
        "idx": [4, 5],
        "body": ["a", "b"],
        "kind": [1, -1],
        "tags": [[1, 0], []],
        "ward": ["x", "y"],
    }
    columns = {"note_id": "idx", "text": "body", "label": "kind", "codes": "tags"}
    notes = read_notes(
        Dataset.from_dict(rows, features=features), columns=columns, metadata_columns=["ward"]
    )
    assert list(notes) == [
        Note("4", "a", label="PMH", codes=("J44", "I10"), metadata={"ward": "x"}),
        Note("5", "b", label=None, codes=(), metadata={"ward": "y"}),
    ]


def test_a_dataset_of_notes_stays_as_it_is():
    notes = [Note("1", "a", codes=()), Note("2", "b", spans=())]
    assert list(read_notes(Notes(notes))) == notes


def test_faults_of_a_dataset(tmp_path):
    dataset = Dataset.from_dict({"note_id": ["1", "1"], "text": ["a", ""]})
    with pytest.raises(FaultyNotesError, match=r"dataset:2 \(note 1\): an empty note"):
        read_notes(dataset)
    with pytest.raises(FaultyNotesError, match="the dataset's 2 columns do not include 'kind'"):
        read_notes(dataset, columns={"label": "kind"})
    with pytest.raises(ConfigError, match="rejects="):
        read_notes(dataset, on_error="skip")
    kept = read_notes(dataset, on_error="skip", rejects=tmp_path / "side.jsonl")
    assert kept["note_id"][:] == ["1"]
    assert (tmp_path / "side.jsonl").read_text(encoding="utf-8").count("\n") == 1


def test_a_hub_id_is_loaded_only_when_it_is_named_as_one(monkeypatch, tmp_path):
    asked = []

    def load_dataset(name, *, split):
        asked.append((name, split))
        return Dataset.from_dict({"note_id": ["1"], "text": ["a"]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(read_notes("hub:org/name", split="train")) == 1
    assert asked == [("org/name", "train")]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoteError, match="no such file"):
        read_notes("org/name")
    with pytest.raises(ConfigError, match="split='train'"):
        read_notes("hub:org/name")
    with pytest.raises(ConfigError, match="split is for Hub datasets"):
        read_notes("a.csv", split="train")
    assert len(asked) == 1


def test_what_cannot_be_loaded_is_explained(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(NoteError, match="HF_HUB_OFFLINE=1"):
        read_notes("hub:org/name", split="train")


def test_a_streamed_dataset_is_read_in_one_pass():
    plain = Dataset.from_dict(
        {"note_id": ["1", "2"], "text": ["a", "b"], "label": [0, 1]},
        features=Features(
            note_id=Value("string"), text=Value("string"), label=ClassLabel(names=["no", "yes"])
        ),
    )
    notes = read_notes(plain.to_iterable_dataset())
    assert (notes["note_id"], notes["label"]) == (["1", "2"], ["no", "yes"])

    def rows():
        yield {"note_id": "1", "text": "a"}

    assert read_notes(IterableDataset.from_generator(rows))["text"] == ["a"]
    assert read_notes(rows())["text"] == ["a"]


def test_of_a_dict_of_splits_one_is_named():
    splits = DatasetDict(train=Dataset.from_dict({"note_id": ["1"], "text": ["a"]}))
    with pytest.raises(ConfigError, match=r"splits \['train'\]; say which"):
        read_notes(splits)
    assert read_notes(splits, split="train")["text"] == ["a"]


def classes(labels, codes):
    features = Features(
        note_id=Value("string"),
        text=Value("string"),
        label=ClassLabel(names=["no", "yes"]),
        codes=List(ClassLabel(names=["I10", "E11"])),
    )
    ids = [str(number) for number in range(len(labels))]
    rows = {"note_id": ids, "text": ["a"] * len(ids), "label": labels, "codes": codes}
    return Dataset.from_dict(rows, features=features)


@pytest.mark.parametrize("kind", ["numpy", "torch", "pandas", "arrow", None])
def test_a_dataset_says_the_same_whatever_it_is_set_to_give(kind):
    plain = classes([1, 0, -1], [[1, 0], [], [0]])
    expected = [("yes", ("E11", "I10")), ("no", ()), (None, ("I10",))]
    stream = plain.to_iterable_dataset()
    for dataset in (plain.with_format(kind), stream.with_format(kind)):
        assert [(note.label, note.codes) for note in read_notes(dataset)] == expected


def test_a_transform_of_ones_own_is_kept():
    def shout(batch):
        return {**batch, "text": [text.upper() for text in batch["text"]]}

    dataset = classes([1], [[0]]).with_transform(shout)
    assert read_notes(dataset)["text"] == ["A"]


def test_numbers_without_a_name_are_faults(tmp_path):
    # Arrow takes what features alone would refuse.
    sound = classes([1, 0, 1], [[1], [0], [1]])
    table = sound.data.table
    table = table.set_column(2, table.schema.field("label"), pa.array([1, 7, 1], pa.int64()))
    kind = table.schema.field("codes")
    table = table.set_column(3, kind, pa.array([[1], [0], [1, 9]], kind.type))
    pq.write_table(table, tmp_path / "a.parquet")
    for source in (Dataset(table), tmp_path / "a.parquet"):
        with pytest.raises(FaultyNotesError) as raised:
            read_notes(source)
        assert "2: class 7 in 'label', which has names for 2 classes" in str(raised.value)
        assert "3: class 9 in 'codes'" in str(raised.value)
