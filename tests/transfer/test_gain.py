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
    few, many = transfer_gains(learning_curve(CELLS))
    assert (few.budget, few.baseline) == (10, "TF-IDF")
    assert few.over_baseline == pytest.approx(0.15)
    assert few.over_random == pytest.approx(0.4)
    assert not few.is_negative
    assert (many.over_random, many.over_baseline) == (None, pytest.approx(-0.05))
    assert many.is_negative


def test_negative_transfer_is_said_plainly():
    assert gain_warnings(transfer_gains(learning_curve(CELLS)), "f1") == [
        "negative transfer: with 100 notes LoRA is 0.050 f1 below TF-IDF"
    ]


def test_a_cell_counts_once():
    with pytest.raises(ConfigError, match="two scores"):
        learning_curve([*CELLS, CELLS[0]])
