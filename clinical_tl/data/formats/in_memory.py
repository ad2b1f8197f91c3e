"""Notes, records and data frames in memory as notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.data.formats.tag_schemes import Scheme
from clinical_tl.data.formats.token_tags import tag_layout, tag_lists
from clinical_tl.data.notes import wrong_types
from clinical_tl.schema import Note

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Records = Sequence[Note | Mapping[str, object]]


def read_records(
    records: Iterable[object],
    faults: Faults,
    *,
    layout: Layout,
    scheme: Scheme | None = None,
    tag_names: Sequence[str] | None = None,
    mention_label: str | None = None,
) -> Iterator[Note]:
    """Yields a note for every record or note; places are positions, from 1.

    Notes are taken as they are; the layout is for dicts. `scheme` and `tag_names` are for dicts of
    tokens and tags (`token_tags`).
    """
    # An iterator is read in one pass.
    seen = records if isinstance(records, list | tuple) else ()
    layout = tag_layout(
        layout, scheme, tag_names, map(_plain, tag_lists(layout, seen)), mention_label
    )
    for number, record in enumerate(records, 1):
        place = Place(faults.source, number)
        yield from faults.reading(partial(_note, record, number, place, faults, layout), place)


def _note(record: object, number: int, place: Place, faults: Faults, layout: Layout) -> Note | None:
    if isinstance(record, Mapping):
        plain = {str(name): _plain(value) for name, value in record.items()}
        return record_to_note(plain, number, place, faults, layout)
    if not isinstance(record, Note):
        faults.add(place, f"a {type(record).__name__}", "notes or dicts with note_id and text")
        return None
    wrong = list(wrong_types(record))
    for found, allowed in wrong:
        faults.add(place, found, allowed)
    return None if wrong else record


def read_data_frame(
    frame: pd.DataFrame,
    faults: Faults,
    *,
    layout: Layout,
    scheme: Scheme | None = None,
    tag_names: Sequence[str] | None = None,
    mention_label: str | None = None,
) -> Iterator[Note]:
    """Yields a note for every row of a data frame; places are row numbers, from 1.

    A missing value (NaN, NA, None) means *not annotated*. The index is not read.
    """
    twice = frame.columns[frame.columns.duplicated()].unique().tolist()
    if twice:
        faults.add(
            Place(faults.source),
            f"{len(twice)} column names that occur more than once",
            "each name once",
        )
        return
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    yield from read_records(
        rows, faults, layout=layout, scheme=scheme, tag_names=tag_names, mention_label=mention_label
    )


def as_frame(source: object) -> pd.DataFrame | None:
    """The pandas data frame that it is, or that a polars one becomes; `None` if it is neither.

    Neither library is imported to know.
    """
    kind = type(source)
    library = kind.__module__.partition(".")[0]
    if kind.__name__ != "DataFrame" or library not in ("pandas", "polars"):
        return None
    # pyarrow alone turns nested columns of polars into lists and dicts.
    frame = source if library == "pandas" else cast(_Polars, source).to_arrow().to_pandas()
    return cast("pd.DataFrame", frame)


class _Polars(Protocol):
    def to_arrow(self) -> pa.Table: ...


def _plain(value: object) -> object:
    """The value as JSON would give it: arrays and tuples as lists, dates as text."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return value.isoformat() if isinstance(value, date | time) else value
