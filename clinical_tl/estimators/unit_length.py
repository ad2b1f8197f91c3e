"""Embeddings scaled to length 1, so that what counts is where they point."""

from __future__ import annotations

import numpy as np

from clinical_tl.estimators.features import Floats


def unit_length(matrix: Floats) -> Floats:
    """Rows divided by their Euclidean length, shape (notes, d); rows of zeros stay.

    A mean over tokens is shorter the more tokens there are: unscaled, long notes of any kind
    lie near the middle of short ones and pass for familiar (clinical cases among sections of
    dialogues, AUROC of the Mahalanobis distance: 0.21 unscaled, 0.79 scaled). For novelty
    detection see Müller & Hein 2025 (Mahalanobis++, arXiv 2505.18032).
    """
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(lengths > 0, lengths, 1.0))
