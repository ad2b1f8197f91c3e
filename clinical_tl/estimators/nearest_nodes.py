"""Matching two sets of nodes by their distances: pairs of least total distance, mutual neighbours.

Nodes are rows of features: prototypes of labels, or notes. Distances are cosine distances,
1 − cos, in [0, 2].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import TaskError

Floats = npt.NDArray[np.float64]
# Rows compared at once: bounds memory to this many rows of distances.
CHUNK = 1024


@dataclass(frozen=True)
class NodePair:
    """Node `source` and node `target`, by position, and their distance."""

    source: int
    target: int
    distance: float


def cosine_distances(source: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """1 − cos of every pair, shape (source nodes, target nodes).

    Raises `TaskError` for nodes of zero length or other dimension.
    """
    a, b = _directions(source, "source"), _directions(target, "target")
    if a.shape[1] != b.shape[1]:
        raise TaskError(
            f"source nodes have {a.shape[1]} features, target nodes {b.shape[1]}; embed both "
            "with one encoder"
        )
    distances: Floats = 1 - a @ b.T
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

    Equal distances are told apart by position. Memory is bounded by rows of one chunk.

    Raises `TaskError` for k below 1, or nodes as in `cosine_distances`.
    """
    if k < 1:
        raise TaskError(f"k={k} neighbours; give at least 1")
    forth = _nearest(source, target, k)
    back = _nearest(target, source, k)
    sources_of = [set(row) for row in back.tolist()]
    a, b = _directions(source, "source"), _directions(target, "target")
    pairs = [
        NodePair(i, j, float(1 - a[i] @ b[j]))
        for i, row in enumerate(forth.tolist())
        for j in row
        if i in sources_of[j]
    ]
    return sorted(pairs, key=lambda pair: (pair.target, pair.distance, pair.source))


def _nearest(nodes: npt.ArrayLike, others: npt.ArrayLike, k: int) -> npt.NDArray[np.int64]:
    """The `k` nearest of `others` to each node, nearest first, shape (nodes, ≤ k)."""
    rows = np.asarray(nodes)
    k = min(k, len(np.asarray(others)))
    nearest = [
        np.argsort(cosine_distances(rows[start : start + CHUNK], others), axis=1, kind="stable")[
            :, :k
        ]
        for start in range(0, len(rows), CHUNK)
    ]
    return np.concatenate(nearest)


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
