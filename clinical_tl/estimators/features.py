"""What every estimator asks of its features and targets, checked once and in one way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import TaskError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHUNK = 65_536
"""Rows that are read at a time from features that may lie on disk."""


@dataclass(frozen=True)
class Indicators:
    """Targets as columns of 0 and 1, shape (n, columns).

    Of exclusive classes there is a column each, `classes` is the column of every row, shape
    (n,); of independent labels (several may hold, or none) `classes` is `None`.
    """

    columns: Floats
    classes: Ints | None


def number_matrix(X: npt.ArrayLike, *, name: str = "X", least: int = 1) -> npt.NDArray[np.floating]:
    """`X` with its own type of number, shape (n, d), checked; a memory-mapped one stays on disk.

    Raises `TaskError` for what is no matrix of real numbers, for fewer than `least` rows, no
    column, or values that are not finite; no message quotes a value, which may be a note.
    """
    if hasattr(X, "tocsr"):
        raise TaskError(f"{name} is sparse. Sparse input is not supported; give a dense array")
    matrix = np.asarray(X)
    if matrix.dtype.kind == "O":
        try:
            matrix = matrix.astype(np.float64)
        except ValueError:
            raise TaskError(f"{name} holds something that is no number; give numbers") from None
    if matrix.dtype.kind == "c":
        raise TaskError(f"{name} is complex. Complex data not supported; give real numbers")
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
        raise TaskError(
            f"{name} has the shape {matrix.shape} and the type {matrix.dtype}; give numbers, one "
            "row a note or token. Reshape your data to two axes"
        )
    rows, columns = matrix.shape
    if rows < least or not columns:
        raise TaskError(
            f"{name} has {rows} sample(s) with {columns} feature(s) (shape={matrix.shape}) while "
            f"a minimum of {least if columns else 1} is required. Give more notes or tokens, a "
            "row each"
        )
    bad = np.concatenate(
        [~np.isfinite(matrix[i : i + CHUNK]).all(axis=1) for i in range(0, rows, CHUNK)]
    )
    if bad.any():
        raise TaskError(
            f"{name} has {int(bad.sum())} rows that are not finite (NaN or inf), the first is row "
            f"{int(bad.argmax())}; look for a precision too low for the encoder, or leave the "
            "rows out"
        )
    return matrix


def feature_matrix(X: npt.ArrayLike, *, name: str = "X", least: int = 2) -> Floats:
    """The same as float64, in memory."""
    return np.asarray(number_matrix(X, name=name, least=least), dtype=np.float64)


def same_dimension(first: Floats, second: Floats) -> None:
    """Raise `TaskError` unless two matrices have as many columns."""
    if first.shape[1] != second.shape[1]:
        raise TaskError(
            f"the features have {first.shape[1]} and {second.shape[1]} dimensions; embed both "
            "sides with the same encoder, layer and pooling"
        )


def indicators(y: npt.ArrayLike, *, rows: int) -> Indicators:
    """The targets of `rows` examples as 0/1 columns.

    Args:
        y: (rows,) classes, numbers or names; or (rows, labels) 0 and 1, labels that do not
            exclude one another.
        rows: how many there must be.

    Raises:
        TaskError: another shape, values other than 0 and 1 in a label matrix, a single class,
            a label that all examples have or none has.
    """
    targets = np.asarray(y)
    if targets.ndim not in (1, 2) or len(targets) != rows:
        raise TaskError(
            f"the targets have the shape {targets.shape}; allowed: ({rows},) classes or "
            f"({rows}, labels) 0 and 1, one row an embedding"
        )
    if targets.ndim == 1:
        names, classes = np.unique(targets, return_inverse=True)
        if len(names) < 2:
            raise TaskError(f"all {rows} examples are of one class; give examples of at least two")
        return Indicators(np.eye(len(names))[classes], classes.astype(np.int64))
    if not np.isin(targets, (0, 1)).all():
        raise TaskError(
            f"the label matrix of shape {targets.shape} has values other than 0 and 1; "
            "apply thresholds first"
        )
    columns = targets.astype(np.float64)
    share = columns.mean(axis=0)
    constant = np.flatnonzero((share == 0) | (share == 1))
    if len(constant) or not columns.shape[1]:
        raise TaskError(
            f"{len(constant)} of {columns.shape[1]} labels hold for all {rows} examples or for "
            f"none, e.g. columns {constant[:5].tolist()}; leave them out"
        )
    return Indicators(columns, None)
