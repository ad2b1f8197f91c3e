"""How unlike its training notes a note is: several detectors on embeddings, one interface."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from clinical_tl.errors import TaskError
from clinical_tl.estimators.checks import (
    check_at_least,
    check_labels,
    check_method,
    check_varied,
)
from clinical_tl.estimators.density import DensityEstimator
from clinical_tl.estimators.estimator import Estimator
from clinical_tl.estimators.features import Floats, Ints, feature_matrix
from clinical_tl.estimators.folds import assign_folds
from clinical_tl.estimators.isolation_forest import IsolationTrees
from clinical_tl.estimators.mahalanobis import Mahalanobis, RelativeMahalanobis
from clinical_tl.estimators.neighbour_distance import NeighbourDistance
from clinical_tl.estimators.unit_length import unit_length
from clinical_tl.metrics.auroc import auroc
from clinical_tl.metrics.intervals import Interval, bootstrap_interval

NoveltyMethod = Literal[
    "mahalanobis", "relative_mahalanobis", "knn", "isolation_forest", "gaussian_mixture", "kde"
]

FOLDS = 5
FEWEST_SHARED = 5
"""A mean of fewer notes says much of each of them."""
# Between machines and devices embeddings differ by far less, after training by far more.
PROBE_TOLERANCE = 5e-3


class NoveltyDetector(Estimator):
    """How unlike its training notes a note is; larger is stranger, on a scale of each method's own.

    Methods and what they score:

    - `mahalanobis`: squared distance to the nearest label's mean under a covariance that
      all labels share (Lee et al. 2018, §2.1), Ledoit-Wolf shrunk; one mean without labels.
    - `relative_mahalanobis`: that minus the distance to all notes (Ren et al. 2021, §2);
      for labels that the encoder tells apart. With clusters of BC5CDR for labels it fell
      below chance (AUROC 0.28 against NCBI-disease, where the plain distance has 0.97).
    - `knn`: distance to the k-th nearest training note, as Sun et al. (2022, §3) do with
      embeddings of length 1.
    - `isolation_forest`: how few random cuts isolate the note (Liu et al. 2008).
    - `gaussian_mixture`, `kde`: minus the log-density (`DensityEstimator`).

    Args:
        method: one of the above.
        neighbours: k.
        dimensions: of the density's subspace.
        trees: of the forest.
        scale: bring embeddings to length 1 first (`unit_length`).
        seed: of folds, forest and mixture.

    Attributes:
        estimator_: the method's, fitted on all training notes.
        reference_: shape (notes,), sorted: novelty of the training notes by detectors that did
            not see them; `percentile` compares with it.
        probe_: shape (d,), the embedding of a fixed text by the encoder that embedded the
            training notes, if it was given: it shows whether an encoder has changed since.

    Example:
        >>> random = np.random.default_rng(0)
        >>> detector = NoveltyDetector(scale=False).fit(random.normal(size=(200, 3)))
        >>> known, strange = [0.1, 0.0, -0.1], [9.0, 9.0, 9.0]
        >>> detector.percentile([known, strange]).round().tolist()
        [0.0, 100.0]
    """

    file = "novelty"
    found = ("estimator_", "reference_", "probe_")

    def __init__(
        self,
        method: NoveltyMethod = "mahalanobis",
        *,
        neighbours: int = 5,
        dimensions: int = 16,
        trees: int = 200,
        scale: bool = True,
        seed: int = 0,
    ) -> None:
        self.method = method
        self.neighbours = neighbours
        self.dimensions = dimensions
        self.trees = trees
        self.scale = scale
        self.seed = seed

    def fit(
        self,
        X: npt.ArrayLike,
        y: Sequence[Hashable] | None = None,
        groups: Sequence[Hashable] | None = None,
        *,
        probe: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit on training notes, and on four fifths of them in turn to score the others.

        Args:
            X: embeddings, shape (notes, d).
            y: the notes' labels, for the Mahalanobis methods; the others have no use for them.
            groups: the patient of each note, `None` for one of its own: a patient's notes are
                scored by detectors that saw none of them. Copies stay together, too.
            probe: the embedding (d,) of a fixed text.

        Raises:
            TaskError: embeddings of a wrong shape, not finite, all the same, or too few; labels
                or groups that aren't one a note.
            ConfigError: an unknown method, or a number out of its range.
        """
        check_method(self.method, NoveltyMethod)
        check_at_least(1, neighbours=self.neighbours, dimensions=self.dimensions, trees=self.trees)
        matrix = feature_matrix(X, least=2 * FOLDS)
        if self.scale:
            matrix = unit_length(matrix)
        check_varied(matrix)
        check_labels(y, len(matrix))
        folds = assign_folds(matrix, FOLDS, groups=groups, seed=self.seed)
        self._check_parts(folds, y)
        whole = METHODS[self.method](self)
        density = isinstance(whole, DensityEstimator)
        whole.fit(matrix, y, groups) if density else whole.fit(matrix, y)
        reference = np.empty(len(matrix))
        for fold in range(FOLDS):
            seen = folds != fold
            own = None if y is None else [label for label, s in zip(y, seen, strict=True) if s]
            # What takes folds of its own was chosen on all notes, so the part needs no groups.
            part = whole.settled(matrix[seen]) if density else clone(whole)
            reference[~seen] = -part.fit(matrix[seen], own).score_samples(matrix[~seen])
        # Set together: what can't be fitted leaves a detector as it was.
        self.estimator_, self.reference_ = whole, np.sort(reference)
        self.n_features_in_ = matrix.shape[1]
        self.probe_ = None if probe is None else self.check_matrix(np.reshape(probe, (1, -1)))[0]
        return self

    def novelty(self, X: npt.ArrayLike) -> Floats:
        """How strange each note is, shape (notes,).

        Raises `TaskError` for embeddings of another dimension, or not finite.
        """
        matrix = np.asarray(self.check_matrix(X), dtype=np.float64)
        scores: Floats = -self.estimator_.score_samples(
            unit_length(matrix) if self.scale else matrix
        )
        return scores

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Minus the novelty, shape (notes,): scikit-learn's detectors give strange notes less."""
        return -self.novelty(X)

    def percentile(self, X: npt.ArrayLike) -> Floats:
        """Per cent of the training notes that are no stranger than each note, shape (notes,).

        The training notes' scores come from detectors that saw four fifths of the others, so
        that notes like them get percentiles spread over 0 to 100, a little low if at all: a
        detector that has seen more knows more. A note above 99 is stranger than all but one in
        a hundred training notes.
        """
        return self.rank(self.novelty(X))

    def rank(self, novelty: npt.ArrayLike) -> Floats:
        """Novelty as percentiles, see `percentile`."""
        self.check_fitted()
        position = np.searchsorted(self.reference_, np.asarray(novelty), side="right")
        return np.asarray(100.0 * position / len(self.reference_))

    @property
    def holds_notes(self) -> bool:
        """Whether single training notes' embeddings are part of the detector, or nearly so.

        Text can be recovered from embeddings (Morris et al. 2023): such a detector is as
        confidential as the notes. True of `knn` and `kde`, and where a label or a Gaussian
        has fewer than 5 notes, whose mean it keeps.
        """
        self.check_fitted()
        fitted = self.estimator_
        if isinstance(fitted, DensityEstimator) and self.method == "gaussian_mixture":
            least = float(fitted.parameters_["weights"].min())
            return least * len(self.reference_) < FEWEST_SHARED
        if isinstance(fitted, RelativeMahalanobis):
            fitted = fitted.labels_
        if isinstance(fitted, Mahalanobis):
            return int(fitted.sizes_.min()) < FEWEST_SHARED
        return not isinstance(fitted, IsolationTrees)

    def check_probe(self, probe: npt.NDArray[np.floating]) -> None:
        """Raises `TaskError` where the encoder now embeds the fixed text otherwise."""
        self.check_fitted()
        if self.probe_ is None:
            return
        change = np.linalg.norm(probe - self.probe_) / np.linalg.norm(self.probe_)
        if not change <= PROBE_TOLERANCE:
            raise TaskError(
                f"the encoder has changed since the novelty detector was fitted (a fixed text's "
                f"embedding by {100 * change:.1f} %); call fit_novelty() after training"
            )

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `to_state`. Raises `KeyError` where something is missing."""
        kind = type(METHODS[state["method"]](cls()))
        return super().from_state({**state, "estimator_": kind.from_state(state["estimator_"])})

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401  (scikit-learn's tags are untyped)
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.method == "relative_mahalanobis"
        return tags

    def _check_parts(self, folds: Ints, labels: Sequence[Hashable] | None) -> None:
        """Each four fifths of the notes must be enough, and the messages tell of all notes."""
        n, fewest = len(folds), len(folds) - int(np.bincount(folds).max())
        limits = {
            "knn": ("neighbours", fewest),
            "gaussian_mixture": ("dimensions", fewest - 1),
            "kde": ("dimensions", fewest - 1),
        }
        name, allowed = limits.get(self.method, ("trees", self.trees))
        if getattr(self, name) > allowed:
            raise TaskError(
                f"{name}={getattr(self, name)} with {n} notes, of which a fifth is held out in "
                f"turn ({fewest} stay): allowed: at most {allowed}. Set {name}, or give more notes"
            )
        if self.method == "relative_mahalanobis" and labels is not None:
            kinds = [
                len({y for y, own in zip(labels, folds, strict=True) if own != fold})
                for fold in range(FOLDS)
            ]
            if min(kinds) < 2 <= len(set(labels)):
                raise TaskError(
                    f"the {n} notes have {len(set(labels))} labels, but without the fifth that is "
                    "held out in turn a single one is left; the relative Mahalanobis distance "
                    "needs at least two labels with notes of several patients, or use "
                    "method='mahalanobis'"
                )


def _density(detector: NoveltyDetector) -> DensityEstimator:
    return DensityEstimator(
        "kde" if detector.method == "kde" else "gaussian_mixture",
        dimensions=detector.dimensions,
        scale=False,
        seed=detector.seed,
    )


METHODS: Mapping[NoveltyMethod, Callable[[NoveltyDetector], Any]] = {
    "mahalanobis": lambda _: Mahalanobis(),
    "relative_mahalanobis": lambda _: RelativeMahalanobis(),
    "knn": lambda detector: NeighbourDistance(detector.neighbours),
    "isolation_forest": lambda detector: IsolationTrees(detector.trees, seed=detector.seed),
    "gaussian_mixture": _density,
    "kde": _density,
}
"""The estimator of each method, with a detector's settings; what is strange scores low."""


def novelty_auroc(
    inside: npt.ArrayLike,
    outside: npt.ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Chance that a note from outside scores above one from inside, with its 95 % interval.

    Args:
        inside: scores of notes like those of training (but not these), shape (n,).
        outside: scores of notes of another kind, shape (m,).
        groups: the patients of the n + m notes, inside first; drawn together.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        TaskError: either side has no note.
    """
    sides = [np.asarray(side, dtype=np.float64).reshape(-1) for side in (inside, outside)]
    if not sides[0].size or not sides[1].size:
        raise TaskError(
            f"there are {sides[0].size} notes inside and {sides[1].size} outside; give at least "
            "one of each"
        )
    scores = np.concatenate(sides)
    gold = np.arange(len(scores)) >= sides[0].size
    return bootstrap_interval(
        lambda notes: auroc(gold[notes], scores[notes]),
        len(scores),
        groups=groups,
        resamples=resamples,
        seed=seed,
    )
