import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from clinical_tl.metrics.ranking import RankingScores, ranking_scores


def rank(gold, scores, extra=0):
    gold = np.array([gold], dtype=bool)
    return ranking_scores(gold, np.array([scores], dtype=float), gold.sum(axis=1) + extra)


def test_a_case_by_hand():
    # Order of the columns: 1, 0, 3, 2, 4; gold at ranks 1, 3, 5.
    scores = rank([0, 1, 0, 1, 1], [0.8, 0.9, 0.3, 0.5, 0.1])
    assert scores.precision_at_5 == 3 / 5
    assert scores.precision_at_8 == 3 / 8
    assert scores.precision_at_15 == 3 / 15
    assert scores.r_precision == 2 / 3
    assert scores.mean_average_precision == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_gold_without_a_column_stays_in_the_denominators():
    scores = rank([1, 0], [0.9, 0.1], extra=1)
    assert scores.r_precision == 1 / 2
    assert scores.mean_average_precision == 1 / 2
    nothing_known = rank([0, 0], [0.9, 0.1], extra=3)
    assert nothing_known == RankingScores(0, 0, 0, 0, 0)


def test_ties_keep_column_order():
    assert rank([0, 1], [0.5, 0.5]).mean_average_precision == 1 / 2
    assert rank([1, 0], [0.5, 0.5]).mean_average_precision == 1
    # Long enough for an unstable sort to show.
    random = np.random.default_rng(0)
    gold, scores = random.random(300) < 0.1, random.integers(0, 4, 300)
    order = sorted(range(300), key=lambda column: (-scores[column], column))
    strict = np.empty(300)
    strict[order] = np.arange(300, 0, -1)
    assert rank(gold, scores) == rank(gold, strict)


def test_notes_without_gold_are_left_out():
    gold = np.array([[1, 0], [0, 0]], dtype=bool)
    scores = ranking_scores(gold, np.array([[0.9, 0.1], [0.9, 0.1]]), gold.sum(axis=1))
    assert scores.mean_average_precision == 1
    none = ranking_scores(gold[1:], np.array([[0.9, 0.1]]), np.array([0]))
    assert none == RankingScores(None, None, None, None, None)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any), st.randoms())
def test_average_precision_equals_scikit_learn_without_ties(gold, random):
    scores = list(range(len(gold)))
    random.shuffle(scores)
    assert rank(gold, scores).mean_average_precision == pytest.approx(
        average_precision_score(gold, scores), abs=1e-12
    )
