"""Which labels are taken for which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clinical_tl.display.table import Table

MOST_LABELS = 12
"""Of more labels a matrix can't be read: the largest confusions are listed."""


@dataclass(frozen=True)
class Confusions:
    """How many notes with one label in gold were given which: a confusion matrix.

    `counts` has (gold, predicted, notes) of the cells that are not empty. `labels` are those of
    the rows and columns, the most frequent in gold first.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[str, str, int], ...]

    @classmethod
    def of(cls, scores: object) -> Confusions | None:
        """Those of scores that have a confusion matrix."""
        names: tuple[str, ...] = getattr(scores, "confusion_labels", ())
        matrix: tuple[tuple[int, ...], ...] = getattr(scores, "confusion", ())
        if not names:
            return None
        support = {name: sum(row) for name, row in zip(names, matrix, strict=True)}
        said = {name: sum(row[i] for row in matrix) for i, name in enumerate(names)}
        cells = [
            (gold, given, n)
            for gold, row in zip(names, matrix, strict=True)
            for given, n in zip(names, row, strict=True)
            if n
        ]
        present = [name for name in names if support[name] or said[name]]
        return cls(
            tuple(sorted(present, key=lambda name: (-support[name], -said[name], name))),
            tuple(sorted(cells, key=lambda cell: (-cell[2], cell[:2]))),
        )

    @property
    def support(self) -> Mapping[str, int]:
        """Label → how many notes have it in gold."""
        found = dict.fromkeys(self.labels, 0)
        for gold, _, n in self.counts:
            found[gold] += n
        return found

    def table(self) -> Table:
        """One row a confusion, the largest first."""
        support = self.support
        rows = [
            {"gold": gold, "predicted": said, "notes": n, "share of gold": n / support[gold]}
            for gold, said, n in self.counts
            if gold != said
        ]
        return Table(rows, names=("gold", "predicted"))
