"""The score from which on a label is assigned, tuned on dev notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import ArtifactError, ConfigError, TaskError, shown_value
from clinical_tl.metrics.matrix import Bools, Floats, bool_matrix, score_matrix

METRICS = ("micro_f1", "macro_f1")
RESAMPLES = 200
MOST_RESAMPLES = 0.7
"""The share of resamples on which a steady cut has to be better than none."""
MOST_CUTS = 100
"""That are tried on each resample; of more, as many evenly among them."""


@dataclass(frozen=True)
class Thresholds:
    """A label is assigned where its score is at least its threshold.

    `per_label` has one threshold a label, in the order of the model's labels, and replaces
    `global_threshold`; `None` means that all labels share the global one.

    >>> scores = [[0.4, 0.6], [0.2, 0.3]]
    >>> Thresholds(0.5).apply(scores).tolist()
    [[False, True], [False, False]]
    >>> Thresholds(0.5, per_label=(0.35, 0.7)).apply(scores).tolist()
    [[True, False], [False, False]]
    """

    global_threshold: float
    per_label: tuple[float, ...] | None = None

    def apply(self, scores: npt.ArrayLike) -> Bools:
        """Which labels are assigned: (n, k) scores → (n, k) booleans.

        Raises `TaskError` where k is not the number of thresholds per label.
        """
        # In float64 whatever came in: a threshold rounded to float32 could cross a score.
        matrix = score_matrix(scores, name="scores", allow_empty=True)
        if self.per_label is None:
            return matrix >= self.global_threshold
        if matrix.shape[1] != len(self.per_label):
            raise TaskError(
                f"scores have {matrix.shape[1]} labels, the thresholds {len(self.per_label)}; "
                "use the thresholds tuned for this model"
            )
        return matrix >= np.array(self.per_label)

    def to_dict(self) -> dict[str, float | list[float] | None]:
        """For JSON; `from_dict` gives the same thresholds back, bit by bit."""
        return {
            "global": self.global_threshold,
            "per_label": None if self.per_label is None else list(self.per_label),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Thresholds:
        """The inverse of `to_dict`.

        Raises `ArtifactError` for missing or unknown keys and for values that are not finite
        numbers.
        """
        if set(values) != {"global", "per_label"}:
            raise ArtifactError(
                f"thresholds have the keys {sorted(values)}; allowed: global, per_label"
            )
        per_label = values["per_label"]
        if per_label is not None and not isinstance(per_label, list | tuple):
            raise ArtifactError(
                f"per_label thresholds are of type {type(per_label).__name__}; allowed: a list of "
                "numbers, or null"
            )
        for value in (values["global"], *(per_label or ())):
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
                raise ArtifactError(
                    f"a threshold of type {type(value).__name__} is not a finite number; save the "
                    "model again"
                )
        return cls(
            float(values["global"]),
            None if per_label is None else tuple(float(value) for value in per_label),
        )


def tune_thresholds(
    gold: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    per_label: bool = False,
    shrinkage: float = 10.0,
    metric: str = "micro_f1",
    unseen_gold: int = 0,
    steady: bool = False,
) -> Thresholds | None:
    """The thresholds that score best on dev notes. Never give test notes to this function.

    Cuts are tried and placed as by `tune_cut`, or found by `steady_cut`. `None` where no note
    has any of the labels, so that there is nothing to tune on.

    Per label, the cut with the label's best F1 is drawn toward the global threshold, because
    the optimum over a handful of positives is mostly noise (Lipton et al. 2014, arXiv
    1402.1892): `w * own + (1 - w) * global` with `w = positives / (positives + shrinkage)`.
    Labels without a positive on dev get the global one.

    Args:
        gold: (n, k) booleans.
        scores: (n, k), probabilities or logits; `apply` must get the same kind.
        per_label: one threshold a label rather than one for all.
        shrinkage: how many positives a label needs for its own optimum to weigh one half; 0
            for no shrinking.
        metric: what the global threshold is best at: `micro_f1`, or `macro_f1` over labels in
            gold or predicted.
        unseen_gold: gold codes on the same notes that have no column. `coding_scores` counts
            them as missed, which moves the optimum of micro F1; macro F1 ignores them here.
        steady: take the mean of the best global thresholds on resamples of the rows, which are
            notes, where there is a better one than giving all labels; of micro F1 alone.

    Raises:
        TaskError: shapes that disagree.
        ConfigError: unknown `metric`, negative `shrinkage` or `unseen_gold`.

    Example:
        >>> gold = np.array([[True, False], [True, False], [False, True]])
        >>> scores = [[0.40, 0.05], [0.35, 0.20], [0.10, 0.30]]
        >>> thresholds = tune_thresholds(gold, scores)
        >>> thresholds
        Thresholds(global_threshold=0.25, per_label=None)
        >>> thresholds.apply(scores).tolist()
        [[True, False], [True, False], [False, True]]
    """
    if metric not in METRICS:
        raise ConfigError(f"metric is {shown_value(metric)}; allowed: {', '.join(METRICS)}")
    if not shrinkage >= 0 or unseen_gold < 0:
        raise ConfigError(
            f"shrinkage is {shrinkage} and unseen_gold {unseen_gold}; allowed: 0 or more for both"
        )
    matrix = score_matrix(scores, name="scores")
    is_gold = bool_matrix(gold, name="gold", shape=matrix.shape)
    positives = is_gold.sum(axis=0)
    shared = None
    if steady and metric == "micro_f1":
        of_note = np.repeat(np.arange(len(matrix)), matrix.shape[1])
        # Which note has them is not known, and makes no difference.
        gold_of_note = is_gold.sum(axis=1) + unseen_gold / max(len(matrix), 1)
        shared = steady_cut(matrix.ravel(), is_gold.ravel(), of_note, gold_of_note)
    if shared is None:
        shared = (
            tune_cut(matrix.ravel(), is_gold.ravel(), missed=unseen_gold)
            if metric == "micro_f1"
            else _best_macro_cut(is_gold, matrix)
        )
    if shared is None:
        return None
    if not per_label:
        return Thresholds(shared)
    own = np.full(matrix.shape[1], shared)
    for label in np.flatnonzero(positives):
        weight = positives[label] / (positives[label] + shrinkage)
        best = tune_cut(matrix[:, label], is_gold[:, label])
        own[label] = weight * (shared if best is None else best) + (1 - weight) * shared
    return Thresholds(shared, tuple(own.tolist()))


def tune_cut(scores: npt.ArrayLike, right: npt.ArrayLike, *, missed: int = 0) -> float | None:
    """The threshold with the best F1 of what scores at least that much; `None` if nothing is right.

    Every cut between two distinct scores is tried (sort once, cumulative sums). The threshold
    lies midway between the cut's neighbours and never on a score: the last digits of a score
    depend on the batch it was computed in, and must not decide. Where taking everything is best
    it lies below the lowest score: halfway to 0, or 1 lower where that is not positive (a
    logit). Among equally good cuts the highest wins: the one that takes least.

    Args:
        scores: (n,), probabilities or logits.
        right: (n,) booleans, which of them are right.
        missed: gold that none of them can find; it counts as missed at any threshold.

    Raises:
        TaskError: shapes that disagree, scores that are not finite.
        ConfigError: negative `missed`.
    """
    if missed < 0:
        raise ConfigError(f"missed is {missed}; allowed: 0 or more")
    column = score_matrix(np.reshape(scores, (-1, 1)), name="scores", allow_empty=True)
    flat = column[:, 0]
    gold = bool_matrix(np.reshape(right, (-1, 1)), name="right", shape=column.shape)[:, 0]
    if not gold.any():
        return None
    order = np.argsort(-flat, kind="stable")
    ranked = flat[order]
    found = np.cumsum(gold[order])
    assigned = np.arange(1, len(ranked) + 1)
    return _threshold_of_best(ranked, 2 * found / (assigned + found[-1] + missed))


def steady_cut(
    scores: npt.ArrayLike, right: npt.ArrayLike, notes: npt.ArrayLike, gold: npt.ArrayLike
) -> float | None:
    """The mean of the thresholds that have the best F1 on resamples of the notes.

    The best threshold of twenty notes is that of their luckiest gap; the mean over resamples
    (bagging: Breiman 1996, doi 10.1007/BF00058655) is steadier. `None`, so that everything is
    taken, unless it is better than that on most of them (`MOST_RESAMPLES`).
    Cuts lie between scores, as those of `tune_cut`. The same notes have the same threshold.

    With 20 dev notes, of 16 draws (mentions of NCBI-disease and BC5CDR, models of 100 abstracts,
    and of all of BC5CDR's; F1 on the test notes by `tune_cut`, by this, by the best there is):
    0.734, 0.733, 0.740; 0.717, 0.719, 0.724; 0.828, 0.830, 0.833. Of a model of ten abstracts
    whose best threshold is none: 0.492, 0.496, 0.498.

    Args:
        scores: (n,), probabilities.
        right: (n,) booleans, which of them are right.
        notes: (n,), the number of each one's note.
        gold: (notes,), how much there is to find in each note.

    Raises:
        TaskError: shapes that disagree, scores that are not finite.

    >>> scores, right = [0.9, 0.8, 0.3, 0.9, 0.7, 0.2], [True, True, False] * 2
    >>> steady_cut(scores, right, notes=[0, 0, 0, 1, 1, 1], gold=[2, 2])
    0.445
    """
    column = score_matrix(np.reshape(scores, (-1, 1)), name="scores", allow_empty=True)
    is_right = bool_matrix(np.reshape(right, (-1, 1)), name="right", shape=column.shape)[:, 0]
    if not is_right.any():
        return None
    every, of_note = np.asarray(gold, dtype=np.float64), np.asarray(notes, dtype=np.int64)
    distinct = np.unique(column[:, 0])
    cuts = np.append(distinct[0] / 2, distinct[:-1] + np.diff(distinct) / 2)
    all_of_them = cuts[:1]
    if len(cuts) > MOST_CUTS:
        # Of codes nearly all scores are near 0, and too many of them to be worth a try.
        first = int(np.searchsorted(cuts, _lowest_worth(column[:, 0], is_right, every.sum())))
        at = np.linspace(min(first, len(cuts) - MOST_CUTS), len(cuts) - 1, MOST_CUTS)
        cuts = cuts[at.round().astype(np.int64)]
    drawn = np.random.default_rng(0).multinomial(
        len(every), np.full(len(every), 1 / len(every)), size=RESAMPLES
    )

    def f1(thresholds: Floats) -> Floats:
        """Shape (resamples, thresholds), which are in order."""
        n = len(thresholds)
        # Each is taken by the thresholds up to the highest that it reaches.
        reached = np.searchsorted(thresholds, column[:, 0], side="right")
        at = of_note * (n + 1) + reached
        taken, found = (
            np.bincount(at, weights=weights, minlength=len(every) * (n + 1))
            .reshape(len(every), n + 1)[:, :0:-1]
            .cumsum(axis=1)[:, ::-1]
            for weights in (np.ones(len(at)), is_right.astype(np.float64))
        )
        of: Floats = drawn @ taken + (drawn @ every)[:, None]
        return np.asarray(2 * (drawn @ found) / np.maximum(of, 1), dtype=np.float64)

    threshold = float(cuts[f1(cuts).argmax(axis=1)].mean())
    with_it, without = f1(np.array([threshold]))[:, 0], f1(all_of_them)[:, 0]
    return threshold if (with_it > without).mean() >= MOST_RESAMPLES else None


def _lowest_worth(scores: Floats, right: npt.NDArray[np.bool_], gold: float) -> float:
    """A score below which no cut is the best one.

    Taking r of them has an F1 of at most 2 gold / (r + gold), so that with more than
    gold (2 / best - 1) it is below the best; of resamples, whose best is another, twice that.
    """
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(right[order])
    best = float((2 * found / (np.arange(1, len(order) + 1) + gold)).max())
    most = min(2 * gold * (2 / best - 1), len(order) - 1)
    return float(scores[order[int(most)]])


def _best_macro_cut(gold: Bools, scores: Floats) -> float | None:
    """As `tune_cut`, of macro F1 over labels in gold or predicted; the arrays are (n, k)."""
    if not gold.any():
        return None
    notes = gold.shape[0]
    order = np.argsort(-scores, axis=0)
    found = np.cumsum(np.take_along_axis(gold, order, axis=0), axis=0)
    assigned = np.arange(1, notes + 1)[:, None]
    f1 = 2 * found / (assigned + found[-1])
    # Going down the scores of all labels together, each step changes one label's F1, and the
    # first step of a label that is not in gold adds that label to the mean.
    gain = np.diff(f1, axis=0, prepend=0.0).ravel()
    joins = np.zeros(gold.shape, dtype=np.int64)
    joins[0] = found[-1] == 0
    by_label = np.take_along_axis(scores, order, axis=0).ravel()
    together = np.argsort(-by_label, kind="stable")
    labels = int((found[-1] > 0).sum()) + np.cumsum(joins.ravel()[together])
    # Sums in another order differ in the last digits; rounding keeps ties ties.
    macro = np.round(np.cumsum(gain[together]) / labels, 12)
    return _threshold_of_best(by_label[together], macro)


def _threshold_of_best(ranked: Floats, quality: Floats) -> float:
    """Threshold that assigns the scores of the best prefix of `ranked` (descending).

    Only prefixes that don't part equal scores can be had with a threshold.
    """
    is_cut = np.append(ranked[1:] < ranked[:-1], True)
    best = int(np.argmax(np.where(is_cut, quality, -1.0)))
    lowest_assigned = float(ranked[best])
    if best + 1 == len(ranked):
        return lowest_assigned / 2 if lowest_assigned > 0 else lowest_assigned - 1
    highest_left = float(ranked[best + 1])
    midway = highest_left + (lowest_assigned - highest_left) / 2
    # Between neighbouring floats there is no midway: rounding may give the lower one.
    return midway if highest_left < midway <= lowest_assigned else lowest_assigned
