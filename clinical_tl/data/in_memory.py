"""Notes, records and data frames in memory as notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from clinical_tl.data.faults import Faults, Place
from clinical_tl.data.layout import Layout
from clinical_tl.data.records import record_to_note
from clinical_tl.schema import Note

if TYPE_CHECKING:
    import pandas as pd

    Records = Sequence[Note | Mapping[str, object]]


def read_records(records: Sequence[object], faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every record or note; places are positions, from 1."""
    for number, record in enumerate(records, 1):
        mark = len(faults)
        place = Place(faults.source, number)
        if isinstance(record, Note):
            yield from faults.admitted(record, place, since=mark)
            continue
        note = None
        if isinstance(record, Mapping):
            note = record_to_note(record, number, place, faults, layout)
        else:
            faults.add(place, f"a {type(record).__name__}", "notes or dicts with note_id and text")
        yield from faults.admitted(note, place, since=mark)


def read_data_frame(frame: pd.DataFrame, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every row of a data frame; places are row numbers, from 1.

    A missing value (NaN, NA, None) means *not annotated*. The index is not read.
    """
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    records = [{str(name): _plain(value) for name, value in row.items()} for row in rows]
    yield from read_records(records, faults, layout=layout)


def is_data_frame(source: object) -> TypeGuard[pd.DataFrame]:
    """Whether it is a pandas data frame; pandas is not imported to know."""
    kind = type(source)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"


def _plain(value: object) -> object:
    # Columns of lists come out of Parquet as arrays.
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
