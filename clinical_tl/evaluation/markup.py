"""HTML and SVG made of elements: what is no markup is escaped, wherever it comes from."""

from __future__ import annotations

from html import escape


class Markup(str):
    """Text that is HTML or SVG already."""

    __slots__ = ()


Part = str | Markup | None


def element(tag: str, *parts: Part, **attributes: object) -> Markup:
    """`<tag …>parts</tag>`; parts that are no `Markup` are escaped, `None` is left out.

    A trailing `_` of an attribute's name goes, other ones become hyphens; `None` leaves it out.

    >>> element("td", "p < 0.05", class_="number", data_label=None)
    '<td class="number">p &lt; 0.05</td>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{given}>{joined(*parts)}</{tag}>")


def joined(*parts: Part, by: str = "") -> Markup:
    """Parts one after the other."""
    return Markup(
        by.join(part if isinstance(part, Markup) else escape(part) for part in parts if part)
    )
