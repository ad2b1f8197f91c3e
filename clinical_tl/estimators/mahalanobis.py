"""Distance from the training notes in units of their own spread, after Mahalanobis."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from clinical_tl.errors import TaskError
from clinical_tl.estimators.features import Floats
from clinical_tl.estimators.saved_estimator import Array, prefixed, unprefixed

_BACKGROUND = "background"


def fit_gaussians(matrix: Floats, labels: Sequence[Hashable] | None) -> dict[str, Array]:
    """One Gaussian a label, all with the same covariance (Lee et al. 2018, §2.1).

    The covariance is shrunk as Ledoit & Wolf (2004) do: with fewer notes than dimensions the
    plain one can't be inverted. Without labels there is one Gaussian for all notes.

    Returns:
        `whitening` (d, d), under which the covariance is the identity; `means` (labels, d),
        whitened; `sizes` (labels,), the notes of each.

    Raises:
        TaskError: too few differing notes within the labels for a covariance.
    """
    from sklearn.covariance import ledoit_wolf

    columns: dict[Hashable, int] = {}
    numbers = np.array(
        [
            columns.setdefault(y, len(columns))
            for y in ([None] * len(matrix) if labels is None else labels)
        ]
    )
    sizes = np.bincount(numbers)
    means = np.zeros((len(sizes), matrix.shape[1]))
    np.add.at(means, numbers, matrix)
    means /= sizes[:, None]
    covariance, _ = ledoit_wolf(matrix - means[numbers], assume_centered=True)
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise TaskError(
            f"{len(matrix)} notes with {len(sizes)} labels differ too little within labels for a "
            "covariance; give more notes, or no labels"
        ) from None
    whitening = np.linalg.inv(factor)
    return {"whitening": whitening, "means": means @ whitening.T, "sizes": sizes}


def distances(arrays: Mapping[str, Array], matrix: Floats) -> Floats:
    """Squared distance to the nearest label's mean, shape (notes,); larger is stranger."""
    from scipy.spatial.distance import cdist

    nearest = cdist(matrix @ arrays["whitening"].T, arrays["means"], "sqeuclidean").min(axis=1)
    return np.asarray(nearest)


def fit_relative(matrix: Floats, labels: Sequence[Hashable] | None) -> dict[str, Array]:
    """The labels' Gaussians and one for all notes (Ren et al. 2021, §2).

    Raises `TaskError` without at least two labels, or as `fit_gaussians` does.
    """
    n_labels = 0 if labels is None else len(set(labels))
    if n_labels < 2:
        raise TaskError(
            f"the relative Mahalanobis distance needs notes of two labels or more, here are "
            f"{n_labels}; give labels, or use method='mahalanobis'"
        )
    background = fit_gaussians(matrix, None)
    return fit_gaussians(matrix, labels) | prefixed(_BACKGROUND, background)


def relative_distances(arrays: Mapping[str, Array], matrix: Floats) -> Floats:
    """Distance to the nearest label minus that to all notes, shape (notes,); can be negative.

    What is far from everything in directions that have nothing to do with the labels is far
    in both, and cancels out.
    """
    return distances(arrays, matrix) - distances(unprefixed(_BACKGROUND, arrays), matrix)
