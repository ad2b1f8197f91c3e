import numpy as np
import pytest

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.checks import check_at_least, check_embeddings, check_varied


def test_embeddings_become_float64():
    matrix = check_embeddings(np.ones((2, 3), dtype=np.float32), dimension=3)
    assert matrix.dtype == np.float64
    assert matrix.shape == (2, 3)


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.ones(3), r"has the shape \(3,\)"),
        (np.ones((0, 3)), r"has the shape \(0, 3\)"),
        (np.ones((2, 4)), "have 4 dimensions, those of training 3"),
        (np.array([[1, 1, 1], [1, np.nan, 1]]), "1 rows with a value that is not finite"),
        (np.array([[1, np.inf, 1], [1, 1, 1]]), "the first is row 0"),
    ],
)
def test_faulty_embeddings_are_refused(embeddings, message):
    with pytest.raises(TaskError, match=message):
        check_embeddings(embeddings, dimension=3)


def test_notes_that_are_all_alike_are_refused():
    check_varied(np.array([[1.0, 2], [1, 3]]))
    with pytest.raises(TaskError, match="all 2 notes have the same embedding"):
        check_varied(np.array([[1.0, 2], [1, 2]]))


def test_settings_have_a_least_value():
    check_at_least(1, trees=1)
    with pytest.raises(ConfigError, match="trees=0; allowed: at least 1"):
        check_at_least(1, trees=0)
