"""Figures with the interval around them, from one bootstrap over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.metrics.intervals import interval_around, resample

if TYPE_CHECKING:
    from clinical_tl.metrics.matrix import Floats, Ints
    from clinical_tl.metrics.note_counts import NoteCounts


@dataclass(frozen=True)
class Estimate:
    """A score and the percentile interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """The resamples of the notes' patients, drawn anew (the same ones) for each use."""

    patients: Sequence[int]
    resamples: int
    confidence: float
    seed: int

    def figures(self, counts: NoteCounts, notes: Sequence[int]) -> dict[str, Floats]:
        """Metric → its value on each resample, of some notes (positions) as if no others were."""
        own, rows = counts.of(notes), list(notes)
        parts = [
            own.figures(weights[:, rows].astype(np.float64))
            for weights in resample(self.patients, self.resamples, self.seed)
        ]
        return {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}

    def estimates(self, counts: NoteCounts, notes: Sequence[int]) -> dict[str, Estimate]:
        """Metric → its value on some notes, with the interval; undefined ones left out."""
        drawn, n_patients = self.figures(counts, notes), self._patients_of(notes)
        found = {
            metric: self._of_a_share(float(value[0]), drawn[metric], n_patients)
            for metric, value in counts.of(notes).figures(np.ones((1, len(notes)))).items()
        }
        return {metric: estimate for metric, estimate in found.items() if estimate is not None}

    def differences(self, counts: NoteCounts, others: NoteCounts) -> dict[str, Estimate]:
        """Metric → the first minus the second on the same resamples, with the interval of that."""
        every = range(len(counts))
        ones = np.ones((1, len(counts)))
        value, other = counts.figures(ones), others.figures(ones)
        drawn, drawn_others = self.figures(counts, every), self.figures(others, every)
        found = {
            metric: self.around(
                float(value[metric][0] - other[metric][0]),
                drawn[metric] - drawn_others[metric],
                difference=True,
            )
            for metric in value
            if metric in other
        }
        return {metric: estimate for metric, estimate in found.items() if estimate is not None}

    def labels(self, counts: NoteCounts) -> dict[str, Estimate]:
        """Label → its F1 with the interval; resamples with nothing of the label are left out.

        And labels of which one patient alone has anything.
        """
        value = counts.label_f1(np.ones((1, len(counts))))[0]
        # Single precision: of thousands of codes a thousand resamples are many numbers.
        drawn = np.concatenate(
            [
                counts.label_f1(weights.astype(np.float64)).astype(np.float32)
                for weights in resample(self.patients, self.resamples, self.seed)
            ]
        )
        notes, places, _ = counts.entries()
        owners = np.unique(np.stack([places, np.asarray(self.patients)[notes]]), axis=1)[0]
        n_patients = np.bincount(owners, minlength=len(counts.labels)).tolist()
        found = {
            label: self._of_a_share(float(value[i]), drawn[:, i].astype(np.float64), n_patients[i])
            for i, label in enumerate(counts.labels)
            if n_patients[i] > 1
        }
        return {label: estimate for label, estimate in found.items() if estimate is not None}

    def ratio(self, part: Floats, whole: Floats) -> Estimate | None:
        """The share that one count of the notes has of another, both of shape (notes,).

        Of one patient it may be anything.
        """
        total = float(whole.sum())
        if not total:
            return None
        share, n_patients = float(part.sum()) / total, self._patients_of(np.flatnonzero(whole))
        if n_patients == 1:
            return Estimate(share, 0.0, 1.0)
        drawn = np.concatenate(
            [
                np.divide(w @ part, w @ whole, out=np.full(len(w), np.nan), where=w @ whole > 0)
                for w in (
                    weights.astype(np.float64)
                    for weights in resample(self.patients, self.resamples, self.seed)
                )
            ]
        )
        return self._of_a_share(share, drawn, n_patients)

    def around(self, value: float, drawn: Floats, *, difference: bool = False) -> Estimate | None:
        """The interval of a value from what it is on the resamples; `None` where it has none."""
        interval = interval_around(value, drawn, self.confidence, difference=difference)
        if interval is None or not np.isfinite(value):
            return None
        return Estimate(value, interval.low, interval.high)

    def _of_a_share(self, value: float, drawn: Floats, n_patients: int) -> Estimate | None:
        """As `around`; of nothing or all, of which resamples are alike, by that many patients.

        No width would pass for certainty. The interval is the exact one of so many patients of
        whom none, or each, is right (Clopper & Pearson 1934, Biometrika 26).
        """
        if value in (0.0, 1.0) and (np.isnan(drawn) | (drawn == value)).all():
            from scipy.stats import binomtest

            exact = binomtest(int(value) * n_patients, n_patients)
            low, high = exact.proportion_ci(self.confidence)
            return Estimate(value, float(low), float(high))
        return self.around(value, drawn)

    def _patients_of(self, notes: Sequence[int] | Ints) -> int:
        return len({self.patients[note] for note in np.asarray(notes).tolist()})
