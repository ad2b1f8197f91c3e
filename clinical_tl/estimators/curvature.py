"""How steep a linear model's objective is in which directions, for a search that needs few steps.

Features of an encoder are strongly correlated: an objective over them is a narrow valley, in which
L-BFGS takes hundreds of steps. In weights that are multiplied by the root of its curvature
(preconditioning: Nocedal & Wright 2006, Numerical Optimization, 5.1) the valley is about round. The
optimum is the same. The curvature by the weights of an output is about the features' correlations
times the variance of what the output says (a bound: Böhning 1992, doi 10.1007/BF00048682): a rare
label's valley is another than a frequent one's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import StandardScaler

from clinical_tl.estimators.features import Floats

MOST_ROWS = 4096
"""Of more rows a part tells the directions well enough."""
MOST_DIRECTIONS = 256
"""Of most variance; along the others the valley is wide."""
LEAST_WEIGHT = 1e-12
"""Of an output that no row has."""
CONSTANT = 1e-4
"""Of the median scale of features: what varies less is taken for constant."""
SILENT = 1e30

Pair = tuple[Floats, Floats]
"""Weights (outputs, d) and intercepts (outputs,)."""


def live_scale(scale: Floats) -> Floats:
    """The features' scales; of those that hardly vary beside the others one that silences them.

    Some dimensions of an encoder are constant but for rounding. Standardised they would be noise,
    and have coefficients as large as 1e30, which a network that starts from them can't survive.
    """
    return np.where(scale < CONSTANT * np.median(scale), SILENT, scale)


class Curvature:
    """The directions in which standardised features vary, (d, r), and how much, (r,)."""

    def __init__(self, directions: Floats, variances: Floats) -> None:
        self.directions, self.variances = directions, variances

    @classmethod
    def of(
        cls,
        features: npt.NDArray[np.floating],
        rows: npt.NDArray[np.integer] | None = None,
    ) -> Self | None:
        """That of features of shape (n, d), or of these rows of them.

        By a randomised decomposition (Halko, Martinsson & Tropp 2011, doi 10.1137/090771806).
        `None` where features are too large to be multiplied.
        """
        from sklearn.utils.extmath import randomized_svd

        every = np.arange(len(features)) if rows is None else rows
        read = features[every[:: math.ceil(len(every) / MOST_ROWS)]].astype(np.float64)
        scaler = StandardScaler().fit(read)
        read -= scaler.mean_
        read /= live_scale(scaler.scale_) * math.sqrt(len(read))
        if not np.isfinite(read).all():
            return None
        most = min(*read.shape, MOST_DIRECTIONS)
        _, spread, directions = randomized_svd(read, most, n_iter=2, random_state=0)
        return cls(directions.T, spread**2)

    def root(self, weights: Floats) -> Root:
        """The inverse root of I + w · the correlations for each weight w of shape (outputs,).

        And of w itself for the intercepts, which nothing regularises.
        """
        known = np.maximum(weights, LEAST_WEIGHT)
        along = 1 / np.sqrt(1 + known[:, None] * self.variances)
        return Root(self.directions, along, 1 / np.sqrt(known))


@dataclass(frozen=True)
class Root:
    """A symmetric matrix an output, by its eigenvectors (d, r) and eigenvalues (outputs, r).

    Vectors at right angles to these stay as they are. `free` (outputs,) is for intercepts.
    """

    directions: Floats
    along: Floats
    free: Floats

    def times(self, weights: Floats, intercepts: Floats) -> Pair:
        """Each output's matrix times its weights, (outputs, d), and intercept, (outputs,)."""
        return self._times(weights, self.along), intercepts * self.free

    def solved(self, weights: Floats, intercepts: Floats) -> Pair:
        """The inverse of `times`."""
        return self._times(weights, 1 / self.along), intercepts / self.free

    def _times(self, weights: Floats, along: Floats) -> Floats:
        changed: Floats = ((weights @ self.directions) * (along - 1)) @ self.directions.T
        return weights + changed
