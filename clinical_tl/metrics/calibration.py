"""Whether probabilities mean what they say, and the temperature that mends them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from clinical_tl.display.table import Table
from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.metrics.matrix import Bools, Floats, Ints, probability_matrix
from clinical_tl.metrics.scores import Scores

# Temperatures beyond these mean that the logits carry no information, or no error, at all.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0
LEAST_PROBABILITY = 1e-12
SPREAD = 0.35
"""How far log T is taken to lie from 0 before any dev note is seen: two in three models between
temperatures of 0.70 and 1.42. With hundreds of notes it no longer matters."""
SHIFT_SPREAD = 0.5
"""The same of how far a logit is moved: two in three less than a half, from 0.5 to 0.62."""
LEAST_STATEMENTS = 20
"""Fewer notes, mentions or candidates than this tell too little to move probabilities by."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions whose confidence lies in one bin.

    `low` and `high` are the bin's ends with equal widths, the extreme confidences in it with
    equal masses; `confidence` and `accuracy` are means over its `count` predictions.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float

    def row(self) -> dict[str, int | float]:
        """One row for `format_table` or JSON."""
        return {
            "low": self.low,
            "high": self.high,
            "count": self.count,
            "confidence": self.confidence,
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True, repr=False)
class CalibrationScores(Scores):
    """Expected and maximum calibration error, Brier score, and the table behind the first two."""

    ece: float
    mce: float
    brier: float
    bins: tuple[ReliabilityBin, ...]

    def summary(self) -> dict[str, float]:
        """Metric name → value."""
        return {"ece": self.ece, "mce": self.mce, "brier": self.brier}

    def table(self) -> Table:
        """One row a bin."""
        return Table(row.row() for row in self.bins)


def calibration_scores(
    gold: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = 15, equal_mass: bool = False
) -> CalibrationScores:
    """Calibration of a classifier's winning label, or of every label's probability.

    Args:
        gold: (n,) integers, the gold column of each note (one label a note: the winning
            label's probability is compared with how often it is right, as in Guo et al. 2017,
            arXiv 1706.04599); or booleans of the shape of `probabilities` (many labels a note:
            every cell is one prediction).
        probabilities: (n, k) in [0, 1].
        bins: how many bins.
        equal_mass: bins of equal counts rather than equal widths; steadier where nearly all
            probabilities are close to 0, as in coding (Nixon et al. 2019, arXiv 1904.01685).

    Raises:
        TaskError: nothing to score, shapes that disagree, gold columns outside 0 to k - 1,
            probabilities outside [0, 1].
        ConfigError: fewer than one bin.

    Example:
        >>> said = np.array([[0.9, 0.1], [0.8, 0.2], [0.9, 0.1], [0.8, 0.2]])
        >>> scores = calibration_scores(np.array([0, 0, 0, 1]), said, bins=5)
        >>> scores
        CalibrationScores
        metric  value
        ------  -----
        ece     0.200
        mce     0.300
        brier   0.350
        >>> scores.table()
          low   high  count  confidence  accuracy
        -----  -----  -----  ----------  --------
        0.600  0.800      2       0.800     0.500
        0.800  1.000      2       0.900     1.000
    """
    matrix = probability_matrix(probabilities, name="probabilities")
    truth, one_label = _truth(gold, matrix.shape)
    if one_label:
        correct = truth[np.arange(len(matrix)), matrix.argmax(axis=1)]
        found = binary_calibration(correct, matrix.max(axis=1), bins=bins, equal_mass=equal_mass)
        # Over all labels, not the winning one alone.
        return replace(found, brier=float(((matrix - truth) ** 2).sum(axis=1).mean()))
    return binary_calibration(truth.ravel(), matrix.ravel(), bins=bins, equal_mass=equal_mass)


def binary_calibration(
    correct: Bools, confidence: Floats, *, bins: int = 15, equal_mass: bool = False
) -> CalibrationScores:
    """Calibration of single statements: `correct` (m,) and `confidence` (m,) in [0, 1]."""
    table = reliability(correct, confidence, bins=bins, equal_mass=equal_mass)
    gaps = np.array([abs(row.accuracy - row.confidence) for row in table])
    counts = np.array([row.count for row in table])
    return CalibrationScores(
        ece=float(gaps @ counts / counts.sum()),
        mce=float(gaps.max()),
        brier=float(((confidence - correct) ** 2).mean()),
        bins=table,
    )


def reliability(
    correct: Bools, confidence: Floats, *, bins: int = 15, equal_mass: bool = False
) -> tuple[ReliabilityBin, ...]:
    """The rows of a reliability diagram, empty bins left out, lowest confidence first.

    `correct` (m,) says which predictions were right, `confidence` (m,) in [0, 1] how sure the
    model was. Bins of equal width are half-open on the left, `(low, high]`, the first one
    closed.
    """
    if bins < 1:
        raise ConfigError(f"bins is {bins}; allowed: at least 1")
    order = np.argsort(confidence, kind="stable")
    sure, right = confidence[order], correct[order]
    if equal_mass:
        cuts = np.linspace(0, len(sure), bins + 1).round().astype(np.int64)
        edges = None
    else:
        edges = np.linspace(0, 1, bins + 1)
        cuts = np.concatenate([[0], np.searchsorted(sure, edges[1:], side="right")])
    rows = []
    for i, (first, last) in enumerate(pairwise(cuts)):
        if first == last:
            continue
        low, high = (sure[first], sure[last - 1]) if edges is None else (edges[i], edges[i + 1])
        rows.append(
            ReliabilityBin(
                low=float(low),
                high=float(high),
                count=int(last - first),
                confidence=float(sure[first:last].mean()),
                accuracy=float(right[first:last].mean()),
            )
        )
    return tuple(rows)


def fit_temperature(
    probabilities: npt.ArrayLike, gold: npt.ArrayLike, *, spread: float | None = None
) -> float:
    """The temperature T at which probabilities have the least negative log-likelihood.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599): one number, fitted on dev notes
    and never on test, that changes how sure a model is but not which label wins. Above 1 the
    model was too sure. The loss is convex in 1/T, so the search over log T finds its only minimum;
    T stays within 0.01 to 100, which it meets where the model is always right or knows nothing.

    With a `spread` T is drawn towards 1 as if log T had been normal around 0 with this standard
    deviation (the likeliest T a posteriori). On a handful of notes a model is easily right each
    time, and the T of least loss there would make it certain.

    Other arguments and errors as in `calibration_scores`.

    Example:
        >>> sure = [[0.98, 0.02]] * 4
        >>> temperature = fit_temperature(sure, [0, 0, 0, 1])
        >>> round(temperature, 2), at_temperature(sure, temperature)[0].round(2).tolist()
        (3.54, [0.75, 0.25])
    """
    from scipy.optimize import minimize_scalar

    matrix = probability_matrix(probabilities, name="probabilities")
    truth, one_label = _truth(gold, matrix.shape)
    logits = _logits(matrix, one_label=one_label)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if one_label:
            top = scaled.max(axis=1, keepdims=True)
            normaliser = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
            return float((normaliser - scaled[truth]).mean())
        return float(np.logaddexp(0.0, np.where(truth, -scaled, scaled)).mean())

    drawn = (
        0.0 if spread is None else 0.5 / (spread**2 * (len(matrix) if one_label else truth.size))
    )
    bounds = np.log([LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE])
    best = minimize_scalar(
        lambda x: loss(x) + drawn * x * x, bounds=bounds, method="bounded", options={"xatol": 1e-7}
    )
    return float(np.exp(best.x))


def dev_temperature(probabilities: npt.ArrayLike, gold: npt.ArrayLike) -> float | None:
    """The temperature that a model is given on its development notes, drawn towards 1 (`SPREAD`).

    Arguments as of `fit_temperature`; notes whose gold column is below 0 (a label that the model
    does not know) are left out. `None` for fewer than `LEAST_STATEMENTS` rows, or where nothing
    is right.
    """
    matrix, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(gold)
    if truth.ndim == 1:
        matrix, truth = matrix[truth >= 0], truth[truth >= 0]
    if len(matrix) < LEAST_STATEMENTS or (truth.ndim > 1 and not truth.any()):
        return None
    return fit_temperature(matrix, truth, spread=SPREAD)


def dev_scaling(scores: npt.ArrayLike, right: npt.ArrayLike) -> tuple[float | None, float]:
    """The temperature and the shift of scores of single statements, both of shape (n,).

    A statement's score is of something else than its being right: a mention's of its words' tags,
    not of its borders, a candidate's of being related, not of how. So its logit is not divided
    alone but moved too, as by Platt 1999 (Probabilistic outputs for support vector machines);
    both are drawn towards nothing (`SPREAD`, `SHIFT_SPREAD`). The order of scores stays.

    No temperature and a shift of 0 for fewer than `LEAST_STATEMENTS`, or where nothing is right.
    """
    from scipy.optimize import minimize

    truth: Bools = np.asarray(right, dtype=np.bool_)
    if len(truth) < LEAST_STATEMENTS or not truth.any():
        return None, 0.0
    matrix = probability_matrix(np.reshape(scores, (-1, 1)), name="scores")
    logits = _logits(matrix, one_label=False)[:, 0]

    def loss(x: Floats) -> float:
        scaled = logits / np.exp(x[0]) + x[1]
        drawn = 0.5 * (x[0] / SPREAD) ** 2 + 0.5 * (x[1] / SHIFT_SPREAD) ** 2
        return float(np.logaddexp(0.0, np.where(truth, -scaled, scaled)).sum() + drawn) / len(truth)

    found = minimize(loss, np.zeros(2)).x
    return float(np.exp(found[0])), float(found[1])


def score_at_temperature(score: float, temperature: float, shift: float = 0.0) -> float:
    """One probability as it is once its logit is divided by a temperature, and then shifted.

    >>> round(score_at_temperature(0.8, 2.0), 3)
    0.667
    """
    from scipy.special import expit, logit

    inside = min(max(score, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)
    return float(expit(logit(inside) / temperature + shift))


def at_temperature(
    probabilities: npt.ArrayLike, temperature: float, *, one_label: bool = True
) -> Floats:
    """Probabilities, shape (n, k), as they are once their logits are divided by a temperature.

    `one_label` says whether the labels exclude one another (softmax) or not (sigmoid).

    >>> at_temperature([[0.8, 0.2]], 2.0).round(3).tolist()
    [[0.667, 0.333]]
    """
    from scipy.special import expit, softmax

    matrix = probability_matrix(probabilities, name="probabilities")
    scaled = _logits(matrix, one_label=one_label) / temperature
    found: Floats = softmax(scaled, axis=1) if one_label else expit(scaled)
    return found


def _logits(probabilities: Floats, *, one_label: bool) -> Floats:
    """Logits that give these probabilities; those of 0 and 1 are finite."""
    inside = probabilities.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    found: Floats = np.log(inside) if one_label else np.log(inside) - np.log1p(-inside)
    return found


def _truth(gold: npt.ArrayLike, shape: tuple[int, ...]) -> tuple[Bools, bool]:
    """Gold as (n, k) booleans, and whether it was one label a note."""
    given = np.asarray(gold)
    if given.dtype == np.bool_ and given.shape == shape:
        return given, False
    if np.issubdtype(given.dtype, np.integer) and given.shape == shape[:1]:
        columns: Ints = given.astype(np.int64)
        if columns.min() < 0 or columns.max() >= shape[1]:
            raise TaskError(
                f"gold columns go from {columns.min()} to {columns.max()}; allowed: 0 to "
                f"{shape[1] - 1}"
            )
        return columns[:, None] == np.arange(shape[1]), True
    raise TaskError(
        f"gold is of type {given.dtype} and shape {given.shape}; allowed: integers of shape "
        f"{shape[:1]} (one label a note) or bool of shape {shape} (many labels a note)"
    )
