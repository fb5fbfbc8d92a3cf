"""`trendlstm backtest`: its files, going on after an end of any kind, and what it refuses."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import run
from walks import random_walk

SMALL = "--hidden 4 --dense none --lag 4 --epochs 2 --test-years 0.2 --no-plot --quiet"
FILES = ("predictions.csv", "members.csv", "equity.csv", "metrics.json")


@pytest.fixture(scope="module")
def csvs(tmp_path_factory):
    """Two files of prices, as options."""
    folder = tmp_path_factory.mktemp("prices")
    for seed, name in enumerate(("AA", "BB")):
        random_walk(300, seed).to_csv(folder / f"{name}.csv")
    return f"--csv {folder}/AA.csv --csv {folder}/BB.csv"


@pytest.fixture(scope="module")
def finished(csvs, tmp_path_factory):
    """A finished backtest."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    output = run(f"backtest {csvs} {SMALL} --seeds 2 --out {folder}").stdout
    return folder, output


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_the_files_hold_what_was_forecast(finished):
    folder, output = finished
    assert {path.name for path in folder.iterdir()} == {*FILES, "folds.sqlite", "run.json"}
    predictions = pd.read_csv(folder / "predictions.csv", parse_dates=["cutoff", "origin", "date"])
    members = pd.read_csv(folder / "members.csv")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(predictions["model"]) == {"lstm", "drift", "ridge", "persistence"}
    assert set(predictions["ticker"]) == {"AA", "BB"}
    assert set(members["seed"]) == {0, 1} and set(members["model"]) == {"lstm"}
    lstm = predictions[(predictions["model"] == "lstm") & (predictions["ticker"] == "AA")]
    prices = random_walk(300, 0)["Close"]
    assert np.allclose(prices[lstm["origin"]], lstm["naive"], rtol=1e-12)
    assert np.allclose(prices[lstm["date"]], lstm["actual"], rtol=1e-12)
    assert (lstm["cutoff"] == lstm["origin"]).all() and (lstm["date"] > lstm["origin"]).all()
    assert (lstm["position"] == np.sign(lstm["forecast"] - lstm["naive"])).all()
    error = np.sqrt(np.mean((lstm["forecast"] - lstm["actual"]) ** 2))
    (own,) = (one for one in metrics["measures"] if one["ticker"] == "AA" and one["model"] == "lstm")
    assert own["rmse"] == pytest.approx(error, rel=1e-12)
    held = ((lstm["low"] <= lstm["actual"]) & (lstm["actual"] <= lstm["high"])).sum()
    assert own["coverage"]["covered"] == held
    assert f"{error:.4f}" in output and metrics["verdict"] in output.replace("\n", " ")


def test_json_is_what_the_files_say(csvs, tmp_path):
    result = run(f"backtest {csvs} {SMALL} --json --out {tmp_path / 'run'}")
    document = json.loads(result.stdout)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert document["run"] == str(tmp_path / "run")
    assert {name: document[name] for name in metrics} == metrics
    assert not (tmp_path / "run" / "members.csv").exists()  # they are the predictions


def begin(command, folder):
    """A backtest in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "trendlstm", *command.split()],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def committed(folder):
    """How large the file of folds is: it grows with every transaction."""
    path = Path(folder) / "folds.sqlite"
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("changes", ["--refit 3", "--refit 4 --warm-start --model rnn --model lstm"])
def test_a_backtest_that_is_killed_again_and_again_ends_with_the_same_bytes(csvs, tmp_path, changes):
    settings = f"{csvs} {SMALL} --seeds 2 {changes} --threads 2"
    run(f"backtest {settings} --out {tmp_path / 'whole'}")
    moments = random.Random(changes)
    command = f"backtest {settings} --out {tmp_path / 'killed'}"
    for _ in range(3):
        process = begin(command, tmp_path)
        before = committed(tmp_path / "killed")
        grown = moments.randrange(1, 60_000)
        while process.poll() is None and committed(tmp_path / "killed") < before + grown:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        command = f"backtest --resume {tmp_path / 'killed'} --no-plot --quiet"
    run(command)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_ctrl_c_says_how_to_go_on(csvs, tmp_path):
    # folds that take so long that a busy machine cannot end the last one before the signal is sent
    slow = SMALL.replace("--quiet", "").replace("--epochs 2", "--epochs 500 --patience 500")
    process = begin(f"backtest {csvs} {slow} --seeds 2 --out run", tmp_path)
    while process.poll() is None and committed(tmp_path / "run") < 120_000:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "folds are finished. Go on with `trendlstm backtest --resume run`." in errors
    assert "Traceback" not in errors


def test_a_finished_backtest_can_be_written_again(finished, csvs):
    folder, output = finished
    before = contents(folder)
    (folder / "metrics.json").unlink()
    again = run(f"backtest --resume {folder} --no-plot --quiet").stdout
    assert contents(folder) == before
    assert output.splitlines()[3:] == again.splitlines()[4:]  # it says that all folds are finished
    same = f"backtest {csvs} {SMALL} --seeds 2 --resume {folder}"
    assert run(same).stdout == again


def test_resume_refuses_what_has_changed(finished, csvs, tmp_path, monkeypatch):
    folder, _ = finished
    same = f"backtest {csvs} {SMALL} --seeds 2 --resume {folder}"
    result = run(same.replace("--epochs 2", "--epochs 3").replace("--seeds 2", "--seeds 1"), 2)
    assert "was begun with another fit.epochs and another seeds" in result.stderr
    random_walk(300, 5).to_csv(tmp_path / "AA.csv")
    other = same.replace(csvs.split()[1], f"{tmp_path}/AA.csv")
    assert "was begun with other prices of AA" in run(other, 2).stderr
    assert "was begun with other prices of BB" in run(same.replace(" ".join(csvs.split()[2:]), ""), 2).stderr
    monkeypatch.setattr("trendlstm.output.fold_file.__version__", "9.9")
    assert "was begun by trendlstm" in run(f"backtest --resume {folder}", 1).stderr


def test_a_ticker_that_fails_stops_nobody(csvs, tmp_path):
    random_walk(40).to_csv(tmp_path / "SHORT.csv")
    (tmp_path / "EMPTY.csv").write_text("Date,Close\n")
    command = (
        f"backtest {csvs} --csv {tmp_path}/SHORT.csv --csv {tmp_path}/EMPTY.csv {SMALL} --out {tmp_path}/run"
    )
    result = run(command, 3)
    assert "SHORT was not tested: 40 prices are too few" in result.stderr
    assert "EMPTY was not tested: " in result.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics["failures"]) == {"SHORT", "EMPTY"}
    assert {one["ticker"] for one in metrics["measures"]} == {"AA", "BB", ""}
    again = run(f"backtest --resume {tmp_path}/run --no-plot --quiet", 3)
    assert "EMPTY was not tested: " in again.stderr


def test_no_ticker_that_can_be_tested_leaves_nothing(tmp_path):
    random_walk(40).to_csv(tmp_path / "SHORT.csv")
    result = run(f"backtest --csv {tmp_path}/SHORT.csv {SMALL} --out {tmp_path}/run", 1)
    assert "No ticker could be tested. SHORT: 40 prices are too few" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_universe_is_a_ticker_a_line(tmp_path):
    path = tmp_path / "universe.txt"
    path.write_text("# of the sample\nMSFT\n\n  ibm # International Business Machines\n")
    options = f"{SMALL} --refit 10 --source sample --out {tmp_path}/run --json"
    document = json.loads(run(f"backtest --universe {path} {options}").stdout)
    assert list(document["provenance"]) == ["MSFT", "IBM"]


@pytest.mark.parametrize("scaling", ["window", "none"])
def test_what_adjusted_prices_know_too_much_is_said(scaling, tmp_path):
    options = f"{SMALL} --years 1 --refit 30 --source sample --scaling {scaling} --out {tmp_path}/run"
    shown = run(f"backtest MSFT {options}").stdout
    assert ("Adjusted prices look ahead" in shown) == (scaling == "none")


def test_tickers_and_files_may_be_mixed(csvs, tmp_path):
    options = f"{SMALL} --refit 10 --source sample --decimal . --out {tmp_path}/run --json"
    document = json.loads(run(f"backtest MSFT {csvs} {options}").stdout)
    sources = {ticker: provenance["source"] for ticker, provenance in document["provenance"].items()}
    assert sources == {"MSFT": "sample", "AA": "csv", "BB": "csv"}


@pytest.mark.parametrize(
    "options, content, message",
    [
        ("--universe u.txt", "# nothing", "u.txt has no tickers: write one a line."),
        ("--universe u.txt", "MSFT\nM S F T\n", "u.txt, line 2: "),
        ("--universe nowhere.txt", "", "nowhere.txt cannot be read: No such file or directory."),
        ("MSFT msft", "", "MSFT is given twice."),
        ("--refit 0", "", "'--refit'"),
        ("--refit 2 --stride 5", "", "use a refit of 5 or more"),
        ("--horizon 5 --gap 3", "", "gap must be a whole number from 4 up (horizon - 1)"),
        ("--model gru9", "", "'gru9' is not one of 'lstm'"),
        ("--model lstm --model ann --layers 2", "", "cell 'ann' has one hidden layer"),
        ("--layers 0", "", "'--layers': 0 is not in the range 1<=x<=8."),
        ("--costs-bps -1", "", "'--costs-bps'"),
        ("--test-years 200", "", "test_years must be a number above 0 and at most 100"),
        ("--model rnn --model rnn", "", "models must be one or more different ones of lstm"),
    ],
)
def test_bad_input_is_one_sentence(options, content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content:
        Path("u.txt").write_text(content)
    result = run(f"backtest {options} --source sample --out run", 2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not os.path.exists("run")


def test_an_existing_folder_and_one_without_folds_are_refused(tmp_path, csvs):
    result = run(f"backtest {csvs} --out {tmp_path}", 2)
    assert (
        f"{tmp_path} exists already: choose another folder with --out, or go on with --resume"
        in result.stderr
    )
    assert "is no backtest that can be resumed" in run(f"backtest --resume {tmp_path}", 1).stderr


@pytest.mark.parametrize("engine", ["--engine dask", "--scheduler tcp://127.0.0.1:1"])
def test_without_dask_other_engines_say_what_to_install(engine, tmp_path, monkeypatch, csvs):
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run(f"backtest {csvs} {SMALL} {engine} --out {tmp_path}/run", 2)
    assert "more than one process needs Dask: " in result.stderr and "dask" in result.stderr
    assert not (tmp_path / "run").exists()


def test_predicted_quantiles_are_kept_with_the_folds_and_shown(csvs, tmp_path):
    folder = tmp_path / "quantiles"
    options = f"{SMALL} --refit 10 --quantiles 0.1,0.5,0.7"
    shown = run(f"backtest {csvs} {options} --report --out {folder}").stdout
    assert "How good the predicted distributions were on the test rows" in shown and "In 60 % band" in shown
    page = (folder / "report.html").read_text()
    assert "10 % to 70 % quantile" in page and "How good the predicted distributions were" in page
    before = contents_but_members(folder)
    (folder / "predictions.csv").unlink()
    run(f"backtest --resume {folder} --quiet --no-plot")
    assert contents_but_members(folder) == before
    predictions = pd.read_csv(folder / "predictions.csv")
    lstm = predictions[predictions["model"] == "lstm"]
    metrics = json.loads((folder / "metrics.json").read_text())
    (own,) = (one for one in metrics["measures"] if one["ticker"] == "BB" and one["model"] == "lstm")
    held = lstm[lstm["ticker"] == "BB"].eval("low <= actual <= high")
    assert own["distribution"]["bands"][0]["coverage"] == pytest.approx(held.mean())
    assert own["coverage"]["covered"] == held.sum()


def contents_but_members(folder):
    return {name: (folder / name).read_bytes() for name in FILES if name != "members.csv"}
