import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from clinical_tl.errors import ArtifactError, ConfigError, TaskError
from clinical_tl.estimators import isolation_forest, mahalanobis
from clinical_tl.estimators.density import DensityEstimator
from clinical_tl.estimators.novelty import NoveltyDetector, novelty_auroc
from clinical_tl.estimators.novelty_methods import METHODS
from clinical_tl.estimators.unit_length import unit_length
from clinical_tl.sealed_json import read_sealed, write_sealed
from tests.estimators.notes import blobs, strangers

TRAIN, LABELS = blobs()
INSIDE, OUTSIDE = blobs(seed=7)[0], strangers()
NEW = np.concatenate([INSIDE, OUTSIDE])
UNIT_TRAIN, UNIT_NEW = (unit_length(x.astype(np.float64)) for x in (TRAIN, NEW))


def fit(method, train=TRAIN, **options):
    labels = LABELS.tolist() if method == "relative_mahalanobis" else None
    return NoveltyDetector.fit(
        train, method=method, labels=labels, dimensions=3, trees=20, **options
    )


@pytest.fixture(scope="module")
def gaussian():
    return fit("mahalanobis")


@pytest.fixture(scope="module", params=METHODS)
def detector(request):
    return fit(request.param)


def test_strange_notes_score_higher_whatever_their_length(detector):
    # What is far from all labels alike is no stranger under the relative distance.
    least = 0.9 if detector.method == "relative_mahalanobis" else 0.999
    assert novelty_auroc(detector.score(INSIDE), detector.score(OUTSIDE)).estimate >= least
    np.testing.assert_allclose(detector.score(NEW * 3), detector.score(NEW), rtol=1e-3, atol=1e-3)


def test_scores_are_those_of_the_methods_on_embeddings_of_length_1():
    nearest = NearestNeighbors(n_neighbors=5).fit(UNIT_TRAIN).kneighbors(UNIT_NEW)[0][:, 4]
    density = {
        method: -DensityEstimator.fit(TRAIN, method=method, dimensions=3).log_density(NEW)
        for method in ("gaussian_mixture", "kde")
    }
    forest = isolation_forest.grow_forest(UNIT_TRAIN, trees=20, seed=0)
    relative = mahalanobis.fit_relative(UNIT_TRAIN, LABELS.tolist())
    expected = {
        "mahalanobis": mahalanobis.distances(mahalanobis.fit_gaussians(UNIT_TRAIN, None), UNIT_NEW),
        "relative_mahalanobis": mahalanobis.relative_distances(relative, UNIT_NEW),
        "knn": nearest,
        "isolation_forest": isolation_forest.isolation_scores(forest, UNIT_NEW),
        **density,
    }
    assert expected.keys() == METHODS.keys()
    for method, scores in expected.items():
        np.testing.assert_allclose(fit(method).score(NEW), scores, rtol=1e-9)


def test_unscaled_embeddings_on_demand():
    found = fit("mahalanobis", scale=False).score(NEW)
    arrays = mahalanobis.fit_gaussians(TRAIN.astype(np.float64), None)
    np.testing.assert_allclose(found, mahalanobis.distances(arrays, NEW.astype(np.float64)))


def test_percentiles_of_new_notes_like_training_are_spread_evenly(detector):
    percentiles = detector.percentile(blobs(600, seed=11)[0])
    assert 30 < np.median(percentiles) < 70
    assert 0.02 < (percentiles > 95).mean() < 0.15
    assert (detector.percentile(OUTSIDE) > 90).mean() > 0.5


def test_training_notes_are_scored_by_detectors_that_did_not_see_them():
    # Each of its own notes is at distance 0 of a detector that saw it.
    detector = fit("knn", neighbours=1)
    assert detector.score(TRAIN).max() < 1e-6
    assert detector.reference.min() > 1e-3


def test_a_patients_notes_and_copies_are_held_out_together():
    near = TRAIN + np.random.default_rng(3).normal(size=TRAIN.shape).astype(np.float32) * 1e-3
    twice = np.concatenate([TRAIN, near])
    apart = fit("knn", twice, neighbours=1)
    together = fit("knn", twice, neighbours=1, groups=[*range(90), *range(90)])
    assert np.median(together.reference) > 10 * np.median(apart.reference)
    copies = fit("knn", np.concatenate([TRAIN, TRAIN]), neighbours=1)
    assert copies.reference.min() > 1e-3


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_ranks_are_percentages_that_keep_the_order(gaussian, scores):
    ranks = gaussian.rank(scores)
    assert ((ranks >= 0) & (ranks <= 100)).all()
    assert (np.diff(ranks[np.argsort(scores)]) >= 0).all()


def test_ranks_by_hand(gaussian):
    middle = gaussian.reference[44]
    assert gaussian.rank([middle, -1, 1e9]).tolist() == [50.0, 0.0, 100.0]


def test_saved_and_loaded_it_gives_the_same_scores(detector, tmp_path):
    assert not NoveltyDetector.is_saved(tmp_path)
    probed = detector.with_probe(TRAIN[0])
    loaded = NoveltyDetector.load(probed.save(tmp_path))
    assert NoveltyDetector.is_saved(tmp_path)
    assert np.array_equal(loaded.score(NEW), detector.score(NEW))
    assert np.array_equal(loaded.percentile(NEW), detector.percentile(NEW))
    assert loaded.holds_notes == detector.holds_notes
    assert np.array_equal(loaded.probe, probed.probe)


def test_a_file_of_an_unknown_method_is_refused(gaussian, tmp_path):
    gaussian.save(tmp_path)
    file = tmp_path / "novelty.json"
    description = read_sealed(file, mend="")
    description["settings"]["method"] = "divination"
    write_sealed(file, description)
    with pytest.raises(ArtifactError, match="no novelty detector that this version knows"):
        NoveltyDetector.load(tmp_path)


@pytest.mark.parametrize("setting", ["dimension", "scaled", "parameters"])
def test_a_file_that_lacks_a_setting_is_refused(gaussian, tmp_path, setting):
    gaussian.save(tmp_path)
    file = tmp_path / "novelty.json"
    description = read_sealed(file, mend="")
    del description["settings"][setting]
    write_sealed(file, description)
    with pytest.raises(ArtifactError, match="of no novelty detector"):
        NoveltyDetector.load(tmp_path)


def test_the_same_seed_gives_the_same_detector(detector):
    again = fit(detector.method)
    assert np.array_equal(again.reference, detector.reference)
    assert np.array_equal(again.score(NEW), detector.score(NEW))


def test_copies_leave_room_for_fewer_gaussians():
    few = np.repeat(np.random.default_rng(0).normal(size=(9, 30)), 4, axis=0)
    detector = NoveltyDetector.fit(few, method="gaussian_mixture", dimensions=2)
    assert len(detector.reference) == 36
    assert np.isfinite(detector.reference).all()


def test_what_is_too_few_is_told_of_all_notes():
    rows = np.random.default_rng(0).normal(size=(17, 30))
    for method in ("gaussian_mixture", "kde"):
        with pytest.raises(TaskError, match=r"dimensions=16 with 17 notes.*allowed: at most 12"):
            NoveltyDetector.fit(rows, method=method)
    labels = ["a"] * 30 + ["b"]
    with pytest.raises(TaskError, match="the 31 notes have 2 labels, but without the fifth"):
        NoveltyDetector.fit(
            np.random.default_rng(0).normal(size=(31, 8)),
            method="relative_mahalanobis",
            labels=labels,
        )


def test_labels_may_be_an_array():
    from_list = NoveltyDetector.fit(TRAIN, labels=LABELS.tolist())
    from_array = NoveltyDetector.fit(TRAIN, labels=LABELS)
    np.testing.assert_array_equal(from_list.reference, from_array.reference)


def test_detectors_that_hold_notes_say_so():
    assert {m for m in METHODS if fit(m).holds_notes} == {"knn", "kde"}
    rare = ["rare"] * 4 + ["common"] * 86
    assert NoveltyDetector.fit(TRAIN, labels=rare).holds_notes
    assert not NoveltyDetector.fit(TRAIN, labels=["rare", *rare[:-1]]).holds_notes
    alone = np.concatenate([TRAIN, OUTSIDE[:3]])
    mixture = NoveltyDetector.fit(alone, method="gaussian_mixture", dimensions=3)
    assert len(mixture.arrays["parameters.means"]) >= 4
    assert mixture.holds_notes


def test_the_probe_notices_another_encoder(gaussian):
    gaussian.check_probe(TRAIN[0])
    probed = gaussian.with_probe(TRAIN[0])
    probed.check_probe(TRAIN[0] * 1.001)
    for changed in (TRAIN[0] * 1.01, TRAIN[0] * np.nan):
        with pytest.raises(TaskError, match="encoder has changed since"):
            probed.check_probe(changed)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "oracle"}, ConfigError, "method 'oracle': choose one of"),
        ({"trees": 0}, ConfigError, "trees=0"),
        ({"method": "knn", "neighbours": 73}, TaskError, "only 72 are there"),
        ({"method": "knn", "labels": LABELS}, TaskError, "method='knn' has no use for them"),
        ({"labels": ["a"]}, TaskError, "90 notes have 1 labels"),
        ({"groups": ["a"]}, TaskError, "90 notes have 1 groups"),
        ({"groups": ["a", "b"] * 45}, TaskError, "make 2 groups"),
        ({"method": "relative_mahalanobis"}, TaskError, "two labels or more, here are 0"),
    ],
)
def test_misuse_in_fitting_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        NoveltyDetector.fit(TRAIN, **options)


def test_faulty_embeddings_are_refused(detector):
    with pytest.raises(TaskError, match="have 5 dimensions, those of training 6"):
        detector.score(NEW[:, :5])
    with pytest.raises(TaskError, match="not finite"):
        detector.score(NEW * np.nan)
    with pytest.raises(TaskError, match="at least 10 rows"):
        NoveltyDetector.fit(TRAIN[:9])
    with pytest.raises(TaskError, match="same embedding"):
        NoveltyDetector.fit(np.ones((20, 3)))


def test_auroc_is_scikit_learns_with_an_interval_around_it():
    random = np.random.default_rng(0)
    inside, outside = random.normal(size=60), random.normal(1, size=40)
    found = novelty_auroc(inside, outside, resamples=200)
    gold = [0] * 60 + [1] * 40
    assert found.estimate == pytest.approx(roc_auc_score(gold, [*inside, *outside]))
    assert found.low < found.estimate < found.high
    grouped = novelty_auroc(inside, outside, groups=[i // 10 for i in range(100)], resamples=200)
    assert grouped.high - grouped.low != found.high - found.low
    with pytest.raises(TaskError, match="0 notes inside and 40 outside"):
        novelty_auroc([], outside)
