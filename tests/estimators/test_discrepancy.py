from math import exp, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.discrepancy import (
    RIDGE_PENALTIES,
    jensen_shannon,
    label_shift,
    mmd,
    proxy_a_distance,
)


def normal(rows, *, mean=0.0, seed=0, columns=3):
    return np.random.default_rng(seed).normal(mean, 1.0, (rows, columns))


def mmd_by_double_loop(first, second, bandwidth):
    """Gretton et al. 2012, eq. 3, term by term."""

    def kernel(x, y):
        return exp(-sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / (2 * bandwidth**2))

    m, n = len(first), len(second)
    xx = sum(kernel(first[i], first[j]) for i in range(m) for j in range(m) if i != j)
    yy = sum(kernel(second[i], second[j]) for i in range(n) for j in range(n) if i != j)
    xy = sum(kernel(x, y) for x in first for y in second)
    return xx / (m * (m - 1)) + yy / (n * (n - 1)) - 2 * xy / (m * n)


def test_mmd_is_the_papers_sum_and_its_bandwidth_the_median_distance():
    first, second = normal(7), normal(5, mean=1.0, seed=1)
    pooled = np.concatenate([first, second])
    distances = [np.linalg.norm(pooled[i] - pooled[j]) for i in range(12) for j in range(i + 1, 12)]
    found = mmd(first, second, seed=0)
    assert found.bandwidth == pytest.approx(np.median(distances), rel=1e-12)
    assert found.value == pytest.approx(
        mmd_by_double_loop(first, second, found.bandwidth), abs=1e-12
    )
    assert mmd(first, second, bandwidth=0.5, seed=0).value == pytest.approx(
        mmd_by_double_loop(first, second, 0.5), abs=1e-12
    )


def test_mmds_p_value_counts_the_permutations_themselves():
    first, second = normal(6), normal(4, mean=0.4, seed=5)
    pooled, found = np.concatenate([first, second]), mmd(first, second, permutations=30, seed=4)
    members = np.zeros((10, 30))
    members[:6] = 1
    dealt = np.random.default_rng(4).permuted(members, axis=0).astype(bool)
    values = [
        mmd_by_double_loop(pooled[dealt[:, i]], pooled[~dealt[:, i]], found.bandwidth)
        for i in range(30)
    ]
    as_large = sum(value >= found.value - 1e-12 for value in values)
    assert 0 < as_large < 30
    assert found.p_value == (1 + as_large) / 31


def test_mmd_tells_apart_what_differs_and_only_that():
    apart = mmd(normal(40), normal(40, mean=1.0, seed=1), seed=0)
    assert apart.p_value == 1 / 201
    assert apart.value > 0.05
    alike = [mmd(normal(30, seed=i), normal(30, seed=100 + i), seed=i).p_value for i in range(40)]
    assert sum(p <= 0.05 for p in alike) <= 6
    assert sum(p <= 0.5 for p in alike) >= 10


def test_mmd_of_a_set_with_itself_is_below_zero_and_not_significant():
    first = normal(20)
    found = mmd(first, first, seed=0)
    assert found.value < 0
    assert found.p_value > 0.9


def test_mmd_is_the_same_for_the_same_seed():
    first, second = normal(20), normal(25, mean=0.3, seed=1)
    assert mmd(first, second, seed=7) == mmd(first, second, seed=7)
    assert mmd(first, second, seed=7).p_value != mmd(first, second, seed=9).p_value


def proxy_by_hand(first, second, seed):
    """Ridge on ±1 whose penalty is chosen by brute-force leave-one-out within each fold."""
    pooled = np.concatenate([first, second])
    pooled = pooled - pooled.mean(axis=0)
    pooled = pooled / np.sqrt(np.mean([row @ row for row in pooled]))
    side = np.repeat([0, 1], len(first))
    wrong = 0
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    for fit, held_out in folds.split(pooled, side):
        losses = []
        for penalty in RIDGE_PENALTIES:
            loss = 0.0
            for i in fit:
                rest = fit[fit != i]
                model = RidgeClassifier(alpha=penalty).fit(pooled[rest], side[rest])
                loss += (model.decision_function(pooled[[i]])[0] - (2 * side[i] - 1)) ** 2
            losses.append(loss)
        best = RidgeClassifier(alpha=RIDGE_PENALTIES[int(np.argmin(losses))])
        wrong += (
            best.fit(pooled[fit], side[fit]).predict(pooled[held_out]) != side[held_out]
        ).sum()
    return wrong / len(pooled)


def test_proxy_a_distance_is_its_definition():
    random = np.random.default_rng(3)
    first, second = normal(15), normal(15, mean=0.6, seed=1)
    drawn_first, drawn_second = first[random.permutation(15)], second[random.permutation(15)]
    found = proxy_a_distance(first, second, seed=3)
    assert found.error == pytest.approx(proxy_by_hand(drawn_first, drawn_second, 3))
    assert 0 < found.error < 0.5
    assert found.value == pytest.approx(2 * (1 - 2 * found.error))


def test_proxy_a_distance_reaches_its_ends():
    apart = proxy_a_distance(normal(20), normal(60, mean=9.0, seed=1), seed=0)
    assert (apart.value, apart.error, apart.notes) == (2.0, 0.0, 20)
    alike = proxy_a_distance(normal(300), normal(150, seed=1), seed=0)
    assert alike.error == pytest.approx(0.5, abs=0.08)
    # 300 against 150 would be "right" 2 times in 3 without balance.
    assert alike.value < 0.35
    same = proxy_a_distance(np.zeros((10, 2)), np.zeros((10, 2)), seed=0)
    assert (same.value, same.error) == (0.0, 0.5)


def test_patients_known_again_do_not_make_two_domains():
    random = np.random.default_rng(0)
    # Two halves of one set of patients, whose notes lie near one another.
    patients = np.repeat(np.arange(40), 4)
    rows = random.normal(size=(40, 60))[patients] + 0.1 * random.normal(size=(160, 60))
    known = proxy_a_distance(rows[:80], rows[80:], seed=0)
    apart = proxy_a_distance(rows[:80], rows[80:], groups=patients.tolist(), seed=0)
    assert known.value > 1.5
    assert apart.value < 0.8
    with pytest.raises(TaskError, match=r"80 source notes drawn are of 1 patients"):
        proxy_a_distance(rows[:80], rows[80:], groups=[0] * 80 + [*range(80)], seed=0)
    with pytest.raises(TaskError, match=r"80 \+ 80 rows have 3 groups"):
        proxy_a_distance(rows[:80], rows[80:], groups=[1, 2, 3], seed=0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_jensen_shannon_is_scipys_squared_and_symmetric(pairs):
    p, q = ([pair[side] for pair in pairs] for side in (0, 1))
    if not sum(p) or not sum(q):
        with pytest.raises(TaskError, match="sums to 0"):
            jensen_shannon(p, q)
        return
    expected = jensenshannon(p, q, base=2) ** 2
    assert jensen_shannon(p, q) == pytest.approx(expected, abs=1e-9)
    assert jensen_shannon(q, p) == jensen_shannon(p, q)
    assert 0 <= jensen_shannon(p, q) <= 1


def test_jensen_shannon_by_hand():
    assert jensen_shannon([3, 0], [0, 5]) == 1.0
    assert jensen_shannon([1, 2], [2, 4]) == 0.0
    mixed = -(0.75 * log2(0.75) + 0.25 * log2(0.25))
    assert jensen_shannon([1, 0], [0.5, 0.5]) == pytest.approx(mixed - 0.5)


def test_label_shift_counts_labels_and_what_the_source_lacks():
    source = [["a"], ["a", "b"], [], ["b"]]
    target = [["a"], ["c", "c", "a"]]
    found = label_shift(source, target, seed=0)
    assert found.divergence == pytest.approx(jensen_shannon([2, 2, 0], [2, 0, 2]))
    assert found.unseen == 0.5


def test_label_shift_says_what_chance_alone_gives():
    random = np.random.default_rng(0)
    # 200 labels, 60 notes with one each: two halves of one set hardly share a label.
    notes = [[str(label)] for label in random.integers(0, 200, 60)]
    alike = label_shift(notes[:30], notes[30:], seed=0)
    assert alike.divergence > 0.7
    assert alike.by_chance == pytest.approx(alike.divergence, abs=0.1)
    assert alike.p_value > 0.05
    apart = label_shift([["a"]] * 30, [["b"]] * 30, seed=0)
    assert (apart.divergence, apart.p_value, apart.unseen) == (1.0, 1 / 201, 1.0)
    assert apart.by_chance < 0.1


def test_misuse_is_refused():
    first = normal(6)
    with pytest.raises(TaskError, match="3 and 2 dimensions"):
        mmd(first, normal(6, columns=2), seed=0)
    with pytest.raises(TaskError, match="3 and 2 dimensions"):
        proxy_a_distance(first, normal(6, columns=2), seed=0)
    with pytest.raises(TaskError, match=r"X_target has 4 sample\(s\).*a minimum of 5"):
        proxy_a_distance(first, first[:4], seed=0)
    with pytest.raises(TaskError, match="median distance is 0"):
        mmd(np.ones((5, 2)), np.ones((5, 2)), seed=0)
    with pytest.raises(ConfigError, match="bandwidth=0"):
        mmd(first, first, bandwidth=0, seed=0)
    with pytest.raises(ConfigError, match="permutations=0"):
        mmd(first, first, permutations=0, seed=0)
    with pytest.raises(TaskError, match="none of the 2 target notes has a label"):
        label_shift([["a"]], [[], []], seed=0)
    with pytest.raises(TaskError, match="shapes"):
        jensen_shannon([1, 2], [1, 2, 3])
    with pytest.raises(TaskError, match="p has a negative"):
        jensen_shannon([-1, 2], [1, 2])
