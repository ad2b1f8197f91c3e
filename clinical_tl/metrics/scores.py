"""`Scores`: what every evaluation gives, as figures, as a table of labels and as JSON values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from clinical_tl.display.table import Table, Tabular
from clinical_tl.metrics.label_plot import draw_labels, draw_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Scores(Tabular):
    """A dataclass of figures; at a glance its summary, as a table one row a label.

    >>> from clinical_tl.metrics.classification import classification_scores
    >>> gold = ["ward", "ward", "icu", "icu"]
    >>> scores = classification_scores(gold, ["ward", "ward", "icu", "ward"], ["icu", "ward"])
    >>> scores
    ClassificationScores
    metric        value
    ------------  -----
    accuracy      0.750
    macro_f1      0.733
    weighted_f1   0.733
    mcc           0.577
    notes             4
    unknown_gold      0
    undecided         0
    >>> scores.table()
    label  tp  fp  fn  precision  recall     f1  support
    -----  --  --  --  ---------  ------  -----  -------
    icu     1   0   1      1.000   0.500  0.667        2
    ward    2   1   0      0.667   1.000  0.800        2
    """

    def summary(self) -> dict[str, float]:
        """Metric name → value."""
        raise NotImplementedError

    def table(self) -> Table:
        """One row a label (class, code or type), or a metric where no labels are scored."""
        labels = getattr(self, "per_label", None)
        if labels is None:
            return self._metrics()
        return Table((score.row() for score in labels), names=("label",))

    def glance(self) -> Iterable[str | Table]:
        """The summary."""
        return type(self).__name__, self._metrics()

    def plot(self) -> Figure:
        """F1, precision and recall by label, as a matplotlib figure; metrics where none are.

        A report's `plot()` has intervals as well.

        Raises `MissingExtraError` without matplotlib (extra `[plots]`).
        """
        title = type(self).__name__
        labels = getattr(self, "per_label", None)
        if labels:
            return draw_labels([score.row() for score in labels], title=title)
        metrics = {n: v for n, v in self.summary().items() if isinstance(v, float)}
        return draw_metrics(metrics, title=title)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values, labels with their precision, recall and F1."""
        return {name: _plain(value) for name, value in _values(self).items()}

    def _metrics(self) -> Table:
        return Table({"metric": name, "value": value} for name, value in self.summary().items())


def _values(record: Any) -> dict[str, Any]:  # noqa: ANN401  (any dataclass)
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _plain(value: Any) -> Any:  # noqa: ANN401  (whatever scores hold)
    if hasattr(value, "row"):
        return value.row()
    if is_dataclass(value):
        return {name: _plain(part) for name, part in _values(value).items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
