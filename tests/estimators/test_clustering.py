import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.clustering import Clustering, clustering_scores
from clinical_tl.estimators.unit_length import unit_length
from tests.data.corpora import corpus
from tests.estimators.notes import blobs

NOTES, CENTRES = blobs()


def test_k_means_finds_how_many_clusters_there_are():
    found = Clustering(candidates=(2, 3, 4, 5)).fit(NOTES)
    assert found.n_clusters_ == 3
    assert clustering_scores(found.labels_, CENTRES.tolist()).ari == 1
    assert [c.n_clusters for c in found.candidates_] == [2, 3, 4, 5]
    assert found.silhouette_ == max(c.silhouette for c in found.candidates_)
    unit = unit_length(NOTES.astype(np.float64))
    assert found.silhouette_ == pytest.approx(silhouette_score(unit, found.labels_))
    assert found.candidates_[1].smallest == 30
    assert found.noise_ == 0


@pytest.mark.parametrize("method", ["kmeans", "hdbscan"])
def test_notes_without_a_token_make_no_cluster(method):
    blank = np.zeros((20, NOTES.shape[1]), dtype=np.float32)
    settings = {"n_clusters": 3} if method == "kmeans" else {}
    found = Clustering(method, **settings).fit(np.concatenate([blank, NOTES]))
    plain = Clustering(method, **settings).fit(NOTES)
    assert (found.labels_[:20] == -1).all()
    assert np.array_equal(found.labels_[20:], plain.labels_)
    assert (found.noise_, found.silhouette_) == (20 + plain.noise_, plain.silhouette_)
    with pytest.raises(TaskError, match="none of the 20 notes has a token"):
        Clustering(method, **settings).fit(blank)


def test_where_embeddings_point_is_what_counts():
    lengths = np.random.default_rng(0).uniform(0.5, 20, size=(90, 1)).astype(np.float32)
    near, far = (Clustering(n_clusters=3).fit(x) for x in (NOTES, NOTES * lengths))
    assert adjusted_rand_score(near.labels_, far.labels_) == 1


def test_hdbscan_leaves_out_what_is_in_no_dense_region():
    noise = np.random.default_rng(2).normal(size=(12, 6)).astype(np.float32)
    found = Clustering(method="hdbscan").fit(np.concatenate([NOTES, noise]))
    assert found.n_clusters_ == 3
    assert found.noise_ == int((found.labels_ == -1).sum()) >= 6
    assert found.sizes_.sum() == 102 - found.noise_
    assert found.silhouette_ > 0.7
    assert found.candidates_ == ()


def test_clusters_are_numbered_from_the_largest():
    uneven = np.concatenate([NOTES, NOTES[CENTRES == 2], NOTES[CENTRES == 2], NOTES[CENTRES == 0]])
    for seed in range(4):
        found = Clustering(n_clusters=3, seed=seed).fit(uneven)
        assert found.sizes_.tolist() == [90, 60, 30]
        assert found.labels_[:3].tolist() == [1, 2, 0]


def test_one_cluster_or_none_has_no_silhouette():
    noise = np.random.default_rng(2).normal(size=(40, 6))
    found = Clustering(method="hdbscan", min_cluster_size=20).fit(noise)
    assert (found.n_clusters_, found.noise_, found.silhouette_) == (0, 40, None)
    assert found.sizes_.tolist() == []


def test_in_fewer_dimensions_the_clusters_are_still_there():
    found = Clustering(n_clusters=3, dimensions=2).fit(NOTES)
    assert clustering_scores(found.labels_, CENTRES.tolist()).ari == 1
    plane = Clustering(n_clusters=3, dimensions=1).fit(NOTES)
    assert clustering_scores(plane.labels_, CENTRES.tolist()).ari < 1
    with pytest.raises(TaskError, match="can't be reduced to 7"):
        Clustering(n_clusters=3, dimensions=7).fit(NOTES)


def test_the_silhouette_of_many_notes_is_of_a_sample(monkeypatch):
    whole = Clustering(n_clusters=3).fit(NOTES).silhouette_
    monkeypatch.setattr("clinical_tl.estimators.clustering.SILHOUETTE_NOTES", 40)
    sample, again = (Clustering(n_clusters=3).fit(NOTES).silhouette_ for _ in range(2))
    assert sample == again != whole
    assert sample == pytest.approx(whole, abs=0.1)


def test_agreement_counts_noise_as_a_cluster_and_leaves_out_unlabelled_notes():
    labels = [0, 0, 1, 1, -1, -1, 2]
    gold = ["a", "a", "b", "c", "c", "a", None]
    found = clustering_scores(labels, gold)
    assert found.ari == pytest.approx(adjusted_rand_score(gold[:6], labels[:6]))
    assert found.nmi == pytest.approx(normalized_mutual_info_score(gold[:6], labels[:6]))
    assert (found.notes, found.unlabelled, found.noise) == (6, 1, 2)
    assert found.summary()["noise"] == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "ward"}, ConfigError, "method 'ward'"),
        ({"method": "hdbscan", "n_clusters": 3}, ConfigError, "HDBSCAN finds the number itself"),
        ({"n_clusters": 0}, ConfigError, "n_clusters=0; allowed: at least 1"),
        ({"candidates": ()}, ConfigError, "candidates=0"),
        ({"n_clusters": 91}, TaskError, "90 notes, 90 of them differing, are too few"),
        ({"method": "hdbscan", "min_cluster_size": 91}, TaskError, "at least 91"),
        ({"dimensions": 0}, ConfigError, "dimensions=0"),
    ],
)
def test_misuse_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        Clustering(**options).fit(NOTES)


def test_faulty_notes_are_refused():
    with pytest.raises(TaskError, match=r"shape=\(0, 6\)"):
        Clustering().fit(NOTES[:0])
    with pytest.raises(TaskError, match="not finite"):
        Clustering(n_clusters=2).fit(np.full((5, 2), np.nan))
    with pytest.raises(TaskError, match="8 notes, 2 of them differing"):
        Clustering(n_clusters=3).fit(np.repeat(NOTES[:2], 4, axis=0))
    with pytest.raises(TaskError, match="2 notes are clustered and 1 labelled"):
        clustering_scores([0, 1], ["a"])
    with pytest.raises(TaskError, match="none of the 2 notes has a label"):
        clustering_scores([0, 1], [None, None])


def test_sections_of_real_dialogues_cluster_by_their_words():
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    from clinical_tl.data.corpora import load_corpus

    notes = load_corpus("mts_dialog", folder=corpus("mts_dialog").parent)["dev"]
    words = TfidfVectorizer(sublinear_tf=True).fit_transform(notes["text"])
    found = Clustering(n_clusters=5).fit(TruncatedSVD(10, random_state=0).fit_transform(words))
    assert clustering_scores(found.labels_, notes["label"]).ari > 0.1
