"""Distance to the k-th nearest training note."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from clinical_tl.estimators.checks import check_at_least
from clinical_tl.estimators.estimator import Estimator
from clinical_tl.estimators.features import Floats, feature_matrix

BLOCK = 1024


class NeighbourDistance(Estimator):
    """Distance to the k-th nearest note, as Sun et al. (2022, §3) use it on unit vectors.

    Attributes:
        points_: the training notes, shape (notes, d).
    """

    file = "neighbour_distance"
    found = ("points_",)

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = neighbours

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:  # noqa: ARG002  (scikit-learn's)
        """Keep the notes, shape (notes, d). Raises `TaskError` for fewer than k."""
        check_at_least(1, neighbours=self.neighbours)
        self.points_ = feature_matrix(X, least=self.neighbours)
        self.n_features_in_ = self.points_.shape[1]
        return self

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Minus the distance, shape (notes,)."""
        from scipy.spatial.distance import cdist

        matrix, k = self.check_matrix(X), self.neighbours
        nearest = [
            np.partition(cdist(matrix[i : i + BLOCK], self.points_), k - 1, axis=1)[:, k - 1]
            for i in range(0, len(matrix), BLOCK)
        ]
        return -np.concatenate(nearest)
