"""Rows as CSV, TSV, Parquet and Excel workbooks, written as they come."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from clinical_tl.data.formats.packing import packed_output
from clinical_tl.data.formats.workbook import (
    CELL_UNITS,
    SHEET_COLUMNS,
    SHEET_ROWS,
    fits_a_cell,
    new_workbook,
    put_text,
)
from clinical_tl.data.results.tidy_rows import Columns, Row
from clinical_tl.errors import OutputError, shown_id

if TYPE_CHECKING:
    import pyarrow as pa
    from xlsxwriter.worksheet import Worksheet

log = logging.getLogger(__name__)

ROW_GROUP = 10_000
# What a spreadsheet program takes for a formula where a text cell of a CSV begins with it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

RowWriter = Callable[[Iterable[Row], Columns, Path], None]


def write_csv(rows: Iterable[Row], columns: Columns, path: Path) -> None:
    """Writes commas between cells, UTF-8 with a byte order mark.

    A double click opens a CSV in Excel, which takes UTF-8 for the old code page of the country
    unless the mark is there; pandas, Polars and readr skip it. Cells stand as they are, so that
    programs read what was said; those that begin as a formula does are counted in the log.
    """
    _write_cells(rows, columns, path, delimiter=",", encoding="utf-8-sig")


def write_tsv(rows: Iterable[Row], columns: Columns, path: Path) -> None:
    """Writes tabs between cells, UTF-8 without a mark: for programs."""
    _write_cells(rows, columns, path, delimiter="\t", encoding="utf-8")


def write_plain_csv(rows: Iterable[Row], columns: Columns, path: Path) -> None:
    """Writes commas between cells, UTF-8 without a mark, as databases load it."""
    _write_cells(rows, columns, path, delimiter=",", encoding="utf-8")


class _LineFeeds:
    """Ends rows with a line feed alone.

    `csv` puts cells in quotes that hold what ends its rows: it must think that a carriage return
    does, too, as every reader does.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, row: str) -> int:
        return self._stream.write(row.removesuffix("\r\n") + "\n")


def _write_cells(
    rows: Iterable[Row], columns: Columns, path: Path, *, delimiter: str, encoding: str
) -> None:
    risky = 0
    with (
        packed_output(path) as raw,
        io.TextIOWrapper(raw, encoding=encoding, newline="") as stream,
    ):
        writer = csv.writer(_LineFeeds(stream), delimiter=delimiter)
        writer.writerow(columns)
        for row in rows:
            cells = [row[name] for name in columns]
            risky += sum(isinstance(cell, str) and cell.startswith(FORMULA) for cell in cells)
            writer.writerow(cells)
    if risky:
        log.warning(
            "%d cells of text begin with = + - @, a tab or a line break, which spreadsheet "
            "programs take for formulas; for Excel write .xlsx, where they stay text",
            risky,
        )


def write_parquet(rows: Iterable[Row], columns: Columns, path: Path) -> None:
    """Writes typed columns, `ROW_GROUP` rows in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, _arrow_type(kind)) for name, kind in columns.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    group: list[Row] = []
    failure: BaseException | None = None
    while failure is None:
        group = []
        try:
            for row in islice(rows, ROW_GROUP):
                group.append(row)
        except BaseException as error:
            failure = error
        if group:
            yield group
        if len(group) < ROW_GROUP:
            break
    if failure is not None:
        raise failure


def _arrow_type(kind: type) -> pa.DataType:
    import pyarrow as pa

    return {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        date: pa.date32(),
        datetime: pa.timestamp("s"),
    }[kind]


def write_xlsx(rows: Iterable[Row], columns: Columns, path: Path) -> None:
    """Writes a workbook of one sheet, with a filter over the header, which stays in sight.

    Text stays text: nothing becomes a formula, a link or a number. Rows wait on the disk, beside
    the file.

    Raises:
        MissingExtraError: the extra `[excel]` is not installed.
        OutputError: more rows, columns or characters in a cell than Excel has room for.
    """
    names = list(columns)
    if len(names) > SHEET_COLUMNS:
        raise OutputError(
            f"{len(names):,} columns, but a sheet holds {SHEET_COLUMNS:,}; write .parquet or .csv"
        )
    with new_workbook(path) as book:
        sheet = book.add_worksheet("predictions")
        bold = book.add_format({"bold": True})
        sheet.freeze_panes(1, 1)
        n = 0
        try:
            for column, name in enumerate(names):
                _write_text(sheet, 0, column, name, name)
                sheet.set_column(column, column, max(8, min(len(name) + 4, 40)))
            sheet.set_row(0, None, bold)
            for n, row in enumerate(rows, start=1):
                if n >= SHEET_ROWS:
                    raise OutputError(
                        f"more than {SHEET_ROWS - 1:,} rows, which is all that a sheet holds; "
                        "write .parquet or .csv, or predict the notes in parts"
                    )
                for column, name in enumerate(names):
                    _write_cell(sheet, n, column, name, row[name])
        finally:
            sheet.autofilter(0, 0, min(n, SHEET_ROWS - 1), len(names) - 1)


def _write_cell(sheet: Worksheet, row: int, column: int, name: str, cell: object) -> None:
    if cell is None:
        return
    if isinstance(cell, bool):
        sheet.write_boolean(row, column, cell)
    elif isinstance(cell, int | float) and math.isfinite(cell):
        sheet.write_number(row, column, cell)
    else:
        _write_text(sheet, row, column, name, str(cell))


def _write_text(sheet: Worksheet, row: int, column: int, name: str, text: str) -> None:
    if not fits_a_cell(text):
        raise OutputError(
            f"row {row + 1:,}, column {shown_id(name, 'column')!r}: {len(text):,} characters, but "
            f"a cell holds {CELL_UNITS:,}; write .parquet or .csv"
        )
    put_text(sheet, row, column, text)
