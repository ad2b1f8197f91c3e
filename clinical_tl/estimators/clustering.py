"""Groups of notes that lie together, found without labels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.checks import check_at_least, check_method, check_varied
from clinical_tl.estimators.features import Floats, Ints, feature_matrix
from clinical_tl.estimators.folds import distinct_rows
from clinical_tl.estimators.unit_length import unit_length

ClusterMethod = Literal["kmeans", "hdbscan"]

CANDIDATES = tuple(range(2, 26))
"""Numbers of clusters that are tried where none is given."""
MIN_CLUSTER_SIZE = 10
STARTS = 10
# The silhouette compares all pairs of notes; of more than this it takes a sample.
SILHOUETTE_NOTES = 2000
NOISE = -1


@dataclass(frozen=True)
class CandidateClustering:
    """A number of clusters that was tried.

    `silhouette` is the mean over notes, in [−1, 1]; `inertia` the sum of squared distances to
    the clusters' means; `smallest` the notes of the smallest cluster.
    """

    n_clusters: int
    silhouette: float
    inertia: float
    smallest: int


@dataclass(frozen=True)
class ClusteringScores:
    """How well clusters agree with labels; both are 1 if perfect, about 0 by chance.

    `ari` is the adjusted Rand index (Hubert & Arabie 1985), `nmi` the mutual information over
    the mean of the entropies. `notes` have a label and count; `unlabelled` have none and
    don't; `noise` are those of `notes` that are in no cluster.
    """

    ari: float
    nmi: float
    notes: int
    unlabelled: int
    noise: int

    def summary(self) -> dict[str, float]:
        """Name → value."""
        return {
            "ari": self.ari,
            "nmi": self.nmi,
            "notes": self.notes,
            "unlabelled": self.unlabelled,
            "noise": self.noise,
        }


class Clustering(ClusterMixin, BaseEstimator):
    """Clusters of notes by where their embeddings point (they are brought to length 1).

    k-means puts every note into one of k clusters; HDBSCAN (Campello et al. 2013) finds dense
    regions, however many there are, and leaves the notes between them out.

    Args:
        method: `kmeans` or `hdbscan`.
        n_clusters: k; by default the one of `candidates` with the highest silhouette
            (Rousseeuw 1987; on 2,000 notes drawn by `seed` where there are more). For k-means.
        candidates: which are tried; those that are not less than the number of differing
            notes are left out.
        min_cluster_size: notes that make a cluster. For HDBSCAN.
        dimensions: principal components to cluster in; by default all dimensions. HDBSCAN
            finds more in few (10 to 30): in many, all notes are about equally far apart.
        seed: of the starts, the best of 10 is kept, and of the silhouette's sample.

    Attributes:
        labels_: shape (notes,), 0 to `n_clusters_` − 1, largest cluster first, −1 where a note
            belongs to none (or has no token: a row of zeros).
        n_clusters_: how many there are.
        sizes_: notes in each, shape `(n_clusters_,)`.
        noise_: notes in none.
        silhouette_: the mean over the notes in clusters, `None` for fewer than two clusters.
        candidates_: the numbers of clusters that were tried.

    Example:
        >>> directions = [[1, 0], [1, 0.1], [1, -0.1], [0, 1], [0.1, 1]]
        >>> clustering = Clustering(n_clusters=2).fit(directions)
        >>> clustering.labels_.tolist(), clustering.sizes_
        ([0, 0, 0, 1, 1], array([3, 2]))
    """

    def __init__(
        self,
        method: ClusterMethod = "kmeans",
        *,
        n_clusters: int | None = None,
        candidates: Sequence[int] = CANDIDATES,
        min_cluster_size: int = MIN_CLUSTER_SIZE,
        dimensions: int | None = None,
        seed: int = 0,
    ) -> None:
        self.method = method
        self.n_clusters = n_clusters
        self.candidates = candidates
        self.min_cluster_size = min_cluster_size
        self.dimensions = dimensions
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:  # noqa: ARG002  (scikit-learn's)
        """Cluster notes by their embeddings, shape (notes, d).

        Raises:
            TaskError: embeddings of a wrong shape, not finite, all the same, or fewer differing
                notes than clusters.
            ConfigError: an unknown method, a number out of its range, or `n_clusters` for HDBSCAN.
        """
        every = unit_length(feature_matrix(X))
        self._check_settings()
        # A note without a token lies nowhere: all of them together would make a cluster.
        written = every.any(axis=1)
        if not written.any():
            raise TaskError(f"none of the {len(every)} notes has a token; give notes with text")
        matrix = every[written]
        check_varied(matrix)
        hdbscan = self.method == "hdbscan"
        least = self.min_cluster_size if hdbscan else self.n_clusters or min(self.candidates) + 1
        distinct = int(distinct_rows(matrix).max()) + 1
        if (len(matrix) if hdbscan else distinct) < least:
            raise TaskError(
                f"{len(matrix)} notes, {distinct} of them differing, are too few; allowed: at "
                f"least {least}. Ask for fewer or smaller clusters, or give more notes"
            )
        matrix = _reduced(matrix, self.dimensions)
        candidates: tuple[CandidateClustering, ...] = ()
        if hdbscan:
            found = HDBSCAN(min_cluster_size=self.min_cluster_size, copy=True).fit_predict(matrix)
        else:
            tried = [k for k in sorted(set(self.candidates)) if k < distinct]
            ks = [self.n_clusters] if self.n_clusters else tried
            found, candidates = _best_means(matrix, ks, self.seed)
        labels = _by_size(found)
        clustered = labels != NOISE
        self.candidates_ = candidates
        self.labels_ = np.full(len(every), NOISE, dtype=np.int64)
        self.labels_[written] = labels
        self.sizes_ = np.bincount(labels[clustered])
        self.n_clusters_, self.noise_ = len(self.sizes_), int((self.labels_ == NOISE).sum())
        self.silhouette_ = _silhouette(matrix[clustered], labels[clustered], self.seed)
        self.n_features_in_ = every.shape[1]
        return self

    def _check_settings(self) -> None:
        check_method(self.method, ClusterMethod)
        if self.method == "hdbscan" and self.n_clusters is not None:
            raise ConfigError(
                f"n_clusters={self.n_clusters}, but HDBSCAN finds the number itself; set "
                "min_cluster_size, or method='kmeans'"
            )
        check_at_least(
            2, min_cluster_size=self.min_cluster_size, candidates=min(self.candidates, default=0)
        )
        check_at_least(1, n_clusters=1 if self.n_clusters is None else self.n_clusters)
        check_at_least(1, dimensions=1 if self.dimensions is None else self.dimensions)


def clustering_scores(
    labels: Sequence[int] | Ints, gold: Sequence[Hashable | None]
) -> ClusteringScores:
    """Agreement of clusters with the labels of those notes that have one (`None`: none).

    Notes in no cluster (−1) count as one more cluster: leaving them out would reward a
    clustering that says little.

    Raises `TaskError` for lengths that disagree, or where no note has a label.
    """
    found = np.asarray(labels)
    if len(found) != len(gold):
        raise TaskError(f"{len(found)} notes are clustered and {len(gold)} labelled; give the same")
    known = np.array([label is not None for label in gold], dtype=bool)
    if not known.any():
        raise TaskError(f"none of the {len(gold)} notes has a label; there is nothing to score")
    numbers: dict[Hashable, int] = {}
    true = [numbers.setdefault(label, len(numbers)) for label in gold if label is not None]
    return ClusteringScores(
        ari=float(adjusted_rand_score(true, found[known])),
        nmi=float(normalized_mutual_info_score(true, found[known])),
        notes=int(known.sum()),
        unlabelled=int((~known).sum()),
        noise=int((found[known] == NOISE).sum()),
    )


def _best_means(
    matrix: Floats, ks: Sequence[int], seed: int
) -> tuple[Ints, tuple[CandidateClustering, ...]]:
    found, candidates = [], []
    for k in ks:
        means = KMeans(k, n_init=STARTS, random_state=seed).fit(matrix)
        silhouette = _silhouette(matrix, means.labels_, seed)
        smallest = int(np.bincount(means.labels_).min())
        found.append(means.labels_)
        candidates.append(
            CandidateClustering(k, float(silhouette or 0.0), float(means.inertia_), smallest)
        )
    best = max(range(len(ks)), key=lambda i: candidates[i].silhouette)
    return found[best], tuple(candidates)


def _silhouette(matrix: Floats, labels: Ints, seed: int) -> float | None:
    if len(labels) > SILHOUETTE_NOTES:
        drawn = np.random.default_rng(seed).choice(len(labels), SILHOUETTE_NOTES, replace=False)
        matrix, labels = matrix[drawn], labels[drawn]
    if not 2 <= len(set(labels.tolist())) < len(labels):
        return None
    return float(silhouette_score(matrix, labels))


def _by_size(labels: Ints) -> Ints:
    """The same clusters numbered from the largest; of equals, the one that comes first."""
    sizes: dict[int, int] = {}
    for label in labels.tolist():
        if label != NOISE:
            sizes[label] = sizes.get(label, 0) + 1
    order = sorted(sizes, key=lambda label: -sizes[label])
    numbers = {NOISE: NOISE, **{label: i for i, label in enumerate(order)}}
    return np.array([numbers[label] for label in labels.tolist()], dtype=np.int64)


def _reduced(matrix: Floats, dimensions: int | None) -> Floats:
    if dimensions is None:
        return matrix
    if dimensions > min(matrix.shape):
        raise TaskError(
            f"{matrix.shape[0]} notes of {matrix.shape[1]} dimensions can't be reduced to "
            f"{dimensions}; allowed: at most {min(matrix.shape)}"
        )
    return np.asarray(PCA(dimensions, svd_solver="full").fit_transform(matrix))
