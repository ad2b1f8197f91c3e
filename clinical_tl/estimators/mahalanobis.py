"""Distance from the training notes in units of their own spread, after Mahalanobis."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import TaskError
from clinical_tl.estimators.checks import check_labels
from clinical_tl.estimators.estimator import Estimator
from clinical_tl.estimators.features import Floats, Ints, feature_matrix


class Mahalanobis(Estimator):
    """One Gaussian a label, all with the same covariance (Lee et al. 2018, §2.1).

    The covariance is shrunk as Ledoit & Wolf (2004) do: with fewer notes than dimensions the
    plain one can't be inverted. Without labels there is one Gaussian for all notes.

    Attributes:
        whitening_: shape (d, d), under it the covariance is the identity.
        means_: of the labels, whitened, shape (labels, d).
        sizes_: notes of each label, shape (labels,).
    """

    file = "mahalanobis"
    found = ("whitening_", "means_", "sizes_")

    def fit(self, X: npt.ArrayLike, y: Sequence[Hashable] | None = None) -> Self:
        """Fit on notes, shape (notes, d), and their labels.

        Raises `TaskError` for too few differing notes within the labels for a covariance.
        """
        from sklearn.covariance import ledoit_wolf

        matrix = feature_matrix(X)
        check_labels(y, len(matrix))
        columns: dict[Hashable, int] = {}
        labels = [None] * len(matrix) if y is None else y
        numbers: Ints = np.array([columns.setdefault(label, len(columns)) for label in labels])
        sizes = np.bincount(numbers)
        means = np.zeros((len(sizes), matrix.shape[1]))
        np.add.at(means, numbers, matrix)
        means /= sizes[:, None]
        covariance, _ = ledoit_wolf(matrix - means[numbers], assume_centered=True)
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            raise TaskError(
                f"{len(matrix)} notes with {len(sizes)} labels differ too little within labels for "
                f"a covariance of {matrix.shape[1]} feature(s); give more notes, or no labels"
            ) from None
        self.whitening_ = np.linalg.inv(factor)
        self.means_, self.sizes_ = means @ self.whitening_.T, sizes
        self.n_features_in_ = matrix.shape[1]
        return self

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Minus the squared distance to the nearest label's mean, shape (notes,)."""
        from scipy.spatial.distance import cdist

        matrix = np.asarray(self.check_matrix(X), dtype=np.float64)
        nearest = cdist(matrix @ self.whitening_.T, self.means_, "sqeuclidean").min(axis=1)
        return np.asarray(-nearest)


class RelativeMahalanobis(Estimator):
    """Distance to the nearest label minus that to all notes (Ren et al. 2021, §2).

    What is far from everything in directions that have nothing to do with the labels is far
    from both, and cancels out.

    Attributes:
        labels_: the Gaussians of the labels.
        background_: the one of all notes.
    """

    file = "relative_mahalanobis"
    found = ("labels_", "background_")

    def fit(self, X: npt.ArrayLike, y: Sequence[Hashable] | None = None) -> Self:
        """Fit on notes, shape (notes, d), and their labels.

        Raises `TaskError` without at least two labels, or as `Mahalanobis` does.
        """
        matrix = feature_matrix(X)
        n_labels = 0 if y is None else len(set(y))
        if n_labels < 2:
            given = "but the target y is None" if y is None else f"but {n_labels} label is there"
            raise TaskError(
                f"the relative Mahalanobis distance requires y to be passed, {given}; give notes "
                "of two labels or more, or use method='mahalanobis'"
            )
        background, labels = Mahalanobis().fit(matrix), Mahalanobis().fit(matrix, y)
        self.background_, self.labels_ = background, labels
        self.n_features_in_ = matrix.shape[1]
        return self

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Minus the difference of the distances, shape (notes,); can be positive."""
        matrix = self.check_matrix(X)
        return self.labels_.score_samples(matrix) - self.background_.score_samples(matrix)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `to_state`. Raises `KeyError` where something is missing."""
        parts = {name: Mahalanobis.from_state(state[name]) for name in cls.found}
        return super().from_state({**state, **parts})

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401  (scikit-learn's tags are untyped)
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
