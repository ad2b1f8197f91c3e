"""How unlike its training notes a note is: several detectors on embeddings, one interface."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import (
    ArtifactError,
    ConfigError,
    TaskError,
    shown_path,
    shown_value,
)
from clinical_tl.estimators.checks import (
    Embeddings,
    check_at_least,
    check_embeddings,
    check_varied,
)
from clinical_tl.estimators.features import Floats, Ints
from clinical_tl.estimators.folds import assign_folds
from clinical_tl.estimators.novelty_methods import METHODS, NoveltyMethod, Training
from clinical_tl.estimators.saved_estimator import (
    Array,
    SavedEstimator,
    read_estimator,
    write_estimator,
)
from clinical_tl.estimators.unit_length import unit_length
from clinical_tl.metrics.auroc import auroc
from clinical_tl.metrics.intervals import Interval, bootstrap_interval
from clinical_tl.paths import as_path

FILE = "novelty"
FOLDS = 5
FEWEST_SHARED = 5
"""A mean of fewer notes says much of each of them."""
# Between machines and devices embeddings differ by far less, after training by far more.
PROBE_TOLERANCE = 5e-3


@dataclass(frozen=True, eq=False)
class NoveltyDetector:
    """A fitted detector; larger scores are stranger, on a scale of each method's own.

    `reference` (notes,), sorted, are the scores of the training notes under detectors that did
    not see them; `percentile` compares with it. `arrays` and `settings` are the method's
    parameters. `probe` (d,) is the embedding of a fixed text by the encoder that embedded the
    training notes, if it was given: it shows whether an encoder has changed since.
    """

    method: NoveltyMethod
    dimension: int
    reference: Floats
    arrays: Mapping[str, Array]
    settings: Mapping[str, Any]
    scaled: bool
    probe: Floats | None = None

    @classmethod
    def fit(
        cls,
        embeddings: Embeddings,
        *,
        method: NoveltyMethod = "mahalanobis",
        labels: Sequence[Hashable] | None = None,
        groups: Sequence[Hashable] | None = None,
        neighbours: int = 5,
        dimensions: int = 16,
        trees: int = 200,
        scale: bool = True,
        seed: int = 0,
    ) -> NoveltyDetector:
        """Fit on training notes, and on four fifths of them in turn to score the others.

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
            embeddings: shape (notes, d).
            method: one of the above.
            labels: one a note, for the Mahalanobis methods alone.
            groups: the patient of each note, `None` for one of its own: a patient's notes are
                scored by detectors that saw none of them. Copies stay together, too.
            neighbours: k.
            dimensions: of the density's subspace.
            trees: of the forest.
            scale: bring embeddings to length 1 first (`unit_length`).
            seed: of folds, forest and mixture.

        Raises:
            TaskError: embeddings of a wrong shape, not finite, all the same, or too few; labels
                or groups that aren't one a note, or labels where the method has no use for them.
            ConfigError: an unknown method, or a number out of its range.
        """
        if method not in get_args(NoveltyMethod):
            raise ConfigError(
                f"method {shown_value(method)}: choose one of {get_args(NoveltyMethod)}"
            )
        check_at_least(1, neighbours=neighbours, dimensions=dimensions, trees=trees)
        matrix = check_embeddings(embeddings, least=2 * FOLDS)
        if scale:
            matrix = unit_length(matrix)
        check_varied(matrix)
        if labels is not None and method not in ("mahalanobis", "relative_mahalanobis"):
            raise TaskError(
                f"labels were given, but method={shown_value(method)} has no use for them"
            )
        if labels is not None and len(labels) != len(matrix):
            raise TaskError(f"{len(matrix)} notes have {len(labels)} labels; give one a note")
        settings = {"neighbours": neighbours, "dimensions": dimensions, "trees": trees}
        folds = assign_folds(matrix, FOLDS, groups=groups, seed=seed)
        _check_parts(method, folds, labels, dimensions)
        fitted = METHODS[method].fit(Training(matrix, labels, groups, settings, seed))
        settings |= fitted.settings
        reference = np.empty(len(matrix))
        for fold in range(FOLDS):
            seen = folds != fold
            own = None if labels is None else [y for y, s in zip(labels, seen, strict=True) if s]
            # What takes folds of its own was chosen on all notes, so the part needs no groups.
            part = METHODS[method].fit(Training(matrix[seen], own, None, settings, seed))
            reference[~seen] = METHODS[method].score(part, matrix[~seen])
        return cls(
            method, matrix.shape[1], np.sort(reference), fitted.arrays, fitted.settings, scale
        )

    def score(self, embeddings: Embeddings) -> Floats:
        """How strange each note is, shape (notes,).

        Raises `TaskError` for embeddings of another dimension, or not finite.
        """
        matrix = check_embeddings(embeddings, dimension=self.dimension)
        if self.scaled:
            matrix = unit_length(matrix)
        return METHODS[self.method].score(SavedEstimator(self.settings, self.arrays), matrix)

    def percentile(self, embeddings: Embeddings) -> Floats:
        """Per cent of the training notes that are no stranger than each note, shape (notes,).

        The training notes' scores come from detectors that saw four fifths of the others, so
        that notes like them get percentiles spread over 0 to 100, a little low if at all: a
        detector that has seen more knows more. A note above 99 is stranger than all but one in
        a hundred training notes.
        """
        return self.rank(self.score(embeddings))

    def rank(self, scores: npt.ArrayLike) -> Floats:
        """Scores as percentiles, see `percentile`."""
        position = np.searchsorted(self.reference, np.asarray(scores), side="right")
        return np.asarray(100.0 * position / len(self.reference))

    @property
    def holds_notes(self) -> bool:
        """Whether single training notes' embeddings are part of the detector, or nearly so.

        Text can be recovered from embeddings (Morris et al. 2023): such a detector is as
        confidential as the notes. True of `knn` and `kde`, and where a label or a Gaussian
        has fewer than 5 notes, whose mean it keeps.
        """
        if self.method in ("knn", "kde"):
            return True
        if "sizes" in self.arrays:
            return int(self.arrays["sizes"].min()) < FEWEST_SHARED
        if self.method == "gaussian_mixture":
            weights = np.exp(self.arrays["parameters.log_weights"])
            return float(weights.min()) * len(self.reference) < FEWEST_SHARED
        return False

    def with_probe(self, probe: Embeddings) -> NoveltyDetector:
        """The same detector knowing its encoder by the embedding (d,) of a fixed text."""
        return replace(self, probe=check_embeddings(probe[None], dimension=self.dimension)[0])

    def check_probe(self, probe: Embeddings) -> None:
        """Raises `TaskError` where the encoder now embeds the fixed text otherwise."""
        if self.probe is None:
            return
        change = np.linalg.norm(probe - self.probe) / np.linalg.norm(self.probe)
        if not change <= PROBE_TOLERANCE:
            raise TaskError(
                f"the encoder has changed since the novelty detector was fitted (a fixed text's "
                f"embedding by {100 * change:.1f} %); call fit_novelty() after training"
            )

    def save(self, folder: str | Path) -> Path:
        """Write `novelty.json` and `novelty.safetensors`; see `holds_notes`."""
        settings = {
            "method": self.method,
            "dimension": self.dimension,
            "scaled": self.scaled,
            "parameters": dict(self.settings),
        }
        arrays = {**self.arrays, "reference": self.reference}
        if self.probe is not None:
            arrays["probe"] = self.probe
        write_estimator(as_path(folder), FILE, SavedEstimator(settings, arrays))
        return as_path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> NoveltyDetector:
        """What `save` wrote. Raises `ArtifactError` where that is missing or damaged."""
        saved = read_estimator(as_path(folder), FILE)
        settings, arrays = saved.settings, dict(saved.arrays)
        reference, probe = arrays.pop("reference", None), arrays.pop("probe", None)
        known = {"method", "dimension", "scaled", "parameters"} <= settings.keys()
        if not known or settings["method"] not in METHODS or reference is None:
            raise ArtifactError(
                f"{shown_path(folder)}: {FILE}.json is of no novelty detector that this version "
                "knows; fit and save it again"
            )
        return cls(
            settings["method"],
            settings["dimension"],
            reference,
            arrays,
            settings["parameters"],
            settings["scaled"],
            probe,
        )

    @staticmethod
    def is_saved(folder: str | Path) -> bool:
        """Whether a folder holds a saved detector."""
        return (as_path(folder) / f"{FILE}.json").is_file()


def _check_parts(
    method: NoveltyMethod, folds: Ints, labels: Sequence[Hashable] | None, dimensions: int
) -> None:
    """Each four fifths of the notes must be enough, and the messages tell of all notes."""
    n, fewest = len(folds), len(folds) - int(np.bincount(folds).max())
    if method in ("gaussian_mixture", "kde") and dimensions >= fewest:
        raise TaskError(
            f"dimensions={dimensions} with {n} notes, of which a fifth is held out in turn "
            f"({fewest} stay): allowed: at most {fewest - 1}. Set dimensions, or give more notes"
        )
    if method == "relative_mahalanobis" and labels is not None:
        kinds = [
            len({y for y, own in zip(labels, folds, strict=True) if own != fold})
            for fold in range(FOLDS)
        ]
        if min(kinds) < 2:
            raise TaskError(
                f"the {n} notes have {len(set(labels))} labels, but without the fifth that is held "
                "out in turn a single one is left; the relative Mahalanobis distance needs at "
                "least two labels with notes of several patients, or use method='mahalanobis'"
            )


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
