"""Checks on the arrays that scores are computed from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import TaskError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def score_matrix(
    values: npt.ArrayLike,
    *,
    name: str,
    shape: tuple[int, ...] | None = None,
    allow_empty: bool = False,
) -> Floats:
    """`values` as float64, checked to be finite and of `shape` (any two axes where `None`).

    Raises `TaskError` naming the array and its shape, or the row of the first value that is
    not a finite number; and for an empty array, unless that is allowed.
    """
    array = np.asarray(values, dtype=np.float64)
    _check_shape(array.shape, name, shape)
    if not array.size and not allow_empty:
        raise TaskError(f"{name} has the shape {array.shape}: nothing to score; give a note")
    finite = np.isfinite(array)
    if not finite.all():
        row = int(np.argwhere(~finite)[0][0])
        raise TaskError(
            f"{name} has {int((~finite).sum())} values that are not finite, the first in row "
            f"{row}; look for a loss that became NaN in training"
        )
    return array


def probability_matrix(
    values: npt.ArrayLike, *, name: str, shape: tuple[int, ...] | None = None
) -> Floats:
    """As `score_matrix`, and every value must lie in [0, 1]."""
    array = score_matrix(values, name=name, shape=shape)
    if array.min() < 0 or array.max() > 1:
        raise TaskError(
            f"{name} has values from {array.min():g} to {array.max():g}; allowed: 0 to 1. "
            "Logits must pass through softmax or sigmoid first"
        )
    return array


def bool_matrix(values: npt.ArrayLike, *, name: str, shape: tuple[int, ...]) -> Bools:
    """`values` as booleans, checked to be of boolean type and of `shape`.

    Numbers are refused: scores passed in place of decisions would all read as true.
    """
    array = np.asarray(values)
    if array.dtype != np.bool_:
        raise TaskError(
            f"{name} is of type {array.dtype}; allowed: bool. Apply thresholds to scores first "
            "(Thresholds.apply), or convert 0/1 with .astype(bool)"
        )
    _check_shape(array.shape, name, shape)
    return array


def column_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels of the columns, checked to be distinct and at least one."""
    names = tuple(labels)
    if not names or len(set(names)) != len(names):
        raise TaskError(
            f"{len(names)} labels are given, {len(set(names))} of them distinct; allowed: at "
            "least one, each once, in the order of the columns"
        )
    return names


def _check_shape(found: tuple[int, ...], name: str, shape: tuple[int, ...] | None) -> None:
    if (len(found) == 2) if shape is None else (found == shape):
        return
    allowed = "two axes (notes, labels)" if shape is None else f"{shape} (notes, labels)"
    raise TaskError(f"{name} has the shape {found}; allowed: {allowed}")
