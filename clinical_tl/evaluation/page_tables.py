"""Tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from clinical_tl.display.table import UNDEFINED
from clinical_tl.evaluation.markup import Markup, element, joined

Cell = object
"""A number, text, `None` (a dash), or markup."""


@dataclass(frozen=True)
class Column:
    """A column: the key of its cells, its heading, and what a pointer over the heading says."""

    key: str
    heading: str
    meaning: str | None = None


def table(
    rows: Sequence[Mapping[str, Cell]], columns: Sequence[Column], *, name: str | None = None
) -> Markup:
    """Rows as a table, numbers to the right; with a name it can be filtered and sorted."""
    numeric = {
        column.key
        for column in columns
        if any(is_number(row.get(column.key)) for row in rows)
        and all(is_number(row.get(column.key)) or row.get(column.key) is None for row in rows)
    }
    head = [
        element(
            "th", column.heading, scope="col", title=column.meaning,
            class_="number" if column.key in numeric else None,
        )
        for column in columns
    ]  # fmt: skip
    body = [
        element("tr", *(_cell(row.get(c.key), numeric=c.key in numeric) for c in columns))
        for row in rows
    ]
    return element(
        "table",
        element("thead", element("tr", *head)),
        Markup("\n"),
        element("tbody", joined(*body, by="\n")),
        id=name,
        class_="labels" if name else None,
    )


def is_number(value: object) -> bool:
    """Whether it is one, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


def shown(value: object, digits: int = 3) -> Markup | str:
    """A cell's words: numbers with this many decimals, whole ones in groups of three."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    return f"{float(value):.{digits}f}" if isinstance(value, Real) else str(value)


def _cell(value: object, *, numeric: bool) -> Markup:
    exact = f"{float(value):.6g}" if numeric and isinstance(value, Real) else None
    return element("td", shown(value), class_="number" if numeric else None, data_value=exact)
