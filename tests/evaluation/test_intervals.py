"""Bands: what they are made from, whom they see, and that they hold what they promise."""

import dataclasses
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_returns import PROCESSES
from statsmodels.stats.proportion import proportion_confint

from trendlstm.evaluation.intervals import (
    LEAST_RETURNS,
    Band,
    calibrate,
    conformal_rank,
    error_overlap,
    recent_volatility,
    scaled_errors,
)
from trendlstm.files import jsonable


@given(st.integers(0, 10**5))
def test_the_rank_is_the_conformal_one(n):
    assert conformal_rank(n) == math.ceil(Fraction(4, 5) * (n + 1))


def test_volatility_is_the_weighted_mean_square_of_the_returns_so_far():
    close = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.02, 60)))
    returns = np.diff(np.log(close))
    volatility = recent_volatility(close)
    assert np.isnan(volatility[:LEAST_RETURNS]).all() and np.isfinite(volatility[LEAST_RETURNS:]).all()
    for t in (LEAST_RETURNS, 33, 59):
        weights = 0.94 ** np.arange(t)
        mean = np.sum(weights * returns[:t][::-1] ** 2) / weights.sum()
        assert volatility[t] == pytest.approx(math.sqrt(mean), rel=1e-12)
        np.testing.assert_array_equal(recent_volatility(close[: t + 1]), volatility[: t + 1])
    np.testing.assert_allclose(recent_volatility(40 * close), volatility, rtol=1e-9)


def test_closes_that_never_change_have_no_volatility():
    assert np.isnan(recent_volatility(np.full(50, 7.0))).all()


def test_errors_are_log_returns_in_units_of_volatility():
    actual = np.array([[10.0, 12.0], [20.0, np.nan], [5.0, 5.0]])
    predicted = np.array([[11.0, 9.0], [20.0, 21.0], [0.0, -3.0]])
    errors = scaled_errors(actual, predicted, np.array([0.1, 0.2, 0.3]))
    expected = [[math.log(1.1) / 0.1, math.log(12 / 9) / 0.1], [0, np.nan], [np.inf, np.inf]]
    np.testing.assert_allclose(errors, expected, rtol=1e-12)


def by_hand(errors, origins, first_test, step):
    """Coverage of the test rows, each by the quantile of the errors that its origin may know."""
    covered = []
    for origin, error in zip(origins, errors, strict=True):
        known = np.sort(errors[origins + step <= origin])
        if origin >= first_test:
            rank = math.ceil(Fraction(4, 5) * (len(known) + 1))
            covered.append(error <= known[rank - 1])
    return np.sum(covered), len(covered)


@pytest.mark.parametrize("step", [1, 4])
@pytest.mark.parametrize("gap", [0, 3])
def test_every_test_row_is_judged_by_the_errors_known_at_its_origin(step, gap):
    """With a gap: a direct model has no sample whose targets straddle two splits."""
    errors = np.random.default_rng(step).exponential(3, 140).round()  # ties, too
    origins = np.concatenate([np.arange(500, 580), np.arange(580 + gap, 640 + gap)])
    errors[[3, 100]] = np.nan
    errors[139] = np.inf
    band = calibrate(errors, origins, 580 + gap, step)
    valid = ~np.isnan(errors)
    assert (band.covered, band.counted) == by_hand(errors[valid], origins[valid], 580 + gap, step)
    assert band.errors == 138 and band.half_width == np.sort(errors[valid])[math.ceil(0.8 * 139) - 1]
    effective = band.counted / {1: 1, 4: (2 * 16 + 1) / 12}[step]
    interval = proportion_confint(band.coverage * effective, effective, method="wilson")
    assert (band.low, band.high) == pytest.approx(interval, rel=1e-9)


@pytest.mark.parametrize(
    ("before", "step", "made"),
    [(19, 1, False), (20, 1, True), (20, 5, False), (20, 4, True), (36, 9, False), (37, 9, True)],
)
def test_too_few_errors_or_spans_before_the_test_rows_give_no_band(before, step, made):
    """20 errors, and five spans of the step among the rows that they span."""
    origins = np.arange(before + step - 1 + 30)
    band = calibrate(np.ones(len(origins)), origins, before + step - 1, step)
    assert (band is not None) == made


def test_no_band_without_a_test_row():
    assert calibrate(np.ones(50), np.arange(50), 50, 1) is None


def test_a_band_goes_through_json_and_has_no_edges_where_there_are_none():
    band = Band(2, 1.5, 100, 40, 50, 0.6, 0.9)
    assert Band.from_dict(json.loads(json.dumps(jsonable(band.to_dict())))) == band
    assert band.to_dict()["coverage"] == 0.8
    low, high = band.edges(50.0, 0.02)
    assert (low, high) == pytest.approx((50 * math.exp(-0.03), 50 * math.exp(0.03)))
    endless = dataclasses.replace(band, half_width=math.inf)
    assert Band.from_dict(json.loads(json.dumps(jsonable(endless.to_dict())))) == endless
    for edges in (endless.edges(50.0, 0.02), band.edges(-1.0, 0.02), band.edges(50.0, math.nan)):
        assert np.isnan(edges).all()


def coverage(log_close, step):
    """Coverage over the last tenth of the days, of forecasts by a mean return; four fifths go to training."""
    close = np.exp(log_close)
    rows = len(close)
    first, first_test = round(0.8 * rows) - 1, round(0.9 * rows) - 1
    origins = np.arange(first, rows - 1)
    drift = (log_close[first] - log_close[0]) / first
    actual = np.concatenate([close, np.full(step, np.nan)])[origins + step]
    predicted = close[origins] * np.exp(step * drift)
    errors = scaled_errors(actual[:, None], predicted[:, None], recent_volatility(close)[origins])
    return calibrate(errors[:, 0], origins, first_test, step)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("step", [1, 10])
def test_bands_hold_what_they_promise_on_simulated_series(process, step):
    """Four years of 200 series; scripts/simulate_bands.py also has 10 and 33 years, and variants of the bands.

    Without scaling by recent volatility the coverage of step 1 has a standard deviation of 0.09 over series.
    """
    returns = PROCESSES[process](np.random.default_rng(1), 200, 1007)
    log_closes = np.cumsum(np.pad(returns, ((0, 0), (1, 0))), axis=1)
    bands = [coverage(log_close, step) for log_close in log_closes]
    covered = [band.coverage for band in bands]
    assert 0.76 <= np.mean(covered) <= 0.84 and np.std(covered) <= {1: 0.055, 10: 0.11}[step]
    assert np.mean([band.low <= 0.8 <= band.high for band in bands]) >= 0.85


@given(st.integers(1, 30), st.integers(1, 12))
def test_overlap_is_the_sum_of_the_squared_shares_of_common_days(step, stride):
    shares = [max(0, Fraction(step - abs(j) * stride, step)) for j in range(-step, step + 1)]
    assert error_overlap(step, stride) == pytest.approx(float(sum(share**2 for share in shares)))
    assert error_overlap(step) == pytest.approx((2 * step**2 + 1) / (3 * step))
