"""Against the papers' formulas, with scikit-learn's shrunk covariance."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from clinical_tl.errors import TaskError
from clinical_tl.estimators.mahalanobis import Mahalanobis, RelativeMahalanobis
from tests.estimators.notes import blobs, strangers

TRAIN, LABELS = blobs()
MATRIX = TRAIN.astype(np.float64)
NEW = np.concatenate([blobs(seed=7)[0], strangers()]).astype(np.float64)


def by_hand(train, labels, new):
    means = {y: train[labels == y].mean(axis=0) for y in set(labels.tolist())}
    centred = train - np.array([means[y] for y in labels.tolist()])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(centred).covariance_)
    return np.array([min((x - m) @ precision @ (x - m) for m in means.values()) for x in new])


def test_distance_to_the_nearest_label_under_a_shared_covariance():
    found = -Mahalanobis().fit(MATRIX, LABELS.tolist()).score_samples(NEW)
    np.testing.assert_allclose(found, by_hand(MATRIX, LABELS, NEW), rtol=1e-9)


def test_without_labels_it_is_scikit_learns_mahalanobis():
    expected = LedoitWolf().fit(MATRIX).mahalanobis(NEW)
    found = -Mahalanobis().fit(MATRIX).score_samples(NEW)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_relative_distance_takes_off_the_distance_to_all_notes():
    found = -RelativeMahalanobis().fit(MATRIX, LABELS.tolist()).score_samples(NEW)
    one = np.zeros(len(MATRIX), dtype=int)
    expected = by_hand(MATRIX, LABELS, NEW) - by_hand(MATRIX, one, NEW)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)
    assert (found < 0).any()


def test_fewer_notes_than_dimensions_are_enough():
    wide = np.random.default_rng(0).normal(size=(12, 40))
    assert np.isfinite(Mahalanobis().fit(wide).score_samples(wide)).all()


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(TaskError, match="but 1 label is there"):
        RelativeMahalanobis().fit(MATRIX, ["a"] * len(MATRIX))
    with pytest.raises(TaskError, match="but the target y is None"):
        RelativeMahalanobis().fit(MATRIX)
    with pytest.raises(TaskError, match="differ too little within labels"):
        Mahalanobis().fit(MATRIX[:4], [1, 2, 3, 4])
    with pytest.raises(TaskError, match="90 notes have 2 labels"):
        Mahalanobis().fit(MATRIX, [1, 2])


def test_sizes_are_the_notes_of_each_label():
    assert Mahalanobis().fit(MATRIX[:4], ["b", "a", "b", "b"]).sizes_.tolist() == [3, 1]
