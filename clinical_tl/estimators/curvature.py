"""How steep a linear model's objective is in which directions, for a search that needs few steps.

Features of an encoder are strongly correlated: an objective over them is a narrow valley, in which
L-BFGS takes hundreds of steps. In weights that are multiplied by the root of its curvature
(preconditioning: Nocedal & Wright 2006, Numerical Optimization, 5.1; a bound of the curvature:
Böhning 1992, doi 10.1007/BF00048682) the valley is about round. The optimum is the same.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import numpy.typing as npt

from clinical_tl.estimators.features import Floats

MOST_ROWS = 8192
"""Of more rows a part tells the correlations well enough."""
WIDEST = 4096
"""Of more features the matrix itself costs more than it saves."""


class Curvature:
    """The correlations of standardised features, shape (d, d), and the roots of I + w · them."""

    def __init__(self, correlations: npt.NDArray[np.float32]) -> None:
        self.correlations = correlations
        self._root: tuple[int, Floats] | None = None

    @classmethod
    def of(cls, features: npt.NDArray[np.floating]) -> Self | None:
        """That of features of shape (n, d); `None` of too few rows, or too many columns."""
        n, d = features.shape
        if d > WIDEST or n < d / 2:
            return None
        rows = features[:: math.ceil(n / MOST_ROWS)].astype(np.float32)
        rows -= rows.mean(axis=0)
        scale = rows.std(axis=0)
        # What hardly varies has no correlations; whoever fits silences it, too.
        np.divide(rows, scale, out=rows, where=scale > 0)
        return cls(rows.T @ rows / np.float32(len(rows)))

    def root(self, weight: float) -> Floats:
        """The upper triangular U with UᵀU = I + `weight` · correlations, about: to a factor of two.

        So that fits of like weights share it.
        """
        from scipy.linalg import cholesky

        power = round(math.log2(max(weight, 1e-12)))
        if self._root is None or self._root[0] != power:
            curved = self.correlations.astype(np.float64) * 2.0**power
            curved[np.diag_indices_from(curved)] += 1.0
            self._root = power, cholesky(curved, overwrite_a=True, check_finite=False)
        return self._root[1]
