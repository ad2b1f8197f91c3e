"""Thresholds under which sets of labels keep a promise on new notes, whatever the model is.

Split-conformal: the calibration notes and the new one are taken as exchangeable, nothing else is
assumed. Both thresholds are the exact finite-sample ones, no asymptotics.
"""

from __future__ import annotations

from math import ceil, floor

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import ConfigError, TaskError, shown_value
from clinical_tl.metrics.matrix import Floats, bool_matrix, probability_matrix

# (n + 1) · coverage is a whole number only up to rounding: 0.9 · 10 must not become 10.
_ROUNDING = 1e-9


def covering_threshold(
    gold: npt.ArrayLike, probabilities: npt.ArrayLike, *, coverage: float
) -> float:
    """The probability from which on labels are in a note's set, one label a note.

    The set of all labels at least so likely has the right one in at least `coverage` of new notes
    (and, without ties, in at most 1 / (n + 1) more), on average over calibration sets: the least
    ambiguous sets of Sadinle et al. 2019 (arXiv 1609.00451). With n notes it is the k-th highest
    probability of a right label, k = ⌈(n + 1) coverage⌉.

    Args:
        gold: (n,) integers, the notes' columns; below 0 for a label that the model does not know,
            which no set can hold.
        probabilities: (n, k) in [0, 1].
        coverage: in (0, 1).

    Raises:
        TaskError: fewer notes than coverage / (1 − coverage), or too many labels not known.
        ConfigError: a coverage outside (0, 1).

    Example:
        >>> likely = [[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.2, 0.8]]
        >>> covering_threshold([0, 0, 0, 1], likely, coverage=0.8)
        0.4
    """
    matrix = probability_matrix(probabilities, name="probabilities")
    columns = np.asarray(gold)
    if not np.issubdtype(columns.dtype, np.integer) or columns.shape != matrix.shape[:1]:
        raise TaskError(
            f"gold is of type {columns.dtype} and shape {columns.shape}; allowed: integers of "
            f"shape {matrix.shape[:1]}, one label a note"
        )
    n = _enough(len(matrix), coverage)
    own = np.where(columns >= 0, matrix[np.arange(n), columns], -1.0)
    threshold = float(np.sort(own)[::-1][ceil((n + 1) * coverage - _ROUNDING) - 1])
    if threshold < 0:
        raise TaskError(
            f"{int((columns < 0).sum())} of {n} calibration notes have labels that the model does "
            f"not know, so no sets of its labels reach a coverage of {coverage}; ask for less"
        )
    return threshold


def recall_threshold(
    gold: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    *,
    coverage: float,
    unknown: npt.ArrayLike | None = None,
) -> float:
    """The probability from which on labels are in a note's set, many labels a note.

    On average over new notes (and calibration sets) at least the share `coverage` of a note's
    gold is in its set: conformal control of the false-negative proportion (Angelopoulos et al.
    2022, arXiv 2208.02814, equation 4, with losses of at most 1). A note without gold misses
    nothing. With n notes it is the highest threshold at which they miss on average no more than
    ((n + 1) (1 − coverage) − 1) / n.

    Args:
        gold: (n, k) booleans.
        probabilities: (n, k) in [0, 1].
        coverage: in (0, 1).
        unknown: (n,) how many more labels each note has that have no column: always missed.

    Raises:
        TaskError: fewer notes than coverage / (1 − coverage), or so many labels without a column
            that no threshold is low enough.
        ConfigError: a coverage outside (0, 1).

    Example:
        >>> gold = np.array([[True, True], [True, False], [False, False]])
        >>> likely = [[0.9, 0.3], [0.8, 0.2], [0.4, 0.1]]
        >>> recall_threshold(gold, likely, coverage=0.6)
        0.8
    """
    matrix = probability_matrix(probabilities, name="probabilities")
    truth = bool_matrix(gold, name="gold", shape=matrix.shape)
    n = _enough(len(matrix), coverage)
    beside = np.zeros(n) if unknown is None else np.asarray(unknown, dtype=np.float64)
    each = truth.sum(axis=1) + beside
    rows, _ = np.nonzero(truth)
    scores: Floats = matrix[truth]
    order = np.argsort(-scores, kind="stable")
    # From above every threshold finds some more; what it misses of all notes' shares is left.
    missed = (each > 0).sum() - np.cumsum((1 / each[rows])[order])
    allowed = (n + 1) * (1 - coverage) - 1 + _ROUNDING
    ranked = scores[order]
    is_cut = np.append(ranked[1:] < ranked[:-1], True)[: len(ranked)]
    enough = np.flatnonzero((missed <= allowed) & is_cut)
    if (each > 0).sum() <= allowed:
        # With so little gold nothing has to be said: above whatever has a score.
        return 1.0 + _ROUNDING
    if not len(enough):
        raise TaskError(
            f"{int(beside.sum())} labels of the {n} calibration notes are not the model's, so no "
            f"sets of its labels hold {coverage} of the gold; ask for less"
        )
    return float(ranked[enough[0]])


def notes_needed(coverage: float) -> int:
    """How many calibration notes (of patients of their own) a coverage needs at least.

    >>> notes_needed(0.9), notes_needed(0.95)
    (9, 19)
    """
    if not isinstance(coverage, int | float | np.number) or not 0 < coverage < 1:
        raise ConfigError(
            f"coverage is {shown_value(coverage)}; allowed: above 0 and below 1, such as 0.9"
        )
    needed = coverage / (1 - coverage)
    return max(1, floor(needed) if needed - floor(needed) < _ROUNDING else ceil(needed))


def _enough(n: int, coverage: float) -> int:
    needed = notes_needed(coverage)
    if n < needed:
        raise TaskError(
            f"{n} calibration notes of different patients are too few for a coverage of "
            f"{coverage}: it needs {needed}; give more dev notes, or ask for less"
        )
    return n
