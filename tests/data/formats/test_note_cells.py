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
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_what_would_be_read_as_something_else_is_a_loss(tmp_path, note, field, ending):
    path = tmp_path / f"a.{ending}"
    with pytest.raises(NoteError, match=rf"can't hold 1 {field}, which a table's reader"):
        write_notes([note], path)
    assert not path.exists()
    assert write_notes([note], path, lossy=True).losses


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_note_that_no_file_can_hold_is_refused_by_id(tmp_path, ending):
    with pytest.raises(NoteError, match="note n1: bytes that are not UTF-8"):
        write_notes([Note("n1", "a\udc80")], tmp_path / f"a.{ending}")


def test_cells_are_what_other_programs_read(tmp_path):
    write_notes([FULL, Note("n2", "=1+1")], tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["codes"], second["codes"], second["text"]) == ("R50.9; R05", "null", "=1+1")
    assert [span["start"] for span in json.loads(first["spans"])] == [0, 19]
    assert (second["spans"], second["metadata"], second["label"]) == ("", "", "")
