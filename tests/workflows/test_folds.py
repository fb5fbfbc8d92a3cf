"""Where a walk's folds lie, and what one of them may see."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from walks import random_walk

from trendlstm.config import BacktestConfig, DataConfig, FitConfig, NetworkConfig, WindowConfig
from trendlstm.data.frames import price_set
from trendlstm.data.windows import Scaler, make_windows
from trendlstm.errors import OptionError
from trendlstm.evaluation.baselines import Ridge
from trendlstm.nn.network import Network
from trendlstm.nn.training import fit_here
from trendlstm.workflows import folds


def settings(**changes):
    window = WindowConfig(lag=changes.pop("lag", 4), horizon=changes.pop("horizon", 1))
    network = NetworkConfig(hidden_size=4, dense=())
    fit = changes.pop("fit", FitConfig(epochs=2, patience=1))
    return BacktestConfig(window=window, network=network, fit=fit, **{"test_years": 0.5, **changes})


def plan(config, frame=None):
    frame = random_walk(260) if frame is None else frame
    return folds.plan_walk("T", price_set(frame, DataConfig(ticker="T")), config)


@pytest.mark.parametrize("refit, stride", [(1, 1), (5, 1), (7, 3), (6, 6)])
@pytest.mark.parametrize("horizon, gap", [(1, None), (3, None), (3, 5)])
def test_every_origin_is_forecast_once_by_the_newest_fold(refit, stride, horizon, gap):
    config = settings(refit=refit, stride=stride, horizon=horizon, gap=gap)
    walk = plan(config)
    rows = len(walk.prices.frame)
    first = walk.folds[0].cutoff
    assert walk.origins.tolist() == list(range(first, rows - horizon, stride))
    for number, fold in enumerate(walk.folds):
        assert fold.number == number
        assert fold.cutoff == first + number * refit
        assert all(fold.cutoff <= origin < fold.cutoff + refit for origin in fold.origins)
    dates = walk.prices.frame.index
    half_a_year_ago = dates[-1] - pd.Timedelta(days=183)
    assert dates[first] <= half_a_year_ago < dates[first + 1]


@pytest.mark.parametrize("horizon, gap", [(1, None), (3, None), (1, 4), (3, 5)])
def test_what_a_fold_learns_from_was_known_at_its_cutoff(horizon, gap):
    config = settings(horizon=horizon, gap=gap)
    walk = plan(config)
    close = walk.prices.frame["Close"].to_numpy()
    for fold in (walk.folds[0], walk.folds[-1]):
        windows = folds.make_windows(walk, fold, config)
        newest = windows.validation.origins[-1]
        assert fold.first + newest == fold.cutoff - 1 - config.gap
        assert windows.validation.actual[-1, -1] == close[fold.first + newest + horizon]
        assert windows.train.origins[-1] + horizon < windows.train_rows
        assert windows.test.anchors.tolist() == close[list(fold.origins)].tolist()
        assert np.isnan(windows.test.actual).all() and np.isnan(windows.test.y).all()
        assert len(windows.prices) == fold.origins[-1] + 1 - fold.first


def test_a_rolling_window_keeps_its_years_and_an_expanding_one_its_start():
    rolling, expanding = plan(settings(train_years=0.25)), plan(settings())
    dates = rolling.prices.frame.index
    for fold in rolling.folds:
        span = dates[fold.cutoff] - dates[fold.first]
        assert pd.Timedelta(days=85) < span < pd.Timedelta(days=92)
        assert dates[fold.cutoff] - dates[fold.first - 1] >= pd.Timedelta(days=91)
    assert {fold.first for fold in expanding.folds} == {0}


def test_scaler_ridge_and_networks_are_those_of_the_folds_rows_alone():
    """Against the same steps on a table that ends with the cutoff."""
    config = settings(seeds=2, models=("lstm", "rnn"))
    walk = plan(config)
    fold = walk.folds[3]
    result = folds.forecast_fold(walk, fold, config, {}, fit_here)
    frame = walk.prices.frame.iloc[: fold.cutoff + 1]
    scaler = Scaler.fit(frame.iloc[: fold.train_rows], ("Close",), "window")
    rows = len(frame) + 1  # a test part needs a row, whose price is never looked at
    split = (fold.train_rows / rows, fold.validation_rows / rows, 1 / rows)
    longer = pd.concat([frame, frame.iloc[-1:].set_axis([frame.index[-1] + pd.Timedelta(days=1)])])
    windows = make_windows(longer, 4, 1, ("Close",), "window", split)
    assert windows.scaler == scaler
    ridge = Ridge.fit(windows)
    assert result.ridge_alpha == ridge.alpha
    expected = scaler.prices(ridge.predict(windows.test.x), windows.test.anchors)
    assert result.forecasts["ridge"].tobytes() == expected.tobytes()
    pair = windows.validation.x, windows.validation.y
    for model in ("lstm", "rnn"):
        outputs = []
        for member in range(2):
            network = Network.from_config(config.network_of(model, member))
            history = network.fit(windows.train.x, windows.train.y, validation=pair, epochs=2, patience=1)
            assert result.epochs[model][member] == history.best_epoch
            outputs.append(network.predict(windows.test.x).astype(np.float64))
            expected = scaler.prices(outputs[-1], windows.test.anchors)
            assert result.members[model][member].tobytes() == expected.tobytes()
        mean = scaler.prices(np.mean(outputs, axis=0), windows.test.anchors)
        assert result.forecasts[model].tobytes() == mean.tobytes()


def test_a_final_fit_has_learned_the_validation_rows_too():
    plain, final = (
        folds.forecast_fold(plan(config), plan(config).folds[0], config, {}, fit_here)
        for config in (settings(), settings(final_fit=True))
    )
    assert (plain.epochs["lstm"] == final.epochs["lstm"]).all()
    assert plain.scores["lstm"].tobytes() == final.scores["lstm"].tobytes()
    assert (plain.forecasts["lstm"] != final.forecasts["lstm"]).all()


def test_a_final_fit_repeats_the_rates_of_the_chosen_epochs():
    fit = FitConfig(epochs=6, learning_rate=0.05, schedule="plateau", plateau_patience=1, warmup=1)
    config = settings(final_fit=True, seeds=2, fit=fit)
    walk, histories = plan(config), []

    def keep(job):
        histories.append((job, fit_here(job)))
        return histories[-1][1]

    folds.forecast_fold(walk, walk.folds[0], config, {}, keep)
    (_, one), (_, two), (first, again), (second, once_more) = histories
    for before, job, after in ((one, first, again), (two, second, once_more)):
        assert after.epochs_run == job.epochs == before.best_epoch
        np.testing.assert_array_equal(after.learning_rate, before.learning_rate[: before.best_epoch])
        assert job.train.x.shape[0] > histories[0][0].train.x.shape[0]


@pytest.mark.parametrize("final_fit", [False, True])
def test_a_folds_seconds_are_its_threads_own(final_fit):
    """A wait for a core that others use is in the wall time of a fit, and does not count."""
    config = settings(final_fit=final_fit)
    walk = plan(config)
    start = time.thread_time()
    result = folds.forecast_fold(
        walk, walk.folds[0], config, {}, lambda job: replace(fit_here(job), seconds=3600.0)
    )
    assert 0 < result.seconds < time.thread_time() - start


def test_a_warm_start_goes_on_from_the_weights_before():
    config = settings(warm_start=True, seeds=2)
    walk = plan(config)
    first = folds.forecast_fold(walk, walk.folds[0], config, {}, fit_here)
    cold = folds.forecast_fold(walk, walk.folds[1], config, {}, fit_here)
    warm = folds.forecast_fold(walk, walk.folds[1], config, first.weights, fit_here)
    assert first.weights["lstm"].shape[0] == 2
    assert (warm.forecasts["lstm"] != cold.forecasts["lstm"]).all()
    assert warm.forecasts["ridge"].tobytes() == cold.forecasts["ridge"].tobytes()


@pytest.mark.parametrize(
    "rows, changes, message",
    [
        (130, {}, "130 prices are too few to forecast the last 0.5 years with lag 4"),
        (260, {"stride": 7, "refit": 7}, "260 prices are too few"),
        (260, {"train_years": 0.02}, "leave no train sample on 2015-"),
        (260, {"lag": 115}, "leave no train sample"),
    ],
)
def test_too_few_rows_are_refused(rows, changes, message):
    with pytest.raises(OptionError, match=message):
        plan(settings(**changes), random_walk(rows))
