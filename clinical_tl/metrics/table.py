"""Small tables for the console and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from numbers import Integral, Real

from clinical_tl.errors import ConfigError, shown_value

STYLES = ("text", "markdown")
UNDEFINED = "–"


def format_table(
    rows: Sequence[Mapping[str, object]],
    *,
    columns: Sequence[str] | None = None,
    digits: int = 3,
    style: str = "text",
) -> str:
    """Rows as an aligned table: numbers to the right, the rest to the left.

    Args:
        rows: column name → cell. Floats are shown with `digits` decimals, `None` and NaN as a
            dash, a missing cell as nothing; line breaks become spaces.
        columns: which columns, in this order; by default all, in order of first appearance.
        digits: decimals of floats, 0 or more.
        style: `text` or `markdown` (pipes in cells are escaped).

    Returns:
        Lines joined by newlines, without one at the end; empty where there is no column.

    Raises:
        ConfigError: an unknown style, a column that no row has, negative `digits`.
    """
    if style not in STYLES or digits < 0:
        raise ConfigError(
            f"style is {shown_value(style)} and digits {digits}; allowed: {' or '.join(STYLES)}, "
            "and 0 or more"
        )
    present = list(dict.fromkeys(name for row in rows for name in row))
    names = present if columns is None else list(columns)
    unknown = [name for name in names if name not in present]
    if rows and unknown:
        raise ConfigError(f"no row has the columns {unknown}; there are {present}")
    if not names:
        return ""

    grid = [[_cell(row[name], digits) if name in row else "" for name in names] for row in rows]
    header = [_cell(name, digits) for name in names]
    if style == "markdown":
        header = [_escaped(cell) for cell in header]
        grid = [[_escaped(cell) for cell in line] for line in grid]
    numeric = [_is_numeric([row.get(name) for row in rows]) for name in names]
    least = 3 if style == "markdown" else 1
    widths = [max(least, *(len(line[i]) for line in [header, *grid])) for i in range(len(names))]

    def line(cells: Sequence[str]) -> list[str]:
        return [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]

    if style == "text":
        ruled = ["-" * width for width in widths]
        return "\n".join(
            "  ".join(cells).rstrip() for cells in [line(header), ruled, *map(line, grid)]
        )
    ruled = [
        "-" * (width - 1) + ":" if right else "-" * width
        for width, right in zip(widths, numeric, strict=True)
    ]
    return "\n".join(
        f"| {' | '.join(cells)} |" for cells in [line(header), ruled, *map(line, grid)]
    )


def _cell(value: object, digits: int) -> str:
    if value is None:
        return UNDEFINED
    if isinstance(value, Real) and not isinstance(value, Integral):
        number = float(value)
        return UNDEFINED if isnan(number) else f"{number:.{digits}f}"
    return " ".join(str(value).split("\n")).replace("\r", "")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_numeric(cells: Sequence[object]) -> bool:
    filled = [cell for cell in cells if cell is not None]
    return bool(filled) and all(_is_number(cell) for cell in filled)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
