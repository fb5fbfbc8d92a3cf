"""What is odd about prices that pass every check, said in a sentence each."""

import numpy as np
import pandas as pd
import pytest
from price_tables import csv_file, days_csv, load_csv, notices

from trendlstm.data import calendar as calendars
from trendlstm.data.oddities import oddities
from trendlstm.data.sources import load_prices


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
    found = [
        notice
        for notice in notices(load_csv(days_csv(tmp_path, dates), calendar=calendar))
        if notice.startswith("Saturdays")
    ]
    assert len(found) == bool(said)
    assert all(said in notice and "(--calendar 24/7)" in notice for notice in found)


def test_last_row_of_an_unfinished_session_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(calendars, "utc_now", lambda: pd.Timestamp("2024-01-03 18:00", tz="UTC"))
    finished = load_csv(csv_file(tmp_path, "Date,Close\n2024-01-02,10\n"))
    open_ = load_csv(csv_file(tmp_path, "Date,Close\n2024-01-02,10\n2024-01-03,11\n"))
    assert not any("complete session" in notice for notice in notices(finished))
    assert any("2024-01-03, is later than the last complete session" in notice for notice in notices(open_))


def daily(closes):
    return pd.DataFrame({"Close": closes}, pd.bdate_range("2024-01-01", periods=len(closes), name="Date"))


def walk(rows, seed=0):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, rows)))


@pytest.mark.parametrize(("new", "old"), [(2, 1), (3, 1), (3, 2), (4, 1), (7, 1), (10, 1), (20, 1), (50, 1)])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_split_is_named_with_date_factor_and_ratio(new, old, reverse):
    closes = np.round(np.linspace(100, 101, 60), 3)  # its own change is small
    closes[30:] *= new / old if reverse else old / new
    (said,) = oddities(daily(closes), adjusted=False)
    ratio = f"{old}:{new}" if reverse else f"{new}:{old}"
    factor = f"{closes[30] / closes[29]:.3g}"
    assert f"The close of 2024-02-12 is {factor} times" in said and f"a {ratio} split," in said
    assert "not adjusted for splits" in said
    (said,) = oddities(daily(closes), adjusted=True)
    assert f"a {ratio} split, although the prices count as adjusted" in said


def test_a_split_in_a_file_without_adjusted_closes_is_said(tmp_path):
    closes = walk(60)
    closes[40:] /= 4
    rows = "".join(f"{day:%Y-%m-%d},{close!r}\n" for day, close in daily(closes.tolist())["Close"].items())
    said = notices(load_csv(csv_file(tmp_path, f"Date,Close\n{rows}")))
    assert any("2024-02-26" in notice and "4:1 split" in notice for notice in said)


@pytest.mark.parametrize("factor", [10, 0.1, 100, 2.4])
def test_a_slip_in_one_row_is_said_once(factor):
    closes = walk(60)
    closes[30] *= factor
    (said,) = oddities(daily(closes), adjusted=True)
    assert "The close of 2024-02-12 is" in said and "the next one is back where it was" in said


def test_other_changes_beyond_any_plausible_are_said_and_counted():
    closes = np.full(60, 100.0) + np.arange(60) % 3
    closes[10:] *= 0.44
    (said,) = oddities(daily(closes), adjusted=True)
    assert said.startswith("The close of 2024-01-15 is 0.4") and "more than is plausible" in said
    for row in (20, 30, 40, 50):
        closes[row:] *= 2.3
    *three, more = oddities(daily(closes), adjusted=True)
    assert len(three) == 3 and more == "2 more closes change as much."


@pytest.mark.parametrize("seed", range(20))
def test_ordinary_prices_are_not_odd(seed):
    assert oddities(daily(walk(1000, seed)), adjusted=True) == []


def test_real_prices_are_not_odd():
    for ticker in ("MSFT", "IBM", "GOOG"):
        assert oddities(load_prices(ticker, years=100, source="sample"), adjusted=True) == []
    (crash,) = oddities(load_prices("AAPL", years=100, source="sample"), adjusted=True)
    assert "2000-09-29" in crash and "split" not in crash  # on that day it lost half its value


@pytest.mark.parametrize(("equal", "said"), [(19, False), (20, True), (300, True), (301, True)])
def test_a_last_price_that_never_changes_is_said(equal, said):
    closes = walk(301)
    closes[-equal:] = 12.5
    found = [notice for notice in oddities(daily(closes), True) if "may no longer be traded" in notice]
    assert len(found) == said
    assert all(f"The last {equal} closes" in notice and "are all 12.5" in notice for notice in found)


def test_every_seventh_session_missing_is_said_and_real_holidays_are_not(tmp_path):
    sessions = load_prices("MSFT", years=100, source="sample").index
    assert not any("have no row" in notice for notice in notices(load_csv(days_csv(tmp_path, sessions))))
    kept = sessions[np.arange(len(sessions)) % 7 != 3]
    (said,) = (notice for notice in notices(load_csv(days_csv(tmp_path, kept))) if "have no row" in notice)
    missing = len(sessions) - len(kept)
    assert f"{missing} of {len(sessions)} sessions of the calendar XNYS have no row" in said
    assert f"the first is {sessions[3]:%Y-%m-%d}" in said
