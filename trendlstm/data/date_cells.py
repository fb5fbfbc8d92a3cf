"""Dates from the cells of a price table: one form per file, and the session that a time of day belongs to."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.data import calendar as calendars
from trendlstm.errors import DataError

# How dates are written, and as what each such text may be read.
_FORMS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"\d{4}-\d{1,2}-\d{1,2}"), ("%Y-%m-%d",)),
    (re.compile(r"\d{4}/\d{1,2}/\d{1,2}"), ("%Y/%m/%d",)),
    (re.compile(r"\d{4}\.\d{1,2}\.\d{1,2}"), ("%Y.%m.%d",)),
    (re.compile(r"\d{8}"), ("%Y%m%d",)),
    (re.compile(r"\d{1,2}/\d{1,2}/\d{4}"), ("%m/%d/%Y", "%d/%m/%Y")),
    (re.compile(r"\d{1,2}-\d{1,2}-\d{4}"), ("%m-%d-%Y", "%d-%m-%Y")),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}"), ("%d.%m.%Y",)),
)
_SHORT_YEAR = re.compile(r"\d{1,2}([-/.])\d{1,2}\1\d\d|\d{1,2}[- ][A-Za-z]{3}[- ]\d\d")
_STAMP = re.compile(
    r"^(?P<date>.*?)(?:[T ]+(?P<hours>\d{1,2}):(?P<minutes>\d\d)(?::(?P<seconds>\d\d(?:\.\d+)?))?"
    r" *(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)?)?$",
    re.DOTALL,
)
_EARLIEST, _LATEST = pd.Timestamp(1700, 1, 1), pd.Timestamp(2200, 1, 1)


@dataclass(frozen=True)
class Stamps:
    """Dates as they are written, with the times of day and time zones that stand beside them.

    Attributes
    ----------
    days : pandas.DatetimeIndex
        tz-naive midnights.
    clock : pandas.TimedeltaIndex
        Time of day, zero where there is none.
    offset : pandas.TimedeltaIndex
        What the written time is ahead of UTC; NaT where no time zone is written.
    """

    days: pd.DatetimeIndex
    clock: pd.TimedeltaIndex
    offset: pd.TimedeltaIndex


def read_stamps(cells: Sequence[Any], row: Callable[[int], str], date_format: str | None = None) -> Stamps:
    """Read a column of dates.

    Parameters
    ----------
    cells : sequence
        Texts, whole numbers such as 20240102, or dates and times where the file has types.
    row : callable
        Says which row of the file the i-th cell is in, for messages.
    date_format : str, optional
        Such as ``%d/%m/%Y``, of the date without a time. Default: the form of the first text, if it makes dates of all.

    Raises
    ------
    DataError
        A cell is no date in that form, years have two digits, or day and month could change places.
    """
    empty = [i for i, cell in enumerate(cells) if pd.isna(cell) or not str(cell).strip()]
    if empty:
        raise DataError(f"{row(empty[0])} has no date; correct or remove the row.")
    typed = [isinstance(cell, date) for cell in cells]
    if not any(typed):
        return _written(pd.Series([_text(cell) for cell in cells], dtype=object), row, date_format)
    if not all(typed):
        i = typed.index(not typed[0])
        raise DataError(
            f"{row(i)}: only some of the dates are dates, others are text, here {str(cells[i])!r}; spreadsheets that "
            "take days for months do this, so make the file anew with all dates as YYYY-MM-DD."
        )
    stamps = [pd.Timestamp(cell) for cell in cells]
    local = pd.DatetimeIndex([stamp.tz_localize(None) for stamp in stamps])
    offset = pd.to_timedelta([stamp.utcoffset() for stamp in stamps])
    return Stamps(local.normalize(), local - local.normalize(), offset)


def _text(cell: Any) -> str:
    return f"{cell:.0f}" if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _written(texts: pd.Series, row: Callable[[int], str], date_format: str | None) -> Stamps:
    parts = texts.str.extract(_STAMP)
    days = _days(parts["date"], row, date_format)
    hours, minutes, seconds = (
        parts[name].astype(float).fillna(0) for name in ("hours", "minutes", "seconds")
    )
    return Stamps(
        days,
        pd.TimedeltaIndex(pd.to_timedelta(hours * 3600 + minutes * 60 + seconds, unit="s")),
        pd.to_timedelta([_minutes_ahead(zone) for zone in parts["zone"]], unit="min"),
    )


def _minutes_ahead(zone: str | float) -> float:
    """Of UTC; NaN where no time zone is written."""
    if not isinstance(zone, str):
        return math.nan
    if zone[0] not in "+-":
        return 0.0
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return -minutes if zone[0] == "-" else minutes


def _days(texts: pd.Series, row: Callable[[int], str], date_format: str | None) -> pd.DatetimeIndex:
    """Dates of all rows in one form: month and day never change places within a file."""
    first = texts.iloc[0]
    pattern, forms = next(((p, f) for p, f in _FORMS if p.fullmatch(first)), (re.compile(""), ()))
    if date_format is not None:
        pattern, forms = re.compile(".*"), (date_format,)
    if not forms and _SHORT_YEAR.fullmatch(first):
        raise DataError(f"{row(0)}: {first!r} has a year of two digits; write all years with four.")
    if not forms:
        raise DataError(
            f"{row(0)}: {first!r} is not a date; write YYYY-MM-DD, or give the form with --date-format."
        )
    fitting = texts.where(texts.str.fullmatch(pattern))
    read = {form: pd.to_datetime(fitting, format=form, errors="coerce") for form in forms}
    read = {form: days.where((days > _EARLIEST) & (days < _LATEST)) for form, days in read.items()}
    form, days = max(read.items(), key=lambda item: item[1].notna().sum())  # of equals the first
    bad = np.flatnonzero(days.isna())
    if bad.size:
        i = int(bad[0])
        raise DataError(
            f"{row(i)}: {texts.iloc[i]!r} is not a date in the form {_in_words(form)} of the file's others; correct or "
            "remove the row."
        )
    for other, others in read.items():
        if others.notna().all() and not others.equals(days):
            i = int(np.flatnonzero(others != days)[0])
            raise DataError(
                f"{row(i)}: {texts.iloc[i]!r} may be {days.iloc[i]:%Y-%m-%d} or {others.iloc[i]:%Y-%m-%d}, and no date "
                f"of the file has a day above 12 to tell which; --date-format {form} or --date-format {other} settles "
                "it."
            )
    return pd.DatetimeIndex(days)


def _in_words(form: str) -> str:
    return form.replace("%Y", "YYYY").replace("%m", "MM").replace("%d", "DD")


def refuse_intraday(days: pd.DatetimeIndex, times: Sequence[Any], row: Callable[[int], str]) -> None:
    """Raise DataError if a day has several times.

    Parameters
    ----------
    days : pandas.DatetimeIndex
        tz-naive midnights.
    times : sequence
        What tells the times of a day apart.
    row : callable
        Says which row of the file the i-th is in, for messages.
    """
    different = pd.DataFrame({"day": days, "time": times}).drop_duplicates()
    again = different.index[different.duplicated("day")]
    if len(again):
        i = int(again[0])
        raise DataError(
            f"{row(i)}: {days[i]:%Y-%m-%d} has several times of day, so these are intraday prices; trendlstm needs "
            "daily ones."
        )


def session_dates(stamps: Stamps, calendar: str | None) -> tuple[pd.DatetimeIndex, str]:
    """Return the session that each row is of.

    A midnight is the session's date. Another time with a time zone may be the exchange's midnight, in UTC often of
    the day before: it gets the date in the calendar's time zone. Without a calendar, times that lie on Sundays but
    never on Fridays are taken for such midnights too.

    Parameters
    ----------
    stamps : Stamps
    calendar : str or None
        Name of the trading calendar, if one was given.

    Returns
    -------
    dates : pandas.DatetimeIndex
        tz-naive.
    notice : str
        What was made of the times, if that is not certain; else empty.
    """
    timed = np.asarray(stamps.clock != pd.Timedelta(0))
    local, ahead = stamps.days[timed] + stamps.clock[timed], stamps.offset[timed]
    dates = stamps.days.to_series(index=range(len(timed)))
    notice = ""
    if timed.any() and calendar is not None and ahead.notna().all():
        there = (local - ahead).tz_localize("UTC").tz_convert(calendars.time_zone(calendar))
        dates[timed] = there.tz_localize(None).normalize()
    elif (local.day_of_week == 6).any() and not (local.day_of_week == 4).any():
        sunday = local[local.day_of_week == 6][0].normalize()
        if not calendars.is_session(sunday, calendar or calendars.DEFAULT_CALENDAR):
            dates[timed] += pd.Timedelta(days=1)
            notice = (
                f"times such as {local[0]:%H:%M} lie on Sundays but never on Fridays, so they were taken for midnights "
                "of an exchange in the east, and the rows for sessions of the day after; if that is wrong, name the "
                "exchange's calendar (--calendar)."
            )
    return pd.DatetimeIndex(dates), notice
