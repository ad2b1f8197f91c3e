"""Confidence intervals by resampling patients: the one bootstrap of the package.

Percentile intervals of a cluster bootstrap (Efron & Tibshirani 1993, ch. 13; Davison & Hinkley
1997, ch. 3), put around the figure itself: a resample has fewer distinct patients than the
notes, about 63 %, so figures that are not means (macro F1 over rare labels) lie off the value
on all of them, and the plain percentiles could exclude it. What is taken from the resamples is
how far they spread around their own mean. Whether a difference is one is asked more carefully.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clinical_tl.errors import ConfigError, TaskError, shown_value
from clinical_tl.metrics.matrix import Floats, Ints

_CHUNK = 200

Statistic = Callable[[Ints], float | None]


@dataclass(frozen=True)
class Interval:
    """A figure and the interval around it.

    `undefined` counts the resamples on which the statistic was undefined (such as AUROC with
    one class); they are left out of the percentiles.
    """

    low: float
    high: float
    estimate: float
    undefined: int = 0

    def summary(self) -> dict[str, float]:
        """Name → value."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}


def bootstrap_interval(
    statistic: Statistic,
    n_units: int,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The interval of a statistic of notes.

    Patients are drawn with replacement, each with all of its notes: notes of one patient are
    alike, and drawing them one by one would make the interval too narrow.

    Args:
        statistic: gets an integer array of note positions (in order, with repeats, of varying
            length where patients differ in their number of notes) and gives the figure for
            those notes; `None` or NaN where undefined.
        n_units: number of notes.
        groups: the patient of each note; `None` for a note stands for a patient of its own,
            `None` for all means that every note is.
        resamples: how many times to draw.
        confidence: share of the resamples that the interval covers, in (0, 1).
        seed: the same seed gives the same interval.

    Raises:
        TaskError: no notes, a number of groups other than `n_units`, a statistic that is
            undefined on the notes themselves or on every resample.
        ConfigError: `resamples` below 1, `confidence` outside (0, 1) or `seed` below 0.

    Example:
        >>> right = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 1])
        >>> patient = ["a", "a", "b", "b", "c", "d", "d", "e", "f", "g"]
        >>> found = bootstrap_interval(lambda notes: right[notes].mean(), 10, groups=patient)
        >>> {name: round(value, 2) for name, value in found.summary().items()}
        {'estimate': 0.8, 'low': 0.63, 'high': 0.99}
    """
    check_resampling(resamples, confidence, seed)
    if n_units < 1 or (groups is not None and len(groups) != n_units):
        raise TaskError(
            f"{n_units} notes and {'no' if groups is None else len(groups)} groups; allowed: at "
            "least one note, and one group for each or none at all"
        )
    estimate = _value(statistic(np.arange(n_units)))
    if np.isnan(estimate):
        raise TaskError(
            f"the statistic is undefined on all {n_units} notes together, so it has no interval"
        )
    patients = number_patients([None] * n_units if groups is None else groups)
    values = [
        _value(statistic(np.repeat(np.arange(n_units), times)))
        for weights in resample(patients, resamples, seed)
        for times in weights
    ]
    found = interval_around(estimate, np.array(values), confidence)
    if found is None:
        raise TaskError(
            f"the statistic is undefined on each of the {resamples} resamples; "
            f"{max(patients) + 1} patients are too few for an interval"
        )
    return found


def check_resampling(resamples: int, confidence: float, seed: int) -> None:
    """Raise `ConfigError` for `resamples` below 1, `confidence` outside (0, 1), `seed` below 0.

    And for numbers of resamples or seeds that are not whole.
    """
    is_whole = hasattr(resamples, "__index__") and hasattr(seed, "__index__")
    if not is_whole or resamples < 1 or seed < 0 or not 0 < confidence < 1:
        raise ConfigError(
            f"resamples is {shown_value(resamples)}, confidence {confidence} and seed "
            f"{shown_value(seed)}; allowed: a whole number from 1 on, above 0 but below 1, and a "
            "whole number from 0 on"
        )


def number_patients(groups: Sequence[Hashable]) -> list[int]:
    """The number of each note's patient, in order of appearance; `None` is one of its own."""
    numbers: dict[tuple[str, Hashable], int] = {}
    return [
        numbers.setdefault(("alone", note) if group is None else ("group", group), len(numbers))
        for note, group in enumerate(groups)
    ]


def resample(patients: Sequence[int], resamples: int, seed: int) -> Iterator[Ints]:
    """How often each note occurs in each resample of the patients, shape (up to 200, notes).

    `patients` are the notes' patients' numbers. In parts, as all of them may not fit.
    """
    n = max(patients) + 1
    random = np.random.default_rng(seed)
    for first in range(0, resamples, _CHUNK):
        drawn = random.integers(n, size=(min(_CHUNK, resamples - first), n))
        times = np.apply_along_axis(np.bincount, 1, drawn, minlength=n)
        yield times[:, list(patients)]


def interval_around(
    value: float, resampled: Floats, confidence: float, *, difference: bool = False
) -> Interval | None:
    """The interval of a figure from its values on resamples (NaN where undefined).

    The percentiles of the defined ones, moved so that their mean is the value; never beyond
    what a resample reached, and never without the value. `None` where no resample has one.

    Of a `difference` it has the percentiles as they are, too. Resamples without the one note
    that two models say otherwise have a difference of 0, and to move them would move 0 out of
    the interval: of two equally good models, by macro F1 on 40 notes with four rare labels, in
    40 % of simulated test sets, where 4 % are left (5 % are promised).
    """
    defined = resampled[~np.isnan(resampled)]
    if not defined.size:
        return None
    tail = (1 - confidence) / 2
    plain = np.quantile(defined, [tail, 1 - tail])
    reached = min(value, float(defined.min())), max(value, float(defined.max()))
    low, high = np.clip(plain + (value - defined.mean()), *reached).tolist()
    if difference:
        low, high = min(low, float(plain[0])), max(high, float(plain[1]))
    return Interval(
        min(low, value), max(high, value), value, undefined=len(resampled) - defined.size
    )


def _value(figure: float | None) -> float:
    return float("nan") if figure is None else float(figure)
