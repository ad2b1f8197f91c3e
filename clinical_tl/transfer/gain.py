"""Does transfer help? Scores of methods over budgets and seeds, and what transfer gains."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from clinical_tl.errors import ConfigError

Kind = Literal["baseline", "transfer", "random"]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Cell:
    """One run: a method with `budget` training notes and a seed, and its test score.

    `kind` says what it stands for: a `baseline` without pretrained knowledge, `transfer`, or
    a network from `random` weights. Where there are several networks, `network` names them: a
    transfer method is compared with the random weights of its own.
    """

    method: str
    kind: Kind
    budget: int
    seed: int
    value: float
    network: str = ""


@dataclass(frozen=True)
class Point:
    """A method at a budget: the mean over `n` seeds, and a 95 % interval (none for one seed)."""

    method: str
    kind: Kind
    budget: int
    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Gain:
    """What `method` gains at a budget, in the metric's own units; `None` where not measured.

    `over_random`: against the same network from random weights. `over_baseline`: against
    `baseline`, the best one without pretrained knowledge at that budget. Both are means of
    differences over the seeds that both sides have.
    """

    method: str
    budget: int
    over_random: float | None
    over_baseline: float | None
    baseline: str | None

    @property
    def is_negative(self) -> bool:
        """Whether transfer loses against either."""
        return any(gain is not None and gain < 0 for gain in (self.over_random, self.over_baseline))


def learning_curve(cells: Sequence[Cell]) -> list[Point]:
    """Means over seeds with Student's t intervals, by method and budget, in order of both.

    Raises `ConfigError` if a cell occurs twice, or has a score that is not a number.

    >>> lora, words = [0.61, 0.63, 0.65], [0.5, 0.54, 0.52]
    >>> cells = [Cell("LoRA", "transfer", 50, seed, f1) for seed, f1 in enumerate(lora)]
    >>> cells += [Cell("TF-IDF", "baseline", 50, seed, f1) for seed, f1 in enumerate(words)]
    >>> for point in learning_curve(cells):
    ...     print(point.method, f"{point.mean:.2f} ({point.low:.2f} to {point.high:.2f})")
    LoRA 0.63 (0.58 to 0.68)
    TF-IDF 0.52 (0.47 to 0.57)
    >>> for gain in transfer_gains(cells):
    ...     print(gain.method, f"{gain.over_baseline:+.2f} over", gain.baseline)
    LoRA +0.11 over TF-IDF
    """
    bad = [cell for cell in cells if not math.isfinite(cell.value)]
    if bad:
        raise ConfigError(
            f"{len(bad)} scores are not finite numbers, e.g. that of {bad[0].method} with "
            f"{bad[0].budget} notes and seed {bad[0].seed}; run them again or leave them out"
        )
    keys = [(cell.method, cell.budget, cell.seed) for cell in cells]
    if len(set(keys)) != len(keys):
        raise ConfigError("a method has two scores for one budget and seed; keep one of them")
    groups: defaultdict[tuple[str, Kind, int], list[float]] = defaultdict(list)
    for cell in cells:
        groups[cell.method, cell.kind, cell.budget].append(cell.value)
    order = {method: i for i, method in enumerate(dict.fromkeys(cell.method for cell in cells))}
    points = []
    for (method, kind, budget), values in groups.items():
        low, high = _interval(values)
        points.append(Point(method, kind, budget, fmean(values), low, high, len(values)))
    return sorted(points, key=lambda point: (order[point.method], point.budget))


def transfer_gains(cells: Sequence[Cell]) -> list[Gain]:
    """The gains of every transfer method at every budget, methods in order of appearance.

    Raises as `learning_curve`.
    """
    gains = []
    for point in learning_curve(cells):
        if point.kind != "transfer":
            continue
        here = [cell for cell in cells if cell.budget == point.budget]
        own = [cell for cell in here if cell.method == point.method]
        networks = {cell.network for cell in own}
        random = [cell for cell in here if cell.kind == "random" and cell.network in networks]
        _, over_random = _over_best(own, random)
        baseline, over_baseline = _over_best(
            own, [cell for cell in here if cell.kind == "baseline"]
        )
        gains.append(Gain(point.method, point.budget, over_random, over_baseline, baseline))
    return gains


def _over_best(own: Sequence[Cell], others: Sequence[Cell]) -> tuple[str | None, float | None]:
    """The method with which `own` compares worst over common seeds, and the mean difference."""
    mine = {cell.seed: cell.value for cell in own}
    differences: defaultdict[str, list[float]] = defaultdict(list)
    for cell in others:
        if cell.seed in mine:
            differences[cell.method].append(mine[cell.seed] - cell.value)
    if not differences:
        return None, None
    best = min(differences, key=lambda method: fmean(differences[method]))
    return best, fmean(differences[best])


def gain_warnings(gains: Sequence[Gain], metric: str) -> list[str]:
    """A plain sentence for each method and budget at which transfer loses."""
    sentences = []
    for gain in gains:
        for over, name in (
            (gain.over_random, "the same network from random weights"),
            (gain.over_baseline, str(gain.baseline)),
        ):
            if over is not None and over < 0:
                sentences.append(
                    f"negative transfer: with {gain.budget} notes {gain.method} is "
                    f"{-over:.3f} {metric} below {name}"
                )
    return sentences


def _interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    half *= stdev(values) / math.sqrt(len(values))
    mean = fmean(values)
    return mean - half, mean + half
