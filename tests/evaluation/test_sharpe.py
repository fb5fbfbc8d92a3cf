"""Sharpe ratios and their errors (trendlstm.evaluation.sharpe)."""

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from trendlstm.evaluation.sharpe import (
    LEAST_DAYS,
    deflated_sharpe,
    highest_expected_sharpe,
    probabilistic_sharpe,
    sharpe_ratio,
    variance_of_variants,
)

# 1 % of the equity nine times, and a loss of 1 %: mean 0.8 %, squares about the mean 9 x 0.2^2 + 1.8^2 = 3.6 (in %^2)
TEN = np.array([0.01] * 9 + [-0.01])


def returns(n, seed=0, drift=0.0005):
    return drift + 0.01 * np.random.default_rng(seed).standard_t(4, n)


def simulated_sharpes(drift, series=4000, days=500):
    sample = np.random.default_rng(0).normal(drift, 1.0, (series, days))
    return [sharpe_ratio(one) for one in sample]


def test_ten_returns_by_hand():
    result = sharpe_ratio(TEN, periods_per_year=252)
    ratio = 0.8 / math.sqrt(3.6 / 9)
    assert result.days == 10
    assert result.per_day == pytest.approx(ratio, rel=1e-13)
    assert result.annualised == pytest.approx(ratio * math.sqrt(252), rel=1e-13)
    assert result.standard_error == pytest.approx(math.sqrt((1 + 1.6 / 2) / 10), rel=1e-13)
    assert result.annualised_standard_error == pytest.approx(math.sqrt(0.18 * 252), rel=1e-13)
    # central moments in %: (9 x 0.2^3 - 1.8^3) / 10 and (9 x 0.2^4 + 1.8^4) / 10, the variance 0.36
    assert result.skewness == pytest.approx(-0.576 / 0.36**1.5, rel=1e-12)
    assert result.kurtosis == pytest.approx(1.0512 / 0.36**2, rel=1e-12)
    spread = 1 + 0.576 / 0.216 * ratio + (1.0512 / 0.1296 - 1) / 4 * 1.6
    assert result.probabilistic == pytest.approx(NormalDist().cdf(ratio * math.sqrt(9 / spread)), rel=1e-12)


def test_moments_equal_scipy():
    result, sample = sharpe_ratio(returns(500)), returns(500)
    assert result.per_day == pytest.approx(1 / scipy.stats.variation(sample, ddof=1), rel=1e-12)
    assert result.skewness == pytest.approx(scipy.stats.skew(sample), rel=1e-12)
    assert result.kurtosis == pytest.approx(scipy.stats.kurtosis(sample, fisher=False), rel=1e-12)


def test_a_year_of_365_days():
    one, other = sharpe_ratio(returns(100), 252), sharpe_ratio(returns(100), 365)
    assert other.per_day == one.per_day and other.probabilistic == one.probabilistic
    assert other.annualised / one.annualised == pytest.approx(math.sqrt(365 / 252))
    assert other.annualised_standard_error / one.annualised_standard_error == pytest.approx(
        math.sqrt(365 / 252)
    )


@pytest.mark.parametrize(
    "sample",
    [np.zeros(100), np.full(100, 0.01), 1.0001 ** np.arange(1, 101) / 1.0001 ** np.arange(100) - 1, TEN[1:]],
    ids=["nothing", "constant", "constant but for rounding", "nine days"],
)
def test_what_does_not_vary_or_is_too_short_has_none(sample):
    assert sharpe_ratio(sample) is None


def test_ten_days_are_enough():
    assert len(TEN) == LEAST_DAYS and sharpe_ratio(TEN) is not None


# --- Standard error and probabilities, in simulation -------------------------------------------------------


@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_the_standard_error_is_that_of_many_samples(drift):
    """4,000 series: the spread of their ratios has an error of 1.1 %."""
    sharpes = simulated_sharpes(drift)
    spread = np.std([one.per_day for one in sharpes])
    assert np.mean([one.standard_error for one in sharpes]) == pytest.approx(spread, rel=0.04)


def test_the_probabilistic_ratio_of_no_skill_is_uniform():
    probabilities = [one.probabilistic for one in simulated_sharpes(0.0)]
    assert scipy.stats.kstest(probabilities, "uniform").pvalue > 0.001


def test_the_best_of_many_is_as_good_as_expected():
    """The best of 100 ratios without skill, 2,000 times; the formula is an approximation."""
    best = np.random.default_rng(0).normal(0, 0.05, (2000, 100)).max(axis=1).mean()
    assert highest_expected_sharpe(100, 0.05**2) == pytest.approx(best, rel=0.02)


# --- Probabilistic and deflated Sharpe ratio ---------------------------------------------------------------


def published():
    """SR 2.5 a year over 1,250 days at 250 a year (Bailey & Lopez de Prado 2014)."""
    return replace(
        sharpe_ratio(returns(20)), per_day=2.5 / math.sqrt(250), days=1250, skewness=-3.0, kurtosis=10.0
    )


@pytest.mark.parametrize(("variants", "probability"), [(100, 0.9004), (46, 0.9505)])
def test_the_published_example(variants, probability):
    result = deflated_sharpe(published(), variants, variance=0.5 / 250)
    assert round(result.probability, 4) == probability
    if variants == 100:
        assert round(result.benchmark, 4) == 0.1132


def test_one_try_deflates_nothing():
    sharpe = sharpe_ratio(returns(300))
    for variants, variance in ((1, 0.002), (1, None), (1, 0.0), (50, 0.0)):
        result = deflated_sharpe(sharpe, variants, variance)
        assert (result.benchmark, result.probability) == (0, sharpe.probabilistic)


def test_many_tries_of_unknown_spread_say_nothing():
    result = deflated_sharpe(sharpe_ratio(returns(300)), 2, None)
    assert (result.benchmark, result.probability) == (None, None)


@given(st.integers(1, 10_000), st.floats(1e-6, 1), st.floats(1.1, 10))
def test_more_tries_and_more_spread_deflate_more(variants, variance, factor):
    sharpe = sharpe_ratio(returns(300))
    base = deflated_sharpe(sharpe, variants, variance)
    more = deflated_sharpe(sharpe, variants + 1, variance)
    assert more.benchmark > base.benchmark and more.probability <= base.probability
    wider = deflated_sharpe(sharpe, variants + 1, factor * variance)
    assert wider.benchmark == pytest.approx(math.sqrt(factor) * more.benchmark)


@given(st.floats(-0.5, 0.5), st.integers(10, 5000), st.floats(-3, 3), st.floats(0, 20), st.floats(-0.5, 0.5))
def test_the_probability_is_one_half_at_the_benchmark(ratio, n, skewness, excess, benchmark):
    kurtosis = 1 + skewness**2 + excess  # no distribution has less
    assert probabilistic_sharpe(ratio, n, skewness, kurtosis, ratio) == 0.5
    probability = probabilistic_sharpe(ratio, n, skewness, kurtosis, benchmark)
    assert 0 <= probability <= 1
    if abs(ratio - benchmark) > 1e-9:
        assert (probability > 0.5) == (ratio > benchmark)


def test_a_ratio_without_a_spread_has_no_probability():
    assert probabilistic_sharpe(1.0, 100, 2.0, 5.0) is None


def test_the_variants_variance():
    assert variance_of_variants([0.1, None, 0.3]) == pytest.approx(0.02)
    assert variance_of_variants([0.1, None]) is None
    assert variance_of_variants([]) is None
