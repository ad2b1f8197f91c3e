"""`FeatureClassifier`: the choice of strength, groups, saving, misuse."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clinical_tl.errors import ArtifactError, ConfigError, TaskError
from clinical_tl.estimators import feature_classifier
from clinical_tl.estimators.feature_classifier import STRENGTHS, FeatureClassifier

FILE = "feature_classifier.safetensors"


def clouds(n=90, d=5, classes=3, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.normal(size=(classes, d))[y] * 3 + rng.normal(size=(n, d)) * spread
    return x.astype(np.float32), np.array(["knee", "lung", "skin"])[y]


def test_clouds_are_told_apart_by_name():
    x, y = clouds()
    classifier = FeatureClassifier().fit(x, y)
    assert (classifier.predict(x) == y).mean() > 0.95
    assert classifier.predict_proba(x).shape == (90, 3)
    np.testing.assert_allclose(classifier.predict_proba(x).sum(axis=1), 1)
    tried = [s.strength for s in classifier.cross_validation_]
    assert tried == list(classifier.strengths[: len(tried)])
    losses = [s.log_loss for s in classifier.cross_validation_]
    assert losses[:-1] == sorted(losses[:-1], reverse=True)


def test_noise_asks_for_more_regularisation_than_signal():
    x, y = clouds()
    noise = np.random.default_rng(1).permutation(y)
    assert FeatureClassifier().fit(x, noise).strength_ < FeatureClassifier().fit(x, y).strength_


def test_rows_of_a_group_are_never_on_both_sides():
    # Each patient's rows are copies with a label of the patient's own: whoever divides a
    # patient believes that the label can be learned.
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(30, 20)), 4, axis=0).astype(np.float32)
    y = np.repeat(rng.integers(2, size=30), 4)
    patients = np.repeat(np.arange(30), 4).tolist()
    grouped = FeatureClassifier().fit(x, y, patients)
    careless = FeatureClassifier().fit(x, y)
    best = {
        name: min(s.log_loss for s in c.cross_validation_)
        for name, c in (("grouped", grouped), ("careless", careless))
    }
    assert best["grouped"] > 0.6 > best["careless"]


def test_many_labels_a_row():
    x, _ = clouds()
    y = np.stack([x[:, 0] > 0, x[:, 1] > 0, np.zeros(len(x))], axis=1).astype(int)
    classifier = FeatureClassifier(strengths=[1.0]).fit(x, y)
    assert (classifier.predict(x) == y).mean() > 0.95
    assert classifier.cross_validation_ == ()


def test_saved_and_loaded_it_says_the_same(tmp_path):
    x, y = clouds()
    classifier = FeatureClassifier(seed=3).fit(x, y)
    again = FeatureClassifier.load(classifier.save(tmp_path / "head"))
    np.testing.assert_array_equal(again.predict_proba(x), classifier.predict_proba(x))
    assert again.classes_.tolist() == classifier.classes_.tolist()
    assert again.cross_validation_ == classifier.cross_validation_
    assert [file.name for file in (tmp_path / "head").iterdir()] == [FILE]


def test_a_damaged_file_is_named(tmp_path):
    x, y = clouds()
    FeatureClassifier(strengths=[1.0]).fit(x, y).save(tmp_path)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:40])
    with pytest.raises(ArtifactError, match=FILE):
        FeatureClassifier.load(tmp_path)
    with pytest.raises(ArtifactError, match="lacks"):
        FeatureClassifier.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:5], y), "give one row each"),
        (lambda x, y: (x[:, 0], y), "one row a note"),
        (lambda x, y: (x.astype(str), y), "give numbers"),
        (lambda x, y: (x, [None, *y[1:]]), "1 labels of y are missing"),
        (lambda x, y: (x, [float("nan"), *range(len(y) - 1)]), "1 labels of y are missing"),
        (lambda x, y: (x, [float("nan"), *y[1:]]), "1 labels of y are missing"),
        (lambda x, y: (x, pd.Series([pd.NA, *y[1:]], dtype="string")), "1 labels of y are missing"),
        (lambda x, y: (x, np.full(len(y), "skin")), "one class only"),
        (lambda x, y: (x, np.full((len(y), 2), 2)), "matrix of 0 and 1"),
        (lambda x, y: (np.where(np.arange(len(x))[:, None] == 4, np.nan, x), y), "row 4"),
    ],
)
def test_misuse_is_refused(change, message):
    with pytest.raises(TaskError, match=message):
        FeatureClassifier().fit(*change(*clouds()))


def test_unfitted_or_mismatched_use_is_refused():
    x, y = clouds()
    with pytest.raises(TaskError, match="call fit"):
        FeatureClassifier().predict(x)
    with pytest.raises(TaskError, match="expecting 5 features"):
        FeatureClassifier(strengths=[1.0]).fit(x, y).predict(x[:, :2])
    with pytest.raises(TaskError, match="one group"):
        FeatureClassifier().fit(x, y, ["same"] * len(y))
    for strengths in ([0.0], [], ["x"], [np.inf], [np.nan]):
        with pytest.raises(ConfigError, match=r"strengths=\[.*\]; allowed: numbers above 0"):
            FeatureClassifier(strengths=strengths).fit(x, y)
    for settings in ({"folds": 1}, {"folds": 2.5}, {"folds": None}, {"seed": -1}, {"seed": None}):
        with pytest.raises(ConfigError, match=rf"{next(iter(settings))}=.*; allowed: at least"):
            FeatureClassifier(**settings).fit(x, y)
    with pytest.raises(TaskError, match="1 rows that are not finite"):
        fitted = FeatureClassifier(strengths=[1.0]).fit(x, y)
        fitted.predict(np.where(np.arange(5)[:, None] == 2, np.inf, x[:5]))


def test_it_is_a_scikit_learn_classifier():
    x, y = clouds()
    fitted = clone(FeatureClassifier(strengths=[0.1, 1.0])).fit(x.tolist(), y)
    assert fitted.score(pd.DataFrame(x), y) == (fitted.predict(x) == y).mean()
    assert fitted.classes_.tolist() == sorted(set(y))
    assert cross_val_score(FeatureClassifier(strengths=[1.0]), x, y).mean() > 0.8
    piped = make_pipeline(StandardScaler(), FeatureClassifier(strengths=[1.0])).fit(x, y)
    assert (piped.predict(x) == fitted.predict(x)).mean() > 0.9
    assert FeatureClassifier(folds=3).get_params() == {
        "block": 1, "class_weight": None, "folds": 3, "seed": 0, "strengths": STRENGTHS,
    }  # fmt: skip


def weighted_reference(x, y, strength, class_weight):
    model = LogisticRegression(C=strength, class_weight=class_weight, max_iter=10_000, tol=1e-10)
    return make_pipeline(StandardScaler(), model).fit(x, y).predict_proba(x)


@pytest.mark.parametrize("weights", ["balanced", {"knee": 5.0, "lung": 1.0, "skin": 0.2}])
def test_class_weights_are_scikit_learns(weights, tmp_path):
    x, y = clouds(spread=4.0)
    some = np.sort(np.random.default_rng(0).permutation(len(x))[:70])
    x, y = x[some].astype(np.float64), y[some]
    fitted = FeatureClassifier(strengths=[0.5], class_weight=weights).fit(x, y)
    expected = weighted_reference(x, y, 0.5, weights)
    np.testing.assert_allclose(fitted.predict_proba(x), expected, atol=1e-4)
    again = FeatureClassifier.load(fitted.save(tmp_path))
    assert again.get_params() == fitted.get_params()
    many = np.stack([y == "knee", y == "lung"], axis=1).astype(int)
    each = weights if weights == "balanced" else [{0: 1.0, 1: 5.0}, {0: 2.0, 1: 1.0}]
    fitted = FeatureClassifier(strengths=[0.5], class_weight=each).fit(x, many)
    for column in range(2):
        own = each if each == "balanced" else each[column]
        expected = weighted_reference(x, many[:, column], 0.5, own)[:, 1]
        np.testing.assert_allclose(fitted.predict_proba(x)[:, column], expected, atol=1e-4)
    assert FeatureClassifier.load(fitted.save(tmp_path)).get_params() == fitted.get_params()


def test_roots_of_frequencies_are_weights_too():
    x, y = clouds(spread=4.0)
    some = np.sort(np.random.default_rng(0).permutation(len(x))[:70])[:60]
    x, y = x[some].astype(np.float64), y[some]
    fitted = FeatureClassifier(strengths=[0.5], class_weight="sqrt").fit(x, y)
    counts = {name: (y == name).sum() for name in sorted(set(y))}
    scale = len(y) / sum(n**0.5 for n in counts.values())
    roots = {name: scale * n**-0.5 for name, n in counts.items()}
    expected = weighted_reference(x, y, 0.5, roots)
    np.testing.assert_allclose(fitted.predict_proba(x), expected, atol=1e-4)
    assert (fitted.balance_, fitted.class_weight_) == ("sqrt", "sqrt")


def test_auto_is_balanced_unless_held_out_rows_speak_clearly_for_less(tmp_path):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [170, 30])
    x = rng.normal(size=(200, 6)) + 0.9 * y[:, None]
    auto = FeatureClassifier(class_weight="auto").fit(x, y)
    assert (auto.balance_, auto.class_weight) == ("balanced", "auto")
    same = FeatureClassifier(class_weight="balanced").fit(x, y)
    np.testing.assert_array_equal(auto.predict_proba(x), same.predict_proba(x))
    again = FeatureClassifier.load(auto.save(tmp_path))
    assert (again.balance_, again.get_params()) == ("balanced", auto.get_params())
    # Where a class is rare and looks like the other, balance only costs.
    y = np.repeat([0, 1], [190, 10])
    x = rng.normal(size=(200, 2)) + np.where(y, 1.2, 0.0)[:, None]
    less = FeatureClassifier(class_weight="auto").fit(x, y)
    assert less.balance_ != "balanced"
    # Of many labels a row none is weighed.
    many = FeatureClassifier(class_weight="auto").fit(x, np.stack([y, 1 - y], axis=1))
    assert many.class_weight_ is None


@pytest.mark.parametrize(
    "weights", [{"knee": -1.0}, {"knee": float("nan")}, {"hip": 1.0}, [{0: 1.0, 1: 2.0}]]
)
def test_class_weights_that_can_not_be_are_refused(weights):
    with pytest.raises(TaskError, match="class_weight"):
        FeatureClassifier(class_weight=weights).fit(*clouds())


def test_what_is_no_number_is_refused_and_not_quoted():
    _, y = clouds()
    texts = np.array([["Zebulon Quixote was seen"] * 5] * len(y), dtype=object)
    with pytest.raises(TaskError) as caught:
        FeatureClassifier().fit(texts, y)
    assert "Zebulon" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_rows_of_unknown_patients_are_groups_of_their_own():
    x, y = clouds()
    assert not hasattr(FeatureClassifier(), "classes_")
    none = FeatureClassifier().fit(x, y, [None, pd.NA, float("nan")] * (len(y) // 3))
    assert none.cross_validation_ == FeatureClassifier().fit(x, y).cross_validation_
    classifier, groups = FeatureClassifier(folds=2), [None] * 10 + ["p", "p"]
    some = classifier._folds(classifier._checked(np.eye(12), np.arange(12) % 2, groups))
    assert [sorted((len(train), len(held_out))) for train, held_out in some] in (
        [[5, 7], [5, 7]],
        [[6, 6], [6, 6]],
    )


def test_labels_with_a_single_row_do_not_choose_a_model_that_tells_nothing_apart():
    """Two clear labels with ten rows each, eight labels with one: none of these can be held out."""
    rng = np.random.default_rng(0)
    y = np.array([0, 1] * 10 + list(range(2, 10)))
    x = rng.normal(size=(28, 20)) + 3 * np.eye(20)[np.minimum(y, 2)]
    classifier = FeatureClassifier(seed=0).fit(x, y)
    assert (classifier.predict(x[:20]) == y[:20]).all()
    assert classifier.strength_ > min(classifier.strengths)


def test_where_nothing_can_be_held_out_the_middle_strength_is_taken():
    x = np.random.default_rng(0).normal(size=(6, 3))
    classifier = FeatureClassifier(strengths=(0.1, 1.0, 10.0)).fit(x, np.arange(6))
    assert (classifier.strength_, classifier.cross_validation_) == (1.0, ())


@pytest.mark.parametrize("many", [False, True])
def test_held_out_probabilities_are_those_of_models_of_the_other_folds(many):
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 4))
    y = (X[:, :2] + random.normal(size=(60, 2)) > 0).astype(int)
    y = y if many else y[:, 0]
    groups = [f"p{i // 3}" for i in range(60)]
    classifier = FeatureClassifier(seed=1)
    found = classifier.held_out_proba(X, y, groups)
    settled = FeatureClassifier(strengths=[classifier.fit(X, y, groups).strength_])
    seen = 0
    for train, held_out in classifier._folds(classifier._checked(X, y, groups)):
        assert {groups[i] for i in train}.isdisjoint(groups[i] for i in held_out)
        expected = settled.fit(X[train], y[train]).predict_proba(X[held_out])
        assert found[held_out] == pytest.approx(expected, abs=1e-3)
        seen += len(held_out)
    assert seen == 60


def test_the_strength_can_be_chosen_without_fitting():
    X, y = clouds()
    classifier, fitted = FeatureClassifier(), FeatureClassifier().fit(X, y)
    assert classifier.choose_strength(X, y) == (fitted.strength_, fitted.cross_validation_)
    assert not hasattr(classifier, "coef_")


def test_folds_that_lack_what_others_have_are_scored_as_by_themselves(monkeypatch):
    random = np.random.default_rng(11)
    X = random.normal(size=(60, 40))
    y = (X[:, 0] + X[:, 1] + 0.3 * random.normal(size=60) > 0).astype(int)
    X = np.concatenate([X * 1e6, 1e5 * np.eye(60)[:, [4, 20, 37, 50]]], axis=1)
    found = FeatureClassifier().fit(X, y).cross_validation_
    plain = feature_classifier.fit_logistic

    def cold(*args, **settings):
        return plain(*args, **{**settings, "start": None})

    monkeypatch.setattr(feature_classifier, "fit_logistic", cold)
    alone = FeatureClassifier().fit(X, y).cross_validation_
    assert [score.strength for score in found] == [score.strength for score in alone]
    losses = [[score.log_loss for score in scores] for scores in (found, alone)]
    np.testing.assert_allclose(*losses, atol=5e-3)
