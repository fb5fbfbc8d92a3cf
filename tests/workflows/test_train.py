"""The main job without the command line: what is trained on what, what is measured, and what may be claimed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated_returns import PROCESSES
from walks import prepared, random_walk, small_config, trained

import trendlstm as tl
from trendlstm.config import BacktestConfig, DataConfig, NetworkConfig, TrainConfig
from trendlstm.data.windows import Scaler, all_samples, make_windows
from trendlstm.errors import OptionError
from trendlstm.evaluation.baselines import BASELINES
from trendlstm.evaluation.evidence import claims_evidence, verdict
from trendlstm.evaluation.metrics import evaluate, rmse, wilson_interval
from trendlstm.nn.training import train as train_jobs
from trendlstm.workflows import train as pipeline
from trendlstm.workflows.forecast import Forecaster

SETTINGS = [
    {},
    {"seeds": 2, "cell": "rnn", "scaling": "standard"},
    {"horizon": 3, "features": ("Close", "Volume"), "cell": "lstm1997"},
    {"scaling": "none", "cell": "ann", "horizon": 2},
]


def weights(networks):
    return b"".join(tensor.tobytes() for network in networks for tensor in network.state_dict().values())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_networks_are_those_that_the_public_functions_train(settings):
    result = trained(**settings)
    config = result.config
    windows = make_windows(random_walk(), *vars(config.window).values())
    for k, network in enumerate(result.forecaster.networks):
        same = tl.Network.from_config(replace(config.network, seed=config.network.seed + k))
        history = same.fit(
            windows.train.x,
            windows.train.y,
            validation=(windows.validation.x, windows.validation.y),
            epochs=4,
            learning_rate=0.01,
        )
        assert weights([same]) == weights([network])
        np.testing.assert_array_equal(history.validation_loss, result.histories[k].validation_loss)
    assert result.forecaster.learned_until == f"{windows.dates[windows.train_rows - 1]:%Y-%m-%d}"
    assert result.forecaster.scaler == Scaler.fit(
        windows.prices[: windows.train_rows], config.window.features, config.window.scaling
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_predictions_table_says_what_was_predicted_for_which_day(settings):
    result = trained(**settings)
    table, windows, horizon = result.assessment.predictions, result.windows, result.windows.horizon
    assert list(table.columns) == ["origin", "date", "step", "actual", "prediction", "recursive", "split"]
    close = windows.prices["Close"]
    np.testing.assert_array_equal(table["actual"], close[table["date"]])
    rows = {date: row for row, date in enumerate(windows.dates)}
    steps = table["date"].map(rows) - table["origin"].map(rows)
    np.testing.assert_array_equal(steps, table["step"])
    for split in windows.splits:
        part = table[table["split"] == split.name]
        predicted = result.forecaster.predict(split.x, split.anchors)
        np.testing.assert_array_equal(part["prediction"].to_numpy().reshape(-1, horizon), predicted)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_figure_is_of_the_ensemble_beside_all_baselines(settings):
    result = trained(**settings)
    for split in result.windows.splits:
        models = result.assessment.metrics[split.name]
        assert list(models) == ["model", "persistence", "drift", "ridge"]
        predicted = result.forecaster.predict(split.x, split.anchors)
        assert models["model"] == evaluate(split.anchors, split.actual, predicted)
        for name, baseline in BASELINES.items():
            assert models[name] == evaluate(split.anchors, split.actual, baseline(result.windows)[split.name])
        if result.config.seeds > 1:
            singles = [one.predict(split.x, split.anchors) for one in result.forecaster.single()]
            errors = [rmse(split.actual[:, 0], single[:, 0]) for single in singles]
            assert result.assessment.spread[split.name] == pytest.approx(np.std(errors, ddof=1), rel=1e-12)
    rows = [
        {"split": split, "model": name, **step.row()}
        for split, models in result.assessment.metrics.items()
        for name, steps in models.items()
        for step in steps
    ]
    pd.testing.assert_frame_equal(result.metrics, pd.DataFrame(rows))
    assert bool(result.assessment.spread) == (result.config.seeds > 1)
    first, drift = (result.assessment.metrics["test"][name][0] for name in ("model", "drift"))
    assert result.assessment.verdict == verdict(first, drift)
    assert result.assessment.evidence == claims_evidence(first, drift)


def test_the_recursive_forecast_is_measured_beside_a_flat_line():
    result = trained().assessment
    table = result.predictions
    train, test = (table[table["split"] == name] for name in ("train", "test"))
    last_close = train["actual"].iloc[-1]
    for name, line in (("recursive", test["recursive"]), ("flat", np.full(len(test), last_close))):
        errors = line - test["actual"]
        found = result.recursive_metrics[name]
        assert found.n == len(test)
        assert found.rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-12)
        assert found.mae == pytest.approx(np.mean(np.abs(errors)), rel=1e-12)
        assert found.mape == pytest.approx(100 * np.mean(np.abs(errors) / test["actual"]), rel=1e-12)
        flat = np.sqrt(np.mean((last_close - test["actual"]) ** 2))
        assert found.skill == pytest.approx(1 - found.rmse / flat, abs=1e-12)
    assert trained(horizon=2).assessment.recursive_metrics == {}


def test_final_fit_trains_anew_on_all_rows_for_the_chosen_epochs():
    result = trained(seeds=2, final_fit=True, epochs=12, learning_rate=0.05, horizon=2)
    chosen = [history.best_epoch for history in result.histories]
    assert min(chosen) < 12  # else a fixed number of epochs would pass
    prices, window = result.windows.prices, result.config.window
    scaler = Scaler.fit(prices, window.features, window.scaling)
    assert result.final.scaler == scaler != result.forecaster.scaler
    origins = np.arange(window.lag - 1, len(prices) - window.horizon)
    close = prices["Close"].to_numpy()
    x = scaler.inputs(np.stack([close[t - 3 : t + 1] for t in origins])[:, :, None], close[origins])
    y = scaler.targets(np.stack([close[t + 1 : t + 3] for t in origins]), close[origins])
    for k, network in enumerate(result.final.networks):
        same = tl.Network.from_config(replace(result.config.network, seed=k))
        same.fit(x, y, epochs=chosen[k], learning_rate=0.05)
        assert weights([same]) == weights([network])
    assert result.final.learned_until == f"{prices.index[-1]:%Y-%m-%d}"
    # the figures stay those of the evaluated model, the forecast is the final one's
    test = result.windows.test
    predicted = result.forecaster.predict(test.x, test.anchors)
    assert result.assessment.metrics["test"]["model"] == evaluate(test.anchors, test.actual, predicted)
    x, anchor = scaler.inputs(close[None, -4:, None], close[-1:]), close[-1:]
    np.testing.assert_array_equal(result.forecast["price"], result.final.predict(x, anchor)[0])


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_final_fit_repeats_the_rates_of_the_chosen_epochs(schedule):
    """A shorter cosine would fall to 0, and without validation a plateau would be another."""
    settings = {"plateau_patience": 1, "schedule_factor": 0.7} if schedule == "plateau" else {}
    options = {"epochs": 40, "learning_rate": 0.01, "schedule": schedule, "warmup": 1} | settings
    networks = pipeline.fit_networks(prepared(seeds=2, seed=1, **options))
    final = pipeline.fit_on_all_rows(networks)
    config, windows = networks.prepared.config, networks.prepared.windows
    scaler, x, y = all_samples(windows.prices, 4, 1, ("Close",), "window")
    assert scaler == final.scaler
    same, shorter = (
        [tl.Network.from_config(replace(config.network, seed=1 + k)) for k in (0, 1)] for _ in "ab"
    )
    for k, history in enumerate(networks.histories):
        rates = history.learning_rate[: history.best_epoch]
        assert len(rates) < 40
        train_jobs([same[k].fit_job(x, y, config.fit, repeated=rates)])
        shorter[k].fit(x, y, **{**options, "epochs": max(2, len(rates))})
    assert weights(same) == weights(final.networks) != weights(shorter)


def test_progress_of_a_final_fit_runs_over_all_networks():
    networks = pipeline.fit_networks(prepared(seeds=3))
    told = []
    pipeline.fit_on_all_rows(networks, told.append)
    epochs = [progress.epoch for progress in told]
    total = sum(history.best_epoch for history in networks.histories)
    assert epochs == sorted(epochs) and epochs[-1] == total and {one.epochs for one in told} == {total}


def test_forecast_covers_the_next_sessions_of_the_exchange():
    prices = random_walk(240)
    assert f"{prices.index[-1]:%Y-%m-%d %a}" == "2015-12-04 Fri"
    result = trained(prices)
    assert [f"{date:%m-%d}" for date in result.forecast["date"][:2]] == ["12-07", "12-08"]
    assert len(result.forecast) == 10
    assert len(trained(prices, horizon=3).forecast) == 3
    every_day = replace(small_config(), data=DataConfig("WALK", calendar="24/7"))
    result = pipeline.train(prices, every_day)
    assert [f"{date:%m-%d}" for date in result.forecast["date"][:2]] == ["12-05", "12-06"]


def test_threads_change_nothing():
    one, four = (replace(small_config(seeds=2), threads=threads) for threads in (1, 4))
    forecasts = []
    for config in (one, four):
        result = pipeline.train(random_walk(), config)
        assert result.forecaster.n_threads == config.threads
        forecasts.append(result.forecast)
    pd.testing.assert_frame_equal(*forecasts, check_exact=True)


def claims(network, windows):
    test = windows.test
    forecaster = Forecaster((network,), windows.scaler, windows.lag, windows.horizon, "")
    predicted = forecaster.predict(test.x, test.anchors), BASELINES["drift"](windows)["test"]
    return claims_evidence(*(evaluate(test.anchors, test.actual, one)[0] for one in predicted))


def test_the_rule_hardly_ever_claims_evidence_where_nothing_can_be_known():
    """400 series of 4 years, each with a network of its own, trained as `train` does it.

    Their returns are normal, GARCH-t, gain 0.1 % a day, or jump; none can be forecast but by a drift, so that every
    claim is false. The rule's level is 5 %; a rate of 5 % or less in these 400 (their seeds are fixed) is what is
    asserted, and the interval shows how sure that makes one.
    """
    epochs, random = 10, np.random.default_rng(2008)
    windows = []
    for process in ("normal", "GARCH-t", "drift", "jumps"):
        for returns in PROCESSES[process](random, 100, 1008):
            dates = pd.bdate_range("2015-01-05", periods=1008)
            windows.append(
                make_windows(pd.DataFrame({"Close": 50 * np.exp(np.cumsum(returns))}, dates), lag=5)
            )
    networks = [tl.Network(1, 8, (8,), seed=seed) for seed in range(len(windows))]
    histories = tl.fit_many(
        networks,
        [one.train.x for one in windows],
        [one.train.y for one in windows],
        validation=[(one.validation.x, one.validation.y) for one in windows],
        epochs=epochs,
        learning_rate=0.01,
    )
    assert np.mean([history.loss[-1] < history.loss[0] for history in histories]) > 0.9  # they did train
    claimed = sum(map(claims, networks, windows))
    low, high = wilson_interval(claimed, len(windows))
    print(f"evidence claimed on {claimed} of {len(windows)} series ({low:.1%} to {high:.1%})")
    assert claimed <= 0.05 * len(windows)


def test_the_rule_claims_evidence_where_the_network_can_find_some():
    prices = random_walk(1008, seed=5)
    returns = np.random.default_rng(5).normal(0, 0.015, 1008)
    for t in range(1, len(returns)):
        returns[t] += 0.7 * returns[t - 1]
    prices["Close"] = 50 * np.exp(np.cumsum(returns))
    result = trained(prices, epochs=20)
    assert result.assessment.verdict.startswith(
        "There is evidence that the model knows more than persistence"
    )
    assert result.assessment.evidence


# ---------------------------------------------------------------------------------------- predicted distributions


@pytest.mark.parametrize("scaling", ["window", "standard"])
@pytest.mark.parametrize(
    "loss", [{"loss": "gaussian"}, {"loss": "pinball", "quantiles": (0.05, 0.3, 0.5, 0.9)}]
)
def test_distributions_are_measured_on_the_test_rows_beside_the_changes_of_the_training_rows(loss, scaling):
    result = trained(horizon=2, scaling=scaling, **loss)
    windows, table = result.windows, result.assessment.predictions
    inner = ["q0.3"] if loss["loss"] == "pinball" else []
    assert list(table.columns)[-2 - len(inner) :] == ["low", "high", *inner]
    for name in inner:
        assert ((table["low"] < table[name]) & (table[name] < table["prediction"])).all()
    close, learned = windows.close, windows.close[: windows.train_rows]
    for step, found in enumerate(result.assessment.distributions, start=1):
        test = table[(table["split"] == "test") & (table["step"] == step)]
        held = (test["low"] <= test["actual"]) & (test["actual"] <= test["high"])
        assert (found.bands[0].covered, found.bands[0].counted) == (held.sum(), len(test))
        assert result.assessment.bands[step - 1] == found.bands[0]

        def changes(rows, step=step):
            later, before = rows[step:], rows[:-step]
            return np.log(later / before) if scaling == "window" else later / before - 1

        # every training window's origin has `lag` rows before it and `horizon` after it
        past = changes(learned[windows.lag - 1 :][: len(learned) - windows.lag - 1 + step])
        actual = changes(close)[windows.test.origins]
        usual = np.quantile(past, found.levels)
        error = actual[:, None] - usual
        level = np.array(found.levels)
        expected = np.maximum(level * error, (level - 1) * error).mean(axis=0)
        np.testing.assert_allclose(found.baseline_pinball, expected, rtol=1e-9)
        assert found.is_exact == (loss["loss"] == "gaussian")
        if not found.is_exact:
            assert found.baseline_crps == pytest.approx(2 * expected.mean())
            assert found.crps == pytest.approx(2 * np.mean(found.pinball))
            assert found.bands[1].nominal == pytest.approx(0.5 - 0.3)


def test_a_number_has_no_distribution():
    result = trained(loss="huber")
    assert result.assessment.distributions == []
    assert "low" not in result.assessment.predictions


@pytest.mark.parametrize("settings", [TrainConfig, BacktestConfig])
def test_prices_are_no_classes(settings):
    with pytest.raises(OptionError) as raised:
        settings(network=NetworkConfig(loss="cross-entropy", classes=2))
    assert str(raised.value) == (
        "loss 'cross-entropy' is for classes, and prices are none: use one of mse, mae, huber, pinball, gaussian."
    )


@pytest.mark.parametrize("quantiles", [(0.1, 0.9), (0.5,), (0.5, 0.9), (0.1, 0.5)])
def test_quantiles_of_prices_need_a_forecast_and_a_band(quantiles):
    with pytest.raises(OptionError, match=r"^quantiles of prices must have 0\.5 among them"):
        small_config(loss="pinball", quantiles=quantiles)
