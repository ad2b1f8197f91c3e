import numpy as np
import pytest

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.metrics.intervals import (
    bootstrap_interval,
    interval_around,
    number_patients,
    resample,
)


def mean_of(values):
    values = np.asarray(values, dtype=float)
    return lambda notes: float(values[notes].mean())


def test_equal_to_resampling_by_hand():
    values = np.random.default_rng(0).normal(size=30)
    found = bootstrap_interval(mean_of(values), 30, resamples=200, seed=7)
    random = np.random.default_rng(7)
    means = [values[random.integers(30, size=30)].mean() for _ in range(200)]
    around = values.mean() - np.mean(means)
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]) + around)
    assert found.estimate == pytest.approx(values.mean())
    assert found.undefined == 0


def test_close_to_the_normal_interval_of_a_mean():
    values = np.random.default_rng(1).normal(size=400)
    found = bootstrap_interval(mean_of(values), 400)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.high - found.estimate == pytest.approx(half, rel=0.1)
    assert found.estimate - found.low == pytest.approx(half, rel=0.1)


def test_same_seed_same_interval():
    statistic = mean_of(np.arange(20))
    settings = {"n_units": 20, "resamples": 50}
    assert bootstrap_interval(statistic, **settings, seed=1) == bootstrap_interval(
        statistic, **settings, seed=1
    )
    assert bootstrap_interval(statistic, **settings, seed=1) != bootstrap_interval(
        statistic, **settings, seed=2
    )


def test_patients_are_drawn_with_all_their_notes():
    groups = ["p", "q", "p", "r", "q", "p"]
    seen = []

    def statistic(notes):
        seen.append(notes.tolist())
        return 0.0

    bootstrap_interval(statistic, 6, groups=groups, resamples=50)
    assert seen[0] == [0, 1, 2, 3, 4, 5]
    own = {"p": [0, 2, 5], "q": [1, 4], "r": [3]}
    for notes in seen[1:]:
        counts = {note: notes.count(note) for note in range(6)}
        for members in own.values():
            assert len({counts[note] for note in members}) == 1
        assert sum(counts[members[0]] for members in own.values()) == 3
    assert len(set(map(tuple, seen))) > 5


def test_notes_of_one_patient_widen_the_interval():
    random = np.random.default_rng(2)
    patients = np.repeat(np.arange(20), 10)
    values = random.normal(size=20)[patients]
    by_note = bootstrap_interval(mean_of(values), 200, resamples=300)
    by_patient = bootstrap_interval(mean_of(values), 200, resamples=300, groups=patients.tolist())
    assert by_patient.high - by_patient.low > 2 * (by_note.high - by_note.low)


def test_a_single_patient_has_no_spread():
    found = bootstrap_interval(mean_of([1, 2, 6]), 3, groups=["p"] * 3, resamples=10)
    assert found.low == found.high == found.estimate == 3


def test_notes_without_a_patient_are_patients_of_their_own():
    statistic = mean_of(np.arange(12))
    alone = bootstrap_interval(statistic, 12, resamples=40)
    assert bootstrap_interval(statistic, 12, groups=[None] * 12, resamples=40) == alone


def test_wider_confidence_is_wider():
    statistic = mean_of(np.arange(30))
    narrow = bootstrap_interval(statistic, 30, confidence=0.5)
    wide = bootstrap_interval(statistic, 30, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_undefined_resamples_are_left_out_and_counted():
    def statistic(notes):
        return None if set(notes.tolist()) == {0} else float(notes.mean())

    found = bootstrap_interval(statistic, 2, resamples=400)
    assert 60 < found.undefined < 140
    # 0.5 twice as often as 1: the mean is put on the figure, never below what was reached.
    assert (found.low, found.high) == (0.5, pytest.approx(5 / 6, abs=0.02))
    assert list(found.summary()) == ["estimate", "low", "high"]


def test_an_interval_has_its_own_figure_and_stays_within_reach():
    # A figure that is far lower on resamples: how many different notes there are.
    found = bootstrap_interval(lambda notes: len(set(notes.tolist())) / 50, 50)
    assert found.low < found.estimate == found.high == 1.0
    assert interval_around(0.5, np.array([0.9, 0.9, 0.9, 0.1]), 0.5).low <= 0.5
    assert interval_around(0.5, np.array([np.nan]), 0.9) is None


def test_what_one_note_says_is_no_difference():
    """Resamples without it have none, and 0 is not to be moved out of the interval by the rest."""
    of_one = np.array([0.0] * 37 + [0.5] * 63)
    assert interval_around(0.5, of_one, 0.95, difference=True).low == 0.0
    assert interval_around(0.5, of_one, 0.95).low > 0
    assert interval_around(0.5, np.array([0.4] * 50 + [0.6] * 50), 0.9, difference=True).low == 0.4


def test_equally_good_models_seldom_seem_to_differ():
    """Of 100 test sets with rare labels, two guesses as good: few have 0 outside; 5 promised."""
    random, shares = np.random.default_rng(0), [0.9, 0.025, 0.025, 0.025, 0.025]
    outside = 0
    for seed in range(100):
        gold = random.choice(5, 40, p=shares)
        said = [np.where(random.random(40) < 0.8, gold, random.choice(5, 40)) for _ in range(2)]
        weights = np.concatenate(list(resample(list(range(40)), 200, seed)))
        drawn = macro_f1(gold, said[0], weights) - macro_f1(gold, said[1], weights)
        once = np.ones((1, 40))
        value = macro_f1(gold, said[0], once) - macro_f1(gold, said[1], once)
        found = interval_around(float(value[0]), drawn, 0.95, difference=True)
        outside += not found.low <= 0 <= found.high
    assert outside <= 8


def macro_f1(gold, said, weights):
    scores = []
    for label in range(5):
        right = weights @ ((gold == label) & (said == label))
        either = weights @ (gold == label) + weights @ (said == label)
        scores.append(2 * right / np.maximum(either, 1))
    return np.mean(scores, axis=0)


def test_resamples_come_in_parts_that_are_those_of_one_drawing():
    patients = number_patients(["p", "q", "p", None, None])
    assert patients == [0, 1, 0, 2, 3]
    weights = np.concatenate(list(resample(patients, 450, 3)))
    assert weights.shape == (450, 5)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3, 4]].sum(axis=1) == 4).all()
    drawn = np.random.default_rng(3).integers(4, size=(450, 4))
    assert (weights[:, 1] == (drawn == 1).sum(axis=1)).all()


def test_bad_settings_are_refused():
    statistic = mean_of([1, 2])
    with pytest.raises(TaskError, match="2 notes and 3 groups"):
        bootstrap_interval(statistic, 2, groups=["a", "b", "c"])
    with pytest.raises(TaskError, match="0 notes"):
        bootstrap_interval(statistic, 0)
    with pytest.raises(TaskError, match="undefined on all 2 notes"):
        bootstrap_interval(lambda _: None, 2)
    with pytest.raises(TaskError, match="undefined on each of the 5 resamples; 1 patients"):
        drawn = iter([1.0])
        bootstrap_interval(lambda _: next(drawn, None), 1, resamples=5)
    wrong: list[dict[str, object]] = [
        *({"resamples": 0}, {"resamples": 2.5}, {"confidence": 1.0}, {"confidence": 0.0}),
        *({"seed": -1}, {"seed": None}),
    ]
    for settings in wrong:
        with pytest.raises(ConfigError, match="resamples is"):
            bootstrap_interval(statistic, 2, **settings)
