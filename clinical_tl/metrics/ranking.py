"""How high the gold codes of a note stand in the model's ranking."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

import numpy as np

from clinical_tl.metrics.matrix import Bools, Floats, Ints

NAMES = ("precision_at_5", "precision_at_8", "precision_at_15", "r_precision", "map")
"""What the figures are called in summaries, in the order of `RankingScores`."""


@dataclass(frozen=True)
class RankingScores:
    """Means over the notes that have gold codes; `None` where no note has any."""

    precision_at_5: float | None
    precision_at_8: float | None
    precision_at_15: float | None
    r_precision: float | None
    mean_average_precision: float | None


NO_RANKING = RankingScores(None, None, None, None, None)


def ranking_scores(gold: Bools, scores: Floats, gold_per_note: Ints) -> RankingScores:
    """Precision at 5, 8 and 15, R-precision and mean average precision (MAP).

    Args:
        gold: (n, k), which of the model's labels each note has.
        scores: (n, k), higher is ranked first; ties keep the order of the columns, which
            knows nothing of gold.
        gold_per_note: (n,), all gold codes of each note, those without a column included.
            They stand in the denominators of R-precision and MAP, and so count as missed.

    Returns:
        Means over the notes with `gold_per_note > 0`. Precision at k always divides by k,
        also where a note has fewer codes or the model fewer labels. Average precision is the
        sum of the precisions at the ranks of the gold codes divided by `gold_per_note`
        (Manning et al. 2008, ch. 8); without ties and unseen codes it equals scikit-learn's
        `average_precision_score`.
    """
    defined = note_rankings(gold, scores, gold_per_note)[gold_per_note > 0]
    if not len(defined):
        return NO_RANKING
    return RankingScores(*(fsum(figures) / len(defined) for figures in defined.T.tolist()))


def note_rankings(gold: Bools, scores: Floats, gold_per_note: Ints) -> Floats:
    """The figures of each note, shape (n, 5) in the order of `NAMES`; NaN without gold codes."""
    figures = np.full((len(gold), len(NAMES)), np.nan)
    for note in np.flatnonzero(gold_per_note):
        figures[note] = _note_figures(gold[note], scores[note], int(gold_per_note[note]))
    return figures


def _note_figures(
    gold: Bools, scores: Floats, n_gold: int
) -> tuple[float, float, float, float, float]:
    if not gold.any():
        return (0.0, 0.0, 0.0, 0.0, 0.0)
    # Labels below the lowest gold label can't change any gold rank: sorting the rest is enough.
    contenders = np.flatnonzero(scores >= scores[gold].min())
    order = contenders[np.argsort(-scores[contenders], kind="stable")]
    ranks = np.flatnonzero(gold[order]) + 1
    at_5, at_8, at_15 = (int((ranks <= k).sum()) / k for k in (5, 8, 15))
    r_precision = int((ranks <= n_gold).sum()) / n_gold
    precisions = np.arange(1, len(ranks) + 1) / ranks
    return (at_5, at_8, at_15, r_precision, float(precisions.sum()) / n_gold)
