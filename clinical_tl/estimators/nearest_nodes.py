"""Matching two sets of nodes by their distances: pairs of least total distance, mutual neighbours.

Nodes are rows of features: prototypes of labels, or notes. Distances are cosine distances,
1 − cos, in [0, 2].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import TaskError
from clinical_tl.estimators.features import Floats


@dataclass(frozen=True)
class NodePair:
    """Node `source` and node `target`, by position, and their distance."""

    source: int
    target: int
    distance: float

    def turned(self) -> NodePair:
        """The same pair with the sides exchanged."""
        return NodePair(self.target, self.source, self.distance)


def cosine_distances(source: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """1 − cos of every pair, shape (source nodes, target nodes).

    Raises `TaskError` for nodes of zero length or other dimension.
    """
    from sklearn.metrics import pairwise

    a, b = _directions(source, "source"), _directions(target, "target")
    _check_dimensions(a, b)
    distances: Floats = pairwise.cosine_distances(a, b)
    return distances


def assign_nodes(distances: Floats, *, one_to_many: bool = False) -> list[NodePair]:
    """Pairs of least total distance, in the order of the target nodes.

    One-to-one (the linear assignment problem; the larger side keeps nodes without a partner),
    or, `one_to_many`, every target node with its nearest source node, which may serve several.
    `distances` has shape (source nodes, target nodes).
    """
    if one_to_many:
        nearest = distances.argmin(axis=0)
        pairs = [(int(source), target) for target, source in enumerate(nearest)]
    else:
        from scipy.optimize import linear_sum_assignment

        sources, targets = linear_sum_assignment(distances)
        pairs = list(zip(sources.tolist(), targets.tolist(), strict=True))
    return [
        NodePair(source, target, float(distances[source, target]))
        for source, target in sorted(pairs, key=lambda pair: pair[1])
    ]


def mutual_neighbours(
    source: npt.ArrayLike, target: npt.ArrayLike, *, k: int = 5
) -> list[NodePair]:
    """Pairs that are among each other's `k` nearest, by target node, then by distance.

    Found with scikit-learn's exact index (`NearestNeighbors`), piece by piece, so memory does
    not grow with the product of the two sides. Which of several nodes as far away as the k-th
    count is the index's choice, the same for the same nodes.

    Raises `TaskError` for k below 1, or nodes as in `cosine_distances`.
    """
    if k < 1:
        raise TaskError(f"k={k} neighbours; give at least 1")
    a, b = _directions(source, "source"), _directions(target, "target")
    _check_dimensions(a, b)
    sources_of = [set(row) for row in _nearest(b, a, k)]
    pairs = [
        # Rounding must not bring like nodes nearer than 0.
        NodePair(i, j, max(0.0, float(1 - a[i] @ b[j])))
        for i, row in enumerate(_nearest(a, b, k))
        for j in row
        if i in sources_of[j]
    ]
    return sorted(pairs, key=lambda pair: (pair.target, pair.distance, pair.source))


def _nearest(directions: Floats, others: Floats, k: int) -> list[list[int]]:
    """The `k` nearest of `others` to each node.

    Among vectors of length 1 the Euclidean distance has the order of the cosine distance, and
    a faster search.
    """
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=min(k, len(others)), algorithm="brute").fit(others)
    found: list[list[int]] = index.kneighbors(directions, return_distance=False).tolist()
    return found


def _check_dimensions(source: Floats, target: Floats) -> None:
    if source.shape[1] != target.shape[1]:
        raise TaskError(
            f"source nodes have {source.shape[1]} features, target nodes {target.shape[1]}; embed "
            "both with one encoder"
        )


def _directions(nodes: npt.ArrayLike, side: str) -> Floats:
    rows = np.asarray(nodes, dtype=np.float64)
    if rows.ndim != 2 or not len(rows):
        raise TaskError(f"{side} nodes of shape {rows.shape}; give at least one row of features")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        bad = int((~(np.isfinite(lengths) & (lengths > 0))).sum())
        raise TaskError(
            f"{bad} of {len(rows)} {side} nodes have zero or infinite length (a note without "
            "words?); leave them out"
        )
    directions: Floats = rows / lengths
    return directions
