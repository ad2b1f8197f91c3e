"""Several columns that hold one field: a column a code or a class, or codes over columns.

Hospitals' tables have diagnoses in two ways. *One-hot*: every column is called as a code and its
cells say yes or no. *Side by side*: `DIAG1`, `DIAG2`, … hold a code each. Which of them it is, the
cells tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache

from clinical_tl.data.formats.cells import ALL_BLANK, SAY_NO, Cells, trimmed
from clinical_tl.errors import ConfigError, shown_id, shown_value

SET_FIELDS = ("label", "codes")
"""The fields that may stand in several columns."""

_YES = frozenset(
    ("1", "true", "t", "yes", "y", "x", "ja", "j", "wahr", "sí", "si", "verdadero", "oui", "vrai")
)
_NO = frozenset(("0", "false", "f", "no", "n", "nein", "falsch", "falso", "non", "faux"))
ALLOWED = (
    "yes or no in every column (0/1, true/false, yes/no, x or blank), or codes in every column "
    "(say as_written=['codes'] where codes look like yes and no)"
)
_SEVERAL_LABELS = (
    "one label a note at most; where notes have several, read them as codes: columns={'codes': […]}"
)
_TWICE = "codes: given in several columns of a note, read once"


def check_column_set(name: str, columns: Sequence[str]) -> None:
    """Makes sure that a field can stand in these columns. Raises `ConfigError` otherwise."""
    if name not in SET_FIELDS:
        raise ConfigError(
            f"columns={{{name!r}: {shown_value(list(columns))}}}: only {list(SET_FIELDS)} may "
            "stand in several columns"
        )
    if not columns or not all(isinstance(column, str) for column in columns):
        raise ConfigError(
            f"columns={{{name!r}: …}} must name columns: a string, or a list of strings that is "
            "not empty"
        )


def is_column_set(name: str, columns: object) -> bool:
    """Whether a field stands in several columns: a list of them, or a pattern (`"DIAG*"`)."""
    if isinstance(columns, str):
        return name in SET_FIELDS and "*" in columns
    return columns is not None


def expanded(columns: str | Sequence[str], available: Iterable[str]) -> tuple[str, ...]:
    """The columns that are named, patterns replaced by what they fit, each once, in order.

    A pattern that fits nothing stays as it is.
    """
    named = (columns,) if isinstance(columns, str) else tuple(columns)
    return _expanded(named, tuple(available))


@lru_cache(maxsize=16)
def _expanded(named: tuple[str, ...], available: tuple[str, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in named:
        fitting = [name]
        if "*" in name and name not in available:
            fitting = [column for column in available if fnmatchcase(column, name)] or [name]
        found |= dict.fromkeys(fitting)
    return tuple(found)


def label_of_set(values: Mapping[str, object], cells: Cells) -> str | None:
    """The column that says yes; `None` where all are blank.

    Args:
        values: column → cell.
        cells: reads cells; a cell that says neither yes nor no is a fault, and so are several
            that say yes, or none among some that say no.
    """
    said = {column: _said(cells.present(value, "label")) for column, value in values.items()}
    odd = [column for column, answer in said.items() if isinstance(answer, str)]
    if odd:
        _fault_of_cell(cells, odd[0], "yes or no in every column (0/1, true/false, yes/no, x)")
        return None
    labels = [column for column, answer in said.items() if answer is True]
    if len(labels) > 1:
        cells.faults.add(cells.place, f"{len(labels)} columns of labels say yes", _SEVERAL_LABELS)
        return None
    if not labels and any(answer is False for answer in said.values()):
        cells.faults.add(
            cells.place,
            "no column of labels says yes, and some say no",
            "one that says yes, or all blank where the note is not annotated; or, where notes "
            "may have none, columns={'codes': […]}",
        )
        return None
    return labels[0] if labels else None


def codes_of_set(
    values: Mapping[str, object], separator: str, cells: Cells
) -> tuple[str, ...] | None:
    """The codes of a note's columns; none, as in one column, where all cells are blank.

    `None` where there are no cells, or where one says that it is not known (`NA`).
    The first row that has cells of one kind alone, yes and no or codes, tells the kind of the
    columns; a cell of the other kind is then a fault of its row.
    """
    present = {
        column: found
        for column, value in values.items()
        if (found := cells.present(value, "codes")) is not None
    }
    if not present:
        are_blank = all(isinstance(value, str) and not trimmed(value) for value in values.values())
        cells.faults.tally[ALL_BLANK] += are_blank
        return () if are_blank else None
    said = {column: _said(found) for column, found in present.items()}
    cells.faults.tally[SAY_NO] += any(answer is False for answer in said.values())
    if "codes" in cells.as_written:
        said = dict.fromkeys(present, "code")
    odd = [column for column, answer in said.items() if isinstance(answer, str)]
    tally = cells.faults.tally
    kinds = ("columns that say yes or no", "columns of codes")
    if len(odd) in (0, len(said)) and not any(tally[kind] for kind in kinds):
        tally[kinds[bool(odd)]] += 1
    if tally[kinds[0]] and odd:
        _fault_of_cell(cells, odd[0], ALLOWED)
        return None
    if len(odd) == len(said):
        return _side_by_side(present, separator, cells)
    if odd or tally[kinds[1]]:
        sure = next(column for column, answer in said.items() if not isinstance(answer, str))
        cells.faults.add(
            cells.place,
            f"a cell that says yes or no in column {shown_id(sure, 'column')!r}, beside cells "
            "that hold codes",
            ALLOWED,
        )
        return None
    return tuple(column for column, answer in said.items() if answer is True)


def _side_by_side(
    present: Mapping[str, object], separator: str, cells: Cells
) -> tuple[str, ...] | None:
    mark = len(cells.faults)
    found = [
        code
        for value in present.values()
        for code in cells.codes([value] if _is_number(value) else value, separator) or ()
    ]
    if len(cells.faults) > mark:
        return None
    codes = tuple(dict.fromkeys(found))
    if len(codes) < len(found):
        cells.faults.changed[_TWICE] += len(found) - len(codes)
    return codes


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal)


def _said(value: object) -> bool | str | None:
    """Whether a cell says yes or no; `None` if it is blank, a string if it says something else."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, int | float | Decimal):
        return bool(value) if value in (0, 1) else "a number"
    if isinstance(value, str):
        text = trimmed(value).casefold()
        text = text.removesuffix(".0") if len(text) > 1 else text
        if text in _YES or text in _NO:
            return text in _YES
    return "something else"


def _fault_of_cell(cells: Cells, column: str, allowed: str) -> None:
    cells.faults.add(
        cells.place,
        f"a cell in column {shown_id(column, 'column')!r} that says neither yes nor no",
        allowed,
    )
