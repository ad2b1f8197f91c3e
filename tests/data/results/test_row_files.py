import csv
import errno
import sys
import zipfile

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from clinical_tl.data.results import row_files
from clinical_tl.data.results.row_files import (
    CELL_UNITS,
    write_csv,
    write_parquet,
    write_plain_csv,
    write_tsv,
    write_xlsx,
)
from clinical_tl.errors import MissingExtraError, OutputError

COLUMNS = {"name": str, "start": int, "score": float, "icu": bool}
ROWS = [
    {"name": "=1+1", "start": 0, "score": 0.5, "icu": True},
    {"name": None, "start": None, "score": None, "icu": None},
    {"name": 'a "b", c\né', "start": 10**14, "score": 1e-9, "icu": False},
]
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "{=1}"]


def sheet(path):
    return CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python(skip_empty_area=False)


@pytest.mark.parametrize(
    ("write", "ending", "delimiter", "encoding"),
    [
        (write_csv, "csv", ",", "utf-8-sig"),
        (write_tsv, "tsv", "\t", "utf-8"),
        (write_plain_csv, "csv", ",", "utf-8"),
    ],
)
def test_text_files_hold_the_cells_as_they_are(
    write, ending, delimiter, encoding, tmp_path, caplog
):
    path = tmp_path / f"rows.{ending}"
    write(ROWS, COLUMNS, path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")
    with path.open(encoding=encoding, newline="") as stream:
        header, *rows = csv.reader(stream, delimiter=delimiter)
    assert header == list(COLUMNS)
    assert rows == [["" if c is None else str(c) for c in row.values()] for row in ROWS]
    frame = pd.read_csv(path, sep=delimiter)
    assert list(frame) == list(COLUMNS)
    assert frame["start"].dropna().tolist() == [0, 10**14]
    assert "1 cells of text begin with = + - @" in caplog.text


@pytest.mark.parametrize(("write", "delimiter"), [(write_csv, ","), (write_tsv, "\t")])
def test_a_carriage_return_in_a_cell_ends_no_row(write, delimiter, tmp_path):
    path = tmp_path / "rows"
    cells = ["a\rb", "\r", "c\nd", "e\r\nf", "g"]
    write([{"name": cell, "start": 1} for cell in cells], {"name": str, "start": int}, path)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream, delimiter=delimiter))
    assert rows == [["name", "start"], *([cell, "1"] for cell in cells)]
    assert path.read_bytes().endswith(f"\ng{delimiter}1\n".encode())


def test_parquet_columns_have_their_types(tmp_path):
    write_parquet(ROWS, COLUMNS, tmp_path / "rows.parquet")
    table = pq.read_table(tmp_path / "rows.parquet")
    assert list(map(str, table.schema.types)) == ["string", "int64", "double", "bool"]
    assert table.to_pylist() == ROWS
    write_parquet([], COLUMNS, tmp_path / "none.parquet")
    assert pq.read_table(tmp_path / "none.parquet").schema == table.schema


def test_parquet_is_written_in_groups_and_keeps_what_came_before_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(row_files, "ROW_GROUP", 2)
    path = tmp_path / "rows.parquet"
    write_parquet(ROWS, COLUMNS, path)
    assert pq.ParquetFile(path).metadata.num_row_groups == 2

    def failing():
        yield from ROWS
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parquet(failing(), COLUMNS, path)
    assert pq.read_table(path).to_pylist() == ROWS


def test_a_workbook_holds_text_numbers_and_truth_values(tmp_path):
    path = tmp_path / "rows.xlsx"
    write_xlsx(ROWS, COLUMNS, path)
    header, *rows = sheet(path)
    assert header == list(COLUMNS)
    assert rows == [["" if c is None else c for c in row.values()] for row in ROWS]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_nothing_in_a_workbook_becomes_a_formula_a_link_or_markup(tmp_path):
    path = tmp_path / "rows.xlsx"
    odd = [*FORMULAS, "http://example.org", "007", "<r>x</r>", "<b>&", " x ", "_x0041_", "\x01"]
    write_xlsx([{cell: cell for cell in odd}], dict.fromkeys(odd, str), path)
    # Line ends are one in XML.
    assert [cell.replace("\r", "") for cell in sheet(path)[1]] == [c.replace("\r", "") for c in odd]
    with zipfile.ZipFile(path) as archive:
        xml = archive.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in xml
    assert "hyperlink" not in xml


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=20)))
def test_any_text_comes_back_out_of_a_workbook(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("book") / "rows.xlsx"
    write_xlsx([{"text": text} for text in texts], {"text": str}, path)
    assert sheet(path) == [["text"], *([text] for text in texts)]


def test_the_same_rows_are_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name, write in {"xlsx": write_xlsx, "parquet": write_parquet, "csv": write_csv}.items():
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir(exist_ok=True)
            write(ROWS, COLUMNS, tmp_path / folder / f"rows.{name}")
        first, second = (tmp_path / folder / f"rows.{name}" for folder in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(tmp_path / "a" / "rows.xlsx") as archive:
        assert b"2023-11-14T22:13:20Z" in archive.read("docProps/core.xml")


def test_what_a_sheet_has_no_room_for_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "rows.xlsx"
    write_xlsx([{"name": "x" * CELL_UNITS}], {"name": str}, path)
    assert len(sheet(path)[1][0]) == CELL_UNITS
    with pytest.raises(OutputError, match=r"row 2, column 'name': 32,768 characters.* 32,767"):
        write_xlsx([{"name": "x" * 32_768}], {"name": str}, path)
    with pytest.raises(OutputError, match="16,385 columns"):
        write_xlsx([], dict.fromkeys(map(str, range(16_385)), str), path)
    monkeypatch.setattr(row_files, "SHEET_ROWS", 3)
    rows = [{"name": name} for name in "abc"]
    write_xlsx(rows[:2], {"name": str}, path)
    with pytest.raises(OutputError, match=r"more than 2 rows.* write \.parquet or \.csv"):
        write_xlsx(rows, {"name": str}, path)
    # What there was room for can be opened.
    assert sheet(path) == [["name"], ["a"], ["b"]]


def test_the_extra_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clinical-tl\[excel\]'"):
        write_xlsx(ROWS, COLUMNS, tmp_path / "rows.xlsx")


def test_a_full_disk_is_told_as_the_disk_tells_it(tmp_path, monkeypatch):
    def full(*_args, **_settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zipfile.ZipFile.write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_xlsx(ROWS, COLUMNS, tmp_path / "rows.xlsx")
    assert caught.value.errno == errno.ENOSPC
    # The file itself is a draft, which goes with its block.
    assert [file.name for file in tmp_path.iterdir()] == ["rows.xlsx"]
