"""Diebold-Mariano, Clark-West, correlation and Pesaran-Timmermann (trendlstm.evaluation.significance)."""

import math
from fractions import Fraction

import dieboldmariano
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, mannwhitneyu, norm, pearsonr, ttest_1samp
from scipy.stats import t as student_t
from simulated_returns import autoregressive
from statsmodels.stats.diagnostic import pesaran_timmermann as statsmodels_pesaran_timmermann
from statsmodels.stats.multitest import multipletests
from statsmodels.tsa.stattools import diebold_mariano_test

from trendlstm.evaluation.significance import (
    LEVEL,
    TestResult,
    benjamini_hochberg,
    clark_west,
    correlation,
    diebold_mariano,
    diebold_mariano_prices,
    differences,
    holm,
    lag,
    lag_correlations,
    pesaran_timmermann,
    separation,
)


def forecasts(n, seed, step=1):
    """Actual prices, a forecast and a reference whose errors of log returns overlap over `step` days."""
    rng = np.random.default_rng(seed)
    actual = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(n)))

    def errors():
        return np.convolve(0.01 * rng.standard_normal(n + step - 1), np.ones(step), "valid")

    return actual, actual * np.exp(errors()), actual * np.exp(rng.uniform(0.7, 1.4) * errors())


def logarithms(*prices):
    return [np.log(one) for one in prices]


# --- many tests -----------------------------------------------------------------------------------------


@given(st.lists(st.none() | st.floats(0, 1), max_size=8), st.floats(0, 0.999))
def test_holm_adjusts_to_the_level_at_which_the_step_down_procedure_rejects(p_values, level):
    adjusted = holm(p_values)
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    rejected, left = set(), sorted({p for p in p_values if p is not None})
    remaining = sum(p is not None for p in p_values)
    while left and remaining * left[0] <= level:  # of equal p-values all or none
        rejected.add(left[0])
        remaining -= p_values.count(left.pop(0))
    for p, value in zip(p_values, adjusted, strict=True):
        assert p is None or (value <= level) == (p in rejected)


def test_holm_equals_statsmodels():
    p_values = [0.011, 0.2, 0.012, 1.0, 0.0, 0.6]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], rel=1e-12)


def test_differences_are_two_sided_and_adjusted_over_all_others():
    rng = np.random.default_rng(3)
    actual = 100 + rng.normal(size=200)
    near, far = (actual + scale * rng.normal(size=200) for scale in (1, 3))
    others = {"far": far, "itself": near, "like": actual + rng.normal(size=200)}
    found = differences(actual, near, others)
    assert list(found) == list(others)
    assert [one.test for one in found.values()] == [
        diebold_mariano(actual, near, other) for other in others.values()
    ]
    assert found["far"].sign == -1 and differences(actual, far, {"near": near})["near"].sign == 1
    assert found["itself"].p_value is found["itself"].adjusted is None and found["itself"].sign == 0
    assert found["like"].sign == 0
    p_values = [one.p_value for one in found.values()]
    assert p_values[0] == 2 * found["far"].test.p_value
    assert [one.adjusted for one in found.values()] == holm(p_values)


def test_among_five_forecasts_of_equal_noise_a_difference_is_rarely_seen():
    count, seen, unadjusted = 400, 0, 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        actual = 100 * np.exp(np.cumsum(rng.normal(0, 0.015, 101)))
        forecasts = [actual * np.exp(rng.normal(0, 0.015, 101)) for _ in range(6)]
        found = differences(actual, forecasts[0], dict(enumerate(forecasts[1:])))
        seen += any(one.sign for one in found.values())
        unadjusted += any(one.p_value < LEVEL for one in found.values())
    assert seen <= LEVEL * count and unadjusted > 2.5 * LEVEL * count


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=7), st.lists(st.floats(-10, 10), min_size=1, max_size=7)
)
def test_separation_is_mann_whitneys_test_at_its_extreme(first, second):
    sign = separation(first, second)
    assert sign == -separation(second, first)
    pairs = {np.sign(a - b) for a in first for b in second}
    apart = pairs.pop() if len(pairs) == 1 else 0
    if apart == 0:
        assert sign == 0
    else:
        p_value = mannwhitneyu(range(len(first)), range(50, 50 + len(second)), method="exact").pvalue
        assert sign == (apart if p_value < LEVEL else 0)
    assert separation([1, 2, 3], [4, 5, 6]) == 0 and separation([1, 2, 3, 4], [5, 6, 7, 8]) == -1


# --- Diebold-Mariano -------------------------------------------------------------------------------------


def test_diebold_mariano_by_hand():
    # squared errors of log returns 1 4 0 1 4 and 4 9 1 1 4: d = 3 5 1 0 0, mean 9/5, variance (35 - 81/5) / 5
    actual = np.full(5, 10.0)
    result = diebold_mariano(actual, actual * np.exp([1, -2, 0, 1, 2]), actual * np.exp([2, 3, -1, 1, -2]))
    statistic = math.sqrt(4 / 5) * 1.8 / math.sqrt((35 - 81 / 5) / 5 / 5)
    assert result.statistic == pytest.approx(statistic, rel=1e-14)
    assert result.p_value == pytest.approx(student_t.sf(statistic, 4), rel=1e-12)
    assert (result.n, result.reason) == (5, None)


@given(st.integers(1, 6), st.integers(12, 250), st.integers(0, 10_000))
@settings(deadline=None)
def test_diebold_mariano_equals_dieboldmariano(step, n, seed):
    actual, predicted, reference = forecasts(n, seed, step)
    logs = logarithms(actual, predicted, reference)
    try:
        peer = dieboldmariano.dm_test(*logs, h=step, one_sided=True)
    except dieboldmariano.NegativeVarianceException:
        peer = dieboldmariano.dm_test(*logs, h=step, one_sided=True, variance_estimator="bartlett")
    ours = diebold_mariano(actual, predicted, reference, step)
    assert (-ours.statistic, ours.p_value) == pytest.approx(peer, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_diebold_mariano_falls_back_on_bartlett_weights(step):
    """Losses that swing make the plain sum of autocovariances negative; compare with Bartlett's."""
    n = 41
    actual = np.full(n, 100.0)
    # d has the period step, with autocovariances at the lags 1 ... step - 1 that add up to less than -1/2
    d = np.where(np.arange(n) % step == 0, 1.0, 0.0) + 1e-3 * np.random.default_rng(0).standard_normal(n)
    predicted, reference = actual * np.exp(2), actual * np.exp(np.sqrt(4 + d))
    logs = logarithms(actual, predicted, reference)
    with pytest.raises(dieboldmariano.NegativeVarianceException):
        dieboldmariano.dm_test(*logs, h=step)
    peer = diebold_mariano_test(*logs, lags=step - 1, harvey_adj=True, horizon=step)
    ours = diebold_mariano(actual, predicted, reference, step)
    assert ours.statistic == pytest.approx(-peer.statistic, rel=1e-9)
    assert 2 * ours.p_value == pytest.approx(peer.pvalue, rel=1e-7)


@given(st.integers(5, 300), st.integers(0, 10_000))
@settings(deadline=None)
def test_diebold_mariano_of_step_1_equals_statsmodels(n, seed):
    actual, predicted, reference = forecasts(n, seed)
    peer = diebold_mariano_test(*logarithms(actual, predicted, reference), lags=0, harvey_adj=True)
    ours = diebold_mariano(actual, predicted, reference)
    assert ours.statistic == pytest.approx(-peer.statistic, rel=1e-9)
    assert 2 * min(ours.p_value, 1 - ours.p_value) == pytest.approx(peer.pvalue, rel=1e-7)


@given(st.integers(1, 5), st.integers(10, 100), st.integers(0, 1000))
@settings(deadline=None)
def test_diebold_mariano_is_antisymmetric_and_free_of_units(step, n, seed):
    actual, predicted, reference = forecasts(n, seed, step)
    forward = diebold_mariano(actual, predicted, reference, step)
    backward = diebold_mariano(actual, reference, predicted, step)
    assert backward.statistic == pytest.approx(-forward.statistic, rel=1e-9)
    assert forward.p_value + backward.p_value == pytest.approx(1)
    # a power of two, so that nothing rounds differently
    assert diebold_mariano(1024 * actual, 1024 * predicted, 1024 * reference, step) == forward


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_diebold_mariano_of_too_few_forecasts_is_not_defined(n):
    actual, predicted, reference = (values[:n] for values in forecasts(10, 0))
    assert diebold_mariano(actual, predicted, reference, step=4) == TestResult(
        None, None, n, f"too few forecasts for step 4: {n}"
    )


def test_diebold_mariano_of_one_more_than_too_few():
    actual, predicted, reference = forecasts(5, 0)
    assert diebold_mariano(actual, predicted, reference, step=4).p_value is not None
    assert diebold_mariano(actual[:2], predicted[:2], reference[:2]).p_value is not None
    assert diebold_mariano(actual[:1], predicted[:1], reference[:1]).p_value is None


def test_diebold_mariano_at_zero_variance_is_not_defined():
    actual, predicted, reference = forecasts(100, 0)
    for forecast, against in (
        (reference, reference),  # no difference at all
        (reference * (1 + 1e-16), reference),  # none
        (reference + 3e-14, reference),  # none but rounding
        (actual * np.exp(np.where(np.arange(100) % 2, 1, -1)), actual * np.exp(3)),  # always 8
        (actual, actual),  # no errors
    ):
        result = diebold_mariano(actual, forecast, against)
        assert result.statistic is None and result.p_value is None
        assert "does not vary" in result.reason
    assert diebold_mariano(actual, predicted, reference).reason is None


def test_diebold_mariano_weighs_cheap_and_dear_days_alike():
    """Of prices that grow a hundredfold the errors in currency would be those of the last days alone."""
    actual, predicted, reference = forecasts(300, 4)
    growth = np.geomspace(1, 100, 300)
    grown = diebold_mariano(growth * actual, growth * predicted, growth * reference)
    assert grown.statistic == pytest.approx(diebold_mariano(actual, predicted, reference).statistic, rel=1e-9)


def test_p_values_are_probabilities():
    """Errors of always nearly the same size make an immense statistic; the p-value was -1.1e-16 there."""
    for n in range(3, 130):
        actual = forecasts(n, n)[0]
        size = 0.01 * (1 + 0.1 * np.random.default_rng(n).standard_normal(n))
        reference = actual * np.exp(np.where(np.arange(n) % 2, size, -size))
        better, worse = diebold_mariano(actual, actual, reference), diebold_mariano(actual, reference, actual)
        assert 0 < better.p_value < 0.05 and 0.95 < worse.p_value <= 1
        assert 0 < clark_west(actual, actual, reference).p_value < 0.05
        assert better.p_value == pytest.approx(student_t.sf(better.statistic, n - 1), rel=1e-9)


# --- Clark-West ------------------------------------------------------------------------------------------


def test_clark_west_by_hand():
    # errors of log returns: reference 2 3 -1 1 -2, forecast 1 -2 0 1 2, their difference 1 5 -1 0 -4
    actual = np.full(5, 10.0)
    e1, e2 = np.array([2, 3, -1, 1, -2]), np.array([1, -2, 0, 1, 2])
    adjusted = e1**2 - (e2**2 - (e1 - e2) ** 2)
    np.testing.assert_array_equal(adjusted, [4, 30, 2, 0, 16])
    result = clark_west(actual, actual * np.exp(-e2), actual * np.exp(-e1))
    peer = ttest_1samp(adjusted, 0, alternative="greater")
    assert (result.statistic, result.p_value) == pytest.approx((peer.statistic, peer.pvalue), rel=1e-12)
    assert (result.n, result.reason) == (5, None)


@given(st.integers(1, 6), st.integers(12, 250), st.integers(0, 10_000))
@settings(deadline=None)
def test_clark_west_is_the_regression_on_a_constant_of_the_paper(step, n, seed):
    """With k - 1 unweighted autocovariances, as statsmodels' HAC has them with a uniform kernel."""
    actual, predicted, reference = forecasts(n, seed, step)
    y, f1, f2 = logarithms(actual, reference, predicted)
    adjusted = (y - f1) ** 2 - ((y - f2) ** 2 - (f1 - f2) ** 2)
    constant = sm.OLS(adjusted, np.ones(n))
    hac = constant.fit(
        cov_type="HAC", cov_kwds={"maxlags": step - 1, "kernel": "uniform", "use_correction": False}
    )
    ours = clark_west(actual, predicted, reference, step)
    if hac.cov_params()[0, 0] <= 0:  # where Bartlett weights take over
        return
    factor = math.sqrt((n + 1 - 2 * step + step * (step - 1) / n) / n)
    assert ours.statistic == pytest.approx(factor * hac.tvalues[0], rel=1e-7)
    assert ours.p_value == pytest.approx(student_t.sf(ours.statistic, n - 1), rel=1e-7, abs=1e-12)


@given(st.integers(20, 200), st.integers(0, 1000), st.floats(0.01, 100))
@settings(deadline=None)
def test_clark_west_asks_for_information_not_for_its_size(n, seed, factor):
    """A forecast of persistence's errors that is right but too timid or too bold has the same statistic."""
    rng = np.random.default_rng(seed)
    origin = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(n)))
    change, forecast = 0.01 * rng.standard_normal((2, n))
    results = [
        clark_west(origin * np.exp(change), origin * np.exp(scale * forecast), origin)
        for scale in (1, factor)
    ]
    assert results[1].statistic == pytest.approx(results[0].statistic, rel=1e-9, abs=1e-9)


def test_clark_west_of_the_reference_itself_is_not_defined():
    actual, predicted, reference = forecasts(100, 0)
    for forecast in (reference, reference * (1 + 1e-15)):
        result = clark_west(actual, forecast, reference)
        assert result.p_value is None and "does not vary" in result.reason
    assert clark_west(actual, predicted, reference).reason is None


@pytest.mark.parametrize("test", [diebold_mariano, clark_west])
def test_a_price_that_is_not_above_0_has_no_log_return(test):
    actual, predicted, reference = forecasts(50, 0)
    predicted[7] = -1.0
    result = test(actual, predicted, reference)
    assert result.p_value is None and "not above 0" in result.reason
    found = correlation(reference, actual, predicted)
    assert found.value is None and "not above 0" in found.test.reason


# --- Correlation -----------------------------------------------------------------------------------------


@given(st.integers(5, 300), st.floats(-0.9, 0.9), st.integers(0, 10_000))
@settings(deadline=None)
def test_correlation_of_changes(n, relation, seed):
    rng = np.random.default_rng(seed)
    origin = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(n)))
    change = 0.01 * rng.standard_normal(n)
    forecast = relation * change + 0.01 * rng.standard_normal(n) + 0.002
    found = correlation(origin, origin * np.exp(change), origin * np.exp(forecast))
    assert found.value == pytest.approx(pearsonr(change, forecast).statistic, abs=1e-9)
    product = (change - change.mean()) * (forecast - forecast.mean())
    peer = ttest_1samp(product, 0, alternative="greater")
    assert (found.test.statistic, found.test.p_value) == pytest.approx(
        (peer.statistic, peer.pvalue), rel=1e-6
    )
    # no drift, of the forecast or of the prices, makes a difference
    drifting = correlation(origin, origin * np.exp(change + 0.05), origin * np.exp(forecast - 0.03))
    assert drifting.value == pytest.approx(found.value, abs=1e-9)
    assert drifting.test.statistic == pytest.approx(found.test.statistic, rel=1e-6)


def test_correlation_is_not_defined_for_a_drift_or_for_prices_that_stand_still():
    origin, actual, _ = forecasts(60, 3)
    for predicted in (origin, 1.001 * origin):
        found = correlation(origin, actual, predicted)
        assert found.value is None and found.test.reason == "the predicted changes do not vary"
    found = correlation(origin, origin, actual)
    assert found.value is None and found.test.reason == "the actual changes do not vary"


def test_correlation_tells_an_echo_from_a_forecast_where_the_lag_cannot():
    """Both trail the prices by one day; only one of them knows anything of the next."""
    echoes, optimal, lags = [], [], []
    random = np.random.default_rng(27)
    for returns in autoregressive(random, 400, 102, rho=0.5):
        close = 100 * np.exp(np.cumsum(returns))
        origin, actual = close[1:-1], close[2:]
        echo = origin * np.exp(random.normal(0, 0.002, 100))
        forecast = origin * np.exp(0.5 * returns[1:-1])
        for predicted, found in ((echo, echoes), (forecast, optimal)):
            found.append(correlation(origin, actual, predicted).test.p_value)
            fits = [np.corrcoef(predicted[5:-5], actual[5 - s : 95 - s])[0, 1] for s in (0, 1, 2)]
            lags.append(np.argmax(fits))
    assert np.mean(lags) == pytest.approx(1, abs=0.02)
    assert np.mean(np.array(echoes) < 0.05) <= 0.08
    assert np.mean(np.array(optimal) < 0.05) >= 0.99


# --- Pesaran-Timmermann ----------------------------------------------------------------------------------

# A worked example in circulation: changes and their forecasts.
CHANGES = np.array([23, -2, 56, 51, 4, -45, -12, -24, -51, 78, -6, -7, -39, 31, 35.0])
PREDICTED_CHANGES = np.array([14, 3, 45, 23, -5, -56, 4, -11, -34, 29, 3, -11, -12, 24, 3.0])


def test_pesaran_timmermann_by_hand():
    result = pesaran_timmermann(np.zeros(15), CHANGES, PREDICTED_CHANGES)
    # 11 of 15 right; 7 of 15 actual and 9 of 15 predicted ones are up
    n, p_y, p_x, hits = 15, Fraction(7, 15), Fraction(9, 15), Fraction(11, 15)
    expected = p_y * p_x + (1 - p_y) * (1 - p_x)
    variance = expected * (1 - expected) / n - (
        (2 * p_y - 1) ** 2 * p_x * (1 - p_x) / n
        + (2 * p_x - 1) ** 2 * p_y * (1 - p_y) / n
        + 4 * p_y * p_x * (1 - p_y) * (1 - p_x) / n**2
    )
    statistic = float(hits - expected) / math.sqrt(variance)
    assert result.statistic == pytest.approx(statistic, rel=1e-12)
    assert result.statistic == pytest.approx(1.968, abs=5e-4)
    assert result.p_value == pytest.approx(norm.sf(statistic), rel=1e-10)
    assert (result.n, result.reason) == (15, None)


@given(st.integers(4, 400), st.floats(-1, 1), st.integers(0, 10_000))
@settings(deadline=None)
def test_pesaran_timmermann_equals_statsmodels_and_chi_squared(n, relation, seed):
    rng = np.random.default_rng(seed)
    change = rng.standard_normal(n) + 0.2
    predicted_change = relation * change + rng.standard_normal(n) - 0.1
    ours = pesaran_timmermann(np.full(n, 100.0), 100 + change, 100 + predicted_change)
    up, predicted_up = change > 0, predicted_change > 0
    if len(set(up)) == 1 or len(set(predicted_up)) == 1:
        assert ours.p_value is None
        return
    # statsmodels leaves out the paper's term of order 1/n^2, with which the variance is (n - 1) / n as large
    peer = statsmodels_pesaran_timmermann(change, predicted_change, alternative="larger")
    assert ours.statistic == pytest.approx(math.sqrt(n / (n - 1)) * peer.statistic, rel=1e-9, abs=1e-12)
    assert ours.p_value == pytest.approx(norm.sf(ours.statistic), rel=1e-9)
    # and the square of statsmodels' is Pearson's chi-squared of the 2 x 2 table
    table = pd.crosstab(up, predicted_up).to_numpy()
    assert ours.statistic**2 == pytest.approx(
        n / (n - 1) * chi2_contingency(table, correction=False).statistic, rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("step", [2, 3])
def test_pesaran_timmermann_of_step_k_takes_every_kth_origin(step):
    rng = np.random.default_rng(0)
    origin, actual, predicted = 100 + rng.standard_normal((3, 90))
    result = pesaran_timmermann(origin, actual, predicted, step)
    assert result.n == 90 // step
    assert result == pesaran_timmermann(origin[::step], actual[::step], predicted[::step])
    assert result != pesaran_timmermann(origin, actual, predicted)


def test_pesaran_timmermann_leaves_out_days_without_a_direction():
    zeros = np.array([0.0, 5.0, 0.0])
    change = np.concatenate([CHANGES, zeros])
    predicted_change = np.concatenate([PREDICTED_CHANGES, [5.0, 0.0, 0.0]])
    expected = pesaran_timmermann(np.zeros(15), CHANGES, PREDICTED_CHANGES)
    assert pesaran_timmermann(np.zeros(18), change, predicted_change) == expected


@pytest.mark.parametrize(
    ("change", "predicted_change", "reason"),
    [
        (CHANGES, np.ones(15), "all predicted directions are up"),
        (CHANGES, -np.ones(15), "all predicted directions are down"),
        (np.ones(15), CHANGES, "all actual directions are up"),
        (CHANGES, np.zeros(15), "no day has both"),
        (np.zeros(15), CHANGES, "no day has both"),
        (np.ones(1), np.ones(1), "all predicted directions are up"),
    ],
)
def test_pesaran_timmermann_without_both_directions_is_not_defined(change, predicted_change, reason):
    result = pesaran_timmermann(np.full(len(change), 50.0), 50 + change, 50 + predicted_change)
    assert result.statistic is None and result.p_value is None
    assert reason in result.reason


def test_pesaran_timmermann_sees_no_skill_in_always_up():
    """Nearly always up in a rising market: a hit rate of 80 % and no evidence."""
    change = np.where(np.arange(100) % 5, 1.0, -1.0)
    predicted_change = np.where(np.arange(100) < 98, 1.0, -1.0)
    result = pesaran_timmermann(np.full(100, 50.0), 50 + change, 50 + predicted_change)
    assert np.mean(np.sign(change) == np.sign(predicted_change)) > 0.77
    assert result.p_value > 0.3


# --- Errors of prices, false discoveries and the lag -----------------------------------------------------


@given(st.integers(1, 6), st.integers(12, 250), st.integers(0, 10_000))
@settings(deadline=None)
def test_diebold_mariano_of_prices_equals_dieboldmariano(step, n, seed):
    prices = forecasts(n, seed, step)
    try:
        peer = dieboldmariano.dm_test(*prices, h=step, one_sided=True)
    except dieboldmariano.NegativeVarianceException:
        peer = dieboldmariano.dm_test(*prices, h=step, one_sided=True, variance_estimator="bartlett")
    ours = diebold_mariano_prices(*prices, step)
    assert (-ours.statistic, ours.p_value) == pytest.approx(peer, rel=1e-7, abs=1e-9)


def test_errors_of_prices_are_those_of_the_dear_days():
    """A forecast that is better while the price is low, and worse while it is high."""
    actual, better, worse = forecasts(400, 1)
    better, worse = actual * (better / actual) ** 0.5, actual * (worse / actual) ** 2
    is_early = np.arange(400) < 300
    predicted, reference = np.where(is_early, better, worse), np.where(is_early, worse, better)
    growth = np.where(is_early, 1, 100)
    prices = [growth * one for one in (actual, predicted, reference)]
    assert diebold_mariano(*prices).p_value < 0.05 and diebold_mariano_prices(*prices).p_value > 0.95


def test_errors_of_prices_need_enough_of_them_but_no_logarithm():
    assert diebold_mariano_prices(*forecasts(4, 0), step=4).reason == "too few forecasts for step 4: 4"
    actual, predicted, reference = forecasts(50, 0)
    assert "does not vary" in diebold_mariano_prices(actual, reference, reference).reason
    predicted[3] = -1.0
    assert diebold_mariano_prices(actual, predicted, reference).p_value is not None


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_benjamini_hochberg_equals_statsmodels(p_values):
    adjusted = benjamini_hochberg(p_values)
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    defined = [p for p in p_values if p is not None]
    if defined:
        peer = multipletests(defined, method="fdr_bh")[1]
        assert [p for p in adjusted if p is not None] == pytest.approx(peer, rel=1e-12)


def test_benjamini_hochberg_rejects_what_the_step_up_procedure_of_the_paper_does():
    """Benjamini & Hochberg (1995), section 4.1: of 15 p-values the four smallest, where Holm's has three."""
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    p_values += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert sum(p < 0.05 for p in benjamini_hochberg(p_values)) == 4
    assert sum(p < 0.05 for p in holm(p_values)) == 3


@pytest.mark.parametrize("shift", range(-5, 6))
def test_the_lag_is_the_shift_at_which_predictions_fit_best(shift):
    actual = forecasts(80, 5)[0]
    predicted = np.roll(actual, shift)  # predicted[t] = actual[t - shift]
    correlations = lag_correlations(actual, predicted)
    assert lag(correlations) == shift and correlations.max() == pytest.approx(1)
    t = np.arange(5, 75)
    by_hand = [np.corrcoef(predicted[t], actual[t - s])[0, 1] for s in range(-5, 6)]
    assert correlations == pytest.approx(by_hand, rel=1e-12)


def test_there_is_no_lag_of_prices_that_do_not_vary_or_are_too_few():
    actual, predicted, _ = forecasts(80, 5)
    flat = np.full(80, 7.0)
    for pair in ((actual, flat), (flat, predicted), (actual[:12], predicted[:12])):
        assert lag_correlations(*pair) is None
    assert lag_correlations(actual[:13], predicted[:13]) is not None and lag(None) is None
