"""Isolation forests as plain arrays: grown by scikit-learn, saved and scored without it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clinical_tl.estimators.features import Floats, Ints
from clinical_tl.estimators.saved_estimator import Array

SAMPLES = 256
"""Notes a tree is grown on, at most (Liu et al. 2008, §4.2)."""
BLOCK = 1024
_LEAF = -1


def grow_forest(matrix: Floats, *, trees: int, seed: int) -> dict[str, Array]:
    """An isolation forest (Liu, Ting & Zhou 2008) on notes, shape (notes, d).

    Returns:
        One row a node, trees one after the other: `feature`, `threshold`, `left` and `right`
        (rows; −1 in leaves), `path` (in leaves the steps to isolate a note: the leaf's depth
        and the expected rest for the notes in it); `roots` (trees,) and `normaliser` (), the
        expected steps in a tree of the whole sample.
    """
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(
        n_estimators=trees, max_samples=min(SAMPLES, len(matrix)), random_state=seed
    )
    forest.fit(matrix.astype(np.float32))
    features, thresholds, lefts, rights, paths, roots = [], [], [], [], [], []
    first = 0
    for grown in forest.estimators_:
        tree = grown.tree_
        leaf = tree.children_left == _LEAF
        features.append(np.where(leaf, 0, tree.feature))
        thresholds.append(tree.threshold)
        lefts.append(np.where(leaf, _LEAF, tree.children_left + first))
        rights.append(np.where(leaf, _LEAF, tree.children_right + first))
        rest = expected_steps(tree.n_node_samples)
        paths.append(np.where(leaf, _depths(tree.children_left, tree.children_right) + rest, 0.0))
        roots.append(first)
        first += tree.node_count
    return {
        "feature": np.concatenate(features).astype(np.int32),
        "threshold": np.concatenate(thresholds).astype(np.float64),
        "left": np.concatenate(lefts).astype(np.int32),
        "right": np.concatenate(rights).astype(np.int32),
        "path": np.concatenate(paths),
        "roots": np.array(roots, dtype=np.int32),
        "normaliser": expected_steps(np.array(forest.max_samples_)),
    }


def isolation_scores(arrays: Mapping[str, Array], matrix: Floats) -> Floats:
    """The anomaly score 2^(−mean path / normaliser), shape (notes,), in (0, 1].

    Minus scikit-learn's `IsolationForest.score_samples`. Larger is stranger.
    """
    # scikit-learn's trees compare float32 features with float64 thresholds.
    features = matrix.astype(np.float32)
    paths = np.concatenate(
        [_mean_path(arrays, features[i : i + BLOCK]) for i in range(0, len(features), BLOCK)]
    )
    normaliser = float(arrays["normaliser"])
    return np.asarray(2.0 ** -(paths / normaliser if normaliser else np.ones_like(paths)))


def expected_steps(samples: Array) -> Floats:
    """Mean steps of a search in vain in a binary tree of so many notes (Liu et al. 2008)."""
    n = np.maximum(samples.astype(np.float64), 1)
    many = 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, many))


def _mean_path(arrays: Mapping[str, Array], features: Array) -> Floats:
    rows = np.arange(len(features))[:, None]
    nodes = np.broadcast_to(arrays["roots"], (len(features), len(arrays["roots"])))
    left, right = arrays["left"], arrays["right"]
    while True:
        inner = left[nodes] != _LEAF
        if not inner.any():
            return np.asarray(arrays["path"][nodes].mean(axis=1))
        below = features[rows, arrays["feature"][nodes]] <= arrays["threshold"][nodes]
        nodes = np.where(inner, np.where(below, left[nodes], right[nodes]), nodes)


def _depths(left: Ints, right: Ints) -> Ints:
    """Depth of each node, 0 at the root; a node's children come after it."""
    depths = np.zeros(len(left), dtype=np.int64)
    for node in np.flatnonzero(left != _LEAF).tolist():
        depths[[left[node], right[node]]] = depths[node] + 1
    return depths
