import numpy as np
import pytest

from clinical_tl.errors import TaskError
from clinical_tl.estimators.features import feature_matrix, indicators


def test_classes_become_columns_in_order_of_their_names():
    found = indicators(["b", "a", "b"], rows=3)
    assert found.columns.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert found.classes.tolist() == [1, 0, 1]


def test_labels_stay_columns():
    found = indicators(np.array([[True, False], [False, True]]), rows=2)
    assert found.columns.tolist() == [[1, 0], [0, 1]]
    assert found.classes is None


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1], r"have the shape \(2,\)"),
        ([1, 1, 1], "all 3 examples are of one class"),
        ([[0, 2], [1, 0], [0, 0]], "values other than 0 and 1"),
        ([[1, 0], [1, 1], [1, 0]], r"1 of 2 labels hold for all 3 .* columns \[0\]"),
        (np.zeros((3, 0)), "0 of 0 labels"),
    ],
)
def test_targets_that_cannot_be_estimated_are_refused(y, message):
    with pytest.raises(TaskError, match=message):
        indicators(y, rows=3)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros(3), r"X has the shape \(3,\)"),
        (np.zeros((1, 3)), "at least 2 rows"),
        (np.zeros((4, 0)), r"\(4, 0\)"),
        ([[0.0, 1.0], [np.nan, 0.0], [np.inf, 0.0]], "2 rows .* the first is row 1"),
    ],
)
def test_features_that_are_none_are_refused(features, message):
    with pytest.raises(TaskError, match=message):
        feature_matrix(features, name="X")
