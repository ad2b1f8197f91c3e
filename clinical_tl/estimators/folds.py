"""Folds of notes that part neither a patient's notes nor copies of one note."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from clinical_tl.data.ties import tied_notes
from clinical_tl.errors import TaskError
from clinical_tl.estimators.features import Floats, Ints


def distinct_rows(matrix: Floats) -> Ints:
    """A number for each note, the same for notes with the same embedding, shape (notes,)."""
    _, numbers = np.unique(matrix, axis=0, return_inverse=True)
    return np.asarray(numbers, dtype=np.int64).reshape(-1)


def assign_folds(
    matrix: Floats, n_folds: int, *, groups: Sequence[Hashable] | None, seed: int
) -> Ints:
    """A fold for each note, shape (notes,); notes of a group, and copies, share theirs.

    A copy on the other side would make held-out notes look more familiar than new ones are.
    `None` in `groups` stands for a group of its own. Raises `TaskError` where the number of
    groups is not that of the notes, or where there are fewer of them than folds.
    """
    n = len(matrix)
    if groups is not None and len(groups) != n:
        raise TaskError(f"{n} notes have {len(groups)} groups; give one a note, or none at all")
    copies = distinct_rows(matrix).tolist()
    units = tied_notes(copies) if groups is None else tied_notes(copies, groups)
    n_units = int(units.max()) + 1
    if n_units < n_folds:
        raise TaskError(
            f"the {n} notes make {n_units} groups of notes that belong together (by patient, or "
            f"as copies); allowed: at least {n_folds}, to hold some out in turn. Give more notes"
        )
    shuffled = np.random.default_rng(seed).permutation(n_units)
    return np.asarray(shuffled[units] % n_folds, dtype=np.int64)
