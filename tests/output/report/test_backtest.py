"""The page of a backtest says what its files say, and stays small for many tickers."""

import numpy as np
import pandas as pd
import pytest
from backtests import drawn_backtest
from run_folders import Parsed, backtest_folder

from trendlstm.output.report import backtest
from trendlstm.output.report.make import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return backtest_folder(
        path,
        tickers=("AA", "BB", "NA"),
        horizon=2,
        rows=360,
        test_years=0.5,
        models=("lstm", "rnn"),
        failures={"CC": "no <prices>"},
    )


@pytest.fixture
def page(folder):
    return Parsed(write_report(folder).read_text())


def rows(chart, name):
    (found,) = [one for one in chart["sets"] if one["name"] == name]
    return found


def test_equity_and_drawdown_of_every_strategy_and_ticker(folder, page):
    equity = pd.read_csv(folder / "equity.csv", keep_default_na=False)
    worth, falls = page.data["charts"]["equity"], page.data["charts"]["drawdown"]
    labels = [line["label"] for line in worth["lines"]]
    assert labels == [
        "LSTM, long/flat",
        "LSTM, long/short",
        "RNN, long/flat",
        "RNN, long/short",
        "buy and hold",
    ]
    assert (
        worth["choice"] == falls["choice"]
        and len({(line["colour"], line["dash"]) for line in worth["lines"]}) == 5
    )
    for ticker, name in (("", "all tickers together"), ("AA", "AA"), ("NA", "NA")):
        for number, label in enumerate(labels):
            model, _, strategy = label.lower().rpartition(", ")
            own = equity[
                (equity["ticker"] == ticker) & (equity["model"] == model) & (equity["strategy"] == strategy)
            ]
            expected = np.concatenate([[1.0], own["equity"]])
            np.testing.assert_allclose(rows(worth, name)["values"][number], expected, rtol=1e-5)
            highest = np.maximum.accumulate(expected)
            drawn = rows(falls, name)["values"][number]
            np.testing.assert_allclose(drawn, 100 * (expected / highest - 1), rtol=1e-5, atol=1e-9)
            assert max(drawn) <= 0


def test_equity_begins_at_1_on_the_day_of_the_first_trade(tmp_path):
    result = drawn_backtest(tickers=("AA", "BB"))
    folder = backtest_folder(tmp_path / "run", tickers=("AA", "BB"))
    chart = Parsed(write_report(folder).read_text()).data["charts"]["equity"]
    accounts = {one.ticker or "all tickers together": one.account for one in result.accounts}
    for name, account in accounts.items():
        found = rows(chart, name)
        assert found["x"] == account.dates.astype("datetime64[D]").astype(int).tolist()
        assert {values[0] for values in found["values"]} == {1}


def test_strategies_are_in_the_order_of_the_settings_whatever_that_of_the_file(folder, page):
    path = folder / "equity.csv"
    whole = path.read_bytes()
    pd.read_csv(path, keep_default_na=False).sort_values(["strategy", "date"]).to_csv(path, index=False)
    try:
        assert (
            Parsed(write_report(folder).read_text()).data["charts"]["equity"] == page.data["charts"]["equity"]
        )
    finally:
        path.write_bytes(whole)


def test_forecasts_of_a_ticker_that_is_chosen(folder, page):
    table = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    for model in ("lstm", "rnn"):
        chart = page.data["charts"][f"forecasts-{model}"]
        assert [one["name"] for one in chart["sets"]] == ["AA", "BB", "NA"] and chart["choice"] == "Ticker"
        own = table[(table["ticker"] == "NA") & (table["model"] == model) & (table["step"] == 1)]
        columns = ["low", "high", "adaptive_low", "adaptive_high", "naive", "forecast", "actual"]
        for name, drawn in zip(columns, rows(chart, "NA")["values"], strict=True):
            expected = pd.to_numeric(own[name], errors="coerce").replace([np.inf, -np.inf], np.nan)
            np.testing.assert_allclose(np.array(drawn, float), expected, rtol=1e-5)


def test_what_was_not_tested_is_said(page):
    assert "Not tested" in page.texts("h2") and "CC: no <prices>" in page.texts("p")


def test_of_many_tickers_the_newest_forecasts_are_drawn_and_that_is_said(folder, page, monkeypatch):
    whole = len(rows(page.data["charts"]["forecasts-lstm"], "AA")["x"])
    assert "predictions.csv has all" not in " ".join(page.texts("p"))
    monkeypatch.setattr(backtest, "MOST_POINTS", 6 * 70)
    monkeypatch.setattr(backtest, "MOST_TICKERS", 2)
    small = Parsed(write_report(folder).read_text())
    chart = small.data["charts"]["forecasts-lstm"]
    assert [one["name"] for one in chart["sets"]] == ["AA", "BB"]
    newest = 6 * 70 // 4
    assert newest < whole
    assert rows(chart, "AA")["x"] == rows(page.data["charts"]["forecasts-lstm"], "AA")["x"][-newest:]
    assert [one["name"] for one in small.data["charts"]["equity"]["sets"]] == ["all tickers together"]
    said = " ".join([*small.texts("p"), *small.texts("span")])
    assert (
        f"The first 2 of 3 tickers. The newest {newest} of {whole} forecasts of each ticker. predictions.csv has all."
        in said
    )
    assert "equity.csv has each" in said


def test_one_ticker_has_nothing_to_choose(tmp_path):
    page = Parsed(write_report(backtest_folder(tmp_path / "run", tickers=("AA",))).read_text())
    assert all(len(chart["sets"]) == 1 for chart in page.data["charts"].values())
