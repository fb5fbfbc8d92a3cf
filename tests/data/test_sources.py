"""Where prices come from: options, notices, the packaged sample, and what loading costs."""

import json
import logging
import subprocess
import sys
from dataclasses import FrozenInstanceError
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from price_tables import csv_file, load_csv, notices

from trendlstm.config import DataConfig
from trendlstm.data import cache
from trendlstm.data.prices import SourcePrices, rows_sha256
from trendlstm.data.sources import find_prices, load_prices, sample_tickers
from trendlstm.errors import OptionError, SourceError

REPOSITORY = Path(__file__).parents[2]

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


@pytest.mark.parametrize("years", [0, -1, 200, float("nan"), float("inf"), "four", True])
def test_bad_years(years):
    with pytest.raises(OptionError, match="years must be a number above 0 and at most 100"):
        load_prices(years=years, source="sample")


def test_bad_source_calendar_and_combination(tmp_path):
    with pytest.raises(OptionError, match="auto, yahoo, cache, sample, but is 'google'"):
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


def test_every_notice_is_logged_once(tmp_path, caplog):
    frame = load_csv(csv_file(tmp_path, "Date,Close\n2024-03-02,10\n2024-01-03,11\n2024-01-03,11\n"))
    assert len(notices(frame)) == 5  # order, repeated, a Saturday, missing sessions, gap
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == notices(frame)


def test_years_are_four_unless_given_or_a_start_or_a_file(tmp_path):
    assert DataConfig().years == 4 and DataConfig(end="2012-01-03").years == 4
    assert DataConfig(csv="x.csv").years is None and DataConfig(start="2012-01-03").years is None
    everything = load_prices("MSFT", years=100, source="sample")
    path = tmp_path / "all.csv"
    everything.to_csv(path)
    loaded = load_prices(csv=path)
    pd.testing.assert_frame_equal(loaded, everything)
    assert not notices(loaded)
    loaded = load_prices(csv=path, years=4)
    assert len(loaded) == 1008
    assert notices(loaded) == [f"{path}: 2,262 of 3,270 rows left out because of --years 4."]


@pytest.mark.parametrize("source", ["sample", "csv", "cache"])
def test_start_and_end_are_both_included(tmp_path, source):
    everything = load_prices("MSFT", years=100, source="sample")
    if source == "csv":
        everything.to_csv(tmp_path / "all.csv")
        settings = {"csv": tmp_path / "all.csv"}
    else:
        cache.write_cache("MSFT", SourcePrices(everything, "yahoo", "XNYS", True))
        settings = {"source": source}
    for start, end in (("2004-06-01", "2010-12-31"), ("2012-01-01", None), (None, "2001-05-05")):
        loaded = load_prices("MSFT", start=start, end=end, **settings)
        years = None if start or source == "csv" else pd.Timestamp(end) - pd.DateOffset(years=4)
        expected = everything.loc[start or years : end]
        pd.testing.assert_frame_equal(loaded, expected, check_freq=False)
        said = [notice for notice in notices(loaded) if "left out" in notice]
        given = " ".join(f"--{name} {day}" for name, day in (("start", start), ("end", end)) if day)
        rows = len(everything) - len(expected)
        assert said == [f"{tmp_path / 'all.csv'}: {rows:,} of 3,270 rows left out because of {given}."] * (
            source == "csv"
        )
    first = load_prices("MSFT", start=date(2004, 6, 1), end=pd.Timestamp("2010-12-31"), **settings)
    assert f"{first.index[0]:%Y-%m-%d}" == "2004-06-01"


def test_years_reach_back_from_the_end():
    frame = load_prices("MSFT", years=1, end="2010-12-31", source="sample")
    assert [f"{day:%Y-%m-%d}" for day in frame.index[[0, -1]]] == ["2009-12-31", "2010-12-31"]


def test_prices_that_lack_at_either_end_are_said():
    frame = load_prices("MSFT", start="1999-01-04", end="2014-01-03", source="sample")
    assert notices(frame)[1:] == [
        "Prices begin only on 2000-03-01: not on 1999-01-04.",
        "Prices end on 2013-03-01 already, not on 2014-01-03.",
    ]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            {"start": "2013-06-03"},
            SourceError,
            "no prices of MSFT from 2013-06-03, only of 2000-03-01 to 2013-03-01",
        ),
        ({"end": "1999-06-03"}, SourceError, "no prices of MSFT to 1999-06-03, only of 2000-03-01"),
        ({"start": "2010-05-01", "end": "2010-05-02"}, SourceError, "from 2010-05-01 to 2010-05-02, only"),
        (
            {"start": "2010-05-02", "end": "2010-05-01"},
            OptionError,
            "start 2010-05-02 is after the end 2010-05-01",
        ),
        (
            {"start": "2010-05-02", "years": 4},
            OptionError,
            "start 2010-05-02 or for 4 years; give one of them",
        ),
        (
            {"start": "05/02/2010"},
            OptionError,
            "start must be a date such as 2020-01-31, but is '05/02/2010'",
        ),
        ({"end": "2010-02-30"}, OptionError, "end must be a date such as 2020-01-31, but is '2010-02-30'"),
        ({"decimal": ","}, OptionError, "decimal must be given with a file of prices"),
        ({"date_format": "%d/%m/%Y"}, OptionError, "date_format must be given with a file of prices"),
    ],
)
def test_bad_spans_and_forms(given, error, words):
    with pytest.raises(error) as caught:
        load_prices("MSFT", source="sample", **given)
    assert words in str(caught.value)


def test_sample_says_what_it_is(caplog):
    frame = load_prices("MSFT", years=4, source="sample")
    provenance = frame.attrs["provenance"]
    assert provenance["source"] == "sample" and provenance["rows"] == len(frame) == 1008
    (notice,) = notices(frame)
    assert "packaged sample" in notice and "2009-03-02 to 2013-03-01" in notice
    assert [r.getMessage() for r in caplog.records] == [notice]
    assert json.loads(json.dumps(provenance)) == provenance


def test_provenance_is_a_type_of_its_own_and_attrs_a_courtesy():
    found = find_prices(DataConfig("msft", source="sample"))
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
