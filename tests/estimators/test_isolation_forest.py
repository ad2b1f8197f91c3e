"""Against scikit-learn's own scores."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from clinical_tl.estimators.isolation_forest import IsolationTrees, expected_steps
from tests.estimators.notes import blobs, strangers

NEW = np.concatenate([blobs(seed=7)[0], strangers(2000)]).astype(np.float64)


@pytest.mark.parametrize("n", [10, 90, 400])
def test_scores_are_scikit_learns(n):
    train = blobs(n)[0].astype(np.float64)
    peer = IsolationForest(n_estimators=20, max_samples=min(256, n), random_state=3)
    expected = peer.fit(train.astype(np.float32)).score_samples(NEW.astype(np.float32))
    found = IsolationTrees(20, seed=3).fit(train).score_samples(NEW)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_note_on_a_threshold_goes_left_by_hand():
    by_hand = {
        "feature_": np.array([1, 0, 0]),
        "threshold_": np.array([0.5, -2.0, -2.0]),
        "left_": np.array([1, -1, -1]),
        "right_": np.array([2, -1, -1]),
        "path_": np.array([0.0, 1.0, 3.0]),
        "roots_": np.array([0]),
        "normaliser_": 2.0,
        "n_features_in_": 2,
    }
    tree = IsolationTrees.from_state({"trees": 1, "seed": 0, **by_hand})
    scores = tree.score_samples(np.array([[9, 0.5], [9, 0.500001], [-9, 0.4]]))
    np.testing.assert_allclose(scores, [-(2**-0.5), -(2**-1.5), -(2**-0.5)])


def test_expected_steps_by_hand():
    harmonic = 2 * (np.log(255) + np.euler_gamma) - 2 * 255 / 256
    steps = expected_steps(np.array([0, 1, 2, 256]))
    np.testing.assert_allclose(steps, [0, 0, 1, harmonic])


def test_the_seed_decides_the_forest():
    train = blobs()[0].astype(np.float64)
    first, again, other = (IsolationTrees(3, seed=s).fit(train).threshold_ for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
