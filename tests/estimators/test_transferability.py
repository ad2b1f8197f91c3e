from collections import defaultdict
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf
from sklearn.metrics import average_precision_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.transferability import h_score, knn_accuracy, leep, log_me


def data(rows=30, columns=4, classes=3, seed=0, signal=1.0):
    random = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    centres = random.normal(size=(classes, columns))
    return random.normal(size=(rows, columns)) + signal * centres[y], y


def evidence(features, y, alpha, beta):
    """You et al. 2021, eq. 2, with explicit inverses and determinants."""
    n, d = features.shape
    precision = alpha * np.eye(d) + beta * features.T @ features
    m = beta * np.linalg.inv(precision) @ features.T @ y
    return (
        n / 2 * log(beta)
        + d / 2 * log(alpha)
        - n / 2 * log(2 * np.pi)
        - beta / 2 * ((features @ m - y) ** 2).sum()
        - alpha / 2 * m @ m
        - 0.5 * np.linalg.slogdet(precision)[1]
    )


def best_evidence(features, y):
    """The largest evidence a row, by a general-purpose optimiser from several starts."""
    found = [
        minimize(
            lambda logs: -evidence(features, y, *np.exp(logs)),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000},
        )
        for start in ([0.0, 0.0], [3.0, 3.0])
    ]
    return -min(result.fun for result in found) / len(y)


@pytest.mark.parametrize(("rows", "columns"), [(30, 4), (12, 20)])
def test_log_me_is_the_largest_evidence(rows, columns):
    features, y = data(rows, columns, signal=0.8)
    expected = np.mean([best_evidence(features, (y == c).astype(float)) for c in range(3)])
    assert log_me(features, y) == pytest.approx(expected, abs=1e-6)


def test_log_me_of_labels_is_the_mean_over_labels():
    features, y = data(24, 5)
    labels = np.stack([y == 0, y > 0, np.arange(24) < 5], axis=1)
    expected = np.mean([best_evidence(features, labels[:, c].astype(float)) for c in range(3)])
    assert log_me(features, labels) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(4, 25), st.integers(1, 30))
def test_no_alpha_and_beta_beat_log_me(seed, rows, columns):
    features, y = data(rows, columns, classes=2, seed=seed)
    random = np.random.default_rng(seed)
    labels = y[:, None]
    found = log_me(features, labels)
    for logs in random.uniform(-3, 3, (20, 2)):
        assert evidence(features, y.astype(float), *np.exp(logs)) / rows <= found + 1e-6


def test_log_me_grows_with_the_signal_and_does_not_depend_on_rotation():
    features, y = data(60, 6)
    noise = np.random.default_rng(1).normal(size=features.shape)
    assert log_me(features, y) > log_me(noise, y) + 0.05
    turned = features @ np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    assert log_me(turned, y) == pytest.approx(log_me(features, y), abs=1e-9)


def test_log_me_stays_finite_where_features_say_nothing_or_everything():
    y = np.array([0, 1, 0, 1])
    assert np.isfinite(log_me(np.eye(4), y))
    assert np.isfinite(log_me(np.array([[1.0], [1], [-1], [-1]]), y[:, None]))
    assert np.isfinite(log_me(y[:, None] + np.array([[0.0, 1.0]]), y))


def h_by_formula(features, y, covariance, amount):
    overall = features.mean(axis=0)
    between = np.zeros_like(covariance)
    for c in np.unique(y):
        gap = features[y == c].mean(axis=0) - overall
        between += (y == c).mean() * np.outer(gap, gap)
    return np.trace(np.linalg.inv(covariance) @ ((1 - amount) * between))


def test_h_score_is_the_papers_trace():
    features, y = data(40, 5)
    plain = np.cov(features, rowvar=False, bias=True)
    assert h_score(features, y, shrinkage=False) == pytest.approx(
        h_by_formula(features, y, plain, 0.0)
    )
    shrunk = LedoitWolf().fit(features)
    assert 0 < shrunk.shrinkage_ < 1
    assert h_score(features, y) == pytest.approx(
        h_by_formula(features, y, shrunk.covariance_, shrunk.shrinkage_)
    )


def test_h_score_of_labels_is_the_mean_over_labels():
    features, y = data(40, 5)
    labels = np.stack([y == 0, np.arange(40) % 5 == 0], axis=1)
    shrunk = LedoitWolf().fit(features)
    expected = np.mean(
        [
            h_by_formula(features, labels[:, c], shrunk.covariance_, shrunk.shrinkage_)
            for c in range(2)
        ]
    )
    assert h_score(features, labels) == pytest.approx(expected)


def test_h_score_needs_shrinkage_with_few_rows():
    noise, y = np.random.default_rng(0).normal(size=(20, 50)), np.arange(20) % 2
    # Twenty points in fifty dimensions are always apart: the plain score is at its top.
    assert h_score(noise, y, shrinkage=False) == pytest.approx(1.0)
    assert h_score(noise, y) < 0.5


def leep_by_double_loop(theta, y):
    """Nguyen et al. 2020, sec. 3: the joint, the conditional, then the mean log likelihood."""
    joint = defaultdict(float)
    for row, target in zip(theta, y, strict=True):
        for z, p in enumerate(row):
            joint[target, z] += p / len(y)
    marginal = [sum(joint[target, z] for target in set(y)) for z in range(len(theta[0]))]
    total = 0.0
    for row, target in zip(theta, y, strict=True):
        total += log(sum(joint[target, z] / marginal[z] * p for z, p in enumerate(row)))
    return total / len(y)


@given(st.integers(0, 10_000))
def test_leep_is_the_papers_sum(seed):
    random = np.random.default_rng(seed)
    theta = random.dirichlet([0.3] * 4, size=12)
    y = np.arange(12) % 3
    assert leep(theta, y) == pytest.approx(leep_by_double_loop(theta.tolist(), y.tolist()))
    labels = np.stack([y == 0, random.permutation(12) < 5], axis=1)
    per_label = [leep_by_double_loop(theta.tolist(), labels[:, c].tolist()) for c in range(2)]
    assert leep(theta, labels) == pytest.approx(np.mean(per_label))


def test_leep_at_its_ends_and_with_an_unused_source_class():
    y = np.array([0, 0, 1, 1])
    assert leep(np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]]), y) == 0.0
    assert leep(np.full((4, 2), 0.5), y) == pytest.approx(log(0.5))


def test_knn_accuracy_is_scikit_learns():
    features, y = data(40, 4, signal=0.7)
    for k in (1, 3, 5):
        model = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
        predicted = cross_val_predict(model, features, y, cv=LeaveOneOut())
        assert knn_accuracy(features, y, k=k) == pytest.approx((predicted == y).mean())
        assert 0.35 < knn_accuracy(features, y, k=k) < 1


def test_knn_of_labels_is_macro_average_precision():
    features, y = data(40, 4, signal=0.7)
    labels = np.stack([y == 0, np.arange(40) % 5 == 0], axis=1).astype(int)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similar = unit @ unit.T - 3 * np.eye(40)
    scores = np.array([labels[np.argsort(-row)[:5]].mean(axis=0) for row in similar])
    expected = np.mean([average_precision_score(labels[:, c], scores[:, c]) for c in range(2)])
    assert knn_accuracy(features, labels, k=5) == pytest.approx(expected)


def test_knn_never_looks_into_its_own_group():
    random = np.random.default_rng(0)
    # Each row has a twin in its own group; beyond the twin, labels are random.
    features = np.repeat(random.normal(size=(60, 5)), 2, axis=0)
    y = np.repeat(random.permutation(np.arange(60) % 2), 2)
    assert knn_accuracy(features, y, k=1) == 1.0
    assert knn_accuracy(features, y, k=1, groups=np.repeat(np.arange(60), 2)) < 0.75


def test_knn_in_blocks_is_knn_at_once(monkeypatch):
    features, y = data(50, 4)
    at_once = knn_accuracy(features, y, k=3)
    monkeypatch.setattr("clinical_tl.estimators.transferability.NEIGHBOUR_BLOCK", 7)
    assert knn_accuracy(features, y, k=3) == at_once


def test_misuse_is_refused():
    features, y = data(10, 3)
    for estimator in (log_me, h_score, knn_accuracy):
        with pytest.raises(TaskError, match="of one class"):
            estimator(features, np.zeros(10, dtype=int))
        with pytest.raises(TaskError, match="targets have the shape"):
            estimator(features, y[:9])
        with pytest.raises(TaskError, match="not finite"):
            estimator(np.where(features > 1, np.nan, features), y)
    with pytest.raises(TaskError, match="all features are 0"):
        log_me(np.zeros((10, 3)), y)
    with pytest.raises(TaskError, match="sum to 1"):
        leep(np.full((10, 3), 0.5), y)
    with pytest.raises(TaskError, match="source_probabilities has 10 rows"):
        leep(np.full((10, 3), np.nan), y)
    with pytest.raises(ConfigError, match="k=0"):
        knn_accuracy(features, y, k=0)
    with pytest.raises(ConfigError, match="k=10 neighbours, but only 9 rows"):
        knn_accuracy(features, y, k=10)
    with pytest.raises(TaskError, match="groups have the shape"):
        knn_accuracy(features, y, groups=[0, 1])
