"""Forecasts: what is fed back, what the band holds, and when there is none."""

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from walks import random_walk, trained

from trendlstm.data.sources import load_prices, sample_tickers
from trendlstm.data.windows import make_windows
from trendlstm.errors import DataError, OptionError
from trendlstm.evaluation.intervals import Band, recent_volatility
from trendlstm.workflows.forecast import forecast_table

SCALINGS = ["window", "standard", "minmax", "none"]
ROUNDING = 1e-7  # relative, in a price: what float32 inputs that differ in their last bit make of it


def one_step(forecaster, closes):
    """The next close by hand: scale the last closes, average the networks, scale back."""

    def output(x):
        return np.mean([float(network.predict(x[None, :, None])[0, 0]) for network in forecaster.networks])

    scaler = forecaster.scaler
    if scaler.scaling == "window":
        return closes[-1] * np.exp(scaler.sigma * output(np.log(closes / closes[-1]) / scaler.sigma))
    return scaler.target_centre + scaler.target_scale * output((closes - scaler.centre[0]) / scaler.scale[0])


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_recursive_forecast_is_the_one_step_prediction_fed_back_by_hand(scaling, seeds):
    result = trained(scaling=scaling, seeds=seeds)
    forecaster, close, lag = result.forecaster, result.windows.close, result.windows.lag
    known = list(close[:100])
    path = forecaster.recurse(close[None, 100 - lag : 100], 6)[0]
    for forecast in path:
        assert forecast == pytest.approx(one_step(forecaster, np.array(known[-lag:])), rel=ROUNDING)
        known.append(forecast)
    assert len(set(np.diff(path).round(9))) > 1  # a window that is reset at each step gives a straight line


def test_first_recursive_step_is_the_one_step_prediction():
    result = trained()
    test = result.windows.test
    windows = np.stack([result.windows.close[t - 3 : t + 1] for t in test.origins])
    recursive = result.forecaster.recurse(windows, 1)
    np.testing.assert_allclose(recursive, result.forecaster.predict(test.x, test.anchors), rtol=ROUNDING)


def test_recursive_forecasts_of_many_rows_are_those_of_each_row():
    result = trained(seeds=2)
    windows = np.stack([result.windows.close[t - 3 : t + 1] for t in result.windows.test.origins])
    assert len(windows) > 8  # more than one chunk
    together = result.forecaster.recurse(windows, 5)
    each = [result.forecaster.recurse(row[None], 5)[0] for row in windows]
    np.testing.assert_allclose(together, each, rtol=ROUNDING)


def test_recursive_path_of_a_run_starts_at_the_last_training_row_and_sees_no_later_price():
    result = trained()
    windows = result.windows
    path = result.forecaster.recurse(windows.close[None, windows.train_rows - 4 : windows.train_rows], 200)[0]
    table = result.assessment.predictions
    first = windows.dates[windows.train_rows]
    assert table.loc[table["date"] < first, "recursive"].isna().all()
    later = table[table["date"] >= first]
    np.testing.assert_array_equal(later["recursive"], path[: len(later)])


@pytest.mark.parametrize(
    "settings", [{"horizon": 2}, {"features": ("Close", "Volume")}, {"features": ("Open",)}]
)
def test_no_recursive_forecast_of_other_models(settings):
    result = trained(**settings)
    assert not result.forecaster.is_recursive and result.assessment.predictions["recursive"].isna().all()
    with pytest.raises(
        OptionError, match=r"^A recursive forecast needs a model of Close alone with horizon 1"
    ):
        result.forecaster.recurse(result.windows.close[None, :4], 2)


def test_a_recursive_forecast_that_runs_down_to_zero_is_refused():
    result = trained()
    network = result.forecaster.networks[0]
    values = network.state_dict()
    values["dense.0.bias"][:] = -1e6
    network.load_state_dict(values)
    with pytest.raises(DataError, match=r"^The recursive forecast ran down to a price of 0"):
        result.forecaster.recurse(result.windows.close[None, :4], 3)


def test_an_ensemble_averages_outputs_in_target_units():
    result = trained(seeds=3, scaling="window")
    test, forecaster = result.windows.test, result.forecaster
    outputs = [network.predict(test.x).astype(np.float64) for network in forecaster.networks]
    expected = test.anchors[:, None] * np.exp(forecaster.scaler.sigma * np.mean(outputs, axis=0))
    np.testing.assert_allclose(forecaster.predict(test.x, test.anchors), expected, rtol=1e-15)
    singles = np.stack([one.predict(test.x, test.anchors) for one in forecaster.single()])
    assert len(singles) == 3 and not np.array_equal(singles.mean(axis=0), expected)  # not of prices


def scaled(error, close, origin):
    """An error of a log return in units of the volatility of the days up to its origin."""
    returns = np.diff(np.log(close[: origin + 1]))
    weights = 0.94 ** np.arange(len(returns))[::-1]
    return abs(error) / np.sqrt(np.sum(weights * returns**2) / weights.sum())


def half_width(errors):
    """The conformal quantile: of 80 % of the errors and the one to come."""
    return pytest.approx(np.sort(errors)[int(np.ceil(0.8 * (len(errors) + 1))) - 1], rel=1e-6)


def test_recursive_bands_come_from_the_errors_of_forecasts_as_far_ahead():
    result = trained()
    windows, forecaster, close = result.windows, result.forecaster, result.windows.close
    # validation errors alone decide how many steps have one: five spans of nine rows, or of ten, but for two rows
    assert windows.validation_rows == 48 and len(result.assessment.bands) == 9
    for step in (1, 2, 9):
        errors = []
        for origin in range(windows.train_rows - 1, len(close) - step):
            known = list(close[: origin + 1])
            for _ in range(step):
                known.append(one_step(forecaster, np.array(known[-4:])))
            errors.append(scaled(np.log(close[origin + step] / known[-1]), close, origin))
        band = result.assessment.bands[step - 1]
        assert band.step == step and band.errors == len(errors) == 96 - step + 1
        assert band.counted == len(close) - windows.train_rows - windows.validation_rows - step + 1
        assert band.half_width == half_width(errors)


def test_direct_bands_come_from_the_errors_of_each_step():
    result = trained(horizon=3)
    windows, close = result.windows, result.windows.close
    for step, band in enumerate(result.assessment.bands, start=1):
        errors = []
        for split in (windows.validation, windows.test):
            predicted = result.forecaster.predict(split.x, split.anchors)[:, step - 1]
            for origin, price in zip(split.origins, predicted, strict=True):
                errors.append(scaled(np.log(close[origin + step] / price), close, origin))
        assert band.half_width == half_width(errors) and band.counted == len(windows.test.origins)
    assert len(result.assessment.bands) == 3


def test_bands_hold_what_they_promise_on_all_years_of_the_sample():
    """Of small networks; scripts/simulate_bands.py has those of the default size, docs/bands.md quotes it."""
    results = [
        trained(load_prices(ticker, years=100, source="sample"), split=(0.8, 0.1, 0.1))
        for ticker in sample_tickers()
    ]
    assert [len(result.windows.close) for result in results] == [3270, 2148, 3270, 3270]
    for step in (1, 10):
        assert 0.76 <= np.mean([result.assessment.bands[step - 1].coverage for result in results]) <= 0.84


def test_a_forecast_lies_within_its_band_also_where_all_errors_have_one_sign():
    falling = random_walk()
    falling["Close"] = (
        50 * np.exp(-0.01 * np.arange(240)) * np.exp(np.random.default_rng(3).normal(0, 1e-3, 240))
    )
    table = trained(falling, scaling="none", epochs=1).forecast.dropna()
    assert len(table) >= 5
    assert ((table["low"] < table["price"]) & (table["price"] < table["high"])).all()


@pytest.mark.parametrize(
    ("rows", "steps"), [(180, 0), (200, 1), (210, 2), (220, 3), (230, 4), (240, 4), (250, 5)]
)
def test_bands_reach_as_far_as_there_are_errors_and_spans_to_judge_by(rows, steps):
    """20 errors, of which step k leaves n - k + 1, and five spans of k rows among the n validation rows."""
    result = trained(random_walk(rows), split=(0.8, 0.1, 0.1))
    n = result.windows.validation_rows
    assert n == rows // 10 and steps == max(0, min(n // 5, n - 19)) == len(result.assessment.bands)


def test_bands_of_a_direct_model_end_where_five_spans_no_longer_fit():
    result = trained(horizon=12)
    # 37 origins and eight steps span 44 rows, five spans of eight; with nine steps 45, five of nine; of ten, too few
    assert len(result.windows.validation.anchors) == 37 and len(result.assessment.bands) == 9
    assert result.forecast["low"].notna().sum() == 9 and len(result.forecast) == 12


def test_too_few_validation_errors_give_no_band():
    result = trained(random_walk(180), split=(0.8, 0.1, 0.1))
    assert result.windows.validation_rows == 18 and result.assessment.bands == []
    assert result.forecast[["low", "high"]].isna().all().all() and len(result.forecast) == 10


@pytest.mark.parametrize(
    "settings", [{}, {"horizon": 3}, {"features": ("Open", "Close", "Volume"), "horizon": 3}]
)
def test_forecast_table_starts_from_the_newest_row(settings):
    result = trained(**settings)
    prices = random_walk(300, seed=8)
    dates = pd.bdate_range(prices.index[-1] + pd.Timedelta(days=1), periods=3)
    bands = [Band(step, width, 100, 40, 50, 0.6, 0.9) for step, width in ((1, 1.5), (2, 2.5))]
    table = forecast_table(result.forecaster, prices, dates, bands)
    last = prices["Close"].iloc[-1]
    if result.forecaster.is_recursive:
        expected = result.forecaster.recurse(prices["Close"].to_numpy()[None, -4:], 3)[0]
    else:
        config = result.config.window
        raw, anchor = prices[list(config.features)].to_numpy()[None, -4:], np.array([last])
        expected = result.forecaster.predict(result.forecaster.scaler.inputs(raw, anchor), anchor)[0]
    np.testing.assert_array_equal(table["price"], expected)
    reach = recent_volatility(prices["Close"].to_numpy())[-1] * np.array([1.5, 2.5])
    np.testing.assert_allclose(table["low"], [*(expected[:2] * np.exp(-reach)), np.nan])
    np.testing.assert_allclose(table["high"], [*(expected[:2] * np.exp(reach)), np.nan])
    assert list(table["direction"]) == ["up" if price > last else "down" for price in expected]
    assert set(table["naive"]) == {last} and set(table["origin"]) == {prices.index[-1]}
    assert list(table["date"]) == list(dates) and list(table["step"]) == [1, 2, 3]


def test_forecast_of_the_evaluated_windows_last_row_agrees_with_windows_latest():
    result = trained(features=("Close", "Volume"))
    windows = make_windows(result.windows.prices, 4, 1, ("Close", "Volume"), "window", (0.6, 0.2, 0.2))
    assert result.forecast["price"][0] == result.forecaster.predict(*windows.latest())[0, 0]


def test_fewer_prices_than_the_lag_are_refused():
    result = trained()
    with pytest.raises(DataError, match=r"^The model looks back 4 sessions, but there are only 3 prices"):
        forecast_table(result.forecaster, random_walk(3), pd.bdate_range("2020-01-01", periods=1), [])


# ---------------------------------------------------------------------------------------- predicted distributions

QUANTILES = (0.2, 0.5, 0.6, 0.9)
LOSSES = {"pinball": {"loss": "pinball", "quantiles": QUANTILES}, "gaussian": {"loss": "gaussian"}}


def outputs_by_hand(forecaster, x):
    """What the ensemble predicts in target units: quantiles (n, m, Q), or mean and standard deviation."""
    predicted = np.array([network.predict(x) for network in forecaster.networks], np.float64)
    if forecaster.networks[0].config.loss == "pinball":
        return predicted.mean(axis=0)
    means, scales = predicted[..., 0], predicted[..., 1]
    mean = means.mean(axis=0)
    second_moment = np.mean(scales**2 + means**2, axis=0)
    return np.stack([mean, np.sqrt(second_moment - mean**2)], axis=-1)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("loss", LOSSES)
def test_quantiles_of_prices_are_the_ensembles_scaled_back(loss, scaling):
    """Quantiles are averaged level by level; normal distributions become one of their mixture's mean and variance."""
    result = trained(scaling=scaling, seeds=3, horizon=2, **LOSSES[loss])
    forecaster, test, scaler = result.forecaster, result.windows.test, result.windows.scaler
    levels = QUANTILES if loss == "pinball" else (0.1, 0.5, 0.9)
    assert forecaster.levels == levels
    outputs = outputs_by_hand(forecaster, test.x)
    if loss == "gaussian":
        away = np.array([NormalDist().inv_cdf(level) for level in levels])
        scales = outputs[..., 1]
        outputs = outputs[..., :1] + away * outputs[..., 1:]
    prices = forecaster.quantiles(test.x, test.anchors)
    for k, level in enumerate(levels):
        np.testing.assert_allclose(prices[..., k], scaler.prices(outputs[..., k], test.anchors), rtol=1e-9)
        if level == 0.5:
            np.testing.assert_array_equal(forecaster.predict(test.x, test.anchors), prices[..., k])
    assert (np.diff(prices, axis=-1) > 0).all()

    changes, anchors = forecaster.changes(test.x, test.anchors), test.anchors[:, None, None]
    expected = np.log(prices / anchors) if scaling == "window" else prices / anchors - 1
    np.testing.assert_allclose(changes.quantiles, expected, rtol=1e-7, atol=1e-12)
    if loss == "gaussian":
        unit = scaler.sigma if scaling == "window" else scaler.target_scale / anchors[..., 0]
        np.testing.assert_allclose(changes.scale, scales * unit, rtol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("settings", [{}, {"horizon": 3, "features": ("Close", "Volume")}], ids=str)
def test_the_band_of_a_forecast_is_between_its_outer_quantiles(loss, settings):
    result = trained(**settings, **LOSSES[loss])
    table, forecaster, horizon = result.forecast, result.forecaster, result.windows.horizon
    x, anchor = result.windows.latest()
    quantiles = forecaster.quantiles(x, anchor)[0]
    np.testing.assert_allclose(table["low"][:horizon], quantiles[:, 0], rtol=1e-12)
    np.testing.assert_allclose(table["high"][:horizon], quantiles[:, -1], rtol=1e-12)
    # a forecast that is fed back is the median; its network says nothing of the spread of later days
    assert table[["low", "high"]][horizon:].isna().all(axis=None)
    if loss == "pinball":
        np.testing.assert_allclose(table["q0.6"][:horizon], quantiles[:, 2], rtol=1e-12)
        assert table["q0.6"][horizon:].isna().all()
    assert [name for name in table if name.startswith("q")] == (["q0.6"] if loss == "pinball" else [])
    middle = forecaster.levels.index(0.5)
    np.testing.assert_allclose(table["price"][:horizon], quantiles[:, middle], rtol=ROUNDING)
    assert [band.step for band in result.assessment.bands] == list(range(1, horizon + 1))


def test_the_recursion_goes_on_from_the_median():
    result = trained(seeds=2, **LOSSES["pinball"])
    forecaster, close = result.forecaster, result.windows.close
    known = list(close[:100])
    for price in forecaster.recurse(close[None, 96:100], 5)[0]:
        window, anchor = np.array(known[-4:]), np.array(known[-1:])
        x = forecaster.scaler.inputs(window[None, :, None], anchor)
        assert price == pytest.approx(forecaster.predict(x, anchor)[0, 0], rel=ROUNDING)
        known.append(price)
