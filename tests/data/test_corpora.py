from dataclasses import replace

import pytest

from clinical_tl.data.corpora import VARIABLE, load_corpus, note_splits
from clinical_tl.data.leakage import check_leakage
from clinical_tl.data.notes import Notes
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.data.split_record import SplitOrigin
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError, NoteError
from tests.data.corpora import corpus

SIZES = {
    "ncbi_disease": {"train": 592, "dev": 100, "test": 100},
    "bc5cdr": {"train": 500, "dev": 500, "test": 500},
    "chemprot": {"train": 4169, "dev": 2427, "test": 3469},
    "codiesp": {"train": 500, "dev": 250, "test": 250},
    "leaf": {"train": 60, "dev": 20, "test": 19},
    "mts_dialog": {"train": 1201, "dev": 100, "test": 200, "test2": 200},
}


@pytest.mark.parametrize("name", SIZES)
def test_official_splits_have_their_sizes(name):
    corpus(name)
    splits = load_corpus(name)
    assert {split: len(notes) for split, notes in splits.items()} == SIZES[name]
    if name == "ncbi_disease":
        labels = {span.label for spans in splits["train"]["spans"] for span in spans}
        assert labels == {"Disease"}


def test_synthetic_splits_share_no_patient():
    splits = load_corpus("synthetic")
    assert set(splits) == {"train", "dev", "test"}
    assert check_leakage(splits, by="patient_id", near_duplicates=None).is_clean


def test_own_files_are_split_by_patient_where_there_are_patients(tmp_path):
    write_notes(generate_notes(60, seed=1, words=(20, 80)), tmp_path / "notes.jsonl")
    splits = note_splits(train=tmp_path / "notes.jsonl", seed=1)
    assert sum(map(len, splits.values())) == 60
    assert not set(splits["train"]["patient_id"]) & set(splits["test"]["patient_id"])
    limited = note_splits(train=tmp_path / "notes.jsonl", seed=1, limit=5)
    assert {len(notes) for notes in limited.values()} == {5}
    shares = {"train": 0.65, "dev": 0.15, "test": 0.2}
    made = SplitOrigin(fractions=shares, by="patient_id", seed=1)
    assert (splits.origin, limited.origin) == (made, replace(made, limit=5))


def test_how_sides_came_about_is_said(tmp_path):
    notes = generate_notes(60, seed=1, words=(20, 80))
    write_notes(notes, tmp_path / "train.jsonl")
    bare = [replace(note, patient_id=None) for note in notes]
    write_notes(Notes(bare), tmp_path / "bare.jsonl")
    other = [
        replace(note, patient_id=f"other-{note.patient_id}")
        for note in generate_notes(9, seed=2, words=(20, 80))
    ]
    write_notes(Notes(other), tmp_path / "test.jsonl")
    found = [
        str(note_splits(**told).origin)
        for told in (
            {"train": tmp_path / "bare.jsonl"},
            {"train": tmp_path / "train.jsonl", "test": tmp_path / "test.jsonl", "limit": 3},
            {"train": tmp_path / "train.jsonl", "seed": 4, "allow_leakage": True},
            {"corpus": "synthetic"},
        )
    ]
    assert found == [
        "the training notes divided note by note, equal and nearly equal texts together: "
        "train 0.65, test 0.2, dev 0.15 (seed 0)",
        "test as given; the training notes divided by patient, equal and nearly equal texts "
        "together: train 0.85, dev 0.15 (seed 0); at most 3 of each side, the first",
        "the training notes divided by patient: train 0.65, test 0.2, dev 0.15 (seed 4)",
        "the corpus 'synthetic' divided by patient, equal and nearly equal texts "
        "together: train 0.6, test 0.25, dev 0.15 (seed 0)",
    ]


def test_own_files_are_read_as_written_where_it_is_told(tmp_path):
    rows = "".join(f"n{i},p{i},Note number {i}.,{'NA' if i % 2 else 'I10'}\n" for i in range(20))
    file = tmp_path / "notes.csv"
    file.write_text(f"note_id,patient_id,text,label\n{rows}")
    found = [
        {label for notes in note_splits(train=file, read=read).values() for label in notes["label"]}
        for read in (ReadOptions(), ReadOptions(as_written=("label",)))
    ]
    assert found == [{None, "I10"}, {"NA", "I10"}]


def test_what_is_missing_or_contradictory_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"choose one of \['bc5cdr'"):
        load_corpus("mimic")
    with pytest.raises(NoteError, match=VARIABLE):
        load_corpus("bc5cdr", folder=tmp_path)
    with pytest.raises(ConfigError, match="give train as well"):
        note_splits(dev="x.jsonl")
    with pytest.raises(ConfigError, match="give one of them"):
        note_splits("bc5cdr", train="x.jsonl")


@pytest.mark.parametrize("said", ["not set", "empty"])
def test_without_a_folder_of_corpora_the_error_says_what_to_set(said, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    if said == "empty":
        monkeypatch.setenv(VARIABLE, "")
    # A folder that lies where a default might be is not taken.
    (tmp_path / "shared" / "data" / "bc5cdr").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ConfigError, match=f"{VARIABLE} is not set.*set it to"):
        load_corpus("bc5cdr")
    with pytest.raises(NoteError, match="'bc5cdr' is not in the folder"):
        load_corpus("bc5cdr", folder=tmp_path)
    assert len(load_corpus("synthetic")["train"])


def test_a_limit_leaves_at_least_one_note():
    with pytest.raises(ConfigError, match="limit=-3; allowed: at least 1"):
        note_splits("synthetic", limit=-3)
