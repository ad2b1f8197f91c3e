"""Tables that annotation tools export: always with a header, cells in quotes."""

from __future__ import annotations

import csv
import sys
from functools import partial
from typing import TYPE_CHECKING

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.json_records import Places
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError
from clinical_tl.data.formats.sight import Sight

if TYPE_CHECKING:
    from _csv import Reader as _Rows


def header_of(sight: Sight) -> set[str]:
    """The columns in the first line of a file, by commas or tabs; none of JSON."""
    if sight.is_json:
        return set()
    first = sight.text.partition("\n")[0].removesuffix("\r")
    try:
        return set(next(csv.reader([first], delimiter=_delimiter(first)), []))
    except csv.Error:
        return set()


def table_values(file: File, faults: Faults) -> Places:
    """Yields (place, what gives the row) for every row, a row an object of its cells."""
    # The limit of 131,072 characters a cell, which notes exceed, is csv's only global.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with file.text() as stream:
        delimiter = _delimiter(stream.readline())
    with file.text() as stream:
        yield from _rows(csv.reader(stream, delimiter=delimiter, strict=True), file, faults)


def _rows(rows: _Rows, file: File, faults: Faults) -> Places:
    header: list[str] | None = None
    while True:
        place = Place(file.name, rows.line_num + 1)
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # The module's messages name the delimiter and the problem, never a cell.
            faults.refuse(place, f"a row that is broken ({error})", "a table as it was exported")
            return
        if header is None:
            header = row
        elif row:
            yield place, partial(_cells, header, row)


def _cells(header: list[str], row: list[str]) -> dict[str, object]:
    if len(row) != len(header):
        raise UnreadableError(f"{len(row)} cells", f"{len(header)} cells, as in the header")
    return dict(zip(header, row, strict=True))


def _delimiter(first: str) -> str:
    return "\t" if first.count("\t") > first.count(",") else ","
