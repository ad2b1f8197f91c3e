"""Notes that belong together: of one patient, of one text."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from clinical_tl.data.traces import text_key
from clinical_tl.schema import Note


def tied_notes(*columns: Sequence[Hashable | None]) -> NDArray[np.int64]:
    """A number for each note, the same where any column of keys ties two together.

    Ties chain: a patient's notes and a text that two patients share are one. `None` ties a
    note to no other. Shape (notes,), numbered from 0 in the notes' order.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    count = len(columns[0])
    ties = []
    for column in columns:
        leaders: dict[Hashable, int] = {}
        tied = [i if key is None else leaders.setdefault(key, i) for i, key in enumerate(column)]
        ties.append(np.array(tied, dtype=np.int64))
    first = np.tile(np.arange(count), len(ties))
    edges = (np.ones(len(first), dtype=np.int8), (first, np.concatenate(ties)))
    _, units = connected_components(csr_array(edges, shape=(count, count)), directed=False)
    return np.asarray(units, dtype=np.int64)


def related_notes(notes: Sequence[Note]) -> NDArray[np.int64]:
    """`tied_notes` by patient and by text: what no estimate may hold out from one another."""
    return tied_notes([n.patient_id for n in notes], [text_key(n.text) for n in notes])
