import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from clinical_tl.metrics.auroc import auroc, macro_auroc


def test_a_case_by_hand():
    # Pairs: (0.8 > 0.3), (0.8 > 0.5), (0.5 > 0.3), (0.5 = 0.5, one half): 3.5 of 4.
    gold = np.array([True, False, True, False])
    assert auroc(gold, np.array([0.8, 0.3, 0.5, 0.5])) == 3.5 / 4


def test_one_class_is_undefined_rather_than_a_number():
    assert auroc(np.array([True, True]), np.array([0.1, 0.9])) is None
    assert auroc(np.array([False, False]), np.array([0.1, 0.9])) is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_equal_to_scikit_learn_with_ties(pairs):
    gold = np.array([positive for positive, _ in pairs])
    scores = np.array([score / 7 for _, score in pairs])
    if gold.all() or not gold.any():
        assert auroc(gold, scores) is None
    else:
        assert auroc(gold, scores) == pytest.approx(roc_auc_score(gold, scores), abs=1e-12)


def test_macro_is_over_labels_with_both_classes_and_says_how_many():
    random = np.random.default_rng(3)
    gold = random.random((40, 4)) < 0.3
    gold[:, 1] = False
    gold[:, 2] = True
    scores = random.random((40, 4))
    expected = (
        roc_auc_score(gold[:, 0], scores[:, 0]) + roc_auc_score(gold[:, 3], scores[:, 3])
    ) / 2
    value, labels = macro_auroc(gold, scores)
    assert labels == 2
    assert value == pytest.approx(expected, abs=1e-12)


def test_macro_of_nothing_defined_is_none():
    assert macro_auroc(np.zeros((3, 2), dtype=bool), np.zeros((3, 2))) == (None, 0)
