"""Fields below the top level of a record: dotted paths, and the keys of mentions and relations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

NESTED_FIELDS = {
    "spans": ("start", "end", "label", "text", "id", "concepts", "attributes", "score"),
    "relations": ("head", "tail", "label"),
}
"""Field of a note that is a list of objects → the keys of these."""


def look_up(record: Mapping[str, object], path: str) -> tuple[bool, object]:
    """What stands in a record under a key, or where there is none, at a path of keys.

    `data.text` is `record["data"]["text"]`, `content.0.url` goes through the first of a list.
    A key that has a dot in it comes first. What is missing below a null is null.

    Returns:
        Whether there is such a place, and what stands there.
    """
    if path in record:
        return True, record[path]
    for first, rest in _cuts(path):
        if first not in record:
            continue
        inner = record[first]
        if isinstance(inner, list):
            inner = {str(i): item for i, item in enumerate(inner)}
        if inner is None:
            return True, None
        if isinstance(inner, Mapping):
            is_there, value = look_up(inner, rest)
            if is_there:
                return True, value
    return False, None


def may_hold(columns: frozenset[str], path: str) -> bool:
    """Whether a table of these columns may have something at a path."""
    return path in columns or any(first in columns for first, _ in _cuts(path))


def rows_of(value: object) -> object:
    """A list of objects where there is an object of lists, as Arrow tables may hold them."""
    if not isinstance(value, Mapping) or not value:
        return value
    lists = list(value.values())
    if not all(isinstance(item, list) and len(item) == len(lists[0]) for item in lists):
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]


def renamed(item: object, keys: Mapping[str, str | None]) -> object:
    """A mention or a relation with the keys that the package knows.

    Args:
        item: an object; or a list `[start, end, label]`, which is a mention.
        keys: the package's key → the item's own, or a path in it; `None` leaves it out.
    """
    if isinstance(item, list | tuple) and len(item) == 3 and isinstance(item[2], str):
        item = {"start": item[0], "end": item[1], "label": item[2]}
    if not isinstance(item, Mapping) or not keys:
        return item
    own = {key: None if path is None else look_up(item, path)[1] for key, path in keys.items()}
    return {**item, **own}


def _cuts(path: str) -> Iterator[tuple[str, str]]:
    at = path.find(".")
    while at >= 0:
        yield path[:at], path[at + 1 :]
        at = path.find(".", at + 1)
