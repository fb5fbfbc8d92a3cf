"""Prices from files, the cache and the packaged sample, their checks, and trading days."""

import gzip
import json
import logging
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trendlstm.data import cache, yahoo
from trendlstm.data import calendar as calendars
from trendlstm.data.prices import PriceSet, clean_prices, rows_sha256
from trendlstm.data.sources import load_prices, sample_tickers
from trendlstm.errors import DataError, OptionError, SourceError

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "cache"))


def prices_frame(count=300, start="2020-01-01", seed=0):
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, count)))
    open_ = close * np.exp(random.normal(0, 0.01, count))
    dates = pd.DatetimeIndex(pd.bdate_range(start, periods=count).to_numpy("datetime64[ns]"), name="Date")
    return pd.DataFrame({"Open": open_, "High": np.maximum(open_, close) * 1.01,
                         "Low": np.minimum(open_, close) * 0.99, "Close": close,
                         "Volume": random.integers(0, 10**9, count).astype(float)}, index=dates)  # fmt: skip


def csv_file(folder, text, name="prices.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load_csv(path, **options):
    return load_prices("TEST", years=100, csv=path, **options)


def notices(frame):
    return frame.attrs["provenance"]["notices"]


# ---------------------------------------------------------------- CSV: what is understood


def test_yahoo_download_format_is_adjusted(tmp_path):
    path = csv_file(tmp_path, "Date,Open,High,Low,Close,Adj Close,Volume\n"
                              "2024-01-02,10.0,12.0,9.0,11.0,5.5,100\n"
                              "2024-01-03,11.0,13.0,10.0,12.0,12.0,200\n")  # fmt: skip
    frame = load_csv(path)
    np.testing.assert_allclose(frame.to_numpy(), [[5, 6, 4.5, 5.5, 100], [11, 13, 10, 12, 200]], rtol=1e-15)
    assert (
        list(frame.columns) == ["Open", "High", "Low", "Close", "Volume"]
        and (frame.dtypes == np.float64).all()
    )
    provenance = frame.attrs["provenance"]
    assert provenance["adjusted"] and provenance["source"] == provenance["requested_source"] == "csv"
    assert (
        provenance["csv"] == str(path) and provenance["calendar"] == "XNYS" and provenance["exchange"] is None
    )
    assert any("Adj Close / Close" in notice for notice in notices(frame))


EXPECTED = pd.DataFrame(
    {"Open": [1010.5, 1020.25], "High": [1100.0, 1200.0], "Low": [1000.0, 1010.0], "Close": [1050.0, 1060.5],
     "Volume": [1234567.0, 89.0]},
    index=pd.DatetimeIndex(["2024-02-01", "2024-02-12"], name="Date").as_unit("ns"),
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        # Stooq
        "Date,Open,High,Low,Close,Volume\n2024-02-01,1010.5,1100,1000,1050,1234567\n"
        "2024-02-12,1020.25,1200,1010,1060.5,89\n",
        # Stooq's bulk files
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "X.US,D,20240201,000000,1010.5,1100,1000,1050,1234567,0\n"
        "X.US,D,20240212,000000,1020.25,1200,1010,1060.5,89,0\n",
        # Nasdaq: newest first, US dates, dollars
        "Date,Close/Last,Volume,Open,High,Low\n02/12/2024,$1060.50,89,$1020.25,$1200.00,$1010.00\n"
        "02/01/2024,$1050.00,1234567,$1010.50,$1100.00,$1000.00\n",
        # thousands separators, quotes, blanks, a byte-order mark, Windows line ends, a blank line, times after dates
        '\ufeffdate, OPEN ,high,low,close,volume\r\n2024-02-12 00:00:00-05:00,"1,020.25", 1200 ,"1,010","$1,060.50",89'
        '\r\n\r\n2024-02-01T00:00:00Z,"1,010.50","1,100","1,000","1,050","1,234,567"\r\n',
        # yfinance's table of one ticker, and grouped by ticker
        "Price,Close,High,Low,Open,Volume\nTicker,X,X,X,X,X\nDate,,,,,\n2024-02-01,1050,1100,1000,1010.5,1234567\n"
        "2024-02-12,1060.5,1200,1010,1020.25,89\n",
        "Ticker,X,X,X,X,X\nPrice,Open,High,Low,Close,Volume\nDate,,,,,\n2024-02-01,1010.5,1100,1000,1050,1234567\n"
        "2024-02-12,1020.25,1200,1010,1060.5,89\n",
    ],
)
def test_formats(tmp_path, text):
    frame = load_csv(csv_file(tmp_path, text))
    pd.testing.assert_frame_equal(frame, EXPECTED)
    assert not frame.attrs["provenance"]["adjusted"]
    order_said = any("newest to oldest" in notice for notice in notices(frame))
    assert order_said == (text.index("12") < text.index("01") if "/" in text or "\ufeff" in text else False)


def test_date_and_close_alone_with_a_calendar(tmp_path):
    path = csv_file(tmp_path, "Date,Close,Note\n1/2/2024,10,a\n1/3/2024,11,b\n")
    frame = load_csv(path, calendar="XLON")
    assert list(frame.columns) == ["Close"] and frame.index[1] == pd.Timestamp("2024-01-03")
    assert frame.attrs["provenance"]["calendar"] == "XLON"


def test_volume_without_any_value_is_left_out_and_said(tmp_path):
    frame = load_csv(csv_file(tmp_path, "Date,Close,Volume\n2024-01-02,10,N/A\n2024-01-03,11,N/A\n"))
    assert list(frame.columns) == ["Close"] and "Volume has no values" in notices(frame)[0]


def test_a_day_without_trade_is_no_fault(tmp_path):
    frame = load_csv(csv_file(tmp_path, "Date,Close,Volume\n2024-01-02,10,0\n2024-01-03,11,5\n"))
    assert list(frame["Volume"]) == [0, 5]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(12)), repeated=st.lists(st.integers(0, 11), max_size=4),
       empty=st.integers(0, 3), dollars=st.booleans(), us=st.booleans())  # fmt: skip
def test_order_repeats_and_empty_rows_lose_nothing(tmp_path, order, repeated, empty, dollars, us):
    frame = prices_frame(12).drop(columns="Volume") * 100
    lines = [
        ",".join([f"{day:%m/%d/%Y}" if us else f"{day:%Y-%m-%d}", *(f'"${v:,.4f}"' if dollars else f"{v!r}" for v in
                  map(float, row))])
        for day, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]  # fmt: skip
    rows = [lines[i] for i in order] + [lines[i] for i in repeated]
    rows[3:3] = [f"{'12/31/2021' if us else '2021-12-31'},null,null,null,null"] * empty
    loaded = load_csv(csv_file(tmp_path, "Date,Open,High,Low,Close\n" + "\n".join(rows)))
    expected = frame.round(4) if dollars else frame
    pd.testing.assert_frame_equal(loaded, expected, rtol=1e-15)
    said = " ".join(notices(loaded))
    assert ("repeated exactly" in said) == bool(repeated)
    assert ("without any price" in said) == bool(empty)
    assert ("sorted" in said) == (not pd.Index([*order, *repeated]).is_monotonic_increasing)


# ---------------------------------------------------------------- CSV: what is refused

OK = "2024-01-02,10,12,9,11,100"


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ["is empty"]),
        (b" \n\n", ["is empty"]),
        (b"Date,Close\n", ["no rows"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["not UTF-8 text"]),
        (b"Date,Close\n2024-01-02,1\0\n", ["binary"]),
        (gzip.compress(b"Date,Close\n2024-01-02,10\n"), ["not UTF-8 text"]),
        ("Date,Close\n2024-01-02,10\n".encode("utf-16"), ["UTF-16", "save it as UTF-8"]),
        ("Date,Close\n2024-01-02,10\n".encode("utf-16-be"), ["UTF-16"]),
        (b"<!DOCTYPE html>\n<html><body>Date,Close</body></html>", ["web page (HTML)"]),
        (b"\n  <HTML lang='en'>", ["web page (HTML)"]),
        (b"Date,Open,High\n2024-01-02,1,2\n", ["no column Close", "Date, Open, High"]),
        (b"Close\n10\n", ["no column Date"]),
        (b"Date;Close\n2024-01-02;10\n", ["has semicolons between its columns", "commas between them"]),
        (b"Date;Close\n2024-01-02;10,5\n", ["has semicolons between its columns", "points, not commas"]),
        (b"Date\tClose\n2024-01-02\t10\n", ["has tabs between its columns"]),
        (
            b"Exceeded the daily hits limit\nx",
            ["no column Date", "'Exceeded the daily hits limit'", "name the columns"],
        ),
        (
            b"Price,Close,Close\nTicker,MSFT,AAPL\nDate,,\n2024-01-02,1,2\n",
            ["several tickers (AAPL, MSFT)", "save one of them alone"],
        ),
        (b"Price,Close\nTicker,MSFT\nDate,\n", ["no rows"]),
        (b"Date,Close,Close/Last\n2024-01-02,1,1\n", ["two columns for Close"]),
    ],
)
def test_files_that_are_no_price_table(tmp_path, content, words):
    path = csv_file(tmp_path, content)
    with pytest.raises(DataError) as caught:
        load_csv(path)
    message = str(caught.value)
    assert str(path) in message and all(word in message for word in words), message
    assert caught.value.exit_code == 1 and message.endswith(".")


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_missing_file_and_folder(tmp_path, name):
    with pytest.raises(DataError, match="cannot be read"):
        load_csv(tmp_path / name)


@pytest.mark.parametrize(
    "rows, words",
    [
        ([OK, "2024-02-30,10,12,9,11,100"], ["row 3", "column Date", "2024-02-30"]),
        ([OK, "", "2024-13-01,10,12,9,11,100"], ["row 4", "column Date", "2024-13-01"]),
        ([OK, "01/03/2024,10,12,9,11,100"], ["row 3", "column Date", "01/03/2024", "YYYY-MM-DD"]),
        (["01/12/2024,10,12,9,11,100", "13/12/2024,10,12,9,11,100"], ["row 3", "column Date", "13/12/2024"]),
        (
            ["01/12/2024,10,12,9,11,100", "13/12/2024,10,12,9,11,100"],
            ["row 3", "day first (DD/MM/YYYY)", "YYYY-MM-DD"],
        ),
        (["12/01/2024,10,12,9,11,100", "13/13/2024,10,12,9,11,100"], ["row 3", "correct or remove the row"]),
        (["20240112,10,12,9,11,100", "2024113,10,12,9,11,100"], ["row 3", "column Date", "2024113"]),
        (["Monday,10,12,9,11,100"], ["row 2", "column Date", "Monday"]),
        ([OK, "2024-01-03,10,12,9,abc,100"], ["row 3", "column Close", "'abc'"]),
        ([OK, "2024-01-03,10,12,9,1_1,100"], ["row 3", "column Close", "'1_1'"]),
        ([OK, '2024-01-03,10,12,9,"11,5",100'], ["row 3", "column Close", "'11,5'"]),
        ([OK, "2024-01-03,10,12,9,11,12.5M"], ["row 3", "column Volume", "'12.5M'"]),
        ([OK, "2024-01-03,10,12,9,NaN,100"], ["row 3", "2024-01-03", "column Close", "nan"]),
        ([OK, "2024-01-03,10,,9,11,100"], ["row 3", "column High", "nan"]),
        ([OK, "2024-01-03,10,inf,9,11,100"], ["row 3", "column High", "inf"]),
        ([OK, "2024-01-03,10,12,9,0,100"], ["row 3", "column Close", "0 is not a positive"]),
        ([OK, "2024-01-03,10,12,-9,11,100"], ["row 3", "column Low", "-9"]),
        ([OK, "2024-01-03,10,12,9,11,-1"], ["row 3", "column Volume", "-1"]),
        ([OK, "2024-01-03,10,12,9,11,"], ["row 3", "column Volume", "nan"]),
        ([OK, "2024-01-03,10,12,9,12.5,100"], ["row 3", "column High", "below Close (12.5)"]),
        ([OK, "2024-01-03,8,12,9,11,100"], ["row 3", "column Low", "above Open (8)"]),
        (
            [OK, "2024-01-03,10,12,9,11,1", OK.replace("11,", "10.5,")],
            ["row 2", "row 4", "same date", "Close"],
        ),
        ([OK, "2024-01-03,10,12"], ["row 3", "has 3 columns"]),
        (["2024-01-02,,,,,100"], ["no row with a price"]),
    ],
)
def test_bad_rows_are_refused_with_file_row_and_column(tmp_path, rows, words):
    path = csv_file(tmp_path, "\n".join(["Date,Open,High,Low,Close,Volume", *rows]))
    with pytest.raises(DataError) as caught:
        load_csv(path)
    message = str(caught.value)
    assert str(path) in message and all(word in message for word in words), message


@pytest.mark.parametrize("value", ["0", "null", "inf", "-1"])
def test_bad_adjusted_close(tmp_path, value):
    path = csv_file(tmp_path, f"Date,Close,Adj Close\n2024-01-02,10,9\n2024-01-03,10,{value}\n")
    with pytest.raises(DataError, match=r"row 3 .*column Adj Close"):
        load_csv(path)


@settings(max_examples=60, deadline=None)
@given(row=st.integers(0, 49), column=st.sampled_from(["Open", "High", "Low", "Close"]),
       value=st.sampled_from([0.0, -1.0, np.inf, -np.inf, np.nan, 1e-9, 1e9]))  # fmt: skip
def test_no_bad_price_passes(row, column, value):
    if (column, value) in {("High", 1e9), ("Low", 1e-9)}:  # contradicts no other price
        return
    frame = prices_frame(50)
    frame.iloc[row, frame.columns.get_loc(column)] = value
    with pytest.raises(DataError, match=f"{frame.index[row]:%Y-%m-%d}"):
        clean_prices(frame, "prices")


def test_rounding_of_adjusted_prices_is_no_contradiction():
    frame = prices_frame(50)
    frame["High"] = frame[["Open", "Close"]].max(axis=1) * (1 - 1e-9)
    clean_prices(frame, "prices")


def test_gaps_of_more_than_seven_days_are_reported(tmp_path):
    def said(*days):
        rows = "\n".join(f"{day},10" for day in days)
        return " ".join(notices(load_csv(csv_file(tmp_path, "Date,Close\n" + rows))))

    assert "gap" not in said("2001-09-10", "2001-09-17")
    assert "a gap of more than 7 calendar days: 8 days, 2001-09-10 to 2001-09-18" in said(
        "2001-09-10", "2001-09-18"
    )
    several = said("2001-09-10", "2001-09-18", "2001-09-30", "2001-10-01")
    assert "2 gaps" in several and "the longest 12 days, 2001-09-18 to 2001-09-30" in several


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


# ---------------------------------------------------------------- options


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


# ---------------------------------------------------------------- the packaged sample


def test_sample_says_what_it_is(caplog):
    frame = load_prices("MSFT", years=4, source="sample")
    provenance = frame.attrs["provenance"]
    assert provenance["source"] == "sample" and provenance["rows"] == len(frame) == 1008
    (notice,) = notices(frame)
    assert "packaged sample" in notice and "2009-03-02 to 2013-03-01" in notice
    assert [r.getMessage() for r in caplog.records] == [notice]
    assert json.loads(json.dumps(provenance)) == provenance


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


# ---------------------------------------------------------------- the cache


def price_set(frame, **changes):
    fields = {"source": "yahoo", "calendar": "XNYS", "adjusted": True, "exchange": "NMS", "asked_from": "2019-12-01",
              "fetched_at": "2021-03-01T00:00:00+00:00", "fresh_until": "2021-03-01T21:30:00+00:00"}  # fmt: skip
    return PriceSet(frame=frame, **(fields | changes))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scale=st.floats(1e-8, 1e8), seed=st.integers(0, 10**6), count=st.integers(1, 40))
def test_cache_gives_back_every_bit(scale, seed, count):
    frame = prices_frame(count, seed=seed) * scale
    stored = price_set(frame, notices=("one", "two"))
    cache.write_cache("MSFT", stored)
    read = cache.read_cache("MSFT")
    pd.testing.assert_frame_equal(read.frame, frame, check_exact=True, check_index_type=False)
    assert rows_sha256(read.frame) == rows_sha256(frame)
    assert read.source == "cache"
    for name in ("calendar", "adjusted", "exchange", "asked_from", "fetched_at", "fresh_until", "notices"):
        assert getattr(read, name) == getattr(stored, name)


def test_cache_file_can_be_read_by_anyone():
    path = cache.write_cache("MSFT", price_set(prices_frame(3)))
    first, titles, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    header = json.loads(first.removeprefix("# "))
    assert header["ticker"] == "MSFT" and header["start"] == "2020-01-01" and header["rows"] == len(rows) == 3
    assert titles == "Date,Open,High,Low,Close,Volume" and rows[0].startswith("2020-01-01,")


def test_source_cache_uses_an_old_cache_and_never_falls_back():
    with pytest.raises(SourceError, match="cache has no prices of MSFT"):
        load_prices("MSFT", source="cache")
    cache.write_cache("MSFT", price_set(prices_frame(300)))
    frame = load_prices("MSFT", years=1, source="cache")
    assert frame.attrs["provenance"]["source"] == "cache" and not notices(frame)
    assert frame.attrs["provenance"]["fetched_at"] == "2021-03-01T00:00:00+00:00"


def damage(path, how):
    content = path.read_bytes()
    text = gzip.decompress(content)
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_bytes(b"hello")
    elif how == "flipped bit":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 8]) + content[middle + 1 :])
    elif how == "changed price":
        path.write_bytes(gzip.compress(text.replace(b"2020-01-02,1", b"2020-01-02,2")))
    elif how == "lost row":
        path.write_bytes(gzip.compress(text[: text.rindex(b"\n", 0, -1) + 1]))
    elif how == "other ticker":
        path.write_bytes(gzip.compress(text.replace(b'"ticker": "MSFT"', b'"ticker": "AAPL"')))
    else:
        path.write_bytes(gzip.compress(b"# {}\n" + text.partition(b"\n")[2]))
    assert path.read_bytes() != content


@pytest.mark.parametrize(
    "how",
    ["truncated", "empty", "text", "flipped bit", "changed price", "lost row", "other ticker", "no header"],
)
def test_damaged_cache_is_refused_and_set_aside(how):
    path = cache.write_cache("MSFT", price_set(prices_frame(300)))
    damage(path, how)
    damaged = path.read_bytes()
    with pytest.raises(DataError, match=r"MSFT\.csv\.gz is damaged .*renamed to MSFT.csv.gz.damaged"):
        load_prices("MSFT", source="cache")
    assert not path.exists() and path.with_name("MSFT.csv.gz.damaged").read_bytes() == damaged


def test_freshness_ends_with_the_next_close(monkeypatch):
    now = pd.Timestamp("2021-03-01 21:29:59", tz="UTC")
    monkeypatch.setattr(cache, "utc_now", lambda: now)
    assert cache.is_fresh(price_set(prices_frame(3)))
    now += pd.Timedelta(seconds=1)
    assert not cache.is_fresh(price_set(prices_frame(3)))
    assert not cache.is_fresh(price_set(prices_frame(3), fresh_until=None))


def test_list_and_clear():
    assert cache.list_cache() == [] and cache.clear_cache() == []
    for ticker in ("MSFT", "AAPL", "IBM"):
        cache.write_cache(ticker, price_set(prices_frame(3)))
    damage(cache.prices_path("IBM"), "text")
    (cache.cache_root() / "prices" / "notes.txt").write_text("mine")
    aapl, ibm, msft = cache.list_cache()
    assert aapl["ticker"] == "AAPL" and msft["rows"] == 3 and msft["path"].endswith("MSFT.csv.gz")
    assert "error" in ibm and "ticker" not in ibm
    with pytest.raises(DataError):
        cache.read_cache("IBM")
    assert [path.name for path in cache.clear_cache("IBM")] == ["IBM.csv.gz.damaged"]
    assert [path.name for path in cache.clear_cache()] == ["AAPL.csv.gz", "MSFT.csv.gz"]
    assert [path.name for path in (cache.cache_root() / "prices").iterdir()] == ["notes.txt"]


def write_many(folder, seed, barrier):
    os.environ["TRENDLSTM_CACHE_DIR"] = folder
    stored = price_set(prices_frame(200 + seed, seed=seed))
    barrier.wait()
    for _ in range(25):
        cache.write_cache("MSFT", stored)


def test_readers_see_a_whole_file_while_several_processes_write(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    folder = os.environ["TRENDLSTM_CACHE_DIR"]
    writers = [context.Process(target=write_many, args=(folder, seed, barrier)) for seed in range(2)]
    for writer in writers:
        writer.start()
    barrier.wait(timeout=60)
    lengths = set()
    while any(writer.is_alive() for writer in writers):
        read = cache.read_cache("MSFT")  # raises if it saw a mixture
        lengths |= {len(read.frame)} if read else set()
    for writer in writers:
        writer.join()
    assert all(writer.exitcode == 0 for writer in writers)
    assert lengths <= {200, 201} and cache.read_cache("MSFT") is not None
    assert [path.name for path in cache.prices_path("MSFT").parent.iterdir()] == ["MSFT.csv.gz"]


def write_until_killed(folder):
    os.environ["TRENDLSTM_CACHE_DIR"] = folder
    versions = [price_set(prices_frame(200 + seed, seed=seed)) for seed in range(2)]
    while True:
        for version in versions:
            cache.write_cache("MSFT", version)


def test_a_killed_writer_leaves_the_old_file_or_the_new():
    context = multiprocessing.get_context("spawn")
    path = cache.prices_path("MSFT")
    for _ in range(3):
        writer = context.Process(target=write_until_killed, args=(os.environ["TRENDLSTM_CACHE_DIR"],))
        writer.start()
        path.unlink(missing_ok=True)
        while not path.exists():
            assert writer.is_alive()
        writer.kill()
        writer.join()
        assert len(cache.read_cache("MSFT").frame) in {200, 201}


def test_a_failed_write_leaves_the_old_file(monkeypatch):
    path = cache.write_cache("MSFT", price_set(prices_frame(300)))
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        cache.write_cache("MSFT", price_set(prices_frame(10)))
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


def test_hash_tells_rows_apart():
    frame = prices_frame(5)
    moved = frame.set_axis(frame.index + pd.Timedelta(days=1))
    nudged = frame.copy()
    nudged.iloc[2, 3] = np.nextafter(nudged.iloc[2, 3], np.inf)
    variants = [frame, moved, nudged, frame.iloc[:4], frame.rename(columns={"Open": "Low", "Low": "Open"})]
    assert len({rows_sha256(variant) for variant in variants}) == len(variants)
    assert rows_sha256(frame) == rows_sha256(frame.set_axis(frame.index.as_unit("s")))


# ---------------------------------------------------------------- trading days


def test_next_sessions_of_new_york_skip_holidays():
    dates = calendars.next_sessions(pd.Timestamp("2013-03-27"), 3, "XNYS")  # before Good Friday
    assert list(dates.strftime("%Y-%m-%d")) == ["2013-03-28", "2013-04-01", "2013-04-02"]
    assert dates.tz is None and dates.name == "Date"


def test_next_days_of_every_day_prices():
    dates = calendars.next_sessions(pd.Timestamp("2024-02-28"), 3, "24/7")
    assert list(dates.strftime("%Y-%m-%d")) == ["2024-02-29", "2024-03-01", "2024-03-02"]


@settings(max_examples=15, deadline=None)
@given(day=st.dates(pd.Timestamp("1995-01-01").date(), pd.Timestamp("2025-12-31").date()), count=st.integers(1, 300),
       calendar=st.sampled_from(["XNYS", "XLON", "XTKS", "24/5", "24/7"]))  # fmt: skip
def test_next_sessions_are_consecutive_and_in_the_future(day, count, calendar):
    dates = calendars.next_sessions(pd.Timestamp(day), count, calendar)
    assert (
        len(dates) == count
        and dates[0] > pd.Timestamp(day)
        and (np.diff(dates) > np.timedelta64(0, "ns")).all()
    )
    # One at a time gives the same days.
    assert calendars.next_sessions(dates[0], 1, calendar)[0] == (dates[1] if count > 1 else
           calendars.next_sessions(pd.Timestamp(day), 2, calendar)[1])  # fmt: skip


def test_beyond_the_known_holidays_weekdays_count_and_it_is_said(caplog):
    dates = calendars.next_sessions(pd.Timestamp("2049-12-20"), 20, "XHKG")
    assert "2049-12-27" not in dates and pd.Timestamp("2050-01-03") in dates and len(dates) == 20
    assert "The calendar XHKG has no holidays after 2049-12-31" in caplog.text
    far = calendars.next_sessions(pd.Timestamp("2060-01-01"), 5, "XHKG")
    assert list(far) == list(pd.bdate_range("2060-01-02", periods=5))
    caplog.clear()
    calendars.next_sessions(pd.Timestamp("2049-11-01"), 3, "XHKG")
    assert not caplog.records
    assert calendars.last_complete_session("XHKG", pd.Timestamp("2049-12-31 00:00", tz="UTC")) < pd.Timestamp(
        "2049-12-31"
    )
    assert calendars.last_complete_session(
        "XHKG", pd.Timestamp("2055-01-06 12:00", tz="UTC")
    ) == pd.Timestamp("2055-01-05")
    assert not caplog.records
    early = calendars.next_sessions(pd.Timestamp("1959-12-28"), 4, "XHKG")
    assert early[0] == pd.Timestamp("1959-12-29") and "before 1960-01-01" in caplog.text


@pytest.mark.parametrize(
    "calendar, now, session",
    [
        ("XNYS", "2025-06-13 19:59", "2025-06-12"),
        ("XNYS", "2025-06-13 20:00", "2025-06-13"),
        ("XNYS", "2025-06-15 12:00", "2025-06-13"),
        ("XNYS", "2024-11-29 18:00", "2024-11-29"),  # a half day
        ("XTKS", "2025-06-13 08:00", "2025-06-13"),
        ("24/7", "2025-06-13 23:59", "2025-06-12"),
        ("24/7", "2025-06-14 00:00", "2025-06-13"),
    ],
)
def test_last_complete_session_and_the_close_after_it(calendar, now, session):
    now = pd.Timestamp(now, tz="UTC")
    last = calendars.last_complete_session(calendar, now)
    assert last == pd.Timestamp(session) and last.tz is None
    close = calendars.next_close(calendar, last)
    assert close > now
    following = calendars.next_sessions(last, 1, calendar)[0]
    assert calendars.last_complete_session(calendar, close) == following
    assert calendars.last_complete_session(calendar, close - pd.Timedelta(seconds=1)) == last


@pytest.mark.parametrize(
    "exchange, ticker, calendar",
    [
        ("NMS", "MSFT", "XNYS"), ("NYQ", "IBM", "XNYS"), ("CCC", "BTC-USD", "24/7"), ("JPX", "7203.T", "XTKS"),
        (None, "MSFT", "XNYS"), (None, "BRK-B", "XNYS"), (None, "BTC-USD", "24/7"), (None, "EURUSD=X", "24/5"),
        (None, "ES=F", "CMES"), (None, "VOD.L", "XLON"), (None, "SAP.DE", "XETR"), (None, "^GSPC", "XNYS"),
        ("???", "VOD.L", "XLON"), (None, "X.NOWHERE", "XNYS"),
    ],
)  # fmt: skip
def test_calendar_of(exchange, ticker, calendar):
    assert calendars.calendar_of(exchange, ticker) == calendar
    assert calendars.check_calendar(calendar) == calendar


def test_every_calendar_exists():
    import exchange_calendars

    assert set(calendars._EXCHANGES) <= set(exchange_calendars.get_calendar_names())


def test_bad_counts_and_calendars():
    with pytest.raises(OptionError, match="1 or more"):
        calendars.next_sessions(pd.Timestamp("2024-01-02"), 0, "XNYS")
    with pytest.raises(OptionError, match="no trading calendar"):
        calendars.next_sessions(pd.Timestamp("2024-01-02"), 1, "NYSE2")


# ---------------------------------------------------------------- what it costs


def test_sample_and_fresh_cache_import_neither_yfinance_nor_calendars():
    code = """
import sys
import pandas as pd
from trendlstm.data import cache, sources
frame = sources.load_prices("MSFT", source="sample")
stored = sources.PriceSet(frame=frame, source="yahoo", calendar="XNYS", adjusted=True, asked_from="1990-01-01",
                          fetched_at="", fresh_until="2100-01-01T00:00:00+00:00")
cache.write_cache("MSFT", stored)
assert sources.load_prices("MSFT", source="auto").attrs["provenance"]["source"] == "cache"
print([name for name in ("yfinance", "exchange_calendars", "scipy", "matplotlib", "numba") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_pauses_are_real_by_default():
    import time

    assert yahoo.sleep is time.sleep and yahoo.clock is time.monotonic and yahoo.RETRY_SECONDS == 60


def test_a_calendar_that_cannot_be_made_is_named(monkeypatch):
    import exchange_calendars

    def fail(*_, **__):
        raise ValueError("Special dates [...] are not sessions.")

    monkeypatch.setattr(exchange_calendars, "get_calendar", fail)
    calendars._recorded_closes.cache_clear()
    with pytest.raises(DataError, match=r"cannot make the calendar XLON .*--calendar"):
        calendars.next_sessions(pd.Timestamp("2026-10-01"), 3, "XLON")
    calendars._recorded_closes.cache_clear()
