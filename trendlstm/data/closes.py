"""The closing times of an exchange: `exchange_calendars` takes 0.2 s to work them out, so a machine does it once."""

import hashlib
import json
import warnings
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from typing import NamedTuple

import pandas as pd

from trendlstm.caches import cache_folder
from trendlstm.errors import DataError
from trendlstm.files import replace_file


class Closes(NamedTuple):
    """What is on record for some years of a calendar.

    Attributes
    ----------
    times : pandas.Series
        Closing times (UTC), indexed by tz-naive date.
    first, last : pandas.Timestamp
        From when to when the calendar has its holidays on record.
    """

    times: pd.Series
    first: pd.Timestamp
    last: pd.Timestamp


@lru_cache(maxsize=16)
def recorded_closes(calendar: str, first_year: int, last_year: int) -> Closes:
    """Return the closing times of these years, as far as the calendar has its holidays on record.

    Parameters
    ----------
    calendar : str
        Name of `exchange_calendars`.
    first_year, last_year : int

    Raises
    ------
    DataError
        `exchange_calendars` cannot make the calendar.
    CacheError
        Others may write the folder where it is kept: as `caches.cache_folder`.
    """
    name = f"{calendar.replace('/', '-')}-{first_year}-{last_year}.json"
    packed = _read(name)
    if packed is None:
        packed = _pack(_work_out(calendar, first_year, last_year))
        with suppress(OSError):  # then the next process works it out, too
            content = hashlib.sha256(packed).hexdigest().encode() + b"\n" + packed
            replace_file(cache_folder("calendars", make=True) / name, lambda file: file.write(content))
    return _unpack(packed)


def _read(name: str) -> bytes | None:
    """What is kept under a name; None where that is nothing, damaged, or of another `exchange_calendars`."""
    try:
        digest, _, packed = (cache_folder("calendars") / name).read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(packed).hexdigest().encode() != digest:
        return None
    return packed if json.loads(packed)["exchange_calendars"] == version("exchange_calendars") else None


def _pack(closes: Closes) -> bytes:
    """Everything as JSON, times as seconds since 1970."""
    document = {
        "exchange_calendars": version("exchange_calendars"),
        "first": closes.first.isoformat(),
        "last": closes.last.isoformat(),
        "sessions": _seconds(pd.DatetimeIndex(closes.times.index)),
        "closes": _seconds(pd.DatetimeIndex(closes.times)),
    }
    return json.dumps(document).encode()


def _seconds(times: pd.DatetimeIndex) -> list[int]:
    return times.as_unit("s").asi8.tolist()


def _unpack(packed: bytes) -> Closes:
    document = json.loads(packed)
    sessions, closes = (
        pd.to_datetime(document[name], unit="s").as_unit("ns") for name in ("sessions", "closes")
    )
    times = pd.Series(closes.tz_localize("UTC"), index=sessions)
    return Closes(times, pd.Timestamp(document["first"]), pd.Timestamp(document["last"]))


def _work_out(calendar: str, first_year: int, last_year: int) -> Closes:
    import exchange_calendars

    start, end = pd.Timestamp(first_year, 1, 1), pd.Timestamp(last_year, 12, 31)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exchange_calendars' own use of pandas is deprecated
        try:
            return Closes(exchange_calendars.get_calendar(calendar, start=start, end=end).closes, start, end)
        except ValueError:  # some calendars refuse dates outside the years on record
            try:
                bounded = exchange_calendars.get_calendar(calendar)
            except ValueError as error:  # as XTAE does with pandas 3.1
                raise DataError(
                    f"exchange_calendars cannot make the calendar {calendar} with the installed pandas: name another "
                    "exchange with --calendar."
                ) from error
        start, end = max(start, bounded.bound_min() or start), min(end, bounded.bound_max() or end)
        if start > end:
            return Closes(bounded.closes.iloc[:0], start, end)
        return Closes(exchange_calendars.get_calendar(calendar, start=start, end=end).closes, start, end)
