"""Where prices come from: options, notices, the packaged sample, and what loading costs."""

import json
import logging
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from price_tables import csv_file, load_csv, notices

from trendlstm.data import calendar as calendars
from trendlstm.data.prices import rows_sha256
from trendlstm.data.sources import find_prices, load_prices, sample_tickers
from trendlstm.errors import OptionError, SourceError

REPOSITORY = Path(__file__).parents[1]

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize(
    "ticker", ["", " ", "../x", "a/b", "a\\b", "..", ".", "A" * 300, "A B", "A\0", "é", "-A", None]
)
def test_bad_tickers(ticker):
    with pytest.raises(OptionError, match="is not a ticker") as caught:
        load_prices(ticker, source="cache")
    assert caught.value.exit_code == 2 and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "ticker", ["msft", "BRK-B", "7203.T", "BTC-USD", "^GSPC", "EURUSD=X", "M&M.NS", "ES=F"]
)
def test_good_tickers(ticker):
    with pytest.raises(SourceError, match="cache has no prices"):
        load_prices(ticker, source="cache")


@pytest.mark.parametrize("years", [0, -1, 200, float("nan"), float("inf"), "four", None])
def test_bad_years(years):
    with pytest.raises(OptionError, match="years must be a number above 0 and at most 100"):
        load_prices(years=years, source="sample")


def test_bad_source_calendar_and_combination(tmp_path):
    with pytest.raises(OptionError, match="auto, yahoo, cache, sample, not 'google'"):
        load_prices(source="google")
    with pytest.raises(OptionError, match="no trading calendar 'XXXX'"):
        load_prices(source="sample", calendar="XXXX")
    with pytest.raises(OptionError, match="give one of them"):
        load_prices(source="sample", csv=tmp_path / "x.csv")


@pytest.mark.parametrize("years, start", [(4, "2009-03-02"), (1, "2012-03-01"), (0.5, "2012-08-30")])
def test_years_reach_back_from_the_last_row(years, start):
    assert load_prices(years=years, source="sample").attrs["provenance"]["start"] == start


def test_fewer_years_than_asked_for_is_said():
    assert (
        "Prices begin only on 2000-03-01: 13.0 years instead of 20"
        in notices(load_prices(years=20, source="sample"))[1]
    )


def days_csv(folder, dates):
    return csv_file(
        folder, "Date,Close\n" + "".join(f"{day:%Y-%m-%d},{10 + i}\n" for i, day in enumerate(dates))
    )


@pytest.mark.parametrize(
    ("calendar", "days", "said"),
    [
        (None, "D", "calendar XNYS, but 8 of 30 rows are of such days, the last of 2024-01-28"),
        ("24/5", "D", "calendar 24/5, but 8 of 30"),
        ("24/7", "D", ""),
        (None, "B", ""),
        ("XSAU", "C", ""),  # Riyadh trades from Sunday to Thursday
    ],
)
def test_rows_of_weekends_under_an_exchanges_calendar_are_said(tmp_path, calendar, days, said):
    weekmask = {"weekmask": "Sun Mon Tue Wed Thu"} if days == "C" else {}
    dates = pd.date_range("2024-01-01", periods=30, freq=pd.offsets.CDay(**weekmask) if weekmask else days)
    found = [notice for notice in notices(load_csv(days_csv(tmp_path, dates), calendar=calendar))
             if notice.startswith("Saturdays")]  # fmt: skip
    assert len(found) == bool(said)
    assert all(said in notice and "(--calendar 24/7)" in notice for notice in found)


@pytest.mark.parametrize(
    ("freq", "said"), [("W-WED", "7 days apart"), ("MS", "31 days apart"), ("B", ""), ("4D", "")]
)
def test_rows_rarer_than_daily_are_said(tmp_path, freq, said):
    dates = pd.date_range("2024-01-01", periods=30, freq=freq)
    found = [notice for notice in notices(load_csv(days_csv(tmp_path, dates), calendar="24/7"))
             if "rarer than daily" in notice]  # fmt: skip
    assert len(found) == bool(said)
    assert all(said in notice and "daily sessions of the calendar 24/7" in notice for notice in found)


def test_last_row_of_an_unfinished_session_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(calendars, "utc_now", lambda: pd.Timestamp("2024-01-03 18:00", tz="UTC"))
    finished = load_csv(csv_file(tmp_path, "Date,Close\n2024-01-02,10\n"))
    open_ = load_csv(csv_file(tmp_path, "Date,Close\n2024-01-02,10\n2024-01-03,11\n"))
    assert not any("complete session" in notice for notice in notices(finished))
    assert any("2024-01-03, is later than the last complete session" in notice for notice in notices(open_))


def test_every_notice_is_logged_once(tmp_path, caplog):
    frame = load_csv(csv_file(tmp_path, "Date,Close\n2024-03-02,10\n2024-01-03,11\n2024-01-03,11\n"))
    assert len(notices(frame)) == 6  # order, repeated, a Saturday, few rows, gap, fewer years
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == notices(frame)


def test_sample_says_what_it_is(caplog):
    frame = load_prices("MSFT", years=4, source="sample")
    provenance = frame.attrs["provenance"]
    assert provenance["source"] == "sample" and provenance["rows"] == len(frame) == 1008
    (notice,) = notices(frame)
    assert "packaged sample" in notice and "2009-03-02 to 2013-03-01" in notice
    assert [r.getMessage() for r in caplog.records] == [notice]
    assert json.loads(json.dumps(provenance)) == provenance


def test_provenance_is_a_type_of_its_own_and_attrs_a_courtesy():
    found = find_prices("MSFT", years=4, source="sample")
    frame = load_prices("MSFT", years=4, source="sample")
    pd.testing.assert_frame_equal(found.frame, frame)
    assert not found.frame.attrs and frame.attrs == {"provenance": found.provenance.to_dict()}
    assert (found.provenance.ticker, found.provenance.rows) == ("MSFT", 1008)
    assert found.provenance.sha256 == rows_sha256(frame)
    with pytest.raises(FrozenInstanceError):
        found.provenance.rows = 0


@pytest.mark.parametrize("ticker", ["AAPL", "GOOG", "IBM", "MSFT"])
def test_sample_is_its_source_adjusted(ticker):
    stocks = pytest.importorskip("bokeh_sampledata.stocks")
    raw = pd.DataFrame(getattr(stocks, ticker))
    frame = load_prices(ticker, years=100, source="sample")
    assert list(frame.index) == list(pd.to_datetime(raw["date"]))
    for ours, theirs in (("Open", "open"), ("High", "high"), ("Low", "low"), ("Close", "close")):
        np.testing.assert_allclose(frame[ours], raw[theirs] * raw["adj_close"] / raw["close"], rtol=1e-6)
    ratio = frame["Volume"].to_numpy() / raw["volume"].to_numpy()
    changes = {raw["date"][i + 1]: ratio[i] / ratio[i + 1] for i in np.flatnonzero(np.diff(ratio))}
    splits = {"AAPL": {"2000-06-21": 2, "2005-02-28": 2}, "MSFT": {"2003-02-18": 2}}
    assert changes == splits.get(ticker, {}) and ratio[-1] == 1


def test_sample_has_four_tickers_and_no_other():
    assert sample_tickers() == ("AAPL", "GOOG", "IBM", "MSFT")
    for ticker in sample_tickers():
        returns = np.diff(np.log(load_prices(ticker, years=100, source="sample")["Close"]))
        assert 0.015 < returns.std() < 0.032
    with pytest.raises(SourceError, match="no TSLA, only AAPL, GOOG, IBM, MSFT"):
        load_prices("TSLA", source="sample")


def test_sample_and_fresh_cache_import_neither_yfinance_nor_calendars():
    code = """
import sys
import pandas as pd
from trendlstm.data import cache, prices, sources
frame = sources.load_prices("MSFT", source="sample")
stored = prices.SourcePrices(frame=frame, source="yahoo", calendar="XNYS", adjusted=True, asked_from="1990-01-01",
                          fetched_at="", fresh_until="2100-01-01T00:00:00+00:00")
cache.write_cache("MSFT", stored)
assert sources.load_prices("MSFT", source="auto").attrs["provenance"]["source"] == "cache"
print([name for name in ("yfinance", "exchange_calendars", "scipy", "matplotlib", "numba") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
