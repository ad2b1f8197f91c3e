"""`datasets.Dataset` objects and Hub ids as notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from clinical_tl.data.formats.cells import CELL_FIELDS
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.in_memory import read_records
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_path, shown_value
from clinical_tl.schema import Note

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

HUB_PREFIX = "hub:"


def read_dataset(
    dataset: Dataset | IterableDataset, faults: Faults, *, layout: Layout
) -> Iterator[Note]:
    """Yields a note for every row; places are row numbers, from 1.

    Labels and codes stored as class numbers become their names.
    """
    place = Place(faults.source)
    mark = len(faults)
    for name, column in layout.missing(dataset.column_names).items():
        faults.add(
            place,
            f"the dataset's {len(dataset.column_names)} columns do not include "
            f"{shown_id(column, 'column')!r}",
            f"the column of {name}; map it with columns={{{name!r}: '<column>'}}",
        )
    if len(faults) > mark:
        return
    names = _class_names(dataset)
    # A class that is called "None" is declared as one.
    declared = {
        field
        for field in CELL_FIELDS
        if layout.values({}, field) is None and layout.columns.get(field, field) in names
    }
    layout = replace(layout, as_written=tuple(declared.union(layout.as_written)))
    for number, row in enumerate(dataset, 1):
        for column, classes in names.items():
            row[column] = _named(row[column], classes)
        place = Place(faults.source, number)
        read = partial(record_to_note, row, number, place, faults, layout)
        yield from faults.reading(read, place)


def read_stream(dataset: IterableDataset, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every row of a streamed dataset, in one pass.

    Where it declares its columns, class numbers become names, as in `read_dataset`; where it
    doesn't, each row is a record of its own.
    """
    if dataset.features is None:
        yield from read_records(dataset, faults, layout=layout)
    else:
        yield from read_dataset(dataset, faults, layout=layout)


def _class_names(dataset: Dataset | IterableDataset) -> dict[str, list[str]]:
    from datasets import ClassLabel

    found = {}
    for column, feature in dataset.features.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, ClassLabel):
            found[column] = list(inner.names)
    return found


def _named(value: object, classes: list[str]) -> object:
    if isinstance(value, list):
        return [_named(item, classes) for item in value]
    # -1 is how unlabelled test sets are stored.
    return classes[value] if isinstance(value, int) and value >= 0 else None


def load_from_hub(name: str, split: str | None) -> Dataset:
    """Loads one split of a Hub dataset; from the cache alone where `HF_HUB_OFFLINE=1`.

    Args:
        name: `hub:` and the dataset's id.
        split: which split.

    Raises:
        ConfigError: no split.
        NoteError: a dataset or split that can't be had.
    """
    from datasets import load_dataset

    repository = name.removeprefix(HUB_PREFIX)
    if split is None:
        raise ConfigError(f"{shown_path(name)}: say which split: split='train'")
    try:
        return load_dataset(repository, split=split)
    except (OSError, ValueError, RuntimeError) as error:
        raise NoteError(
            f"{shown_path(name)}, split {shown_value(split)}: could not be loaded "
            f"({type(error).__name__}). Check the id and the split; without a network (or with "
            "HF_HUB_OFFLINE=1) only datasets that were loaded before can be had"
        ) from error
