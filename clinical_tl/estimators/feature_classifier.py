"""`FeatureClassifier`: a regularised linear model on frozen features, its strength cross-fitted."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import f1_score
from sklearn.utils.class_weight import compute_sample_weight

from clinical_tl.errors import ConfigError, TaskError, shown_value
from clinical_tl.estimators.chance import clearly
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.estimators.curvature import Curvature
from clinical_tl.estimators.estimator import Estimator
from clinical_tl.estimators.features import number_matrix
from clinical_tl.estimators.logistic_regression import (
    ROUGH,
    TOLERANCE,
    LinearWeights,
    fit_logistic,
    log_losses,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse L2 strengths (scikit-learn's `C`, for standardised features) that are tried."""

Balance = Literal["balanced", "sqrt"]
"""Weigh a class by the inverse of its frequency, or by the root of that."""
BALANCES: tuple[Balance | None, ...] = ("balanced", "sqrt", None)
"""What `"auto"` chooses among: the first that no later one clearly beats."""

ClassWeight = Mapping[Any, float] | Sequence[Mapping[int, float]] | Balance | Literal["auto"] | None


@dataclass(frozen=True)
class StrengthScore:
    """What cross-validation found for one strength: the mean log loss of held-out rows (nats)."""

    strength: float
    log_loss: float


@dataclass(frozen=True)
class _Rows:
    """What is fitted: features (n, d), `y`, its classes, their columns (n,) or booleans (n, k)."""

    features: npt.NDArray[np.floating]
    gold: npt.NDArray[Any]
    classes: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    groups: Sequence[Hashable] | None
    curvature: Curvature | None


@dataclass(frozen=True)
class _Scored:
    """What cross-validation found: scores of strengths, and of the best its F1 and a fold's fit."""

    scores: tuple[StrengthScore, ...] = ()
    f1: float = 0.0
    start: LinearWeights | None = None


@dataclass(frozen=True)
class _Chosen:
    """Strength and class weights, these also by row, and a fold's fit with them to start from."""

    strength: float
    given: ClassWeight
    weights: npt.NDArray[np.float64] | None
    scores: tuple[StrengthScore, ...]
    start: LinearWeights | None


class FeatureClassifier(ClassifierMixin, Estimator):
    """Logistic regression, a scikit-learn classifier.

    One multinomial model where a row has one label (`y` of shape (n,)), one binary model a
    label where it has many (`y` of 0 and 1, shape (n, labels)). Of `strengths` the one with
    the least log loss on held-out rows is taken; they are tried from the strongest
    regularisation on, until the loss rises. Folds never divide a group. Features are
    standardised inside.

    `class_weight` multiplies the loss of rows, in fitting and in choosing, as scikit-learn's
    does: class → weight, `"balanced"` (the inverse of the frequency), `"sqrt"` (the root of
    that), or of many labels one mapping of 0 and 1 a label. `"auto"` takes balanced weights
    unless their root, or none, gives a clearly better macro-F1 on held-out rows. Features are
    standardised over the rows as they are.

    With `block` so many labels side by side exclude one another: a row has one of them, or none
    where that is not known, and the model of each block is multinomial.

    Attributes:
        classes_: the classes, or the columns of many labels, in the order of `predict_proba`.
        multi_label_: whether `y` had many labels a row.
        coef_: coefficients for features as they come, shape (classes or labels, d).
        intercept_: shape (classes or labels,).
        strength_: the strength that was taken.
        class_weight_: the weights that were taken: as given, or what `"auto"` chose.
        cross_validation_: the strengths that were tried, with what was found.

    Example:
        >>> random = np.random.default_rng(0)
        >>> X = np.concatenate([random.normal(0, 1, (30, 2)), random.normal(4, 1, (30, 2))])
        >>> classifier = FeatureClassifier().fit(X, ["icu"] * 30 + ["ward"] * 30)
        >>> classifier.predict([[0, 0], [4, 4]]).tolist()
        ['icu', 'ward']
        >>> classifier.predict_proba([[2, 2]]).round(1).tolist()
        [[0.6, 0.4]]
    """

    file = "feature_classifier"
    found = (
        "classes_", "multi_label_", "coef_", "intercept_", "strength_", "class_weight_",
        "cross_validation_",
    )  # fmt: skip

    def __init__(
        self,
        *,
        strengths: Sequence[float] = STRENGTHS,
        folds: int = 5,
        seed: int = 0,
        class_weight: ClassWeight = None,
        block: int = 1,
    ) -> None:
        self.strengths = strengths
        self.folds = folds
        self.seed = seed
        self.class_weight = class_weight
        self.block = block

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        groups: Sequence[Hashable] | None = None,
    ) -> FeatureClassifier:
        """Fit on features of shape (n, d); rows with the same group stay in one fold.

        A row whose group is `None` (a patient who is not known) is a group of its own.

        Raises `TaskError` for shapes that don't match, features that are not finite, rows
        without a label, a single class, a 2-D `y` that is not 0 and 1, or weights of other
        classes, and `ConfigError` for settings that can't work.
        """
        rows = self._checked(X, y, groups)
        chosen = self._chosen(rows)
        fitted = self._fitted(rows, chosen.strength, chosen.weights, start=chosen.start)
        self.coef_, self.intercept_ = fitted.coefficients, fitted.intercepts
        self.strength_, self.class_weight_ = chosen.strength, chosen.given
        self.cross_validation_ = chosen.scores
        self.classes_, self.multi_label_ = rows.classes, rows.gold.ndim > 1
        self.n_features_in_ = rows.features.shape[1]
        return self

    def held_out_proba(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        groups: Sequence[Hashable] | None = None,
    ) -> npt.NDArray[np.float64]:
        """Each row's probabilities by a model that saw neither it nor its group.

        Shape (n, classes) or (n, labels), columns in the order of `np.unique(y)` or of `y`. Folds
        and strength are those of `fit`; nothing is kept. A class that the other folds lack has
        a probability of about 0.

        Raises as `fit`.

        Example:
            >>> X = [[0.0], [0.2], [0.4], [4.0], [4.2], [4.4]]
            >>> y = ["icu", "icu", "ward", "ward", "ward", "ward"]
            >>> held_out = FeatureClassifier(folds=6, strengths=[1.0]).held_out_proba(X, y)
            >>> held_out[2].round(1).tolist()
            [0.8, 0.2]
        """
        rows = self._checked(X, y, groups)
        chosen = self._chosen(rows)
        every = np.empty((len(rows.features), len(rows.classes)))
        for train, held_out in self._folds(rows):
            fitted = self._fitted(
                rows, chosen.strength, chosen.weights, among=train, tolerance=ROUGH
            )
            every[held_out] = self._said(rows, fitted, held_out)
        return every

    def choose_strength(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        groups: Sequence[Hashable] | None = None,
    ) -> tuple[float, tuple[StrengthScore, ...]]:
        """The strength that `fit` would take, and what was found for each; nothing is kept.

        Raises as `fit`.
        """
        chosen = self._chosen(self._checked(X, y, groups))
        return chosen.strength, chosen.scores

    def check_settings(self) -> list[float]:
        """The strengths in order; raises `ConfigError` for settings that can't work."""
        check_at_least(0, seed=self.seed)
        check_at_least(2, folds=self.folds)
        given: Any = self.strengths
        if isinstance(given, str) or not hasattr(given, "__iter__"):
            given = [given]
        numbers = (s for s in given if isinstance(s, int | float | np.number))
        strengths = [float(s) for s in numbers if 0 < s < np.inf]
        if not strengths or len(strengths) < len(given):
            raise ConfigError(f"strengths={shown_value(given)}; allowed: numbers above 0")
        return sorted(strengths)

    @property
    def balance_(self) -> Balance | None:
        """The weights that were taken, where they have a name."""
        given = self.class_weight_
        return given if given == "balanced" or given == "sqrt" else None

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Probabilities, shape (n, classes) or (n, labels).

        Raises `TaskError` before `fit`, and for features of another width or not finite.
        """
        features = self.check_matrix(X)
        weights = LinearWeights(self.coef_, self.intercept_)
        return weights.probabilities(features, exclusive=not self.multi_label_, block=self.block)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The likeliest class, shape (n,), or 0 and 1 at one half, shape (n, labels)."""
        probabilities = self.predict_proba(X)
        if self.multi_label_:
            return (probabilities >= 0.5).astype(np.int64)
        likeliest: npt.NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return likeliest

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `to_state`. Raises `KeyError` where something is missing."""
        scores = tuple(StrengthScore(*pair) for pair in state["cross_validation_"])
        # Until there was a choice, what was taken was what was given.
        weight = state.get("class_weight_", state["class_weight"])
        # What is older knew no blocks.
        return super().from_state(
            {"block": 1, **state, "class_weight_": weight, "cross_validation_": scores}
        )

    def _checked(
        self, X: npt.ArrayLike, y: npt.ArrayLike, groups: Sequence[Hashable] | None
    ) -> _Rows:
        self.check_settings()
        gold, features = _gold(y), number_matrix(X, name="the matrix of features")
        if len(features) != len(gold):
            raise TaskError(
                f"features of shape {features.shape} for {len(gold)} rows of y; give one row each"
            )
        if gold.ndim == 1:
            classes, targets = np.unique(gold, return_inverse=True)
            if len(classes) < 2:
                raise TaskError("y has one class only; at least two are needed")
        else:
            classes, targets = np.arange(gold.shape[1]), gold.astype(bool)
            width, block = gold.shape[1], self.block
            whole = width % block == 0
            if not whole or (block > 1 and targets.reshape(-1, block).sum(axis=1).max() > 1):
                raise TaskError(
                    f"y has {width} columns for blocks of {block}; give whole blocks, of "
                    "which a row has one column at most"
                )
        if groups is not None and len(groups) != len(gold):
            raise TaskError(f"{len(groups)} groups for {len(gold)} rows; give one a row")
        return _Rows(features, gold, classes, targets, groups, Curvature.of(features))

    def _chosen(self, rows: _Rows) -> _Chosen:
        """The strength with the least held-out loss, and the weights of classes."""
        strengths, one_label = self.check_settings(), rows.gold.ndim == 1
        choose = self.class_weight == "auto"
        given: ClassWeight = self.class_weight
        if choose:
            given = BALANCES[0] if one_label else None
        weights = _row_weights(given, rows.classes, rows.gold)
        found = _Scored()
        if len(strengths) > 1 or choose:
            found = self._cross_validate(rows, weights, strengths)
        strength = strengths[len(strengths) // 2]
        if found.scores:
            strength = min(found.scores, key=lambda score: score.log_loss).strength
        f1, start = found.f1, found.start
        for other in BALANCES[1:] if choose and found.scores and one_label else ():
            tried = _row_weights(other, rows.classes, rows.gold)
            again = self._cross_validate(rows, tried, [strength])
            if again.f1 > f1 + clearly(len(rows.gold)):
                given, weights, f1, start = other, tried, again.f1, again.start
        return _Chosen(strength, given, weights, found.scores, start)

    def _cross_validate(
        self,
        rows: _Rows,
        weights: npt.NDArray[np.float64] | None,
        strengths: Sequence[float],
    ) -> _Scored:
        """Scores from the strongest regularisation on, until they get worse; macro-F1 at the best.

        The latter (0 of many labels a row) is of what is likeliest for each held-out row.

        Each fit starts from the one before; the weakest strengths, by far the slowest to
        fit, are mostly never reached. Held-out labels that a fold's training rows lack are left
        out: no strength can get them right, and the strongest is surest to be least wrong, so
        that with few rows they would choose a model that tells nothing apart.
        """
        targets = rows.targets
        folds = list(self._folds(rows))
        starts: list[LinearWeights | None] = [None] * len(folds)
        scores: list[StrengthScore] = []
        best: LinearWeights | None = None
        said = np.zeros(len(targets), dtype=np.int64)
        f1 = 0.0
        for strength in strengths:
            total, counted = 0.0, 0.0
            for number, (train, held_out) in enumerate(folds):
                fitted = self._fitted(
                    rows, strength, weights, among=train, start=starts[number], tolerance=ROUGH
                )
                found = self._said(rows, fitted, held_out)
                counts = _known(targets, train, held_out)
                if weights is not None:
                    counts = counts * weights[held_out]
                losses = log_losses(found, targets[held_out], block=self.block)
                total += float((counts * losses).sum())
                counted += float(counts.sum())
                starts[number] = fitted
                said[held_out] = found.argmax(axis=1)
            if not counted:
                # Every label has one row: nothing speaks for any strength.
                return _Scored()
            scores.append(StrengthScore(strength, total / counted))
            if len(scores) > 1 and scores[-1].log_loss > scores[-2].log_loss:
                break
            if targets.ndim == 1:
                f1 = float(f1_score(targets, said, average="macro", zero_division=0.0))
            best = fitted
        return _Scored(tuple(scores), f1, best)

    def _fitted(
        self,
        rows: _Rows,
        strength: float,
        weights: npt.NDArray[np.float64] | None,
        *,
        among: npt.NDArray[np.int64] | None = None,
        start: LinearWeights | None = None,
        tolerance: float = TOLERANCE,
    ) -> LinearWeights:
        return fit_logistic(
            rows.features,
            rows.targets,
            n_outputs=len(rows.classes),
            strength=strength,
            weights=weights,
            rows=among,
            start=start,
            tolerance=tolerance,
            block=self.block,
            curvature=rows.curvature,
        )

    def _said(
        self, rows: _Rows, fitted: LinearWeights, held_out: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Probabilities of held-out rows, shape (rows, classes)."""
        exclusive = rows.targets.ndim == 1
        return fitted.probabilities(rows.features[held_out], exclusive=exclusive, block=self.block)

    def _folds(self, rows: _Rows) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Training and held-out rows: each group is held out once, folds are of like size."""
        targets, groups = rows.targets, rows.groups
        names: list[Hashable] = [
            (None, row) if _is_missing(group) else group
            for row, group in enumerate(groups if groups is not None else [None] * len(targets))
        ]
        positions = {name: i for i, name in enumerate(dict.fromkeys(names))}
        owner = np.array([positions[name] for name in names])
        n_groups = len(positions)
        if n_groups < 2:
            raise TaskError(
                f"all {len(targets)} rows belong to one group, such as one patient's notes or "
                "copies of one text; folds need at least two: give notes of more patients"
            )
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


def _known(
    targets: npt.NDArray[Any], train: npt.NDArray[np.int64], held_out: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """1 where a held-out row's label (n,), or a label's column (n, labels), was trained, else 0."""
    if targets.ndim == 1:
        return np.isin(targets[held_out], targets[train]).astype(np.float64)
    columns = np.max(targets[train], axis=0, keepdims=True).astype(np.float64)
    return np.repeat(columns, len(held_out), axis=0)


def _row_weights(
    given: ClassWeight, classes: npt.NDArray[Any], gold: npt.NDArray[Any]
) -> npt.NDArray[np.float64] | None:
    """Weights of rows, (n,), or of each of their labels, (n, labels), by scikit-learn's rules."""
    if given is None:
        return None
    if gold.ndim == 1:
        if not (given in get_args(Balance) or isinstance(given, Mapping)):
            raise TaskError(
                "class_weight: give 'balanced', 'sqrt', 'auto' or a mapping of class to weight"
            )
        return _weights_of(given, classes, gold)
    named = isinstance(given, str)
    each: Sequence[Any] = [given] * len(classes) if named else list(given)
    if isinstance(given, Mapping) or len(each) != len(classes):
        raise TaskError(
            f"class_weight of {len(classes)} labels: give 'balanced', 'sqrt' or 'auto', or for "
            "each label a mapping of 0 and 1 to weights"
        )
    both = np.arange(2)
    columns = zip(each, gold.T, strict=True)
    return np.stack([_weights_of(own, both, column) for own, column in columns], axis=1)


def _weights_of(
    given: Any,  # noqa: ANN401  (a name or a mapping of whatever the classes are)
    classes: npt.NDArray[Any],
    gold: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    """The weight of each row by its class."""
    if given == "sqrt":
        weights = np.sqrt(compute_sample_weight("balanced", gold))
        return np.asarray(weights / weights.mean())
    if given != "balanced":
        unknown = set(given) - set(classes.tolist())
        weights = np.array([float(given.get(name, 1.0)) for name in classes.tolist()])
        if unknown or not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
            raise TaskError(
                f"class_weight names {len(unknown)} classes that y does not have, or its weights "
                "are not all finite, 0 or more, and some above 0"
            )
    return np.asarray(compute_sample_weight(given, gold))


def _is_missing(value: object) -> bool:
    """None, NaN, or pandas' NA, which equals nothing and not even that can be asked."""
    is_nan = isinstance(value, float | np.floating) and bool(np.isnan(value))
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _gold(y: npt.ArrayLike) -> npt.NDArray[Any]:
    """The labels as an array of one or two axes, checked; raises `TaskError`."""
    if y is None:
        raise TaskError("FeatureClassifier requires y to be passed, but the target y is None")
    listed = np.asarray(y, dtype=object).tolist()
    missing = sum(map(_is_missing, listed)) if isinstance(listed, list) else 0
    if missing:
        raise TaskError(f"{missing} labels of y are missing (None or NaN); leave their rows out")
    gold = np.asarray(y)
    if gold.ndim == 2 and np.isin(gold, (0, 1)).all():
        return gold
    if gold.ndim == 2 and gold.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected",
            DataConversionWarning,
            stacklevel=3,
        )
        gold = gold[:, 0]
    if gold.ndim != 1:
        raise TaskError(f"y has shape {gold.shape}; give one label a row, or a matrix of 0 and 1")
    if gold.dtype.kind == "f" and not (gold == np.trunc(gold)).all():
        raise TaskError(
            "Unknown label type: continuous. y has numbers with fractions; a classifier needs "
            "classes"
        )
    return gold
