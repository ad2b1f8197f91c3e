import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from clinical_tl.errors import TaskError
from clinical_tl.metrics.coding import OtherCodes, coding_scores

UNSEEN = ("Z98.1", "Z99.0")


def example(seed=0, notes=50, codes=30):
    random = np.random.default_rng(seed)
    labels = [f"A{i:02d}" for i in range(codes)]
    is_gold = random.random((notes, codes)) < np.linspace(0, 0.3, codes)
    scores = random.random((notes, codes)) + 0.5 * is_gold
    predicted = scores > 0.8
    predicted[:, 5:8] = False
    unseen = random.random((notes, 2)) < 0.2
    gold = [
        [labels[j] for j in np.flatnonzero(is_gold[i])]
        + [UNSEEN[j] for j in np.flatnonzero(unseen[i])]
        for i in range(notes)
    ]
    return gold, scores, predicted, labels, is_gold, unseen


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_scikit_learn_with_unseen_codes_as_missed(seed):
    gold, scores, predicted, labels, is_gold, unseen = example(seed)
    found = coding_scores(gold, scores, predicted, labels)
    # For scikit-learn an unseen code is a column that is never predicted.
    true = np.hstack([is_gold, unseen])
    claimed = np.hstack([predicted, np.zeros_like(unseen)])
    micro = precision_recall_fscore_support(true, claimed, average="micro", zero_division=0)
    assert (found.micro_precision, found.micro_recall, found.micro_f1) == pytest.approx(
        micro[:3], abs=1e-12
    )
    either = true.any(axis=0) | claimed.any(axis=0)
    macro = precision_recall_fscore_support(
        true[:, either], claimed[:, either], average="macro", zero_division=0
    )
    assert (found.macro_precision, found.macro_recall, found.macro_f1) == pytest.approx(
        macro[:3], abs=1e-12
    )
    in_gold = true.any(axis=0)
    edin = precision_recall_fscore_support(
        true[:, in_gold], claimed[:, in_gold], average="macro", zero_division=0
    )
    assert found.macro_f1_gold == pytest.approx(edin[2], abs=1e-12)
    assert found.macro_f1 <= found.macro_f1_gold
    assert len(found.per_label) == either.sum()
    assert found.unseen_codes == unseen.any(axis=0).sum()
    assert found.unseen_gold == unseen.sum()


@pytest.mark.parametrize("seed", range(3))
def test_auroc_equals_scikit_learn(seed):
    gold, scores, predicted, labels, is_gold, _ = example(seed)
    found = coding_scores(gold, scores, predicted, labels)
    assert found.auroc_micro == pytest.approx(
        roc_auc_score(is_gold.ravel(), scores.ravel()), abs=1e-12
    )
    both = is_gold.any(axis=0) & ~is_gold.all(axis=0)
    assert not both.all()
    assert found.auroc_labels == both.sum()
    assert found.auroc_macro == pytest.approx(
        roc_auc_score(is_gold[:, both], scores[:, both], average="macro"), abs=1e-12
    )


def test_the_filtered_auroc_is_the_one_reported():
    # B is in no note; its column must neither pull the macro figure nor replace it.
    scores = [[0.9, 0.9], [0.1, 0.8]]
    found = coding_scores([["A"], []], scores, np.zeros((2, 2), dtype=bool), ["A", "B"])
    assert found.auroc_macro == found.summary()["auroc_macro"] == 1
    assert found.auroc_micro == pytest.approx((1 + 1 + 0.5) / 3)


def test_a_case_by_hand():
    gold = [["A", "B", "X"], ["A"], []]
    scores = [[0.9, 0.2, 0.7], [0.8, 0.1, 0.3], [0.4, 0.3, 0.6]]
    found = coding_scores(gold, scores, np.array(scores) > 0.5, ["A", "B", "C"], {"A": 30, "B": 2})
    # A: tp 2; B: fn 1; C: fp 2; X: fn 1.
    assert found.micro_f1 == 4 / (4 + 2 + 2)
    assert found.macro_f1 == 1 / 4
    assert found.macro_f1_gold == 1 / 3
    assert (found.notes, found.notes_without_gold) == (3, 1)
    assert (found.unseen_codes, found.unseen_gold) == (1, 1)
    # Note 1: gold at ranks 1 and 3 of A, C, B, plus X: AP (1 + 2/3) / 3; note 2: AP 1.
    assert found.ranking.mean_average_precision == pytest.approx(((1 + 2 / 3) / 3 + 1) / 2)
    assert found.ranking.r_precision == pytest.approx((2 / 3 + 1) / 2)
    assert found.ranking.precision_at_5 == pytest.approx((2 / 5 + 1 / 5) / 2)
    assert [row.label for row in found.per_label] == ["A", "B", "C", "X"]
    assert [(band.band, band.codes, band.support, band.micro_f1) for band in found.bands] == [
        ("0", 2, 1, 0.0),
        ("1-5", 1, 1, 0.0),
        ("21-100", 1, 2, 1.0),
    ]


def test_bands_begin_and_end_where_they_say():
    support = {"a": 0, "b": 1, "c": 5, "d": 6, "e": 20, "f": 21, "g": 100, "h": 101}
    labels = list(support)
    every = np.ones((1, 8), dtype=bool)
    found = coding_scores([labels], np.ones((1, 8)), every, labels, support)
    assert [(band.band, band.codes) for band in found.bands] == [
        ("0", 1),
        ("1-5", 2),
        ("6-20", 2),
        ("21-100", 2),
        ("101+", 1),
    ]
    assert found.bands[1].row() == {
        "train_notes": "1-5",
        "codes": 2,
        "support": 2,
        "micro_f1": 1.0,
        "macro_f1": 1.0,
    }


def test_macro_f1_ignores_labels_that_never_occur():
    few = coding_scores([["A"]], [[0.9]], np.array([[True]]), ["A"])
    many = coding_scores(
        [["A"]], [[0.9, 0.1, 0.1]], np.array([[True, False, False]]), ["A", "B", "C"]
    )
    assert few.macro_f1 == many.macro_f1 == 1


def test_micro_f1_is_not_the_weighted_one():
    gold, scores, predicted, labels, is_gold, _ = example()
    seen = [[code for code in codes if code not in UNSEEN] for codes in gold]
    found = coding_scores(seen, scores, predicted, labels)
    weighted = precision_recall_fscore_support(
        is_gold, predicted, average="weighted", zero_division=0
    )[2]
    assert abs(found.micro_f1 - weighted) > 0.01


def test_a_code_given_twice_counts_once():
    rest = ([[0.9, 0.8]], np.array([[True, False]]), ["A", "B"])
    once = coding_scores([["A", "B", "X"]], *rest)
    assert coding_scores([["A", "B", "A", "X", "X"]], *rest) == once
    assert once.unseen_gold == 1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.randoms())
def test_the_order_of_notes_does_not_matter(seed, random):
    gold, scores, predicted, labels, _, _ = example(seed, notes=12, codes=6)
    order = list(range(12))
    random.shuffle(order)
    shuffled = coding_scores([gold[i] for i in order], scores[order], predicted[order], labels)
    assert shuffled == coding_scores(gold, scores, predicted, labels)


def test_summary_leaves_out_what_is_undefined():
    gold, scores, predicted, labels, _, _ = example()
    assert list(coding_scores(gold, scores, predicted, labels, {"A20": 3}).summary()) == [
        "micro_f1",
        "micro_precision",
        "micro_recall",
        "macro_f1",
        "macro_precision",
        "macro_recall",
        "macro_f1_gold",
        "auroc_micro",
        "auroc_macro",
        "precision_at_5",
        "precision_at_8",
        "precision_at_15",
        "r_precision",
        "map",
        "micro_f1_train_0",
        "micro_f1_train_1-5",
        "notes",
        "notes_without_gold",
        "unseen_codes",
        "unseen_gold",
    ]
    empty = coding_scores([[]], [[0.1]], np.array([[False]]), ["A"]).summary()
    assert "map" not in empty
    assert "auroc_micro" not in empty
    assert empty["notes_without_gold"] == 1


@pytest.mark.parametrize("codes", ["I10", None, 3])
def test_codes_that_are_no_collection_are_refused(codes):
    with pytest.raises(TaskError, match="note at position 1 are of type"):
        coding_scores([[], codes], [[0.1], [0.2]], np.zeros((2, 1), dtype=bool), ["I10"])


def test_scores_in_place_of_decisions_are_refused():
    with pytest.raises(TaskError, match="predicted is of type float64"):
        coding_scores([["A"]], [[0.9]], np.array([[0.9]]), ["A"])


@pytest.mark.parametrize("seed", range(4))
def test_codes_of_an_open_set_count_as_if_they_had_columns(seed):
    """What has no column is scored and ranked as if it had one."""
    gold, scores, predicted, labels, is_gold, unseen = example(seed)
    random = np.random.default_rng(seed + 100)
    names = (*UNSEEN, "Z00.1")
    own = random.random((len(gold), 3))
    claimed = own > 0.6
    others = [
        OtherCodes(
            frozenset(names[j] for j in np.flatnonzero(claimed[i])),
            {name: own[i, j] for j, name in enumerate(names)},
        )
        for i in range(len(gold))
    ]
    found = coding_scores(gold, scores, predicted, labels, others=others)
    wide = coding_scores(
        gold, np.hstack([scores, own]), np.hstack([predicted, claimed]), [*labels, *names]
    )
    for name in ("micro_precision", "micro_recall", "micro_f1", "macro_f1", "macro_f1_gold"):
        assert getattr(found, name) == pytest.approx(getattr(wide, name), abs=1e-12)
    assert found.ranking == wide.ranking
    assert {label.label: label for label in found.per_label} == {
        label.label: label for label in wide.per_label
    }
    assert found.unseen_gold == int(unseen.sum())
    assert np.hstack([is_gold, unseen]).sum() == sum(label.support for label in found.per_label)
