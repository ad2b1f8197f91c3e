"""Spreadsheets: Excel's `.xlsx`, `.xlsm` and `.xls`, and OpenDocument's `.ods`.

A sheet is a table with a note a row. Its cells have types, which say more than a CSV of it would:
a date that stands where an id or a code should is one that Excel has made of it, and is a fault.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.note_cells import COLUMNS, note_to_cells
from clinical_tl.data.formats.packing import check_expansion
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.table_rows import BLANK_ROWS, TableRows
from clinical_tl.data.formats.workbook import (
    CELL_UNITS,
    SHEET_ROWS,
    fits_a_cell,
    new_workbook,
    put_text,
)
from clinical_tl.errors import (
    ConfigError,
    MissingExtraError,
    NoteError,
    shown_id,
    shown_ids,
    shown_value,
)
from clinical_tl.schema import NOTE_FIELDS, Note

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

    Cell: TypeAlias = int | float | str | bool | time | date | timedelta

# Titles and dates of an export stand above the header, rarely more.
SEARCHED_ROWS = 20
_EXTRA = "excel"
_TITLES = "rows above the header"
_HEADINGS = "rows that are one cell over several columns"
_UNDER_MERGED = "cells of several rows in one, read as the value of each of the rows"
_UNPLACED = "cells of the workbook with errors, which look empty"
_NAMELESS = "columns with cells and without a name"
# XML has no such characters, and Excel's escape of an escape does not come back.
_UNSAFE = re.compile("[\ufffe\uffff]|_x005F_x[0-9A-F]{4}_", re.IGNORECASE)
# No tag holds a "<": where the next begins, a search ends, so that it takes no time squared.
_ERROR_CELL = re.compile(rb"<(?:\w+:)?c\s(?=[^<>]*\bt=[\"']e[\"'])[^<>]*?\br=[\"']([A-Z]+)([0-9]+)")


def read_excel(
    file: File, faults: Faults, *, layout: Layout, sheet: str | int | None = None
) -> Iterator[Note]:
    """Yields a note for every row under the header; places are row numbers of the sheet.

    The header is the first row, of the first 20, that has the columns asked for. Whole numbers
    are read as such (10006, which the sheet stores as 10006.0), dates in metadata as ISO text.
    One cell over several rows is the value of each; rows that are blank, or one cell over several
    columns, are passed over. A cell with an error (`#DIV/0!`) in a column that is read is a fault;
    in `.xls` and `.ods` it looks empty, which is said. The sheet is held in memory.

    Args:
        file: the workbook.
        faults: where what is wrong goes.
        layout: which column holds which field.
        sheet: the name or the number (from 1) of the sheet; needed only where several of those
            that are not hidden have cells.

    Raises:
        ConfigError: several sheets and none named, or one that isn't there.
        MissingExtraError: the extra `[excel]` is not installed.
    """
    yield from read_sheet(file, faults, TableRows(layout), sheet)


def read_sheet(
    file: File, faults: Faults, rows: TableRows, sheet: str | int | None = None
) -> Iterator[Note]:
    """As `read_excel`, of rows that become notes as `rows` says."""
    source = file.seekable()
    _check_archive(source)
    with _workbook(file, source) as book:
        chosen = _chosen(book, sheet, file, faults)
        if chosen is None:
            return
        position = book.sheet_names.index(chosen.name)
        table = _Table(chosen, _errors(source, position, faults), faults)
    yield from table.notes(file.name, rows)


class _Table:
    """The cells of one sheet, from its first column with any, and where errors stand."""

    def __init__(
        self, sheet: CalamineSheet, errors: Sequence[tuple[int, int]], faults: Faults
    ) -> None:
        first = (sheet.start or (0, 0))[1]
        self.faults = faults
        self.cells: list[list[Cell]] = [list(row) for row in sheet.iter_rows()]
        # Row number (from 1) → positions of cells.
        self.errors: dict[int, list[int]] = {}
        for number, column in errors:
            self.errors.setdefault(number, []).append(column - first)
        self.headings: set[int] = set()
        for (top, left), (bottom, right) in sheet.merged_cell_ranges or ():
            self._unmerge(top, left - first, bottom, right - first)

    def _unmerge(self, top: int, left: int, bottom: int, right: int) -> None:
        if top >= len(self.cells) or left >= len(self.cells[top]):
            return
        value = self.cells[top][left]
        if left < right:
            others = (cell for i, cell in enumerate(self.cells[top]) if i != left)
            if value != "" and all(_is_blank(cell) for cell in others):
                self.headings.add(top)
            return
        for row in self.cells[top + 1 : bottom + 1]:
            row[left] = value
            self.faults.changed[_UNDER_MERGED] += value != ""

    def notes(self, name: str, rows: TableRows) -> Iterator[Note]:
        """Yields the notes of the sheet."""
        at = self._header(rows)
        if at is None:
            return
        header, place = [_name(cell) for cell in self.cells[at]], Place(name, at + 1)
        named = [i for i, column in enumerate(header) if column]
        if not rows.accepts([header[i] for i in named], place, self.faults):
            return
        titles = sum(not _is_blank_row(row) for row in self.cells[:at])
        self.faults.passed_over.update({_TITLES: titles} if titles else {})
        below = [i for i in range(at + 1, len(self.cells)) if i not in self.headings]
        nameless = sum(
            any(not _is_blank(self.cells[row][i]) for row in below)
            for i, column in enumerate(header)
            if not column
        )
        self.faults.passed_over.update({_NAMELESS: nameless} if nameless else {})
        used = _used(rows.layout, [header[i] for i in named])
        for number, i in enumerate(range(at + 1, len(self.cells)), 1):
            place = Place(name, i + 1)
            if i in self.headings:
                self.faults.passed_over[_HEADINGS] += 1
            elif _is_blank_row(self.cells[i]) and not self.errors.get(i + 1):
                self.faults.passed_over[BLANK_ROWS] += 1
            else:
                read = partial(self._note, i, header, used, number, place, rows)
                yield from self.faults.reading(read, place)

    def _header(self, rows: TableRows) -> int | None:
        """The row that has what is asked for, else the first that is not blank."""
        seen = [i for i, row in enumerate(self.cells[:SEARCHED_ROWS]) if not _is_blank_row(row)]
        for i in seen:
            if not rows.missing([_name(cell) for cell in self.cells[i]]):
                return i
        filled = (i for i, row in enumerate(self.cells) if not _is_blank_row(row))
        return seen[0] if seen else next(filled, None)

    def _note(
        self,
        i: int,
        header: Sequence[str],
        used: frozenset[str],
        number: int,
        place: Place,
        rows: TableRows,
    ) -> Note | None:
        wrong = [header[c] for c in self.errors.get(i + 1, ()) if 0 <= c < len(header)]
        for column in wrong:
            if column in used:
                self.faults.add(
                    place,
                    f"a cell with an error in column {shown_id(column, 'column')!r}",
                    "a value, or an empty cell",
                )
                return None
        label = rows.layout.columns.get("label", "label")
        record = {
            column: _cell(cell, is_label=column == label)
            for column, cell in zip(header, self.cells[i], strict=True)
            if column
        }
        return rows.note(record, number, place, self.faults)


def _workbook(file: File, source: Path | BinaryIO) -> CalamineWorkbook:
    try:
        from python_calamine import CalamineError, CalamineWorkbook, PasswordError
    except ImportError as error:
        raise MissingExtraError("python-calamine", _EXTRA, "reading spreadsheets") from error
    if not isinstance(source, Path):
        source.seek(0)
    try:
        return CalamineWorkbook.from_object(source)
    except PasswordError:
        raise UnreadableError(
            "a workbook that is protected by a password", "one saved without a password"
        ) from None
    except (CalamineError, OSError):
        what, _ = Sight.of(file).described()
        raise UnreadableError(
            f"no workbook, or a broken one; it looks like {what}",
            "a workbook as Excel or LibreOffice saves it; of text that is called .xls, "
            "format='csv' or 'tsv'",
        ) from None


def _check_archive(source: Path | BinaryIO) -> None:
    """Makes sure that a workbook, which but for `.xls` is a packed one, may be unpacked."""
    if not zipfile.is_zipfile(source):
        return
    with zipfile.ZipFile(source) as archive:
        sizes = [(info.compress_size, info.file_size) for info in archive.infolist()]
    check_expansion(sum(packed for packed, _ in sizes), sum(size for _, size in sizes))


def _chosen(
    book: CalamineWorkbook, sheet: str | int | None, file: File, faults: Faults
) -> CalamineSheet | None:
    """The sheet to read; `None` if there is none with cells."""
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    names = book.sheet_names
    if sheet is not None:
        if isinstance(sheet, int) and not isinstance(sheet, bool) and 1 <= sheet <= len(names):
            return book.get_sheet_by_index(sheet - 1)
        if isinstance(sheet, str) and sheet in names:
            return book.get_sheet_by_name(sheet)
        raise ConfigError(
            f"{file.name}: sheet={shown_value(sheet)}; allowed: a number from 1 to {len(names)}, "
            f"or one of {shown_ids(names, 'name', at_most=len(names))}"
        )
    filled = [
        (about.visible == SheetVisibleEnum.Visible, found)
        for about in book.sheets_metadata
        if about.typ == SheetTypeEnum.WorkSheet
        and (found := book.get_sheet_by_name(about.name)).start is not None
    ]
    visible = [found for is_visible, found in filled if is_visible]
    if len(visible) > 1:
        shown = shown_ids([found.name for found in visible], "name", at_most=len(visible))
        raise ConfigError(
            f"{file.name}: {len(visible)} sheets with cells, {shown}; say which: sheet='<name>' "
            "or its number, from 1"
        )
    if visible and len(filled) > 1:
        faults.passed_over["hidden sheets"] += len(filled) - 1
    return visible[0] if visible else filled[0][1] if len(filled) == 1 else None


def _errors(source: Path | BinaryIO, position: int, faults: Faults) -> list[tuple[int, int]]:
    """(row from 1, column from 0) of the cells of an `.xlsx` sheet that hold errors.

    calamine makes empty cells of them. Those of an `.ods` are counted for the whole workbook.
    """
    if not zipfile.is_zipfile(source):
        faults.doubtful["workbooks of the old kind, in which cells with errors look empty"] += 1
        return []
    with zipfile.ZipFile(source) as archive:
        if "content.xml" in archive.namelist():
            n_errors = archive.read("content.xml").count(b'calcext:value-type="error"')
            faults.doubtful.update({_UNPLACED: n_errors} if n_errors else {})
            return []
        member = _sheet_member(archive, position)
        content = b"" if member is None else archive.read(member)
    return [(int(row), _column(name)) for name, row in _ERROR_CELL.findall(content)]


def _column(name: bytes) -> int:
    """The position, from 0, of a column that a sheet calls A, …, Z, AA, …."""
    number = 0
    for letter in name:
        number = number * 26 + letter - ord("A") + 1
    return number - 1


def _sheet_member(archive: zipfile.ZipFile, position: int) -> str | None:
    """Where the `position`-th sheet lies within an `.xlsx`; `None` in another archive."""
    try:
        book = archive.read("xl/workbook.xml")
        links = archive.read("xl/_rels/workbook.xml.rels")
    except KeyError:
        return None
    sheets = re.findall(rb"<(?:\w+:)?sheet\s[^<>]*\bid=[\"']([^\"']+)[\"']", book)
    targets = {
        _attribute(link, b"Id"): _attribute(link, b"Target")
        for link in re.findall(rb"<(?:\w+:)?Relationship\s[^<>]*>", links)
    }
    target = targets.get(sheets[position].decode()) if position < len(sheets) else None
    if target is None:
        return None
    name = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
    return name if name in archive.namelist() else None


def _attribute(tag: bytes, name: bytes) -> str:
    found = re.search(rb"\s" + name + rb"=[\"']([^\"']*)[\"']", tag)
    return found[1].decode() if found else ""


def _used(layout: Layout, header: Sequence[str]) -> frozenset[str]:
    fields = (column for name in NOTE_FIELDS for column in layout.of_field(name, header))
    return frozenset((*fields, *layout.metadata_of(header)))


def _is_blank(cell: Cell) -> bool:
    return isinstance(cell, str) and not cell.strip()


def _is_blank_row(row: Sequence[Cell]) -> bool:
    return all(map(_is_blank, row))


def _name(cell: Cell) -> str:
    """A column's name; a number without the point that no one has written."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _cell(cell: Cell, *, is_label: bool) -> object:
    """A cell as records have it; a boolean label as Excel shows it."""
    if isinstance(cell, timedelta):
        return str(cell)
    if isinstance(cell, bool) and is_label:
        return str(cell).upper()
    return cell


def write_excel(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes a sheet `notes` with a header and a row a note; every cell is text, none a formula.

    Cells are those of `note_cells`.

    Raises:
        NoteError: more notes than a sheet has rows, or a cell with more characters than Excel
            takes (32,767).
        ConfigError: a name that ends as another kind of workbook does.
        MissingExtraError: the extra `[excel]` is not installed.
    """
    if path.suffix.lower() in EXCEL.endings[1:]:
        raise ConfigError(f"workbooks are written as .xlsx, not as {path.suffix.lower()}")
    with new_workbook(path) as book:
        sheet = book.add_worksheet("notes")
        for column, name in enumerate(COLUMNS):
            put_text(sheet, 0, column, name)
        for number, note in enumerate(losses.counted(notes), 1):
            if number >= SHEET_ROWS:
                raise NoteError(
                    f"more than {SHEET_ROWS - 1:,} notes, which is what a sheet of Excel holds; "
                    "write Parquet, CSV or JSON lines"
                )
            for column, (name, cell) in enumerate(note_to_cells(note, losses).items()):
                if not fits_a_cell(cell):
                    raise NoteError(
                        f"note {shown_id(note.note_id)}: {name} takes {len(cell):,} characters, "
                        f"and a cell of Excel {CELL_UNITS:,}; write Parquet, CSV or JSON lines"
                    )
                losses.add(f"{name} with characters that XML lacks", bool(_UNSAFE.search(cell)))
                if cell:
                    put_text(sheet, number, column, cell)


def _looks(sight: Sight) -> bool:
    start = sight.text[:200]
    is_open_document = start.startswith("PK") and "opendocument.spreadsheet" in start
    return is_open_document or (sight.text.startswith("PK") and "xl/workbook.xml" in sight.text)


EXCEL = Format(
    "excel",
    "a spreadsheet, a note a row",
    read_excel,
    write_excel,
    endings=(".xlsx", ".xlsm", ".xls", ".ods"),
    written=(".xlsx",),
    looks=_looks,
)
