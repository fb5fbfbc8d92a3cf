"""What is odd about prices that pass every check: one sentence each, for the user to judge."""

import math

import numpy as np
import pandas as pd

from trendlstm.data import calendar as calendars

GAP_DAYS = 7
# Factor between closes: nearly all real ones are smaller, and all splits of 2:1 and more are larger.
LARGEST_CHANGE = 1.9
CHANGES_SHOWN = 3
FLAT_ROWS = 20  # equal closes at the end, about a month
MISSING_SHARE = 0.01  # of the calendar's sessions
_SPLITS = (*range(2, 11), 12, 15, 20, 25, 30, 40, 50, 100)
_SPLIT_TOLERANCE = 0.03  # a split's own day has an ordinary change too


def oddities(frame: pd.DataFrame, adjusted: bool) -> list[str]:
    """Look for gaps, changes beyond any plausible one, and a last price that never changes.

    Parameters
    ----------
    frame : pandas.DataFrame
        Checked prices: Close, ascending dates.
    adjusted : bool
        Whether they are adjusted for splits.

    Returns
    -------
    list of str
    """
    dates, close = pd.DatetimeIndex(frame.index), frame["Close"].to_numpy()
    return [*_gaps(dates), *_large_changes(dates, close, adjusted), *_flat_end(dates, close)]


def calendar_oddities(dates: pd.DatetimeIndex, calendar: str) -> list[str]:
    """Look for rows that do not fit the sessions of the calendar that forecasts will be dated with.

    Parameters
    ----------
    dates : pandas.DatetimeIndex
        Ascending.
    calendar : str

    Returns
    -------
    list of str
    """
    return [
        *_unfinished(dates[-1], calendar),
        *_weekends(dates, calendar),
        *_missing_sessions(dates, calendar),
    ]


def _gaps(dates: pd.DatetimeIndex) -> list[str]:
    days = np.diff(dates.to_numpy().astype("datetime64[D]")).astype(np.int64)
    count = int((days > GAP_DAYS).sum())
    if not count:
        return []
    i = int(days.argmax())
    gaps = "a gap" if count == 1 else f"{count} gaps"
    which = "" if count == 1 else "the longest "
    return [
        f"The prices have {gaps} of more than {GAP_DAYS} calendar days: {which}{days[i]} days, "
        f"{dates[i]:%Y-%m-%d} to {dates[i + 1]:%Y-%m-%d}."
    ]


def _large_changes(dates: pd.DatetimeIndex, close: np.ndarray, adjusted: bool) -> list[str]:
    """A sentence for each of the first few days."""
    factors = close[1:] / close[:-1]
    said = []
    back = -1  # the day that undoes a slip is no second oddity
    large = [i for i, factor in enumerate(factors) if _is_large(factor) or _split(factor)]
    for i in large:
        if i == back:
            continue
        change = f"The close of {dates[i + 1]:%Y-%m-%d} is {factors[i]:.3g} times the one before"
        if i + 1 < len(factors) and 1 / 1.1 < factors[i] * factors[i + 1] < 1.1:
            said.append(
                f"{change}, and the next one is back where it was: it looks like a slip, check that row."
            )
            back = i + 1
        elif split := _split(factors[i]):
            mend = (
                "although the prices count as adjusted; check them, or take another source"
                if adjusted
                else "and the prices are not adjusted for splits; give adjusted ones (a column Adj Close)"
            )
            said.append(f"{change}: it looks like a {split} split, {mend}.")
        else:
            said.append(f"{change}, more than is plausible: check that row.")
    more = len(said) - CHANGES_SHOWN
    return said if more <= 0 else [*said[:CHANGES_SHOWN], f"{more} more closes change as much."]


def _is_large(factor: float) -> bool:
    return max(factor, 1 / factor) > LARGEST_CHANGE


def _split(factor: float) -> str:
    """The ratio of the split that a change looks like, such as 4:1, or nothing."""
    times = max(factor, 1 / factor)
    ratio = min((1.5, *_SPLITS), key=lambda ratio: abs(math.log(times / ratio)))
    if abs(math.log(times / ratio)) > _SPLIT_TOLERANCE:
        return ""
    new, old = ("3", "2") if ratio == 1.5 else (str(ratio), "1")
    return f"{new}:{old}" if factor < 1 else f"{old}:{new}"


def _flat_end(dates: pd.DatetimeIndex, close: np.ndarray) -> list[str]:
    changes = np.flatnonzero(close != close[-1])
    first = int(changes[-1]) + 1 if changes.size else 0
    count = len(close) - first
    if count < FLAT_ROWS:
        return []
    return [
        f"The last {count} closes, from {dates[first]:%Y-%m-%d} on, are all {close[-1]:g}: the ticker may no longer be "
        "traded."
    ]


def _unfinished(last: pd.Timestamp, calendar: str) -> list[str]:
    """Nobody but its owner knows what a row of a session that is not over means."""
    today = calendars.utc_now().tz_localize(None).normalize()
    if last < today - pd.Timedelta(days=1) or last <= calendars.last_complete_session(calendar):
        return []
    return [
        f"The last row, of {last:%Y-%m-%d}, is later than the last complete session; it is used as it stands."
    ]


def _weekends(dates: pd.DatetimeIndex, calendar: str) -> list[str]:
    weekend = dates[dates.day_of_week >= 5]
    # on some exchanges a Sunday or a special Saturday is a session
    if not len(weekend) or calendars.is_session(weekend[-1], calendar):
        return []
    every_day = calendars.EVERY_DAY
    return [
        f"Saturdays and Sundays are no sessions of the calendar {calendar}, but {len(weekend)} of {len(dates)} "
        f"rows are of such days, the last of {weekend[-1]:%Y-%m-%d}: if prices are of every day, give the calendar "
        f"{every_day} (--calendar {every_day})."
    ]


def _missing_sessions(dates: pd.DatetimeIndex, calendar: str) -> list[str]:
    sessions = calendars.known_sessions(dates[0], dates[-1], calendar)
    missing = sessions.difference(dates)
    if len(missing) <= MISSING_SHARE * len(sessions):
        return []
    return [
        f"{len(missing)} of {len(sessions)} sessions of the calendar {calendar} have no row, the first is "
        f"{missing[0]:%Y-%m-%d}: if the prices are of another exchange, name its calendar (--calendar)."
    ]
