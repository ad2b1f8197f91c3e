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
from sklearn.preprocessing import StandardScaler

from clinical_tl.estimators.features import CHUNK, Floats

MOST_ROWS = 8192
"""Of more rows a part tells the correlations well enough."""
WIDEST = 4096
"""Of more features the matrix itself costs more than it saves."""
LARGEST_WEIGHT = 1e12
CONSTANT = 1e-4
"""Of the median scale of features: what varies less is taken for constant."""
SILENT = 1e30


def live_scale(scale: Floats) -> Floats:
    """The features' scales; of those that hardly vary beside the others one that silences them.

    Some dimensions of an encoder are constant but for rounding. Standardised they would be noise,
    and have coefficients as large as 1e30, which a network that starts from them can't survive.
    """
    return np.where(scale < CONSTANT * np.median(scale), SILENT, scale)


class Curvature:
    """The correlations of standardised features, shape (d, d), and the roots of I + w · them."""

    def __init__(self, correlations: npt.NDArray[np.float32]) -> None:
        self.correlations = correlations
        self._root: tuple[int, Floats | None] | None = None

    @classmethod
    def of(cls, features: npt.NDArray[np.floating]) -> Self | None:
        """That of features of shape (n, d).

        `None` of too few rows, of too many columns, or where they are too large to be multiplied.
        """
        n, d = features.shape
        if d > WIDEST or n < d / 2:
            return None
        rows = features[:: math.ceil(n / MOST_ROWS)]
        pieces = [slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK)]
        scaler = StandardScaler()
        for piece in pieces:
            scaler.partial_fit(rows[piece].astype(np.float64))
        scale = live_scale(scaler.scale_)
        correlations = np.zeros((d, d), dtype=np.float32)
        for piece in pieces:
            # Centred before they are rounded: of timestamps nothing would be left.
            scaled = ((rows[piece].astype(np.float64) - scaler.mean_) / scale).astype(np.float32)
            correlations += scaled.T @ scaled / np.float32(len(rows))
        return cls(correlations) if np.isfinite(correlations).all() else None

    def root(self, weight: float) -> Floats | None:
        """The upper triangular U with UᵀU = I + `weight` · correlations, about: to a factor of two.

        So that fits of like weights share it. `None` where rounding leaves no such matrix.
        """
        from scipy.linalg import LinAlgError, cholesky

        power = round(math.log2(min(max(weight, 1 / LARGEST_WEIGHT), LARGEST_WEIGHT)))
        if self._root is None or self._root[0] != power:
            curved = self.correlations.astype(np.float64) * 2.0**power
            # What single precision may have taken from the smallest eigenvalues.
            rounding = len(curved) * float(np.finfo(np.float32).eps) * 2.0**power
            curved[np.diag_indices_from(curved)] += 1.0 + rounding
            try:
                root = cholesky(curved, overwrite_a=True, check_finite=False)
            except LinAlgError:
                root = None
            self._root = power, root
        return self._root[1]
