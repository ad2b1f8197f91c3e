import pytest
from scipy.stats import kendalltau, weightedtau

from clinical_tl.errors import TaskError
from clinical_tl.estimators.agreement import agreement

SCORES = {
    "log_me": [0.5, 0.9, 0.1, 0.7],
    "h_score": [3.0, 2.0, 1.0, 2.0],
    "knn": [0.2, 0.2, 0.2, 0.2],
}


def test_ranks_and_borda_by_hand():
    found = agreement(SCORES)
    assert found.ranks == {
        "log_me": (3.0, 1.0, 4.0, 2.0),
        "h_score": (1.0, 2.5, 4.0, 2.5),
        "knn": (2.5, 2.5, 2.5, 2.5),
    }
    assert found.mean_rank == pytest.approx((6.5 / 3, 2.0, 3.5, 7 / 3))
    assert found.borda == (5.5, 6.0, 1.5, 5.0)
    assert found.order == (1, 0, 3, 2)


def test_correlations_are_scipys_and_none_for_ties_alone():
    pairs = {(pair.first, pair.second): pair for pair in agreement(SCORES).pairs}
    found = pairs["log_me", "h_score"]
    a, b = SCORES["log_me"], SCORES["h_score"]
    assert found.tau == pytest.approx(kendalltau(a, b).statistic)
    assert found.weighted_tau == pytest.approx(weightedtau(a, b).statistic)
    assert found.tau != found.weighted_tau
    # Of six pairs, three agree, two disagree and one is tied.
    assert found.tau == pytest.approx(1 / (6 * 5) ** 0.5)
    assert pairs["log_me", "knn"].tau is None
    assert pairs["log_me", "knn"].row() == {
        "first": "log_me",
        "second": "knn",
        "tau": None,
        "weighted_tau": None,
    }


def test_one_estimator_and_ties_keep_the_given_order():
    assert agreement({"knn": [0.1, 0.3, 0.3]}).order == (1, 2, 0)
    assert agreement({"knn": [0.1, 0.3]}).pairs == ()


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "0 estimators"),
        ({"a": [1.0]}, r"\[1\] candidates"),
        ({"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}, r"\[2, 3\] candidates"),
        ({"a": [1.0, float("nan")]}, "'a' has a score that is not finite"),
    ],
)
def test_what_cannot_be_ranked_is_refused(scores, message):
    with pytest.raises(TaskError, match=message):
        agreement(scores)
