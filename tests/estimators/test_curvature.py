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


def matrix(root, output=0):
    """A root as a matrix, (d, d)."""
    d, outputs = len(root.directions), len(root.free)
    return np.stack(
        [
            root.times(np.repeat(row[None], outputs, axis=0), np.ones(outputs))[0][output]
            for row in np.eye(d)
        ]
    )


@pytest.mark.parametrize("rows", [400, 40])
def test_its_root_is_that_of_the_identity_and_the_correlations(rows):
    """Of more features than rows, too: what these do not vary in is left alone."""
    features = correlated(rows)
    root = Curvature.of(features).root(np.array([8.0, 0.5, 0.0]))
    for output, weight in enumerate((8.0, 0.5, 0.0)):
        expected = np.eye(60) + weight * np.corrcoef(features, rowvar=False)
        inverse = np.linalg.inv(matrix(root, output))
        assert inverse @ inverse == pytest.approx(expected, abs=1e-4)
    assert root.free[:2] == pytest.approx([8**-0.5, 0.5**-0.5])
    assert np.isfinite(root.free).all()


def test_what_was_changed_is_what_is_solved():
    random = np.random.default_rng(3)
    root = Curvature.of(correlated(40)).root(np.array([1e-6, 1.0, 1e6]))
    weights, intercepts = random.normal(size=(3, 60)), random.normal(size=3)
    again = root.times(*root.solved(weights, intercepts))
    assert again[0] == pytest.approx(weights, rel=1e-5, abs=1e-5)
    assert again[1] == pytest.approx(intercepts)


def test_what_does_not_vary_is_left_alone():
    features = np.concatenate([correlated(), np.ones((400, 1))], axis=1)
    root = matrix(Curvature.of(features).root(np.array([4.0])))
    assert root[-1] == pytest.approx([0.0] * 60 + [1.0], abs=1e-4)
    assert root[:-1, -1] == pytest.approx([0.0] * 60, abs=1e-4)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_what_is_too_large_has_none():
    assert Curvature.of(np.full((30, 30), 1e100) * np.eye(30)) is not None
    assert Curvature.of(np.eye(30) * 1e200) is None


def test_directions_of_most_variance_are_enough(monkeypatch):
    features, strength = correlated(), 10.0
    targets = labels(features)
    steps = evaluations(monkeypatch)
    counts = []
    for most in (60, 10, 1):
        monkeypatch.setattr(module, "MOST_DIRECTIONS", most)
        assert len(Curvature.of(features).variances) == most
        fit_logistic(features, targets, n_outputs=3, strength=strength)
        counts.append(len(steps) - sum(counts))
    assert counts[0] < counts[1] < counts[2]


def test_rows_that_are_left_out_say_nothing():
    features = correlated()
    rows = np.arange(0, 400, 3)
    found, alone = Curvature.of(features, rows), Curvature.of(features[rows])
    assert (found.variances == alone.variances).all()


def test_large_numbers_and_one_direction_have_roots():
    random = np.random.default_rng(0)
    stamps = random.normal(size=(600, 20)) + 1e8
    assert Curvature.of(stamps).variances.sum() == pytest.approx(20, abs=1e-3)
    alike = (random.normal(size=(2_000, 1)) @ random.normal(size=(1, 300))).astype(np.float32)
    found = Curvature.of(alike)
    assert found.variances == pytest.approx([300] + [0] * 255, abs=1e-3)
    assert np.isfinite(found.root(2.0 ** np.arange(0, 60, 6)).along).all()
    constant = Curvature.of(np.ones((20, 3)))
    assert constant.variances == pytest.approx([0, 0, 0])
    assert matrix(constant.root(np.ones(1))) == pytest.approx(np.eye(3))


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
    monkeypatch.setattr(Curvature, "of", lambda *_: None)
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
    whole = matrix(Curvature.of(features).root(np.array([4.0])))
    monkeypatch.setattr(module, "MOST_ROWS", 1_000)
    part = matrix(Curvature.of(features).root(np.array([4.0])))
    assert part == pytest.approx(whole, abs=0.05)


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
    found = fit_logistic(features, targets, **settings)
    with_it = len(steps)
    monkeypatch.setattr(Curvature, "of", lambda *_: None)
    plain = fit_logistic(features, targets, **settings)
    without = len(steps) - with_it
    exact = fit_logistic(features, targets, **settings, tolerance=1e-9)
    first, second, best = (
        fitted.probabilities(features, exclusive=targets.ndim == 1, block=settings.get("block", 1))
        for fitted in (found, plain, exact)
    )
    assert first == pytest.approx(best, abs=2e-5)
    assert second == pytest.approx(best, abs=1e-4)
    # Where regularisation is strong the valley is round as it is.
    assert with_it < (0.7 if strength < 0.01 else 0.6 if strength < 1 else 0.1) * without


def test_a_rare_label_is_found_as_soon_as_a_frequent_one(monkeypatch):
    features = correlated()
    order = np.argsort(features @ np.random.default_rng(5).normal(size=60))
    targets = np.zeros((400, 3), dtype=bool)
    for column, n in enumerate((4, 40, 200)):
        targets[order[:n], column] = True
    steps = evaluations(monkeypatch)
    for strength, most in ((1e-4, 10), (0.01, 25), (1.0, 70)):
        steps.clear()
        fit_logistic(features, targets, n_outputs=3, strength=strength)
        assert len(steps) < most


def test_weights_of_classes_cost_no_steps(monkeypatch):
    """What outputs that exclude one another have in common is kept out of the search."""
    features = correlated()
    targets = labels(features)
    steps = evaluations(monkeypatch)
    settings = {"n_outputs": 3, "strength": 10.0}
    fit_logistic(features, targets, **settings)
    without = len(steps)
    fit_logistic(features, targets, weights=1.0 + 4 * (targets == 0), **settings)
    assert len(steps) - without < 2 * without


def test_labels_that_nothing_tells_apart_are_found_at_once(monkeypatch):
    """With strong regularisation what is left to find is how frequent they are."""
    features, targets = correlated(), np.arange(400)[:, None] % 100 < [0, 1, 5, 50]
    steps = evaluations(monkeypatch)
    fitted = fit_logistic(features, targets, n_outputs=4, strength=1e-9)
    assert len(steps) < 20
    said = fitted.probabilities(features, exclusive=False)
    assert said.mean(axis=0) == pytest.approx([0, 0.01, 0.05, 0.5], abs=1e-4)


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
    monkeypatch.setattr(Curvature, "of", lambda *_: None)
    FeatureClassifier().fit(features, targets)
    assert with_it < 0.7 * len(steps)
