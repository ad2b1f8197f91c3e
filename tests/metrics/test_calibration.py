import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.metrics.calibration import (
    LEAST_STATEMENTS,
    SPREAD,
    at_temperature,
    calibration_scores,
    dev_scaling,
    dev_temperature,
    fit_temperature,
    reliability,
    score_at_temperature,
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


def drawn(random, notes, labels, overconfident):
    """Probabilities of a model that is too sure by this factor, and what was true."""
    true = random.normal(size=(notes, labels)) * 1.5
    gold = (softmax(true, axis=1).cumsum(axis=1) > random.random((notes, 1))).argmax(axis=1)
    return softmax(true * overconfident, axis=1), gold


def log_loss(probabilities, gold):
    return float(-np.log(probabilities[np.arange(len(gold)), gold]).mean())


def test_a_temperature_of_twenty_notes_does_no_harm_and_mends_what_is_wrong():
    """Mean log loss on other notes, over 60 draws of the dev notes, against no temperature."""
    random = np.random.default_rng(0)
    for labels, overconfident, allowed in ((3, 1.0, 0.02), (3, 1.4, 0.0), (3, 3.0, -0.2)):
        many, truth = drawn(random, 4000, labels, overconfident)
        without = log_loss(many, truth)
        changes, unbounded = [], []
        for _ in range(60):
            few = drawn(random, LEAST_STATEMENTS, labels, overconfident)
            for found, kept in (
                (dev_temperature(*few), changes),
                (fit_temperature(*few), unbounded),
            ):
                kept.append(log_loss(at_temperature(many, found), truth) / without - 1)
        assert np.mean(changes) < allowed, overconfident
        # Never far worse, which the temperature of least loss on those notes may be.
        assert max(changes) < 0.2
        assert np.mean(changes) < np.mean(unbounded) or overconfident > 2


def test_a_drawn_temperature_is_the_likeliest_a_posteriori():
    probabilities, gold = drawn(np.random.default_rng(1), 50, 4, 2.0)
    grid = np.exp(np.linspace(-1, 1.5, 4001))
    logits = np.log(probabilities)
    posterior = [
        log_softmax(logits / t, axis=1)[np.arange(50), gold].sum() - np.log(t) ** 2 / (2 * 0.3**2)
        for t in grid
    ]
    found = fit_temperature(probabilities, gold, spread=0.3)
    assert found == pytest.approx(grid[int(np.argmax(posterior))], rel=1e-3)
    assert 1 < found < fit_temperature(probabilities, gold)
    # Of many labels every cell is a statement.
    yes, said = (gold == 0)[:, None], probabilities[:, :1]
    logits = np.log(said / (1 - said))
    posterior = [
        np.log(expit(np.where(yes, logits, -logits) / t)).sum() - np.log(t) ** 2 / (2 * 0.3**2)
        for t in grid
    ]
    found = fit_temperature(said, yes, spread=0.3)
    assert found == pytest.approx(grid[int(np.argmax(posterior))], rel=1e-3)


def test_a_dev_temperature_needs_notes_and_something_right():
    probabilities, gold = drawn(np.random.default_rng(2), LEAST_STATEMENTS, 3, 2.0)
    found = dev_temperature(probabilities, gold)
    assert found == fit_temperature(probabilities, gold, spread=SPREAD)
    unknown = np.append(gold, [-1, -1])
    assert dev_temperature(np.vstack([probabilities, probabilities[:2]]), unknown) == found
    assert dev_temperature(probabilities[:-1], gold[:-1]) is None
    assert dev_temperature(probabilities[:, :1], np.zeros((len(gold), 1), dtype=bool)) is None
    assert dev_temperature(np.zeros((0, 1)), np.zeros((0, 1), dtype=bool)) is None


def test_one_score_is_scaled_as_a_column_of_them():
    scores = np.array([0.0, 1e-9, 0.2, 0.5, 0.97, 1.0])
    column = at_temperature(scores[:, None], 1.7, one_label=False)[:, 0]
    assert [score_at_temperature(s, 1.7) for s in scores.tolist()] == pytest.approx(column)
    assert score_at_temperature(0.5, 7.0) == 0.5


def test_scores_that_are_of_something_else_are_moved_to_how_often_they_are_right():
    """A weak tagger's mentions score about one half, and one in four has the right borders."""
    random = np.random.default_rng(0)
    scores = random.beta(8, 8, size=400)
    right = random.random(400) < 0.5 * scores
    temperature, shift = dev_scaling(scores, right)
    scaled = np.array([score_at_temperature(s, temperature, shift) for s in scores.tolist()])
    assert scaled.mean() == pytest.approx(right.mean(), abs=0.03)
    assert shift < -0.5
    np.testing.assert_array_equal(
        np.argsort(scaled, kind="stable"), np.argsort(scores, kind="stable")
    )
    # The most that a temperature can do is one half for all.
    at = at_temperature(
        scores[:, None], dev_temperature(scores[:, None], right[:, None]), one_label=False
    )
    assert at.mean() > 0.4
    # Of what is as sure as it should be little changes, and twenty of them do little harm.
    sure = random.beta(3, 1, size=20_000)
    true = random.random(20_000) < sure
    temperature, shift = dev_scaling(sure, true)
    assert (temperature, shift) == (pytest.approx(1, abs=0.05), pytest.approx(0, abs=0.05))
    changes = []
    for few in np.split(np.arange(1200), 60):
        temperature, shift = dev_scaling(sure[few], true[few])
        scaled = expit(np.log(sure / (1 - sure)) / temperature + shift)
        without, now = (-np.log(np.where(true, p, 1 - p)).mean() for p in (sure, scaled))
        changes.append(now / without - 1)
    assert np.mean(changes) < 0.03
    assert dev_scaling(scores[:19], right[:19]) == dev_scaling(scores, right & False) == (None, 0.0)
    assert dev_scaling([], []) == (None, 0.0)
