"""Whether several estimators order the same candidates alike, and the order they give together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from clinical_tl.errors import TaskError, shown_id


@dataclass(frozen=True)
class PairAgreement:
    """Rank correlations of two estimators, in [−1, 1]; `None` where one gives ties alone.

    `tau` is Kendall's τ-b, `weighted_tau` counts disagreements about the best more (Vigna
    2015, hyperbolic weights).
    """

    first: str
    second: str
    tau: float | None
    weighted_tau: float | None

    def row(self) -> dict[str, object]:
        """One row for `format_table` or JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "tau": self.tau,
            "weighted_tau": self.weighted_tau,
        }


@dataclass(frozen=True)
class Agreement:
    """What `agreement` finds; see there.

    `ranks` is estimator → ranks, 1 the best, ties their mean; `mean_rank` and `borda` have one
    value a candidate, and `order` its positions, best first.
    """

    ranks: Mapping[str, tuple[float, ...]]
    mean_rank: tuple[float, ...]
    borda: tuple[float, ...]
    order: tuple[int, ...]
    pairs: tuple[PairAgreement, ...]


def agreement(scores: Mapping[str, Sequence[float]]) -> Agreement:
    """Ranks by each estimator, the order by Borda count, and how far estimators agree.

    A candidate gets as many Borda points from an estimator as it leaves candidates behind it
    (half a point for a tie), so the order is that of the mean ranks; equal ones keep the
    order they were given in.

    Args:
        scores: estimator → one score a candidate, higher is better; at least 2 candidates.

    Raises:
        TaskError: no estimator, fewer than two candidates, lengths that differ, scores that
            are not finite.

    Example:
        >>> found = agreement({"log_me": [0.3, 0.1, 0.2], "knn": [0.9, 0.5, 0.7]})
        >>> found.order, found.mean_rank
        ((0, 2, 1), (1.0, 3.0, 2.0))
        >>> found.pairs[0].tau
        1.0
    """
    from scipy.stats import kendalltau, rankdata, weightedtau

    lengths = {len(values) for values in scores.values()}
    if len(lengths) != 1 or min(lengths) < 2:
        raise TaskError(
            f"{len(scores)} estimators score {sorted(lengths)} candidates; allowed: at least one "
            "estimator, all with the same 2 or more candidates"
        )
    matrix = np.array(list(scores.values()), dtype=np.float64)
    for name, values in zip(scores, matrix, strict=True):
        if not np.isfinite(values).all():
            raise TaskError(
                f"the estimator {shown_id(name)!r} has a score that is not finite; leave it out"
            )
    ranks = np.array([rankdata(-values) for values in matrix])
    mean_rank = ranks.mean(axis=0)
    borda = (ranks.shape[1] - ranks).sum(axis=0)
    pairs = []
    for first, second in combinations(range(len(matrix)), 2):
        names = tuple(scores)
        a, b = matrix[first], matrix[second]
        tied = np.ptp(a) == 0 or np.ptp(b) == 0
        tau = None if tied else float(kendalltau(a, b).statistic)
        weighted = None if tied else float(weightedtau(a, b).statistic)
        pairs.append(PairAgreement(names[first], names[second], tau, weighted))
    return Agreement(
        ranks={name: tuple(row.tolist()) for name, row in zip(scores, ranks, strict=True)},
        mean_rank=tuple(mean_rank.tolist()),
        borda=tuple(borda.tolist()),
        order=tuple(np.argsort(-borda, kind="stable").tolist()),
        pairs=tuple(pairs),
    )
