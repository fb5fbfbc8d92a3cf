"""Measures of a walk through one ticker and through many (trendlstm.evaluation.panel)."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from simulated_returns import PROCESSES, autoregressive, with_common_factor

from trendlstm.errors import DataError
from trendlstm.evaluation.evidence import claim_p_value, claims_evidence, detectable_skill
from trendlstm.evaluation.metrics import evaluate, wilson_interval
from trendlstm.evaluation.panel import (
    TickerForecasts,
    losses_by_date,
    measure_pooled,
    measure_ticker,
    naive_scale,
)
from trendlstm.evaluation.significance import (
    LEVEL,
    diebold_mariano_prices,
    lag,
    lag_correlations,
    mean_above_zero,
)
from trendlstm.files import jsonable


def walk(seed, n=120, m=3, start=0, every=1, price=100.0, noise=0.01):
    """Origins on every `every`-th day from `start`, and forecasts that know a little."""
    random = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(random.normal(0, 0.01, every * n + m + 30)))
    origins = 30 + every * np.arange(n)
    actual = np.stack([close[origins + k] for k in range(1, m + 1)], axis=1)
    naive = close[origins]
    forecast = naive[:, None] * (actual / naive[:, None]) ** 0.1 * np.exp(random.normal(0, noise, (n, m)))
    dates = np.datetime64("2020-01-01") + start + every * np.arange(n)
    return TickerForecasts(dates, naive, actual, forecast, naive_scale(close[:31], m))


def significant(test):
    return pytest.approx((test.statistic, test.p_value), rel=1e-6)


def test_scale_is_the_mean_absolute_change_so_far():
    assert naive_scale(np.array([1.0, 3, 2, 6]), 3) == pytest.approx([7 / 3, 2, 5])
    assert np.isnan(naive_scale(np.array([1.0, 3]), 3)).tolist() == [False, True, True]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_ticker_is_measured_as_evaluate_does_and_more(stride):
    one = walk(0)
    measured = measure_ticker(one, stride)
    assert [step.measured for step in measured] == evaluate(one.naive, one.actual, one.forecast, stride)
    for k, step in enumerate(measured):
        actual, forecast = one.actual[:, k], one.forecast[:, k]
        assert step.mase == pytest.approx(np.abs(actual - forecast).mean() / one.scale[k])
        ahead = math.ceil((k + 1) / stride)
        assert step.diebold_mariano_prices == diebold_mariano_prices(actual, forecast, one.naive, ahead)
        assert step.lag == lag(lag_correlations(actual, forecast))
        assert step.effective_n == 120 / ahead


def test_pooling_one_ticker_gives_its_own_tests():
    """Errors are of log returns, directions tested by their covariance; all else is that of the ticker."""
    one = walk(1)
    for own, pooled in zip(measure_ticker(one), measure_pooled([one]), strict=True):
        step = own.measured.step
        error = np.log(one.actual / one.forecast)[:, step - 1]
        change = np.log(one.actual / one.naive[:, None])[:, step - 1]
        assert pooled.measured.rmse == pytest.approx(math.sqrt(np.mean(error**2)))
        assert pooled.measured.mae == pytest.approx(np.abs(error).mean())
        assert pooled.measured.skill == pytest.approx(1 - math.sqrt(np.mean(error**2) / np.mean(change**2)))
        assert pooled.measured.mape == pytest.approx(own.measured.mape)
        assert (pooled.measured.n, pooled.measured.step) == (120, step)
        for ours, peer in (
            (pooled.measured.diebold_mariano, own.measured.diebold_mariano),
            (pooled.measured.clark_west, own.measured.clark_west),
            (pooled.measured.correlation.test, own.measured.correlation.test),
            (pooled.diebold_mariano_prices, own.diebold_mariano_prices),
        ):
            assert (ours.statistic, ours.p_value) == significant(peer)
        assert pooled.measured.correlation.value == pytest.approx(own.measured.correlation.value)
        assert pooled.measured.hit_rate.low == pytest.approx(own.measured.hit_rate.low)
        assert replace(pooled.measured.hit_rate, low=0, high=0) == replace(
            own.measured.hit_rate, low=0, high=0
        )
        assert (pooled.mase, pooled.lag) == (pytest.approx(own.mase), own.lag)
        assert pooled.effective_n == pytest.approx(120 / step)
        if step == 1:
            assert pooled.measured.pesaran_timmermann.p_value == pytest.approx(
                own.measured.pesaran_timmermann.p_value, abs=0.01
            )


def test_pooled_tests_are_of_the_mean_over_tickers_by_date():
    """Three tickers on the same dates; the mean day is all that counts."""
    walks = [walk(seed, price=price) for seed, price in ((1, 5), (2, 100), (3, 4000))]
    r = np.array([np.log(one.actual / one.naive[:, None])[:, 0] for one in walks])
    f = np.array([np.log(one.forecast / one.naive[:, None])[:, 0] for one in walks])
    centred = [values - values.mean(axis=1, keepdims=True) for values in (r, f)]
    signs = [np.sign(values) - np.sign(values).mean(axis=1, keepdims=True) for values in (r, f)]
    scaled = [
        ((one.actual[:, 0] - one.naive) ** 2 - (one.actual[:, 0] - one.forecast[:, 0]) ** 2)
        / one.scale[0] ** 2
        for one in walks
    ]
    pooled = measure_pooled(walks)[0]
    for test, d in (
        (pooled.measured.diebold_mariano, r**2 - (r - f) ** 2),
        (pooled.measured.clark_west, 2 * r * f),
        (pooled.measured.correlation.test, centred[0] * centred[1]),
        (pooled.measured.pesaran_timmermann, signs[0] * signs[1]),
        (pooled.diebold_mariano_prices, scaled),
    ):
        peer = ttest_1samp(np.mean(d, axis=0), 0, alternative="greater")
        assert (test.statistic, test.p_value) == pytest.approx((peer.statistic, peer.pvalue), rel=1e-6)
        assert test.n == 120
    assert pooled.measured.rmse == pytest.approx(math.sqrt(np.mean((r - f) ** 2)))
    products = sum((a * b).sum() for a, b in zip(*centred, strict=True))
    norms = math.prod(math.sqrt((values**2).sum()) for values in centred)
    assert pooled.measured.correlation.value == pytest.approx(products / norms)
    assert pooled.mase == pytest.approx(np.mean([measure_ticker(one)[0].mase for one in walks]))
    dates, losses = losses_by_date(walks, 1)
    np.testing.assert_array_equal(dates, walks[0].dates)
    np.testing.assert_allclose(losses, ((r - f) ** 2).mean(axis=0))


def test_one_ticker_twice_is_no_more_evidence():
    """As many independent tickers would make every interval narrower by the root of five."""
    one = walk(4, noise=0.001)
    for single, five in zip(measure_pooled([one]), measure_pooled([one] * 5), strict=True):
        for name in ("diebold_mariano", "clark_west", "pesaran_timmermann"):
            ours, peer = getattr(five.measured, name), getattr(single.measured, name)
            assert (ours.statistic, ours.p_value) == significant(peer)
        assert five.measured.hit_rate.counted == 5 * single.measured.hit_rate.counted
        assert (five.measured.hit_rate.low, five.measured.hit_rate.high) == pytest.approx(
            (single.measured.hit_rate.low, single.measured.hit_rate.high)
        )
        assert five.effective_n == pytest.approx(single.effective_n)
    independent = measure_pooled([walk(seed) for seed in range(5)])[0]
    assert 400 < independent.effective_n <= 600


def test_a_day_without_a_change_is_no_hit_even_where_none_was_predicted():
    still, actual, forecast = walk(1), walk(1).actual.copy(), walk(1).forecast.copy()
    actual[7] = forecast[7] = still.naive[7]
    walks = [replace(still, actual=actual, forecast=forecast), walk(2)]
    own = [measure_ticker(one)[0].measured.hit_rate for one in walks]
    pooled = measure_pooled(walks)[0].measured.hit_rate
    assert (pooled.hits, pooled.counted, pooled.unchanged) == (own[0].hits + own[1].hits, 239, 1)


def test_tickers_may_have_other_dates_and_lengths():
    """One ticker begins later and ends later: each date has the mean of those that it has."""
    first, second = walk(1, n=60), walk(2, n=60, start=40)
    dates, losses = losses_by_date([first, second], 2)
    own = [np.log(one.actual / one.forecast)[:, 1] ** 2 for one in (first, second)]
    expected = np.concatenate([own[0][:40], (own[0][40:] + own[1][:20]) / 2, own[1][20:]])
    np.testing.assert_allclose(losses, expected)
    assert len(dates) == 100 and (np.diff(dates) > 0).all()
    pooled = measure_pooled([first, second])[1]
    assert pooled.measured.n == 100 and pooled.measured.rmse == pytest.approx(math.sqrt(expected.mean()))
    reordered = measure_pooled([second, first])[1]
    assert reordered.measured.clark_west.statistic == pytest.approx(pooled.measured.clark_west.statistic)


@pytest.mark.parametrize(
    ("walks", "stride", "overlap"),
    [
        ([walk(1), walk(2)], 1, [1, 2, 3]),
        ([walk(1, every=2), walk(2, every=2)], 2, [1, 1, 2]),
        # five sessions a week beside seven
        ([walk(1, n=120), walk(2, n=60, every=2)], 1, [2, 4, 6]),
        # a ticker whose origins lie between those of the other
        ([walk(1, every=4), walk(2, every=4, start=2)], 4, [2, 2, 2]),
    ],
)
def test_overlap_is_counted_in_dates(walks, stride, overlap):
    for step, ahead in zip(measure_pooled(walks, stride), overlap, strict=True):
        k = step.measured.step
        d = {}
        for one in walks:
            error = np.log(one.actual / one.forecast)[:, k - 1] ** 2
            change = np.log(one.actual / one.naive[:, None])[:, k - 1] ** 2
            for date, value in zip(one.dates, change - error, strict=True):
                d.setdefault(date, []).append(value)
        means = np.array([np.mean(d[date]) for date in sorted(d)])
        assert step.measured.diebold_mariano.statistic == pytest.approx(
            mean_above_zero(means, 1.0, ahead, "").statistic, rel=1e-6
        )


def test_no_drift_is_evidence_not_even_one_for_each_ticker():
    """Tickers of quite different drifts, forecast by just these: right, but no knowledge of any day."""
    random = np.random.default_rng(8)
    drifts = np.linspace(-0.01, 0.01, 6)
    walks = []
    for drift in drifts:
        one = walk(random.integers(10**6), m=1)
        actual = one.actual * np.exp(drift)
        forecast = one.naive[:, None] * np.exp(drift + random.normal(0, 1e-4, one.actual.shape))
        walks.append(replace(one, actual=actual, forecast=forecast))
    pooled = measure_pooled(walks)[0].measured
    assert pooled.clark_west.p_value < 1e-6 and pooled.hit_rate.rate > 0.6
    assert pooled.correlation.test.p_value > 0.05 and abs(pooled.correlation.value) < 0.1
    constant = [
        replace(one, forecast=one.naive[:, None] * np.exp(drift))
        for one, drift in zip(walks, drifts, strict=True)
    ]
    correlation = measure_pooled(constant)[0].measured.correlation
    assert correlation.value is None and correlation.test.reason == "the predicted changes do not vary"
    assert "the same" in measure_pooled(constant)[0].measured.pesaran_timmermann.reason


def test_what_is_not_defined_is_none_with_a_reason():
    one, two = walk(1), walk(2)
    persistence = [replace(each, forecast=np.repeat(each.naive[:, None], 3, axis=1)) for each in (one, two)]
    metrics = measure_pooled(persistence)[0]
    assert metrics.measured.skill == 0 and metrics.measured.hit_rate.rate is None
    assert metrics.measured.clark_west.reason == "what the forecast adds to the reference does not vary"
    assert metrics.lag == 1 and 120 <= metrics.effective_n <= 240
    record = json.loads(json.dumps(jsonable(metrics.to_dict())))
    assert record["diebold_mariano_prices"]["p_value"] is None and record["clark_west"]["reason"]

    forecast = one.forecast.copy()
    forecast[5, 1] = -1.0
    second = measure_pooled([replace(one, forecast=forecast), two])[1]
    for test in (
        second.measured.diebold_mariano,
        second.measured.clark_west,
        second.measured.correlation.test,
    ):
        assert test.p_value is None and "not above 0" in test.reason
    assert second.measured.skill is None and math.isnan(second.measured.rmse)
    assert claim_p_value(second.measured, second.measured) == 1.0
    assert second.diebold_mariano_prices.p_value is not None and second.mase is not None
    assert json.loads(json.dumps(jsonable(second.to_dict())))["rmse"] is None

    still = replace(one, scale=np.zeros(3))
    assert measure_ticker(still)[0].mase is None
    pooled = measure_pooled([still, two])[0]
    assert pooled.mase is None and "did not change" in pooled.diebold_mariano_prices.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dates": walk(0).dates[:-1]}, "(119,) and (3,)"),
        ({"scale": np.ones(2)}, "(120,) and (2,)"),
        ({"dates": walk(0).dates[::-1]}, "in ascending order"),
        ({"dates": np.repeat(walk(0).dates[::2], 2)}, "in ascending order"),
        ({"forecast": np.ones((120, 2))}, "(120, 2)"),
        ({"naive": np.full(120, np.nan)}, "origin_close holds NaN"),
    ],
)
def test_walks_that_do_not_fit_are_refused(change, message):
    with pytest.raises(DataError) as error:
        replace(walk(0), **change)
    assert message in str(error.value)


def test_pooling_needs_tickers_of_one_horizon():
    for walks in ([], [walk(0), walk(1, m=2)]):
        with pytest.raises(DataError, match="the same horizon"):
            measure_pooled(walks)


# --- Tickers with a common factor ------------------------------------------------------------------------

TRAINING, DAYS = 500, 252


def walked(returns, forecasts, first):
    """One step ahead from the row `first` on; forecasts (tickers, origins) are log returns."""
    origins = np.arange(first, returns.shape[1] - 1)
    close = 50 * np.exp(np.cumsum(returns, axis=1))
    dates = np.datetime64("2020-01-01") + origins
    return [
        TickerForecasts(
            dates, c[origins], c[origins + 1, None], (c[origins] * np.exp(f))[:, None], np.ones(1)
        )
        for c, f in zip(close, forecasts, strict=True)
    ]


def fitted(returns):
    """Forecasts by the market's last return, fitted to each ticker's training rows, and by its mean."""
    market = returns.mean(axis=0)
    x, y = market[:TRAINING], returns[:, 1 : TRAINING + 1]
    slope = (y - y.mean(axis=1, keepdims=True)) @ (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    drift = np.repeat(y.mean(axis=1, keepdims=True), DAYS, axis=1)
    return drift + slope[:, None] * (market[TRAINING:-1] - x.mean()), drift


@pytest.mark.parametrize("process", ["GARCH-t", "drift"])
def test_the_pooled_rule_keeps_its_level_among_tickers_that_move_together(process):
    """Ten tickers on a year, 100 times, all forecast by the market's last return, where nothing can be known."""
    series = PROCESSES[process](np.random.default_rng(12), 100 * 11, TRAINING + DAYS + 1)
    claimed, correlated, naive = 0, 0, 0
    for returns in with_common_factor(series.reshape(100, 11, -1), 0.8):
        forecasts, drift = fitted(returns)
        pooled, baseline = (
            measure_pooled(walked(returns, one, TRAINING))[0].measured for one in (forecasts, drift)
        )
        claimed += claims_evidence(pooled, baseline)
        correlated += pooled.correlation.test.p_value < LEVEL
        products = np.prod([one - one.mean() for one in (returns[:, TRAINING + 1 :], forecasts)], axis=0)
        naive += ttest_1samp(products.ravel(), 0, alternative="greater").pvalue < LEVEL
    low, high = wilson_interval(claimed, 100)
    print(f"evidence in {claimed} of 100 panels ({low:.1%} to {high:.1%}); all days as independent: {naive}")
    assert low <= LEVEL and wilson_interval(correlated, 100)[0] <= LEVEL
    assert wilson_interval(naive, 100)[0] > LEVEL  # if every ticker's day were a trial of its own


def test_the_effective_number_of_days_says_what_a_pool_can_find():
    """Six tickers whose returns have 40 % of their variance in common find the skill of their worth with 0.8."""
    days, count, common = DAYS, 6, 0.4
    worth = days * count / (1 + (count - 1) * common**2)
    rho = math.sqrt(1 - (1 - detectable_skill(round(worth))) ** 2)
    random, found, effective = np.random.default_rng(3), [], []
    for _ in range(150):
        returns = with_common_factor(autoregressive(random, count + 1, days + 1, rho), common)
        best = walked(returns, rho * returns[:, :-1], 0)
        flat = walked(returns, 0 * returns[:, :-1], 0)
        pooled = measure_pooled(best)[0]
        found.append(claims_evidence(pooled.measured, measure_pooled(flat)[0].measured))
        effective.append(pooled.effective_n)
    assert np.median(effective) == pytest.approx(worth, rel=0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)
