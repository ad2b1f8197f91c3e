"""What chance alone would say: of two sides of one set of notes, of the better of two choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from clinical_tl.errors import NoteError
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.estimators.features import Floats

Item = TypeVar("Item")


def by_chance(
    measure: Callable[[list[Item], list[Item]], Sequence[float]],
    source: Sequence[Item],
    target: Sequence[Item],
    *,
    deals: int = 10,
    seed: int,
) -> Floats:
    """The mean of a measure over random deals of the pooled notes to two sides as large as given.

    Few notes share few words, whatever they are about: only against this can an overlap be
    called small.

    Args:
        measure: source, target → k figures.
        source: n notes or texts.
        target: m notes or texts.
        deals: how many.
        seed: of the deals.

    Returns:
        The k means.

    Raises:
        NoteError: an empty side.
        ConfigError: fewer than one deal.
    """
    check_at_least(1, deals=deals)
    if not source or not target:
        raise NoteError(
            f"there are {len(source)} source and {len(target)} target notes; give at least one each"
        )
    pooled = [*source, *target]
    random = np.random.default_rng(seed)
    figures = []
    for _ in range(deals):
        dealt = [pooled[i] for i in random.permutation(len(pooled))]
        figures.append(measure(dealt[: len(source)], dealt[len(source) :]))
    means: Floats = np.mean(np.array(figures, dtype=np.float64), axis=0)
    return means


def clearly(n: int) -> float:
    """How much better a score between 0 and 1 on `n` notes must be to overrule a default.

    One standard error of a proportion at most, 0.5 / √n: of twenty notes 0.11, of a thousand
    0.016. Who takes the best of several choices on few notes mostly takes the luckiest.

    >>> round(clearly(100), 3)
    0.05
    """
    return 0.5 / float(np.sqrt(n))


def luck(n: int, choices: int) -> float:
    """How much better than any one of them the best of equally good choices may look by luck.

    Scores between 0 and 1 on the same `n` notes: `clearly(n)` · √(2 ln `choices`), which bounds
    the expected greatest of so many standard errors (Boucheron, Lugosi and Massart 2013,
    Concentration Inequalities, Theorem 2.5).

    >>> round(luck(100, 10), 3)
    0.107
    """
    return clearly(n) * float(np.sqrt(2 * np.log(choices)))
