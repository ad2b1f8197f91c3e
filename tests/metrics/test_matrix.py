import numpy as np
import pytest

from clinical_tl.errors import TaskError
from clinical_tl.metrics.matrix import bool_matrix, column_names, probability_matrix, score_matrix


def test_lists_and_float32_become_float64():
    assert score_matrix([[1, 2]], name="scores").dtype == np.float64
    assert score_matrix(np.ones((1, 2), dtype=np.float32), name="scores").dtype == np.float64


def test_a_wrong_shape_names_both_shapes():
    with pytest.raises(TaskError, match=r"scores has the shape \(2, 3\); allowed: \(2, 4\)"):
        score_matrix(np.zeros((2, 3)), name="scores", shape=(2, 4))
    with pytest.raises(TaskError, match=r"shape \(3,\); allowed: two axes"):
        score_matrix(np.zeros(3), name="scores")


def test_values_that_are_not_finite_are_located():
    values = np.zeros((3, 2))
    values[1] = [np.nan, np.inf]
    with pytest.raises(TaskError, match="2 values that are not finite, the first in row 1"):
        score_matrix(values, name="scores")


def test_an_empty_array_is_refused_unless_allowed():
    with pytest.raises(TaskError, match="nothing to score"):
        score_matrix(np.zeros((0, 3)), name="scores")
    assert score_matrix(np.zeros((0, 3)), name="scores", allow_empty=True).shape == (0, 3)


def test_logits_are_no_probabilities():
    with pytest.raises(TaskError, match="values from -1 to 2; allowed: 0 to 1"):
        probability_matrix([[-1.0, 2.0]], name="probabilities")
    with pytest.raises(TaskError, match="values from 0 to 2"):
        probability_matrix([[0.0, 2.0]], name="probabilities")


def test_scores_are_no_decisions():
    with pytest.raises(TaskError, match="predicted is of type float64; allowed: bool"):
        bool_matrix(np.ones((1, 2)), name="predicted", shape=(1, 2))
    with pytest.raises(TaskError, match="shape"):
        bool_matrix(np.ones((1, 2), dtype=bool), name="predicted", shape=(2, 2))


@pytest.mark.parametrize("labels", [(), ("a", "a")])
def test_columns_have_distinct_names(labels):
    with pytest.raises(TaskError, match="allowed: at least one, each once"):
        column_names(labels)
