"""Categories of a whole text, as annotation tools have them: a note's label, or its codes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, get_args

from clinical_tl.data.formats.problems import UnreadableError
from clinical_tl.errors import ConfigError, shown_path, shown_value

Categories = Literal["label", "codes", "ignore"]

log = logging.getLogger(__name__)


def categories_kind(cats: Categories | None, most: int, name: str) -> Categories:
    """What the categories of a file are.

    Where nobody says it, they are codes if a text of the file has several, else labels: that is
    said in the log.

    Args:
        cats: what was asked for.
        most: how many categories a text of the file has at most.
        name: the file's.

    Raises:
        ConfigError: an unknown kind.
    """
    if cats is not None and cats not in get_args(Categories):
        raise ConfigError(
            f"cats={shown_value(cats)}; allowed: {list(get_args(Categories))}, or None"
        )
    if cats is not None:
        return cats
    if most:
        log.info(
            "%s: categories are read as %s, since texts have up to %d of them (cats=… decides)",
            shown_path(name),
            "codes" if most > 1 else "labels",
            most,
        )
    return "codes" if most > 1 else "label"


def category_fields(names: Sequence[str] | None, kind: Categories) -> dict[str, object]:
    """The fields of a note with these categories; `None`: the text was not categorised.

    Raises `UnreadableError` for several where they are labels.
    """
    if names is None or kind == "ignore":
        return {}
    if kind == "codes":
        return {"codes": list(names)}
    if len(names) > 1:
        raise UnreadableError(f"{len(names)} categories of one text", "one, or cats='codes'")
    return {"label": next(iter(names), None)}


def category_names(value: object) -> list[str] | None:
    """The categories in a list, numbers as text; `None` where it holds something else."""
    if not isinstance(value, list):
        return None
    names = [str(item) for item in value if isinstance(item, str | int) and item is not True]
    return names if len(names) == len(value) else None
