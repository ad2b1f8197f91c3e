"""The ways to estimate a density of few dimensions, each as a fit and a log-density."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import log, pi
from typing import Literal

import numpy as np

from clinical_tl.errors import TaskError
from clinical_tl.estimators.features import Floats
from clinical_tl.estimators.folds import assign_folds, distinct_rows
from clinical_tl.estimators.saved_estimator import Array

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
