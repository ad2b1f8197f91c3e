"""A new Excel workbook, written row by row: text stays text, and nothing waits in `/tmp`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_tl.errors import MissingExtraError
from clinical_tl.storage.clock import now

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.worksheet import Worksheet

SHEET_ROWS = 1_048_576
SHEET_COLUMNS = 16_384
CELL_UNITS = 32_767
"""Excel's limits; what a cell holds is counted in units of UTF-16."""


@contextmanager
def new_workbook(path: Path) -> Iterator[Workbook]:
    """Opens a workbook that is complete when this ends; rows wait on the disk beside it.

    Raises `MissingExtraError` without the extra `[excel]`, `OSError` where the disk refuses.
    """
    try:
        from xlsxwriter import Workbook
        from xlsxwriter.exceptions import XlsxFileError
    except ModuleNotFoundError as error:
        raise MissingExtraError("xlsxwriter", "excel", "Writing .xlsx") from error
    # The rows are as confidential as the file: they wait where it will be.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".sheet-") as folder:
        book = Workbook(str(path), {"constant_memory": True, "tmpdir": folder})
        book.set_properties({"created": now().replace(tzinfo=None)})
        try:
            yield book
        finally:
            try:
                book.close()
            except XlsxFileError as error:
                # What the disk said is inside.
                cause = error.args[0] if error.args else None
                raise (cause if isinstance(cause, OSError) else error) from None


def fits_a_cell(text: str) -> bool:
    """Whether Excel takes a text of this length in one cell."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2 <= CELL_UNITS


def put_text(sheet: Worksheet, row: int, column: int, text: str) -> None:
    """Writes text that fits a cell, as text: never a formula, a link or a number."""
    if text.startswith("<r>") and text.endswith("</r>"):
        # The library would take it for its own markup.
        sheet.write_rich_string(row, column, text[:1], text[1:2], text[2:])
    else:
        sheet.write_string(row, column, text)
