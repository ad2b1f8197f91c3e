"""The curvature of a linear model's objective: a search with it ends where one without does."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_tl.estimators import curvature as module
from clinical_tl.estimators import logistic_regression
from clinical_tl.estimators.curvature import Curvature
from clinical_tl.estimators.feature_classifier import FeatureClassifier
from clinical_tl.estimators.logistic_regression import fit_logistic


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
    assert root[-1].tolist() == [0.0] * 60 + [1.0]
    assert root[:-1, -1].tolist() == [0.0] * 60


def test_too_few_rows_or_too_many_columns_have_none(monkeypatch):
    assert Curvature.of(np.eye(30)[:14]) is None
    assert Curvature.of(np.eye(30)[:15]) is not None
    monkeypatch.setattr(module, "WIDEST", 29)
    assert Curvature.of(np.eye(30)) is None


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
    steps.clear()
    monkeypatch.setattr(Curvature, "of", lambda _: None)
    FeatureClassifier().fit(features, targets)
    assert with_it < 0.7 * len(steps)
