"""Tables: CSV, TSV and Parquet, one note a row."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from clinical_tl.data.formats.class_names import Names, arrow_class_names, declared, with_names
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.packing import check_expansion
from clinical_tl.data.formats.problems import NOT_UTF8, Faults, Place
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.data.formats.sight import SEEN_CHARACTERS
from clinical_tl.data.formats.token_tags import TagScheme
from clinical_tl.errors import ConfigError, shown_id, shown_value
from clinical_tl.schema import Note

if TYPE_CHECKING:
    from _csv import Reader as _Rows

    import pyarrow as pa

PARQUET_BATCH_ROWS = 1_000


Quoting = Literal["minimal", "none", "backslash"]


def read_csv(
    file: File,
    faults: Faults,
    *,
    layout: Layout,
    delimiter: str | None = None,
    quoting: Quoting | None = None,
) -> Iterator[Note]:
    """Yields a note for every row under the header.

    Cells keep their line breaks. An empty cell means *not annotated*, except that an empty
    `codes` cell means *no code*. Spans, relations and metadata may stand in cells as JSON.

    Args:
        file: the table. A first line `sep=;`, as Excel writes it, names the delimiter.
        faults: where what is wrong goes.
        layout: which column holds which field.
        delimiter: what stands between cells; by default the one of `, ; tab |` by which the
            header has the columns asked for.
        quoting: `minimal`: cells may stand in quotes, quotes in them doubled; `backslash`: quotes
            in them stand after a backslash (as MySQL and Spark write); `none`: a quote is a
            character like any other, and every line a row. By default `minimal`, or
            `backslash` where only that fits.
    """
    yield from _read_table(file, faults, layout, delimiter, quoting, ",;\t|")


def read_tsv(
    file: File,
    faults: Faults,
    *,
    layout: Layout,
    delimiter: str | None = None,
    quoting: Quoting | None = None,
) -> Iterator[Note]:
    """As `read_csv`, with tabs between cells.

    Half of the world's TSV is written with quotes and half without. Where the file does not
    show which (a quoted cell that holds a tab might be several rows after a lone quote), it is
    a fault until `quoting` says it.
    """
    yield from _read_table(file, faults, layout, delimiter, quoting, "\t,;|")


def _read_table(
    file: File,
    faults: Faults,
    layout: Layout,
    delimiter: str | None,
    quoting: Quoting | None,
    tried: str,
) -> Iterator[Note]:
    allowed = get_args(Quoting)
    if (delimiter is not None and len(delimiter) != 1) or quoting not in (None, *allowed):
        raise ConfigError(
            f"delimiter={shown_value(delimiter)}, quoting={shown_value(quoting)}; allowed: one "
            f"character, and one of {list(allowed)}"
        )
    # The limit of 131,072 characters a cell, which long records exceed, is csv's only global.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with file.text() as stream:
        start = stream.read(SEEN_CHARACTERS)
    named = _SEP_LINE.match(start)
    if named and delimiter not in (None, named[1]):
        place = Place(file.name, 1)
        faults.add(place, "a line 'sep=' with another delimiter", "delimiter as it says")
        return
    chosen = delimiter or (named[1] if named else _delimiter(start, tried, layout))
    doubtful = "\t" if quoting is None and chosen == "\t" else None
    if quoting is None and _has_backslashes(start, chosen):
        quoting, doubtful = "backslash", None
        faults.changed["quotes after a backslash, read as quotes (quoting='backslash')"] += 1
    with file.text() as stream:
        rows = _rows(stream, chosen, quoting or "minimal")
        header: list[str] | None = None
        number, line = 0, 1
        while True:
            place = Place(file.name, line)
            row: list[str] = []
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                _add_csv_error(place, rows.line_num - line + 1, error, faults)
            line = rows.line_num + 1
            if header is None and named and place.line == 1:
                continue
            if header is None:
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


# Excel's line that names the delimiter.
_SEP_LINE = re.compile(r"\"?sep=([^\r\n])\"?\r?(?:\n|$)", re.IGNORECASE)


def _rows(lines: Iterable[str], delimiter: str, quoting: Quoting) -> _Rows:
    if quoting == "none":
        return csv.reader(lines, delimiter=delimiter, strict=True, quoting=csv.QUOTE_NONE)
    if quoting == "backslash":
        return csv.reader(
            lines, delimiter=delimiter, strict=True, doublequote=False, escapechar="\\"
        )
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _delimiter(start: str, tried: str, layout: Layout) -> str:
    """The first delimiter by which the header has what is asked for, else the first of all."""
    for mark in tried:
        try:
            header = next(_rows(start.splitlines(keepends=True), mark, "minimal"), [])
        except csv.Error:
            continue
        if not layout.missing(header):
            return mark
    return tried[0]


def _has_backslashes(start: str, delimiter: str) -> bool:
    """Whether rows are sound where quotes are escaped by backslashes, and not where doubled."""
    if '\\"' not in start:
        return False
    # The last row may be cut off.
    whole = start[: start.rfind("\n") + 1] if len(start) == SEEN_CHARACTERS else start
    return _is_broken(whole, delimiter, "minimal") and not _is_broken(whole, delimiter, "backslash")


def _is_broken(text: str, delimiter: str, quoting: Quoting) -> bool:
    try:
        widths = {
            len(row) for row in _rows(io.StringIO(text, newline=""), delimiter, quoting) if row
        }
    except csv.Error as error:
        return "end of data" not in str(error)
    return len(widths) > 1


def _add_csv_error(place: Place, n_lines: int, error: csv.Error, faults: Faults) -> None:
    # The module's messages name the delimiter and the problem, never a cell.
    lines = f"a row of {n_lines} lines" if n_lines > 1 else "a row"
    faults.add(
        place,
        f"{lines} that is broken ({error})",
        "cells with quotes, delimiters or line breaks in double quotes, quotes doubled; or "
        "quoting='none' for a file without quoted cells, quoting='backslash' where a backslash "
        "stands before a quote",
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


def _other_delimiter(header: list[str]) -> str:
    for mark in ",;\t|":
        if len(header) == 1 and mark in header[0]:
            return f" (is the delimiter another? delimiter={mark!r})"
    return ""


def _numbering(name: str) -> str:
    return ", or number the notes: make_ids=True" if name == "note_id" else ""


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
            f"{_other_delimiter(header)}{_numbering(name)}",
        )
    return len(faults) == mark


def _note(
    row: list[str], header: list[str], number: int, place: Place, faults: Faults, layout: Layout
) -> Note | None:
    if len(row) != len(header):
        faults.add(place, f"{len(row)} cells", f"{len(header)} cells, as in the header")
        return None
    return record_to_note(dict(zip(header, row, strict=True)), number, place, faults, layout)


def read_parquet(
    file: File,
    faults: Faults,
    *,
    layout: Layout,
    scheme: TagScheme | None = None,
    tag_names: Sequence[str] | None = None,
) -> Iterator[Note]:
    """Yields a note for every row, `PARQUET_BATCH_ROWS` in memory at a time.

    Places are row numbers, from 1. Class numbers whose names the file holds, as those of the Hub
    do, become names.

    Args:
        file: the table.
        faults: where what is wrong goes.
        layout: which column holds which field.
        scheme: of the tags, where `tokens` and tags stand instead of a text (`token_tags`).
        tag_names: what tags are called that are numbers, where the file doesn't say.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file.seekable(), page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        faults.add(Place(file.name), "no Parquet file, or a truncated one", "a Parquet file")
        return
    with table:
        if not _is_sound(list(table.schema_arrow.names), Place(file.name), faults, layout):
            return
        sizes = table.metadata.row_group
        unpacked = sum(sizes(i).total_byte_size for i in range(table.metadata.num_row_groups))
        check_expansion(file.size, unpacked)
        number, rows = 0, table.metadata.num_rows

        def tags_in(column: str) -> Iterator[object]:
            for batch in table.iter_batches(PARQUET_BATCH_ROWS, columns=[column]):
                yield from batch.column(0).to_pylist()

        try:
            names = arrow_class_names(table.schema_arrow)
            columns = table.schema_arrow.names
            layout = declared(layout, columns, names, scheme, tag_names, tags_in)
            for batch in table.iter_batches(PARQUET_BATCH_ROWS):
                for record in _records(batch):
                    number += 1
                    place = Place(file.name, number)
                    read = partial(_parquet_note, record, names, number, place, faults, layout)
                    yield from faults.reading(read, place)
        except (pa.ArrowException, OSError, ValueError) as error:
            faults.add(
                Place(file.name),
                f"pages that are damaged after row {number} ({type(error).__name__})",
                "a Parquet file as it was written",
            )
            faults.rejected += max(rows - number, 0)


def _parquet_note(
    record: dict[str, Any] | None,
    names: Names,
    number: int,
    place: Place,
    faults: Faults,
    layout: Layout,
) -> Note | None:
    if record is None:
        faults.add(place, "bytes that are not UTF-8", NOT_UTF8)
        return None
    return record_to_note(with_names(record, names), number, place, faults, layout)


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


CSV = Format("csv", "CSV, a note a row", read_csv, endings=(".csv",))
TSV = Format("tsv", "tab-separated values, a note a row", read_tsv, endings=(".tsv",))
PARQUET = Format(
    "parquet",
    "Parquet, a note a row",
    read_parquet,
    endings=(".parquet",),
    looks=lambda sight: sight.text.startswith("PAR1"),
)
