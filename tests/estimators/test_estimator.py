"""Every estimator in scikit-learn's idiom, by scikit-learn's own checks."""

import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.utils.estimator_checks import check_estimator

import clinical_tl.estimators
from clinical_tl.errors import ArtifactError, TaskError
from clinical_tl.estimators.clustering import Clustering
from clinical_tl.estimators.density import DensityEstimator
from clinical_tl.estimators.estimator import Estimator
from clinical_tl.estimators.feature_classifier import FeatureClassifier
from clinical_tl.estimators.isolation_forest import IsolationTrees
from clinical_tl.estimators.lexical_classifier import LexicalClassifier
from clinical_tl.estimators.mahalanobis import Mahalanobis, RelativeMahalanobis
from clinical_tl.estimators.neighbour_distance import NeighbourDistance
from clinical_tl.estimators.novelty import METHODS, NoveltyDetector
from tests.estimators.notes import blobs

TRAIN, LABELS = blobs()
HDBSCAN = Clustering("hdbscan", min_cluster_size=5)
# Of as many features as scikit-learn's checks give: one at least.
ESTIMATORS = [
    FeatureClassifier(strengths=[0.1, 1.0], folds=2),
    FeatureClassifier(strengths=[0.1, 1.0], folds=2, class_weight="balanced"),
    Clustering(n_clusters=3),
    HDBSCAN,
    DensityEstimator(dimensions=1, components=(1,)),
    DensityEstimator("kde", dimensions=1, bandwidth=0.5),
    Mahalanobis(),
    RelativeMahalanobis(),
    NeighbourDistance(1),
    IsolationTrees(5),
    *(NoveltyDetector(method, neighbours=1, dimensions=1, trees=5) for method in METHODS),
]

# They set n_clusters, which is an error: HDBSCAN finds the number itself.
REFUSED = (
    "check_clustering",
    "check_dont_overwrite_parameters",
    "check_fit2d_1feature",
    "check_fit2d_predict1d",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
)


def test_every_class_that_is_fitted_is_among_them():
    folder = Path(clinical_tl.estimators.__file__).parent
    modules = [
        import_module(f"clinical_tl.estimators.{file.stem}") for file in folder.glob("[a-z]*.py")
    ]
    fitted = {
        cls
        for module in modules
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ and hasattr(cls, "fit")
    }
    # It reads texts, where scikit-learn's checks give matrices.
    assert fitted - {LexicalClassifier} == {type(estimator) for estimator in ESTIMATORS}
    assert all(issubclass(cls, BaseEstimator) for cls in fitted)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_scikit_learn_finds_nothing_amiss(estimator):
    refused = REFUSED if estimator is HDBSCAN else ()
    check_estimator(estimator, expected_failed_checks=dict.fromkeys(refused, "sets n_clusters"))


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if isinstance(e, Estimator)], ids=repr)
def test_saved_and_loaded_it_is_the_same_to_the_bit(estimator, tmp_path):
    fitted = clone(estimator).fit(TRAIN, LABELS)
    assert not type(fitted).is_saved(tmp_path)
    loaded = type(fitted).load(fitted.save(tmp_path))
    assert type(fitted).is_saved(tmp_path)
    assert repr(loaded) == repr(fitted)
    ask = "predict_proba" if hasattr(fitted, "predict_proba") else "score_samples"
    np.testing.assert_array_equal(getattr(loaded, ask)(TRAIN), getattr(fitted, ask)(TRAIN))
    assert str(loaded.to_state()) == str(fitted.to_state())


def test_what_is_not_fitted_says_so():
    for use in (lambda e: e.save("x"), lambda e: e.novelty(TRAIN), lambda e: e.holds_notes):
        with pytest.raises(TaskError, match="this NoveltyDetector is not fitted; call fit"):
            use(NoveltyDetector())


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_a_fit_that_is_refused_leaves_what_was_fitted(estimator):
    fitted = clone(estimator).fit(TRAIN, LABELS)
    before = {name: id(value) for name, value in vars(fitted).items()}
    with pytest.raises(TaskError):
        fitted.fit(np.ones((9, 6)) * np.array([[1, 2, 3, 4, 5, np.nan]]), LABELS[:9])
    assert {name: id(value) for name, value in vars(fitted).items()} == before


def test_a_fit_that_fails_half_way_leaves_what_was_fitted():
    density = DensityEstimator(dimensions=1, components=(3,)).fit(TRAIN)
    before = dict(vars(density))
    with pytest.raises(TaskError, match="too few for 3 Gaussians"):
        density.fit(np.repeat(TRAIN[:2], 10, axis=0))
    assert vars(density) == before


def test_a_damaged_file_is_refused(tmp_path):
    file = Mahalanobis().fit(TRAIN).save(tmp_path) / "mahalanobis.safetensors"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ArtifactError, match="is damaged"):
        Mahalanobis.load(tmp_path)
