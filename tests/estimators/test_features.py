import numpy as np
import pytest
from scipy.sparse import csr_array

from clinical_tl.errors import TaskError
from clinical_tl.estimators import features
from clinical_tl.estimators.features import feature_matrix, indicators, number_matrix


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
    ("given", "message"),
    [
        (np.zeros(3), r"X has the shape \(3,\)"),
        (np.zeros((1, 3)), r"1 sample\(s\).* a minimum of 2"),
        (np.zeros((4, 0)), r"\(4, 0\)"),
        ([[0.0, 1.0], [np.nan, 0.0], [np.inf, 0.0]], "2 rows .* the first is row 1"),
        (np.ones((2, 2)) * 1j, "Complex data not supported"),
        (csr_array(np.eye(3)), "X is sparse"),
    ],
)
def test_features_that_are_none_are_refused(given, message):
    with pytest.raises(TaskError, match=message):
        feature_matrix(given)


@pytest.mark.parametrize("kind", [object, str])
def test_what_is_no_number_is_refused_and_not_quoted(kind):
    texts = np.array([["Zebulon Quixote was seen"] * 5] * 9, dtype=kind)
    with pytest.raises(TaskError, match="give numbers") as caught:
        feature_matrix(texts)
    assert "Zebulon" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_not_finite_is_found_in_any_piece(monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 3)
    matrix = np.zeros((8, 2))
    matrix[[4, 7], 1] = np.inf
    with pytest.raises(TaskError, match=r"2 rows .* the first is row 4"):
        number_matrix(matrix)


def test_numbers_keep_their_type_and_embeddings_become_float64():
    matrix = np.ones((2, 3), dtype=np.float32)
    assert number_matrix(matrix) is matrix
    assert feature_matrix(matrix).dtype == np.float64
