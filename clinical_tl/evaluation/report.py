"""`EvaluationReport`: what an evaluation found, as tables, JSON, a page and a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import ConfigError, shown_path
from clinical_tl.evaluation.acceptance import Acceptance
from clinical_tl.evaluation.confusions import Confusions
from clinical_tl.evaluation.estimates import Estimate
from clinical_tl.evaluation.mention_errors import MentionErrors
from clinical_tl.evaluation.page import report_page
from clinical_tl.evaluation.plots import shown_plots
from clinical_tl.evaluation.provenance import EvaluatedModel, Provenance
from clinical_tl.evaluation.reliability import Calibration
from clinical_tl.evaluation.score_curves import ScoreCurves
from clinical_tl.evaluation.subgroups import FEWEST_PATIENTS, Gap, SubgroupScore
from clinical_tl.metrics.label_plot import draw_labels
from clinical_tl.saved.artifact import REPORT_FILE, TASK_FILE
from clinical_tl.saved.evaluations import LEAKAGE, leaks_of
from clinical_tl.saved.saved_report import card_report
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replace_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = 1
PAGE_FILE = "report.html"


@dataclass(frozen=True)
class Comparison:
    """Another model on the same notes, and how far this one is above it.

    `scores` are the other's. `differences` are this model's scores minus those, each with the
    interval of a paired bootstrap (Koehn 2004, "Statistical significance tests for machine
    translation evaluation"): both are scored on the same resamples of the patients, so what is
    hard for both cancels out, and models can be told apart whose own intervals overlap. Where 0
    lies outside, they differ on notes like these. `leakage` is what the notes share with the
    other's training notes; `None` where that was not checked. `model` is the other.
    """

    scores: Mapping[str, float]
    differences: Mapping[str, Estimate]
    leakage: Mapping[str, Any] | None = None
    model: EvaluatedModel | None = None


@dataclass(frozen=True, repr=False)
class EvaluationReport(Tabular):
    """What an evaluation found on one set of notes; figures and names of labels, no text.

    `scores` are all of the task's, `intervals` those of them that add up over notes (counts
    and means; not AUROC, MCC or overlap), `metric` the one that subgroups are compared by.
    `leakage` is what the notes share with the training notes, in counts (`seen_notes.Leak`);
    `None` where that was not checked. `comparison` is with another model, if one was given.
    `labels` has one row a label (`label_rows`), `unused` counts the model's labels that are
    neither in gold nor predicted. `confusions` are of tasks with one label a note, `mentions` of
    those that find mentions. `acceptance` says what can be accepted from which confidence on, and
    what is left to a human (`report.acceptance.to_pandas()`). `model` and `provenance` say what
    the report is of.
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
    unused: int = 0
    confusions: Confusions | None = None
    mentions: MentionErrors | None = None
    curves: ScoreCurves | None = None
    acceptance: Acceptance | None = None
    model: EvaluatedModel | None = None
    provenance: Provenance | None = None

    @property
    def title(self) -> str:
        """What was evaluated on what."""
        return f"{self.kind.replace('_', ' ').capitalize()}: {self.name} notes"

    @property
    def leaks(self) -> tuple[str, ...]:
        """A sentence where the notes share patients or texts with the training notes."""
        told = {self.name: self.scores, LEAKAGE: {self.name: self.leakage}}
        return tuple(leaks_of(told).values())

    @property
    def decided(self) -> tuple[float, float] | None:
        """Recall and precision of everything that was decided, all labels together."""
        right, wrong, missed = (sum(r[key] for r in self.labels) for key in ("tp", "fp", "fn"))
        if not right + missed or not right + wrong:
            return None
        return right / (right + missed), right / (right + wrong)

    @property
    def about_intervals(self) -> str:
        """Which they are, and whether there are patients enough for them."""
        if self.patients == 1:
            return "no intervals, which would need notes of several patients"
        of = f"intervals of {100 * self.confidence:g} %"
        return of if self.patients >= FEWEST_PATIENTS else f"{of}, too narrow for so few patients"

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
        yield f"{of}; {self.about_intervals}"
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
        differences, others = self.comparison.differences, self.comparison.scores
        rows = []
        for name in differences or (name for name in others if name in self.scores):
            value, other, found = self.scores[name], others[name], differences.get(name)
            limits = {} if found is None else {"low": found.low, "high": found.high}
            told = {"metric": name, "value": value, "other": other, "difference": value - other}
            rows.append({**told, **limits})
        return Table(rows)

    def to_dict(self) -> dict[str, Any]:
        """For `report.json`."""
        return {"format": FORMAT, **asdict(self)}

    def for_card(self) -> dict[str, Any]:
        """What `write_card(..., report=...)` takes."""
        return card_report(self.to_dict())

    def save(self, path: str | Path) -> Path:
        """Write the report: as a page (`….html`), as JSON (`….json`), or as both into a folder.

        Into a saved model's folder goes `report.json` alone, which its card reads: a page is no
        part of a model that is shared. Returns the file; of both the JSON.

        Raises `ConfigError` for another ending.
        """
        place = as_path(path)
        ending = place.suffix.lower()
        if place.is_dir() or not ending:
            if not (place / TASK_FILE).is_file():
                replace_text(place / PAGE_FILE, report_page(self))
            return self.save(place / REPORT_FILE)
        if ending == ".html":
            return replace_text(place, report_page(self))
        if ending == ".json":
            text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
            return replace_text(place, text + "\n")
        raise ConfigError(
            f"{shown_path(path)}: a report is written as .html or .json; give such a name, or a "
            "folder for both"
        )

    def plot(self) -> Figure:
        """Each label's F1 with its interval, precision and recall, as a matplotlib figure.

        Raises `MissingExtraError` without matplotlib (extra `[plots]`).
        """
        return draw_labels(self.labels, title=self.title)

    def _repr_html_(self) -> str:
        """The tables of `glance`, and the plots of the page."""
        return f"{super()._repr_html_()}\n{shown_plots(self)}"
