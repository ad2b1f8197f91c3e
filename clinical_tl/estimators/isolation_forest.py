"""Isolation forests as plain arrays: grown by scikit-learn, saved and scored without it."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from clinical_tl.estimators.estimator import Estimator
from clinical_tl.estimators.features import Floats, Ints, number_matrix

SAMPLES = 256
"""Notes a tree is grown on, at most (Liu et al. 2008, §4.2)."""
BLOCK = 1024
_LEAF = -1


class IsolationTrees(Estimator):
    """An isolation forest (Liu, Ting & Zhou 2008): few random cuts isolate what is strange.

    Attributes:
        feature_, threshold_, left_, right_: one a node, trees one after the other; the children
            are nodes, −1 in leaves.
        path_: in leaves the steps to isolate a note: the leaf's depth and the expected rest for
            the notes in it.
        roots_: the trees' first nodes, shape (trees,).
        normaliser_: the expected steps in a tree of the whole sample.
    """

    file = "isolation_trees"
    found = ("feature_", "threshold_", "left_", "right_", "path_", "roots_", "normaliser_")

    def __init__(self, trees: int = 200, *, seed: int = 0) -> None:
        self.trees = trees
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:  # noqa: ARG002  (scikit-learn's)
        """Fit on notes, shape (notes, d)."""
        from sklearn.ensemble import IsolationForest

        matrix = number_matrix(X)
        forest = IsolationForest(
            n_estimators=self.trees, max_samples=min(SAMPLES, len(matrix)), random_state=self.seed
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
            steps = _depths(tree.children_left, tree.children_right)
            paths.append(np.where(leaf, steps + expected_steps(tree.n_node_samples), 0.0))
            roots.append(first)
            first += tree.node_count
        self.feature_ = np.concatenate(features).astype(np.int32)
        self.threshold_ = np.concatenate(thresholds).astype(np.float64)
        self.left_ = np.concatenate(lefts).astype(np.int32)
        self.right_ = np.concatenate(rights).astype(np.int32)
        self.path_ = np.concatenate(paths)
        self.roots_ = np.array(roots, dtype=np.int32)
        self.normaliser_ = float(expected_steps(np.array(forest.max_samples_)))
        self.n_features_in_ = matrix.shape[1]
        return self

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """−2^(−mean path / normaliser), shape (notes,), in [−1, 0), as scikit-learn's."""
        # scikit-learn's trees compare float32 features with float64 thresholds.
        features = self.check_matrix(X).astype(np.float32)
        paths = np.concatenate(
            [self._mean_path(features[i : i + BLOCK]) for i in range(0, len(features), BLOCK)]
        )
        steps = paths / self.normaliser_ if self.normaliser_ else np.ones_like(paths)
        return np.asarray(-(2.0**-steps))

    def _mean_path(self, features: npt.NDArray[np.float32]) -> Floats:
        rows = np.arange(len(features))[:, None]
        nodes = np.broadcast_to(self.roots_, (len(features), len(self.roots_)))
        while True:
            inner = self.left_[nodes] != _LEAF
            if not inner.any():
                return np.asarray(self.path_[nodes].mean(axis=1))
            below = features[rows, self.feature_[nodes]] <= self.threshold_[nodes]
            nodes = np.where(inner, np.where(below, self.left_[nodes], self.right_[nodes]), nodes)


def expected_steps(samples: Ints) -> Floats:
    """Mean steps of a search in vain in a binary tree of so many notes (Liu et al. 2008)."""
    n = np.maximum(samples.astype(np.float64), 1)
    many = 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, many))


def _depths(left: Ints, right: Ints) -> Ints:
    """Depth of each node, 0 at the root; a node's children come after it."""
    depths = np.zeros(len(left), dtype=np.int64)
    for node in np.flatnonzero(left != _LEAF).tolist():
        depths[[left[node], right[node]]] = depths[node] + 1
    return depths
