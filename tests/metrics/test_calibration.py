import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.metrics.calibration import (
    at_temperature,
    calibration_scores,
    fit_temperature,
    reliability,
)


def test_expected_calibration_error_by_hand():
    correct = np.array([True, False, True, True])
    confidence = np.array([0.55, 0.6, 0.9, 0.8])
    low, high = reliability(correct, confidence, bins=4)
    assert (low.low, low.high, low.count) == (0.5, 0.75, 2)
    assert (low.confidence, low.accuracy) == pytest.approx((0.575, 0.5))
    assert (high.confidence, high.accuracy) == pytest.approx((0.85, 1.0))
    # The winning labels of these notes have just those confidences.
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    scores = calibration_scores([0, 1, 0, 0], probabilities, bins=4)
    assert scores.bins == (low, high)
    assert scores.ece == pytest.approx(0.5 * 0.075 + 0.5 * 0.15)
    assert scores.mce == pytest.approx(0.15)
    assert scores.summary() == {"ece": scores.ece, "mce": scores.mce, "brier": scores.brier}


def test_bins_are_closed_above_and_the_first_below_too():
    confidence = np.array([0.0, 0.5, 0.500001, 1.0])
    low, high = reliability(np.ones(4, dtype=bool), confidence, bins=2)
    assert (low.count, high.count) == (2, 2)


@pytest.mark.parametrize(("equal_mass", "strategy"), [(False, "uniform"), (True, "quantile")])
def test_the_table_equals_scikit_learn(equal_mass, strategy):
    random = np.random.default_rng(0)
    confidence = random.random(400)
    correct = random.random(400) < confidence**2
    table = reliability(correct, confidence, bins=10, equal_mass=equal_mass)
    accuracy, mean = calibration_curve(correct, confidence, n_bins=10, strategy=strategy)
    assert [row.accuracy for row in table] == pytest.approx(accuracy.tolist())
    assert [row.confidence for row in table] == pytest.approx(mean.tolist())
    assert sum(row.count for row in table) == 400


def test_bins_of_equal_mass_with_few_predictions():
    table = reliability(np.array([True, False]), np.array([0.9, 0.2]), bins=5, equal_mass=True)
    assert [(row.count, row.low, row.high) for row in table] == [(1, 0.2, 0.2), (1, 0.9, 0.9)]
    assert table[0].row()["accuracy"] == 0


def brier(gold, probabilities):
    return calibration_scores(gold, probabilities).brier


def test_brier_score_of_one_label_and_of_many():
    random = np.random.default_rng(1)
    positive = random.random(50)
    gold = random.random(50) < positive
    binary = brier_score_loss(gold, positive)
    assert brier(gold[:, None], positive[:, None]) == pytest.approx(binary)
    two = np.stack([1 - positive, positive], axis=1)
    assert brier(gold.astype(int), two) == pytest.approx(2 * binary)
    assert brier([0], [[0.5, 0.3, 0.2]]) == pytest.approx(0.25 + 0.09 + 0.04)
    many = np.array([[True, False], [True, True]])
    assert brier(many, [[0.5, 0.0], [1.0, 0.0]]) == pytest.approx((0.25 + 0 + 0 + 1) / 4)


def test_many_labels_count_every_cell():
    gold = np.array([[True, False], [False, False]])
    scores = calibration_scores(gold, [[0.9, 0.2], [0.2, 0.2]], bins=2)
    assert [row.count for row in scores.bins] == [3, 1]
    assert scores.ece == pytest.approx((3 * 0.2 + 0.1) / 4)
    assert scores.mce == pytest.approx(0.2)


def test_temperature_of_two_labels_in_closed_form():
    # Logits ±a, right with frequency q: softmax must give q, so 2a / T = log(q / (1 - q)).
    probabilities = softmax(np.tile([3.0, -3.0], (10, 1)), axis=1)
    gold = np.array([0] * 8 + [1] * 2)
    found = fit_temperature(probabilities, gold)
    assert found == pytest.approx(6 / np.log(4), rel=1e-5)
    assert at_temperature(probabilities, found) == pytest.approx(np.tile([0.8, 0.2], (10, 1)))


def test_temperature_is_the_minimum_of_the_loss():
    random = np.random.default_rng(2)
    truth = random.normal(size=(300, 4))
    gold = np.array([random.choice(4, p=softmax(row)) for row in truth])
    logits = 2.5 * truth
    said = softmax(logits, axis=1)

    def loss(temperature):
        return -log_softmax(logits / temperature, axis=1)[np.arange(300), gold].mean()

    found = fit_temperature(said, gold)
    # A grid, finer than the tolerance: nowhere is the loss lower.
    grid = found * np.exp(np.linspace(-0.5, 0.5, 2001))
    assert found == pytest.approx(min(grid, key=loss), rel=1e-3)
    assert found == pytest.approx(2.5, rel=0.2)
    before = calibration_scores(gold, said)
    after = calibration_scores(gold, at_temperature(said, found))
    assert after.ece < before.ece / 2
    assert after.brier < before.brier


def test_temperature_divides_the_logits():
    logits = np.random.default_rng(4).normal(size=(20, 3))
    one, many = softmax(logits, axis=1), expit(logits)
    assert at_temperature(one, 1.7) == pytest.approx(softmax(logits / 1.7, axis=1))
    assert at_temperature(many, 1.7, one_label=False) == pytest.approx(expit(logits / 1.7))
    assert at_temperature(one, 1.0) == pytest.approx(one)


def test_temperature_of_many_labels():
    random = np.random.default_rng(3)
    truth = random.normal(size=(400, 5))
    gold = random.random((400, 5)) < expit(truth)
    assert fit_temperature(expit(0.5 * truth), gold) == pytest.approx(0.5, rel=0.15)


def test_temperature_stays_within_its_bounds():
    always_right = softmax(np.array([[1.0, -1.0]] * 3), axis=1)
    # Where the loss has come down to 0, all temperatures are as good.
    assert fit_temperature(always_right, [0, 0, 0]) < 0.06
    always_wrong = fit_temperature(always_right, [1, 1, 1])
    assert always_wrong == pytest.approx(100, rel=1e-5)


@pytest.mark.parametrize("gold", [[0, 1], np.array([[True, False], [False, True]])])
def test_certainty_is_finite(gold):
    certain = np.array([[1.0, 0.0], [1.0, 0.0]])
    found = fit_temperature(certain, gold)
    assert 0.01 <= found <= 100
    one_label = isinstance(gold, list)
    assert np.isfinite(at_temperature(certain, found, one_label=one_label)).all()


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        ([0, 2], "gold columns go from 0 to 2; allowed: 0 to 1"),
        ([0, -1], "gold columns go from -1 to 0"),
        ([0, 1, 1], r"shape \(3,\)"),
        ([0.0, 1.0], "type float64"),
        (np.ones((2, 3), dtype=bool), r"shape \(2, 3\)"),
    ],
)
def test_bad_gold_is_refused(gold, message):
    with pytest.raises(TaskError, match=message):
        calibration_scores(gold, [[0.5, 0.5], [0.5, 0.5]])


def test_nothing_to_score_and_no_bins_are_refused():
    with pytest.raises(TaskError, match="nothing to score"):
        calibration_scores(np.zeros((0, 2), dtype=bool), np.zeros((0, 2)))
    with pytest.raises(ConfigError, match="bins is 0"):
        calibration_scores([0], [[1.0]], bins=0)
