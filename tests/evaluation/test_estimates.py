"""Shares with an interval: resamples that are all alike do not pass for certainty."""

from collections import Counter

import numpy as np
import pytest

from clinical_tl.evaluation.estimates import Bootstrap
from clinical_tl.metrics.note_counts import count_labels


@pytest.mark.parametrize("patients", [2, 9, 30])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_of_nothing_or_all_the_interval_is_the_exact_one(patients, confidence):
    # Three notes a patient, alike: no more is known than of so many patients. One has nothing.
    owners = [note // 3 for note in range(3 * patients)] + [patients]
    whole = np.array([4.0] * 3 * patients + [0.0])
    bootstrap = Bootstrap(owners, 20, confidence, 0)
    every, none = bootstrap.ratio(whole, whole), bootstrap.ratio(0 * whole, whole)
    edge = ((1 - confidence) / 2) ** (1 / patients)
    assert (every.value, every.high) == (1.0, 1.0)
    assert (none.value, none.low) == (0.0, 0.0)
    assert every.low == pytest.approx(edge)
    assert none.high == pytest.approx(1 - edge)


def test_one_patient_tells_nothing_of_others():
    bootstrap = Bootstrap([0, 0, 1], 20, 0.95, 0)
    found = bootstrap.ratio(np.array([1.0, 2.0, 0.0]), np.array([2.0, 2.0, 0.0]))
    assert (found.value, found.low, found.high) == (0.75, 0.0, 1.0)
    assert bootstrap.ratio(np.zeros(3), np.zeros(3)) is None


def test_in_between_patients_are_resampled():
    bootstrap = Bootstrap([0, 1, 2, 3], 200, 0.95, 0)
    found = bootstrap.ratio(np.array([1.0, 1.0, 1.0, 0.0]), np.ones(4))
    assert 0.0 < found.low < found.value == 0.75 < found.high <= 1.0


def test_scores_and_labels_that_are_all_right_have_a_width():
    labels = [("a", "a"), ("b", "b")] * 10 + [("c", "c"), ("d", "e")]
    rows = [(Counter({g: g == p}), Counter([g]), Counter([p])) for g, p in labels]
    counts = count_labels(rows, {"micro_f1": "micro_f1", "macro_f1": "macro_f1"})
    bootstrap = Bootstrap(range(len(rows)), 50, 0.95, 0)
    right = bootstrap.estimates(counts, range(20))
    edge = 0.025 ** (1 / 20)
    for metric in ("micro_f1", "macro_f1"):
        assert (right[metric].value, right[metric].high) == (1.0, 1.0)
        assert right[metric].low == pytest.approx(edge)
    wrong = bootstrap.estimates(counts, [21])["micro_f1"]
    assert (wrong.value, wrong.low) == (0.0, 0.0)
    assert wrong.high == pytest.approx(0.975)
    found = bootstrap.labels(counts)
    assert found["a"].low == pytest.approx(0.025 ** (1 / 10))
    # One patient alone has them.
    assert not {"c", "d", "e"} & set(found)
