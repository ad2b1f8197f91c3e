"""How well frozen features fit labels: estimates of what an encoder will transfer.

Each is a pure function of features (or source probabilities) and targets; higher is better.
Targets are classes, or a matrix of labels that do not exclude one another: then each label is
a problem of its own and the value is the mean over labels, each counting the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.estimators.features import Floats, Ints, feature_matrix, indicators
from clinical_tl.estimators.unit_length import unit_length

# Fixed point of LogME: far more rounds than it takes where it converges at all.
LARGEST_ROUNDS = 1000
TOLERANCE = 1e-10
# α/β beyond these, relative to the largest eigenvalue, means weights of 0 or an exact fit.
LEAST_RATIO, LARGEST_RATIO = 1e-10, 1e10
NEIGHBOUR_BLOCK = 1024
# float32 softmax outputs over thousands of classes sum to 1 this exactly.
SUM_TOLERANCE = 1e-3


def log_me(X: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """LogME: the largest log evidence a row of a Bayesian linear model, mean over columns of y.

    You et al. 2021 (LogME: practical assessment of pre-trained models, ICML, arXiv 2102.11005),
    eq. 2, maximised over α and β by the fixed point of You et al. 2022 (JMLR 23, alg. 3):
    one singular value decomposition, then O(rank) a round. Of exclusive classes every class is
    a 0/1 column; there is no intercept, as in the paper. Directions without variance (fewer
    rows than dimensions) contribute nothing to the evidence, as in eq. 2, where their log α
    cancels; an implementation that keeps d/2 · log α but sums the determinant over the other
    directions alone gives another value there.

    Args:
        X: (n, d) features, n at least 2.
        y: (n,) classes, or (n, labels) 0 and 1.

    Raises:
        TaskError: features of another shape or not finite, targets that do not fit, one class
            only, labels that never vary.

    Example:
        >>> random = np.random.default_rng(0)
        >>> y = np.repeat([0, 1], 50)
        >>> telling, noise = random.normal(size=(2, 100, 4))
        >>> telling[:, 0] += 3 * y
        >>> round(log_me(telling, y), 2), round(log_me(noise, y), 2)
        (-0.67, -1.07)
    """
    features = feature_matrix(X, name="X")
    columns = indicators(y, rows=len(features)).columns
    n = len(features)
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    rank = int((singular > singular[0] * max(features.shape) * np.finfo(float).eps).sum())
    if not rank:
        raise TaskError("all features are 0; nothing can be estimated from them")
    s = (singular[:rank] ** 2)[:, None]
    z2 = (left[:, :rank].T @ columns) ** 2
    unexplained = np.maximum((columns**2).sum(axis=0) - z2.sum(axis=0), 0.0)

    def fit(t: Floats) -> tuple[Floats, Floats, Floats]:
        """At t = α/β: effective dimensions γ, ‖m‖² and the squared residual, (columns,) each."""
        return (
            (s / (s + t)).sum(axis=0),
            (s * z2 / (s + t) ** 2).sum(axis=0),
            (z2 * (t / (s + t)) ** 2).sum(axis=0) + unexplained,
        )

    least, largest = LEAST_RATIO * s[0, 0], LARGEST_RATIO * s[0, 0]
    t = np.ones(columns.shape[1])
    tiny = np.finfo(float).tiny
    for _ in range(LARGEST_ROUNDS):
        gamma, weights, residual = fit(t)
        # α = γ / ‖m‖² and β = (n − γ) / residual, by which t = α / β.
        new = np.clip(gamma * residual / np.maximum((n - gamma) * weights, tiny), least, largest)
        converged = bool((np.abs(new - t) <= TOLERANCE * t).all())
        t = new
        if converged:
            break
    _, weights, residual = fit(t)
    # For a given ratio the evidence is largest at this β.
    beta = n / (residual + t * weights)
    evidence = n / 2 * np.log(beta / (2 * np.pi)) + 0.5 * np.log(t / (t + s)).sum(axis=0) - n / 2
    return float((evidence / n).mean())


def h_score(X: npt.ArrayLike, y: npt.ArrayLike, *, shrinkage: bool = True) -> float:
    """H-score: tr(cov(f)⁻¹ cov(E[f | y])), how far classes lie apart for how much features vary.

    Bao et al. 2019 (An information-theoretic approach to transferability, eq. 3); with
    `shrinkage` its regularised form, (1 − a) · tr(Σₐ⁻¹ cov(E[f | y])), Ibrahim et al. 2021
    (Newer is not always better, arXiv 2110.06893, sec. 4), where Σₐ is the covariance shrunk
    by Ledoit–Wolf's a. Without shrinkage the value is useless for fewer rows than dimensions.
    Between 0 and classes − 1 (1 for a label).

    Args:
        X: (n, d) features, n at least 2.
        y: (n,) classes, or (n, labels) 0 and 1.
        shrinkage: the regularised form.

    Raises:
        TaskError: features of another shape or not finite, targets that do not fit, one class
            only, labels that never vary.
    """
    from sklearn.covariance import ledoit_wolf

    features = feature_matrix(X, name="X")
    found = indicators(y, rows=len(features))
    centred = features - features.mean(axis=0)
    if shrinkage:
        covariance, amount = ledoit_wolf(centred, assume_centered=True)
    else:
        covariance, amount = centred.T @ centred / len(centred), 0.0
    share = found.columns.mean(axis=0)
    # Where class means lie from the overall mean, shape (columns, d).
    means = found.columns.T @ centred / len(centred) / share[:, None]
    inverse = np.linalg.pinv(covariance, hermitian=True)
    between = share * ((means @ inverse) * means).sum(axis=1)
    if found.classes is None:
        # The other side of a label: its mean is −share / (1 − share) times the label's.
        between = between * (1 + share / (1 - share))
        return float((1 - amount) * between.mean())
    return float((1 - amount) * between.sum())


def leep(source_probabilities: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """LEEP: mean log likelihood of y through a source classifier's classes; at most 0.

    Nguyen et al. 2020 (LEEP: a new measure to evaluate transferability, ICML, eq. 2): with
    θ(x) the source classifier's probabilities and P̂(y | z) their empirical link to the
    target's classes, the mean over rows of log Σ_z P̂(yᵢ | z) θ(xᵢ)_z. For a label matrix each
    label and its absence are two classes.

    Args:
        source_probabilities: (n, source classes), rows that sum to 1.
        y: (n,) classes, or (n, labels) 0 and 1.

    Raises:
        TaskError: probabilities of another shape or not finite, rows that are no
            distributions, targets that do not fit.

    Example:
        >>> said = [[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]]
        >>> round(leep(said, [0, 0, 1, 1]), 2), round(leep(said, [0, 1, 0, 1]), 2)
        (-0.3, -0.69)
    """
    theta = feature_matrix(source_probabilities, name="source_probabilities")
    if theta.min() < 0 or not np.allclose(theta.sum(axis=1), 1, rtol=0, atol=SUM_TOLERANCE):
        raise TaskError(
            "LEEP needs one distribution over the source's classes a row: values of 0 or more "
            "that sum to 1. A source model whose labels do not exclude one another has none"
        )
    found = indicators(y, rows=len(theta))
    mass = theta.sum(axis=0)
    used = mass > 0
    # (source classes, columns): P̂(y | z), then the probability of each column for each row.
    link = theta[:, used].T @ found.columns / mass[used][:, None]
    expected = theta[:, used] @ link
    if found.classes is not None:
        return float(np.log(expected[np.arange(len(theta)), found.classes]).mean())
    absent = theta.sum(axis=1, keepdims=True) - expected
    return float(np.log(np.where(found.columns == 1, expected, absent)).mean())


def knn_accuracy(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    k: int = 5,
    groups: Sequence[int] | Ints | None = None,
) -> float:
    """Leave-one-out accuracy of the k nearest neighbours by cosine similarity.

    The class with most neighbours wins, of equal ones the first in order. For a label matrix
    the share of neighbours with the label is its score, and the value is macro average
    precision: accuracy would be near 1 for any rare label.

    Args:
        X: (n, d) features, n greater than k.
        y: (n,) classes, or (n, labels) 0 and 1.
        k: how many neighbours.
        groups: (n,) numbers; rows of one group are never neighbours (tokens of one note, which
            otherwise find themselves a word further on).

    Raises:
        TaskError: features of another shape or not finite, targets or groups that do not fit.
        ConfigError: k below 1, or above the number of rows outside some group.
    """
    check_at_least(1, k=k)
    features = feature_matrix(X, name="X")
    found = indicators(y, rows=len(features))
    own = np.arange(len(features)) if groups is None else np.asarray(groups)
    if own.shape != (len(features),):
        raise TaskError(
            f"the groups have the shape {own.shape}; allowed: ({len(features)},), one a row"
        )
    largest = int(np.unique(own, return_counts=True)[1].max())
    if len(features) - largest < k:
        raise ConfigError(
            f"k={k} neighbours, but only {len(features) - largest} rows lie outside the largest "
            "group; lower k or give more notes"
        )
    votes = found.columns[_neighbours(features, own, k)].mean(axis=1)
    if found.classes is not None:
        return float((votes.argmax(axis=1) == found.classes).mean())
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(found.columns.astype(int), votes, average="macro"))


def _neighbours(features: Floats, groups: Ints, k: int) -> Ints:
    """The k most similar rows of other groups, shape (n, k)."""
    unit = unit_length(features)
    nearest = np.empty((len(unit), k), dtype=np.int64)
    # In blocks, so that a hundred thousand tokens do not need a matrix of their square.
    for start in range(0, len(unit), NEIGHBOUR_BLOCK):
        block = slice(start, start + NEIGHBOUR_BLOCK)
        similar = unit[block] @ unit.T
        similar[groups[block, None] == groups[None]] = -np.inf
        nearest[block] = np.argpartition(-similar, k - 1, axis=1)[:, :k]
    return nearest
