"""Tables: CSV, TSV and Parquet, one note a row."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from clinical_tl.data.formats.class_names import Names, arrow_class_names, declared, with_names
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.note_cells import cells_of
from clinical_tl.data.formats.packing import check_expansion, packed_output
from clinical_tl.data.formats.problems import NOT_UTF8, Faults, Place
from clinical_tl.data.formats.sight import SEEN_CHARACTERS
from clinical_tl.data.formats.table_rows import BLANK_ROWS, TableRows
from clinical_tl.data.formats.tag_schemes import Scheme
from clinical_tl.data.formats.written_json import check_note
from clinical_tl.data.notes import note_batches, note_features
from clinical_tl.errors import ConfigError, shown_value
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
            in them stand after a backslash (as MySQL and Spark write), as may backslashes and
            line ends, and a backslash before anything else is one; `none`: a quote is a character
            like any other, and every line a row. By default `minimal`, or `backslash` where only
            that fits.
    """
    yield from read_delimited(file, faults, TableRows(layout), ",;\t|", delimiter, quoting)


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
    yield from read_delimited(file, faults, TableRows(layout), "\t,;|", delimiter, quoting)


def read_delimited(
    file: File,
    faults: Faults,
    rows: TableRows,
    tried: str = ",;\t|",
    delimiter: str | None = None,
    quoting: Quoting | None = None,
) -> Iterator[Note]:
    """As `read_csv`, of rows that become notes as `rows` says; `tried` are delimiters, in order."""
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
    chosen = delimiter or (named[1] if named else _delimiter(start, tried, rows))
    is_doubted = quoting is None and chosen == "\t" and not _QUOTED_HEADER.match(start)
    doubtful = "\t" if is_doubted else None
    if quoting is None and _has_backslashes(start, chosen):
        quoting, doubtful = "backslash", None
        faults.changed["quotes after a backslash, read as quotes (quoting='backslash')"] += 1
    with file.text() as stream:
        lines = _rows(stream, chosen, quoting or "minimal")
        header: list[str] | None = None
        number, line = 0, 1
        while True:
            place = Place(file.name, line)
            row: list[str] = []
            try:
                row = next(lines)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                _add_csv_error(place, lines.line_num - line + 1, error, faults)
            line = lines.line_num + 1
            if header is None and named and place.line == 1:
                continue
            if header is None:
                if not any(map(str.strip, row)):
                    continue
                header = row
                if not rows.accepts(header, place, faults):
                    return
            elif row and not any(map(str.strip, row)):
                number += 1
                faults.passed_over[BLANK_ROWS] += 1
            elif doubtful is not None and any(doubtful in cell for cell in row):
                number += 1
                _add_doubt(place, line - (place.line or line), faults)
            elif row:
                number += 1
                read = partial(_note, row, header, number, place, faults, rows)
                yield from faults.reading(read, place)


# Excel's line that names the delimiter.
_SEP_LINE = re.compile(r"\"?sep=([^\r\n])\"?\r?(?:\n|$)", re.IGNORECASE)
# One that escapes stands with what it escapes in the group; one that doesn't, alone.
_BACKSLASH = re.compile(r"(\\[\"\\\r\n])|\\")
# Names that all stand in quotes show that quotes enclose cells.
_QUOTED_HEADER = re.compile(r'"[^"\t\r\n]*"(?:\t"[^"\t\r\n]*")*\r?\n')


def _rows(lines: Iterable[str], delimiter: str, quoting: Quoting) -> _Rows:
    if quoting == "none":
        return csv.reader(lines, delimiter=delimiter, strict=True, quoting=csv.QUOTE_NONE)
    if quoting == "backslash":
        # csv would drop every backslash: of a path, or of MySQL's \N.
        escaped = (_BACKSLASH.sub(lambda found: found[1] or "\\\\", line) for line in lines)
        return csv.reader(
            escaped, delimiter=delimiter, strict=True, doublequote=False, escapechar="\\"
        )
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _delimiter(start: str, tried: str, rows: TableRows) -> str:
    """The first delimiter by which the header has what is asked for, and more than one column.

    Where none does, the one that parts it into the most columns: of those the error will tell.
    """
    found = []
    for mark in tried:
        try:
            lines = _rows(start.splitlines(keepends=True), mark, "minimal")
            header = next((row for row in lines if any(map(str.strip, row))), [])
        except csv.Error:
            continue
        lacks = bool(rows.missing(header))
        found.append(((lacks, -len(header) if lacks else len(header) < 2), mark))
    return min(found, key=itemgetter(0), default=(0, tried[0]))[1]


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


def _note(
    row: list[str], header: list[str], number: int, place: Place, faults: Faults, rows: TableRows
) -> Note | None:
    if len(row) != len(header):
        faults.add(place, f"{len(row)} cells", f"{len(header)} cells, as in the header")
        return None
    return rows.note(dict(zip(header, row, strict=True)), number, place, faults)


def read_parquet(
    file: File,
    faults: Faults,
    *,
    layout: Layout,
    scheme: Scheme | None = None,
    tag_names: Sequence[str] | None = None,
    mention_label: str | None = None,
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
        mention_label: the label of all mentions, where tags are marks alone (B, I, O).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file.seekable(), page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        faults.add(Place(file.name), "no Parquet file, or a truncated one", "a Parquet file")
        return
    with table:
        if not TableRows(layout).accepts(table.schema_arrow.names, Place(file.name), faults):
            return
        sizes = table.metadata.row_group
        unpacked = sum(sizes(i).total_byte_size for i in range(table.metadata.num_row_groups))
        check_expansion(file.size, unpacked)
        number, n_rows = 0, table.metadata.num_rows

        def tags_in(column: str) -> Iterator[object]:
            for batch in table.iter_batches(PARQUET_BATCH_ROWS, columns=[column]):
                yield from batch.column(0).to_pylist()

        try:
            names = arrow_class_names(table.schema_arrow)
            columns = table.schema_arrow.names
            rows = TableRows(
                declared(layout, columns, names, scheme, tag_names, tags_in, mention_label)
            )
            for batch in table.iter_batches(PARQUET_BATCH_ROWS):
                for record in _records(batch):
                    number += 1
                    place = Place(file.name, number)
                    read = partial(_parquet_note, record, names, number, place, faults, rows)
                    yield from faults.reading(read, place)
        except (pa.ArrowException, OSError, ValueError) as error:
            faults.add(
                Place(file.name),
                f"pages that are damaged after row {number} ({type(error).__name__})",
                "a Parquet file as it was written",
            )
            faults.rejected += max(n_rows - number, 0)


def _parquet_note(
    record: dict[str, Any] | None,
    names: Names,
    number: int,
    place: Place,
    faults: Faults,
    rows: TableRows,
) -> Note | None:
    if record is None:
        faults.add(place, "bytes that are not UTF-8", NOT_UTF8)
        return None
    return rows.note(with_names(record, names), number, place, faults)


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


def write_csv(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes a header and a row a note; gzipped if the name ends in `.gz`.

    Cells are those of `note_cells`. Raises `NoteError` for a note that no file can hold.
    """
    with packed_output(path) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(cells_of(notes, losses))


def write_tsv(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """As `write_csv`, with tabs between cells and every cell in quotes.

    By the header's quotes a reader knows that a quote encloses a cell.
    """
    with packed_output(path) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as stream:
        quoted = csv.writer(stream, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
        quoted.writerows(cells_of(notes, losses))


def write_parquet(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes the table of the one schema, which holds everything.

    Ids, labels and codes that the reader would take for something else are losses.

    Raises `NoteError` for a note that no file can hold.
    """
    import pyarrow.parquet as pq

    schema = note_features().arrow_schema
    with pq.ParquetWriter(path, schema) as writer:
        for batch in note_batches(_sound(notes, losses), schema):
            writer.write_batch(batch)


def _sound(notes: Iterable[Note], losses: Losses) -> Iterator[Note]:
    for note in losses.counted(notes):
        check_note(note, losses)
        yield note


CSV = Format("csv", "CSV, a note a row", read_csv, write_csv, endings=(".csv",))
TSV = Format("tsv", "tab-separated values, a note a row", read_tsv, write_tsv, endings=(".tsv",))
PARQUET = Format(
    "parquet",
    "Parquet, a note a row",
    read_parquet,
    write_parquet,
    endings=(".parquet",),
    looks=lambda sight: sight.text.startswith("PAR1"),
)
