"""How far two sets of features, or two distributions of labels, lie apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_tl.data.ties import tied_notes
from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.estimators.features import Floats, feature_matrix, same_dimension

FOLDS = 5
RIDGE_PENALTIES = tuple(10.0**power for power in range(-3, 4))
"""Penalties tried in each training part, relative to the features' mean squared norm."""
# Sums over the same numbers in another order differ by this much at most.
ROUNDING = 1e-12


@dataclass(frozen=True)
class ProxyADistance:
    """`value` in [0, 2]; `error` is the share of notes put on the wrong side, 0.5 by chance.

    `notes` are those drawn from each side.
    """

    value: float
    error: float
    notes: int


@dataclass(frozen=True)
class MMD:
    """The squared maximum mean discrepancy (it can be slightly negative) and its test.

    `p_value` is the chance of a value as large if both sets came from one distribution,
    `bandwidth` the σ of the Gaussian kernel.
    """

    value: float
    p_value: float
    bandwidth: float


@dataclass(frozen=True)
class LabelShift:
    """The Jensen–Shannon divergence of two sets of labels, in bits, and its test.

    `by_chance` is the mean divergence when the notes are dealt to the two sides at random:
    with many labels and few notes it lies far above 0. `unseen` is the share of the target's
    labels, counted as often as they occur, that the source never has.
    """

    divergence: float
    by_chance: float
    p_value: float
    unseen: float


def proxy_a_distance(
    X_source: npt.ArrayLike,
    X_target: npt.ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int,
) -> ProxyADistance:
    """How well a linear classifier tells the two sides apart: 2 (1 − 2e), not below 0.

    Ben-David et al. 2007 (Analysis of representations for domain adaptation, sec. 4). The
    error e is cross-validated (5 stratified folds, shuffled by `seed`). The larger side is
    reduced to the size of the smaller by drawing without replacement, so that e is 0.5 by
    chance. The classifier is ridge regression on ±1; its penalty is chosen within each
    training part by leave-one-out error (`RIDGE_PENALTIES`), never on the notes that e is
    measured on, which would make e too small.

    Args:
        X_source: (n, d) features, n at least 5.
        X_target: (m, d) features, m at least 5.
        groups: the patients of the n + m rows, source first; a patient's rows are held out
            together, or else the classifier knows them again and e is too small.
        seed: of the draw and the folds.

    Raises:
        TaskError: too few rows or groups, dimensions that differ, values that are not finite.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    source = feature_matrix(X_source, name="X_source", least=FOLDS)
    target = feature_matrix(X_target, name="X_target", least=FOLDS)
    same_dimension(source, target)
    random = np.random.default_rng(seed)
    notes = min(len(source), len(target))
    chosen = [random.permutation(len(side))[:notes] for side in (source, target)]
    pooled = np.concatenate([source[chosen[0]], target[chosen[1]]])
    pooled -= pooled.mean(axis=0)
    # With one length on average, the penalties mean the same whatever the encoder.
    pooled /= np.sqrt((pooled**2).sum(axis=1).mean()) or 1.0
    domain = np.repeat([0, 1], notes)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    owners = None
    if groups is not None:
        if len(groups) != len(source) + len(target):
            raise TaskError(
                f"{len(source)} + {len(target)} rows have {len(groups)} groups; give one a row, "
                "source first"
            )
        owners = tied_notes(groups)[np.concatenate([chosen[0], len(source) + chosen[1]])]
        for name, own in (("source", owners[:notes]), ("target", owners[notes:])):
            if len(set(own.tolist())) < FOLDS:
                raise TaskError(
                    f"the {notes} {name} notes drawn are of {len(set(own.tolist()))} patients or "
                    f"texts; allowed: at least {FOLDS}, to hold some out in turn. Give more"
                )
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    wrong = 0
    for fit, held_out in folds.split(pooled, domain, owners):
        classifier = RidgeClassifierCV(alphas=RIDGE_PENALTIES).fit(pooled[fit], domain[fit])
        wrong += int((classifier.predict(pooled[held_out]) != domain[held_out]).sum())
    error = wrong / len(pooled)
    return ProxyADistance(max(0.0, 2 * (1 - 2 * error)), error, notes)


def mmd(
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    *,
    bandwidth: float | None = None,
    permutations: int = 200,
    seed: int,
) -> MMD:
    """The unbiased squared maximum mean discrepancy with a Gaussian kernel.

    Gretton et al. 2012 (A kernel two-sample test, JMLR 13), eq. 3, with
    k(x, y) = exp(−‖x − y‖² / 2σ²); σ is the median distance between any two of the n + m rows
    (sec. 8). The p-value is (1 + permutations with a value as large) / (1 + permutations):
    never 0, so that the test keeps its level (Phipson & Smyth 2010).

    Args:
        X: (n, d) features, n at least 2.
        Y: (m, d) features, m at least 2.
        bandwidth: σ, in the features' own unit; the median distance if not given.
        permutations: how often the rows are dealt anew.
        seed: of the permutations.

    Raises:
        TaskError: too few rows, dimensions that differ, values that are not finite, or at
            least half of all distances zero and no `bandwidth`.
        ConfigError: a bandwidth that is not positive, fewer than one permutation.
    """
    first, second = feature_matrix(X, name="X"), feature_matrix(Y, name="Y")
    same_dimension(first, second)
    check_at_least(1, permutations=permutations)
    if bandwidth is not None and not (bandwidth > 0 and np.isfinite(bandwidth)):
        raise ConfigError(f"bandwidth={bandwidth}; allowed: a positive number, or None")
    squared = _squared_distances(np.concatenate([first, second]))
    if bandwidth is None:
        bandwidth = float(np.median(np.sqrt(squared[np.triu_indices(len(squared), 1)])))
        if not bandwidth:
            raise TaskError(
                "at least half of all pairs of rows are identical: the median distance is 0; "
                "remove duplicates or give a bandwidth"
            )
    gram = np.exp(squared / (-2 * bandwidth**2))
    np.fill_diagonal(gram, 0.0)
    sides = _dealt(len(first), len(gram), permutations, seed)
    mine = gram @ sides
    within_first = (sides * mine).sum(axis=0)
    across = ((1 - sides) * mine).sum(axis=0)
    within_second = gram.sum() - within_first - 2 * across
    n, m = len(first), len(second)
    values = within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * across / (n * m)
    return MMD(float(values[0]), _p_value(values), bandwidth)


def jensen_shannon(p: npt.ArrayLike, q: npt.ArrayLike) -> float:
    """The Jensen–Shannon divergence of two distributions in bits: 0 (equal) to 1 (disjoint).

    Lin 1991 (Divergence measures based on the Shannon entropy), eq. 4.1 with equal weights:
    H((p + q) / 2) − (H(p) + H(q)) / 2.

    Args:
        p: (k,) counts or probabilities; they are normalised.
        q: (k,) the same, in the same order.

    Raises:
        TaskError: shapes that differ or have two axes, negative or infinite values, a sum of 0.

    Example:
        >>> jensen_shannon([0.5, 0.5], [0.5, 0.5]), jensen_shannon([1, 0], [0, 1])
        (0.0, 1.0)
    """
    first, second = (np.asarray(side, dtype=np.float64) for side in (p, q))
    if first.ndim != 1 or first.shape != second.shape:
        raise TaskError(
            f"the distributions have the shapes {first.shape} and {second.shape}; allowed: "
            "(k,) both, in the same order"
        )
    for name, side in (("p", first), ("q", second)):
        if not np.isfinite(side).all() or (side < 0).any() or not side.sum():
            raise TaskError(
                f"{name} has a negative or infinite value, or sums to 0; give counts or "
                "probabilities of something that occurs"
            )
    return float(_divergences(first[:, None], second[:, None])[0])


def label_shift(
    source: Sequence[Sequence[str]],
    target: Sequence[Sequence[str]],
    *,
    permutations: int = 200,
    seed: int,
) -> LabelShift:
    """How differently labels are distributed, `jensen_shannon` with a permutation test.

    Args:
        source: the labels of each source note, as often as it has them.
        target: the same of the target notes.
        permutations: how often the notes, each with its labels, are dealt to the sides anew.
        seed: of the permutations.

    Raises:
        TaskError: a side without any label.
        ConfigError: fewer than one permutation.
    """
    check_at_least(1, permutations=permutations)
    for name, side in (("source", source), ("target", target)):
        if not any(side):
            raise TaskError(f"none of the {len(side)} {name} notes has a label; give labelled ones")
    names = sorted({label for note in (*source, *target) for label in note})
    position = {label: i for i, label in enumerate(names)}
    counts = np.zeros((len(source) + len(target), len(names)))
    for row, labels in enumerate((*source, *target)):
        for label, n in Counter(labels).items():
            counts[row, position[label]] = n
    sides = _dealt(len(source), len(counts), permutations, seed)
    of_source = counts.T @ sides
    of_target = counts.sum(axis=0)[:, None] - of_source
    # Dealt at random, a side can end up with unlabelled notes alone: that deal says nothing.
    filled = (of_source.sum(axis=0) > 0) & (of_target.sum(axis=0) > 0)
    values = _divergences(of_source[:, filled], of_target[:, filled])
    return LabelShift(
        divergence=float(values[0]),
        by_chance=float(values[1:].mean()) if len(values) > 1 else 0.0,
        p_value=_p_value(values),
        unseen=float(of_target[of_source[:, 0] == 0, 0].sum() / of_target[:, 0].sum()),
    )


def _squared_distances(rows: Floats) -> Floats:
    from sklearn.metrics.pairwise import euclidean_distances

    squared: Floats = euclidean_distances(rows, squared=True)
    # What rounding leaves between identical rows must not pass for a distance.
    squared[squared < ROUNDING * (rows**2).sum(axis=1).max()] = 0.0
    return squared


def _dealt(n_first: int, n: int, permutations: int, seed: int) -> Floats:
    """Who belongs to the first side, shape (n, 1 + permutations): as it is, then dealt anew."""
    sides = np.zeros((n, 1 + permutations))
    sides[:n_first] = 1.0
    random = np.random.default_rng(seed)
    sides[:, 1:] = random.permuted(sides[:, 1:], axis=0)
    return sides


def _p_value(values: Floats) -> float:
    """From the value as it is, followed by those of the permutations."""
    as_large = int((values[1:] >= values[0] - ROUNDING).sum())
    return (1 + as_large) / len(values)


def _divergences(p: Floats, q: Floats) -> Floats:
    """Column by column. SciPy's `jensenshannon` takes roots, and is NaN for near equals."""
    from scipy.special import rel_entr

    p, q = p / p.sum(axis=0), q / q.sum(axis=0)
    middle = (p + q) / 2
    nats = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=0) / 2
    clipped: Floats = np.clip(nats / np.log(2), 0.0, 1.0)
    return clipped
