"""Prices from Yahoo: the real yfinance against a loopback server that speaks Yahoo's chart JSON."""

import json
import logging
import os
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from yahoo_server import random_walk, redirect_yfinance, serve

from trendlstm.data import cache, yahoo
from trendlstm.data import calendar as calendars
from trendlstm.data.sources import load_prices
from trendlstm.errors import DataError, SourceError

NOW = pd.Timestamp("2025-06-13 22:00", tz="UTC")  # a Friday, two hours after New York's close
COLUMNS = ["Open", "High", "Low", "Close", "Volume"]
STATUS_FAULTS = {"429", "500"}


class Clock:
    """Wall clock and pauses that only the test moves."""

    def __init__(self, monkeypatch):
        self.now, self.elapsed, self.pauses = NOW, 0.0, []
        monkeypatch.setattr(calendars, "utc_now", lambda: self.now)
        monkeypatch.setattr(cache, "utc_now", lambda: self.now)
        monkeypatch.setattr(yahoo, "clock", lambda: self.elapsed)
        monkeypatch.setattr(yahoo, "sleep", self.sleep)

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.elapsed += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def server(monkeypatch, tmp_path, clock):
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "cache"))
    with serve() as running:
        redirect_yfinance(running.url, monkeypatch.setattr)
        yield running


def warned(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "trendlstm" and r.levelno == logging.WARNING]


def test_prices_are_adjusted_and_end_with_the_last_complete_session(server):
    server.dividends = {"2023-05-17": 1.5, "2024-08-15": 2.0}
    server.rows = random_walk(dividends=server.dividends)
    prices = load_prices("msft", years=4, source="yahoo")
    expected = server.rows.loc["2021-06-13":"2025-06-13"]
    assert list(prices.columns) == COLUMNS and prices.index.name == "Date" and prices.index.tz is None
    assert prices.index.equals(expected.index.as_unit("ns").rename("Date"))
    factor = expected["Adj Close"] / expected["Close"]
    assert factor.iloc[0] < 0.99 and factor.iloc[-1] == 1
    for column in COLUMNS[:4]:
        np.testing.assert_allclose(prices[column], expected[column] * factor, rtol=1e-12)
    np.testing.assert_array_equal(prices["Volume"], expected["Volume"])
    provenance = prices.attrs["provenance"]
    assert json.loads(json.dumps(provenance)) == provenance
    wanted = {
        "ticker": "MSFT",
        "source": "yahoo",
        "requested_source": "yahoo",
        "exchange": "NMS",
        "calendar": "XNYS",
        "adjusted": True,
        "start": "2021-06-14",
        "end": "2025-06-13",
        "rows": len(expected),
        "csv": None,
        "fetched_at": "2025-06-13T22:00:00+00:00",
        "notices": [],
    }
    assert wanted.items() <= provenance.items()


def test_prices_equal_those_that_yfinance_adjusts_itself(server):
    server.dividends, server.splits = {"2023-05-17": 1.5}, {"2024-06-10": 10}
    server.rows = random_walk(dividends=server.dividends)
    ours = load_prices("MSFT", years=3, source="yahoo")
    import yfinance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = yfinance.Ticker("MSFT").history(
            start="2022-06-13", end="2025-06-14", interval="1d", auto_adjust=True, actions=False
        )
    np.testing.assert_allclose(ours.to_numpy(), theirs[COLUMNS].to_numpy(), rtol=1e-12)
    assert ours.index.equals(theirs.index.tz_localize(None).as_unit("ns"))


def test_explicit_dates_and_no_row_of_a_session_that_is_not_over(server, clock):
    clock.now = pd.Timestamp("2025-06-13 20:10", tz="UTC")  # ten minutes after the close: not settled yet
    prices = load_prices("MSFT", years=1, source="yahoo")
    assert prices.attrs["provenance"]["end"] == "2025-06-12" and not prices.attrs["provenance"]["notices"]
    query = next(query for path, query in server.asked if "period1" in query)
    day = {
        name: pd.Timestamp(int(query[name]), unit="s", tz="UTC").tz_convert("America/New_York")
        for name in query
        if name.startswith("period")
    }
    assert f"{day['period2']:%Y-%m-%d %H:%M}" == "2025-06-13 00:00"  # exclusive
    assert f"{day['period1']:%Y-%m-%d}" == "2024-06-05"


def test_a_split_in_the_range_makes_no_jump(server):
    server.splits = {
        "2024-06-10": 10
    }  # Yahoo's rows are adjusted for splits already: adjusting again would be wrong
    prices = load_prices("NVDA", years=2, source="yahoo")
    assert np.abs(np.diff(np.log(prices["Close"]))).max() < 0.1
    np.testing.assert_array_equal(prices["Close"], server.rows["Close"].loc[prices.index])


def test_cryptocurrency_every_day(server):
    server.rows, server.exchange, server.timezone = random_walk(every_day=True), "CCC", "UTC"
    prices = load_prices("BTC-USD", years=1, source="yahoo")
    assert prices.attrs["provenance"]["calendar"] == "24/7"
    assert prices.attrs["provenance"]["end"] == "2025-06-12"  # the day in UTC is not over
    assert (np.diff(prices.index) == np.timedelta64(1, "D")).all()


def test_the_exchange_that_yahoo_names_decides_which_session_is_complete(server):
    server.exchange = "CCC"  # nothing in the ticker says that it trades every day
    prices = load_prices("ABC", years=1, source="yahoo")
    assert prices.attrs["provenance"]["calendar"] == "24/7"
    assert prices.attrs["provenance"]["end"] == "2025-06-12" and not prices.attrs["provenance"]["notices"]


def test_fresh_cache_is_used_without_a_request_and_an_old_one_is_replaced(server, clock, caplog):
    fetched = load_prices("MSFT", years=4)
    count = len(server.asked)
    clock.now = pd.Timestamp("2025-06-16 20:20", tz="UTC")  # Monday, not settled
    cached = load_prices("MSFT", years=2)
    assert len(server.asked) == count
    assert (
        cached.attrs["provenance"]["source"] == "cache" and fetched.attrs["provenance"]["source"] == "yahoo"
    )
    pd.testing.assert_frame_equal(cached, fetched.loc["2023-06-13":])
    again = load_prices("MSFT", years=4)
    assert again.attrs["provenance"]["sha256"] == fetched.attrs["provenance"]["sha256"]
    clock.now = pd.Timestamp("2025-06-16 20:31", tz="UTC")
    newer = load_prices("MSFT", years=2)
    assert newer.attrs["provenance"]["source"] == "yahoo" and newer.attrs["provenance"]["end"] == "2025-06-16"
    assert not warned(caplog)
    # Asking for fewer years has not shortened the cache.
    assert load_prices("MSFT", years=4).attrs["provenance"]["source"] == "cache"


def test_more_years_than_cached_are_fetched_as_a_whole(server):
    load_prices("MSFT", years=2)
    longer = load_prices("MSFT", years=5)
    assert (
        longer.attrs["provenance"]["source"] == "yahoo"
        and longer.attrs["provenance"]["start"] == "2020-06-15"
    )


@pytest.mark.parametrize("fault", ["429", "500", "drop", "truncate", "cut"])
@pytest.mark.parametrize("known_timezone", [False, True])
def test_passing_faults_are_retried_with_growing_pauses_and_a_countdown(
    server, clock, caplog, fault, known_timezone
):
    if known_timezone:  # then the request for prices itself is the first to fail
        load_prices("MSFT", years=1, source="yahoo")
    caplog.set_level(logging.INFO, "trendlstm")
    server.faults = [fault] * (6 if fault in STATUS_FAULTS else 3)
    server.asked.clear()
    prices = load_prices("MSFT", years=1, source="yahoo")
    assert prices.attrs["provenance"]["end"] == "2025-06-13" and not server.faults
    lines = warned(caplog)
    assert len(lines) == 3 and all("trying again in" in line for line in lines)
    if fault == "429":
        assert "too many requests (HTTP 429)" in lines[0]
    assert (
        0.75 * 7 <= clock.elapsed <= 1.25 * 7 and max(clock.pauses) <= 1
    )  # 1 + 2 + 4 s, in steps that can be shown
    countdown = [r.countdown for r in caplog.records if hasattr(r, "countdown")]
    assert len(countdown) == len(clock.pauses) and countdown.count(1) == 3


def test_retries_end_after_a_minute(server, clock):
    server.always = "429"
    with pytest.raises(SourceError, match=r"Yahoo gave no prices of MSFT.*too many requests \(HTTP 429\)"):
        load_prices("MSFT", source="yahoo")
    assert 20 < clock.elapsed <= 60


@pytest.mark.parametrize("source", ["auto", "yahoo"])
def test_a_name_that_does_not_resolve_is_retried_only_when_yahoo_was_asked_for(
    clock, monkeypatch, tmp_path, source
):
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path))
    redirect_yfinance(f"http://{'a' * 64}.invalid", monkeypatch.setattr)  # a label too long for any resolver
    with pytest.raises(SourceError, match=r"Yahoo gave no prices of TSLA.*resolve"):
        load_prices("TSLA", source=source)
    assert bool(clock.pauses) == (source == "yahoo")


def test_fallback_to_an_older_cache_is_one_line(server, clock, caplog):
    load_prices("MSFT", years=2)
    clock.now += pd.Timedelta(days=7)
    server.always = "500"
    caplog.clear()
    prices = load_prices("MSFT", years=1)
    provenance = prices.attrs["provenance"]
    assert provenance["source"] == "cache" and provenance["requested_source"] == "auto"
    (notice,) = provenance["notices"]
    assert "Yahoo gave no prices of MSFT" in notice and "2024-06-13 to 2025-06-13" in notice
    assert "fetched 2025-06-13T22:00:00+00:00" in notice and "\n" not in notice
    assert [line for line in warned(caplog) if "trying again" not in line] == [notice]


def test_fallback_to_the_sample_only_for_its_tickers(server, caplog):
    server.always = "drop"
    provenance = load_prices("MSFT").attrs["provenance"]
    assert provenance["source"] == "sample" and provenance["end"] == "2013-03-01"
    (notice,) = provenance["notices"]
    assert (
        "Yahoo gave no prices" in notice
        and "packaged sample" in notice
        and "2009-03-02 to 2013-03-01" in notice
    )
    assert [line for line in warned(caplog) if "trying again" not in line] == [notice]
    with pytest.raises(
        SourceError, match=r"Yahoo gave no prices of TSLA.*no prices of TSLA.*sample has no TSLA"
    ):
        load_prices("TSLA")


def test_source_yahoo_never_falls_back(server):
    load_prices("MSFT", years=1)
    server.always = "drop"
    with pytest.raises(SourceError, match="Yahoo gave no prices"):
        load_prices("MSFT", years=1, source="yahoo")


def test_unknown_ticker_is_not_retried(server, clock):
    for _ in range(4):  # yfinance takes another way from the third time on
        with pytest.raises(SourceError, match=r"Yahoo has no prices of UNKNOWN .*check the ticker"):
            load_prices("UNKNOWN", source="yahoo")
    assert not clock.pauses


def test_empty_result(server):
    server.rows = server.rows.iloc[:0]
    with pytest.raises(SourceError, match="no prices of MSFT"):
        load_prices("MSFT", source="yahoo")


def test_all_rows_without_prices(server):
    server.rows = server.rows.astype(float) * np.nan
    with pytest.raises(SourceError, match="no prices of MSFT from 2021-06-06 to 2025-06-13"):
        load_prices("MSFT", source="yahoo")


def test_some_rows_without_prices_are_left_out_and_said_also_from_the_cache(server, caplog):
    server.rows = server.rows.astype(float)
    server.rows.loc[["2024-03-05", "2024-03-06"]] = np.nan
    server.rows.loc["2024-03-06", "Volume"] = 0
    for source in ("yahoo", "cache"):
        caplog.clear()
        prices = load_prices("MSFT", years=2, source=source)
        assert "2024-03-05" not in prices.index and "2024-03-07" in prices.index
        (notice,) = prices.attrs["provenance"]["notices"]
        assert "2 rows without any price" in notice and "2024-03-05" in notice
        assert warned(caplog) == [notice]


@pytest.mark.parametrize("column, value", [("Close", 0.0), ("Open", np.nan), ("High", 1.0), ("Low", -3.0)])
def test_a_bad_row_is_refused_by_name(server, column, value):
    server.rows.loc["2024-03-05", column] = value
    with pytest.raises(DataError, match=rf"Yahoo's prices of MSFT.*2024-03-05.*column {column}: "):
        load_prices("MSFT", source="yahoo")


def test_a_bad_row_makes_auto_fall_back(server, clock):
    load_prices("MSFT", years=1)
    clock.now += pd.Timedelta(days=4)
    server.rows.loc["2025-06-16", "High"] = 1.0
    provenance = load_prices("MSFT", years=1).attrs["provenance"]
    assert provenance["source"] == "cache" and "2025-06-16" in provenance["notices"][0]


def test_adjusted_close_left_out_by_yahoo(server):
    server.without_adjusted = True
    assert len(load_prices("MSFT", source="yahoo"))  # no dividend: nothing to adjust
    server.dividends = {"2024-08-15": 2.0}
    with pytest.raises(SourceError, match="not adjusted for the dividend of 2024-08-15"):
        load_prices("MSFT", source="yahoo")


def test_adjusted_close_missing_in_a_row(server):
    server.rows.loc["2024-03-05", "Adj Close"] = np.nan
    with pytest.raises(
        DataError, match="prices of MSFT, the row of 2024-03-05, column Adj Close: nan is not"
    ):
        load_prices("MSFT", source="yahoo")


def test_late_row_is_said_and_asked_for_again(server, clock):
    rows = server.rows
    server.rows = rows.loc[:"2025-06-12"]
    prices = load_prices("MSFT", years=1)
    (notice,) = prices.attrs["provenance"]["notices"]
    assert "no row yet" in notice and "2025-06-12" in notice
    server.rows = rows
    assert load_prices("MSFT", years=1).attrs["provenance"]["end"] == "2025-06-13"


def test_unknown_exchange_code_is_said(server):
    server.exchange = "XYZ"
    prices = load_prices("7203.T", years=1)
    (notice,) = prices.attrs["provenance"]["notices"]
    assert "XYZ" in notice and "XTKS" in notice and prices.attrs["provenance"]["calendar"] == "XTKS"


@pytest.mark.parametrize("fault", [None, "drop"])
@pytest.mark.parametrize("hidden", [True, False])
def test_settings_of_the_process_are_put_back(server, fault, hidden):
    import yfinance

    log, server.always = logging.getLogger("yfinance"), fault
    level = log.level
    log.setLevel(logging.ERROR)
    before, filters = yfinance.config.debug.hide_exceptions, list(warnings.filters)
    yfinance.config.debug.hide_exceptions = hidden
    try:
        load_prices("MSFT")
        assert yfinance.config.debug.hide_exceptions is hidden
        assert log.level == logging.ERROR and warnings.filters == filters
    finally:
        log.setLevel(level)
        yfinance.config.debug.hide_exceptions = before


def test_yfinance_keeps_its_own_files_in_our_cache_folder(server):
    load_prices("MSFT", years=1)
    assert (cache.cache_folder("yfinance") / "tkr-tz.db").exists()


def test_unwritable_cache_is_said_and_not_fatal(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "file"))
    prices = load_prices("MSFT", years=1)
    (notice,) = prices.attrs["provenance"]["notices"]
    assert "could not be kept in the cache" in notice


def test_damaged_cache_is_set_aside_said_and_fetched_anew(server, caplog):
    first = load_prices("MSFT", years=1)
    path = cache.prices_path("MSFT")
    path.write_bytes(path.read_bytes()[:-100])
    again = load_prices("MSFT", years=1)
    assert again.attrs["provenance"]["source"] == "yahoo"
    (notice,) = again.attrs["provenance"]["notices"]
    assert "damaged" in notice and str(path) in notice and warned(caplog) == [notice]
    assert path.with_name("MSFT.csv.gz.damaged").exists()
    pd.testing.assert_frame_equal(first, load_prices("MSFT", years=1, source="cache"))


def test_four_processes_fetch_one_ticker_at_once(server, tmp_path):
    code = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        import pandas as pd
        from yahoo_server import redirect_yfinance
        redirect_yfinance({server.url!r})
        from trendlstm.data import calendar, cache, sources
        calendar.utc_now = cache.utc_now = lambda: pd.Timestamp({str(NOW)!r})
        print("ready", flush=True)
        input()
        for _ in range(3):
            print(sources.load_prices("MSFT", years=2, source="yahoo").attrs["provenance"]["sha256"])
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60) for process in processes]
    assert all(
        process.returncode == 0 and not error for process, (_, error) in zip(processes, outputs, strict=True)
    )
    assert len({line for out, _ in outputs for line in out.split()}) == 1
    assert len(load_prices("MSFT", years=2, source="cache"))
    assert sorted(path.name for path in cache.prices_path("MSFT").parent.iterdir()) == ["MSFT.csv.gz"]


def test_a_start_is_asked_for_and_covered_by_the_cache(server, clock):
    first = load_prices("MSFT", start="2021-03-01", end="2023-03-01")
    assert [f"{day:%Y-%m-%d}" for day in first.index[[0, -1]]] == ["2021-03-01", "2023-03-01"]
    assert first.attrs["provenance"]["source"] == "yahoo"
    again = load_prices("MSFT", start="2022-03-01", end="2025-01-31")
    assert again.attrs["provenance"]["source"] == "cache" and again.attrs["provenance"]["end"] == "2025-01-31"
    assert load_prices("MSFT", years=1, end="2023-03-01").attrs["provenance"]["start"] == "2022-03-01"
    of_2020 = load_prices("MSFT", years=1, end="2020-03-02").attrs["provenance"]
    assert (of_2020["source"], of_2020["start"], of_2020["end"]) == ("yahoo", "2019-03-04", "2020-03-02")
    earlier = load_prices("MSFT", start="2019-01-02")
    assert earlier.attrs["provenance"]["source"] == "yahoo"
    assert [f"{day:%Y-%m-%d}" for day in earlier.index[[0, -1]]] == ["2019-01-02", "2025-06-13"]
    with pytest.raises(SourceError, match="last complete session of MSFT, 2025-06-13, is before 2026-01-02"):
        load_prices("MSFT", start="2026-01-02", source="yahoo")


def test_pauses_are_real_by_default():
    assert yahoo.sleep is time.sleep and yahoo.clock is time.monotonic and yahoo.RETRY_SECONDS == 60
