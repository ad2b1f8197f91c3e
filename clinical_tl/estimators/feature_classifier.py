"""`FeatureClassifier`: a regularised linear model on frozen features, its strength cross-fitted."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from clinical_tl.errors import ArtifactError, TaskError, shown_path
from clinical_tl.estimators.logistic_regression import (
    CHUNK,
    LinearWeights,
    fit_logistic,
    log_losses,
)
from clinical_tl.paths import as_path

if TYPE_CHECKING:
    from collections.abc import Iterator

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse L2 strengths (scikit-learn's `C`, for standardised features) that are tried."""

FILE = "feature_classifier.safetensors"


@dataclass(frozen=True)
class StrengthScore:
    """What cross-validation found for one strength: the mean log loss of held-out rows (nats)."""

    strength: float
    log_loss: float


class FeatureClassifier(ClassifierMixin, BaseEstimator):
    """Logistic regression, a scikit-learn classifier.

    One multinomial model where a row has one label (`y` of shape (n,)), one binary model a
    label where it has many (`y` of 0 and 1, shape (n, labels)). Of `strengths` the one with
    the least log loss on held-out rows is taken; they are tried from the strongest
    regularisation on, until the loss rises. Folds never divide a group. Features are
    standardised inside.
    """

    def __init__(
        self, *, strengths: Sequence[float] = STRENGTHS, folds: int = 5, seed: int = 0
    ) -> None:
        self.strengths = strengths
        self.folds = folds
        self.seed = seed
        self.classes: tuple[Any, ...] | None = None
        self.weights: LinearWeights | None = None
        self.strength: float | None = None
        self.cross_validation: tuple[StrengthScore, ...] = ()

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        groups: Sequence[Hashable] | None = None,
    ) -> FeatureClassifier:
        """Fit on features of shape (n, d); rows with the same group stay in one fold.

        A row whose group is `None` (a patient who is not known) is a group of its own.

        Raises `TaskError` for shapes that don't match, features that are not finite, rows
        without a label, a single class, a 2-D `y` that is not 0 and 1, or settings that can't
        work.
        """
        strengths = self.check_settings()
        given: Any = y
        labels = given.tolist() if hasattr(given, "tolist") else list(given)
        missing = sum(map(_is_missing, labels))
        if missing:
            raise TaskError(
                f"{missing} labels of y are missing (None or NaN); leave their rows out"
            )
        gold, features = np.asarray(y), _features(X)
        if len(features) != len(gold):
            raise TaskError(
                f"features of shape {features.shape} for {len(gold)} rows of y; give one row each"
            )
        if gold.ndim == 1:
            classes, targets = np.unique(gold, return_inverse=True)
            if len(classes) < 2:
                raise TaskError("y has one class only; at least two are needed")
            self.classes = tuple(classes.tolist())
            n_outputs = len(classes)
        else:
            if gold.ndim != 2 or not np.isin(gold, (0, 1)).all():
                raise TaskError(
                    f"y has shape {gold.shape}; give one label a row, or a matrix of 0 and 1"
                )
            self.classes, targets, n_outputs = None, gold.astype(bool), gold.shape[1]
        self.strength, self.cross_validation = strengths[len(strengths) // 2], ()
        if len(strengths) > 1:
            self.cross_validation = self._cross_validate(features, targets, n_outputs, groups)
            if self.cross_validation:
                self.strength = min(self.cross_validation, key=lambda s: s.log_loss).strength
        self.weights = fit_logistic(features, targets, n_outputs=n_outputs, strength=self.strength)
        return self

    def check_settings(self) -> list[float]:
        """The strengths in order; raises `TaskError` for settings that can't work."""
        strengths = sorted(float(strength) for strength in self.strengths)
        if not strengths or not strengths[0] > 0 or self.folds < 2:
            raise TaskError(
                f"strengths {strengths} and folds {self.folds}: give strengths above 0 and at "
                "least 2 folds"
            )
        return strengths

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The classes, or the columns of many labels, in the order of `predict_proba`."""
        if self.weights is None:
            raise AttributeError("classes_ is known after fit(X, y)")
        n_outputs = len(self.weights.intercepts)
        return np.array(range(n_outputs) if self.classes is None else self.classes)

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Probabilities, shape (n, classes) or (n, labels).

        Raises `TaskError` before `fit`, and for features of another width or not finite.
        """
        weights, features = self._fitted(), _features(X)
        if features.shape[1] != weights.coefficients.shape[1]:
            raise TaskError(
                f"features of shape {features.shape}; this classifier was fitted on "
                f"{weights.coefficients.shape[1]} features a row"
            )
        return weights.probabilities(features, exclusive=self.classes is not None)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The likeliest class, shape (n,), or 0 and 1 at one half, shape (n, labels)."""
        probabilities = self.predict_proba(X)
        if self.classes is None:
            return (probabilities >= 0.5).astype(np.int64)
        likeliest: npt.NDArray[Any] = np.array(self.classes)[probabilities.argmax(axis=1)]
        return likeliest

    def save(self, folder: str | Path) -> Path:
        """Write the weights as safetensors, classes and settings as JSON in its header."""
        from safetensors.numpy import save_file

        weights = self._fitted()
        folder = as_path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "classes": self.classes,
            "strength": self.strength,
            "strengths": [float(strength) for strength in self.strengths],
            "folds": self.folds,
            "seed": self.seed,
            "cross_validation": [[s.strength, s.log_loss] for s in self.cross_validation],
        }
        arrays = {"coefficients": weights.coefficients, "intercepts": weights.intercepts}
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(contiguous, folder / FILE, metadata={"state": json.dumps(state)})
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> FeatureClassifier:
        """The inverse of `save`. Raises `ArtifactError` if the file is missing or damaged."""
        from safetensors import SafetensorError, safe_open

        file = as_path(folder) / FILE
        try:
            with safe_open(file, framework="numpy") as stored:
                state = json.loads(stored.metadata()["state"])
                weights = LinearWeights(
                    stored.get_tensor("coefficients"), stored.get_tensor("intercepts")
                )
            classifier = cls(strengths=state["strengths"], folds=state["folds"], seed=state["seed"])
            classifier.classes = None if state["classes"] is None else tuple(state["classes"])
            classifier.strength = state["strength"]
            classifier.cross_validation = tuple(
                StrengthScore(*pair) for pair in state["cross_validation"]
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{shown_path(file)} holds no feature classifier ({type(error).__name__}); save it "
                "again"
            ) from error
        classifier.weights = weights
        return classifier

    def __sklearn_is_fitted__(self) -> bool:
        return self.weights is not None

    def _fitted(self) -> LinearWeights:
        if self.weights is None:
            raise TaskError("this classifier is not fitted; call fit(X, y) first")
        return self.weights

    def _cross_validate(
        self,
        features: npt.NDArray[np.floating],
        targets: npt.NDArray[Any],
        n_outputs: int,
        groups: Sequence[Hashable] | None,
    ) -> tuple[StrengthScore, ...]:
        """Scores from the strongest regularisation on, until they get worse.

        Each fit starts from the one before; the weakest strengths, by far the slowest to
        fit, are mostly never reached. Held-out labels that a fold's training rows lack are left
        out: no strength can get them right, and the strongest is surest to be least wrong, so
        that with few rows they would choose a model that tells nothing apart.
        """
        folds = list(self._folds(targets, groups))
        weights: list[LinearWeights | None] = [None] * len(folds)
        scores: list[StrengthScore] = []
        for strength in self.check_settings():
            total, counted = 0.0, 0
            for number, (train, held_out) in enumerate(folds):
                fitted = fit_logistic(
                    features,
                    targets,
                    n_outputs=n_outputs,
                    strength=strength,
                    rows=train,
                    start=weights[number],
                )
                found = fitted.probabilities(features[held_out], exclusive=targets.ndim == 1)
                losses = _known_losses(found, targets[held_out], targets[train])
                total, counted = total + float(losses.sum()), counted + len(losses)
                weights[number] = fitted
            if not counted:
                # Every label has one row: nothing speaks for any strength.
                return ()
            scores.append(StrengthScore(strength, total / counted))
            if len(scores) > 1 and scores[-1].log_loss > scores[-2].log_loss:
                break
        return tuple(scores)

    def _folds(
        self, targets: npt.NDArray[Any], groups: Sequence[Hashable] | None
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Training and held-out rows: each group is held out once, folds are of like size."""
        if groups is not None and len(groups) != len(targets):
            raise TaskError(f"{len(groups)} groups for {len(targets)} rows; give one a row")
        names: list[Hashable] = [
            (None, row) if _is_missing(group) else group
            for row, group in enumerate(groups if groups is not None else [None] * len(targets))
        ]
        positions = {name: i for i, name in enumerate(dict.fromkeys(names))}
        owner = np.array([positions[name] for name in names])
        n_groups = len(positions)
        if n_groups < 2:
            raise TaskError("all rows belong to one group; folds need at least two")
        folds = min(self.folds, n_groups)
        order = np.random.default_rng(self.seed).permutation(n_groups)
        fold_of_group = np.empty(n_groups, dtype=np.int64)
        if targets.ndim == 1:
            # Dealing the shuffled groups label by label keeps every label in most folds.
            first = np.full(n_groups, len(targets))
            np.minimum.at(first, owner, np.arange(len(targets)))
            order = order[np.argsort(targets[first[order]], kind="stable")]
        fold_of_group[order] = np.arange(n_groups) % folds
        fold = fold_of_group[owner]
        for number in range(folds):
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _known_losses(
    probabilities: npt.NDArray[np.float64], gold: npt.NDArray[Any], trained: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """The log losses of held-out rows, of labels that were trained alone."""
    if gold.ndim == 1:
        known = np.isin(gold, trained)
        return log_losses(probabilities[known], gold[known])
    columns = trained.any(axis=0)
    if not columns.any():
        return np.zeros(0)
    return log_losses(probabilities[:, columns], gold[:, columns])


def _is_missing(value: object) -> bool:
    """None, NaN, or pandas' NA, which equals nothing and not even that can be asked."""
    is_nan = isinstance(value, float | np.floating) and bool(np.isnan(value))
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _features(given: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """Features as a matrix, memory-mapped ones as they are; raises `TaskError` for others."""
    features = np.asarray(given)
    if features.ndim != 2 or not len(features) or features.dtype.kind not in "fiu":
        raise TaskError(
            f"features of shape {features.shape} and type {features.dtype}; give numbers, one row "
            "a note"
        )
    wrong = 0
    first = -1
    for start in range(0, len(features), CHUNK):
        rows = np.flatnonzero(~np.isfinite(features[start : start + CHUNK]).all(axis=1))
        if len(rows):
            wrong, first = wrong + len(rows), start + int(rows[0]) if first < 0 else first
    if wrong:
        raise TaskError(
            f"{wrong} of {len(features)} rows of features are not finite, the first is row "
            f"{first}; embed the notes again"
        )
    return features
