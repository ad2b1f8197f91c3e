"""`datasets.Dataset` objects and Hub ids as notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from clinical_tl.data.formats.class_names import Names, class_names, declared, with_names
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.in_memory import read_records
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.data.formats.tag_schemes import Scheme
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_path, shown_value
from clinical_tl.schema import Note

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

HUB_PREFIX = "hub:"


def read_dataset(
    dataset: Dataset | IterableDataset,
    faults: Faults,
    *,
    layout: Layout,
    scheme: Scheme | None = None,
    tag_names: Sequence[str] | None = None,
    mention_label: str | None = None,
) -> Iterator[Note]:
    """Yields a note for every row; places are row numbers, from 1.

    Labels, codes and tags stored as class numbers become their names.

    Args:
        dataset: the rows.
        faults: where what is wrong goes.
        layout: which column holds which field.
        scheme: of the tags, where `tokens` and tags stand instead of a text (`token_tags`).
        tag_names: what tags are called that are numbers, where the dataset doesn't say.
        mention_label: the label of all mentions, where tags are marks alone (B, I, O).
    """
    from datasets import Dataset

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
    names = class_names(dataset.features)
    if not (isinstance(dataset, Dataset) and dataset.format["type"] == "custom"):
        # Arrays, tensors and frames would be made of rows; a transform of one's own is kept.
        dataset = dataset.with_format(None)

    def tags_in(column: str) -> Iterable[object]:
        # A stream is read in one pass.
        return dataset.select_columns(column)[column] if hasattr(dataset, "__len__") else ()

    layout = declared(
        layout, dataset.column_names, names, scheme, tag_names, tags_in, mention_label
    )
    for number, row in enumerate(dataset, 1):
        place = Place(faults.source, number)
        read = partial(_note, row, names, number, place, faults, layout)
        yield from faults.reading(read, place)


def _note(
    row: Mapping[str, object],
    names: Names,
    number: int,
    place: Place,
    faults: Faults,
    layout: Layout,
) -> Note | None:
    return record_to_note(with_names(row, names), number, place, faults, layout)


def read_stream(
    dataset: IterableDataset,
    faults: Faults,
    *,
    layout: Layout,
    scheme: Scheme | None = None,
    tag_names: Sequence[str] | None = None,
    mention_label: str | None = None,
) -> Iterator[Note]:
    """Yields a note for every row of a streamed dataset, in one pass.

    Where it declares its columns, class numbers become names, as in `read_dataset`; where it
    doesn't, each row is a record of its own.
    """
    reader = read_records if dataset.features is None else read_dataset
    yield from reader(
        dataset,
        faults,
        layout=layout,
        scheme=scheme,
        tag_names=tag_names,
        mention_label=mention_label,
    )


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
