"""Classes that a dataset stores as numbers, and their names, which it declares beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from clinical_tl.data.formats.cells import CELL_FIELDS
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.problems import UnreadableError
from clinical_tl.data.formats.tag_schemes import Scheme
from clinical_tl.data.formats.token_tags import tag_layout
from clinical_tl.errors import shown_id

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

Names = dict[str, list[str]]
"""Column → the names of its classes, in the order of their numbers."""


def class_names(features: Features) -> Names:
    """The names of the classes that a dataset declares."""
    from datasets import ClassLabel

    found = {}
    for column, feature in features.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, ClassLabel):
            found[column] = list(inner.names)
    return found


def arrow_class_names(schema: pa.Schema) -> Names:
    """As `class_names`, of a table that `datasets` wrote, which has them in its metadata."""
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    from datasets import Features

    return class_names(Features.from_arrow_schema(schema))


def with_names(row: Mapping[str, object], names: Names) -> dict[str, object]:
    """The row with names instead of numbers.

    Raises:
        UnreadableError: a number without a name.
    """
    return {
        **row,
        **{column: _named(row[column], known, column) for column, known in names.items()},
    }


def declared(
    layout: Layout,
    columns: Iterable[str],
    names: Names,
    scheme: Scheme | None,
    tag_names: Sequence[str] | None,
    tags_in: Callable[[str], Iterable[object]],
    mention_label: str | None = None,
) -> Layout:
    """The layout for a table with these names.

    Args:
        layout: which column holds which field.
        columns: the table's columns.
        names: those of its classes. A class that is called "None" is declared as one.
        scheme: as `tag_layout`'s.
        tag_names: as `tag_layout`'s.
        tags_in: gives the cells of the column of tags, looked through where they have no names.
        mention_label: as `tag_layout`'s.
    """
    fields = {
        field
        for field in CELL_FIELDS
        if layout.values({}, field) is None and layout.columns.get(field, field) in names
    }
    layout = replace(layout, as_written=tuple(fields.union(layout.as_written)))
    found = layout.token_columns(columns)
    tags = None if found is None else found[1]
    known = tag_names or names.get(tags or "")
    seen = tags_in(tags) if tags and not known else ()
    return tag_layout(layout, scheme, known, seen, mention_label)


def _named(value: object, classes: Sequence[str], column: str) -> object:
    if hasattr(value, "tolist"):
        # An array's, a tensor's, or one number of either.
        value = value.tolist()
    if isinstance(value, list):
        return [_named(item, classes, column) for item in value]
    # Unlabelled test sets have -1, padded ones -100.
    if value is None or value in (-1, -100):
        return None
    if isinstance(value, int) and 0 <= value < len(classes):
        return classes[value]
    found = f"class {value}" if isinstance(value, int) else f"a class as {type(value).__name__}"
    raise UnreadableError(
        f"{found} in {shown_id(column, 'column')!r}, which has names for {len(classes)} classes",
        "numbers from 0 to one less than there are names, or -1 for none",
    )
