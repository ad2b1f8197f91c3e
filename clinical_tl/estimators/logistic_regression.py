"""L2-regularised logistic regression that reads its features a piece at a time.

The objective is scikit-learn's, C · Σ loss + ½‖W‖² with a free intercept, over standardised
features; the difference is where it is computed: features may be a memory-mapped matrix
larger than memory, and thousands of one-against-rest models are fitted as one product of
matrices.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import StandardScaler

from clinical_tl.estimators.curvature import SILENT, Curvature, Pair, Root, live_scale
from clinical_tl.estimators.features import CHUNK, Floats

logger = logging.getLogger(__name__)

MAX_ITERATIONS = 10_000
TOLERANCE = 1e-6
"""Of the largest component of the gradient, by row."""
OFF_BY = 100
"""No probability is off by more than this times the tolerance, about."""
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
        curvature: of the features, where several fits share it.
    """
    from threadpoolctl import threadpool_limits

    used = np.arange(len(features)) if rows is None else rows
    problem = _Problem(features, targets, used, n_outputs, strength, weights, block)
    # Pieces are small: threads that wait for one another take ten times as long (44 codes of 78
    # notes on two cores: 75 s, and 6 s by one thread).
    with threadpool_limits(limits=1, user_api="blas"):
        known = Curvature.of(features, rows) if curvature is None else curvature
        point, steps, is_settled = problem.initial(start), 0, False
        if known is not None:
            root = known.root(problem.curvatures(point))
            point, steps, is_settled = _search(problem, point, root, tolerance, STEPS_WITH_ROOT)
        if not is_settled:
            point, more, _ = _search(problem, point, None, tolerance, MAX_ITERATIONS)
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
    problem: _Problem, first: Floats, root: Root | None, tolerance: float, limit: int
) -> tuple[Floats, int, bool]:
    """Where L-BFGS ends, after how many steps, and whether it has settled there."""
    from scipy.optimize import minimize

    search = _Search(problem, root, tolerance)
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
    return search.unscaled(found.x), int(found.nit), search.is_settled


class _Search:
    """An objective over weights that are multiplied by the root of its curvature.

    Settled is a point with a small gradient; by the root, also one that lies little above the
    optimum, as a steep direction's gradient is large where a flat one's, which says as much, is
    not: half the squared gradient of the search is about that height (Boyd & Vandenberghe 2004,
    Convex Optimization, 9.5.1), and a row of which p is the probability adds
    C · (Δp)² / 2 p (1 − p) to it.
    """

    def __init__(self, problem: _Problem, root: Root | None, tolerance: float) -> None:
        self.problem, self.root = problem, root
        weight = float(np.mean(problem.total))
        self.steepest = tolerance * problem.strength * weight
        each = problem.strength * weight / len(problem.rows)
        self.highest = 2 * each * (OFF_BY * tolerance) ** 2
        self.is_settled = False

    def scaled(self, flat: Floats) -> Floats:
        """A point of the objective as one of the search."""
        return self._each(flat, None if self.root is None else self.root.solved)

    def unscaled(self, flat: Floats) -> Floats:
        """The inverse of `scaled`, but for what outputs that exclude one another have in common.

        That says nothing, and the objective is all but flat along it, where a search loses its
        way; centred it is flat, and the gradient has no part there.
        """
        return self._centred(self._each(flat, None if self.root is None else self.root.times))

    def value_and_gradient(self, flat: Floats) -> tuple[float, Floats]:
        """Of the objective, by the point of the search."""
        value, gradient = self.problem.value_and_gradient(self.unscaled(flat))
        self.is_settled = float(np.abs(gradient).max()) <= self.steepest
        # The root is symmetric.
        scaled = self._each(gradient, None if self.root is None else self.root.times)
        if self.root is not None:
            weights, intercepts = self.problem.split(scaled)
            heights = 0.5 * ((weights**2).sum(axis=1) + intercepts**2)
            self.is_settled &= float(heights.max()) <= self.highest
        return value, scaled

    def stop_when_settled(self, _: Floats) -> None:
        """Called after each step."""
        if self.is_settled:
            raise StopIteration

    def _centred(self, flat: Floats) -> Floats:
        if self.root is None or self.problem.exclusive == 1:
            return flat
        weights, intercepts = self.problem.split(flat)
        each = np.concatenate([weights, intercepts[:, None]], axis=1)
        blocks = each.reshape(-1, self.problem.exclusive, each.shape[1])
        each = (blocks - blocks.mean(axis=1, keepdims=True)).reshape(each.shape)
        return np.concatenate([each[:, :-1].ravel(), each[:, -1]])

    def _each(self, flat: Floats, change: Callable[[Floats, Floats], Pair] | None) -> Floats:
        if change is None:
            return flat
        weights, intercepts = change(*self.problem.split(flat))
        return np.concatenate([weights.ravel(), intercepts])


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
        self.exclusive = n_outputs if targets.ndim == 1 else block
        # Of each row's loss, or of each of its outputs'.
        own = self._weights_of(rows)
        self.total = np.float64(len(rows)) if own is None else own.sum(axis=0)
        scaler = StandardScaler()
        for piece in self._pieces():
            scaler.partial_fit(features[piece])
        self.mean, self.scale = scaler.mean_, live_scale(scaler.scale_)

    def _pieces(self, size: int = CHUNK) -> Iterator[npt.NDArray[np.integer]]:
        for start in range(0, len(self.rows), size):
            yield self.rows[start : start + size]

    def initial(self, start: LinearWeights | None) -> Floats:
        """The start, if the objective is lower there than where weights are zero; else that.

        There the intercepts say how frequent the outputs are: nothing regularises them, and with
        strong regularisation a search from zero would take hundreds of steps for them alone.
        """
        shares = self.shares().clip(TOLERANCE, 1 - TOLERANCE)
        others = 1 - shares if self.exclusive == 1 else 1.0
        frequent = np.log(shares / others)
        zeros = np.concatenate([np.zeros(self.n_outputs * self.features.shape[1]), frequent])
        if start is None:
            return zeros
        # What another fold's rows tell apart may be constant in these.
        scaled = np.where(self.scale < SILENT, start.coefficients * self.scale, 0.0)
        intercepts = start.intercepts + start.coefficients @ self.mean
        given = np.concatenate([scaled.ravel(), intercepts])
        # Rows that were held out there may lie far from all others.
        of_given, of_zeros = (self.value_and_gradient(point)[0] for point in (given, zeros))
        return given if of_given < of_zeros else zeros

    def shares(self) -> Floats:
        """How frequent each output is among the rows, by weight; shape (outputs,)."""
        targets, own = self.targets[self.rows], self._weights_of(self.rows)
        if targets.ndim > 1:
            return _mean(targets, own)
        counts = np.bincount(targets, weights=own, minlength=self.n_outputs)
        found: Floats = counts / max(float(counts.sum()), TOLERANCE)
        return found

    def curvatures(self, flat: Floats) -> Floats:
        """What the features' correlations are multiplied by, shape (outputs,), there.

        The variance p (1 − p) of the output, summed over (a part of) the rows. Where all is zero
        nothing is known yet but how frequent the outputs are, which bounds it.
        """
        weights, _ = self.split(flat)
        if weights.any():
            rows = self.rows[:: max(1, len(self.rows) // VARIANCE_ROWS)]
            likely = self.weights(flat).probabilities(
                self.features[rows], exclusive=self.targets.ndim == 1, block=self.block
            )
            variances = _mean(likely * (1 - likely), self._weights_of(rows))
        else:
            shares = self.shares()
            variances = shares * (1 - shares)
        found: Floats = self.strength * self.total * variances
        return found

    def _weights_of(self, rows: npt.NDArray[np.integer]) -> Floats | None:
        return None if self.row_weights is None else self.row_weights[rows]

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
            loss, slopes = self._loss(logits, self.targets[rows], self._weights_of(rows))
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


def _mean(
    values: npt.NDArray[np.floating] | npt.NDArray[np.bool_], weights: Floats | None
) -> Floats:
    """Over the rows, each with its weight or, shape (rows, outputs), each of its values."""
    each = np.ones(len(values)) if weights is None else weights
    each = each if each.ndim > 1 else each[:, None]
    found: Floats = (each * values).sum(axis=0) / np.maximum(each.sum(axis=0), TOLERANCE)
    return found
