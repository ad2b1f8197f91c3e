"""Checks on the embeddings and settings of estimators of unlabelled notes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.features import Floats, feature_matrix

Embeddings = npt.NDArray[np.float32] | Floats


def check_embeddings(
    embeddings: npt.ArrayLike, *, dimension: int | None = None, least: int = 1
) -> Floats:
    """Embeddings as float64, shape (notes, d), finite.

    Raises `TaskError` for another shape, fewer notes than `least`, another `d` than
    `dimension`, or a value that is not finite (the note's position is given).
    """
    matrix = feature_matrix(embeddings, name="the matrix of embeddings", least=least)
    if dimension is not None and matrix.shape[1] != dimension:
        raise TaskError(
            f"the embeddings have {matrix.shape[1]} dimensions, those of training {dimension}; "
            "embed the notes with the encoder, layer and pooling of training"
        )
    return matrix


def check_varied(matrix: Floats) -> None:
    """Raises `TaskError` where all notes have the same embedding: nothing can be estimated."""
    if not np.ptp(matrix, axis=0).any():
        raise TaskError(
            f"all {len(matrix)} notes have the same embedding; give notes that differ, or look "
            "at what embedded them"
        )


def check_at_least(least: int, **settings: int) -> None:
    """Raises `ConfigError` for the first setting that is below `least`."""
    for name, value in settings.items():
        if value < least:
            raise ConfigError(f"{name}={value}; allowed: at least {least}")
