import pytest

from clinical_tl.errors import TaskError
from clinical_tl.metrics.label_score import LabelScore, average, check_same_notes, pool


def test_ratios_follow_from_the_counts():
    score = LabelScore("I10", tp=3, fp=1, fn=2)
    assert (score.precision, score.recall, score.f1, score.support) == (0.75, 0.6, 6 / 9, 5)
    assert score.row() == {
        "label": "I10",
        "tp": 3,
        "fp": 1,
        "fn": 2,
        "precision": 0.75,
        "recall": 0.6,
        "f1": 6 / 9,
        "support": 5,
    }


def test_nothing_divided_by_nothing_is_zero():
    empty = LabelScore("x", 0, 0, 0)
    assert (empty.precision, empty.recall, empty.f1) == (0, 0, 0)
    assert not empty.is_present
    assert average([]).micro_f1 == average([]).macro_f1 == average([]).weighted_f1 == 0


def test_micro_macro_and_weighted_are_three_different_averages():
    common = LabelScore("common", tp=90, fp=30, fn=10)
    rare = LabelScore("rare", tp=1, fp=0, fn=9)
    averages = average([common, rare])
    assert averages.micro_f1 == pytest.approx(182 / (182 + 30 + 19))
    assert averages.macro_f1 == pytest.approx((180 / 220 + 2 / 11) / 2)
    assert averages.weighted_f1 == pytest.approx((180 / 220 * 100 + 2 / 11 * 10) / 110)
    assert len({averages.micro_f1, averages.macro_f1, averages.weighted_f1}) == 3
    # Not the harmonic mean of the macro averages either.
    p, r = averages.macro_precision, averages.macro_recall
    assert averages.macro_f1 != pytest.approx(2 * p * r / (p + r))


def test_labels_that_never_occur_change_no_average():
    found = LabelScore("found", 2, 1, 1)
    assert average([found, LabelScore("idle", 0, 0, 0)]) == average([found])


def test_pool_adds_the_counts():
    assert pool([LabelScore("a", 1, 2, 3), LabelScore("b", 4, 5, 6)]) == LabelScore(
        "micro", 5, 7, 9
    )


def test_gold_and_predictions_must_be_of_the_same_notes():
    with pytest.raises(TaskError, match="gold has 2 notes, the predictions 3"):
        check_same_notes(2, 3)
    with pytest.raises(TaskError, match="no tag sequences to score"):
        check_same_notes(0, 0, unit="tag sequences")
