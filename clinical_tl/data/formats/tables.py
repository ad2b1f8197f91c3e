"""Tables: CSV, TSV and Parquet, one note a row."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.lines import check_expansion, open_text
from clinical_tl.data.formats.problems import NOT_UTF8, Faults, Place
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.errors import ConfigError, shown_id, shown_value
from clinical_tl.schema import Note

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_BATCH_ROWS = 1_000


Quoting = Literal["minimal", "none"]


def read_csv(
    path: Path,
    faults: Faults,
    *,
    layout: Layout,
    delimiter: str = ",",
    quoting: Quoting = "minimal",
) -> Iterator[Note]:
    """Yields a note for every row under the header.

    Cells keep their line breaks. An empty cell means *not annotated*, except that an empty
    `codes` cell means *no code*. Spans, relations and metadata may stand in cells as JSON.
    With `quoting="none"` a quote is a character like any other, and every line a row.
    """
    return _read_table(path, faults, layout, delimiter, quoting, doubtful=None)


def read_tsv(
    path: Path, faults: Faults, *, layout: Layout, quoting: Quoting | None = None
) -> Iterator[Note]:
    """As `read_csv`, with tabs between cells.

    Half of the world's TSV is written with quotes and half without. Where the file does not
    show which (a quoted cell that holds a tab might be several rows after a lone quote), it is
    a fault until `quoting` says it.
    """
    return _read_table(
        path, faults, layout, "\t", quoting or "minimal", doubtful="\t" if quoting is None else None
    )


def _read_table(
    path: Path,
    faults: Faults,
    layout: Layout,
    delimiter: str,
    quoting: Quoting,
    *,
    doubtful: str | None,
) -> Iterator[Note]:
    if len(delimiter) != 1 or quoting not in get_args(Quoting):
        raise ConfigError(
            f"delimiter={shown_value(delimiter)}, quoting={shown_value(quoting)}; allowed: one "
            f"character, and {' or '.join(get_args(Quoting))}"
        )
    # The limit of 131,072 characters a cell, which long records exceed, is csv's only global.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with open_text(path) as stream:
        rows = (
            csv.reader(stream, delimiter=delimiter, strict=True, quoting=csv.QUOTE_NONE)
            if quoting == "none"
            else csv.reader(stream, delimiter=delimiter, strict=True)
        )
        header: list[str] | None = None
        number, line = 0, 1
        while True:
            place = Place(path.name, line)
            row: list[str] = []
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                _add_csv_error(place, rows.line_num - line + 1, error, faults)
            line = rows.line_num + 1
            if header is None and row and row[0].lower().startswith("sep="):
                # Excel's line that names the delimiter.
                if row[0][4:] not in ("", delimiter):
                    faults.add(
                        place, "a line 'sep=' with another delimiter", "delimiter as it says"
                    )
                    return
            elif header is None:
                header = row
                if not _is_sound(header, place, faults, layout):
                    return
            elif doubtful is not None and any(doubtful in cell for cell in row):
                number += 1
                _add_doubt(place, line - (place.line or line), faults)
            elif row:
                number += 1
                read = partial(_note, row, header, number, place, faults, layout)
                yield from faults.reading(read, place)


def _add_csv_error(place: Place, n_lines: int, error: csv.Error, faults: Faults) -> None:
    # The module's messages name the delimiter and the problem, never a cell.
    lines = f"a row of {n_lines} lines" if n_lines > 1 else "a row"
    faults.add(
        place,
        f"{lines} that is broken ({error})",
        "cells with quotes, delimiters or line breaks in double quotes, quotes doubled; or "
        "quoting='none' for a file without quoted cells",
    )
    faults.rejected += n_lines


def _add_doubt(place: Place, n_lines: int, faults: Faults) -> None:
    faults.add(
        place,
        f"a quoted cell with a tab in it, over {n_lines} lines in all",
        "quoting='none' if quotes are plain characters in this file, quoting='minimal' if "
        "they enclose cells",
    )
    faults.rejected += n_lines


def _delimiter(header: list[str]) -> str:
    # Excel writes semicolons where a comma is the decimal point.
    for mark in ";\t|":
        if len(header) == 1 and mark in header[0]:
            return f" (is the delimiter another? delimiter={mark!r})"
    return ""


def _is_sound(header: list[str], place: Place, faults: Faults, layout: Layout) -> bool:
    if not header:
        return False
    mark = len(faults)
    if len(set(header)) < len(header):
        faults.add(place, "a header that repeats a column name", "every name once")
    for name, column in layout.missing(header).items():
        # The names found are not shown: where the header is missing, they are a note.
        faults.add(
            place,
            f"the header's {len(header)} columns do not include {shown_id(column, 'column')!r}",
            f"the column of {name}; map it with columns={{{name!r}: '<column>'}}"
            f"{_delimiter(header)}",
        )
    return len(faults) == mark


def _note(
    row: list[str], header: list[str], number: int, place: Place, faults: Faults, layout: Layout
) -> Note | None:
    if len(row) != len(header):
        faults.add(place, f"{len(row)} cells", f"{len(header)} cells, as in the header")
        return None
    return record_to_note(dict(zip(header, row, strict=True)), number, place, faults, layout)


def read_parquet(path: Path, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every row, `PARQUET_BATCH_ROWS` in memory at a time.

    Places are row numbers, from 1.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        faults.add(Place(path.name), "no Parquet file, or a truncated one", "a Parquet file")
        return
    with table:
        if not _is_sound(list(table.schema_arrow.names), Place(path.name), faults, layout):
            return
        sizes = table.metadata.row_group
        unpacked = sum(sizes(i).total_byte_size for i in range(table.metadata.num_row_groups))
        check_expansion(path.stat().st_size, unpacked)
        number, rows = 0, table.metadata.num_rows
        try:
            for batch in table.iter_batches(PARQUET_BATCH_ROWS):
                for record in _records(batch):
                    number += 1
                    place = Place(path.name, number)
                    read = partial(_parquet_note, record, number, place, faults, layout)
                    yield from faults.reading(read, place)
        except (pa.ArrowException, OSError, ValueError) as error:
            faults.add(
                Place(path.name),
                f"pages that are damaged after row {number} ({type(error).__name__})",
                "a Parquet file as it was written",
            )
            faults.rejected += max(rows - number, 0)


def _parquet_note(
    record: dict[str, Any] | None, number: int, place: Place, faults: Faults, layout: Layout
) -> Note | None:
    if record is None:
        faults.add(place, "bytes that are not UTF-8", NOT_UTF8)
        return None
    return record_to_note(record, number, place, faults, layout)


def _records(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    """The rows of a batch; `None` for one whose strings are not valid."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for i in range(len(batch)):
            try:
                yield batch.slice(i, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None
