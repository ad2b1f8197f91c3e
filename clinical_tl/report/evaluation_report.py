"""What an evaluation found, as records, tables and `report.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clinical_tl.artifact import REPORT_FILE
from clinical_tl.card.report import card_report
from clinical_tl.metrics_record import LEAKAGE, leaks_of
from clinical_tl.paths import as_path
from clinical_tl.replacement import replace_text
from clinical_tl.report.confidence import Calibration
from clinical_tl.table import Table, Tabular

FORMAT = 1


@dataclass(frozen=True)
class Estimate:
    """A score and the percentile interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SubgroupScore:
    """A group's headline score; no figures (`None`) for a group of fewer than ten patients.

    `score` is what `evaluate` gives for the group's notes, over all labels that these have.
    `shared` is the same over those labels alone that every group of the field has in gold: what
    groups can be compared by. It is `None` where there are none, and for a group without gold.
    """

    field: str
    group: str
    notes: int | None
    patients: int | None
    score: Estimate | None
    shared: Estimate | None = None


@dataclass(frozen=True)
class Gap:
    """The distance between the groups with the highest and the lowest score on shared labels.

    On labels that one group has and another lacks a difference would be one of the labels and
    not of the groups: the gap is over the `labels` that all groups have in gold, of the
    `of_labels` that some have. Where they share none there is no `difference`, and no pair. The
    pair was chosen by the scores, so the interval leans towards a gap: read it as a reason to
    look, not as a test.
    """

    field: str
    highest: str | None
    lowest: str | None
    difference: Estimate | None
    labels: int
    of_labels: int


@dataclass(frozen=True)
class Comparison:
    """Another model on the same notes, and how far this one is above it.

    `scores` are the other's. `differences` are this model's scores minus those, each with the
    interval of a paired bootstrap (Koehn 2004, "Statistical significance tests for machine
    translation evaluation"): both are scored on the same resamples of the patients, so what is
    hard for both cancels out, and models can be told apart whose own intervals overlap. Where 0
    lies outside, they differ on notes like these. `leakage` is what the notes share with the
    other's training notes; `None` where that was not checked.
    """

    scores: Mapping[str, float]
    differences: Mapping[str, Estimate]
    leakage: Mapping[str, Any] | None = None


@dataclass(frozen=True, repr=False)
class EvaluationReport(Tabular):
    """What an evaluation found on one set of notes; figures and names of labels, no text.

    `scores` are all of the task's, `intervals` those of them that add up over notes (counts
    and means; not AUROC, MCC or overlap), `metric` the one that subgroups are compared by.
    `leakage` is what the notes share with the training notes, in counts (`seen_notes.Leak`);
    `None` where that was not checked. `comparison` is with another model, if one was given.
    """

    kind: str
    name: str
    notes: int
    patients: int
    metric: str
    scores: Mapping[str, float]
    intervals: Mapping[str, Estimate]
    resamples: int
    confidence: float
    seed: int
    subgroups: tuple[SubgroupScore, ...] = ()
    gaps: tuple[Gap, ...] = ()
    calibration: Calibration | None = None
    labels: tuple[Mapping[str, Any], ...] = ()
    leakage: Mapping[str, Any] | None = None
    comparison: Comparison | None = None

    @property
    def title(self) -> str:
        """What was evaluated on what."""
        return f"{self.kind.replace('_', ' ').capitalize()}: {self.name} notes"

    @property
    def leaks(self) -> tuple[str, ...]:
        """A sentence where the notes share patients or texts with the training notes."""
        told = {self.name: self.scores, LEAKAGE: {self.name: self.leakage}}
        return tuple(leaks_of(told).values())

    def table(self) -> Table:
        """One row a score, with its interval where it has one."""
        rows = []
        for name, value in self.scores.items():
            interval = self.intervals.get(name)
            limits = {"low": interval.low, "high": interval.high} if interval else {}
            rows.append({"metric": name, "value": value, **limits})
        return Table(rows)

    def subgroup_table(self) -> Table:
        """One row a group, then one a gap."""
        return Table(self.for_card()["subgroups"])

    def glance(self) -> Iterator[str | Table]:
        """The notes, what they share with training, scores, groups of patients, calibration."""
        yield self.title
        of = f"{self.notes} notes of {self.patients} patients"
        yield f"{of}; intervals of {100 * self.confidence:g} %"
        yield from self.leaks
        yield self.table()
        if self.subgroups:
            yield self.subgroup_table()
        if self.calibration is not None:
            yield f"calibration of {self.calibration.of}:"
            yield self.calibration.table()
        if self.comparison is not None:
            yield "compared with another model:"
            yield self.comparison_table()

    def comparison_table(self) -> Table:
        """One row a score that was compared: this model's, the other's, and the difference."""
        if self.comparison is None:
            return Table([])
        rows = [
            {
                "metric": name,
                "value": self.scores[name],
                "other": self.comparison.scores[name],
                "difference": found.value,
                "low": found.low,
                "high": found.high,
            }
            for name, found in self.comparison.differences.items()
        ]
        return Table(rows)

    def to_dict(self) -> dict[str, Any]:
        """For `report.json`."""
        return {"format": FORMAT, **asdict(self)}

    def for_card(self) -> dict[str, Any]:
        """What `write_card(..., report=...)` takes."""
        return card_report(self.to_dict())

    def save(self, folder: str | Path) -> Path:
        """Write `report.json` into a folder, such as the saved model's; returns the file."""
        file = as_path(folder) / REPORT_FILE
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        return replace_text(file, text + "\n")
