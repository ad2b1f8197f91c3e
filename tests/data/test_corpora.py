"""The public corpora, read whole: every count is the corpus's own."""

from collections import Counter

import pytest

from clinical_tl.data.leakage import check_leakage
from clinical_tl.data.reading import read_notes
from clinical_tl.data.splits import split_notes
from clinical_tl.errors import FaultyNotesError
from clinical_tl.schema import dataset_to_notes
from tests.data.corpora import corpus

MTS = {"note_id": "ID", "text": "section_text", "label": "section_header"}


@pytest.mark.parametrize(
    ("split", "documents", "mentions"),
    [("train", 593, 5145), ("dev", 100, 787), ("test", 100, 960)],
)
def test_ncbi_disease(split, documents, mentions):
    path = corpus(f"ncbi_disease/{split}.pubtator.txt")
    notes = dataset_to_notes(read_notes(path, duplicates="number"))
    assert len(notes) == documents
    assert sum(len(note.spans) for note in notes) == mentions
    assert all(note.relations is None for note in notes)


def test_ncbi_disease_repeats_one_document():
    path = corpus("ncbi_disease/train.pubtator.txt")
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(path)
    assert [fault.where for fault in caught.value.faults] == [
        "train.pubtator.txt:4557 (note 8528200)"
    ]
    notes = dataset_to_notes(read_notes(path, duplicates="first"))
    assert (len(notes), sum(len(note.spans) for note in notes)) == (592, 5134)


@pytest.mark.parametrize(
    ("split", "chemicals", "diseases", "pairs"),
    [("train", 5203, 4182, 1038), ("dev", 5347, 4244, 1012), ("test", 5385, 4424, 1066)],
)
def test_bc5cdr(split, chemicals, diseases, pairs):
    notes = dataset_to_notes(read_notes(corpus(f"bc5cdr/{split}.pubtator.txt")))
    assert len(notes) == 500
    labels = Counter(span.label for note in notes for span in note.spans)
    assert labels == {"Chemical": chemicals, "Disease": diseases}
    assert sum(len(note.relations) for note in notes) == pairs
    assert all("-1" not in span.concepts for note in notes for span in note.spans)


@pytest.mark.parametrize(
    ("split", "documents", "rows"), [("train", 500, 5639), ("dev", 250, 2677), ("test", 250, 2842)]
)
def test_codiesp(split, documents, rows):
    folder = corpus(f"codiesp/{split}")
    notes = dataset_to_notes(read_notes(folder, format="codiesp", codes_file=f"{split}D.tsv"))
    assert len(notes) == documents
    assert sum(len(note.codes) for note in notes) == rows
    assert all(code == code.upper() for note in notes for code in note.codes)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("TrainingSet", 1201),
        ("ValidationSet", 100),
        ("TestSet-1-MEDIQA-Chat-2023", 200),
        ("TestSet-2-MEDIQA-Sum-2023", 200),
    ],
)
def test_mts_dialog(name, rows):
    notes = read_notes(corpus(f"mts_dialog/MTS-Dialog-{name}.csv"), columns=MTS)
    assert len(notes) == rows
    assert len(set(notes["label"])) <= 20


def test_mts_dialog_keeps_line_breaks_within_cells():
    path = corpus("mts_dialog/MTS-Dialog-TrainingSet.csv")
    notes = dataset_to_notes(read_notes(path, columns=MTS, metadata_columns=["dialogue"]))
    assert sum("\r\n" in note.metadata["dialogue"] for note in notes) == 1199


def test_mts_dialog_repeats_texts_within_and_across_its_official_sides():
    sides = {
        side: read_notes(corpus(f"mts_dialog/MTS-Dialog-{name}.csv"), columns=MTS)
        for side, name in {"train": "TrainingSet", "dev": "ValidationSet"}.items()
    }
    assert 1201 - len(set(sides["train"]["text"])) == 130
    report = check_leakage(sides)
    assert (len(report.groups), len(report.identical)) == (0, 12)
    own = split_notes(sides["train"], by="note_id")
    assert {side: len(notes) for side, notes in own.items()} == {
        "train": 961,
        "dev": 120,
        "test": 120,
    }
    assert check_leakage(own, by="note_id").identical == ()


def test_leaf():
    notes = dataset_to_notes(read_notes(corpus("leaf"), format="brat"))
    assert len(notes) == 99
    assert sum(len(note.spans) for note in notes) == 5265
    # 969 relation lines and the 3,729 arguments of 2,602 events.
    assert sum(len(note.relations) for note in notes) == 4698
    assert sum(len(span.attributes) for note in notes for span in note.spans) == 1189


@pytest.mark.parametrize(
    ("split", "sentences", "mentions"),
    [("train", 5432, 5145), ("devel", 923, 787), ("test", 940, 960)],
)
def test_ncbi_disease_conll(split, sentences, mentions):
    notes = read_notes(corpus(f"ncbi_disease/conll/{split}.tsv"), format="conll")
    assert len(notes) == sentences
    assert sum(len(spans) for spans in notes["spans"]) == mentions


def test_unlabelled_case_reports():
    notes = read_notes(corpus("unlabelled/e3c_case_reports_en.jsonl.gz"))
    assert len(notes) == 7943


def test_chemprot_has_no_ids_and_metadata_of_another_kind():
    path = corpus("chemprot/dev.txt")
    notes = read_notes(path, format="json_lines", columns={"metadata": None}, make_ids=True)
    assert (len(notes), notes["note_id"][0]) == (2427, "dev-1")
