"""Figures with the interval around them, from one bootstrap over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.metrics.intervals import interval_around, resample

if TYPE_CHECKING:
    from clinical_tl.metrics.matrix import Floats
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
        drawn = self.figures(counts, notes)
        found = {
            metric: self.around(float(value[0]), drawn[metric])
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
        """Label → its F1 with the interval; resamples with nothing of the label are left out."""
        value = counts.label_f1(np.ones((1, len(counts))))[0]
        # Single precision: of thousands of codes a thousand resamples are many numbers.
        drawn = np.concatenate(
            [
                counts.label_f1(weights.astype(np.float64)).astype(np.float32)
                for weights in resample(self.patients, self.resamples, self.seed)
            ]
        )
        found = {
            label: self.around(float(value[i]), drawn[:, i].astype(np.float64))
            for i, label in enumerate(counts.labels)
        }
        return {label: estimate for label, estimate in found.items() if estimate is not None}

    def ratio(self, part: Floats, whole: Floats) -> Estimate | None:
        """The share that one count of the notes has of another, both of shape (notes,).

        Of nothing or all of it, and of one patient, resamples are alike, which would pass for
        certainty. The interval then is the exact one (Clopper & Pearson 1934, Biometrika 26) of so
        many patients alike, and of one patient anything.
        """
        total = float(whole.sum())
        if not total:
            return None
        share = float(part.sum()) / total
        n_patients = len({self.patients[note] for note in np.flatnonzero(whole).tolist()})
        if n_patients == 1:
            return Estimate(share, 0.0, 1.0)
        if share in (0.0, 1.0):
            from scipy.stats import binomtest

            exact = binomtest(int(share) * n_patients, n_patients)
            low, high = exact.proportion_ci(self.confidence)
            return Estimate(share, float(low), float(high))
        drawn = np.concatenate(
            [
                np.divide(w @ part, w @ whole, out=np.full(len(w), np.nan), where=w @ whole > 0)
                for w in (
                    weights.astype(np.float64)
                    for weights in resample(self.patients, self.resamples, self.seed)
                )
            ]
        )
        return self.around(share, drawn)

    def around(self, value: float, drawn: Floats, *, difference: bool = False) -> Estimate | None:
        """The interval of a value from what it is on the resamples; `None` where it has none."""
        interval = interval_around(value, drawn, self.confidence, difference=difference)
        if interval is None or not np.isfinite(value):
            return None
        return Estimate(value, interval.low, interval.high)
