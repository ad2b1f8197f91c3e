import base64
import datetime as dt
import struct
import time
import zipfile
import zlib

import pytest

from clinical_tl.data.formats import spreadsheets
from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, MissingExtraError, NoteError
from clinical_tl.schema import Note

pytest.importorskip("python_calamine", reason="the extra [excel] is not installed")
xlsxwriter = pytest.importorskip("xlsxwriter", reason="the extra [excel] is not installed")

HEADER = ("note_id", "text", "label")


def workbook(path, sheets, hidden=(), merged=(), errors=()):
    """Writes rows a sheet; `merged` are (range, value), `errors` cells, of the first sheet."""
    book = xlsxwriter.Workbook(str(path))
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                if isinstance(cell, dt.date):
                    sheet.write_datetime(i, j, cell, day)
                elif cell is not None:
                    sheet.write(i, j, cell)
        if name in hidden:
            sheet.hide()
    first = book.worksheets()[0]
    for where, value in merged:
        first.merge_range(where, value)
    for where in errors:
        first.write_formula(where, "=1/0", None, "#DIV/0!")
    book.close()
    return path


def test_cells_are_read_by_their_types(tmp_path, caplog):
    rows = [
        ("note_id", "text", "patient_id", "label", "day", "age", "codes"),
        (1, "Fieber", 10006, True, dt.date(2024, 1, 2), 67, "I10; E11.9"),
        (2, "Husten", "P7", "ja", None, 0.5, None),
        (3, "weder", None, None, None, None, "NA"),
    ]
    path = workbook(tmp_path / "a.xlsx", {"Notes": rows})
    notes = list(read_notes(path, metadata_columns=["day", "age"]))
    assert [(n.note_id, n.patient_id, n.label, n.codes) for n in notes] == [
        ("1", "10006", "TRUE", ("I10", "E11.9")),
        ("2", "P7", "ja", ()),
        ("3", None, None, None),
    ]
    assert [dict(n.metadata) for n in notes[:2]] == [
        {"day": "2024-01-02", "age": 67},
        {"day": "", "age": 0.5},
    ]
    assert "3 note_id: whole numbers written as floats" in caplog.text


def test_the_header_stands_under_titles_and_places_are_rows_of_the_sheet(tmp_path, caplog):
    rows = [
        (None,),
        ("Export of ward 3", None, None),
        (None, None, "2024"),
        HEADER,
        ("1", "a", "x"),
        (None, None, None),
        ("2", None, "x"),
        ("3", "c", "y"),
    ]
    path = workbook(tmp_path / "a.xlsx", {"s": rows})
    with pytest.raises(FaultyNotesError, match=r"a\.xlsx:7 \(note 2\): an empty note"):
        read_notes(path)
    assert read_notes(path, on_error="skip")["note_id"] == ["1", "3"]
    assert "2 rows above the header; 1 rows whose cells are all blank" in caplog.text


def test_sheets_begin_where_their_cells_do(tmp_path):
    rows = [(), (), (None, None, *HEADER), (None, None, "1", "a", "x")]
    path = workbook(tmp_path / "a.xlsx", {"s": rows}, errors=["D5"])
    with pytest.raises(FaultyNotesError, match=r"a\.xlsx:5: a cell with an error in column 'text'"):
        read_notes(path)
    assert list(read_notes(path, on_error="skip")) == [Note("1", "a", label="x")]


def test_an_error_in_a_column_that_is_not_read_is_none(tmp_path):
    rows = [(*HEADER, "sum"), ("1", "a", "x"), ("2", "b", "y")]
    path = workbook(tmp_path / "a.xlsx", {"s": rows}, errors=["D2", "C3"])
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(path)
    assert [fault.where for fault in caught.value.faults] == ["a.xlsx:3"]
    with pytest.raises(FaultyNotesError, match="column 'sum'"):
        read_notes(path, metadata_columns=["sum"])


@pytest.mark.parametrize(
    ("member", "tag"),
    [
        ("xl/worksheets/sheet1.xml", b"<c "),
        ("xl/workbook.xml", b"<sheet "),
        ("xl/_rels/workbook.xml.rels", b"<Relationship "),
    ],
)
def test_tags_that_do_not_end_cost_no_time_squared(tmp_path, member, tag):
    path = workbook(tmp_path / "a.xlsx", {"s": [["note_id", "text"], ["1", "fever"]]})
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    head, end, rest = parts[member].partition(b"?>")
    parts[member] = head + end + b"<!-- " + tag * 100_000 + b"-->" + rest
    # Not deflated: so much of one word would be refused as it is.
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    start = time.perf_counter()
    assert list(read_notes(tmp_path / "b.xlsx")) == [Note("1", "fever")]
    assert time.perf_counter() - start < 10


def test_a_date_that_excel_made_of_an_id_or_a_code_is_a_fault(tmp_path):
    rows = [("note_id", "text", "codes"), (dt.date(2024, 3, 1), "a", "x"), ("2", "b", 401.9)]
    rows.append(("3", "c", dt.date(2024, 3, 1)))
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(workbook(tmp_path / "a.xlsx", {"s": rows}))
    assert [fault.found for fault in caught.value.faults] == [
        "note_id is of type date",
        "codes that are numbers",
        "codes is no list of strings",
    ]


def test_several_sheets_need_a_name_and_hidden_ones_do_not_count(tmp_path, caplog):
    sheets = {"2023": [HEADER, ("1", "a", "x")], "2024": [HEADER, ("2", "b", "y")], "empty": []}
    path = workbook(tmp_path / "a.xlsx", sheets)
    with pytest.raises(ConfigError, match=r"2 sheets with cells, \['2023', '2024'\]; say which"):
        read_notes(path)
    assert read_notes(path, sheet="2024")["note_id"] == read_notes(path, sheet=2)["note_id"]
    for wrong in ("2025", 0, 4, True):
        with pytest.raises(ConfigError, match="a number from 1 to 3, or one of"):
            read_notes(path, sheet=wrong)
    workbook(path, sheets, hidden=["2024"])
    assert read_notes(path)["note_id"] == ["1"]
    assert "1 hidden sheets" in caplog.text


def test_merged_cells_are_headings_or_the_value_of_each_row(tmp_path, caplog):
    rows = [("note_id", "text", "patient_id"), (), ("1", "a"), ("2", "b"), ("3", "c", "P8")]
    merged = [("A2:C2", "Station 3"), ("C3:C4", "P7")]
    path = workbook(tmp_path / "a.xlsx", {"s": rows}, merged=merged)
    notes = read_notes(path)
    assert notes["patient_id"] == ["P7", "P7", "P8"]
    assert "1 rows that are one cell over several columns" in caplog.text
    assert "1 cells of several rows in one" in caplog.text


def test_columns_without_a_name_are_passed_over_and_counted(tmp_path, caplog):
    path = workbook(tmp_path / "a.xlsx", {"s": [(*HEADER, None), ("1", "a", "x", "note!")]})
    assert read_notes(path, metadata_columns="rest")[0].metadata == {}
    assert "1 columns with cells and without a name" in caplog.text


def test_one_hot_columns_of_numbers_and_booleans(tmp_path):
    rows = [("note_id", "text", "I10", "E11.9"), ("1", "a", 1, False), ("2", "b", 0, 0), ("3", "c")]
    path = workbook(tmp_path / "a.xlsx", {"s": rows})
    codes = [note.codes for note in read_notes(path, columns={"codes": ["I10", "E11.9"]})]
    assert codes == [("I10",), (), ()]


def test_a_workbook_in_a_folder_or_an_archive_is_read(tmp_path):
    book = workbook(tmp_path / "a.xlsx", {"s": [HEADER, ("1", "a", "x")]})
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(book, "in/a.xlsx")
    assert list(read_notes(tmp_path / "b.zip")) == list(read_notes(book))
    book.rename(tmp_path / "unnamed")
    assert list(read_notes(tmp_path / "unnamed")) == [Note("1", "a", label="x")]


ODS = (
    '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"><office:body>'
    '<office:spreadsheet><table:table table:name="s">{rows}</table:table></office:spreadsheet>'
    "</office:body></office:document-content>"
)


MANIFEST = (
    '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
)


def test_open_document_is_read_and_its_errors_are_counted(tmp_path, caplog):
    error = (
        '<table:table-cell office:value-type="string" office:string-value="" '
        'calcext:value-type="error"><text:p>#DIV/0!</text:p></table:table-cell>'
    )
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    rows = "".join(
        "<table:table-row>" + "".join(map(cell.format, row)) + "</table:table-row>"
        for row in (HEADER, ("1", "Fieber", "x"))
    )
    rows += rows[rows.rindex("<table:table-row>") :].replace(">1<", ">2<")
    rows = rows.removesuffix(cell.format("x") + "</table:table-row>") + error + "</table:table-row>"
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("META-INF/manifest.xml", MANIFEST)
        archive.writestr("content.xml", ODS.format(rows=rows))
    notes = read_notes(tmp_path / "a.ods")
    assert list(notes) == [Note("1", "Fieber", label="x"), Note("2", "Fieber")]
    assert "1 cells of the workbook with errors, which look empty" in caplog.text


def compound_file(*names):
    """An OLE container, as Office encrypts workbooks in, with empty streams of these names."""
    end, free, none = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, end, 0, end, 0)
    head += struct.pack("<109I", 0, *[free] * 108)
    fat = struct.pack("<128I", 0xFFFFFFFD, end, *[free] * 126)
    entries = b""
    for i, (name, kind) in enumerate([("Root Entry", 5), *((name, 2) for name in names)]):
        coded = (name + "\0").encode("utf-16-le")
        right = i + 1 if 0 < i < len(names) else none
        child = 1 if kind == 5 else none
        entries += coded.ljust(64, b"\0") + struct.pack(
            "<HBBIII", len(coded), kind, 1, none, right, child
        )
        entries += bytes(16 + 4 + 16) + struct.pack("<IQ", end, 0)
    return head + fat + entries.ljust(512, b"\0")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", compound_file("EncryptedPackage", "EncryptionInfo"), "protected by a password"),
        ("a.xlsx", b"PK\x03\x04nonsense", "no workbook, or a broken one"),
        ("a.xls", b"<html><table></table></html>", "it looks like a web page"),
        ("a.xls", b"note_id\ttext\n1\ta\n", "format='csv' or 'tsv'"),
        ("a.ods", b"", "no workbook"),
    ],
)
def test_what_is_no_readable_workbook_is_said(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FaultyNotesError, match=message):
        read_notes(tmp_path / name)


def test_a_sheet_without_notes_is_a_fault(tmp_path):
    for rows in ([], [HEADER]):
        with pytest.raises(FaultyNotesError, match="no note at all"):
            read_notes(workbook(tmp_path / "a.xlsx", {"s": rows}))
    with pytest.raises(FaultyNotesError, match=r"a\.xlsx:1: the header's 2 columns do not include"):
        read_notes(workbook(tmp_path / "a.xlsx", {"s": [("id", "letter"), ("1", "a")]}))


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    path = workbook(tmp_path / "a.xlsx", {"s": [HEADER, ("1", "a", "x")]})
    for package in ("python_calamine", "xlsxwriter"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clinical-tl\[excel\]'"):
        read_notes(path)
    with pytest.raises(MissingExtraError, match=r"pip install 'clinical-tl\[excel\]'"):
        write_notes([Note("1", "a")], tmp_path / "b.xlsx")


def test_what_a_sheet_can_not_hold_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.xlsx"
    write_notes([Note("1", "a" * 32_767)], path)
    assert read_notes(path)["text"] == ["a" * 32_767]
    for text in ("a" * 32_768, "😀" * 16_384):
        with pytest.raises(NoteError, match=r"note 1: text takes .* a cell of Excel 32,767"):
            write_notes([Note("1", text)], tmp_path / "b.xlsx")
    monkeypatch.setattr(spreadsheets, "SHEET_ROWS", 3)
    write_notes([Note("1", "a"), Note("2", "b")], path)
    with pytest.raises(NoteError, match="more than 2 notes"):
        write_notes([Note(str(i), "a") for i in range(3)], path)
    assert len(read_notes(path)) == 2


def test_no_cell_is_a_formula_a_link_or_a_number(tmp_path):
    texts = ["=1+1", "{=SUM(A1)}", "https://example.org", "1.50", "+49 30", "@cmd", " blank "]
    write_notes([Note(f"n{i}", text) for i, text in enumerate(texts)], tmp_path / "a.xlsx")
    assert read_notes(tmp_path / "a.xlsx")["text"] == texts
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet


def test_characters_that_a_workbook_can_not_hold_are_a_loss(tmp_path):
    kept = [chr(i) for i in [*range(32), 0x7F, *range(0x80, 0xA0), 0xAD, 0xFEFF, 0x1FFFE]]
    notes = [Note(f"n{i}", f"a{char}b") for i, char in enumerate([*kept, "_x000D_", "<&>"])]
    write_notes(notes, tmp_path / "a.xlsx")
    assert list(read_notes(tmp_path / "a.xlsx")) == notes
    for text in ("a\ufffeb", "_x005F_x000D_"):
        with pytest.raises(NoteError, match="can't hold 1 text with characters that XML lacks"):
            write_notes([Note("1", text)], tmp_path / "b.xlsx")


# A sheet of two rows as Excel 97 has it: packed, in base 85.
XLS = (
    "c-rk)O=uHA6#izDG(WWIrlvwGlu)p0Er@vWQnw1WCrkCB6rm<&520mK);*{Pt=1d`!IRQUp%*VzFaDqhy?GEKdJqI5"
    "(W56p!9$z%&D&W?tA_?OsLZ#_n>X*x+j*JyW+t<*s+rpI{r);O;SeHd_(^m$$pn>T*f2qQ-<NDyC#d)u{}hr53S>tN"
    "Pr6>lWejD!>o9OH`kW~6fy!yjW3uenxi;bm`;ZsXhf$&eOC(97kG<+)dY0)nrgypLQ>J4qxz2Qy`qsoWs@CN2L6ya)"
    "j6v3=A>aFuZQikDKYH;(X7S}4BIp~#VYif@`#Ti_(N3&@;x=JBwws@;Axi;V!B;;Ad<j?Tvz(T<S1v&EZyV+DU&wD7"
    "QD6c78BXvDZLZZw5a4rb*auQ_p#VE&&z>n2spZ+{y%aE?_e!?ok&IUCc*!o<Zc1*?yqwJq%ejlwypw1V-OOh=*-hH8"
    "*Y13NeXKBL&9G#FxA0)2-zj~Ak1NuGjMJ<!m`W#yncvIwD!+9H^ZiV-l%iA*P4y~fe3AQHW9<-)bAa*2+SSDGCcg6N"
    "_@jZ!M{5u9s}uE$+10n!G6rdGiexXJMU03Mar>6UV=JtM+7#Y1?fYqiNEoK_-B+hsH`bA2Hp4V%$=MM<T85e{X)QKc"
    "UouiG%kV7A{(`OL>;yV#J-tMSsnLT6JauDD$7u>08X6iJ8X6iJ8f}J9f9fOZt`Sq0hPe8!vreU<Ka>2oIDs-f9$ie2"
    "!lBy5g_iPXJ7OYym)N3B_`Oi#B#rK376tZWw&nb#OP^@|JzF+3f8P>nb^Jyve*WR{zXMfH$I$"
)


def test_a_workbook_of_the_old_kind_is_read(tmp_path, caplog):
    (tmp_path / "a.xls").write_bytes(zlib.decompress(base64.b85decode(XLS)))
    assert list(read_notes(tmp_path / "a.xls")) == [Note("1", "Fieber", patient_id="10006")]
    assert "cells with errors look empty" in caplog.text


@pytest.mark.parametrize("ending", ["xls", "ods", "xlsm"])
def test_only_xlsx_is_written(tmp_path, ending):
    with pytest.raises(ConfigError, match=rf"written as \.xlsx, not as \.{ending}"):
        write_notes([Note("1", "a")], tmp_path / f"a.{ending}", format="excel")
    with pytest.raises(ConfigError, match="this ending does not tell the format"):
        write_notes([Note("1", "a")], tmp_path / f"a.{ending}")
