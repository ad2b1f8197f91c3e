"""Against scikit-learn's score_samples on scikit-learn's principal components."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from clinical_tl.errors import ArtifactError, ConfigError, TaskError
from clinical_tl.estimators.density import LEAST_VARIANCE, DensityEstimator, kernel_density
from clinical_tl.estimators.saved_estimator import write_estimator
from tests.estimators.notes import blobs, strangers

TRAIN = blobs()[0]
NEW = np.concatenate([blobs(seed=7)[0], strangers(1100)])
METHODS = ["gaussian_mixture", "kde"]


@pytest.fixture(params=METHODS)
def estimator(request):
    return DensityEstimator(request.param, dimensions=3, components=(1, 3)).fit(TRAIN)


def peer(method, reduced):
    if method == "kde":
        return KernelDensity(bandwidth=0.5, rtol=1e-12, atol=0).fit(reduced)
    least = LEAST_VARIANCE * reduced.var(axis=0).mean()
    return GaussianMixture(3, reg_covar=least, max_iter=500, random_state=4).fit(reduced)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("residual", [False, True])
def test_log_density_is_scikit_learns_in_the_subspace_and_normal_outside(method, residual):
    estimator = DensityEstimator(
        method,
        dimensions=3,
        components=(3,),
        bandwidth=0.5,
        residual=residual,
        scale=False,
        seed=4,
    ).fit(TRAIN)
    whole = PCA(6, svd_solver="full").fit(TRAIN.astype(np.float64))
    coordinates, trained = whole.transform(NEW), whole.transform(TRAIN)
    expected = peer(method, trained[:, :3]).score_samples(coordinates[:, :3])
    if residual:
        spread = np.sqrt(trained[:, 3:].var(axis=0).mean())
        expected += norm.logpdf(coordinates[:, 3:], scale=spread).sum(axis=1)
    np.testing.assert_allclose(estimator.score_samples(NEW), expected, rtol=1e-6)


def test_strange_notes_are_less_likely_and_length_does_not_matter(estimator):
    density = estimator.score_samples(NEW)
    assert density[:90].min() > density[90:].max()
    np.testing.assert_allclose(estimator.score_samples(NEW * 5), density, rtol=1e-4)


def test_the_residual_sees_what_the_subspace_does_not():
    flat = TRAIN.copy()
    flat[:, 3:] *= 0.01
    odd = flat[:10].copy()
    odd[:, 5] += 3
    for residual, seen in ((False, False), (True, True)):
        estimator = DensityEstimator(dimensions=3, residual=residual, scale=False).fit(flat)
        drop = estimator.score_samples(flat[:10]) - estimator.score_samples(odd)
        assert bool(drop.min() > 100) is seen


def test_the_number_of_gaussians_with_the_lowest_bic_is_taken():
    estimator = DensityEstimator(dimensions=2, components=(1, 3, 8)).fit(blobs(300)[0])
    assert [c.value for c in estimator.candidates_] == [1, 3, 8]
    assert min(estimator.candidates_, key=lambda c: c.score).value == 3
    assert len(estimator.parameters_["means"]) == 3
    assert all(c.converged for c in estimator.candidates_)


def test_the_bandwidth_with_the_highest_held_out_density_is_taken():
    estimator = DensityEstimator("kde", dimensions=3).fit(TRAIN)
    scores = [c.score for c in estimator.candidates_]
    best = max(estimator.candidates_, key=lambda c: c.score)
    assert float(estimator.parameters_["bandwidth"]) == best.value
    assert scores[0] < best.score > scores[-1]


def test_copies_of_notes_do_not_shrink_the_bandwidth():
    copies = DensityEstimator("kde", dimensions=3).fit(np.repeat(TRAIN[:45], 4, axis=0))
    once = DensityEstimator("kde", dimensions=3).fit(TRAIN[:45])
    ratio = copies.parameters_["bandwidth"] / once.parameters_["bandwidth"]
    assert 0.5 < ratio < 2


def test_a_patients_notes_do_not_shrink_the_bandwidth():
    patients = np.repeat(np.arange(45), 4)
    near = TRAIN[patients] + 1e-3 * np.random.default_rng(0).normal(size=(180, TRAIN.shape[1]))
    settings = {"method": "kde", "dimensions": 3}
    once = DensityEstimator(**settings).fit(TRAIN[:45]).parameters_["bandwidth"]
    grouped = DensityEstimator(**settings).fit(near, groups=patients.tolist())
    assert 0.5 < grouped.parameters_["bandwidth"] / once < 2
    assert DensityEstimator(**settings).fit(near).parameters_["bandwidth"] / once < 0.5


def test_gaussians_that_the_notes_are_too_few_for_are_not_tried():
    estimator = DensityEstimator(dimensions=2, components=(1, 4, 8)).fit(TRAIN[:9])
    assert [c.value for c in estimator.candidates_] == [1, 4]
    with pytest.raises(TaskError, match="9 notes with differing embeddings are too few for 8"):
        DensityEstimator(dimensions=2, components=(8,)).fit(TRAIN[:9])


def test_saved_and_loaded_it_gives_the_same_density(estimator, tmp_path):
    loaded = DensityEstimator.load(estimator.save(tmp_path / "density"))
    assert np.array_equal(loaded.score_samples(NEW), estimator.score_samples(NEW))
    assert loaded.candidates_ == estimator.candidates_


def test_another_estimators_file_is_refused(tmp_path):
    file = tmp_path / "density.safetensors"
    write_estimator(file, "DensityEstimator", {"method": "kde"})
    with pytest.raises(ArtifactError, match="is of no DensityEstimator"):
        DensityEstimator.load(tmp_path)
    write_estimator(file, "Mahalanobis", {"method": "kde"})
    with pytest.raises(ArtifactError, match="holds Mahalanobis in format"):
        DensityEstimator.load(tmp_path)


def test_far_notes_have_the_density_of_the_sum_over_kernels():
    # Where scikit-learn's trees lose all digits.
    random = np.random.default_rng(0)
    points, far = random.normal(size=(90, 3)), random.normal(size=(20, 3)) * 2
    found = kernel_density(far, {"points": points, "bandwidth": np.array(0.05)})
    terms = norm.logpdf(far[:, None], points[None], 0.05).sum(axis=2)
    np.testing.assert_allclose(found, logsumexp(terms, axis=1) - np.log(90), rtol=1e-12)


def test_misuse_is_refused(estimator):
    with pytest.raises(TaskError, match="X has 5 features, but DensityEstimator is expecting 6"):
        estimator.score_samples(NEW[:, :5])
    with pytest.raises(ConfigError, match="method 'histogram': choose one of"):
        DensityEstimator("histogram").fit(TRAIN)
    with pytest.raises(ConfigError, match="bandwidth=0; allowed: above 0"):
        DensityEstimator("kde", dimensions=2, bandwidth=0).fit(TRAIN)
    with pytest.raises(TaskError, match="90 notes of 6 dimensions can't be reduced to 7"):
        DensityEstimator(dimensions=7).fit(TRAIN)
    with pytest.raises(TaskError, match="same embedding"):
        DensityEstimator(dimensions=2).fit(np.ones((9, 3)))
