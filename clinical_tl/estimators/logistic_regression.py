"""L2-regularised logistic regression that reads its features a piece at a time.

The objective is scikit-learn's, C · Σ loss + ½‖W‖² with a free intercept, over standardised
features; the difference is where it is computed: features may be a memory-mapped matrix
larger than memory, and thousands of one-against-rest models are fitted as one product of
matrices.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import StandardScaler

from clinical_tl.estimators.curvature import SILENT, Curvature, live_scale
from clinical_tl.estimators.features import CHUNK, Floats

logger = logging.getLogger(__name__)

MAX_ITERATIONS = 10_000
TOLERANCE = 1e-6
"""Of the largest component of the gradient, by row: no probability is off by more than 1e-4."""
ROUGH = 1e-4
"""Enough to choose a strength by."""
_MEMORY = 10
STEPS_WITH_ROOT = 300
"""Where these don't do (rows that are told apart without regularisation to speak of, values of very
different size) the search goes on as if nothing were known of the curvature."""
VARIANCE_ROWS = 1000
"""Of so many rows how far the outputs' probabilities are from 0 and 1 is well enough known."""
IN_CACHE = 2**17
"""Numbers of a piece of the features that is centred, multiplied twice and forgotten: what leaves
the processor's cache in between takes three times as long (16,000 rows of 1,536 features)."""


@dataclass(frozen=True)
class LinearWeights:
    """Coefficients of shape (outputs, d) for features as they came, and intercepts (outputs,)."""

    coefficients: Floats
    intercepts: Floats

    def logits(self, features: npt.NDArray[np.floating]) -> Floats:
        """Shape (n, outputs)."""
        pieces = [
            features[start : start + CHUNK] @ self.coefficients.T + self.intercepts
            for start in range(0, len(features), CHUNK)
        ]
        return np.concatenate(pieces) if pieces else np.zeros((0, len(self.intercepts)))

    def probabilities(
        self, features: npt.NDArray[np.floating], *, exclusive: bool, block: int = 1
    ) -> Floats:
        """Softmax over the outputs where they exclude one another, else sigmoids; (n, outputs).

        Those of a `block` of outputs exclude one another too.
        """
        from scipy.special import expit, softmax

        logits = self.logits(features)
        if exclusive or block == 1:
            result: Floats = softmax(logits, axis=1) if exclusive else expit(logits)
            return result
        blocks: Floats = softmax(logits.reshape(len(logits), -1, block), axis=2)
        return blocks.reshape(logits.shape)


def fit_logistic(
    features: npt.NDArray[np.floating],
    targets: npt.NDArray[np.integer] | npt.NDArray[np.bool_],
    *,
    n_outputs: int,
    strength: float,
    weights: Floats | None = None,
    rows: npt.NDArray[np.integer] | None = None,
    start: LinearWeights | None = None,
    tolerance: float = TOLERANCE,
    block: int = 1,
    curvature: Curvature | None = None,
) -> LinearWeights:
    """Fit by L-BFGS; that it has not settled after `MAX_ITERATIONS` is logged.

    Args:
        features: shape (n, d).
        targets: columns of one label a row, shape (n,), for one multinomial model; 0 or 1,
            shape (n, outputs), for one binary model an output, or one multinomial model a
            `block` of outputs.
        n_outputs: columns of the result.
        strength: scikit-learn's C, the inverse of the regularisation.
        weights: of each row's loss, shape (n,), or of each output's, shape (n, outputs).
        rows: fit on these rows only.
        start: weights to start from, such as those of another strength.
        tolerance: the largest component of the gradient, by row, at which the search ends.
        block: so many outputs side by side exclude one another: a row has one of them, or none
            where that is not known.
        curvature: of the features, which several fits share; the search takes fewer steps with it.
    """
    from threadpoolctl import threadpool_limits

    used = np.arange(len(features)) if rows is None else rows
    problem = _Problem(features, targets, used, n_outputs, strength, weights, block)
    total = len(used) if weights is None else len(used) * float(weights[used].mean())
    # Pieces are small: threads that wait for one another take ten times as long (44 codes of 78
    # notes on two cores: 75 s, and 6 s by one thread).
    with threadpool_limits(limits=1, user_api="blas"):
        point, steps, is_settled = problem.initial(start), 0, False
        steepest = tolerance * strength * total
        root = None
        if curvature is not None:
            root = curvature.root(strength * total * problem.variance(point))
        if root is not None:
            point, steps, is_settled = _search(problem, point, root, steepest, STEPS_WITH_ROOT)
        if not is_settled:
            point, more, _ = _search(problem, point, None, steepest, MAX_ITERATIONS)
            steps += more
    if steps >= MAX_ITERATIONS:
        logger.warning(
            "logistic regression with strength %g has not settled after %d iterations; a lower "
            "strength has a clearer optimum",
            strength,
            MAX_ITERATIONS,
        )
    return problem.weights(point)


def log_losses(
    probabilities: Floats,
    targets: npt.NDArray[np.integer] | npt.NDArray[np.bool_],
    *,
    block: int = 1,
) -> Floats:
    """−log-likelihood of each row, shape (n,), or of each of its binary outputs, (n, outputs).

    Of a `block` of outputs that exclude one another the right one alone has any.
    """
    tiny = np.finfo(np.float64).eps
    safe = np.clip(probabilities, tiny, 1 - tiny)
    if targets.ndim == 1:
        chosen: Floats = -np.log(safe[np.arange(len(targets)), targets])
        return chosen
    binary: Floats = -np.where(targets, np.log(safe), np.log1p(-safe) if block == 1 else 0.0)
    return binary


def _search(
    problem: _Problem, first: Floats, root: Floats | None, steepest: float, limit: int
) -> tuple[Floats, int, bool]:
    """Where L-BFGS ends, after how many steps, and whether the gradient is small enough there."""
    from scipy.optimize import minimize

    search = _Search(problem, root, steepest)
    found = minimize(
        search.value_and_gradient,
        search.scaled(first),
        jac=True,
        method="L-BFGS-B",
        callback=search.stop_when_settled,
        options={
            "maxiter": limit,
            "maxcor": _MEMORY,
            # The search stops by itself: its gradient is not the objective's.
            "gtol": 0.0,
            # The objective's own rounding: it must not end the search before the gradient does.
            "ftol": np.finfo(np.float64).eps,
        },
    )
    return search.unscaled(found.x), int(found.nit), search.steepness <= steepest


class _Search:
    """An objective over weights that are multiplied by the root of its curvature."""

    def __init__(self, problem: _Problem, root: Floats | None, steepest: float) -> None:
        self.problem, self.root, self.steepest = problem, root, steepest
        self.steepness = np.inf

    def scaled(self, flat: Floats) -> Floats:
        """A point of the objective as one of the search."""
        if self.root is None:
            return flat
        weights, intercepts = self.problem.split(flat)
        return np.concatenate([(weights @ self.root.T).ravel(), intercepts])

    def unscaled(self, flat: Floats) -> Floats:
        """The inverse of `scaled`."""
        return self._solved(flat, transposed=False)

    def value_and_gradient(self, flat: Floats) -> tuple[float, Floats]:
        """Of the objective, by the point of the search."""
        value, gradient = self.problem.value_and_gradient(self.unscaled(flat))
        self.steepness = float(np.abs(gradient).max())
        return value, self._solved(gradient, transposed=True)

    def stop_when_settled(self, _: Floats) -> None:
        """Called after each step: end where the objective's own gradient is small enough."""
        if self.steepness <= self.steepest:
            raise StopIteration

    def _solved(self, flat: Floats, *, transposed: bool) -> Floats:
        if self.root is None:
            return flat
        from scipy.linalg import solve_triangular

        weights, others = self.problem.split(flat)
        solved = solve_triangular(
            self.root, weights.T, trans=1 if transposed else 0, check_finite=False
        )
        return np.concatenate([solved.T.ravel(), others])


class _Problem:
    """One objective: standardisation is applied to pieces as they are read."""

    def __init__(
        self,
        features: npt.NDArray[np.floating],
        targets: npt.NDArray[np.integer] | npt.NDArray[np.bool_],
        rows: npt.NDArray[np.integer],
        n_outputs: int,
        strength: float,
        row_weights: Floats | None,
        block: int,
    ) -> None:
        self.features, self.targets, self.rows = features, targets, rows
        self.row_weights, self.block = row_weights, block
        self.n_outputs, self.strength = n_outputs, strength
        scaler = StandardScaler()
        for piece in self._pieces():
            scaler.partial_fit(features[piece])
        self.mean, self.scale = scaler.mean_, live_scale(scaler.scale_)

    def _pieces(self, size: int = CHUNK) -> Iterator[npt.NDArray[np.integer]]:
        for start in range(0, len(self.rows), size):
            yield self.rows[start : start + size]

    def initial(self, start: LinearWeights | None) -> Floats:
        """The start, if the objective is lower there than where all is zero; else that."""
        zeros = np.zeros(self.n_outputs * (self.features.shape[1] + 1))
        if start is None:
            return zeros
        # What another fold's rows tell apart may be constant in these.
        scaled = np.where(self.scale < SILENT, start.coefficients * self.scale, 0.0)
        intercepts = start.intercepts + start.coefficients @ self.mean
        given = np.concatenate([scaled.ravel(), intercepts])
        # Rows that were held out there may lie far from all others.
        nothing = np.zeros((len(self.rows), self.n_outputs))
        own = None if self.row_weights is None else self.row_weights[self.rows]
        of_zeros = self.strength * self._loss(nothing, self.targets[self.rows], own)[0]
        return given if self.value_and_gradient(given)[0] < of_zeros else zeros

    def variance(self, flat: Floats) -> float:
        """The largest variance p (1 − p) of an output there, its mean over (a part of) the rows.

        Weights' curvature is the features' times this. Where all is zero nothing is known yet but
        how frequent the outputs are, which bounds it.
        """
        rows = self.rows[:: max(1, len(self.rows) // VARIANCE_ROWS)]
        weights, _ = self.split(flat)
        if not weights.any():
            targets = self.targets[rows]
            if targets.ndim == 1:
                shares = np.bincount(targets, minlength=self.n_outputs) / len(rows)
            else:
                shares = targets.mean(axis=0)
            return float((shares * (1 - shares)).max())
        likely = self.weights(flat).probabilities(
            self.features[rows], exclusive=self.targets.ndim == 1, block=self.block
        )
        return float((likely * (1 - likely)).mean(axis=0).max())

    def weights(self, flat: Floats) -> LinearWeights:
        scaled, intercepts = self.split(flat)
        coefficients = scaled / self.scale
        return LinearWeights(coefficients, intercepts - coefficients @ self.mean)

    def value_and_gradient(self, flat: Floats) -> tuple[float, Floats]:
        weights, intercepts = self.split(flat)
        value = 0.5 * float((weights**2).sum())
        # Weights are divided by the scale in place of every row, which there are more of.
        divided = (weights / self.scale).T
        gradient = np.zeros_like(weights)
        intercept_gradient = np.zeros(self.n_outputs)
        for rows in self._pieces(max(1, IN_CACHE // self.features.shape[1])):
            centred = self.features[rows].astype(np.float64)
            centred -= self.mean
            logits = centred @ divided + intercepts
            own = None if self.row_weights is None else self.row_weights[rows]
            loss, slopes = self._loss(logits, self.targets[rows], own)
            value += self.strength * loss
            gradient += slopes.T @ centred
            intercept_gradient += self.strength * slopes.sum(axis=0)
        gradient = weights + gradient * (self.strength / self.scale)
        return value, np.concatenate([gradient.ravel(), intercept_gradient])

    def _loss(
        self, logits: Floats, targets: npt.NDArray[np.generic], weights: Floats | None
    ) -> tuple[float, Floats]:
        """The rows' summed loss, and its derivative by the logits, shape (rows, outputs)."""
        from scipy.special import expit, log_softmax

        if weights is not None and weights.ndim < targets.ndim:
            weights = weights[:, None]
        if targets.ndim == 1:
            log_probabilities = log_softmax(logits, axis=1)
            row = np.arange(len(targets))
            slopes = np.exp(log_probabilities)
            slopes[row, targets] -= 1
            losses = -log_probabilities[row, targets]
        elif self.block > 1:
            gold = targets.astype(np.float64) * (1.0 if weights is None else weights)
            # Column by column: over an axis as short as a block numpy is slow.
            columns = [slice(k, None, self.block) for k in range(self.block)]
            highest = np.maximum.reduce([logits[:, own] for own in columns])
            likely = np.exp(logits - np.repeat(highest, self.block, axis=1))
            total = sum(likely[:, own] for own in columns)
            known = sum(gold[:, own] for own in columns)
            right = gold * logits
            loss = float((known * (highest + np.log(total))).sum() - right.sum())
            slopes = likely * np.repeat(known / total, self.block, axis=1) - gold
            return loss, slopes
        else:
            gold = targets.astype(np.float64)
            slopes = expit(logits) - gold
            losses = np.logaddexp(0, logits) - gold * logits
        if weights is None:
            return float(losses.sum()), slopes
        by_output = weights[:, None] if weights.ndim < slopes.ndim else weights
        return float((losses * weights).sum()), slopes * by_output

    def split(self, flat: Floats) -> tuple[Floats, Floats]:
        """Weights (outputs, d), and intercepts."""
        n = self.n_outputs * self.features.shape[1]
        return flat[:n].reshape(self.n_outputs, -1), flat[n:]
