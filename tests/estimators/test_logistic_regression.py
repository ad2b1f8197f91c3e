"""The linear model against scikit-learn's, piece by piece, and from disk."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from clinical_tl.estimators import logistic_regression
from clinical_tl.estimators.logistic_regression import fit_logistic, log_losses


def features(n=120, d=6, seed=0):
    rng = np.random.default_rng(seed)
    # Columns of very different scale and offset, one constant.
    x = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-2, 3, size=d) + rng.normal(size=d) * 5
    x[:, -1] = 3.0
    return x.astype(np.float32)


@pytest.mark.parametrize("strength", [0.01, 1.0])
@pytest.mark.parametrize("chunk", [7, 1000])
def test_the_multinomial_model_is_scikit_learns(monkeypatch, strength, chunk):
    monkeypatch.setattr(logistic_regression, "CHUNK", chunk)
    monkeypatch.setattr(logistic_regression, "IN_CACHE", 6 * chunk)
    x = features()
    noise = np.random.default_rng(1).normal(size=len(x))
    y = np.digitize((x[:, 0] - x[:, 0].mean()) / x[:, 0].std() + noise, [-0.5, 0.8])
    ours = fit_logistic(x, y, n_outputs=3, strength=strength)
    scaler = StandardScaler().fit(x.astype(np.float64))
    theirs = LogisticRegression(C=strength, max_iter=10_000, tol=1e-10)
    theirs.fit(scaler.transform(x), y)
    expected = theirs.predict_proba(scaler.transform(x))
    np.testing.assert_allclose(ours.probabilities(x, exclusive=True), expected, atol=2e-4)


def test_the_search_ends_at_the_optimum():
    rng = np.random.default_rng(0)
    # Few rows of many features that depend on one another: the objective is flat near its end.
    x = (rng.normal(size=(150, 60)) @ rng.normal(size=(60, 60)) ** 3).astype(np.float32)
    y = np.digitize(x[:, 0] + 3 * rng.normal(size=150), [-5, 0, 5])
    scaler = StandardScaler().fit(x.astype(np.float64))
    theirs = LogisticRegression(C=10.0, max_iter=100_000, tol=1e-10).fit(scaler.transform(x), y)
    ours, exact = (
        fit_logistic(x, y, n_outputs=4, strength=10.0, tolerance=tolerance).probabilities(
            x, exclusive=True
        )
        for tolerance in (logistic_regression.TOLERANCE, 1e-9)
    )
    np.testing.assert_allclose(exact, theirs.predict_proba(scaler.transform(x)), atol=1e-4)
    np.testing.assert_allclose(ours, exact, atol=5e-5)


def test_a_search_that_has_not_settled_says_so(monkeypatch, caplog):
    monkeypatch.setattr(logistic_regression, "MAX_ITERATIONS", 2)
    fit_logistic(features(), np.arange(120) % 3, n_outputs=3, strength=10.0)
    assert "has not settled after 2 iterations" in caplog.text


def test_binary_models_are_scikit_learns_one_by_one():
    x = features()
    rng = np.random.default_rng(2)
    y = rng.random((len(x), 3)) < np.array([0.1, 0.5, 0.9])
    ours = fit_logistic(x, y, n_outputs=3, strength=0.1)
    scaler = StandardScaler().fit(x.astype(np.float64))
    for column in range(3):
        theirs = LogisticRegression(C=0.1, max_iter=10_000, tol=1e-10)
        theirs.fit(scaler.transform(x), y[:, column])
        expected = theirs.predict_proba(scaler.transform(x))[:, 1]
        found = ours.probabilities(x, exclusive=False)[:, column]
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_constant_that_rounding_moves_is_a_constant():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(90, 3)), np.full(90, 0.1)])
    y = (x[:, 0] > 0).astype(np.int64)
    ours = fit_logistic(x, y, n_outputs=2, strength=1.0)
    assert np.abs(ours.coefficients).max() < 100
    moved = x + np.array([0, 0, 0, 1e-3])
    np.testing.assert_allclose(
        ours.probabilities(moved, exclusive=True), ours.probabilities(x, exclusive=True), atol=1e-6
    )


def test_rows_that_are_left_out_change_nothing():
    x = features()
    y = np.arange(len(x)) % 2
    rows = np.arange(0, len(x), 3)
    part = fit_logistic(x, y, n_outputs=2, strength=0.5, rows=rows)
    alone = fit_logistic(x[rows], y[rows], n_outputs=2, strength=0.5)
    np.testing.assert_array_equal(part.coefficients, alone.coefficients)


def test_a_start_elsewhere_ends_at_the_same_place():
    x = features()
    y = np.arange(len(x)) % 3
    near = fit_logistic(x, y, n_outputs=3, strength=0.01)
    warm = fit_logistic(x, y, n_outputs=3, strength=1.0, start=near)
    cold = fit_logistic(x, y, n_outputs=3, strength=1.0)
    np.testing.assert_allclose(warm.logits(x), cold.logits(x), atol=5e-3)


def test_a_start_says_nothing_of_what_is_constant_here():
    """Of rows that lack what another fold's have, the search went off at 1e30."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(60, 4)), np.zeros((60, 1))], axis=1)
    x[:, :4] *= 1e6
    y = (x[:, 0] > 0).astype(np.int64)
    elsewhere = fit_logistic(np.eye(5), np.arange(5) % 2, n_outputs=2, strength=1.0)
    assert elsewhere.coefficients[:, -1].any()
    warm = fit_logistic(x, y, n_outputs=2, strength=1.0, start=elsewhere)
    cold = fit_logistic(x, y, n_outputs=2, strength=1.0)
    np.testing.assert_allclose(warm.logits(x), cold.logits(x), atol=5e-3)


@pytest.mark.parametrize("block", [1, 2])
def test_weights_of_rows_are_those_of_all_their_outputs(block):
    x = features()
    first = (x[:, 0] > x[:, 0].mean()).astype(np.int64)
    y = np.stack([first, 1 - first], axis=1)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(x))
    settings = {"n_outputs": 2, "strength": 0.1, "block": block}
    of_rows = fit_logistic(x, y, weights=weights, **settings)
    of_each = fit_logistic(x, y, weights=np.stack([weights, weights], axis=1), **settings)
    np.testing.assert_allclose(of_rows.coefficients, of_each.coefficients, rtol=1e-9)


def test_features_on_disk_give_the_same_bits(tmp_path):
    x = features()
    y = np.arange(len(x)) % 2
    x.tofile(tmp_path / "x.f32")
    mapped = np.memmap(tmp_path / "x.f32", dtype=np.float32, mode="r", shape=x.shape)
    on_disk = fit_logistic(mapped, y, n_outputs=2, strength=1.0)
    in_memory = fit_logistic(x, y, n_outputs=2, strength=1.0)
    np.testing.assert_array_equal(on_disk.coefficients, in_memory.coefficients)


def test_what_is_constant_but_for_rounding_is_silent():
    x = features()
    y = np.arange(len(x)) % 2
    rounding = 1e-30 * np.random.default_rng(0).normal(size=(len(x), 1)).astype(np.float32)
    with_it = fit_logistic(np.hstack([x, rounding]), y, n_outputs=2, strength=1.0)
    assert np.abs(with_it.coefficients[:, -1]).max() < 1e-12
    without = fit_logistic(x, y, n_outputs=2, strength=1.0)
    np.testing.assert_allclose(with_it.coefficients[:, :-1], without.coefficients, atol=1e-4)


def test_a_block_of_outputs_is_one_multinomial_model():
    x, y = features(), np.stack([np.arange(120) % 3, np.arange(120) // 7 % 3], axis=1)
    right = (y[..., None] == np.arange(3)).reshape(120, 6)
    # Of ten rows the second block's is not known.
    right[:10, 3:] = False
    weights = np.repeat(np.linspace(0.5, 2, 120)[:, None], 6, axis=1)
    both = fit_logistic(x, right, n_outputs=6, strength=0.1, block=3, weights=weights)
    found = both.probabilities(x, exclusive=False, block=3)
    for column, rows in ((0, np.arange(120)), (1, np.arange(10, 120))):
        # Features are standardised over all rows: those without gold weigh nothing.
        own = np.where(np.isin(np.arange(120), rows), weights[:, 0], 0.0)
        alone = fit_logistic(x, y[:, column], n_outputs=3, strength=0.1, weights=own)
        expected = alone.probabilities(x, exclusive=True)
        np.testing.assert_allclose(found[:, 3 * column :][:, :3], expected, atol=2e-4)
    losses = log_losses(found, right, block=3)
    np.testing.assert_allclose(losses[20, :3].sum(), -np.log(found[20, y[20, 0]]))
    assert losses[5, 3:].sum() == 0


def test_log_losses_by_hand():
    p = np.array([[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(log_losses(p, np.array([0, 1])), -np.log([0.25, 0.5]))
    binary = log_losses(p, np.array([[True, False], [False, False]]))
    np.testing.assert_allclose(binary, -np.log([[0.25, 0.25], [0.5, 0.5]]))
