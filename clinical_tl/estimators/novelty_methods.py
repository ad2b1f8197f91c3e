"""The methods of novelty detection, each as a fit and a score."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from clinical_tl.errors import TaskError
from clinical_tl.estimators import isolation_forest, mahalanobis
from clinical_tl.estimators.density import DensityEstimator
from clinical_tl.estimators.density_methods import COMPONENTS, DensityMethod
from clinical_tl.estimators.features import Floats
from clinical_tl.estimators.folds import distinct_rows
from clinical_tl.estimators.saved_estimator import SavedEstimator

NoveltyMethod = Literal[
    "mahalanobis", "relative_mahalanobis", "knn", "isolation_forest", "gaussian_mixture", "kde"
]

BLOCK = 1024
_DENSITY = "density"


@dataclass(frozen=True)
class Training:
    """What a method is fitted on: `matrix` (notes, d), labels and groups or none, settings."""

    matrix: Floats
    labels: Sequence[Hashable] | None
    groups: Sequence[Hashable] | None
    settings: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class Method:
    """How to fit, and how strange the fitted finds notes, shape (notes,).

    What `fit` chose from the notes is among the settings it gives back, by the names of those
    it takes: with them it does not choose again.
    """

    fit: Callable[[Training], SavedEstimator]
    score: Callable[[SavedEstimator, Floats], Floats]


def _fit_mahalanobis(training: Training) -> SavedEstimator:
    return SavedEstimator({}, mahalanobis.fit_gaussians(training.matrix, training.labels))


def _fit_relative(training: Training) -> SavedEstimator:
    return SavedEstimator({}, mahalanobis.fit_relative(training.matrix, training.labels))


def _fit_neighbours(training: Training) -> SavedEstimator:
    settings, n = training.settings, len(training.matrix)
    if settings["neighbours"] > n:
        raise TaskError(
            f"neighbours={settings['neighbours']}, but of the notes only {n} are there to be "
            "neighbours (a fifth is held out in turn); allowed: at most that many"
        )
    points = training.matrix
    return SavedEstimator({"neighbours": settings["neighbours"]}, {"points": points})


def _neighbour_distance(fitted: SavedEstimator, matrix: Floats) -> Floats:
    from scipy.spatial.distance import cdist

    k, points = fitted.settings["neighbours"], fitted.arrays["points"]
    nearest = [
        np.partition(cdist(matrix[i : i + BLOCK], points), k - 1, axis=1)[:, k - 1]
        for i in range(0, len(matrix), BLOCK)
    ]
    return np.concatenate(nearest)


def _fit_forest(training: Training) -> SavedEstimator:
    trees = training.settings["trees"]
    arrays = isolation_forest.grow_forest(training.matrix, trees=trees, seed=training.seed)
    return SavedEstimator({}, arrays)


def _fit_density(method: DensityMethod) -> Callable[[Training], SavedEstimator]:
    def fit(training: Training) -> SavedEstimator:
        settings = training.settings
        components = settings.get("components", COMPONENTS)
        if len(components) == 1:
            # Chosen on all notes; a part of them may have fewer that differ.
            allowed = (int(distinct_rows(training.matrix).max()) + 1) // 2
            components = [max(1, min(components[0], allowed))]
        density = DensityEstimator.fit(
            training.matrix,
            method=method,
            dimensions=settings["dimensions"],
            components=components,
            bandwidth=settings.get("bandwidth"),
            scale=False,
            groups=training.groups,
            seed=training.seed,
        )
        saved = density.to_saved()
        chosen: dict[str, Any] = (
            {"components": [len(density.parameters["means"])]}
            if method == "gaussian_mixture"
            else {"bandwidth": float(density.parameters["bandwidth"])}
        )
        return SavedEstimator({_DENSITY: dict(saved.settings), **chosen}, saved.arrays)

    return fit


def _strangeness(fitted: SavedEstimator, matrix: Floats) -> Floats:
    saved = SavedEstimator(fitted.settings[_DENSITY], fitted.arrays)
    return -DensityEstimator.from_saved(saved).log_density(matrix)


METHODS: Mapping[NoveltyMethod, Method] = {
    "mahalanobis": Method(_fit_mahalanobis, lambda f, x: mahalanobis.distances(f.arrays, x)),
    "relative_mahalanobis": Method(
        _fit_relative, lambda f, x: mahalanobis.relative_distances(f.arrays, x)
    ),
    "knn": Method(_fit_neighbours, _neighbour_distance),
    "isolation_forest": Method(
        _fit_forest, lambda f, x: isolation_forest.isolation_scores(f.arrays, x)
    ),
    "gaussian_mixture": Method(_fit_density("gaussian_mixture"), _strangeness),
    "kde": Method(_fit_density("kde"), _strangeness),
}
