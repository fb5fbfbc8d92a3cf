"""Bands of a walk: what they are made from, and that they hold what they promise (trendlstm.evaluation.walk_bands)."""

import math
from fractions import Fraction

import numpy as np
import pytest
from simulated_returns import PROCESSES

from trendlstm.evaluation.intervals import conformal_rank, recent_volatility
from trendlstm.evaluation.metrics import wilson_interval
from trendlstm.evaluation.walk_bands import (
    GAMMA,
    Coverage,
    band_edges,
    coverage_of_bands,
    walk_bands,
)


def adaptive_by_hand(scores, errors, origins, step, gamma):
    """alpha_t and the band that it makes, each from all misses known at its origin."""
    bands, alphas = [], []
    for t, origin in enumerate(origins):
        learned = [j for j in range(t) if origins[j] + step <= origin and not np.isnan(errors[j])]
        alpha = Fraction(1, 5)
        alpha += Fraction(gamma) * sum(Fraction(1, 5) - bool(errors[j] > bands[j]) for j in learned)
        known = sorted(scores[t][~np.isnan(scores[t])])
        rank = math.ceil((len(known) + 1) * (1 - alpha))
        bands.append(np.inf if rank > len(known) else known[rank - 1] if rank >= 1 else -np.inf)
        alphas.append(float(alpha))
    return bands, alphas


@pytest.mark.parametrize(("step", "stride"), [(1, 1), (4, 1), (4, 3), (2, 5)])
def test_every_band_of_a_walk_is_made_from_what_its_origin_knows(step, stride):
    random = np.random.default_rng(step)
    origins = 700 + stride * np.arange(150)
    errors = random.exponential(1.5, 150)
    errors[[3, 70]] = np.nan
    errors[100] = np.inf
    folds = [random.exponential(1.0, 40 + fold) for fold in range(15)]
    folds[2][:3] = np.nan
    scores = [folds[t // 10] for t in range(150)]
    gamma = 1 / 16
    bands = walk_bands(scores, errors, origins, step, gamma)
    expected, alphas = adaptive_by_hand(scores, errors, origins, step, gamma)
    np.testing.assert_array_equal(bands.adaptive, expected)
    np.testing.assert_allclose(bands.miscoverage, alphas, atol=1e-12)
    assert np.isinf(bands.adaptive).any() and len(set(bands.adaptive)) > 50
    for t in (0, 20, 29, 149):
        known = np.sort(scores[t][~np.isnan(scores[t])])
        assert bands.split[t] == known[conformal_rank(len(known)) - 1]
    # what is known later changes nothing
    for t in (1, 80, 149):
        later = np.where(origins + step > origins[t], 9.0, errors)
        changed = walk_bands(scores, later, origins, step, gamma)
        for one, other in zip(vars(bands).values(), vars(changed).values(), strict=True):
            np.testing.assert_array_equal(one[: t + 1], other[: t + 1])


def test_a_band_that_never_misses_shrinks_to_nothing_and_one_that_always_does_holds_all():
    scores, origins = [np.arange(1.0, 41.0)] * 200, np.arange(200)
    calm = walk_bands(scores, np.zeros(200), origins, 1, gamma=0.1)
    assert calm.split[0] == 33 and calm.adaptive[0] == 33
    assert calm.adaptive[50] == -np.inf and calm.miscoverage.max() > 1
    wild = walk_bands(scores, np.full(200, 99.0), origins, 1, gamma=0.1)
    assert wild.adaptive[3] == np.inf and wild.miscoverage.min() < 0
    for errors, bands in ((np.zeros(200), calm), (np.full(200, 99.0), wild)):
        assert np.mean(errors > bands.adaptive) == pytest.approx(0.2, abs=0.05)


def test_a_fold_with_too_few_scores_has_no_bands_and_nothing_is_learned_from_it():
    few, enough = np.ones(19), np.ones(20)
    bands = walk_bands([few] * 30 + [enough] * 5, np.full(35, 2.0), np.arange(35), 1)
    assert np.isnan(bands.split[:30]).all() and np.isnan(bands.adaptive[:30]).all()
    np.testing.assert_array_equal(bands.split[30:], 1)
    np.testing.assert_allclose(bands.miscoverage[30:], 0.2 - 0.8 * GAMMA * np.arange(5))
    assert np.isnan(walk_bands([np.ones(20)], np.ones(1), np.arange(1), 5).split).all()


@pytest.mark.parametrize("shift", [1.0, 0.5, 2.0])
def test_adaptive_bands_hold_their_share_whatever_the_prices_do(shift):
    """Proposition 4.1 of Gibbs & Candes (2021) bounds it; split conformal bands hold it where nothing shifts."""
    random = np.random.default_rng(5)
    days, gamma = 1000, 0.02
    held = {"split": [], "adaptive": []}
    for _ in range(30):
        scores = np.abs(random.normal(size=250))
        errors = shift * np.abs(random.normal(size=days))
        bands = walk_bands([scores] * days, errors, np.arange(days), 1, gamma)
        for name, found in held.items():
            found.append(np.mean(errors <= getattr(bands, name)))
    assert np.abs(np.array(held["adaptive"]) - 0.8).max() <= (0.8 + gamma) / (gamma * days)
    assert np.mean(held["adaptive"]) == pytest.approx(0.8, abs=0.02)
    if shift == 1:
        assert np.mean(held["split"]) == pytest.approx(0.8, abs=0.02)
    else:
        assert not 0.77 <= np.mean(held["split"]) <= 0.83


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("step", [1, 5])
def test_bands_of_a_walk_hold_what_they_promise_on_simulated_series(process, step):
    """A year of 60 series, folds of 21 days; the scores are the last 100 errors that a fold may know."""
    covered = {"split": [], "adaptive": []}
    intervals = []
    for returns in PROCESSES[process](np.random.default_rng(2), 60, 700):
        log_close = np.cumsum(returns)
        origins = np.arange(300, 700 - step)
        volatility = recent_volatility(np.exp(log_close))[origins]
        errors = (
            np.abs(log_close[origins + step] - log_close[origins] - step * returns[:300].mean()) / volatility
        )
        walk = np.arange(len(origins) - 252, len(origins))
        folds = {start: errors[start - step - 99 : start - step + 1] for start in walk[::21]}
        scores = [folds[start] for start in np.repeat(walk[::21], 21)]
        bands = walk_bands(scores, errors[walk], origins[walk], step)
        for name, shares in covered.items():
            found = coverage_of_bands(
                [origins[walk].astype("M8[D]")], [errors[walk]], [getattr(bands, name)], step
            )
            shares.append(found.share)
        intervals.append(found.low <= 0.8 <= found.high)
    for name, least in (("split", 0.77), ("adaptive", 0.78)):
        assert least <= np.mean(covered[name]) <= 0.83
    assert np.std(covered["adaptive"]) <= np.std(covered["split"]) and np.mean(intervals) >= 0.9


def test_coverage_counts_what_bands_held():
    dates = np.arange(6).astype("M8[D]")
    errors = np.array([1.0, 2.0, 3.0, np.nan, 2.0, np.inf])
    half_widths = np.array([2.0, 2.0, 2.0, 2.0, np.nan, np.inf])
    found = coverage_of_bands([dates], [errors], [half_widths], 1)
    assert (found.covered, found.counted, found.share, found.median_half_width) == (3, 4, 0.75, 2.0)
    assert (found.low, found.high) == pytest.approx(wilson_interval(3, 4))
    empty = coverage_of_bands([dates], [np.zeros(6)], [np.full(6, -np.inf)], 1)
    assert (empty.covered, empty.counted) == (0, 6)
    assert coverage_of_bands([dates], [np.full(6, np.inf)], [np.full(6, -np.inf)], 1).counted == 6
    assert coverage_of_bands([dates], [errors], [np.full(6, np.nan)], 1) == Coverage(0, 0, None, None, None)
    assert Coverage(0, 0, None, None, None).share is None


@pytest.mark.parametrize(
    ("step", "stride", "overlap"), [(1, 1, 1), (4, 1, 33 / 12), (4, 3, 1 + 2 / 16), (4, 4, 1)]
)
def test_coverage_over_tickers_knows_that_they_err_together(step, stride, overlap):
    random = np.random.default_rng(1)
    errors, half_widths, dates = random.exponential(size=90), np.full(90, 1.6), np.arange(90).astype("M8[D]")
    one = coverage_of_bands([dates], [errors], [half_widths], step, stride)
    expected = wilson_interval(one.covered / overlap, 90 / overlap)
    assert (one.low, one.high) == pytest.approx(expected, rel=1e-9)
    three = coverage_of_bands([dates] * 3, [errors] * 3, [half_widths] * 3, step, stride)
    assert (three.covered, three.counted) == (3 * one.covered, 270)
    assert (three.low, three.high) == pytest.approx(expected, rel=1e-9)
    others = [random.exponential(size=90) for _ in range(3)]
    independent = coverage_of_bands([dates] * 3, others, [half_widths] * 3, step, stride)
    assert independent.high - independent.low < 0.75 * (three.high - three.low)


def test_edges_of_bands_are_prices():
    forecast = np.array([50.0, 50.0, 50.0, 50.0, 50.0, -1.0, 50.0])
    half_widths = np.array([1.5, 0.0, np.inf, -np.inf, np.nan, 1.5, 1.5])
    volatility = np.array([0.02, 0.02, 0.02, 0.02, 0.02, 0.02, np.nan])
    low, high = band_edges(forecast, half_widths, volatility)
    nan = np.nan
    np.testing.assert_allclose(low, [50 * math.exp(-0.03), 50, 0, nan, nan, nan, nan])
    np.testing.assert_allclose(high, [50 * math.exp(0.03), 50, np.inf, nan, nan, nan, nan])
