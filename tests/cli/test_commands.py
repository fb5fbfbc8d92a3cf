"""The command line as a user meets it: what is said, where, with which exit code, and what is left on disk."""

import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from unittest.mock import Mock

import click
import numpy as np
import pandas as pd
import pytest
from command_line import error_of, run
from walks import random_walk, trained
from yahoo_server import redirect_yfinance, serve

from trendlstm import cli
from trendlstm.cli import common
from trendlstm.config import SCALINGS, DataConfig, FitConfig, NetworkConfig, TrainConfig
from trendlstm.data import cache as price_cache
from trendlstm.data import calendar as calendars
from trendlstm.data import sources, yahoo
from trendlstm.data.windows import Scaler, make_windows
from trendlstm.evaluation.trading import holding_days
from trendlstm.output import train as report
from trendlstm.output.console import Console
from trendlstm.presets import PRESETS
from trendlstm.workflows import train as pipeline

ROOT = Path(__file__).parents[2]
SMALL = "--hidden 3 --dense none --lag 4 --epochs 3 --threads 2"
SAMPLE = f"MSFT --source sample --years 1 {SMALL}"
DASH = "–"
UNFINISHED = {
    "model.safetensors",
    "run.json",
    "config.json",
    "README.md",
    "history.csv",
    "inputs.csv",
}  # what such a run has


def write_csv(path, rows=160, scale=1.0, **walk):
    prices = random_walk(rows, **walk)
    prices[["Open", "High", "Low", "Close"]] *= scale
    prices.to_csv(path)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of every kind, by name."""
    folder = tmp_path_factory.mktemp("runs")
    csv = write_csv(folder / "walk.csv", rows=400)
    made = {
        "plain": f"train {SAMPLE}",
        "direct": f"train AAPL --source sample --years 1 --features close,volume --horizon 5 {SMALL}",
        "ensemble": f"train {SAMPLE} --seeds 3 --final-fit --cell rnn --scaling standard",
        "csv": f"train --csv {os.path.relpath(csv)} {SMALL} --cell ann --scaling none",
    }
    return {name: (folder / name, run(f"{command} --out {folder / name}")) for name, command in made.items()}


# ---------------------------------------------------------------------------------------------- trendlstm train


def test_layers_and_dropout_are_in_all_that_is_shown_and_kept(tmp_path):
    settings = "--cell gru --hidden 4,3 --dropout 0.2 --recurrent-dropout 0.1 --epochs 2 --lag 4 --dense none"
    shown = run(f"train MSFT --source sample --years 1 {settings} --no-plot --out {tmp_path / 'run'}").stdout
    for line in (
        "recurrent.0 (GRU)   (None, 4)           84",
        "recurrent.1 (GRU)   (None, 3)           81",
    ):
        assert line in shown
    network = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["network"]
    assert (network["cell"], network["hidden_size"], network["layers"]) == ("gru", [4, 3], 2)
    assert (network["dropout"], network["recurrent_dropout"]) == (0.2, 0.1)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "| Cell | gru, layers of 4 and 3 hidden units, dropout 0.2, recurrent dropout 0.1 |" in card
    assert run(f"forecast {tmp_path / 'run'} --days 1").exit_code == 0


def settings_of(options, folder):
    """What a run of one epoch was made with, and what it said."""
    shown = run(
        f"train MSFT --source sample --years 2 --epochs 1 --no-plot --threads 2 {options} --out {folder}"
    ).stdout
    return TrainConfig.from_dict(json.loads((folder / "run.json").read_text())["settings"]), shown


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_the_settings_of_its_model_and_what_is_given_beside_it_wins(name, tmp_path):
    config, shown = settings_of(f"--preset {name} --seed 3", tmp_path / "whole")
    description, preset = PRESETS[name]
    assert config.window == preset.window
    assert config.network == dataclasses.replace(preset.network, seed=3)
    assert config.fit == dataclasses.replace(preset.fit, epochs=1)
    assert f"Preset {name}: {description}. Changed by your options: --epochs." in shown
    assert json.loads((tmp_path / "whole" / "run.json").read_text())["verdict"] in shown
    own, shown = settings_of(f"--lag 5 --hidden 4,3 --preset {name} --cell gru", tmp_path / "own")
    assert (own.window, own.network.hidden_sizes) == (dataclasses.replace(preset.window, lag=5), (4, 3))
    assert own.network.cell == "gru" and own.network.dense == preset.network.dense
    changed = set(shown.partition("Changed by your options: ")[2].partition(".")[0].split(", "))
    assert changed == {"--lag", "--hidden", "--cell", "--epochs"}


def test_the_main_job_shows_the_reference_model_and_writes_its_run(tmp_path):
    out = tmp_path / "run"
    shown = run(
        f"train MSFT --source sample --years 4 --lag 3 --scaling none --epochs 100 --out {out}"
    ).stdout
    for line in (
        "recurrent (LSTM)   (None, 64)      16,896",
        "dense.0 (Dense)    (None, 32)       2,080",
        "dense.1 (Dense)    (None, 32)       1,056",
        "dense.2 (Dense)    (None, 1)           33",
        "Total params: 20,065 (78.38 KB)",
    ):
        assert line in shown
    assert {path.name for path in out.iterdir()} == {
        "model.safetensors",
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
    for picture in ("losses.png", "predictions.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    document = json.loads((out / "run.json").read_text())
    assert document["status"] == "finished" and document["parameters"] == 20_065
    assert document["settings"]["data"] == {
        "ticker": "MSFT",
        "years": 4,
        "source": "sample",
        "csv": None,
        "calendar": None,
        "start": None,
        "end": None,
        "decimal": None,
        "date_format": None,
    }
    assert document["provenance"]["start"] == "2009-03-02" and len(document["provenance"]["sha256"]) == 64
    assert len(pd.read_csv(out / "history.csv")) == 100
    assert list(tmp_path.iterdir()) == [out]  # nothing else is left


def test_only_unscaled_adjusted_prices_look_ahead(tmp_path):
    """Their level knows later splits and dividends; every other scaling is the same for all multiples of it."""
    command = f"train {SAMPLE} --no-plot --epochs 1"
    for scaling in SCALINGS:
        shown = run(f"{command} --scaling {scaling} --out {tmp_path / scaling}").stdout
        assert ("Adjusted prices look ahead" in shown) == (scaling == "none")
        prices = random_walk()
        one, half = (
            make_windows(factor * prices[["Close"]], lag=4, scaling=scaling) for factor in (1.0, 0.5)
        )
        assert np.allclose(one.test.x, half.test.x) == (scaling != "none")
    csv = write_csv(tmp_path / "raw.csv")
    assert (
        "look ahead"
        not in run(f"train --csv {csv} {SMALL} --no-plot --scaling none --out {tmp_path / 'raw'}").stdout
    )


@pytest.mark.parametrize("name", ["plain", "direct", "ensemble", "csv"])
def test_what_train_prints(runs, name):
    folder, result = runs[name]
    document = json.loads((folder / "run.json").read_text())
    shown = result.stdout
    provenance = document["provenance"]
    assert shown.startswith(
        f"{provenance['ticker']}: {provenance['rows']} sessions, {provenance['start']} to "
    )
    assert f"Total params: {document['parameters']:,}" in shown
    said = (document["verdict"], document["tries"])
    tables = [line for line in shown.splitlines()[1:] if line not in said]
    assert max(map(len, tables)) <= 125 and len(document["verdict"]) < 400
    assert f"\n{document['verdict']}\n" in shown and f"The run is in {folder}." in shown
    cell = document["settings"]["network"]["cell"]
    names = [line.split() for line in shown.splitlines()]
    for forecaster in (cell, "persistence", "drift", "ridge"):
        assert sum(forecaster in words for words in names) >= 3
    for split in ("train", "validation", "test"):
        measured = document["metrics"][split]["model"][0]
        (line,) = (words for words in names if words[:1] == [split] and cell in words)
        assert float(line[line.index(cell) + 1].replace(",", "")) == pytest.approx(measured["rmse"], rel=1e-3)
        assert f"{measured['skill']:+.3f}" in line
        value = measured["correlation"]["value"]
        assert line[-2] == (DASH if value is None else f"{value:+.2f}")
    assert "in-sample" in shown and "used for" in shown and "selection" in shown
    is_direct = name == "direct"
    assert ("There is no recursive forecast" in shown) == is_direct
    assert ("Fed with its own forecasts alone since" in shown) == (not is_direct)
    for label, line in (
        {} if is_direct else {"recursive forecast": "recursive", "flat line": "flat"}
    ).items():
        error = re.search(rf"{label} +([\d,.]+)", shown)[1].replace(",", "")
        assert float(error) == pytest.approx(document["recursive"][line]["rmse"], rel=1e-3)
    assert document["evidence"] is False and "; no evidence of skill: see above\n" in shown
    forecast = pd.read_csv(folder / "forecast.csv")
    forecast = forecast[forecast["split"] == "future"]
    assert len(forecast) == (5 if is_direct else 10)
    for row in forecast.itertuples():
        assert re.search(rf"{row.date}\s+{row.predicted:,.3f}\s+{row.direction}\s", shown)
    until, rows = document["learned_until"], document["rows"]
    if name == "ensemble":
        assert f"the final fit on all rows, until {until}, for the epochs that validation chose" in shown
    else:
        days = sorted(set(pd.read_csv(folder / "predictions.csv")["date"]))
        assert days[-rows["test"] - rows["validation"] - 1] == until
        validated = days[-rows["test"] - 1]
        assert (
            f"By the evaluated model: trained until {until}, epoch chosen on prices until {validated}"
            in shown
        )
    assert ("the interval counts one k-th of the days" in shown) == is_direct
    bands = document["forecast_bands"]
    assert (bands["nominal"], len(bands["steps"])) == (
        0.8,
        {"plain": 5, "direct": 5, "ensemble": 5, "csv": 8}[name],
    )
    for band in (bands["steps"][0], bands["steps"][min(len(forecast), len(bands["steps"])) - 1]):
        low, high = (round(100 * band[end]) for end in ("low", "high"))
        assert f" {100 * band['coverage']:.1f} % [{low}, {high}] {band['step']} session" in shown
    assert ("±" in shown) == (name == "ensemble")
    alpha = document["ridge_alpha"]
    chosen = alpha if alpha == "infinity" else f"{alpha:.3g}"
    assert f"Ridge: of the penalties 0.001 to 1e+08 and infinity validation chose {chosen}" in shown


def test_a_fallback_or_the_age_of_prices_is_said_on_stderr_and_recorded(runs):
    folder, result = runs["plain"]
    (notice,) = json.loads((folder / "run.json").read_text())["provenance"]["notices"]
    assert "packaged sample prices of MSFT" in notice and f"Warning: {notice}\n" in result.stderr
    assert notice not in result.stdout


def test_json_is_one_object_on_stdout_and_the_rest_on_stderr(tmp_path):
    loud = run(f"train {SAMPLE} --no-plot --json --out {tmp_path / 'loud'}")
    document = json.loads(loud.stdout)
    assert document.pop("run") == str(tmp_path / "loud")
    assert document == json.loads((tmp_path / "loud" / "run.json").read_text())
    assert "Total params" in loud.stderr and document["verdict"] in loud.stderr
    assert not list((tmp_path / "loud").glob("*.png"))
    quiet = run(f"train {SAMPLE} --no-plot --json --quiet --out {tmp_path / 'quiet'}")
    assert json.loads(quiet.stdout)["metrics"] == document["metrics"]
    assert all(line.startswith("Warning: ") for line in quiet.stderr.splitlines())


def test_the_default_folder_has_the_tickers_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(f"train msft --source sample --years 1 --no-plot {SMALL}")
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"MSFT-\d{8}-\d{6}", folder.name)


@pytest.mark.parametrize(
    ("file", "given", "ticker"),
    [("abc.csv", "", "ABC"), ("abc.csv", "IBM", "IBM"), ("my prices (2).csv", "", "CSV")],
)
def test_prices_of_a_file_go_by_its_name(tmp_path, file, given, ticker):
    write_csv(tmp_path / file)
    shown = run(
        f"train {given} --csv '{tmp_path / file}' --no-plot --json --out {tmp_path / 'run'} {SMALL}"
    ).stdout
    assert json.loads(shown)["settings"]["data"]["ticker"] == ticker


@pytest.mark.parametrize(
    ("scale", "price", "error"),
    [(0.0003, r"0\.0\d{5}", r"0\.000\d{4}"), (2000.0, r"\d{2,3},\d{3}\.\d\d", r"\d,\d{3}\.\d\d")],
)
def test_small_and_large_prices_show_all_that_matters_and_no_more(tmp_path, scale, price, error):
    csv = write_csv(tmp_path / "p.csv", rows=400, scale=scale)
    shown = run(f"train --csv {csv} --no-plot --out {tmp_path / 'run'} {SMALL}").stdout
    assert re.search(rf"^test +lstm +{error} ", shown, re.MULTILINE)
    assert re.search(
        rf"^... 2016-07-\d\d +{price}  (up|down) +{price} +{price} +{price}$", shown, re.MULTILINE
    )


def test_what_the_options_mean_is_what_is_trained():
    """Every option reaches the settings under its own name, and the defaults are those of the settings."""
    context = cli.main.commands["train"].make_context("train", [])
    defaults = {
        name: context.params.pop(name) for name in ("ticker", "preset", "out", "no_plot", "as_json", "quiet")
    }
    assert not any(defaults.values())
    config = common.train_config(None, context.params).to_dict()
    expected = TrainConfig().to_dict()
    expected["network"]["lag"] = expected["window"]["lag"]
    assert config == expected
    line = (
        "--years 2.5 --source cache --calendar XLON --lag 7 --horizon 2 --features volume,close --scaling minmax "
        "--split 0.5,0.25,0.25 --cell rnn --hidden 5 --layers 2 --dropout 0.3 --recurrent-dropout 0.4 "
        "--dense 6,7 --dtype float64 --no-bias --no-squash --init uniform "
        "--forget-bias 0 --seed 9 --epochs 11 --batch-size 12 --lr 0.5 --patience 3 --clip-norm 1.5 --weight-decay 0.1 "
        "--no-shuffle --seeds 4 --threads 2 --final-fit --device cpu --optimizer sgd --momentum 0.5 --schedule plateau "
        "--warmup 2 --plateau-patience 1 --schedule-factor 0.25 --quantiles 0.2,0.5,0.7"
    )
    context = cli.main.commands["train"].make_context("train", [*line.split(), "--end", "2020-01-31"])
    context.params.pop("ticker")
    assert common.train_config("ibm", context.params).to_dict() == {
        "data": {
            "ticker": "IBM",
            "years": 2.5,
            "source": "cache",
            "csv": None,
            "calendar": "XLON",
            "start": None,
            "end": "2020-01-31",
            "decimal": None,
            "date_format": None,
        },
        "window": {
            "lag": 7,
            "horizon": 2,
            "features": ["Volume", "Close"],
            "scaling": "minmax",
            "split": [0.5, 0.25, 0.25],
        },
        "network": {
            "input_size": 2,
            "hidden_size": 5,
            "dense": [6, 7],
            "output_size": 2,
            "cell": "rnn",
            "dtype": "float64",
            "seed": 9,
            "lag": 7,
            "bias": False,
            "squash_output": False,
            "init": "uniform",
            "forget_bias": 0,
            "layers": 2,
            "dropout": 0.3,
            "recurrent_dropout": 0.4,
            "loss": "pinball",
            "quantiles": [0.2, 0.5, 0.7],
            "huber_delta": 1.0,
            "classes": 0,
        },
        "fit": {
            "epochs": 11,
            "batch_size": 12,
            "learning_rate": 0.5,
            "patience": 3,
            "clip_norm": 1.5,
            "weight_decay": 0.1,
            "shuffle": False,
            "seed": None,
            "truncate": None,
            "optimizer": "sgd",
            "momentum": 0.5,
            "schedule": "plateau",
            "warmup": 2,
            "step_epochs": None,
            "plateau_patience": 1,
            "schedule_factor": 0.25,
        },
        "seeds": 4,
        "threads": 2,
        "final_fit": True,
        "device": "cpu",
    }
    given = shlex.split("--schedule step --step-epochs 4 --epochs 20")
    for command in ("train", "compare", "backtest"):
        options = {"cell": "lstm"} | cli.main.commands[command].make_context(command, list(given)).params
        options.pop("ticker", None)
        settings = (
            common.backtest_config(options) if command == "backtest" else common.train_config(None, options)
        )
        fit = settings.fit
        assert (fit.schedule, fit.step_epochs, fit.schedule_factor) == ("step", 4, 0.1)


# ------------------------------------------------------------------------------------------- trendlstm forecast


@pytest.mark.parametrize("name", ["plain", "direct", "ensemble", "csv"])
def test_forecast_repeats_what_its_run_forecast_to_the_bit(runs, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the CSV file was given relative to another folder
    folder, _ = runs[name]
    document = json.loads((folder / "run.json").read_text())
    told = json.loads(run(f"forecast {folder} --json").stdout)
    assert told["forecast"] == document["forecast"]
    assert told["learned_until"] == document["learned_until"]
    assert told["final_fit"] == (name == "ensemble") and told["status"] == "finished"
    shown = run(f"forecast {folder} --days 3").stdout
    ending = "for the epochs that validation chose." if name == "ensemble" else "chose its epoch."
    said = rf"^The model was trained on prices until {document['learned_until']}[,;] .*{re.escape(ending)}$"
    assert re.search(said, shown, re.MULTILINE)
    for row in document["forecast"][:3]:
        low = DASH if row["low"] is None else f"{row['low']:,.3f}"
        assert re.search(rf"{row['date']} +{row['price']:,.3f} +{row['direction']} +{low} ", shown)
    bands = document["forecast_bands"]["steps"]
    assert told["forecast_bands"] == document["forecast_bands"] | {
        "steps": bands[: len(document["forecast"])]
    }
    for band in (bands[0], bands[2]):
        assert f" {100 * band['coverage']:.1f} % [" in shown and f" {band['step']} session" in shown
    assert document["forecast"][3]["date"] not in shown


def test_forecast_goes_on_without_a_band_where_no_errors_were_measured(runs):
    folder, _ = runs["plain"]
    bands = json.loads((folder / "run.json").read_text())["forecast_bands"]["steps"]
    result = run(f"forecast {folder} --days 30")
    rows = [line for line in result.stdout.splitlines() if re.match(r"[A-Z][a-z]{2} 2013", line)]
    assert len(rows) == 30 and sum(DASH in row for row in rows) == 30 - len(bands) > 0
    assert (
        "it needs 20 errors that many sessions ahead before the test rows, and 5\nthat do not"
        in result.stdout
    )


def test_a_last_close_outside_the_band_of_its_forecast_gets_a_warning(runs):
    """The run of raw prices has hardly been trained, and forecasts far too low."""
    warning = r"^Warning: The last close lies outside the band of (\d) of (\d+) sessions, the first (....-..-..): by "
    for name, is_warned in (("plain", False), ("csv", True)):
        folder, trained = runs[name]
        rows = pd.read_csv(folder / "forecast.csv").query("split == 'future'")
        outside = rows[(rows["naive"] < rows["low"]) | (rows["high"] < rows["naive"])]
        assert len(outside) > 0 if is_warned else outside.empty
        for stderr in (trained.stderr, run(f"forecast {folder}").stderr):
            found = re.findall(warning, stderr, re.MULTILINE)
            expected = [(str(len(outside)), "10", outside["date"].iloc[0])] if is_warned else []
            assert found == expected


@pytest.mark.parametrize(
    ("options", "network"),
    [
        ("", {}),
        (
            "--cell gru --hidden 6,4 --dropout 0.1 --recurrent-dropout 0.2",
            {"cell": "gru", "hidden_size": (6, 4), "dropout": 0.1, "recurrent_dropout": 0.2},
        ),
    ],
)
def test_a_ticker_is_trained_and_forecast_in_one_command(options, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(f"forecast msft --source sample --days 3 --json {options}")
    told = json.loads(result.stdout)
    folder = Path(told["run"])
    assert folder.parent == Path("runs") and folder.name.startswith("MSFT-")
    table = pd.read_csv(folder / "forecast.csv")
    assert list(table.columns[:4]) == ["date", "actual", "predicted", "split"]
    assert table["split"].unique().tolist() == ["train", "validation", "test", "future"]
    future = table[table["split"] == "future"]
    assert future["actual"].isna().all() and table["actual"].notna().sum() == len(table) - 3
    assert future["predicted"].tolist() == [row["price"] for row in told["forecast"]]
    document = json.loads((folder / "run.json").read_text())
    expected = TrainConfig(data=DataConfig("MSFT", source="sample"), network=NetworkConfig(**network))
    assert document["settings"] == expected.to_dict()
    assert document["verdict"] in result.stderr and "  Close  Direction  " in result.stderr
    assert f"{folder}/forecast.csv has the forecast" in result.stderr
    again = run(f"forecast {folder} --days 3 --out again.csv")
    assert json.loads(run(f"forecast {folder} --days 3 --json").stdout)["forecast"] == told["forecast"]
    pd.testing.assert_frame_equal(pd.read_csv("again.csv"), table, check_exact=True)
    assert again.stdout.endswith("again.csv has the forecast and the predictions of the past sessions.\n")


@pytest.mark.parametrize("name", ["plain", "direct", "ensemble", "csv"])
def test_a_forecast_with_its_past_says_what_the_model_had_seen(runs, name, tmp_path):
    folder, _ = runs[name]
    document = json.loads((folder / "run.json").read_text())
    run(f"forecast {folder} --out {tmp_path / 'all.csv'}")
    table = pd.read_csv(tmp_path / "all.csv")
    kept = pd.read_csv(folder / "forecast.csv")
    if name == "ensemble":  # its forecasts come from a fit on all rows
        assert table["split"].unique().tolist() == ["train", "future"]
    else:
        pd.testing.assert_frame_equal(table, kept, check_exact=True)
    if name == "csv":
        later = write_csv(tmp_path / "walk.csv", rows=430)
        run(f"forecast {folder} --csv {later} --out {tmp_path / 'later.csv'}")
        longer = pd.read_csv(tmp_path / "later.csv")
        new = longer[longer["split"] == "new"]
        assert len(new) == 30 and new["date"].min() > document["provenance"]["end"]
        past = kept[kept["split"] != "future"]
        pd.testing.assert_frame_equal(longer[: len(past)], past, check_exact=True)
        assert not np.isclose(new["predicted"], new["actual"]).any()


def test_a_folder_that_goes_before_a_ticker_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "IBM").mkdir()
    (tmp_path / "IBM" / "run.json").write_text("{}")
    message = error_of("forecast IBM --source sample", 1)
    assert message.startswith("IBM/run.json is damaged")
    assert message.endswith("If the ticker IBM is meant, forecast it in another folder.")
    assert "goes before a ticker of the same name" in " ".join(run("forecast --help").stdout.split())
    (tmp_path / "IBM" / "run.json").rename(tmp_path / "IBM" / "compare.json")
    assert error_of("forecast IBM --source sample", 1).startswith(
        "IBM is a comparison, which keeps no model: "
    )
    assert "ticker" not in error_of("forecast IBM/ --source sample", 1)


def test_what_is_neither_a_run_nor_a_ticker_with_prices_is_told_as_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = error_of("forecast nosuch --source sample", 1)
    assert (
        message.startswith("There is no run nosuch, so it was taken for a ticker. ") and "NOSUCH" in message
    )
    assert "is not a run's folder" in error_of("forecast runs/nosuch", 1)
    (tmp_path / "old_run!").mkdir()
    assert "run.json cannot be read" in error_of("forecast old_run!", 1)
    assert error_of("forecast ''", 2) == "TICKER|RUN is empty: give a ticker, or the folder of a run."
    assert "gone/x.csv is in a folder that does not exist" in error_of("forecast MSFT --out gone/x.csv", 2)
    workbook = error_of("forecast MSFT --source sample --out out.xlsx", 2)
    assert workbook == "--out out.xlsx does not end in .csv: the forecast is written as CSV."
    (tmp_path / "mine.csv").write_text("mine")
    assert "mine.csv exists already" in error_of("forecast MSFT --source sample --out mine.csv", 2)
    assert {path.name for path in tmp_path.iterdir()} == {"old_run!", "mine.csv"}
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_forecast_of_other_prices(runs, tmp_path):
    csv = write_csv(tmp_path / "other.csv", rows=500, seed=4)
    told = json.loads(run(f"forecast {runs['plain'][0]} --csv {csv} --days 1 --json").stdout)
    assert (
        told["provenance"]["csv"] == str(csv) and told["forecast"][0]["origin"] == told["provenance"]["end"]
    )
    result = run(f"forecast {runs['csv'][0]} --csv {csv} --days 1")
    assert "may know what it forecasts" not in result.stderr
    old = write_csv(tmp_path / "old.csv", rows=50)
    assert "may know what it forecasts" in run(f"forecast {runs['csv'][0]} --csv {old} --days 1").stderr
    few = write_csv(tmp_path / "few.csv", rows=3)
    assert "looks back 4 sessions" in error_of(f"forecast {runs['csv'][0]} --csv {few}", 1)


def restated(csv, path, ratio, rows=400):
    """The prices of a file, divided by a ratio, as a source shows them after a split."""
    prices = pd.read_csv(csv, index_col="Date")[:rows]
    prices[["Open", "High", "Low", "Close"]] /= ratio
    prices["Volume"] *= ratio
    prices.to_csv(path)
    return path


@pytest.mark.parametrize("scaling", ["standard", "minmax", "none", "window"])
def test_after_a_split_the_forecast_is_that_of_the_same_prices_on_their_new_level(scaling, tmp_path):
    before = write_csv(tmp_path / "walk.csv", rows=430)
    trained_on = restated(before, tmp_path / "trained.csv", 1, rows=400)
    run(
        f"train --csv {trained_on} --features Open,Close --scaling {scaling} --out {tmp_path / 'run'} {SMALL} --no-plot"
    )
    after = restated(before, tmp_path / "split.csv", 4, rows=430)
    expected, found = (
        json.loads(run(f"forecast {tmp_path / 'run'} --csv {csv} --json --out {tmp_path / name}.csv").stdout)
        for name, csv in (("expected", before), ("found", after))
    )
    tables = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("expected", "found")]
    for column in ("actual", "predicted", "naive"):  # of the past sessions, too
        np.testing.assert_allclose(tables[1][column], tables[0][column] / 4, rtol=1e-6)
    for row, same in zip(found["forecast"], expected["forecast"], strict=True):
        for name in ("price", "low", "high", "naive"):
            assert row[name] == (pytest.approx(same[name] / 4, rel=1e-6) if same[name] else None)
    shown = run(f"forecast {tmp_path / 'run'} --csv {after}")
    assert not any(
        "restated" in line for line in run(f"forecast {tmp_path / 'run'} --csv {before}").output.splitlines()
    )
    assert ("the run's were 4 times as high on 396 common sessions." in shown.stdout) == (scaling != "window")
    assert (found["price_level"] or {}).get("ratio") == (None if scaling == "window" else pytest.approx(4))
    assert expected["price_level"] is None or expected["price_level"]["state"] == "same"


def test_prices_that_are_not_the_runs_own_are_named_where_a_level_matters(runs, tmp_path):
    folder, _ = runs["csv"]  # of prices themselves
    other = write_csv(tmp_path / "other.csv", rows=400, seed=4)
    assert (
        "Warning: These are not the prices that the run was trained on"
        in run(f"forecast {folder} --csv {other}").stderr
    )
    few = write_csv(tmp_path / "few.csv", rows=15)
    assert (
        "Warning: 11 sessions of these prices are among those that the run kept"
        in run(f"forecast {folder} --csv {few}").stderr
    )
    (shutil.copytree(folder, tmp_path / "run") / "predictions.csv").unlink()
    unknown = run(f"forecast {tmp_path / 'run'} --csv {other}").stderr
    assert "Warning: 0 sessions of these prices are among those that the run kept" in unknown
    (tmp_path / "run" / "predictions.csv").write_bytes(b"\xff\0")
    assert "predictions.csv is damaged" in error_of(f"forecast {tmp_path / 'run'} --csv {other}", 1)
    plain, _ = runs["plain"]  # of returns
    assert "trained on:" not in run(f"forecast {plain} --csv {other}").stderr


def test_predictions_cut_short_are_said_before_the_forecast(runs, tmp_path):
    folder = shutil.copytree(runs["plain"][0], tmp_path / "run")
    path = folder / "predictions.csv"
    lines = path.read_text().splitlines(keepends=True)
    for text in ("".join(lines[:100]), "".join(lines[:-1]), "".join(lines)[:-30], lines[0]):
        path.write_text(text)
        result = run(f"forecast {folder} --out {tmp_path / 'next.csv'}", expect=1)
        said = result.stderr.splitlines()[-1]
        assert result.stdout == "" and "Traceback" not in result.stderr
        assert said.startswith(f"Error: {path} is damaged") and said.endswith("train again.")
    assert [one.name for one in tmp_path.iterdir()] == ["run"]


def test_a_volume_that_a_split_may_have_restated_is_named(tmp_path):
    csv = write_csv(tmp_path / "walk.csv", rows=400)
    run(
        f"train --csv {csv} --features Close,Volume --scaling standard --out {tmp_path / 'run'} {SMALL} --no-plot"
    )
    assert "Volume" not in run(f"forecast {tmp_path / 'run'}").stderr
    split = restated(csv, tmp_path / "split.csv", 2)
    assert (
        "but Volume is given to the model as it stands"
        in run(f"forecast {tmp_path / 'run'} --csv {split}").stderr
    )


def test_forecast_of_other_prices_says_both_names(runs, tmp_path):
    other = write_csv(tmp_path / "other.csv", rows=500, seed=4)
    for name, ticker in (("plain", "MSFT"), ("csv", "WALK")):
        result = run(f"forecast {runs[name][0]} --csv {other} --days 1")
        assert (
            f"Forecast of OTHER by the model of {ticker}; no evidence of skill: see above\n" in result.stdout
        )
        assert result.stdout.startswith("OTHER: 500 sessions") and ticker not in result.stdout.splitlines()[0]
    told = json.loads(run(f"forecast {runs['csv'][0]} --csv {other} --json").stdout)
    assert (told["ticker"], told["trained_on"]) == ("OTHER", "WALK")
    newer = write_csv(tmp_path / "walk.csv", rows=500)
    assert "Forecast of WALK; no evidence" in run(f"forecast {runs['csv'][0]} --csv {newer}").stdout
    assert "Forecast of MSFT; no evidence" in run(f"forecast {runs['plain'][0]} --source sample").stdout


def test_forecast_repeats_what_the_run_said(runs):
    for name in ("plain", "ensemble"):
        folder = runs[name][0]
        document = json.loads((folder / "run.json").read_text())
        said = f"{document['verdict']} {document['tries']}".strip()
        assert f"\nIts run said: {said}\n" in run(f"forecast {folder} --source sample").stdout
        told = json.loads(run(f"forecast {folder} --source sample --json").stdout)
        assert (told["verdict"], told["evidence"]) == (said, False)


def test_the_title_of_a_forecast_says_what_its_run_found(runs, tmp_path):
    """A run with evidence needs no warning; one that was never measured, or is of an older version, gets another."""
    titles = {
        True: "Forecast of MSFT\n",
        False: "Forecast of MSFT; no evidence of skill: see above\n",
        None: "Forecast of MSFT; skill not measured\n",
    }
    for evidence, title in titles.items():
        folder = shutil.copytree(runs["plain"][0], tmp_path / str(evidence))
        document = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**document, "evidence": evidence}))
        assert title in run(f"forecast {folder} --source sample").stdout
    for key in ("evidence", "tries"):
        del document[key]
    (folder / "run.json").write_text(json.dumps(document))
    assert titles[None] in run(f"forecast {folder} --source sample").stdout


def test_tries_are_counted_and_said(tmp_path):
    """Runs of the same ticker beside the run; the same again, other tickers and what is damaged are none."""
    told = []
    for number, settings in enumerate(("", "--seed 1", "", "--lag 5", "--seed 1 --threads 1")):
        shown = run(f"train {SAMPLE} --no-plot {settings} --out {tmp_path / f'run{number}'}")
        document = json.loads((tmp_path / f"run{number}" / "run.json").read_text())
        told.append(document["earlier_tries"])
        assert document["tries"] in shown.stdout
        assert bool(document["tries"]) == (document["earlier_tries"] > 0)
        (tmp_path / "notes.txt").write_text("not a run")
        (tmp_path / "empty").mkdir(exist_ok=True)
        for name, content in (
            ("cut", '{"settings": {'),
            ("list", "[]"),
            ("other", "null"),
            ("binary", "\udcff"),
        ):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "run.json").write_text(content, errors="surrogateescape")
    assert told == [0, 1, 1, 2, 2]
    assert document["tries"].startswith("This is try 3 on MSFT in its folder: ")
    run(f"train AAPL --source sample --years 1 --no-plot {SMALL} --out {tmp_path / 'apple'}")
    assert json.loads((tmp_path / "apple" / "run.json").read_text())["earlier_tries"] == 0


def test_forecast_reads_a_file_as_its_options_say(runs, tmp_path):
    path = tmp_path / "walk.csv"
    prices = random_walk(8).round(3).set_axis(pd.bdate_range("2015-02-02", periods=8, name="Date"))
    prices.to_csv(path, sep=";", decimal=",", date_format="%d-%m-%Y")
    error = error_of(f"forecast {runs['csv'][0]} --csv {path}", 1)
    assert "--date-format %d-%m-%Y settles it" in error and "--decimal" not in error
    told = json.loads(
        run(f"forecast {runs['csv'][0]} --csv {path} --date-format %d-%m-%Y --calendar XLON --json").stdout
    )
    assert told["provenance"]["calendar"] == "XLON" and told["forecast"][0]["date"] == "2015-02-12"
    assert "decimal must be given with a file" in error_of(
        f"forecast {runs['plain'][0]} --source sample --decimal ,", 2
    )


def test_forecast_goes_beyond_the_end_of_its_run(tmp_path):
    made = run(
        f"train MSFT --source sample --start 2009-03-02 --end 2012-03-01 {SMALL} --no-plot --out {tmp_path / 'r'}"
    )
    assert "2009-03-02 to 2012-03-01" in made.stdout and "Fri 2012-03-02" in made.stdout
    assert "Mon 2013-03-04" in run(f"forecast {tmp_path / 'r'}").stdout


def test_a_file_is_used_whole_unless_years_or_a_start_are_given(tmp_path):
    csv = write_csv(tmp_path / "walk.csv", rows=2000)
    for option, rows in (
        ("", 2000),
        ("--years 4", 1045),
        ("--start 2020-01-01", 698),
        ("--end 2020-01-01", 1303),
    ):
        result = run(
            f"train --csv {csv} {option} {SMALL} --epochs 1 --json --no-plot --out {tmp_path / 'run'}"
        )
        assert json.loads(result.stdout)["provenance"]["rows"] == rows
        said = f"{csv}: {2000 - rows:,} of 2,000 rows left out because of {option}."
        assert (said in result.stderr) == bool(option) and ("left out" in result.stderr) == bool(option)
        shutil.rmtree(tmp_path / "run")


def test_a_forecast_reads_the_runs_ticker_from_the_runs_own_file(tmp_path):
    """Of a file with several tickers."""
    tables = [random_walk(160, seed).assign(Ticker=ticker) for seed, ticker in enumerate(("AAA", "BBB"))]
    pd.concat(tables).to_csv(tmp_path / "two.csv")
    folder = tmp_path / "run"
    run(f"train BBB --csv {tmp_path / 'two.csv'} {SMALL} --no-plot --out {folder}")
    shown = run(f"forecast {folder} --csv {tmp_path / 'two.csv'} --days 2").stdout
    assert shown.startswith("BBB: 160 sessions") and "Forecast of BBB;" in shown


def test_days_beyond_a_direct_models_horizon_are_a_usage_error(runs):
    message = error_of(f"forecast {runs['direct'][0]} --days 6", 2)
    assert message.startswith("6 days are beyond this model's horizon of 5")


@pytest.mark.parametrize(
    "option", ["--cell lstm", "--hidden 64", "--layers 1", "--dropout 0", "--recurrent-dropout 0"]
)
def test_what_only_a_new_training_can_follow_is_refused_with_a_run(runs, option):
    folder, _ = runs["plain"]
    words = f"{option.split()[0]} is for a new training, but {folder} is a run, whose model is trained: leave it out."
    assert error_of(f"forecast {folder} {option}", 2) == words


def test_forecast_names_what_is_missing(runs, tmp_path):
    assert "not a run's folder" in error_of(f"forecast {tmp_path / 'absent'}", 1)
    folder = tmp_path / "run"
    folder.mkdir()
    content = (runs["plain"][0] / "run.json").read_text()
    (folder / "run.json").write_text(content)
    assert str(folder / "model.safetensors") in error_of(f"forecast {folder}", 1)
    (folder / "run.json").write_text(content[:-100])
    assert f"{folder / 'run.json'} is damaged" in error_of(f"forecast {folder}", 1)


# --------------------------------------------------------------------------------------------------- bad input

NUMBERS = {
    "--years": ["0", "-1", "nan", "inf", "four"],
    **{
        f"--{name}": ["0", "-1", "2.5", "1000001", "x", ""]
        for name in ("lag", "horizon", "hidden", "epochs", "batch-size", "patience", "seeds", "threads")
    },
    "--seed": ["-1", "4294967296", "0.5"],
    "--lr": ["0", "-1", "nan", "inf", "x"],
    "--clip-norm": ["0", "-1", "inf"],
    "--weight-decay": ["-1", "nan"],
    "--optimizer": ["adamw", ""],
    "--momentum": ["-0.1", "1", "nan"],
    "--schedule": ["linear", ""],
    "--warmup": ["-1", "0.5"],
    "--step-epochs": ["0", "x"],
    "--plateau-patience": ["0"],
    "--schedule-factor": ["0", "1", "nan"],
    "--dense": ["0", "8,-1", "8,", "x"],
    "--split": ["0.8,0.1", "0.8,0.1,0.2", "1,0,0", "0.5,0.6,-0.1", "a,b,c", "nan,0.5,0.5"],
    "--features": ["", "Close,", "Close,Close"],
    "--layers": ["0", "9", "1.5"],
    **{f"--{name}": ["1", "-0.1", "nan", "x"] for name in ("dropout", "recurrent-dropout")},
    "--preset": ["lecture", ""],
}
NUMBERS["--hidden"] += ["8,", "8,x", "8,0", ",", "none"]


@pytest.mark.parametrize(
    ("option", "value"), [(name, value) for name, values in NUMBERS.items() for value in values]
)
def test_an_option_out_of_range_is_named(option, value):
    message = error_of(f"train {SAMPLE} {option} '{value}'", 2)
    assert message.startswith(f"Invalid value for '{option}': ")
    assert message.endswith("See 'trendlstm train --help'.")


@pytest.mark.parametrize(("option", "value"), [("--days", "0"), ("--days", "1001"), ("--input-size", "0")])
def test_an_option_of_another_command_out_of_range_is_named(option, value):
    command = "forecast run" if option == "--days" else "summary"
    assert error_of(f"{command} {option} {value}", 2).startswith(f"Invalid value for '{option}'")


@pytest.mark.parametrize("ticker", ["''", "' '", "a/b", "../MSFT", "'A\\B'", "A" * 300, "'MS FT'", "MSFT%"])
@pytest.mark.parametrize("command", ["train", "leakcheck", "data fetch", "data show", "data clear"])
def test_what_is_no_ticker_is_refused(command, ticker):
    message = error_of(f"{command} {ticker}", 2)
    assert "is not a ticker" in message and len(message) < 260


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("ZZZZ --source sample", 1, "The packaged sample has no ZZZZ"),
        ("MSFT --source sample --lag 5000", 2, "lag 5000"),
        ("MSFT --source sample --horizon 5000", 2, "horizon 5000"),
        ("MSFT --source sample --lag 1", 2, "identically 0"),
        ("MSFT --source sample --lag 2 --forget-bias chrono", 2, "chrono"),
        ("MSFT --source sample --years 200", 2, "years must be a number above 0 and at most 100"),
        ("MSFT --source sample --epochs 2.5", 2, "'2.5' is not a valid integer range."),
        ("MSFT --source sample --epochs 0", 2, "0 is not in the range 1<=x<=1000000."),
        ("MSFT --source sample --lr x", 2, "'x' is not a valid float range."),
        ("MSFT --source sample --lr nan", 2, "nan is not a finite number."),
        ("MSFT --source sample --weight-decay -1", 2, "-1.0 is not in the range x>=0."),
        (
            "MSFT --source sample --momentum 0.9",
            2,
            "momentum belongs to optimizer 'sgd', but optimizer is 'adam'",
        ),
        (
            "MSFT --source sample --warmup 100",
            2,
            "warmup must be a whole number of epochs from 0 up to below epochs",
        ),
        ("MSFT --source sample --schedule step", 2, "schedule 'step' needs step_epochs"),
        ("MSFT --source sample --calendar XXXX", 2, "no trading calendar 'XXXX'"),
        (
            "MSFT --source sample --start 1.1.2010",
            2,
            "start must be a date such as 2020-01-31, but is '1.1.2010'",
        ),
        ("MSFT --source sample --start 2010-01-04 --years 4", 2, "give one of them"),
        ("MSFT --source sample --start 2014-01-02", 1, "no prices of MSFT from 2014-01-02"),
        (
            "MSFT --csv walk.csv --date-format dd/mm/yyyy",
            2,
            "date_format must be a form of day, month and year",
        ),
        ("MSFT --source nowhere", 2, "Invalid value for '--source'"),
        ("MSFT --source sample --csv walk.csv", 2, "walk.csv or from the source sample"),
        ("MSFT --source sample --hidden 1000000", 1, "not enough memory"),
        ("MSFT --source sample --cell ann --lag 4 --layers 2", 2, "cell 'ann' has one hidden layer"),
        ("MSFT --source sample --cell ann --lag 4 --recurrent-dropout 0.1", 2, "'ann' has nothing recurrent"),
        ("MSFT --source sample --hidden 4,4 --layers 1", 2, "--hidden 4,4 has 2 layers, but --layers is 1"),
        ("MSFT --source sample --hidden 1,2,3,4,5,6,7,8,9", 2, "layers must be a whole number from 1 to 8"),
        ("MSFT --source sample --preset gru", 2, "'gru' is not one of 'keras-tutorial', 'notes'."),
        ("MSFT IBM", 2, "unexpected extra argument (IBM)"),
        ("MSFT --yaers 4", 2, "No such option '--yaers'"),
    ],
)
def test_other_bad_input_of_train(arguments, code, message):
    assert message in error_of(f"train {arguments}", code)


GOOD = "Date,Open,High,Low,Close,Volume\n2024-01-02,10,11,9,10,5\n2024-01-03,10,11,9,10.5,5\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08\x00\xff\xfe", "is a damaged gzip file"),
        (GOOD.encode("utf-16"), "UTF-16"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (GOOD.replace("Close", "Last"), "no column Close"),
        (GOOD.replace("Date", "Day"), "no column Date"),
        (GOOD.replace("01-03", "02-30"), "row 3, column Date: '2024-02-30'"),
        (GOOD.replace("10.5", "ten"), "row 3, column Close: 'ten' is not a number"),
        (GOOD.replace("10.5", "NaN"), "row 3 (2024-01-03), column Close: nan"),
        (GOOD.replace("10.5", "inf"), "row 3, column Close: 'inf' is not a number"),
        (GOOD.replace("10.5", "0"), "row 3 (2024-01-03), column Close: 0"),
        (GOOD.replace("10.5", "-1"), "row 3 (2024-01-03), column Close: -1"),
        (GOOD.replace("01-03", "01-02"), "same date but a different Close"),
        (GOOD, "leave no train sample"),
    ],
)
def test_bad_csv_files(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = error_of(f"train --csv {path} --out {tmp_path / 'run'}", 2 if content is GOOD else 1)
    assert message in said and (content is GOOD or str(path) in said)
    assert {path.name for path in tmp_path.iterdir()} <= {"bad.csv"}


def test_an_existing_folder_is_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sources, "find_prices", lambda data: pytest.fail("refused before anything is fetched")
    )
    (tmp_path / "file").write_text("mine")
    assert f"{tmp_path} exists already" in error_of(f"train {SAMPLE} --out {tmp_path}", 2)
    assert "exists already" in error_of(f"train {SAMPLE} --out {tmp_path / 'file'}", 2)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "fit_networks", lambda *_: pytest.fail("training must not start"))
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "run"
    assert f"the folder {out} cannot be made" in error_of(f"train {SAMPLE} --out {out}", 1)


def test_a_loss_that_is_not_finite_in_the_first_epoch_leaves_nothing(tmp_path):
    message = error_of(f"train MSFT --source sample --years 1 --lr 1e12 --out {tmp_path / 'run'}", 1)
    assert re.search(r"no longer finite in epoch 1: use a smaller learning rate than 1e\+12", message)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_no_longer_finite_keeps_the_last_good_weights(tmp_path):
    out = tmp_path / "run"
    command = f"train MSFT --source sample --years 1 --lr 5e5 --batch-size 512 --out {out}"
    message = error_of(command, 1)
    assert re.search(r"no longer finite in epoch [2-9]: use a smaller learning rate than 500000", message)
    assert message.endswith(f"The weights are in {out}.")
    assert {path.name for path in out.iterdir()} == UNFINISHED
    assert json.loads((out / "run.json").read_text())["status"] == "diverged"


def test_a_failure_after_training_leaves_no_half_a_run(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "predictions.png")

    monkeypatch.setattr("trendlstm.output.runs.draw_run", fail)
    assert (
        error_of(f"train {SAMPLE} --out {tmp_path / 'run'}", 1) == "No space left on device: predictions.png."
    )
    assert list(tmp_path.iterdir()) == []


NO_MEMORY = "failed to map segment from shared object"


@pytest.mark.parametrize(
    ("error", "cause", "detail"),
    [
        (MemoryError(), None, ""),
        (MemoryError("Unable to allocate 8 GiB"), None, r" \(Unable to allocate 8 GiB\)"),
        (ImportError(f"parsers.so: {NO_MEMORY}"), None, ""),
        (OSError("Could not find/load shared object file"), OSError(f"libllvmlite.so: {NO_MEMORY}"), ""),
    ],
)
def test_a_lack_of_memory_is_said_also_where_a_library_hides_it(error, cause, detail, tmp_path, monkeypatch):
    error.__cause__ = cause
    monkeypatch.setattr("trendlstm.data.sources.find_prices", Mock(side_effect=error))
    said = error_of(f"train {SAMPLE} --out {tmp_path / 'run'}", 1)
    assert re.fullmatch(f"There is not enough memory{detail}: use a smaller .* \\(`ulimit -v`\\)\\.", said)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    run("warmup")  # so that no compiled kernel is written meanwhile
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        message = error_of(f"train {SAMPLE} --out {tmp_path / 'run'}", 1)
    assert re.fullmatch(r"No space left on device: \S+\.(safetensors|csv|png|json)\.", message)
    monkeypatch.setattr(Console, "table", full)
    assert error_of("doctor", 1) == "No space left on device: standard output."


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ("", "closing price, one-step predictions and the recursive forecast"),
        ("--features Close,Volume", "closing price and one-step predictions"),
        ("--horizon 3", "closing price and predictions (step 1 of 3)"),
    ],
)
def test_the_picture_says_what_it_shows(tmp_path, monkeypatch, options, title):
    told = {}
    monkeypatch.setattr(
        "trendlstm.output.plots.train.plot_predictions", lambda *_, **words: told.update(words)
    )
    run(f"train {SAMPLE} {options} --out {tmp_path / 'run'}")
    assert told["title"] == f"MSFT: {title}"
    assert "epoch chosen by validation" in told["subtitle"] and "2012-03-01 to 2013-03-01" in told["subtitle"]


def test_unknown_commands_and_options():
    assert (
        error_of("foretell", 2)
        == "No such command 'foretell'. Did you mean 'forecast'? See 'trendlstm --help'."
    )
    assert run("--nonsense", 2).stderr.endswith("No such option '--nonsense'.\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("train --csv no-such-file.csv --json", 1),
        ("train MSFT --lag x --json", 2),
        ("train MSFT --nonsense --json", 2),
        ("forecast no-such-run --json", 1),
        ("leakcheck --csv no-such-file.csv --json", 3),
        ("leakcheck MSFT --lag x --json", 2),
    ],
)
def test_with_json_a_failure_is_an_object_too(command, code):
    result = run(command, code)
    told = json.loads(result.stdout)
    assert told == {"error": result.stderr.removeprefix("Error: ").strip(), "exit_code": code}


def test_a_leak_check_that_fails_is_not_a_leak():
    assert run("leakcheck --csv no-such-file.csv", 3).stderr.startswith("Error: ")


# -------------------------------------------------------------------------------------------------- Ctrl-C


def in_a_process(code, *arguments, **settings):
    """Run Python code with the repository and the tests on its path, and pytest's warnings filter."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, **settings)


def interrupted(tmp_path, fit, epoch, *options):
    """A `train` that gets SIGINT in the given epoch of its first or second fit."""
    done = in_a_process(
        f"""
        import os, signal, sys
        from trendlstm import cli
        from trendlstm.cli import common
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job starts without
        fits = []
        def show_on(bar):
            fits.append(bar)
            def update(progress):
                if len(fits) == {fit} and progress.epoch >= {epoch}:
                    os.kill(os.getpid(), signal.SIGINT)
            return update
        common.show_on = show_on
        cli.main(sys.argv[1:], prog_name="trendlstm")
        """,
        *shlex.split(f"train {SAMPLE} --no-plot --out"),
        tmp_path / "run",
        *options,
    )
    assert done.returncode == 130, done.stderr
    return done


def test_ctrl_c_during_training_keeps_the_best_weights_so_far(tmp_path):
    done = interrupted(tmp_path, 1, 3, "--epochs", "1000000")
    assert done.stderr.endswith(f"Error: Interrupted; the best weights so far are in {tmp_path / 'run'}.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert found == UNFINISHED
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["status"] == "interrupted" and document["fits"][0]["epochs_run"] >= 1
    from trendlstm.output import runs

    trained, untrained = (
        network.state_dict()["recurrent.weight_hh"]
        for network in (
            *runs.load_run(tmp_path / "run").forecaster.networks,
            *pipeline._networks(runs.load_run(tmp_path / "run").config),
        )
    )
    assert not np.array_equal(trained, untrained)
    shown = run(f"forecast {tmp_path / 'run'} --days 1")
    assert "did not finish (interrupted)" in shown.stderr and DASH in shown.stdout
    assert shown.stdout.splitlines()[-1] == (
        "A dash: no band, because training was interrupted before the model's errors were measured."
    )


def test_ctrl_c_during_the_final_fit_keeps_what_was_evaluated(tmp_path):
    done = interrupted(tmp_path, 2, 0, "--final-fit")
    assert "Trained 3 epochs" in done.stdout
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert found == {*UNFINISHED, "predictions.csv"}
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["status"] == "interrupted" and document["verdict"]
    assert not run(f"forecast {tmp_path / 'run'} --json").stdout.count('"final_fit": true')


def test_ctrl_c_elsewhere_ends_with_130_and_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(data):
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "find_prices", interrupt)
    assert error_of(f"train {SAMPLE} --out {tmp_path / 'run'}", 130) == "Interrupted."
    assert list(tmp_path.iterdir()) == []


READER_GONE = """
    import os, sys
    from trendlstm import cli
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, 1)
    cli.main(sys.argv[1:], prog_name="trendlstm")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
@pytest.mark.parametrize(
    "command",
    [
        f"train {SAMPLE}",
        f"compare {SAMPLE} --seeds 1",
        "reproduce adding --cell rnn --trials 1 --max-sequences 100",
    ],
)
def test_a_reader_that_goes_away_costs_no_run(command, tmp_path):
    """As in `trendlstm train | head -2`."""
    done = in_a_process(READER_GONE, *shlex.split(command), "--no-plot", "--out", tmp_path / "run")
    assert done.returncode == 0 and "Error" not in done.stderr, done.stderr
    documents = list((tmp_path / "run").glob("*.json"))
    assert documents and all(json.loads(document.read_text()) for document in documents)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_goes_away_is_no_error_of_what_is_only_shown(options):
    done = in_a_process(READER_GONE, "summary", *options)
    assert done.returncode == 0 and "rror" not in done.stderr, done.stderr


# -------------------------------------------------------------------------------------------------- help


def every_command(command=cli.main, path="trendlstm"):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from every_command(child, f"{path} {name}")


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*found, id=found[0]) for found in every_command()]
)
def test_help_of_every_command_has_examples_that_parse_and_real_defaults(path, command):
    shown = run(" ".join([*path.split()[1:], "--help"])).stdout
    examples = re.findall(r"^    (trendlstm .*)$", shown, re.MULTILINE)
    assert examples and all(example.startswith(path) for example in examples)
    for example in examples:
        _, *words = shlex.split(example)
        target = cli.main
        while isinstance(target, click.Group):
            target = target.commands[words.pop(0)]
        target.make_context(target.name, words)
    flat = " ".join(shown.split())
    for option in command.params:
        if isinstance(option, click.Option) and option.default is not None and not option.is_flag:
            default = option.get_default(click.Context(command, **command.context_settings))
            if option.multiple:  # without a default click gives its own sign for none
                default = ", ".join(default) if isinstance(default, tuple) else ""
            assert f"[default: {default}" in flat or f"default: {default}" in flat
    assert max(map(len, shown.splitlines())) <= 80
    assert "..." not in shown.partition("\nCommands:")[2]  # no summary is cut


def test_version():
    assert re.fullmatch(r"trendlstm \S+\n", run("--version").stdout)


HEAVY = {
    "numpy",
    "pandas",
    "numba",
    "llvmlite",
    "scipy",
    "yfinance",
    "exchange_calendars",
    "matplotlib",
    "safetensors",
}


@pytest.mark.parametrize(
    "code",
    [
        "import trendlstm",
        "from trendlstm.cli import main; main(['--help'], standalone_mode=False)",
        "from trendlstm.cli import main; main(['train', '--help'], standalone_mode=False)",
        "from trendlstm.cli import main; main(['--version'], standalone_mode=False)",
    ],
)
def test_help_and_import_load_nothing_heavy(code):
    """What keeps `--help` under 0.3 s and `import trendlstm` under 0.1 s."""
    done = in_a_process(f"{code}\nimport sys\nprint('LOADED', *sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.rpartition("LOADED")[2].split()}
    assert "trendlstm" in loaded and loaded & HEAVY == set()
    if code == "import trendlstm":
        assert loaded & {"click", "rich"} == set()


# ------------------------------------------------------------------------------- summary, leakcheck, doctor, data


def test_summary():
    assert "Total params: 20,065 (78.38 KB)" in run("summary").stdout
    told = json.loads(run("summary --cell ann --lag 6 --input-size 2 --hidden 5 --dense none --json").stdout)
    assert told["shapes"]["hidden.weight"] == [5, 12] and told["parameters"] == 5 * 12 + 5 + 6


def test_leakcheck_finds_nothing_in_the_package_as_it_is():
    result = run(f"leakcheck {SAMPLE} --epochs 2 --json")
    told = json.loads(result.stdout)
    assert told["leaks"] is False and told["settings"]["window"]["lag"] == 4
    assert len(told["checks"]) == 2 * 2 + 6 * 5 and not any(check["changed"] for check in told["checks"])
    numbers = sum(check["compared"] for check in told["checks"])
    sentence = f"No leak found: in 8 changes of later prices all {numbers:,} compared numbers kept every bit."
    assert sentence in result.stderr and "CHANGED" not in result.stderr
    first, *later = re.findall(r"^(20\d\d-\d\d-\d\d +perturbed .*)$", result.stderr, re.MULTILINE)
    assert [first.count(DASH), *(row.count(DASH) for row in later)] == [3, 0, 0]
    assert "A dash: nothing to compare, for validation, which comes after that day" in result.stderr
    assert "those of ridge and lstm from test days, each up to the day, and the recursive" in result.stderr
    several = run(f"leakcheck {SAMPLE} --epochs 1 --horizon 2").stdout
    assert "each up to the day.\n" in several and "recursive" not in several


def test_leakcheck_finds_a_scaler_that_saw_all_rows(monkeypatch):
    def leaky(prices, *arguments):
        honest = Scaler.fit
        with monkeypatch.context() as patch:
            patch.setattr(Scaler, "fit", classmethod(lambda cls, rows, *names: honest(prices, *names)))
            return make_windows(prices, *arguments)

    monkeypatch.setattr(pipeline, "make_windows", leaky)
    shown = run(f"leakcheck {SAMPLE} --epochs 2", 1).stdout
    assert re.search(r"perturbed +CHANGED \d+ of 5", shown)
    assert "A leak: scaler, " in shown and "the first was scaler of 20" in shown


WALK = f"{SAMPLE} --backtest --test-years 0.15 --refit 8 --epochs 1"


def test_leakcheck_of_a_backtest_finds_nothing_in_the_package_as_it_is():
    result = run(f"leakcheck {WALK} --horizon 2 --model rnn --model lstm --json")
    told = json.loads(result.stdout)
    assert told["leaks"] is False and told["settings"]["gap"] == 1
    assert told["settings"]["fit"]["patience"] == 5  # the backtest's default
    numbers = sum(check["compared"] for check in told["checks"])
    sentence = f"No leak found: in 8 changes of later prices all {numbers:,} compared numbers kept every bit."
    assert sentence in result.stderr and "CHANGED" not in result.stderr
    assert re.search(r"were +drift +ridge +rnn +lstm +Bands +Signals +Positions +Returns", result.stderr)


def test_leakcheck_of_a_backtest_finds_a_trade_on_its_own_bar(monkeypatch):
    def own_bar(dates, open_prices, close, origins, *others):
        return holding_days(dates, open_prices, close, origins - 1, *others)

    monkeypatch.setattr("trendlstm.workflows.walked.holding_days", own_bar)
    result = run(f"leakcheck {WALK} --json", 1)
    assert json.loads(result.stdout)["leaks"] is True
    assert re.search(r"perturbed .* CHANGED \d+ of \d+", result.stderr)
    assert "A leak: positions changed; the first was positions of 201" in result.stderr


@pytest.mark.parametrize(
    "options, code, message",
    [
        ("--refit 5", 2, "--refit is for checking a backtest: add --backtest, or leave it out."),
        ("--final-fit", 2, "--final-fit is for checking a backtest"),
        (
            "--backtest --cell rnn",
            2,
            "--cell is for checking a training: leave out --backtest, or leave it out.",
        ),
        ("--backtest --horizon 3 --gap 1", 2, "gap must be a whole number from 2 up"),
        ("--backtest --layers 9", 2, "'--layers': 9 is not in the range"),
        ("--backtest --test-years 3", 2, "prices are too few to forecast the last 3 years"),
        ("--backtest --test-years 0.2 --lr 1e30", 3, "the loss is no longer finite"),
    ],
)
def test_leakcheck_of_a_backtest_refuses_in_one_sentence(options, code, message):
    result = run(f"leakcheck {SAMPLE} --quiet {options}", code)
    assert message in result.stderr and result.stderr.count("\n") <= 2


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prices"


@pytest.fixture
def server(monkeypatch, cache):
    for module in (calendars, price_cache):
        monkeypatch.setattr(module, "utc_now", lambda: pd.Timestamp("2025-06-13 22:00", tz="UTC"))
    monkeypatch.setattr(yahoo, "sleep", lambda seconds: pytest.fail("no test waits"))
    with serve() as running:
        redirect_yfinance(running.url, monkeypatch.setattr)
        yield running


def test_data_fetch_show_and_clear(server, cache):
    shown = run("data show").stdout
    assert f"Price cache: {cache}" in shown and "It is empty." in shown
    shown = run("data fetch msft ibm --years 1").stdout.splitlines()
    assert [re.sub(r"\d{4}-\d\d-\d\d", "DATE", line) for line in shown] == [
        f"{ticker}: 262 sessions, DATE to DATE, from Yahoo, adjusted for splits and dividends."
        for ticker in ("MSFT", "IBM")
    ]
    assert sorted(path.name for path in cache.iterdir()) == ["IBM.csv.gz", "MSFT.csv.gz"]
    told = json.loads(run("data show --json").stdout)
    assert [entry["ticker"] for entry in told["entries"]] == ["IBM", "MSFT"]
    assert re.search(
        r"^IBM +\d+  2024-\d\d-\d\d  2025-06-13  2025-06-13 22:00 ", run("data show").stdout, re.MULTILINE
    )
    newest = run("data show msft").stdout
    assert newest.startswith("MSFT: ") and len(re.findall(r"^... 2025-06-\d\d ", newest, re.MULTILINE)) == 5
    (cache / "IBM.csv.gz").write_bytes(b"noise")
    assert "damaged" in run("data show").stdout
    assert run("data clear ibm").stdout == f"Deleted {cache / 'IBM.csv.gz'}.\n"
    assert json.loads(run("data clear --all --json").stdout) == {"deleted": [str(cache / "MSFT.csv.gz")]}
    assert run("data clear --all").stdout == "There was nothing to delete.\n"


def test_data_commands_refuse_what_makes_no_sense(server):
    assert "Give either tickers to clear or --all" in error_of("data clear", 2)
    assert "Give either tickers to clear or --all" in error_of("data clear MSFT --all", 2)
    assert "trendlstm data fetch MSFT" in error_of("data show MSFT", 1)
    assert "Missing argument 'TICKERS...'" in error_of("data fetch", 2)
    assert run("data", 2).output.startswith("Usage: trendlstm data ")


def test_an_unknown_ticker_is_named_and_the_others_are_fetched(server, cache):
    result = run("data fetch UNKNOWN MSFT", 1)
    assert re.search(
        r"^Error: Yahoo has no prices of UNKNOWN .*check the ticker\.$", result.stderr, re.MULTILINE
    )
    assert [path.name for path in cache.iterdir()] == ["MSFT.csv.gz"]
    assert "no prices of UNKNOWN" in error_of("train UNKNOWN --source yahoo", 1)


def test_train_on_fetched_prices_says_where_they_came_from(server, tmp_path):
    line = f"train MSFT --years 1 --no-plot {SMALL} --out"
    assert "from Yahoo, adjusted" in run(f"{line} {tmp_path / 'first'}").stdout
    again = run(f"{line} {tmp_path / 'second'} --json")
    assert (
        json.loads(again.stdout)["provenance"]["source"] == "cache" and "from the price cache" in again.stderr
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "quiet", "shown"),
    [(Terminal, False, True), (Terminal, True, False), (io.StringIO, False, False)],
)
def test_waiting_for_yahoo_counts_down_on_a_terminal(monkeypatch, logger, stream, quiet, shown):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stderr", stream())
    Console(quiet=quiet).configure_logging()
    for left in (2, 1):
        logger.info("Asking Yahoo again in %d s.", left, extra={"countdown": left})
    logger.info("a detail")
    text = re.sub(r"\x1b\[[0-9;]*m", "", sys.stderr.getvalue())
    assert text == ("Asking Yahoo again in 2 s.\rAsking Yahoo again in 1 s.\r" if shown else "")


def test_the_process_itself(tmp_path):
    """`python -m trendlstm`, from start to exit code."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "trendlstm",
        *shlex.split(f"train {SAMPLE} --json --out"),
        "run",
    ]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == "run" and (tmp_path / "run" / "predictions.png").exists()
    done = subprocess.run(
        [*command[:5], "train", "--lag", "0"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == "" and "--lag" in done.stderr


def test_no_p_value_is_shown_as_zero(capsys):
    prices = random_walk(1008)
    returns = np.random.default_rng(5).normal(0, 0.015, 1008)
    for t in range(1, len(returns)):
        returns[t] += 0.9 * returns[t - 1]
    prices["Close"] = 50 * np.exp(np.cumsum(returns))
    result = trained(prices, epochs=20)
    figures = [step.diebold_mariano.p_value for (step,) in result.assessment.metrics["train"].values()]
    assert any(p is not None and 0 < p < 0.0005 for p in figures)
    report.show_metrics(Console(), result)
    shown = capsys.readouterr().out
    assert " <0.001 " in shown and " 0.000 " not in shown


# --------------------------------------------------------------------------------------------------------- losses


def test_quantiles_from_training_to_forecast(tmp_path):
    out = tmp_path / "run"
    shown = run(f"train {SAMPLE} --quantiles 0.05,0.5,0.9 --no-plot --json --out {out}")
    document = json.loads(shown.stdout)
    assert document["settings"]["network"]["loss"] == "pinball"  # which the quantiles say
    assert document["settings"]["network"]["quantiles"] == [0.05, 0.5, 0.9]
    (measured,) = document["distributions"]
    assert measured["levels"] == [0.05, 0.5, 0.9]
    assert document["forecast_bands"]["steps"] == measured["bands"]
    assert "How good the predicted distributions were on the test rows" in shown.stderr
    predictions = pd.read_csv(out / "predictions.csv")
    test = predictions[predictions["split"] == "test"]
    held = test["actual"].between(test["low"], test["high"])
    assert measured["bands"][0]["coverage"] == pytest.approx(held.mean())

    forecast = json.loads(run(f"forecast {out} --days 3 --source sample --json").stdout)
    assert forecast["forecast_bands"] == document["forecast_bands"]
    for one, other in zip(forecast["forecast"], document["forecast"], strict=False):
        assert (one["low"], one["high"]) == (other["low"], other["high"])
    first = document["forecast"][0]
    assert first["low"] < first["price"] < first["high"]
    table = run(f"forecast {out} --days 3 --source sample").stdout
    assert "5 % quantile" in table and "90 % quantile" in table


def test_a_ticker_is_forecast_with_a_loss(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TrainConfig, "__init__", _quick(TrainConfig.__init__))
    shown = json.loads(run("forecast MSFT --source sample --loss gaussian --json").stdout)
    document = json.loads((Path(shown["run"]) / "run.json").read_text())
    assert document["settings"]["network"]["loss"] == "gaussian"
    assert (shown["forecast_bands"]["lower"], shown["forecast_bands"]["upper"]) == (0.1, 0.9)


def _quick(initialise):
    """TrainConfig's own __init__ but for the epochs."""

    def quick(self, *arguments, **settings):
        initialise(self, *arguments, **{"fit": FitConfig(epochs=1), **settings})

    return quick


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--loss l2", "'l2' is not one of 'mse', 'mae', 'huber', 'pinball', 'gaussian'."),
        (
            "--loss cross-entropy",
            "'cross-entropy' is not one of 'mse', 'mae', 'huber', 'pinball', 'gaussian'.",
        ),
        ("--loss pinball", "loss 'pinball' needs quantiles, such as 0.1, 0.5, 0.9."),
        ("--loss mae --quantiles 0.1,0.5,0.9", "quantiles are of the loss 'pinball', but the loss is 'mae'"),
        ("--quantiles 0.1,0.5,1", "quantiles must be different numbers above 0 and below 1, ascending"),
        ("--quantiles 0.9,0.5,0.1", "quantiles must be different numbers above 0 and below 1, ascending"),
        ("--quantiles 0.1,0.5,0.5,0.9", "quantiles must be different numbers above 0 and below 1, ascending"),
        ("--quantiles 10%", "'10%' is not a list of quantiles, such as 0.1,0.5,0.9."),
        ("--quantiles 0.1,0.9", "quantiles of prices must have 0.5 among them"),
        ("--loss mae --device cuda", "device 'cuda' trains on the loss 'mse' only: use device 'cpu'"),
    ],
)
def test_losses_that_cannot_be(options, named, monkeypatch):
    if "cuda" in options:
        monkeypatch.setattr("trendlstm.nn.device.device_name", lambda: "a GPU")
    for command in ("train", "backtest") if "cuda" not in options else ("train",):
        assert named in error_of(f"{command} MSFT --source sample {options}", 2)


def test_the_loss_of_a_run_is_its_own(runs):
    path, _ = runs["plain"]
    assert "leave it out" in error_of(f"forecast {path} --quantiles 0.1,0.5,0.9", 2)
