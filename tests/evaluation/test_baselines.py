"""Persistence, drift and ridge (trendlstm.evaluation.baselines)."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge as SklearnRidge

from trendlstm.data.windows import make_windows
from trendlstm.evaluation.baselines import ALPHAS, BASELINES, Ridge, drift, persistence, ridge
from trendlstm.evaluation.metrics import skill


def make_prices(rows, seed=0, momentum=0.0):
    """Closes whose log returns follow an AR(1) with coefficient `momentum`, and volumes."""
    rng = np.random.default_rng(seed)
    returns = 0.02 * rng.standard_normal(rows)
    for t in range(1, rows):
        returns[t] += momentum * returns[t - 1]
    close = 50 * np.exp(np.cumsum(returns))
    return pd.DataFrame(
        {"Close": close, "High": 1.01 * close, "Volume": rng.uniform(1, 1e6, rows)},
        index=pd.bdate_range("2015-01-01", periods=rows),
    )


@st.composite
def window_cases(draw):
    options = {
        "lag": draw(st.integers(2, 12)),
        "horizon": draw(st.integers(1, 4)),
        "features": draw(st.sampled_from([("Close",), ("Volume", "Close"), ("High",)])),
        "scaling": draw(st.sampled_from(["window", "standard", "minmax", "none"])),
    }
    return make_prices(draw(st.integers(70, 150)), draw(st.integers(0, 1000))), options


@given(window_cases())
@settings(max_examples=20, deadline=None)
def test_every_baseline_predicts_every_sample(case):
    windows = make_windows(case[0], **case[1])
    for baseline in BASELINES.values():
        predictions = baseline(windows)
        assert list(predictions) == ["train", "validation", "test"]
        for split in windows.splits:
            assert predictions[split.name].shape == split.actual.shape
            assert predictions[split.name].dtype == np.float64
            assert np.isfinite(predictions[split.name]).all()


def test_persistence_is_the_last_close():
    prices = make_prices(90)
    windows = make_windows(prices, lag=4, horizon=3)
    for split in windows.splits:
        expected = prices["Close"].to_numpy()[split.origins]
        for k in range(3):
            np.testing.assert_array_equal(persistence(windows)[split.name][:, k], expected)


def test_drift_compounds_the_mean_training_return():
    close = 10 * 1.5 ** np.array([0, 1, 0, 2, 1, 3, 4, 3, 5, 4, 9, 2, 7, 1, 8.0])
    prices = pd.DataFrame({"Close": close}, index=pd.bdate_range("2020-01-01", periods=15))
    windows = make_windows(prices, lag=2, horizon=2, split=(0.6, 0.2, 0.2))
    # 9 training rows, from 1.5^0 to 1.5^5 in 8 days
    daily = 1.5 ** (5 / 8)
    for split in windows.splits:
        expected = close[split.origins][:, None] * np.array([daily, daily**2])
        np.testing.assert_allclose(drift(windows)[split.name], expected, rtol=1e-13)


@given(window_cases())
@settings(max_examples=30, deadline=None)
def test_ridge_equals_scikit_learn(case):
    prices, options = case
    windows = make_windows(prices, **options)
    flat = {split.name: split.x.reshape(len(split.x), -1) for split in windows.splits}
    alphas = [10 ** (k / 2) for k in range(-6, 17)]  # half decades from 1e-3 to 1e8
    models = [SklearnRidge(alpha=alpha, solver="svd").fit(flat["train"], windows.train.y) for alpha in alphas]
    models.append(DummyRegressor(strategy="mean").fit(flat["train"], windows.train.y))
    alphas.append(np.inf)

    def outputs(model, name):
        return model.predict(flat[name]).reshape(-1, windows.horizon)

    errors = [np.mean((outputs(model, "validation") - windows.validation.y) ** 2) for model in models]
    ours = Ridge.fit(windows)
    np.testing.assert_allclose(ALPHAS, alphas, rtol=1e-12)
    index = list(ALPHAS).index(ours.alpha)
    chosen = models[index]
    assert errors[index] == pytest.approx(min(errors), rel=1e-9)
    for split in windows.splits:
        np.testing.assert_allclose(ours.predict(split.x), outputs(chosen, split.name), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(
            ridge(windows)[split.name],
            windows.scaler.prices(outputs(chosen, split.name), split.anchors),
            rtol=1e-8,
        )


def test_ridge_of_random_walks_may_predict_the_mean_and_is_not_held_by_an_end_of_its_penalties():
    """With 1e3 as the largest penalty, that end won on most walks: too little for a series without a pattern."""
    models = []
    for seed in range(40):
        windows = make_windows(make_prices(1000, seed))
        models.append(Ridge.fit(windows))
        if models[-1].alpha == np.inf:
            expected = np.broadcast_to(windows.train.y.mean(axis=0), windows.test.y.shape)
            np.testing.assert_array_equal(models[-1].predict(windows.test.x), expected)
    alphas = np.array([model.alpha for model in models])
    assert 4 <= np.sum(alphas == np.inf) <= 36
    for end in (1e-3, 1e3, 1e8):
        assert np.sum(np.isclose(alphas, end)) <= 12


def test_ridge_with_more_inputs_than_samples():
    windows = make_windows(make_prices(100), lag=60, features=("Close", "High", "Volume"), scaling="standard")
    assert windows.train.x[0].size > len(windows.train.x)
    ours = Ridge.fit(windows)
    peer = SklearnRidge(alpha=ours.alpha).fit(
        windows.train.x.reshape(len(windows.train.x), -1), windows.train.y
    )
    expected = peer.predict(windows.test.x.reshape(len(windows.test.x), -1)).reshape(-1, 1)
    np.testing.assert_allclose(ours.predict(windows.test.x), expected, rtol=1e-8)


def test_ridge_does_not_penalise_the_intercept():
    """Without information the prediction is the mean of the training targets, however far from 0."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(0.05 + 0.001 * rng.standard_normal(200)))
    prices = pd.DataFrame({"Close": close}, index=pd.bdate_range("2020-01-01", periods=200))
    windows = make_windows(prices, lag=2, scaling="window")
    outputs = Ridge.fit(windows).predict(windows.test.x)
    assert outputs.mean() == pytest.approx(windows.train.y.mean(), rel=0.02)
    assert windows.train.y.mean() > 40


def test_ridge_finds_what_there_is_to_find():
    windows = make_windows(make_prices(2000, momentum=0.6), lag=5)
    test = windows.test
    assert skill(test.anchors, test.actual[:, 0], ridge(windows)["test"][:, 0]) > 0.1


@given(window_cases())
@settings(max_examples=20, deadline=None)
def test_ridge_predicts_one_sample_as_it_predicts_many(case):
    windows = make_windows(case[0], **case[1])
    model = Ridge.fit(windows)
    together = model.predict(windows.test.x)
    for i in range(len(windows.test.x)):
        assert model.predict(windows.test.x[i : i + 1]).tobytes() == together[i].tobytes()


@pytest.mark.parametrize("name", BASELINES)
@given(case=window_cases(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_no_baseline_looks_ahead(name, case, data):
    """Changing every price after a test day t leaves every prediction for dates up to t bit-identical."""
    prices, options = case
    windows = make_windows(prices, **options)
    first_test_row = windows.train_rows + windows.validation_rows
    t = data.draw(st.integers(first_test_row, len(prices) - 2), label="last unchanged row")
    noise = np.random.default_rng(2).uniform(0.5, 2, (len(prices) - t - 1, prices.shape[1]))
    changed = prices.copy()
    changed.iloc[t + 1 :] = prices.iloc[t + 1 :].to_numpy() * noise
    before, after = BASELINES[name](windows), BASELINES[name](make_windows(changed, **options))
    steps = np.arange(1, windows.horizon + 1)
    for split in windows.splits:
        # every prediction made by day t is for dates up to t, or for later ones from what was known at t
        made = split.origins <= t
        assert before[split.name][made].tobytes() == after[split.name][made].tobytes()
        due = split.origins[:, None] + steps <= t
        assert before[split.name][due].tobytes() == after[split.name][due].tobytes()
    last_origin_changed = windows.test.origins[-1] > t
    constant = name == "ridge" and Ridge.fit(windows).alpha == np.inf and windows.scaler.scaling != "window"
    seen = last_origin_changed and not constant
    assert seen == (not np.array_equal(before["test"], after["test"]))
