"""Notes as an Arrow table, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_tl.replacement import replacing_file
from clinical_tl.schema import Note, note_features, note_to_row

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

BATCH_NOTES = 1_000


def tabulate(notes: Iterable[Note], path: Path | None = None) -> Dataset:
    """Builds the dataset of an iterable of notes without holding more than a batch as objects.

    Args:
        notes: the notes, in the order of the rows.
        path: where to write the table (Arrow stream), which is then memory-mapped; `None` keeps
            it in memory. An existing file is replaced, never read; datasets that map the old
            one keep it.
    """
    import pyarrow as pa
    from datasets import Dataset, DatasetInfo
    from datasets.table import InMemoryTable

    features = note_features()
    schema = features.arrow_schema
    batches = _batches(notes, schema)
    if path is None:
        kept = list(batches)
        # The default fingerprint would pickle the whole table into memory once more.
        content = blake2b(digest_size=8)
        for batch in kept:
            content.update(batch.serialize())
        table = InMemoryTable(pa.Table.from_batches(kept, schema=schema))
        info = DatasetInfo(features=features)
        return Dataset(table, info=info, fingerprint=content.hexdigest())
    with (
        replacing_file(path) as draft,
        pa.OSFile(str(draft), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
    return Dataset.from_file(str(path))


def _batches(notes: Iterable[Note], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    rows = (note_to_row(note) for note in notes)
    while batch := list(islice(rows, BATCH_NOTES)):
        yield pa.RecordBatch.from_pylist(batch, schema=schema)
