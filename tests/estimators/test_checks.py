from typing import Literal

import numpy as np
import pytest

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.checks import (
    check_at_least,
    check_labels,
    check_method,
    check_varied,
)


def test_notes_that_are_all_alike_are_refused():
    check_varied(np.array([[1.0, 2], [1, 3]]))
    with pytest.raises(TaskError, match="all 2 notes have the same embedding"):
        check_varied(np.array([[1.0, 2], [1, 2]]))


def test_settings_have_a_least_value():
    check_at_least(1, trees=1)
    with pytest.raises(ConfigError, match="trees=0; allowed: at least 1"):
        check_at_least(1, trees=0)


def test_labels_are_one_a_note():
    check_labels(None, 2)
    check_labels(["a", "b"], 2)
    with pytest.raises(TaskError, match="2 notes have 1 labels; give one a note"):
        check_labels(["a"], 2)


def test_methods_are_those_of_the_type():
    check_method("knn", Literal["knn", "kde"])
    with pytest.raises(ConfigError, match=r"method 'x': choose one of \('knn', 'kde'\)"):
        check_method("x", Literal["knn", "kde"])
