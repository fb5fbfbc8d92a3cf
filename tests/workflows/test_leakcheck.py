"""The leak check: quiet about the package as it is, loud about every way to look ahead."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_backtests import settings as backtest_settings
from walks import prepared, random_walk

from trendlstm.config import DataConfig, WindowConfig
from trendlstm.data.frames import price_set
from trendlstm.data.windows import Scaler, fold_windows, make_windows
from trendlstm.errors import OptionError
from trendlstm.evaluation.leakcheck import check_for_leaks, observations
from trendlstm.evaluation.significance import correlation
from trendlstm.workflows import folds, walked
from trendlstm.workflows import leakcheck as workflow
from trendlstm.workflows import train as pipeline


def checks_of(prices=None, **settings):
    return workflow.leak_check(prepared(random_walk(160) if prices is None else prices, **settings))


def leaks(checks):
    return {check.what for check in checks if check.changed}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scaling": "standard", "cell": "rnn"},
        {"scaling": "minmax", "cell": "lstm1997"},
        {"scaling": "none", "cell": "ann", "dtype": "float64"},
        {"features": ("Open", "High", "Low", "Close", "Volume"), "horizon": 3, "seeds": 2},
        {"features": ("Volume", "Close"), "scaling": "standard", "patience": 1},
    ],
    ids=str,
)
def test_no_prediction_depends_on_later_prices(settings):
    """Bit for bit, with networks trained anew on every change of the future."""
    checks = checks_of(**settings)
    assert leaks(checks) == set()
    expected = {"scaler", "drift", "ridge", "model"} | (
        {"recursive"} if settings.get("horizon", 1) == 1 else set()
    )
    if "Volume" in settings.get("features", ()):
        expected -= {"recursive"}
    assert {check.what for check in checks} == expected
    for change in ("perturbed", "truncated", "shuffled"):
        assert {check.what for check in checks if check.change == change and check.compared} == expected


def test_the_days_are_the_last_training_day_the_first_closed_forecast_and_the_middle_of_the_test():
    prices = random_walk(160)
    days = [f"{prices.index[row]:%Y-%m-%d}" for row in (95, 130, 144)]  # 96, 32 and 32 rows, horizon 3
    checks = checks_of(prices, horizon=3)
    assert list(dict.fromkeys(check.after for check in checks)) == days
    model = [check for check in checks if check.what == "model" and check.change == "perturbed"]
    # origins 127 ... 130 and 127 ... 144, three steps each
    assert [(check.after, check.compared) for check in model] == [(days[1], 4 * 3), (days[2], 18 * 3)]


def leaky_make_windows(prices, lag, horizon, features, scaling, split):
    """Windows whose scaler has seen all rows."""
    honest = Scaler.fit
    try:
        Scaler.fit = classmethod(lambda cls, rows, names, kind: honest(prices, names, kind))
        return make_windows(prices, lag, horizon, features, scaling, split)
    finally:
        Scaler.fit = honest


@pytest.mark.parametrize("scaling", ["window", "standard", "minmax"])
def test_a_scaler_that_saw_all_rows_is_found(monkeypatch, scaling):
    monkeypatch.setattr(pipeline, "make_windows", leaky_make_windows)
    checks = checks_of(scaling=scaling)
    assert {"scaler", "model"} <= leaks(checks)
    found = next(check for check in checks if check.what == "scaler")
    assert (found.change, found.after, found.first_changed) == ("perturbed", "2015-05-18", "2015-05-18")


def tomorrows_windows(prices, lag, horizon, features, scaling, split):
    """Windows that end one day late: each input holds the close that it is to predict."""
    windows = make_windows(prices, lag, horizon, features, scaling, split)
    closes = np.append(windows.close, windows.close[-1])

    def late(part):
        rows = part.origins[:, None] + 1 + np.arange(1 - lag, 1)
        return replace(part, x=windows.scaler.inputs(closes[rows][:, :, None], part.anchors))

    return replace(windows, **{part.name: late(part) for part in windows.splits})


def test_a_model_that_sees_tomorrow_is_found_by_its_correlation_and_by_the_leak_check(monkeypatch):
    prices, settings = random_walk(600, seed=3), {"epochs": 60, "learning_rate": 0.02}

    def seen():
        trained = pipeline.fit_networks(prepared(prices, **settings))
        test = trained.prepared.windows.test
        predicted = trained.forecaster.predict(test.x, test.anchors)[:, 0]
        return correlation(test.anchors, test.actual[:, 0], predicted).value

    assert abs(seen()) < 0.3  # an honest model of a random walk knows nothing of the next change
    monkeypatch.setattr(pipeline, "make_windows", tomorrows_windows)
    assert seen() > 0.8
    checks = checks_of()
    assert leaks(checks) == {"ridge", "model"}
    assert all(check.changed for check in checks if check.what == "ridge" and check.change != "truncated")


def test_a_validation_loss_that_saw_the_test_rows_is_found(monkeypatch):
    """The epoch is chosen by the test rows."""
    honest = workflow.fit_networks

    def peeking(prepared, progress):
        windows = replace(prepared.windows, validation=prepared.windows.test)
        trained = honest(replace(prepared, windows=windows), progress)  # trains the same networks
        return replace(trained, prepared=prepared)

    monkeypatch.setattr(workflow, "fit_networks", peeking)
    assert leaks(checks_of(epochs=30, learning_rate=0.05)) == {"model", "recursive"}


def test_a_baseline_fitted_on_all_rows_is_found(monkeypatch):
    def drift_of_all_rows(windows):
        growth = (windows.close[-1] / windows.close[0]) ** (1 / len(windows.close))
        return {split.name: split.anchors[:, None] * growth for split in windows.splits}

    monkeypatch.setitem(pipeline.BASELINES, "drift", drift_of_all_rows)
    assert leaks(checks_of()) == {"drift"}


def test_what_is_done_to_the_future():
    prices = random_walk(160)
    seen = []

    def observe(frame, row):
        seen.append(frame)
        return {"close": frame[["Close"]]}

    windows = make_windows(prices, 4, 1, ("Close",), "window", (0.6, 0.2, 0.2))
    days = workflow.training_days(windows)
    before = prices.copy()
    checks = check_for_leaks(prices, days, observe)
    pd.testing.assert_frame_equal(prices, before)
    assert len(seen) == observations(days) == 9 and seen[0] is prices
    assert leaks(checks) == set()  # what is compared ends with the day
    for row, perturbed, shuffled in ((95, 1, 2), (128, 3, 5), (143, 6, 8)):
        for index in (perturbed, shuffled):
            frame = seen[index]
            pd.testing.assert_frame_equal(frame.iloc[: row + 1], prices.iloc[: row + 1])
            assert (frame.iloc[row + 1 :] != prices.iloc[row + 1 :]).to_numpy().all()
            assert (frame["High"] >= frame["Close"]).all() and (frame["Low"] <= frame["Open"]).all()
        closes = (seen[shuffled]["Close"], prices["Close"])
        assert sorted(closes[0]) == sorted(closes[1])
        if index > 2:
            pd.testing.assert_frame_equal(seen[index - 1], prices.iloc[: row + 1])


def test_one_bit_counts():
    prices = random_walk(160)
    day = prices.index[100]

    def observe(frame, row):
        table = prices[["Close", "Open"]].copy()
        if len(frame) == len(prices) and frame is not prices:
            table.loc[day, "Close"] = np.nextafter(table.loc[day, "Close"], 0)
        return {"table": table}

    checks = check_for_leaks(prices, {128: ("perturbed", "truncated", "shuffled")}, observe)
    changed = [check for check in checks if check.changed]
    assert {check.change for check in changed} == {"perturbed", "shuffled"}
    assert {(check.changed, check.first_changed) for check in changed} == {(1, f"{day:%Y-%m-%d}")}
    assert changed[0].to_dict() == {
        "change": "perturbed",
        "after": f"{prices.index[128]:%Y-%m-%d}",
        "what": "table",
        "compared": 258,
        "changed": 1,
        "first_changed": f"{day:%Y-%m-%d}",
    }


def test_without_a_future_there_is_nothing_to_check():
    windows = make_windows(random_walk(160), 4, 31, ("Close",), "window", (0.6, 0.2, 0.2))
    with pytest.raises(
        OptionError, match=r"^The test rows end on .* too soon to change what follows a test day"
    ):
        workflow.training_days(windows)


def test_progress_covers_all_fits():
    told = []
    workflow.leak_check(prepared(random_walk(160), seeds=2), told.append)
    epochs = [progress.epoch for progress in told]
    assert epochs == sorted(epochs) and epochs[-1] == 9 * 2 * 4
    assert {progress.epochs for progress in told} == {9 * 2 * 4}


# --------------------------------------------------------------------------------------------------- a backtest's walk


def plan(frame=None, horizon=1, features=("Close",), scaling="window", **settings):
    window = WindowConfig(
        lag=4, horizon=horizon, features=features, scaling=scaling, split=(0.6, 0.3, 0.1)
    )  # enough validation rows for bands
    config = backtest_settings(window=window, **{"test_years": 0.25, "refit": 8} | settings)
    prices = price_set(random_walk(200) if frame is None else frame, DataConfig(ticker="WALK"))
    return folds.plan_walk("WALK", prices, config), config


def walk_checks(frame=None, **settings):
    # one thread: some tests patch what all threads use
    return workflow.leak_check_walk(*plan(frame, **settings), n_threads=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"refit": 5, "final_fit": True},
        {"refit": 1, "seeds": 1, "test_years": 0.1},
        {"horizon": 3, "models": ("rnn", "lstm"), "features": ("Volume", "High", "Close")},
        {"horizon": 3, "stride": 2, "gap": 4, "warm_start": True, "scaling": "standard", "train_years": 0.3},
        {"refit": 100, "scaling": "minmax"},
        {"closes_alone": True},
    ],
    ids=str,
)
def test_no_forecast_band_or_position_of_a_walk_depends_on_later_prices(settings):
    closes_alone = settings.pop("closes_alone", False)
    checks = walk_checks(random_walk(200)[["Close"]] if closes_alone else None, **settings)
    assert leaks(checks) == set()
    expected = {
        "drift",
        "ridge",
        *settings.get("models", ("lstm",)),
        "bands",
        "signals",
        "positions",
        "returns",
    }
    for change in ("perturbed", "truncated", "shuffled"):
        assert {check.what for check in checks if check.change == change} == expected


def test_all_that_a_walk_had_forecast_and_traded_by_a_day_is_compared():
    walk, _ = plan(horizon=2)
    first, middle = walk.folds[0].cutoff, walk.origins[len(walk.origins) // 2]
    cutoff = max(fold.cutoff for fold in walk.folds if fold.cutoff <= middle)
    dates = walk.prices.frame.index
    compared = {(check.after, check.change, check.what): check.compared for check in walk_checks(horizon=2)}
    for row in (first, cutoff, middle):
        day, origins = f"{dates[row]:%Y-%m-%d}", row - first + 1
        of_day = {
            what: n for (after, change, what), n in compared.items() if (after, change) == (day, "perturbed")
        }
        traded = {"returns": 3 * 2 * (origins - 2)} if origins > 2 else {}
        assert of_day == {
            "drift": 2 * origins,
            "ridge": 2 * origins,
            "lstm": 2 * 3 * origins,  # two steps of the ensemble and of two networks
            "bands": 2 * (4 + 1) * origins,  # edges, and the miscoverage of the adaptive ones
            "signals": origins,
            "positions": (1 + 3 * 2) * origins,  # the forecast; of three strategies weight and turnover
            **traded,
        }
        if row != first:  # a price set that ends with the day has its forecasts, too
            assert compared[day, "truncated", "lstm"] == 2 * 3 * origins
            assert compared[day, "truncated", "positions"] == (1 + 3 * 2) * (origins - 2)


@pytest.mark.parametrize("scaling", ["window", "standard"])
def test_a_walk_whose_scaler_saw_all_rows_is_found(monkeypatch, scaling):
    honest = folds.make_windows

    def leaky(walk, fold, config):
        fit = Scaler.fit
        with monkeypatch.context() as patch:
            every = walk.prices.frame
            patch.setattr(Scaler, "fit", classmethod(lambda cls, rows, *names: fit(every, *names)))
            return honest(walk, fold, config)

    monkeypatch.setattr(folds, "make_windows", leaky)
    checks = walk_checks(scaling=scaling)
    assert {"lstm", "bands"} <= leaks(checks)
    first = next(check for check in checks if check.what == "lstm")
    assert first.changed == first.compared == 3


@pytest.mark.parametrize("refit", [1, 8])
def test_labels_that_are_not_purged_are_found(monkeypatch, refit):
    """As with a gap of 0: the newest samples that a fold learns from ask for closes after its cutoff."""

    def unpurged(walk, fold, config):
        frame = walk.prices.frame.iloc[fold.first :]
        known = min(fold.cutoff - fold.first + config.window.horizon, len(frame))
        origins = [origin - fold.first for origin in fold.origins]
        return fold_windows(frame, config.window, fold.train_rows, known - fold.train_rows, origins)

    assert leaks(walk_checks(horizon=3, refit=refit, test_years=0.1)) == set()
    monkeypatch.setattr(folds, "make_windows", unpurged)
    assert {"lstm", "bands"} <= leaks(walk_checks(horizon=3, refit=refit, test_years=0.1))


@pytest.mark.parametrize("columns", [["Open", "Close"], ["Close"]])
def test_a_trade_on_its_own_bar_is_found(monkeypatch, columns):
    """The signal of a day's close trades at that day's open, or at that close itself."""
    honest = walked.holding_days

    def own_bar(dates, open_prices, close, origins, stride, forecast):
        as_if_before = forecast * close[origins - 1] / close[origins]  # the same sign
        return honest(dates, open_prices, close, origins - 1, stride, as_if_before)

    monkeypatch.setattr(walked, "holding_days", own_bar)
    assert leaks(walk_checks(random_walk(200)[columns])) == {"positions"}


def test_bands_from_errors_of_the_walk_itself_are_found(monkeypatch):
    honest = walked.walk_bands

    def calibrated_on_the_test(scores, errors, origins, step):
        return honest([errors] * len(scores), errors, origins, step)

    monkeypatch.setattr(walked, "walk_bands", calibrated_on_the_test)
    assert leaks(walk_checks()) == {"bands"}


def test_bands_that_learn_from_an_outcome_too_early_are_found(monkeypatch):
    honest = walked.walk_bands

    def early(scores, errors, origins, step):
        return honest(scores, np.append(errors[1:], np.nan), origins, step)

    monkeypatch.setattr(walked, "walk_bands", early)
    assert leaks(walk_checks()) == {"bands"}


def test_a_forecast_that_sees_the_next_close_is_found_in_all_that_follows_from_it(monkeypatch):
    honest = folds.make_windows

    def late(walk, fold, config):
        windows = honest(walk, fold, config)
        closes = walk.prices.frame["Close"].to_numpy()
        closes = np.append(closes, closes[-1])[fold.first :]
        rows = windows.test.origins[:, None] + 1 + np.arange(1 - config.window.lag, 1)
        x = windows.scaler.inputs(closes[rows][:, :, None], windows.test.anchors)
        return replace(windows, test=replace(windows.test, x=x))

    monkeypatch.setattr(folds, "make_windows", late)
    assert leaks(walk_checks()) == {"lstm", "bands", "signals", "positions"}


def test_progress_covers_all_folds_of_a_walk():
    walk, config = plan()
    told = []
    workflow.leak_check_walk(walk, config, progress=told.append)
    assert told == sorted(told) and told[-1] == workflow.folds_to_walk(walk)
