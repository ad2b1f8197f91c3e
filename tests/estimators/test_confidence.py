"""Confidence thresholds, by hand and against every threshold there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.errors import TaskError
from clinical_tl.estimators.confidence import NEVER, confidence_thresholds


def test_the_lowest_confidence_that_is_right_often_enough():
    # From the surest down (right + 1) / (n + 2) is 2/3, 3/4, 4/5, 5/6, 5/7, 6/8.
    confidence = [0.99, 0.9, 0.8, 0.7, 0.6, 0.5]
    correct = [1, 1, 1, 1, 0, 1]
    found = confidence_thresholds(["a"] * 6, confidence, correct, precision=0.8, min_predictions=1)
    assert found.of("a") == 0.7
    lower = confidence_thresholds(["a"] * 6, confidence, correct, precision=0.74, min_predictions=1)
    assert lower.of("a") == 0.5
    assert confidence_thresholds(["a"] * 6, confidence, correct, precision=0.95).of("a") == NEVER


def test_a_class_with_few_predictions_takes_the_threshold_of_all():
    classes = ["rare"] * 2 + ["often"] * 10
    confidence = np.linspace(0.9, 0.5, 12)
    # The two surest are wrong: over all at most 11/14 are right, over the others 11/12.
    correct = [0] * 2 + [1] * 10
    found = confidence_thresholds(classes, confidence, correct, precision=0.8)
    assert found.judged == ("often",)
    assert found.of("rare") == found.shared == found.of("never predicted")
    assert (found.of("often"), found.of("rare")) == (0.5, NEVER)


def test_equal_confidences_come_in_together():
    found = confidence_thresholds(["a"] * 4, [0.9, 0.9, 0.9, 0.5], [1, 1, 1, 0], precision=0.75)
    assert found.shared == 0.9
    # Three of four at one confidence: 4/6 is below 0.75, whatever their order.
    for correct in ([1, 1, 1, 0], [0, 1, 1, 1]):
        assert confidence_thresholds(["a"] * 4, [0.9] * 4, correct, precision=0.75).shared == NEVER


@given(
    st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=1),
    st.floats(0.05, 0.95),
)
def test_no_lower_threshold_would_do(rows, precision):
    sure, right = (np.array(part) for part in zip(*rows, strict=True))
    found = confidence_thresholds(["a"] * len(rows), sure, right, precision=precision).shared
    good = [
        t
        for t in np.unique(sure)
        if (right[sure >= t].sum() + 1) / ((sure >= t).sum() + 2) >= precision
    ]
    assert found == (min(good) if good else NEVER)


def test_nothing_predicted_means_nothing_taken():
    found = confidence_thresholds([], [], [], precision=0.9)
    assert found.of("anything") == NEVER


def test_misuse_is_refused():
    with pytest.raises(TaskError, match="one of each"):
        confidence_thresholds(["a"], [0.5, 0.6], [True], precision=0.9)
    with pytest.raises(TaskError, match="in \\(0, 1\\)"):
        confidence_thresholds(["a"], [0.5], [True], precision=1.0)
