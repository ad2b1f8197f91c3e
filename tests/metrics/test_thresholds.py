import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from clinical_tl.errors import ArtifactError, ConfigError, TaskError
from clinical_tl.metrics.coding import coding_scores
from clinical_tl.metrics.thresholds import Thresholds, steady_cut, tune_cut, tune_thresholds


@st.composite
def cases(draw):
    """Gold and scores of a few notes, with many equal scores and at least one positive."""
    notes, labels = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    size = notes * labels
    gold = draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(any))
    scores = draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))
    shape = (notes, labels)
    return np.array(gold).reshape(shape), np.array(scores).reshape(shape) / 8


def micro_f1(gold, predicted, missed=0):
    return 2 * (gold & predicted).sum() / max(gold.sum() + predicted.sum() + missed, 1)


def macro_f1(gold, predicted):
    present = gold.any(axis=0) | predicted.any(axis=0)
    return f1_score(
        gold[:, present].astype(int),
        predicted[:, present].astype(int),
        average="binary" if present.sum() == 1 else "macro",
        zero_division=0,
    )


def cuts(scores):
    return [float("-inf"), *np.unique(scores), float("inf")]


@settings(deadline=None, max_examples=150)
@given(cases(), st.integers(0, 5))
def test_micro_f1_equals_brute_force(case, unseen):
    gold, scores = case
    tuned = tune_thresholds(gold, scores, unseen_gold=unseen)
    best = max(micro_f1(gold, scores >= cut, unseen) for cut in cuts(scores))
    assert micro_f1(gold, tuned.apply(scores), unseen) == pytest.approx(best, abs=1e-12)
    # Of equally good cuts, the one that assigns least.
    least = min(
        (scores >= cut).sum()
        for cut in cuts(scores)
        if micro_f1(gold, scores >= cut, unseen) == best
    )
    assert tuned.apply(scores).sum() == least


@settings(deadline=None, max_examples=100)
@given(cases())
def test_macro_f1_equals_brute_force(case):
    gold, scores = case
    tuned = tune_thresholds(gold, scores, metric="macro_f1")
    best = max(macro_f1(gold, scores >= cut) for cut in cuts(scores) if (scores >= cut).any())
    assert macro_f1(gold, tuned.apply(scores)) == pytest.approx(best, abs=1e-9)
    least = min(
        (scores >= cut).sum()
        for cut in cuts(scores)
        if (scores >= cut).any() and macro_f1(gold, scores >= cut) > best - 1e-9
    )
    assert tuned.apply(scores).sum() == least


@settings(deadline=None, max_examples=100)
@given(cases())
def test_each_label_has_its_best_f1_without_shrinkage(case):
    gold, scores = case
    tuned = tune_thresholds(gold, scores, per_label=True, shrinkage=0)
    predicted = tuned.apply(scores)
    for label in range(gold.shape[1]):
        column, truth = scores[:, label], gold[:, label]
        if truth.any():
            best = max(micro_f1(truth, column >= cut) for cut in cuts(column))
            assert micro_f1(truth, predicted[:, label]) == pytest.approx(best, abs=1e-12)
        else:
            assert tuned.per_label[label] == tuned.global_threshold


@settings(deadline=None, max_examples=50)
@given(cases(), st.randoms())
def test_the_order_of_notes_does_not_matter(case, random):
    gold, scores = case
    order = list(range(len(gold)))
    random.shuffle(order)
    for metric in ("micro_f1", "macro_f1"):
        settings_ = {"per_label": True, "metric": metric}
        assert tune_thresholds(gold[order], scores[order], **settings_) == tune_thresholds(
            gold, scores, **settings_
        )


def test_the_threshold_is_midway_between_its_neighbours():
    gold = np.array([[True], [True], [False]])
    assert tune_thresholds(gold, [[0.9], [0.6], [0.2]]).global_threshold == pytest.approx(0.4)


def test_equally_good_cuts_give_the_highest_threshold():
    # Assigning 1 label (P 1, R 1/2) is as good as assigning 4 (P 1/2, R 1): F1 2/3.
    gold = np.array([[True], [False], [False], [True]])
    scores = [[0.9], [0.7], [0.5], [0.3]]
    assert tune_thresholds(gold, scores).global_threshold == pytest.approx(0.8)


def test_equally_good_macro_cuts_give_the_highest_threshold_too():
    # From 0.75 on: F1 1/2 and 1; everything: F1 1 and 1/2. Sums of floats must not decide.
    gold = np.array([[1, 0], [1, 1], [1, 0]], dtype=bool)
    scores = [[0.25, 0.25], [0.75, 0.75], [0.0, 0.25]]
    assert tune_thresholds(gold, scores, metric="macro_f1").global_threshold == 0.5


def test_where_everything_is_right_the_threshold_is_below_the_lowest_score():
    tuned = tune_thresholds(np.ones((2, 2), dtype=bool), [[0.9, 0.4], [0.3, 0.7]])
    assert tuned.global_threshold == 0.15
    assert tuned.apply([[0.3, 0.29, 0.1]]).tolist() == [[True, True, False]]
    assert tune_cut([-2.0, 0.5], [True, True]) == -3.0
    assert tune_cut([0.0, 0.5], [True, True]) == -1.0


@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 3),
)
def test_a_cut_is_best_and_never_on_a_score(pairs, missed):
    scores, right = (np.array(side) for side in zip(*pairs, strict=True))
    cut = tune_cut(scores, right, missed=missed)
    if not right.any():
        assert cut is None
        return
    assert cut not in scores

    def f1(least):
        return micro_f1(right, scores >= least, missed)

    assert f1(cut) == max(map(f1, cuts(scores)))


def test_without_anything_right_there_is_no_cut():
    assert tune_cut([], np.zeros(0, dtype=bool)) is None
    assert tune_cut([0.5], [False], missed=3) is None
    assert tune_thresholds(np.array([[False]]), [[0.5]]) is None
    assert tune_thresholds(np.array([[False]]), [[0.5]], metric="macro_f1") is None
    with pytest.raises(ConfigError, match="missed is -1"):
        tune_cut([0.5], [True], missed=-1)


def test_neighbouring_floats_are_told_apart():
    low = 0.5
    high = np.nextafter(low, 1)
    tuned = tune_thresholds(np.array([[True], [False]]), [[high], [low]])
    assert tuned.apply([[high], [low]]).tolist() == [[True], [False]]


def test_scores_in_float32_are_cut_where_float64_says():
    gold = np.array([[True], [False]])
    scores = np.array([[np.nextafter(np.float32(0.1), np.float32(1))], [0.1]], dtype=np.float32)
    assert np.array_equal(tune_thresholds(gold, scores).apply(scores), gold)


def test_rare_labels_are_drawn_to_the_global_threshold():
    random = np.random.default_rng(1)
    gold = random.random((200, 3)) < [0.4, 0.02, 0.0]
    scores = np.clip(random.normal(0.3, 0.1, (200, 3)) + 0.3 * gold * [1, 0.3, 1], 0, 1)
    own = tune_thresholds(gold, scores, per_label=True, shrinkage=0)
    drawn = tune_thresholds(gold, scores, per_label=True, shrinkage=10)
    shared = own.global_threshold
    assert drawn.global_threshold == shared == tune_thresholds(gold, scores).global_threshold
    for label in (0, 1):
        positives = gold[:, label].sum()
        weight = positives / (positives + 10)
        expected = weight * own.per_label[label] + (1 - weight) * shared
        assert drawn.per_label[label] == pytest.approx(expected, abs=1e-12)
    assert drawn.per_label[2] == shared
    far = tune_thresholds(gold, scores, per_label=True, shrinkage=1e12)
    assert far.per_label == pytest.approx([shared] * 3)


def test_the_tuned_figure_is_the_reported_one():
    random = np.random.default_rng(5)
    labels = [f"A{i}" for i in range(6)]
    is_gold = random.random((40, 6)) < 0.2
    scores = random.random((40, 6)) + 0.4 * is_gold
    gold = [
        [labels[j] for j in np.flatnonzero(row)] + ["Z99"] * (i % 2)
        for i, row in enumerate(is_gold)
    ]
    tuned = tune_thresholds(is_gold, scores, unseen_gold=20)
    reported = coding_scores(gold, scores, tuned.apply(scores), labels).micro_f1
    others = [coding_scores(gold, scores, scores >= cut, labels).micro_f1 for cut in cuts(scores)]
    assert reported == max(others)


@pytest.mark.parametrize("per_label", [None, (0.1, 1 / 3)])
def test_saved_and_read_back_bit_by_bit(per_label):
    thresholds = Thresholds(0.1 + 0.2, per_label)
    assert Thresholds.from_dict(json.loads(json.dumps(thresholds.to_dict()))) == thresholds


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"global": 0.5}, "allowed: global, per_label"),
        ({"global": "0.5", "per_label": None}, "not a finite number"),
        ({"global": True, "per_label": None}, "not a finite number"),
        ({"global": 0.5, "per_label": [float("nan")]}, "not a finite number"),
        ({"global": 0.5, "per_label": 0.5}, "allowed: a list"),
    ],
)
def test_damaged_thresholds_are_refused(values, message):
    with pytest.raises(ArtifactError, match=message):
        Thresholds.from_dict(values)


def test_apply_takes_no_notes_and_refuses_other_labels():
    assert Thresholds(0.5).apply(np.zeros((0, 3))).shape == (0, 3)
    with pytest.raises(TaskError, match="scores have 3 labels, the thresholds 2"):
        Thresholds(0.5, (0.5, 0.5)).apply(np.zeros((1, 3)))


def test_what_can_not_be_tuned_is_refused():
    gold, scores = np.array([[True]]), np.array([[0.5]])
    with pytest.raises(TaskError, match="gold is of type int64"):
        tune_thresholds(gold.astype(int), scores)
    with pytest.raises(ConfigError, match="allowed: micro_f1, macro_f1"):
        tune_thresholds(gold, scores, metric="accuracy")
    with pytest.raises(ConfigError, match="allowed: 0 or more"):
        tune_thresholds(gold, scores, shrinkage=-1)
    with pytest.raises(ConfigError, match="allowed: 0 or more"):
        tune_thresholds(gold, scores, shrinkage=float("nan"))


def drawn_notes(random, n):
    """Notes with four mentions each; those that are right have higher scores as a rule."""
    right = random.random(4 * n) < 0.6
    logits = random.normal(size=4 * n) + np.where(right, 1.0, -1.0)
    scores = 1 / (1 + np.exp(-logits))
    of_note = np.repeat(np.arange(n), 4)
    gold = np.bincount(of_note, weights=right, minlength=n) + (random.random(n) < 0.3)
    return scores, right, of_note, gold


def f1_at(threshold, drawn):
    scores, right, _, gold = drawn
    taken = scores >= (threshold or 0.0)
    return 2 * (taken & right).sum() / (taken.sum() + gold.sum())


def test_a_steady_cut_is_nearer_to_the_best_and_varies_less():
    """On notes that did not choose it; the best cut of twenty notes is partly their luck."""
    random = np.random.default_rng(0)
    others = drawn_notes(random, 5000)
    found = {tune_cut: [], steady_cut: []}
    for _ in range(40):
        scores, right, _, gold = own = drawn_notes(random, 20)
        best = tune_cut(scores, right, missed=int(gold.sum() - right.sum()))
        found[tune_cut].append(f1_at(best, others))
        found[steady_cut].append(f1_at(steady_cut(*own), others))
    assert np.mean(found[steady_cut]) > np.mean(found[tune_cut]) + 0.002
    assert np.std(found[steady_cut]) < 0.8 * np.std(found[tune_cut])


def test_a_steady_cut_is_the_mean_of_the_best_on_resamples():
    own = drawn_notes(np.random.default_rng(1), 12)
    scores, right, of_note, gold = own
    distinct = np.unique(scores)
    cuts = np.append(distinct[0] / 2, distinct[:-1] + np.diff(distinct) / 2)
    best = []
    for times in np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=200):
        weight = times[of_note]
        f1 = [
            2 * (weight * right * (scores >= cut)).sum()
            / ((weight * (scores >= cut)).sum() + (times * gold).sum())
            for cut in cuts
        ]  # fmt: skip
        best.append(cuts[int(np.argmax(f1))])
    assert steady_cut(*own) == pytest.approx(np.mean(best), abs=1e-12)
    assert steady_cut(*own) == steady_cut(*own)


def test_a_cut_that_most_resamples_gain_nothing_by_is_none():
    scores, right = np.linspace(0.5, 0.9, 40), np.ones(40, dtype=bool)
    of_note = np.arange(40) % 10
    assert steady_cut(scores, right, of_note, np.full(10, 4)) is None
    # One wrong mention that a note has lowest is in two thirds of the resamples.
    right[0] = False
    assert steady_cut(scores, right, of_note, np.full(10, 4)) is None
    right[1:4] = False
    assert steady_cut(scores, right, of_note, np.full(10, 4)) is not None
    assert steady_cut(scores, ~np.ones(40, dtype=bool), of_note, np.full(10, 4)) is None
    assert steady_cut([], np.zeros(0, dtype=bool), [], [2.0]) is None


def test_many_scores_make_no_more_cuts_than_are_tried():
    own = drawn_notes(np.random.default_rng(2), 3000)
    scores, right, _, gold = own
    best = tune_cut(scores, right, missed=int(gold.sum() - right.sum()))
    assert f1_at(steady_cut(*own), own) == pytest.approx(f1_at(best, own), abs=0.002)


def drawn_codes(random, n):
    """Probabilities of 300 codes, most of them near 0, and which of them the notes have."""
    odds = np.exp(random.normal(-5, 1.5, (n, 300)))
    scores = odds / (1 + odds)
    return random.random((n, 300)) < scores, np.clip(
        scores * random.lognormal(0, 1, (n, 300)), 0, 1
    )


def test_of_many_codes_a_steady_threshold_is_nearer_to_the_best_and_varies_less():
    random = np.random.default_rng(3)
    others, other_scores = drawn_codes(random, 4000)

    def f1(thresholds):
        given = thresholds.apply(other_scores)
        return 2 * (given & others).sum() / (given.sum() + others.sum() + 400)

    found = {False: [], True: []}
    for _ in range(25):
        gold, scores = drawn_codes(random, 20)
        for steady, values in found.items():
            values.append(f1(tune_thresholds(gold, scores, steady=steady, unseen_gold=2)))
    assert np.mean(found[True]) > np.mean(found[False]) + 0.002
    assert np.std(found[True]) < 0.8 * np.std(found[False])


def test_where_all_labels_are_best_a_steady_threshold_gives_them():
    gold, scores = np.ones((10, 2), dtype=bool), np.linspace(0.3, 0.9, 20).reshape(10, 2)
    assert tune_thresholds(gold, scores, steady=True).global_threshold == pytest.approx(0.15)
    assert tune_thresholds(~gold, scores, steady=True) is None


def test_among_many_scores_near_zero_the_cuts_that_are_tried_are_where_the_best_is():
    random = np.random.default_rng(4)
    scores = random.random((100, 4000)) ** 100
    gold = random.random(scores.shape) < scores**2
    best, steady = (tune_thresholds(gold, scores, steady=steady) for steady in (False, True))
    f1 = [f1_of(gold, cut.apply(scores)) for cut in (best, steady)]
    assert f1[1] == pytest.approx(f1[0], abs=0.005)


def f1_of(gold, given):
    return 2 * (given & gold).sum() / (given.sum() + gold.sum())
