"""The package as a library: from a DataFrame to results, runs read back, and what each name is."""

import json

import numpy as np
import pandas as pd
import pytest
from walks import random_walk, small_config

import trendlstm as tl
from trendlstm.data.prices import PriceSet
from trendlstm.errors import DataError, OptionError, RunError

CONFIG = tl.TrainConfig(
    data=tl.DataConfig("WALK"),
    window=tl.WindowConfig(lag=4, features=("Close", "Momentum"), horizon=2),
    network=tl.NetworkConfig(hidden_size=3, dense=()),
    fit=tl.FitConfig(epochs=3),
    seeds=2,
    threads=2,
)


@pytest.fixture(scope="module")
def prices():
    table = random_walk(240)
    return table.assign(Momentum=table["Close"] - table["Close"].shift(5).fillna(table["Close"]))


@pytest.fixture(scope="module")
def result(prices):
    return tl.train(prices, CONFIG)


def test_one_call_from_a_table_to_what_the_command_writes(result, prices, tmp_path):
    assert result.status == "finished" and result.prices.provenance.source == "frame"
    assert result.config.network.input_size == 2 and result.config.network.output_size == 2
    assert list(result.forecast["step"]) == [1, 2]
    path = tl.save_run(result, tmp_path / "run")
    names = {file.name for file in path.iterdir()}
    assert names == {
        "model-0.safetensors",
        "model-1.safetensors",
        "run.json",
        "config.json",
        "README.md",
        "history.csv",
        "inputs.csv",
        "predictions.csv",
        "forecast.csv",
        "losses.png",
        "predictions.png",
    }
    document = json.loads((path / "run.json").read_text())
    assert document["provenance"]["ticker"] == "WALK" and document["provenance"]["rows"] == 240
    with pytest.raises(OptionError, match="exists already: choose another folder, or remove it first"):
        tl.save_run(result, path)


def test_a_run_read_back_forecasts_what_it_forecast(result, prices, tmp_path):
    run = tl.load_run(tl.save_run(result, tmp_path / "run"))
    assert repr(run) == f"Run('{tmp_path / 'run'}', WALK, 2 networks, finished)"
    assert run.config == result.config and len(run.networks) == 2
    pd.testing.assert_frame_equal(run.forecast(prices), result.forecast, check_exact=True)
    pd.testing.assert_frame_equal(
        run.predictions, result.assessment.predictions, check_dtype=False, rtol=1e-14
    )
    pd.testing.assert_frame_equal(run.metrics, result.metrics, check_exact=True)
    assert len(run.forecast(prices, days=1)) == 1
    with pytest.raises(OptionError, match="3 days are beyond this model's horizon of 2"):
        run.forecast(prices, days=3)
    with pytest.raises(DataError, match="looks back 4 sessions"):
        run.forecast(prices.iloc[:3])
    (tmp_path / "run" / "predictions.csv").unlink()
    with pytest.raises(RunError, match=r"predictions\.csv cannot be read"):
        _ = run.predictions


def test_an_input_that_the_prices_lack_is_named(result, prices, tmp_path):
    run = tl.load_run(tl.save_run(result, tmp_path / "run"))
    with pytest.raises(DataError, match="inputs are Close, Momentum, but these prices have no Momentum"):
        run.forecast(prices[["Close"]])


def changed(prices, column, value, row=-1):
    table = prices.copy()
    table.iloc[row, table.columns.get_loc(column)] = value
    return table


UNUSABLE = {
    "repeated": (
        lambda table: table.iloc[[*range(239), 238]],
        "dates of the prices must ascend without repeats",
    ),
    "descending": (lambda table: table[::-1], "dates of the prices must ascend without repeats"),
    "shuffled": (lambda table: table.sample(frac=1, random_state=0), "must ascend without repeats"),
    "not a number": (
        lambda table: changed(table, "Close", np.nan),
        "Close of 2015-12-04 is nan, but must be a",
    ),
    "negative": (lambda table: changed(table, "Close", -1.0), "Close of 2015-12-04 is -1.0, but must be a"),
    "zero": (lambda table: changed(table, "Close", 0.0, 100), "Close of 2015-05-25 is 0.0, but must be a"),
    "missing": (lambda table: changed(table.convert_dtypes(), "Close", pd.NA), "Close of 2015-12-04 is nan"),
    "input": (
        lambda table: changed(table, "Momentum", np.inf),
        "Momentum of 2015-12-04 is inf, but must be a",
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_prices_that_cannot_be_used_are_named_before_anything_is_said_of_them(
    result, prices, tmp_path, caplog, kind
):
    change, message = UNUSABLE[kind]
    bad = change(prices)
    run = tl.load_run(tl.save_run(result, tmp_path / "run"))
    given = PriceSet(bad, result.prices.provenance)
    walk = tl.BacktestConfig(window=CONFIG.window, network=CONFIG.network, test_years=0.1)
    uses = (
        lambda: tl.train(bad, CONFIG),
        lambda: run.forecast(bad),
        lambda: run.forecast_later(given),
        lambda: tl.backtest({"WALK": bad}, walk),
    )
    for use in uses:
        with pytest.raises(DataError, match=message):
            use()
    assert caplog.messages == []


def test_a_table_that_cannot_be_used_is_one_failure_of_a_backtest(prices):
    config = tl.BacktestConfig(
        window=tl.WindowConfig(lag=4),
        network=CONFIG.network,
        fit=CONFIG.fit,
        seeds=1,
        test_years=0.1,
    )
    found = tl.backtest({"WALK": prices, "BAD": changed(prices, "Close", np.nan)}, config)
    assert list(found.walks) == ["WALK"] and found.failures["BAD"].startswith("Close of 2015-12-04 is nan")


@pytest.mark.parametrize("days", [0, -1, 2.5, "3", True])
def test_days_are_a_whole_number(result, prices, tmp_path, days):
    run = tl.load_run(tl.save_run(result, tmp_path / "run"))
    with pytest.raises(OptionError, match=f"days must be a whole number of 1 or more, but is {days!r}"):
        run.forecast(prices, days=days)
    assert len(run.forecast(prices, days=np.int64(2))) == 2


def test_settings_of_another_kind_are_refused_in_words(prices):
    with pytest.raises(OptionError, match=r"config must be a TrainConfig, .*, but is a FitConfig"):
        tl.train(prices, tl.FitConfig(epochs=1))


def test_load_says_which_function_reads_a_run(result, tmp_path):
    path = tl.save_run(result, tmp_path / "run")
    with pytest.raises(RunError, match=r"is a folder: .*trendlstm\.load_run"):
        tl.load(path)
    assert tl.load(path / "model-0.safetensors").num_params == result.forecaster.networks[0].num_params


def test_loaded_prices_keep_their_provenance_until_they_are_changed():
    prices = tl.load_prices("MSFT", years=1, source="sample")
    small = small_config(lag=4)
    assert tl.train(prices, small).prices.provenance.to_dict() == prices.attrs["provenance"]
    assert tl.train(prices * 2, small).prices.provenance.source == "frame"


def test_sizes_of_the_network_come_from_the_windows():
    for wrong in ({"input_size": 2}, {"output_size": 3}, {"lag": 5}):
        (name,) = wrong
        with pytest.raises(OptionError, match=f"network's {name} is .* leave it out"):
            tl.TrainConfig(network=tl.NetworkConfig(**wrong))


def test_everything_public_is_there_and_documented():
    for name in tl.__all__:
        assert getattr(tl, name).__doc__
    for name in tl.evaluation.__all__:
        assert getattr(tl.evaluation, name).__doc__
    walk = random_walk(60)["Close"].to_numpy()
    steps = tl.evaluation.evaluate(walk[:-1], walk[1:, None], walk[:-1, None])
    assert steps[0].skill == 0 and np.isclose(steps[0].rmse, tl.evaluation.rmse(walk[1:], walk[:-1]))
