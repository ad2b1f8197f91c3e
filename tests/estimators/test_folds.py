import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.errors import TaskError
from clinical_tl.estimators.folds import assign_folds, distinct_rows


def test_copies_have_the_same_number():
    numbers = distinct_rows(np.array([[2.0, 1], [0, 1], [2, 1], [2, 2]])).tolist()
    assert numbers[0] == numbers[2]
    assert len(set(numbers)) == 3


@given(
    rows=st.lists(st.integers(0, 30), min_size=12, max_size=40),
    patients=st.lists(st.none() | st.integers(0, 25), min_size=40, max_size=40),
    seed=st.integers(0, 5),
)
def test_neither_a_patient_nor_a_copy_is_on_two_sides(rows, patients, seed):
    matrix = np.array(rows, dtype=np.float64)[:, None]
    groups = patients[: len(rows)]
    try:
        folds = assign_folds(matrix, 3, groups=groups, seed=seed)
    except TaskError:
        return
    assert set(folds.tolist()) == {0, 1, 2}
    for keys in (rows, groups):
        for key in set(keys) - {None}:
            assert len({fold for fold, own in zip(folds, keys, strict=True) if own == key}) == 1


def test_folds_are_even_and_depend_on_the_seed_alone():
    matrix = np.arange(20.0)[:, None]
    first, again, other = (assign_folds(matrix, 5, groups=None, seed=s) for s in (0, 0, 1))
    assert np.bincount(first).tolist() == [4] * 5
    assert first.tolist() == again.tolist() != other.tolist()


def test_groups_that_are_too_few_or_not_one_a_note_are_refused():
    matrix = np.arange(6.0)[:, None]
    with pytest.raises(TaskError, match="6 notes make 2 groups"):
        assign_folds(matrix, 3, groups=["a", "a", "a", "b", "b", "b"], seed=0)
    with pytest.raises(TaskError, match="6 notes have 5 groups"):
        assign_folds(matrix, 3, groups=[None] * 5, seed=0)
