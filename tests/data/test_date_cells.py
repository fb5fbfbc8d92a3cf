"""Dates from cells: one form per file, day and month never guessed, and the session that a time belongs to."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from price_tables import csv_file, load_csv, notices

from trendlstm.data.date_cells import read_stamps
from trendlstm.errors import DataError, OptionError


def dated(folder, texts, **options):
    rows = "".join(f'"{text}",{10 + i / 8}\n' for i, text in enumerate(texts))
    return load_csv(csv_file(folder, f"Date,Close\n{rows}"), **options)


FORMS = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d.%m.%Y",
]


@settings(max_examples=100, deadline=None)
@given(
    start=st.dates(pd.Timestamp("1970-01-01").date(), pd.Timestamp("2024-01-01").date()),
    count=st.integers(2, 25),
    step=st.sampled_from(["B", "D"]),
    form=st.sampled_from(FORMS),
    time=st.sampled_from(["", " 00:00:00", "T00:00:00Z", " 16:00", " 00:00:00-05:00"]),
)
def test_however_dates_are_written_they_are_read_right_or_refused(start, count, step, form, time):
    dates = pd.date_range(start, periods=count, freq=step)
    texts = [f"{day.strftime(form)}{time}" for day in dates]
    assert list(read_stamps(texts, str, date_format=form).days) == list(dates)
    try:
        found = read_stamps(texts, str)
    except DataError as error:
        assert "--date-format" in str(error) and max(dates.day) <= 12
    else:
        assert list(found.days) == list(dates)


def test_monthly_days_first_do_not_become_january(tmp_path):
    texts = [f"01/{month:02d}/2024" for month in range(1, 5)]
    with pytest.raises(DataError) as caught:
        dated(tmp_path, texts)
    assert str(caught.value).endswith(
        "row 3, column Date: '01/02/2024' may be 2024-01-02 or 2024-02-01, and no date of the file has a day above 12 "
        "to tell which; --date-format %m/%d/%Y or --date-format %d/%m/%Y settles it."
    )
    assert dated(tmp_path, texts, date_format="%d/%m/%Y").index[2] == pd.Timestamp("2024-03-01")
    assert dated(tmp_path, texts, date_format="%m/%d/%Y").index[2] == pd.Timestamp("2024-01-03")


def test_other_forms_are_read_when_they_are_named(tmp_path):
    texts = ["Jan 12, 2024", "Jan 16, 2024 16:00"]
    with pytest.raises(DataError, match=r"row 2.*'Jan 12, 2024' is not a date.*--date-format"):
        dated(tmp_path, texts)
    assert list(dated(tmp_path, texts, date_format="%b %d, %Y").index.day) == [12, 16]


@pytest.mark.parametrize("form", ["", "%d/%m/%y", "%d/%m", "dd/mm/yyyy", "%Y-%m-%d %H:%M", "%d/%Y", 7])
def test_forms_that_are_none(tmp_path, form):
    with pytest.raises(
        OptionError, match="date_format must be a form of day, month and year with four digits"
    ):
        dated(tmp_path, ["2024-01-02"], date_format=form)


@pytest.mark.parametrize("text", ["02/01/24", "2.1.24", "24-01-02", "02-Jan-24"])
def test_years_of_two_digits_are_refused(tmp_path, text):
    with pytest.raises(
        DataError, match=f"row 2.*'{text}' has a year of two digits; write all years with four"
    ):
        dated(tmp_path, [text])


@pytest.mark.parametrize("text", ["0024-01-02", "9999-12-31", "1704153600", "45293"])
def test_years_of_no_exchange_and_counted_days_are_refused(tmp_path, text):
    with pytest.raises(DataError, match=f"row 2, column Date: '{text}' is not a date"):
        dated(tmp_path, [text])


SESSIONS = pd.bdate_range("2024-01-04", "2024-04-30")


@pytest.mark.parametrize(
    "zone", ["Asia/Tokyo", "Asia/Kolkata", "Australia/Sydney", "Europe/London", "Europe/Berlin"]
)
@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%d %H:%M:%S"])
def test_midnights_of_an_exchange_in_the_east_in_utc_are_its_sessions(tmp_path, zone, form):
    texts = SESSIONS.tz_localize(zone).tz_convert("UTC").strftime(form)
    frame = dated(tmp_path, texts)
    assert list(frame.index) == list(SESSIONS)
    assert any("taken for midnights of an exchange in the east" in notice for notice in notices(frame))


@pytest.mark.parametrize(
    ("calendar", "zone"), [("XTKS", "Asia/Tokyo"), ("XLON", "Europe/London"), ("24/7", "UTC")]
)
def test_with_a_calendar_times_have_the_date_of_its_time_zone(tmp_path, calendar, zone):
    texts = SESSIONS.tz_localize(zone).tz_convert("UTC").strftime("%Y-%m-%d %H:%M:%S+00:00")
    for rows in (texts, texts[:1]):  # one row alone tells no weekdays
        frame = dated(tmp_path, rows, calendar=calendar)
        assert list(frame.index) == list(SESSIONS[: len(rows)])
        assert not any("in the east" in notice for notice in notices(frame))


IN_NEW_YORK = {
    "midnights": SESSIONS.tz_localize("America/New_York"),
    "closes": (SESSIONS + pd.Timedelta(hours=16)).tz_localize("America/New_York"),
}


@pytest.mark.parametrize(
    "texts",
    [
        IN_NEW_YORK["midnights"].astype(str),  # with two offsets
        IN_NEW_YORK["midnights"].tz_convert("UTC").strftime("%Y-%m-%d %H:%M:%SZ"),
        IN_NEW_YORK["closes"].tz_convert("UTC").strftime("%Y-%m-%d %H:%MZ"),
        IN_NEW_YORK["closes"].strftime("%Y-%m-%d %H:%M"),
    ],
    ids=["midnights", "midnights in UTC", "closes in UTC", "closes"],
)
@pytest.mark.parametrize("calendar", [None, "XNYS"])
def test_new_yorks_times_keep_their_dates(tmp_path, texts, calendar):
    assert list(dated(tmp_path, texts, calendar=calendar).index) == list(SESSIONS)


def test_a_time_zone_behind_utc_counts_too(tmp_path):
    texts = SESSIONS.tz_localize("Asia/Tokyo").tz_convert("America/New_York").astype(str)
    assert list(dated(tmp_path, texts, calendar="XTKS").index) == list(SESSIONS)


def test_a_week_that_has_sundays_and_no_fridays_keeps_its_dates(tmp_path):
    days = pd.date_range("2024-01-07", "2024-03-28", freq=pd.offsets.CDay(weekmask="Sun Mon Tue Wed Thu"))
    texts = (days + pd.Timedelta(hours=15)).strftime("%Y-%m-%d %H:%M")  # Riyadh's closes
    assert list(dated(tmp_path, texts, calendar="XSAU").index) == list(days)
