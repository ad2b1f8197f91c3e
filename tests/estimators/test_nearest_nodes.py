"""Matching nodes: against scipy's and scikit-learn's answers, and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_distances as reference

from clinical_tl.errors import TaskError
from clinical_tl.estimators.nearest_nodes import (
    assign_nodes,
    cosine_distances,
    mutual_neighbours,
)


def nodes(n, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_like_nodes_are_never_nearer_than_0():
    nodes = np.random.default_rng(0).normal(size=(200, 7)) * 1e3
    assert (cosine_distances(nodes, nodes) >= 0).all()
    assert all(pair.distance >= 0 for pair in mutual_neighbours(nodes, 3 * nodes, k=1))


def test_distances_are_scikit_learns():
    a, b = nodes(5), nodes(3, seed=1)
    np.testing.assert_allclose(cosine_distances(a, b), reference(a, b), atol=1e-12)


def test_the_least_total_beats_the_greedy_choice():
    # Greedy takes (0, 0) at 0.1 and is left with (1, 1) at 1.0: 1.1. Crossed it is 0.2 + 0.2.
    distances = np.array([[0.1, 0.2], [0.2, 1.0]])
    pairs = assign_nodes(distances)
    assert [(p.source, p.target) for p in pairs] == [(1, 0), (0, 1)]
    assert [(p.source, p.target) for p in assign_nodes(distances, one_to_many=True)] == [
        (0, 0),
        (0, 1),
    ]


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
def test_no_other_pairing_is_shorter(n, m, seed):
    from itertools import permutations

    distances = np.random.default_rng(seed).random((n, m))
    total = sum(p.distance for p in assign_nodes(distances))
    if n <= m:
        best = min(distances[range(n), list(p)].sum() for p in permutations(range(m), n))
    else:
        best = min(distances[list(p), range(m)].sum() for p in permutations(range(n), m))
    assert total == pytest.approx(best)


def test_mutual_neighbours_are_those_of_all_sorted_distances():
    a, b = nodes(20), nodes(15, seed=1)
    k = 3
    order = np.argsort(reference(a, b), axis=1)[:, :k], np.argsort(reference(b, a), axis=1)[:, :k]
    expected = {(i, j) for i in range(20) for j in order[0][i] if i in order[1][j]}
    pairs = mutual_neighbours(a, b, k=k)
    assert {(p.source, p.target) for p in pairs} == expected
    assert pairs == sorted(pairs, key=lambda p: (p.target, p.distance))


def test_more_neighbours_than_nodes_means_all():
    assert len(mutual_neighbours(nodes(3), nodes(2), k=9)) == 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cosine_distances(nodes(2), nodes(2, d=3)), "one encoder"),
        (lambda: cosine_distances(np.zeros((1, 3)), nodes(2, d=3)), "zero or infinite"),
        (lambda: cosine_distances(nodes(2), np.zeros((0, 4))), "at least one row"),
        (lambda: mutual_neighbours(nodes(2), nodes(2), k=0), "at least 1"),
        (lambda: mutual_neighbours(nodes(2), nodes(2, d=3)), "one encoder"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(TaskError, match=message):
        call()
