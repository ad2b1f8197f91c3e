"""The density of notes: how likely a note's embedding is under what the training notes show."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import log, pi
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.checks import check_at_least, check_method, check_varied
from clinical_tl.estimators.estimator import Estimator
from clinical_tl.estimators.features import Floats, feature_matrix
from clinical_tl.estimators.folds import assign_folds, distinct_rows
from clinical_tl.estimators.saved_estimator import Array
from clinical_tl.estimators.unit_length import unit_length

DensityMethod = Literal["gaussian_mixture", "kde"]

COMPONENTS = (1, 2, 4, 8, 16)
"""Numbers of Gaussians that are tried."""
BANDWIDTHS = (0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.4, 0.6, 0.8, 1.1, 1.6)
"""Bandwidths that are tried, as multiples of Scott's (1992), which is too wide for clusters."""
FOLDS = 5
BLOCK = 1024
# Share of the mean variance that is added to a Gaussian's variances: one on copies of a note
# has none of its own.
LEAST_VARIANCE = 1e-3


@dataclass(frozen=True)
class Candidate:
    """A setting that was tried, and how it did.

    `value` is a number of Gaussians and `score` its BIC (the lowest is taken), or a bandwidth
    and the mean log-density of held-out notes (the highest is taken). `converged` is `False`
    where expectation-maximisation was stopped before it settled.
    """

    value: float
    score: float
    converged: bool = True


def fit_mixture(
    reduced: Floats, components: Sequence[int], seed: int
) -> tuple[dict[str, Array], tuple[Candidate, ...]]:
    """Gaussian mixtures of several sizes on (notes, r): the best by BIC, and all that were tried.

    Raises `TaskError` where there are too few differing notes for the smallest.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    distinct = int(distinct_rows(reduced).max()) + 1
    tried = [k for k in sorted(set(components)) if 2 * k <= distinct]
    if not tried:
        raise TaskError(
            f"{distinct} notes with differing embeddings are too few for {min(components)} "
            "Gaussians; allowed: at least 2 a Gaussian"
        )
    mixtures, candidates = [], []
    for k in tried:
        mixture = GaussianMixture(
            k,
            reg_covar=LEAST_VARIANCE * float(reduced.var(axis=0).mean()),
            max_iter=500,
            random_state=seed,
        )
        with warnings.catch_warnings():
            # Not dropped: the candidate says so.
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(reduced)
        mixtures.append(mixture)
        candidates.append(Candidate(k, float(mixture.bic(reduced)), bool(mixture.converged_)))
    best = mixtures[int(np.argmin([candidate.score for candidate in candidates]))]
    parameters = {
        "weights": best.weights_,
        "means": best.means_,
        "precisions_cholesky": best.precisions_cholesky_,
    }
    return parameters, tuple(candidates)


def fit_kernels(
    reduced: Floats, groups: Sequence[Hashable] | None, seed: int
) -> tuple[dict[str, Array], tuple[Candidate, ...]]:
    """Gaussian kernels on (notes, r): the best bandwidth for held-out notes, and all tried."""
    n, r = reduced.shape
    scott = float(np.sqrt(reduced.var(axis=0).mean())) * n ** (-1 / (r + 4))
    folds = assign_folds(reduced, FOLDS, groups=groups, seed=seed)
    candidates = []
    for multiple in BANDWIDTHS:
        held_out = [
            kernel_density(
                reduced[folds == fold],
                {"points": reduced[folds != fold], "bandwidth": np.array(multiple * scott)},
            )
            for fold in range(FOLDS)
        ]
        candidates.append(Candidate(multiple * scott, float(np.concatenate(held_out).mean())))
    best = max(candidates, key=lambda candidate: candidate.score)
    return {"points": reduced, "bandwidth": np.array(best.value)}, tuple(candidates)


def mixture_density(reduced: Floats, parameters: Mapping[str, Array]) -> Floats:
    """Log-density of a Gaussian mixture, shape (notes,)."""
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(len(parameters["weights"]))
    mixture.weights_, mixture.means_ = parameters["weights"], parameters["means"]
    mixture.precisions_cholesky_ = parameters["precisions_cholesky"]
    return np.asarray(mixture.score_samples(reduced))


def kernel_density(reduced: Floats, parameters: Mapping[str, Array]) -> Floats:
    """Log-density of Gaussian kernels on the training notes, shape (notes,).

    scikit-learn's `KernelDensity` is off by half where the notes are few and far: its trees
    take differences of sums that are nearly 0.
    """
    from scipy.spatial.distance import cdist
    from scipy.special import logsumexp

    points, bandwidth = parameters["points"], float(parameters["bandwidth"])
    n, r = points.shape
    sums = []
    for i in range(0, len(reduced), BLOCK):
        exponents = cdist(reduced[i : i + BLOCK], points, "sqeuclidean") / (-2 * bandwidth**2)
        sums.append(logsumexp(exponents, axis=1))
    scale = log(n) + r * log(bandwidth) + 0.5 * r * log(2 * pi)
    return np.asarray(np.concatenate(sums) - scale)


DENSITIES: Mapping[DensityMethod, Callable[[Floats, Mapping[str, Array]], Floats]] = {
    "gaussian_mixture": mixture_density,
    "kde": kernel_density,
}
"""The log-density under each method's parameters."""


class DensityEstimator(Estimator):
    """A density over d dimensions: detailed in r principal ones, simple in the rest.

    In the subspace of the r first principal components of the training notes the density is a
    Gaussian mixture (full covariances) or a Gaussian kernel estimate. Distance from the
    subspace counts too, as one isotropic Gaussian over the other d − r dimensions with the
    training notes' mean variance there (Moghaddam & Pentland 1997, §2.3): notes of another
    kind often differ most in directions in which the training notes don't, and without it they
    would look familiar.

    Args:
        method: `gaussian_mixture` or `kde`.
        dimensions: r, at most d and less than the number of notes.
        components: numbers of Gaussians to choose from by the Bayesian information criterion
            (Schwarz 1978); those for which there are fewer than 2 distinct notes a Gaussian
            are not tried.
        bandwidth: of the kernels; by default the one of `BANDWIDTHS` times Scott's factor with
            the highest log-density of held-out notes (5 folds, copies and groups together).
        residual: count the distance from the subspace, too.
        scale: bring embeddings to length 1 first (`unit_length`).
        seed: of the mixture's start and of the folds.

    Attributes:
        mean_: shape (d,).
        axes_: shape (r, d).
        residual_variance_: 0 where that part is left out.
        parameters_: of a mixture `weights` (k,), `means` (k, r) and `precisions_cholesky`
            (k, r, r); of kernels `points` (notes, r) and `bandwidth` ().
        candidates_: the settings that were tried.
    """

    file = "density"
    found = ("mean_", "axes_", "residual_variance_", "parameters_", "candidates_")

    def __init__(
        self,
        method: DensityMethod = "gaussian_mixture",
        *,
        dimensions: int = 16,
        components: Sequence[int] = COMPONENTS,
        bandwidth: float | None = None,
        residual: bool = True,
        scale: bool = True,
        seed: int = 0,
    ) -> None:
        self.method = method
        self.dimensions = dimensions
        self.components = components
        self.bandwidth = bandwidth
        self.residual = residual
        self.scale = scale
        self.seed = seed

    def fit(
        self,
        X: npt.ArrayLike,
        y: object = None,  # noqa: ARG002  (scikit-learn's)
        groups: Sequence[Hashable] | None = None,
    ) -> Self:
        """Fit on training notes, shape (notes, d).

        `groups` is the patient of each note, `None` for one of its own: with some of a patient's
        notes held out and some not, the narrowest kernels would seem best.

        Raises:
            TaskError: embeddings of a wrong shape, not finite, all the same, or too few.
            ConfigError: an unknown method, or a number out of its range.
        """
        check_method(self.method, DensityMethod)
        check_at_least(1, dimensions=self.dimensions, components=min(self.components, default=0))
        if self.bandwidth is not None and self.bandwidth <= 0:
            raise ConfigError(f"bandwidth={self.bandwidth}; allowed: above 0")
        matrix = feature_matrix(X)
        if self.scale:
            matrix = unit_length(matrix)
        check_varied(matrix)
        (n, d), r = matrix.shape, self.dimensions
        if r > d or r >= n:
            raise TaskError(
                f"{n} notes of {d} dimensions can't be reduced to {r}; allowed: at most "
                f"{min(n - 1, d)}. Set dimensions, or give more notes"
            )
        mean, axes, spread = _principal_axes(matrix, r)
        reduced = (matrix - mean) @ axes.T
        if self.method == "gaussian_mixture":
            parameters, candidates = fit_mixture(reduced, self.components, self.seed)
        elif self.bandwidth is None:
            parameters, candidates = fit_kernels(reduced, groups, self.seed)
        else:
            parameters = {"points": reduced, "bandwidth": np.array(self.bandwidth)}
            candidates = ()
        # Set together: what can't be fitted leaves an estimator as it was.
        self.mean_, self.axes_, self.n_features_in_ = mean, axes, d
        self.parameters_, self.candidates_ = parameters, candidates
        self.residual_variance_ = 0.0
        if self.residual and r < d:
            outside = spread.sum() - reduced.var(axis=0).sum()
            least = LEAST_VARIANCE * reduced.var(axis=0).mean()
            self.residual_variance_ = float(max(outside / (d - r), least))
        return self

    def settled(self, X: npt.ArrayLike) -> Self:
        """Unfitted, to fit on a part `X` of the training notes without choosing again.

        A part may have fewer notes that differ, and so room for fewer Gaussians.
        """
        self.check_fitted()
        settled: Self = clone(self)
        if self.method == "kde":
            settled.bandwidth = float(self.parameters_["bandwidth"])
        else:
            room = (int(distinct_rows(feature_matrix(X)).max()) + 1) // 2
            settled.components = (max(1, min(len(self.parameters_["means"]), room)),)
        return settled

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Natural logarithm of the density at each note, shape (notes,).

        Of the d-dimensional density, or without the residual of the r-dimensional one: figures
        compare between notes, not between estimators.

        Raises `TaskError` for embeddings of another dimension, or not finite.
        """
        matrix = np.asarray(self.check_matrix(X), dtype=np.float64)
        if self.scale:
            matrix = unit_length(matrix)
        centred = matrix - self.mean_
        reduced = centred @ self.axes_.T
        inside = DENSITIES[self.method](reduced, self.parameters_)
        if not self.residual_variance_:
            return inside
        rest = self.n_features_in_ - len(self.axes_)
        outside = centred - reduced @ self.axes_
        distance: Floats = (outside**2).sum(axis=1) / self.residual_variance_
        return inside - 0.5 * (distance + rest * log(2 * pi * self.residual_variance_))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `to_state`. Raises `KeyError` where something is missing."""
        candidates = tuple(Candidate(*row) for row in state["candidates_"])
        return super().from_state({**state, "candidates_": candidates})


def _principal_axes(matrix: Floats, dimensions: int) -> tuple[Floats, Floats, Floats]:
    """Mean (d,), the first axes (r, d) and the variances of all d dimensions (d,)."""
    from sklearn.decomposition import PCA

    pca = PCA(dimensions, svd_solver="full").fit(matrix)
    return pca.mean_, pca.components_, matrix.var(axis=0)
