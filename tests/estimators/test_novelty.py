import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from clinical_tl.errors import ArtifactError, ConfigError, TaskError
from clinical_tl.estimators.density import DensityEstimator
from clinical_tl.estimators.isolation_forest import IsolationTrees
from clinical_tl.estimators.mahalanobis import Mahalanobis, RelativeMahalanobis
from clinical_tl.estimators.novelty import METHODS, NoveltyDetector, novelty_auroc
from clinical_tl.estimators.saved_estimator import read_estimator, write_estimator
from clinical_tl.estimators.unit_length import unit_length
from tests.estimators.notes import blobs, strangers

TRAIN, LABELS = blobs()
INSIDE, OUTSIDE = blobs(seed=7)[0], strangers()
NEW = np.concatenate([INSIDE, OUTSIDE])
UNIT_TRAIN, UNIT_NEW = (unit_length(x.astype(np.float64)) for x in (TRAIN, NEW))


def fit(method, train=TRAIN, groups=None, **options):
    labels = LABELS.tolist() if method == "relative_mahalanobis" else None
    detector = NoveltyDetector(method, dimensions=3, trees=20, **options)
    return detector.fit(train, labels, groups)


@pytest.fixture(scope="module")
def gaussian():
    return fit("mahalanobis")


@pytest.fixture(scope="module", params=METHODS)
def detector(request):
    return fit(request.param)


def test_strange_notes_score_higher_whatever_their_length(detector):
    # What is far from all labels alike is no stranger under the relative distance.
    least = 0.9 if detector.method == "relative_mahalanobis" else 0.999
    assert novelty_auroc(detector.novelty(INSIDE), detector.novelty(OUTSIDE)).estimate >= least
    scores = detector.novelty(NEW)
    np.testing.assert_allclose(detector.novelty(NEW * 3), scores, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(detector.score_samples(NEW), -scores)


def test_scores_are_those_of_the_methods_on_embeddings_of_length_1():
    nearest = NearestNeighbors(n_neighbors=5).fit(UNIT_TRAIN).kneighbors(UNIT_NEW)[0][:, 4]
    density = {
        method: DensityEstimator(method, dimensions=3).fit(TRAIN).score_samples(NEW)
        for method in ("gaussian_mixture", "kde")
    }
    relative = RelativeMahalanobis().fit(UNIT_TRAIN, LABELS.tolist())
    expected = {
        "mahalanobis": Mahalanobis().fit(UNIT_TRAIN).score_samples(UNIT_NEW),
        "relative_mahalanobis": relative.score_samples(UNIT_NEW),
        "knn": -nearest,
        "isolation_forest": IsolationTrees(20).fit(UNIT_TRAIN).score_samples(UNIT_NEW),
        **density,
    }
    assert expected.keys() == METHODS.keys()
    for method, scores in expected.items():
        np.testing.assert_allclose(fit(method).novelty(NEW), -scores, rtol=1e-9)


def test_unscaled_embeddings_on_demand():
    found = fit("mahalanobis", scale=False).novelty(NEW)
    np.testing.assert_allclose(found, -Mahalanobis().fit(TRAIN).score_samples(NEW))


def test_percentiles_of_new_notes_like_training_are_spread_evenly(detector):
    percentiles = detector.percentile(blobs(600, seed=11)[0])
    assert 30 < np.median(percentiles) < 70
    assert 0.02 < (percentiles > 95).mean() < 0.15
    assert (detector.percentile(OUTSIDE) > 90).mean() > 0.5


def test_training_notes_are_scored_by_detectors_that_did_not_see_them():
    # Each of its own notes is at distance 0 of a detector that saw it.
    detector = fit("knn", neighbours=1)
    assert detector.novelty(TRAIN).max() < 1e-6
    assert detector.reference_.min() > 1e-3


def test_a_patients_notes_and_copies_are_held_out_together():
    near = TRAIN + np.random.default_rng(3).normal(size=TRAIN.shape).astype(np.float32) * 1e-3
    twice = np.concatenate([TRAIN, near])
    apart = fit("knn", twice, neighbours=1)
    together = fit("knn", twice, neighbours=1, groups=[*range(90), *range(90)])
    assert np.median(together.reference_) > 10 * np.median(apart.reference_)
    copies = fit("knn", np.concatenate([TRAIN, TRAIN]), neighbours=1)
    assert copies.reference_.min() > 1e-3


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_ranks_are_percentages_that_keep_the_order(gaussian, scores):
    ranks = gaussian.rank(scores)
    assert ((ranks >= 0) & (ranks <= 100)).all()
    assert (np.diff(ranks[np.argsort(scores)]) >= 0).all()


def test_ranks_by_hand(gaussian):
    middle = gaussian.reference_[44]
    assert gaussian.rank([middle, -1, 1e9]).tolist() == [50.0, 0.0, 100.0]


def test_saved_and_loaded_it_gives_the_same_scores(detector, tmp_path):
    assert not NoveltyDetector.is_saved(tmp_path)
    loaded = NoveltyDetector.load(detector.save(tmp_path))
    assert NoveltyDetector.is_saved(tmp_path)
    assert np.array_equal(loaded.novelty(NEW), detector.novelty(NEW))
    assert np.array_equal(loaded.percentile(NEW), detector.percentile(NEW))
    assert loaded.holds_notes == detector.holds_notes
    assert loaded.get_params() == detector.get_params()


def test_a_file_of_an_unknown_method_is_refused(gaussian, tmp_path):
    file = gaussian.save(tmp_path) / "novelty.safetensors"
    state = read_estimator(file, "NoveltyDetector")
    write_estimator(file, "NoveltyDetector", {**state, "method": "divination"})
    with pytest.raises(ArtifactError, match="no NoveltyDetector that this version knows"):
        NoveltyDetector.load(tmp_path)


@pytest.mark.parametrize("name", ["scale", "n_features_in_", "reference_", "probe_"])
def test_a_file_that_lacks_something_is_refused(gaussian, tmp_path, name):
    file = gaussian.save(tmp_path) / "novelty.safetensors"
    state = read_estimator(file, "NoveltyDetector")
    del state[name]
    write_estimator(file, "NoveltyDetector", state)
    with pytest.raises(ArtifactError, match="of no NoveltyDetector"):
        NoveltyDetector.load(tmp_path)


def test_the_same_seed_gives_the_same_detector(detector):
    again = fit(detector.method)
    assert np.array_equal(again.reference_, detector.reference_)
    assert np.array_equal(again.novelty(NEW), detector.novelty(NEW))


def test_copies_leave_room_for_fewer_gaussians():
    few = np.repeat(np.random.default_rng(0).normal(size=(9, 30)), 4, axis=0)
    detector = NoveltyDetector("gaussian_mixture", dimensions=2).fit(few)
    assert len(detector.reference_) == 36
    assert np.isfinite(detector.reference_).all()


def test_what_is_too_few_is_told_of_all_notes():
    rows = np.random.default_rng(0).normal(size=(17, 30))
    for method in ("gaussian_mixture", "kde"):
        with pytest.raises(TaskError, match=r"dimensions=16 with 17 notes.*allowed: at most 12"):
            NoveltyDetector(method).fit(rows)
    with pytest.raises(TaskError, match=r"neighbours=14 with 17 notes.*allowed: at most 13"):
        NoveltyDetector("knn", neighbours=14).fit(rows)
    labels = ["a"] * 30 + ["b"]
    with pytest.raises(TaskError, match="the 31 notes have 2 labels, but without the fifth"):
        NoveltyDetector("relative_mahalanobis").fit(
            np.random.default_rng(0).normal(size=(31, 8)), labels
        )


def test_labels_may_be_an_array():
    from_list = NoveltyDetector().fit(TRAIN, LABELS.tolist())
    from_array = NoveltyDetector().fit(TRAIN, LABELS)
    np.testing.assert_array_equal(from_list.reference_, from_array.reference_)


def test_detectors_that_hold_notes_say_so():
    assert {m for m in METHODS if fit(m).holds_notes} == {"knn", "kde"}
    rare = ["rare"] * 4 + ["common"] * 86
    enough = ["rare", *rare[:-1]]
    for method in ("mahalanobis", "relative_mahalanobis"):
        assert NoveltyDetector(method).fit(TRAIN, rare).holds_notes
        assert not NoveltyDetector(method).fit(TRAIN, enough).holds_notes
    alone = np.concatenate([TRAIN, OUTSIDE[:3]])
    mixture = NoveltyDetector("gaussian_mixture", dimensions=3).fit(alone)
    assert len(mixture.estimator_.parameters_["means"]) >= 4
    assert mixture.holds_notes


def test_the_probe_notices_another_encoder(gaussian, tmp_path):
    gaussian.check_probe(TRAIN[0])
    fitted = NoveltyDetector().fit(TRAIN, probe=TRAIN[0])
    probed = NoveltyDetector.load(fitted.save(tmp_path))
    probed.check_probe(TRAIN[0] * 1.001)
    for changed in (TRAIN[0] * 1.01, TRAIN[0] * np.nan):
        with pytest.raises(TaskError, match="encoder has changed since"):
            probed.check_probe(changed)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "oracle"}, ConfigError, "method 'oracle': choose one of"),
        ({"trees": 0}, ConfigError, "trees=0"),
        ({"method": "knn", "neighbours": 73}, TaskError, "72 stay.*at most 72"),
        ({"y": ["a"]}, TaskError, "90 notes have 1 labels"),
        ({"groups": ["a"]}, TaskError, "90 notes have 1 groups"),
        ({"groups": ["a", "b"] * 45}, TaskError, "make 2 groups"),
        ({"method": "relative_mahalanobis"}, TaskError, "but the target y is None"),
    ],
)
def test_misuse_in_fitting_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        given = {name: options.pop(name) for name in ("y", "groups") if name in options}
        NoveltyDetector(**options).fit(TRAIN, **given)


def test_faulty_embeddings_are_refused(detector):
    with pytest.raises(TaskError, match="X has 5 features, but NoveltyDetector is expecting 6"):
        detector.novelty(NEW[:, :5])
    with pytest.raises(TaskError, match="not finite"):
        detector.novelty(NEW * np.nan)
    with pytest.raises(TaskError, match="a minimum of 10 is required"):
        NoveltyDetector().fit(TRAIN[:9])
    with pytest.raises(TaskError, match="same embedding"):
        NoveltyDetector().fit(np.ones((20, 3)))


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
