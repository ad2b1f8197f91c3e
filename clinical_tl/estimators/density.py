"""The density of notes: how likely a note's embedding is under what the training notes show."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import log, pi
from pathlib import Path
from typing import get_args

import numpy as np

from clinical_tl.errors import ArtifactError, ConfigError, TaskError, shown_value
from clinical_tl.estimators.checks import (
    Embeddings,
    check_at_least,
    check_embeddings,
    check_varied,
)
from clinical_tl.estimators.density_methods import (
    COMPONENTS,
    DENSITIES,
    LEAST_VARIANCE,
    Candidate,
    DensityMethod,
    fit_kernels,
    fit_mixture,
)
from clinical_tl.estimators.features import Floats
from clinical_tl.estimators.saved_estimator import (
    Array,
    SavedEstimator,
    prefixed,
    read_estimator,
    unprefixed,
    write_estimator,
)
from clinical_tl.estimators.unit_length import unit_length
from clinical_tl.paths import as_path

BLOCK = 1024
FILE = "density"


@dataclass(frozen=True, eq=False)
class DensityEstimator:
    """A density over d dimensions: detailed in r principal ones, simple in the rest.

    In the subspace of the r first principal components of the training notes the density is a
    Gaussian mixture (full covariances) or a Gaussian kernel estimate. Distance from the
    subspace counts too, as one isotropic Gaussian over the other d − r dimensions with the
    training notes' mean variance there (Moghaddam & Pentland 1997, §2.3): notes of another
    kind often differ most in directions in which the training notes don't, and without it they
    would look familiar. `residual_variance` is 0 where that part is left out.

    `mean` has shape (d,), `axes` (r, d). `parameters` of a mixture: `log_weights` (k,),
    `means` (k, r), `precisions_cholesky` (k, r, r); of kernels: `points` (notes, r),
    `bandwidth` ().
    """

    method: DensityMethod
    mean: Floats
    axes: Floats
    residual_variance: float
    parameters: Mapping[str, Array]
    scaled: bool
    candidates: tuple[Candidate, ...] = ()

    @classmethod
    def fit(
        cls,
        embeddings: Embeddings,
        *,
        method: DensityMethod = "gaussian_mixture",
        dimensions: int = 16,
        components: Sequence[int] = COMPONENTS,
        bandwidth: float | None = None,
        residual: bool = True,
        scale: bool = True,
        groups: Sequence[Hashable] | None = None,
        seed: int = 0,
    ) -> DensityEstimator:
        """Fit on training notes.

        Args:
            embeddings: shape (notes, d).
            method: `gaussian_mixture` or `kde`.
            dimensions: r, at most d and less than the number of notes.
            components: numbers of Gaussians to choose from by the Bayesian information
                criterion (Schwarz 1978); those for which there are fewer than 2 distinct notes
                a Gaussian are not tried.
            bandwidth: of the kernels; by default the one of `BANDWIDTHS` times Scott's factor
                with the highest log-density of held-out notes (5 folds, copies and groups
                together).
            residual: count the distance from the subspace, too.
            scale: bring embeddings to length 1 first (`unit_length`).
            groups: the patient of each note, `None` for one of its own: with some of a
                patient's notes held out and some not, the narrowest kernels would seem best.
            seed: of the mixture's start and of the folds.

        Raises:
            TaskError: embeddings of a wrong shape, not finite, all the same, or too few.
            ConfigError: an unknown method, or a number out of its range.
        """
        if method not in get_args(DensityMethod):
            raise ConfigError(
                f"method {shown_value(method)}: choose one of {get_args(DensityMethod)}"
            )
        check_at_least(1, dimensions=dimensions, components=min(components, default=0))
        if bandwidth is not None and bandwidth <= 0:
            raise ConfigError(f"bandwidth={bandwidth}; allowed: above 0")
        matrix = check_embeddings(embeddings, least=2)
        if scale:
            matrix = unit_length(matrix)
        check_varied(matrix)
        n, d = matrix.shape
        if dimensions > d or dimensions >= n:
            raise TaskError(
                f"{n} notes of {d} dimensions can't be reduced to {dimensions}; allowed: at most "
                f"{min(n - 1, d)}. Set dimensions, or give more notes"
            )
        mean, axes, spread = _principal_axes(matrix, dimensions)
        reduced = (matrix - mean) @ axes.T
        if method == "gaussian_mixture":
            parameters, candidates = fit_mixture(reduced, components, seed)
        elif bandwidth is None:
            parameters, candidates = fit_kernels(reduced, groups, seed)
        else:
            parameters = {"points": reduced, "bandwidth": np.array(bandwidth)}
            candidates = ()
        residual_variance = 0.0
        if residual and dimensions < d:
            outside = spread.sum() - reduced.var(axis=0).sum()
            least = LEAST_VARIANCE * reduced.var(axis=0).mean()
            residual_variance = float(max(outside / (d - dimensions), least))
        return cls(method, mean, axes, residual_variance, parameters, scale, candidates)

    @property
    def dimension(self) -> int:
        """d, of the embeddings it scores."""
        return len(self.mean)

    def log_density(self, embeddings: Embeddings) -> Floats:
        """Natural logarithm of the density at each note, shape (notes,).

        Of the d-dimensional density, or without the residual of the r-dimensional one: figures
        compare between notes, not between estimators.

        Raises `TaskError` for embeddings of another dimension, or not finite.
        """
        matrix = check_embeddings(embeddings, dimension=self.dimension)
        if self.scaled:
            matrix = unit_length(matrix)
        blocks = range(0, len(matrix), BLOCK)
        return np.concatenate([self._log_density(matrix[i : i + BLOCK]) for i in blocks])

    def _log_density(self, matrix: Floats) -> Floats:
        centred = matrix - self.mean
        reduced = centred @ self.axes.T
        inside = DENSITIES[self.method](reduced, self.parameters)
        if not self.residual_variance:
            return inside
        rest = self.dimension - len(self.axes)
        outside = centred - reduced @ self.axes
        distance: Floats = (outside**2).sum(axis=1) / self.residual_variance
        return inside - 0.5 * (distance + rest * log(2 * pi * self.residual_variance))

    def to_saved(self) -> SavedEstimator:
        """Settings and arrays, for a file of its own or as part of another estimator's."""
        settings = {
            "method": self.method,
            "residual_variance": self.residual_variance,
            "scaled": self.scaled,
            "candidates": [[c.value, c.score, c.converged] for c in self.candidates],
        }
        arrays = {"mean": self.mean, "axes": self.axes}
        return SavedEstimator(settings, arrays | prefixed("parameters", self.parameters))

    @classmethod
    def from_saved(cls, saved: SavedEstimator) -> DensityEstimator:
        """The inverse of `to_saved`. Raises `ArtifactError` where something is missing."""
        try:
            return cls(
                saved.settings["method"],
                saved.arrays["mean"],
                saved.arrays["axes"],
                saved.settings["residual_variance"],
                unprefixed("parameters", saved.arrays),
                saved.settings["scaled"],
                tuple(Candidate(*row) for row in saved.settings["candidates"]),
            )
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                "the saved estimator is no density; fit and save it again"
            ) from error

    def save(self, folder: str | Path) -> Path:
        """Write `density.json` and `density.safetensors`; kernels hold the notes' embeddings."""
        write_estimator(as_path(folder), FILE, self.to_saved())
        return as_path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> DensityEstimator:
        """What `save` wrote. Raises `ArtifactError` where that is missing or damaged."""
        return cls.from_saved(read_estimator(as_path(folder), FILE))


def _principal_axes(matrix: Floats, dimensions: int) -> tuple[Floats, Floats, Floats]:
    """Mean (d,), the first axes (r, d) and the variances of all d dimensions (d,)."""
    from sklearn.decomposition import PCA

    pca = PCA(dimensions, svd_solver="full").fit(matrix)
    return pca.mean_, pca.components_, matrix.var(axis=0)
