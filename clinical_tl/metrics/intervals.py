"""Confidence intervals by resampling patients."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.metrics.matrix import Ints

Statistic = Callable[[Ints], float | None]


@dataclass(frozen=True)
class Interval:
    """A figure and the percentile interval around it.

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
    """Percentile bootstrap interval of a statistic of notes (Efron & Tibshirani 1993, ch. 13).

    Patients are drawn with replacement, each with all of its notes: notes of one patient are
    alike, and drawing them one by one would make the interval too narrow (cluster bootstrap;
    Davison & Hinkley 1997, ch. 3).

    Args:
        statistic: gets an integer array of note positions (with repeats, of varying length
            where patients differ in their number of notes) and gives the figure for those
            notes; `None` or NaN where undefined.
        n_units: number of notes.
        groups: the patient of each note; `None` for a note stands for a patient of its own,
            `None` for all means that every note is.
        resamples: how many times to draw.
        confidence: share of the resamples that the interval covers, in (0, 1).
        seed: the same seed gives the same interval.

    Raises:
        TaskError: no notes, a number of groups other than `n_units`, a statistic that is
            undefined on the notes themselves or on every resample.
        ConfigError: `resamples` below 1 or `confidence` outside (0, 1).
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise ConfigError(
            f"resamples is {resamples} and confidence {confidence}; allowed: at least 1, and "
            "above 0 but below 1"
        )
    if n_units < 1 or (groups is not None and len(groups) != n_units):
        raise TaskError(
            f"{n_units} notes and {'no' if groups is None else len(groups)} groups; allowed: at "
            "least one note, and one group for each or none at all"
        )
    members = _members(n_units, groups)
    estimate = _value(statistic(np.arange(n_units)))
    if np.isnan(estimate):
        raise TaskError(
            f"the statistic is undefined on all {n_units} notes together, so it has no interval"
        )
    random = np.random.default_rng(seed)
    values = np.empty(resamples)
    for i in range(resamples):
        drawn = random.integers(len(members), size=len(members))
        values[i] = _value(statistic(np.concatenate([members[group] for group in drawn])))
    defined = values[~np.isnan(values)]
    if not defined.size:
        raise TaskError(
            f"the statistic is undefined on each of the {resamples} resamples; {len(members)} "
            "patients are too few for an interval"
        )
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]).tolist()
    return Interval(low, high, estimate, undefined=resamples - defined.size)


def paired_bootstrap(
    statistic_a: Statistic,
    statistic_b: Statistic,
    n_units: int,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the difference a - b, both computed on the same resamples.

    What two models share (hard patients are hard for both) cancels out, so this can tell them
    apart where their separate intervals overlap. Arguments and errors as in
    `bootstrap_interval`.
    """

    def difference(notes: Ints) -> float:
        return _value(statistic_a(notes)) - _value(statistic_b(notes))

    return bootstrap_interval(
        difference,
        n_units,
        groups=groups,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )


def _members(n_units: int, groups: Sequence[Hashable] | None) -> list[Ints]:
    """The notes of each patient, patients in order of appearance."""
    if groups is None:
        return list(np.arange(n_units)[:, None])
    notes: dict[Hashable, list[int]] = {}
    for note, group in enumerate(groups):
        notes.setdefault(("alone", note) if group is None else ("group", group), []).append(note)
    return [np.array(own) for own in notes.values()]


def _value(figure: float | None) -> float:
    return float("nan") if figure is None else float(figure)
