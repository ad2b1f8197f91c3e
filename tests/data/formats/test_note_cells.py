import csv
import json

import pytest
from hypothesis import HealthCheck, given, settings

from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import NoteError
from clinical_tl.schema import Note, Relation, Span
from tests.data.strategies import note_sets

ENDINGS = ("csv", "tsv", "parquet", "xlsx", "csv.gz", "tsv.gz")
FULL = Note(
    "n1",
    'Fever,\t"high"; no\r\ncough',
    patient_id="p7",
    label="ill",
    codes=("R50.9", "R05"),
    spans=(Span(0, 5, "Sign", id="T1", concepts=("C1",)), Span(19, 24, "Sign", id="T2")),
    relations=(Relation("T1", "T2", "with"),),
    metadata={"ward": "3b", "age": 67, "nested": [1, None]},
)


@pytest.fixture(params=ENDINGS)
def path(request, tmp_path):
    if request.param == "xlsx":
        pytest.importorskip("python_calamine", reason="the extra [excel] is not installed")
        pytest.importorskip("xlsxwriter", reason="the extra [excel] is not installed")
    return tmp_path / f"a.{request.param}"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets())
def test_what_is_written_comes_back(path, notes):
    written = write_notes(notes, path)
    assert list(read_notes(path)) == notes
    assert written.notes == len(notes)


def test_not_annotated_is_not_annotated_with_nothing(path, caplog):
    notes = [
        FULL,
        Note("n2", "a"),
        Note("n3", "b", codes=(), spans=(), relations=()),
        Note("n4", "c", codes=("E11.9; E11.8", "401.0")),
    ]
    write_notes(notes, path)
    assert list(read_notes(path)) == notes
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("note", "field"),
    [
        (Note("1", "a", label="None"), "label"),
        (Note("1", "a", patient_id="-"), "patient_id"),
        (Note("7.0", "a"), "note_id"),
        (Note("1", "a", codes=("NA",)), "codes"),
        (Note("1", "a", codes=("12345.0",)), "codes"),
        (Note("1", "a", codes=(" I10",)), "codes"),
        (Note("1", "a", label="x\u200b"), "label"),
        (Note("NA", "a"), "a note"),
        (Note("1", "a", codes=("[x]",)), "a note"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "jsonl.gz", "parquet"])
def test_what_would_be_read_as_something_else_is_a_loss(tmp_path, note, field, ending):
    path = tmp_path / f"a.{ending}"
    with pytest.raises(NoteError, match=rf"can't hold 1 {field}, which a reader"):
        write_notes([note], path)
    assert not path.exists()
    assert write_notes([note], path, lossy=True).losses


@pytest.mark.parametrize("tool", ["doccano", "label_studio", "prodigy"])
@pytest.mark.parametrize(
    ("note", "what"), [(Note("7.0", "a"), "note_id"), (Note("1", "a", label="None"), "label")]
)
def test_what_a_tools_file_would_give_back_as_something_else_is_a_loss(tmp_path, note, what, tool):
    with pytest.raises(NoteError, match=f"1 {what}, which a reader would take for something else"):
        write_notes([note], tmp_path / "a", format=tool)


@pytest.mark.parametrize(
    ("note", "is_loss"),
    [
        (Note("7.0", "a", label="None", codes=("NA", "[x]")), False),
        (Note("1", "a", label="x\u200b"), True),
        (Note("1", "a", patient_id="-"), True),
    ],
)
def test_a_doc_bin_holds_words_and_numbers_as_written(tmp_path, note, is_loss):
    path = tmp_path / "a.spacy"
    if is_loss:
        with pytest.raises(NoteError, match="which a reader would take for something else"):
            write_notes([note], path)
    else:
        write_notes([note], path)
        assert list(read_notes(path)) == [note]


@pytest.mark.parametrize(
    ("note", "found"),
    [
        (Note("n1", "a\udc80"), "bytes that are not UTF-8"),
        (Note("n1", "abc", spans=(Span(0, 1, "x", score=float("nan")),)), "a score of the mention"),
        (Note("n1", "abc", spans=(Span(0, 1, "x", score=1.5),)), "a score of the mention 0–1;"),
        (Note("n1", "abc", spans=(Span(0, 1, ""),)), "a mention without a label, 0–1"),
        (Note("n1", "abc", spans=(Span(0, 1, " "),)), "a mention without a label, 0–1"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl", "xlsx"])
def test_a_note_that_no_file_can_hold_is_refused_by_id(tmp_path, ending, note, found):
    if ending == "xlsx":
        pytest.importorskip("xlsxwriter", reason="the extra [excel] is not installed")
    with pytest.raises(NoteError, match=f"note n1: {found}"):
        write_notes([note], tmp_path / f"a.{ending}")


def test_cells_are_what_other_programs_read(tmp_path):
    write_notes([FULL, Note("n2", "=1+1")], tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["codes"], second["codes"], second["text"]) == ("R50.9; R05", "null", "=1+1")
    assert [span["start"] for span in json.loads(first["spans"])] == [0, 19]
    assert (second["spans"], second["metadata"], second["label"]) == ("", "", "")
