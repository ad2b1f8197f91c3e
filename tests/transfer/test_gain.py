"""Means, intervals and gains over a learning curve, by hand and against scipy."""

import numpy as np
import pytest
from scipy import stats

from clinical_tl.errors import ConfigError
from clinical_tl.transfer.gain import Cell, gain_warnings, learning_curve, transfer_gains

CELLS = [
    Cell("TF-IDF", "baseline", 10, 0, 0.30),
    Cell("TF-IDF", "baseline", 10, 1, 0.40),
    Cell("rules", "baseline", 10, 0, 0.20),
    Cell("LoRA", "transfer", 10, 0, 0.50),
    Cell("LoRA", "transfer", 10, 1, 0.40),
    Cell("LoRA", "transfer", 10, 2, 0.60),
    Cell("random", "random", 10, 0, 0.10),
    Cell("LoRA", "transfer", 100, 0, 0.70),
    Cell("TF-IDF", "baseline", 100, 0, 0.75),
]


def test_means_and_intervals_are_students():
    lora = next(p for p in learning_curve(CELLS) if (p.method, p.budget) == ("LoRA", 10))
    low, high = stats.t.interval(
        0.95, 2, loc=0.5, scale=np.std([0.5, 0.4, 0.6], ddof=1) / np.sqrt(3)
    )
    assert (lora.mean, lora.low, lora.high, lora.n) == pytest.approx((0.5, low, high, 3))


def test_one_seed_has_no_interval():
    one = [p for p in learning_curve(CELLS) if p.n == 1]
    assert one
    assert all(p.low is None and p.high is None for p in one)


def test_gains_are_against_the_best_baseline_and_random_weights():
    few, many = transfer_gains(CELLS)
    assert (few.budget, few.baseline) == (10, "TF-IDF")
    # Seeds 0 and 1, which both have.
    assert few.over_baseline == pytest.approx(0.1)
    assert few.over_random == pytest.approx(0.4)
    assert not few.is_negative
    assert (many.over_random, many.over_baseline) == (None, pytest.approx(-0.05))
    assert many.is_negative


def test_negative_transfer_is_said_plainly():
    assert gain_warnings(transfer_gains(CELLS), "f1") == [
        "negative transfer: with 100 notes LoRA is 0.050 f1 below TF-IDF"
    ]


def test_a_cell_counts_once():
    with pytest.raises(ConfigError, match="two scores"):
        learning_curve([*CELLS, CELLS[0]])


def test_a_method_is_compared_with_random_weights_of_its_own_network():
    cells = [
        Cell("LoRA A", "transfer", 10, 0, 0.70, "A"),
        Cell("LoRA B", "transfer", 10, 0, 0.80, "B"),
        Cell("random A", "random", 10, 0, 0.30, "A"),
        Cell("random B", "random", 10, 0, 0.75, "B"),
    ]
    first, second = transfer_gains(cells)
    assert (first.over_random, second.over_random) == pytest.approx((0.4, 0.05))


def test_seeds_that_one_side_lacks_do_not_count():
    cells = [
        Cell("LoRA", "transfer", 10, 0, 0.50),
        Cell("LoRA", "transfer", 10, 1, 0.90),
        Cell("TF-IDF", "baseline", 10, 0, 0.55),
        Cell("random", "random", 10, 7, 0.10),
    ]
    (gain,) = transfer_gains(cells)
    assert gain.over_baseline == pytest.approx(-0.05)
    assert gain.over_random is None


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="1 scores are not finite numbers"):
        learning_curve([*CELLS, Cell("LoRA", "transfer", 300, 0, float("nan"))])
