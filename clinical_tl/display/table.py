"""Small tables: for the console, for Markdown, for a notebook, for pandas.

Whatever is read as a table is `Tabular`: its `table()` gives the rows, a list of dicts that shows
itself, and what a person sees of it at a glance, in a terminal or in a notebook, is `glance()`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from math import isnan
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from clinical_tl.errors import ConfigError, shown_id, shown_value

if TYPE_CHECKING:
    import pandas as pd

STYLES = ("text", "markdown")
UNDEFINED = "–"
SHOWN_ROWS = 20


class Table(list[dict[str, Any]]):
    """Rows that show themselves as a table, the first 20 of them; otherwise a list of dicts.

    Cells of the columns `names` are ids, labels or codes. A wrongly mapped column puts whole notes
    there, so they are shown as `shown_id` shows them; `format_table` and pandas have them whole.

    >>> table = Table([{"label": "Drug", "f1": 0.8123}, {"label": "Disease", "f1": None}])
    >>> table
    label       f1
    -------  -----
    Drug     0.812
    Disease      –
    >>> table[0]["f1"]
    0.8123
    """

    def __init__(
        self, rows: Iterable[Mapping[str, Any]] = (), *, names: Collection[str] = ()
    ) -> None:
        super().__init__(dict(row) for row in rows)
        self.names = frozenset(names)

    def __repr__(self) -> str:
        return "\n".join(filter(None, (format_table(self._shown()), self._rest())))

    def _repr_html_(self) -> str:
        return f"{html_table(self._shown())}<p>{self._rest()}</p>"

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a data frame, the names as they were given."""
        import pandas as pd

        return pd.DataFrame(list(self))

    def _shown(self) -> list[dict[str, Any]]:
        return [
            row | {name: shown_id(row[name], name) for name in self.names if row.get(name)}
            for row in self[:SHOWN_ROWS]
        ]

    def _rest(self) -> str:
        left = len(self) - SHOWN_ROWS
        return f"… and {left:,} more rows" if left > 0 else "" if self else "no rows"


class Tabular:
    """What is seen as a table, in a terminal and in a notebook, and becomes a data frame."""

    def table(self) -> Table:
        """All rows, for `format_table` too."""
        raise NotImplementedError

    def glance(self) -> Iterable[str | Table]:
        """The sentences and tables that are shown of it."""
        return type(self).__name__, self.table()

    def to_pandas(self) -> pd.DataFrame:
        """The rows of `table()` as a data frame, ids and labels as they were given."""
        return self.table().to_pandas()

    def __repr__(self) -> str:
        return "\n".join(map(str, self.glance()))

    def _repr_html_(self) -> str:
        return "\n".join(
            f"<p>{escape(part)}</p>" if isinstance(part, str) else part._repr_html_()
            for part in self.glance()
        )


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

    Example:
        >>> rows = [{"method": "words", "f1": 0.512}, {"method": "LoRA", "f1": 0.734}]
        >>> print(format_table(rows, digits=2))
        method    f1
        ------  ----
        words   0.51
        LoRA    0.73
        >>> print(format_table(rows, columns=["f1"], style="markdown"))
        |    f1 |
        | ----: |
        | 0.512 |
        | 0.734 |
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


def html_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as an HTML table, cells as `format_table` writes them, escaped; `number` is a class."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = ["".join(_html_cell(row.get(name, "")) for name in names) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"


def _html_cell(value: object) -> str:
    kind = ' class="number"' if value is None or _is_number(value) else ""
    return f"<td{kind}>{escape(_cell(value, digits=3))}</td>"


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
