"""Conformal thresholds: by hand, as MAPIE has them, and their promises on drawn notes."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.metrics.conformal import covering_threshold, notes_needed, recall_threshold


def test_thresholds_equal_those_of_mapie():
    """MAPIE 1.6.0: `lac` of `SplitConformalClassifier` (1 − its quantile), and `crc` of recall.

    The latter by `get_r_hat_plus` and `find_best_predict_param` on a grid of thousandths.
    """
    random = np.random.default_rng(0)
    likely = random.dirichlet([1, 1, 1], size=30).round(3)
    likely[:, 2] = 1 - likely[:, 0] - likely[:, 1]
    likely = likely.round(3)
    gold = np.array([random.choice(3, p=row / row.sum()) for row in likely])
    found = [covering_threshold(gold, likely, coverage=share) for share in (0.8, 0.9)]
    assert found == pytest.approx([0.166, 0.157], abs=1e-12)
    random.dirichlet([1, 1, 1], size=8)
    truth = random.random((25, 4)) < 0.4
    scores = np.where(truth, random.beta(4, 2, (25, 4)), random.beta(2, 4, (25, 4))).round(3)
    some = truth.any(axis=1)
    found = [recall_threshold(truth[some], scores[some], coverage=share) for share in (0.8, 0.9)]
    assert found == pytest.approx([0.424, 0.353], abs=1e-12)


def test_as_many_notes_as_a_coverage_needs():
    likely = np.array([[p, 1 - p] for p in np.linspace(0.91, 0.99, 9)])
    right = np.zeros(9, dtype=int)
    # Of nine notes the rank of 0.9 is the ninth: the least sure one of them.
    assert covering_threshold(right, likely, coverage=0.9) == pytest.approx(0.91)
    # Rounded, 0.9 · 10 would be a little more than 9.
    for coverage, needed in ((0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99), (0.8, 4), (0.7, 3)):
        assert notes_needed(coverage) == needed
    with pytest.raises(TaskError, match=r"8 calibration notes .* coverage of 0.9: it needs 9"):
        covering_threshold(right[:8], likely[:8], coverage=0.9)
    with pytest.raises(TaskError, match="it needs 9"):
        recall_threshold(likely[:8] > 0.5, likely[:8], coverage=0.9)
    for wrong in (0, 1, -0.5, float("nan")):
        with pytest.raises(ConfigError, match="allowed: above 0 and below 1"):
            covering_threshold(right, likely, coverage=wrong)


def test_labels_that_the_model_does_not_know_are_in_no_set():
    likely = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert covering_threshold([0, 0, 0, -1], likely, coverage=0.6) == pytest.approx(0.7)
    with pytest.raises(TaskError, match=r"1 of 4 calibration notes .* does not know"):
        covering_threshold([0, 0, 0, -1], likely, coverage=0.8)
    gold = likely > 0.5
    # 5 · 0.4 − 1 = 1 of them may be missed, of 0.7 only half of one: none.
    assert recall_threshold(gold, likely, coverage=0.6) == pytest.approx(0.7)
    assert recall_threshold(gold, likely, coverage=0.7) == pytest.approx(0.6)
    with pytest.raises(TaskError, match="4 labels of the 4 calibration notes are not the model's"):
        recall_threshold(gold, likely, coverage=0.7, unknown=np.ones(4))
    # Little gold: to say nothing misses little enough.
    assert recall_threshold(np.zeros((4, 2), dtype=bool), likely, coverage=0.7) > 1
    with pytest.raises(TaskError, match="one label a note"):
        covering_threshold([0.5] * 4, likely, coverage=0.5)


@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (60, 0.9), (60, 0.7)])
def test_sets_cover_as_often_as_promised_and_not_much_more(n, coverage):
    """Marginally, with a model that is too sure: between coverage and coverage + 1 / (n + 1)."""
    random = np.random.default_rng(0)
    runs, fresh, k = 400, 200, 5
    true = random.normal(size=(runs, n + fresh, k)) * 1.5
    gold = (softmax(true, axis=2).cumsum(axis=2) > random.random((runs, n + fresh, 1))).argmax(2)
    likely = softmax(true * 2.5 + random.normal(size=true.shape), axis=2)
    covered, sizes = [], []
    for p, y in zip(likely, gold, strict=True):
        inside = p[n:] >= covering_threshold(y[:n], p[:n], coverage=coverage)
        covered.append(inside[np.arange(fresh), y[n:]].mean())
        sizes.append(inside.sum(axis=1).mean())
    error = 3 * np.std(covered) / np.sqrt(runs)
    assert coverage - error < np.mean(covered) < coverage + 1 / (n + 1) + error
    assert 1 < np.mean(sizes) < 0.8 * k


@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (60, 0.8)])
def test_sets_of_many_labels_hold_the_promised_share_of_the_gold(n, coverage):
    random = np.random.default_rng(1)
    runs, fresh, k = 300, 200, 12
    own = random.normal(size=(runs, n + fresh, k)) - 1.5
    gold = random.random(own.shape) < expit(own * 2)
    likely = expit(own * 3 + random.normal(size=own.shape))
    missed, sizes = [], []
    for p, y in zip(likely, gold, strict=True):
        inside = p[n:] >= recall_threshold(y[:n], p[:n], coverage=coverage)
        missed.append(((y[n:] & ~inside).sum(axis=1) / y[n:].sum(axis=1).clip(min=1)).mean())
        sizes.append(inside.sum(axis=1).mean())
    error = 3 * np.std(missed) / np.sqrt(runs)
    # The paper's theorem 2: at least 1 − coverage − 2 / (n + 1), up to the jumps.
    assert 1 - coverage - 2 / (n + 1) - error < np.mean(missed) < 1 - coverage + error
    assert np.mean(sizes) < 0.8 * k
