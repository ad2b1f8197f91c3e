"""Tables: CSV, TSV and Parquet, one note a row."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from clinical_tl.data.faults import Faults, Place
from clinical_tl.data.layout import Layout
from clinical_tl.data.records import record_to_note
from clinical_tl.data.streams import open_text
from clinical_tl.schema import Note

PARQUET_BATCH_ROWS = 1_000


def read_csv(path: Path, faults: Faults, *, layout: Layout, delimiter: str = ",") -> Iterator[Note]:
    """Yields a note for every row under the header.

    Cells keep their line breaks. An empty cell means *not annotated*, except that an empty
    `codes` cell means *no code*. Spans, relations and metadata may stand in cells as JSON.
    """
    # The limit of 131,072 characters a cell, which long records exceed, is csv's only global.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with open_text(path) as stream:
        rows = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            header = next(rows, [])
            if not _is_sound(header, Place(path.name, 1), faults, layout):
                return
            number, line = 0, rows.line_num + 1
            for row in rows:
                place = Place(path.name, line)
                line = rows.line_num + 1
                if row:
                    number += 1
                    yield from _notes(row, header, number, place, faults, layout)
        except csv.Error as error:
            _add_csv_error(Place(path.name, rows.line_num), error, faults)


def _add_csv_error(place: Place, error: csv.Error, faults: Faults) -> None:
    # The module's messages name the delimiter and the problem, never a cell.
    faults.add(
        place,
        f"a broken row ({error}); the rows after it were not read",
        "cells with quotes, delimiters or line breaks in double quotes, quotes doubled",
    )
    faults.rejected += 1


def read_tsv(path: Path, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """As `read_csv`, with tabs between cells."""
    return read_csv(path, faults, layout=layout, delimiter="\t")


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
            f"the header's {len(header)} columns do not include {column!r}",
            f"the column of {name}; map it with columns={{{name!r}: '<column>'}}",
        )
    return len(faults) == mark


def _notes(
    row: list[str], header: list[str], number: int, place: Place, faults: Faults, layout: Layout
) -> Iterator[Note]:
    mark = len(faults)
    note = None
    if len(row) == len(header):
        record = dict(zip(header, row, strict=True))
        note = record_to_note(record, number, place, faults, layout)
    else:
        faults.add(place, f"{len(row)} cells", f"{len(header)} cells, as in the header")
    yield from faults.admitted(note, place, since=mark)


def read_parquet(path: Path, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every row, `PARQUET_BATCH_ROWS` in memory at a time.

    Places are row numbers, from 1.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
    except pa.ArrowInvalid:
        faults.add(Place(path.name), "no Parquet file, or a truncated one", "a Parquet file")
        return
    with table:
        if not _is_sound(list(table.schema_arrow.names), Place(path.name), faults, layout):
            return
        number = 0
        for batch in table.iter_batches(PARQUET_BATCH_ROWS):
            for record in batch.to_pylist():
                number += 1
                place = Place(path.name, number)
                mark = len(faults)
                note = record_to_note(record, number, place, faults, layout)
                yield from faults.admitted(note, place, since=mark)
