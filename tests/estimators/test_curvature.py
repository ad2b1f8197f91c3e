"""The curvature of a linear model's objective: a search with it ends where one without does."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_tl.estimators import curvature as module
from clinical_tl.estimators import feature_classifier as classifier_module
from clinical_tl.estimators import logistic_regression
from clinical_tl.estimators.curvature import Curvature
from clinical_tl.estimators.feature_classifier import FeatureClassifier
from clinical_tl.estimators.logistic_regression import LinearWeights, fit_logistic


def correlated(n=400, d=60, seed=0):
    """Features as encoders have them: few directions with most of the variance."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(d, d)) / np.sqrt(d)
    return (random.normal(size=(n, d)) * 0.8 ** np.arange(d)) @ directions * 3 + 5


def labels(features, classes=3, seed=1):
    random = np.random.default_rng(seed)
    centred = features - features.mean(axis=0)
    scores = centred @ random.normal(size=(features.shape[1], classes))
    return (scores / scores.std() + random.gumbel(size=scores.shape)).argmax(axis=1)


def test_its_root_is_that_of_the_identity_and_the_correlations():
    features = correlated()
    curvature = Curvature.of(features)
    expected = np.eye(60) + 8.0 * np.corrcoef(features, rowvar=False)
    root = curvature.root(8.0)
    assert root.T @ root == pytest.approx(expected, abs=1e-3)
    assert root == pytest.approx(np.triu(root))
    # Like weights share one.
    assert curvature.root(9.0) is root
    assert curvature.root(16.0) is not root


def test_what_does_not_vary_is_left_alone():
    features = np.concatenate([correlated(), np.ones((400, 1))], axis=1)
    root = Curvature.of(features).root(4.0)
    assert root[-1] == pytest.approx([0.0] * 60 + [1.0], abs=1e-4)
    assert root[:-1, -1].tolist() == [0.0] * 60


def test_too_few_rows_or_too_many_columns_have_none(monkeypatch):
    assert Curvature.of(np.eye(30)[:14]) is None
    assert Curvature.of(np.eye(30)[:15]) is not None
    assert Curvature.of(np.full((30, 30), 1e100) * np.eye(30)) is not None
    monkeypatch.setattr(module, "WIDEST", 29)
    assert Curvature.of(np.eye(30)) is None


def test_correlations_of_large_numbers_and_of_one_direction_have_roots():
    random = np.random.default_rng(0)
    stamps = random.normal(size=(600, 20)) + 1e8
    assert np.diag(Curvature.of(stamps).correlations) == pytest.approx(1, abs=1e-3)
    alike = (random.normal(size=(2_000, 1)) @ random.normal(size=(1, 300))).astype(np.float32)
    for power in range(0, 60, 6):
        assert np.isfinite(Curvature.of(alike).root(2.0**power)).all()
    # What is no matrix of correlations has no root, and a search goes without.
    assert Curvature(np.float32([[1, 2], [2, 1]])).root(4.0) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.where(np.arange(60) == 3, x + 1e8, x),
        lambda x: x * 1e39,
        lambda x: np.concatenate([x, x[:, :1] * 1e39], axis=1),
        lambda x: np.concatenate([x, 123456789 + np.round(x[:, :1])], axis=1),
        lambda x: np.concatenate([x, x], axis=1),
    ],
    ids=["timestamps", "huge", "one huge", "numbers", "twice"],
)
def test_features_of_any_size_have_the_fit_that_they_have_without(monkeypatch, change):
    features = change(correlated())
    targets = labels(correlated())
    found = FeatureClassifier().fit(features, targets).predict_proba(features)
    monkeypatch.setattr(Curvature, "of", lambda _: None)
    plain = FeatureClassifier().fit(features, targets).predict_proba(features)
    assert found == pytest.approx(plain, abs=5e-4)


@pytest.mark.parametrize("outlier", [1e10, 1e15])
def test_a_row_that_no_fold_knew_does_not_mislead_the_last_fit(outlier):
    random = np.random.default_rng(0)
    features = np.concatenate(
        [random.normal(size=(400, 10)), random.normal(size=(400, 1)) * 2e-4], axis=1
    )
    targets = (features[:, 0] + random.normal(size=400) > 0).astype(int)
    for row in (5, 120, 250, 388):
        X = features.copy()
        X[row, -1] = outlier
        fitted = FeatureClassifier().fit(X, targets)
        alone = fit_logistic(X, targets, n_outputs=2, strength=fitted.strength_)
        expected = alone.probabilities(X, exclusive=True)
        assert fitted.predict_proba(X) == pytest.approx(expected, abs=1e-3)


def test_of_many_rows_a_part_is_read(monkeypatch):
    features = correlated(n=4_000)
    whole = Curvature.of(features).root(4.0)
    monkeypatch.setattr(module, "MOST_ROWS", 1_000)
    assert Curvature.of(features).root(4.0) == pytest.approx(whole, abs=0.15)


def evaluations(monkeypatch):
    """A list that grows with each evaluation of the objective."""
    found = []
    plain = logistic_regression._Problem.value_and_gradient

    def counted(self, flat):
        found.append(len(flat))
        return plain(self, flat)

    monkeypatch.setattr(logistic_regression._Problem, "value_and_gradient", counted)
    return found


@pytest.mark.parametrize("strength", [0.001, 0.1, 10.0])
@pytest.mark.parametrize("kind", ["one", "many", "blocks", "weighted"])
def test_the_optimum_is_the_same_and_found_in_fewer_steps(monkeypatch, strength, kind):
    features = correlated()
    targets, settings = labels(features), {"n_outputs": 3, "strength": strength}
    if kind == "weighted":
        settings["weights"] = 1.0 + (targets == 0)
    if kind == "many":
        targets = np.eye(3, dtype=bool)[targets] | (features[:, :3] > 6)
    if kind == "blocks":
        both = [np.eye(3, dtype=bool)[labels(features, seed=seed)] for seed in (1, 2)]
        targets = np.concatenate(both, axis=1)
        settings |= {"n_outputs": 6, "block": 3}
    steps = evaluations(monkeypatch)
    plain = fit_logistic(features, targets, **settings)
    before = len(steps)
    found = fit_logistic(features, targets, curvature=Curvature.of(features), **settings)
    exclusive = targets.ndim == 1
    assert found.probabilities(features, exclusive=exclusive) == pytest.approx(
        plain.probabilities(features, exclusive=exclusive), abs=2e-4
    )
    # Where regularisation is strong the valley is round as it is.
    assert len(steps) - before < (0.7 if strength > 0.01 else 0.9) * before


def test_every_fit_of_a_classifier_has_it(monkeypatch):
    features = correlated()
    targets = labels(features)
    steps = evaluations(monkeypatch)
    FeatureClassifier().fit(features, targets)
    with_it = len(steps)
    last: list[object] = []
    plain = classifier_module.fit_logistic

    def remember(*args, **given):
        last[:] = [given["start"]]
        return plain(*args, **given)

    monkeypatch.setattr(classifier_module, "fit_logistic", remember)
    FeatureClassifier().fit(features, targets)
    # The fit on all rows starts where a fold's ended.
    assert isinstance(last[0], LinearWeights)
    steps.clear()
    monkeypatch.setattr(Curvature, "of", lambda _: None)
    FeatureClassifier().fit(features, targets)
    assert with_it < 0.7 * len(steps)
