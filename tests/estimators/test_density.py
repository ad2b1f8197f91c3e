"""Against scikit-learn's score_samples on scikit-learn's principal components."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from clinical_tl.errors import ArtifactError, ConfigError, TaskError
from clinical_tl.estimators.density import DensityEstimator
from clinical_tl.estimators.density_methods import LEAST_VARIANCE
from tests.estimators.notes import blobs, strangers

TRAIN = blobs()[0]
NEW = np.concatenate([blobs(seed=7)[0], strangers(1100)])
METHODS = ["gaussian_mixture", "kde"]


@pytest.fixture(params=METHODS)
def estimator(request):
    return DensityEstimator.fit(TRAIN, method=request.param, dimensions=3, components=(1, 3))


def peer(method, reduced):
    if method == "kde":
        return KernelDensity(bandwidth=0.5, rtol=1e-12, atol=0).fit(reduced)
    least = LEAST_VARIANCE * reduced.var(axis=0).mean()
    return GaussianMixture(3, reg_covar=least, max_iter=500, random_state=4).fit(reduced)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("residual", [False, True])
def test_log_density_is_scikit_learns_in_the_subspace_and_normal_outside(method, residual):
    estimator = DensityEstimator.fit(
        TRAIN,
        method=method,
        dimensions=3,
        components=(3,),
        bandwidth=0.5,
        residual=residual,
        scale=False,
        seed=4,
    )
    whole = PCA(6, svd_solver="full").fit(TRAIN.astype(np.float64))
    coordinates, trained = whole.transform(NEW), whole.transform(TRAIN)
    expected = peer(method, trained[:, :3]).score_samples(coordinates[:, :3])
    if residual:
        spread = np.sqrt(trained[:, 3:].var(axis=0).mean())
        expected += norm.logpdf(coordinates[:, 3:], scale=spread).sum(axis=1)
    np.testing.assert_allclose(estimator.log_density(NEW), expected, rtol=1e-6)


def test_strange_notes_are_less_likely_and_length_does_not_matter(estimator):
    density = estimator.log_density(NEW)
    assert density[:90].min() > density[90:].max()
    np.testing.assert_allclose(estimator.log_density(NEW * 5), density, rtol=1e-4)


def test_the_residual_sees_what_the_subspace_does_not():
    flat = TRAIN.copy()
    flat[:, 3:] *= 0.01
    odd = flat[:10].copy()
    odd[:, 5] += 3
    for residual, seen in ((False, False), (True, True)):
        estimator = DensityEstimator.fit(flat, dimensions=3, residual=residual, scale=False)
        drop = estimator.log_density(flat[:10]) - estimator.log_density(odd)
        assert bool(drop.min() > 100) is seen


def test_the_number_of_gaussians_with_the_lowest_bic_is_taken():
    estimator = DensityEstimator.fit(blobs(300)[0], dimensions=2, components=(1, 3, 8))
    assert [c.value for c in estimator.candidates] == [1, 3, 8]
    assert min(estimator.candidates, key=lambda c: c.score).value == 3
    assert len(estimator.parameters["means"]) == 3
    assert all(c.converged for c in estimator.candidates)


def test_the_bandwidth_with_the_highest_held_out_density_is_taken():
    estimator = DensityEstimator.fit(TRAIN, method="kde", dimensions=3)
    scores = [c.score for c in estimator.candidates]
    best = max(estimator.candidates, key=lambda c: c.score)
    assert float(estimator.parameters["bandwidth"]) == best.value
    assert scores[0] < best.score > scores[-1]


def test_copies_of_notes_do_not_shrink_the_bandwidth():
    copies = DensityEstimator.fit(np.repeat(TRAIN[:45], 4, axis=0), method="kde", dimensions=3)
    once = DensityEstimator.fit(TRAIN[:45], method="kde", dimensions=3)
    ratio = copies.parameters["bandwidth"] / once.parameters["bandwidth"]
    assert 0.5 < ratio < 2


def test_a_patients_notes_do_not_shrink_the_bandwidth():
    patients = np.repeat(np.arange(45), 4)
    near = TRAIN[patients] + 1e-3 * np.random.default_rng(0).normal(size=(180, TRAIN.shape[1]))
    settings = {"method": "kde", "dimensions": 3}
    once = DensityEstimator.fit(TRAIN[:45], **settings).parameters["bandwidth"]
    grouped = DensityEstimator.fit(near, groups=patients.tolist(), **settings)
    assert 0.5 < grouped.parameters["bandwidth"] / once < 2
    assert DensityEstimator.fit(near, **settings).parameters["bandwidth"] / once < 0.5


def test_gaussians_that_the_notes_are_too_few_for_are_not_tried():
    estimator = DensityEstimator.fit(TRAIN[:9], dimensions=2, components=(1, 4, 8))
    assert [c.value for c in estimator.candidates] == [1, 4]
    with pytest.raises(TaskError, match="9 notes with differing embeddings are too few for 8"):
        DensityEstimator.fit(TRAIN[:9], dimensions=2, components=(8,))


def test_saved_and_loaded_it_gives_the_same_density(estimator, tmp_path):
    loaded = DensityEstimator.load(estimator.save(tmp_path / "density"))
    assert np.array_equal(loaded.log_density(NEW), estimator.log_density(NEW))
    assert loaded.candidates == estimator.candidates


def test_another_estimators_file_is_refused(tmp_path):
    from clinical_tl.estimators.saved_estimator import SavedEstimator, write_estimator

    write_estimator(tmp_path, "density", SavedEstimator({"method": "kde"}, {}))
    with pytest.raises(ArtifactError, match="is no density"):
        DensityEstimator.load(tmp_path)


def test_misuse_is_refused(estimator):
    with pytest.raises(TaskError, match="have 5 dimensions, those of training 6"):
        estimator.log_density(NEW[:, :5])
    with pytest.raises(ConfigError, match="method 'histogram': choose one of"):
        DensityEstimator.fit(TRAIN, method="histogram")
    with pytest.raises(ConfigError, match="bandwidth=0; allowed: above 0"):
        DensityEstimator.fit(TRAIN, method="kde", dimensions=2, bandwidth=0)
    with pytest.raises(TaskError, match="90 notes of 6 dimensions can't be reduced to 7"):
        DensityEstimator.fit(TRAIN, dimensions=7)
    with pytest.raises(TaskError, match="same embedding"):
        DensityEstimator.fit(np.ones((9, 3)), dimensions=2)
