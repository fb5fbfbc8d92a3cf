"""Predicted distributions: their scores against integrals, sums and scikit-learn, and what measures make of them."""

from statistics import NormalDist

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from trendlstm.evaluation.distributions import (
    Distribution,
    QuantileBand,
    crps_normal,
    crps_of_quantiles,
    crps_of_sample,
    measure_distributions,
    pinball_losses,
    score_distributions,
)
from trendlstm.evaluation.metrics import wilson_interval
from trendlstm.evaluation.significance import diebold_mariano_prices, smaller_losses

LEVELS = (0.05, 0.3, 0.5, 0.8, 0.95)
DAYS = np.arange("2020-01-01", "2022-09-27", dtype="datetime64[D]")  # 1,000


def test_the_score_of_a_normal_distribution_is_its_integral():
    """The integral over all x of (F(x) - [x >= y])^2."""
    for mean, scale, y in ((0.3, 0.7, -1.2), (-1.0, 2.0, -0.9), (0.0, 0.01, 3.0)):
        x = np.linspace(min(mean - 12 * scale, y) - 1, max(mean + 12 * scale, y) + 1, 400_001)
        cdf = np.array([NormalDist(mean, scale).cdf(one) for one in x])
        integral = np.trapezoid((cdf - (x >= y)) ** 2, x)
        score = crps_normal(np.array([y]), np.array([mean]), np.array([scale]))
        assert score[0] == pytest.approx(integral, rel=1e-4)


def test_scores_of_quantiles_come_near_the_integral_as_they_become_more():
    levels = (np.arange(2000) + 0.5) / 2000
    quantiles = np.array([NormalDist(0.3, 0.7).inv_cdf(level) for level in levels])
    exact = crps_normal(*(np.array([one]) for one in (-1.2, 0.3, 0.7)))
    assert crps_of_quantiles(np.array([-1.2]), quantiles[None], levels) == pytest.approx(exact, rel=1e-3)


def test_the_score_of_a_sample_is_the_sum_over_all_pairs():
    rng = np.random.default_rng(0)
    sample, y = rng.normal(size=37).round(1), rng.normal(size=5)  # rounded: ties
    pairs = np.abs(sample[:, None] - sample).mean()
    expected = [np.abs(sample - one).mean() - pairs / 2 for one in y]
    np.testing.assert_allclose(crps_of_sample(y, sample), expected, rtol=1e-12)
    np.testing.assert_allclose(
        crps_of_sample(y, np.array([2.0])), np.abs(y - 2)
    )  # a point: the absolute error
    large = crps_of_sample(y, rng.normal(size=200_000))
    np.testing.assert_allclose(large, crps_normal(y, np.zeros(5), np.ones(5)), atol=0.01)


def test_pinball_losses_are_scikit_learns():
    rng = np.random.default_rng(1)
    actual, quantiles = rng.normal(size=50), rng.normal(size=(50, 5))
    losses = pinball_losses(actual, quantiles, LEVELS).mean(axis=0)
    for k, level in enumerate(LEVELS):
        assert losses[k] == pytest.approx(
            sklearn_metrics.mean_pinball_loss(actual, quantiles[:, k], alpha=level)
        )


def test_sorting_crossed_quantiles_never_raises_the_pinball_loss():
    rng = np.random.default_rng(2)
    actual, quantiles = rng.normal(size=2000), rng.normal(size=(2000, 5))
    crossed, ordered = (
        pinball_losses(actual, q, LEVELS).mean(axis=1) for q in (quantiles, np.sort(quantiles))
    )
    assert (ordered <= crossed + 1e-12).all()
    assert (ordered < crossed - 1e-3).any()


def test_quantiles_of_a_normal_distribution_say_its_scale():
    mean, scale = np.array([[0.2, -1.0]]), np.array([[0.3, 2.0]])
    normal = Distribution.normal(LEVELS, mean, scale)
    np.testing.assert_allclose(normal.median, mean)
    for k, level in enumerate(LEVELS):
        assert normal.quantiles[0, 1, k] == pytest.approx(NormalDist(-1.0, 2.0).inv_cdf(level))
    again = Distribution.of(LEVELS, 2 * normal.quantiles + 1, is_normal=True)
    np.testing.assert_allclose(again.scale, 2 * scale)
    assert Distribution.of(LEVELS, normal.quantiles, is_normal=False).scale is None


def forecasts(is_normal, seed=3, skill=1.0):
    """Changes whose spread is known to the forecaster (skill 1) or not (0), and the changes before them."""
    rng = np.random.default_rng(seed)
    past = rng.choice([0.5, 2.0], (3000, 2)) * rng.normal(size=(3000, 2))
    spread = rng.choice([0.5, 2.0], (1000, 2))
    actual = spread * rng.normal(size=(1000, 2))
    told = skill * spread + (1 - skill) * np.sqrt(np.mean(spread**2))
    predicted = Distribution.normal(LEVELS, np.zeros((1000, 2)), told)
    return Distribution.of(LEVELS, predicted.quantiles, is_normal), actual, past


@pytest.mark.parametrize("is_normal", [False, True])
def test_who_knows_the_spread_has_the_nominal_coverage_and_the_smaller_score(is_normal):
    predicted, actual, past = forecasts(is_normal)
    for step, scores in enumerate(score_distributions(predicted, actual, past), start=1):
        found = measure_distributions([DAYS], [scores], LEVELS, is_normal, step)
        assert (found.step, found.n, found.levels, found.is_exact) == (step, 1000, LEVELS, is_normal)
        for band, nominal in zip(found.bands, (0.9, 0.5), strict=True):
            assert band.nominal == pytest.approx(nominal)
            assert band.low < band.nominal < band.high
            assert QuantileBand.from_dict(band.to_dict()) == band
        assert found.skill > 0.05
        assert found.diebold_mariano.p_value < 1e-6
        assert all(np.array(found.pinball)[[0, -1]] < np.array(found.baseline_pinball)[[0, -1]])


def test_who_does_not_know_the_spread_is_not_said_to():
    predicted, actual, past = forecasts(True, skill=0.0)
    found = measure_distributions([DAYS], [score_distributions(predicted, actual, past)[0]], LEVELS, True, 1)
    assert found.skill < 0.01
    assert found.diebold_mariano.p_value > 0.05


def test_measures_by_hand():
    """Two of three outcomes lie within the band; the baseline's quantiles are those of past changes alone."""
    levels = (0.25, 0.5, 0.75)
    quantiles = np.array([[[-1.0, 0.0, 1.0]], [[-1.0, 0.0, 1.0]], [[0.0, 1.0, 2.0]]])
    actual, past = np.array([[0.5], [1.5], [2.0]]), np.array([[-4.0], [0.0], [4.0]])
    (scores,) = score_distributions(Distribution(levels, quantiles), actual, past)
    found = measure_distributions([DAYS[:3]], [scores], levels, False, 1)
    (band,), (usual,) = found.bands, found.baseline_bands
    assert (band.covered, band.counted, band.lower, band.upper) == (2, 3, 0.25, 0.75)
    assert (band.low, band.high) == pytest.approx(wilson_interval(2, 3))
    assert (usual.covered, usual.counted) == (3, 3)  # -2 ... 2
    by_level = [
        0.25 * (1.5 + 2.5 + 2.0) / 3,
        0.5 * (0.5 + 1.5 + 1.0) / 3,
        (0.25 * 0.5 + 0.75 * 0.5 + 0.0) / 3,
    ]
    assert found.pinball == pytest.approx(by_level)
    assert found.crps == pytest.approx(2 * np.mean(by_level))
    np.testing.assert_array_equal(scores.baseline_quantiles, [[-2, 0, 2]] * 3)


def test_tickers_that_move_together_say_no_more_than_one():
    predicted, actual, past = forecasts(False)
    (scores, _) = score_distributions(predicted, actual, past)
    alone = measure_distributions([DAYS], [scores], LEVELS, False, 1)
    both = measure_distributions([DAYS, DAYS], [scores, scores], LEVELS, False, 1)
    assert both.n == 2 * alone.n and both.bands[0].covered == 2 * alone.bands[0].covered
    assert (both.bands[0].low, both.bands[0].high) == pytest.approx((alone.bands[0].low, alone.bands[0].high))
    assert both.diebold_mariano.statistic == pytest.approx(alone.diebold_mariano.statistic)
    assert both.crps == pytest.approx(alone.crps)


def test_the_test_of_losses_is_that_of_diebold_and_mariano():
    rng = np.random.default_rng(5)
    actual, predicted, reference = rng.normal(size=(3, 80))
    losses = ((actual - one) ** 2 for one in (predicted, reference))
    assert smaller_losses(*losses, 3) == diebold_mariano_prices(actual, predicted, reference, 3)
