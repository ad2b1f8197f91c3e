"""What each note adds to the scores, so that any weighting of the notes can be scored at once.

F1 and its relatives are functions of counts that add up over notes; ranking metrics are means
over notes. A thousand resamples are then one matrix product, not a thousand evaluations.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.metrics.label_score import NoteLabels
from clinical_tl.metrics.matrix import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MICRO_AND_MACRO = {
    "f1": "micro_f1",
    "precision": "micro_precision",
    "recall": "micro_recall",
    "macro_f1": "macro_f1",
}
"""Metric of tasks that find things in notes → the average (`metrics.label_score`) that it is."""


@dataclass(frozen=True)
class NoteCounts:
    """Counts and means of n notes.

    `tp`, `fp`, `fn` are (n, labels) sparse counts of the labels in gold or predicted; `averages`
    has metric → the average of these counts that it is, `means` metric → (n,), NaN for a note
    on which it is undefined. `labels` names the columns, where they are known.
    """

    tp: csr_array
    fp: csr_array
    fn: csr_array
    averages: Mapping[str, str]
    means: Mapping[str, Floats] = field(default_factory=dict)
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.tp.shape[0])

    def of(self, notes: Sequence[int]) -> NoteCounts:
        """The counts of some notes (positions), as if there were no others."""
        rows = list(notes)
        return replace(
            self,
            tp=self.tp[rows],
            fp=self.fp[rows],
            fn=self.fn[rows],
            means={metric: values[rows] for metric, values in self.means.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[NoteCounts]) -> NoteCounts:
        """The counts of several sets of notes one after the other, of the same averages and means.

        Columns are brought together by the labels' names, and by their places where they have none.
        """
        columns: dict[str | int, int] = {}
        for part in parts:
            for name in part.columns:
                columns.setdefault(name, len(columns))
        names = [name for name in columns if isinstance(name, str)]
        rows, places, counts, before = [], [], [], 0
        for part in parts:
            own_rows, own_places, own = part.entries()
            of_part = np.array([columns[name] for name in part.columns], dtype=np.int64)
            rows.append(own_rows + before)
            places.append(of_part[own_places])
            counts.append(own)
            before += len(part)
        return counts_at(
            np.concatenate(rows),
            np.concatenate(places),
            np.concatenate(counts),
            (before, len(columns)),
            parts[0].averages,
            {
                metric: np.concatenate([part.means[metric] for part in parts])
                for metric in parts[0].means
            },
            labels=names if len(names) == len(columns) else (),
        )

    @property
    def columns(self) -> tuple[str | int, ...]:
        """What the columns are called: the labels, or where they have no names, their numbers."""
        return self.labels or tuple(range(self.tp.shape[1]))

    def entries(self) -> tuple[Ints, Ints, Floats]:
        """Rows and columns, (m,), where something is counted, and what: tp, fp, fn, (m, 3)."""
        width = self.tp.shape[1]
        sides = [side.tocoo() for side in (self.tp, self.fp, self.fn)]
        keys = [side.row.astype(np.int64) * width + side.col for side in sides]
        every = np.unique(np.concatenate(keys))
        counts = np.zeros((len(every), len(sides)))
        for column, (side, own) in enumerate(zip(sides, keys, strict=True)):
            counts[np.searchsorted(every, own), column] = side.data
        return every // width, every % width, counts

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        rows, places, counts = self.entries()
        return {
            "notes": len(self),
            "columns": self.tp.shape[1],
            "labels": list(self.labels),
            "averages": dict(self.averages),
            "rows": rows.tolist(),
            "places": places.tolist(),
            "counts": counts.tolist(),
            "means": {
                metric: [None if np.isnan(value) else value for value in values.tolist()]
                for metric, values in self.means.items()
            },
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> NoteCounts:
        """The inverse of `to_dict`. Raises `KeyError` or `ValueError` for what it did not give."""
        return counts_at(
            row["rows"],
            row["places"],
            np.array(row["counts"], dtype=np.float64).reshape(-1, 3),
            (row["notes"], row["columns"]),
            row["averages"],
            {metric: np.array(values, dtype=np.float64) for metric, values in row["means"].items()},
            labels=row["labels"],
        )

    def figures(self, weights: Floats) -> dict[str, Floats]:
        """Metric → its value under each weighting, shape (r,); NaN where no note counts.

        `weights`, shape (r, n), says how often each note occurs: one row of ones gives the
        scores that the task's own `evaluate` gives. Macro averages are over the same labels
        under every weighting, those that these notes have in gold or predicted: a label of
        which the notes drawn have nothing counts 0, as a ratio of nothing does everywhere.
        Over the labels that happen to be drawn, rare and missed ones would come and go, and
        every resample score higher than the notes themselves.
        """
        ones = np.ones((1, len(self)))
        in_gold = (ones @ (self.tp + self.fn))[0] > 0
        present = in_gold | ((ones @ self.fp)[0] > 0)
        counted = weights.sum(axis=1) > 0
        averages = _averages(
            *((weights @ side) for side in (self.tp, self.fp, self.fn)),
            present=int(present.sum()),
            in_gold=in_gold,
        )
        found = {
            metric: np.where(counted, averages[average], np.nan)
            for metric, average in self.averages.items()
        }
        for metric, values in self.means.items():
            defined = ~np.isnan(values)
            total = weights @ np.where(defined, values, 0.0)
            n = weights @ defined.astype(np.float64)
            found[metric] = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
        return found

    def label_f1(self, weights: Floats) -> Floats:
        """Each label's F1 under each weighting, shape (r, labels); NaN where nothing is of it."""
        tp, wrong = weights @ self.tp, weights @ (self.fp + self.fn)
        whole = 2 * tp + wrong
        f1: Floats = np.divide(2 * tp, whole, out=np.full_like(whole, np.nan), where=whole > 0)
        return f1


def count_labels(
    notes: Sequence[NoteLabels],
    averages: Mapping[str, str],
    *,
    labels: Collection[str] | None = None,
) -> NoteCounts:
    """The counts of notes, of `labels` alone where they are given."""
    columns: dict[str, int] = {}
    rows: list[int] = []
    places: list[int] = []
    counts: list[tuple[int, int, int]] = []
    for row, (found, in_gold, in_predicted) in enumerate(notes):
        for label in in_gold | in_predicted:
            if labels is not None and label not in labels:
                continue
            right = found[label]
            rows.append(row)
            places.append(columns.setdefault(label, len(columns)))
            counts.append((right, in_predicted[label] - right, in_gold[label] - right))
    return counts_at(
        rows,
        places,
        np.array(counts, dtype=np.float64).reshape(-1, 3),
        (len(notes), max(len(columns), 1)),
        averages,
        labels=tuple(columns),
    )


def counts_at(
    rows: Sequence[int] | Ints,
    places: Sequence[int] | Ints,
    counts: Floats,
    shape: tuple[int, int],
    averages: Mapping[str, str],
    means: Mapping[str, Floats] | None = None,
    *,
    labels: Sequence[str] = (),
) -> NoteCounts:
    """Counts (tp, fp, fn), shape (m, 3), at m rows (notes) and places (of these labels)."""
    from scipy.sparse import csr_array

    tp, fp, fn = (csr_array((counts[:, i], (rows, places)), shape=shape) for i in range(3))
    return NoteCounts(tp, fp, fn, averages, means or {}, tuple(labels))


def _averages(
    tp: Floats, fp: Floats, fn: Floats, *, present: int, in_gold: np.ndarray
) -> dict[str, Floats]:
    """The averages of `metrics.label_score`, for (r, labels) counts at once."""
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    f1 = _ratio(2 * tp, 2 * tp + fp + fn)
    all_tp, all_fp, all_fn = (side.sum(axis=1) for side in (tp, fp, fn))
    labels = max(present, 1)
    support = tp + fn
    return {
        "micro_precision": _ratio(all_tp, all_tp + all_fp),
        "micro_recall": _ratio(all_tp, all_tp + all_fn),
        "micro_f1": _ratio(2 * all_tp, 2 * all_tp + all_fp + all_fn),
        "macro_precision": precision.sum(axis=1) / labels,
        "macro_recall": recall.sum(axis=1) / labels,
        "macro_f1": f1.sum(axis=1) / labels,
        "macro_f1_gold": f1[:, in_gold].sum(axis=1) / max(int(in_gold.sum()), 1),
        "weighted_f1": (f1 * support).sum(axis=1) / np.maximum(support.sum(axis=1), 1),
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    return part / np.maximum(whole, 1)
