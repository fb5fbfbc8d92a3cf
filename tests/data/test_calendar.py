"""Trading days: sessions, holidays, closes, and the calendar of a ticker."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trendlstm.data import calendar as calendars
from trendlstm.data.closes import recorded_closes
from trendlstm.errors import DataError, OptionError


def test_next_sessions_of_new_york_skip_holidays():
    dates = calendars.next_sessions(pd.Timestamp("2013-03-27"), 3, "XNYS")  # before Good Friday
    assert list(dates.strftime("%Y-%m-%d")) == ["2013-03-28", "2013-04-01", "2013-04-02"]
    assert dates.tz is None and dates.name == "Date"


def test_next_days_of_every_day_prices():
    dates = calendars.next_sessions(pd.Timestamp("2024-02-28"), 3, "24/7")
    assert list(dates.strftime("%Y-%m-%d")) == ["2024-02-29", "2024-03-01", "2024-03-02"]


@settings(max_examples=15, deadline=None)
@given(
    day=st.dates(pd.Timestamp("1995-01-01").date(), pd.Timestamp("2025-12-31").date()),
    count=st.integers(1, 300),
    calendar=st.sampled_from(["XNYS", "XLON", "XTKS", "24/5", "24/7"]),
)
def test_next_sessions_are_consecutive_and_in_the_future(day, count, calendar):
    dates = calendars.next_sessions(pd.Timestamp(day), count, calendar)
    assert (
        len(dates) == count
        and dates[0] > pd.Timestamp(day)
        and (np.diff(dates) > np.timedelta64(0, "ns")).all()
    )
    # One at a time gives the same days.
    assert calendars.next_sessions(dates[0], 1, calendar)[0] == (
        dates[1] if count > 1 else calendars.next_sessions(pd.Timestamp(day), 2, calendar)[1]
    )


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
        ("NMS", "MSFT", "XNYS"),
        ("NYQ", "IBM", "XNYS"),
        ("CCC", "BTC-USD", "24/7"),
        ("JPX", "7203.T", "XTKS"),
        (None, "MSFT", "XNYS"),
        (None, "BRK-B", "XNYS"),
        (None, "BTC-USD", "24/7"),
        (None, "EURUSD=X", "24/5"),
        (None, "ES=F", "CMES"),
        (None, "VOD.L", "XLON"),
        (None, "SAP.DE", "XETR"),
        (None, "^GSPC", "XNYS"),
        ("???", "VOD.L", "XLON"),
        (None, "X.NOWHERE", "XNYS"),
    ],
)
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


def test_a_calendar_that_cannot_be_made_is_named(monkeypatch):
    import exchange_calendars

    def fail(*_, **__):
        raise ValueError("Special dates [...] are not sessions.")

    monkeypatch.setattr(exchange_calendars, "get_calendar", fail)
    recorded_closes.cache_clear()
    with pytest.raises(DataError, match=r"cannot make the calendar XLON .*--calendar"):
        calendars.next_sessions(pd.Timestamp("2026-10-01"), 3, "XLON")
    recorded_closes.cache_clear()
