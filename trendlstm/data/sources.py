"""`load_prices`: daily prices from Yahoo, the cache, the packaged sample or a CSV file, with their provenance."""

import gzip
import io
import logging
import re
from importlib import resources
from pathlib import Path

import pandas as pd

from trendlstm.config import SOURCES
from trendlstm.data import calendar as calendars
from trendlstm.data.cache import is_fresh, read_cache, write_cache
from trendlstm.data.csv_prices import read_csv_prices
from trendlstm.data.prices import PriceSet, Provenance, SourcePrices, clean_prices, gap_notice, rows_sha256
from trendlstm.data.yahoo import fetch_yahoo
from trendlstm.errors import DataError, OptionError, SourceError

MAX_YEARS = 100
MOST_DAYS = 4  # between rows of daily prices, over a long weekend; the median is 1
_TICKER = re.compile(r"[A-Z0-9^][A-Z0-9.^=&-]{0,31}")

logger = logging.getLogger("trendlstm")


def load_prices(
    ticker: str = "MSFT",
    years: float = 4,
    source: str = "auto",
    csv: str | Path | None = None,
    calendar: str | None = None,
) -> pd.DataFrame:
    """Load a ticker's daily prices.

    Parameters
    ----------
    ticker : str
        Yahoo's ticker; for a CSV file only a label.
    years : float
        How far the prices reach back from the last complete session that the source has, above 0 and at most 100.
    source : {"auto", "yahoo", "cache", "sample"}
        ``auto``: the cache if it holds the exchange's last complete session, else Yahoo, else an older cache, else
        the packaged sample if the ticker is in it. The others never fall back.
    csv : str or pathlib.Path, optional
        Read this file instead; see `trendlstm.data.csv_prices.read_csv_prices`.
    calendar : str, optional
        Name of `exchange_calendars` or ``24/7`` for future dates. Default: by the exchange, XNYS for a CSV file.

    Returns
    -------
    pandas.DataFrame
        Columns among Open, High, Low, Close, Volume (float64; Close always), strictly ascending tz-naive
        DatetimeIndex named Date. ``attrs["provenance"]`` is a JSON-able dict of the fields of
        `trendlstm.data.prices.Provenance`; its notices were also logged as warnings.

    Raises
    ------
    OptionError
        A bad ticker, years, source or calendar, or `csv` together with a source.
    SourceError
        The source has no prices of this ticker.
    DataError
        The prices or the file are refused.
    """
    found = find_prices(ticker, years, source, csv, calendar)
    found.frame.attrs["provenance"] = found.provenance.to_dict()
    return found.frame


def find_prices(
    ticker: str = "MSFT",
    years: float = 4,
    source: str = "auto",
    csv: str | Path | None = None,
    calendar: str | None = None,
) -> PriceSet:
    """Find prices as `load_prices` does, and return them with their provenance on a type of its own.

    Parameters, sources and errors are those of `load_prices`. Notices are logged as warnings.
    """
    ticker = check_ticker(ticker)
    years = check_years(years)
    if source not in SOURCES:
        raise OptionError(f"The source must be one of {', '.join(SOURCES)}, not {source!r}.")
    if csv is not None and source != "auto":
        raise OptionError(
            f"Prices come either from the file {csv} or from the source {source}; give one of them."
        )
    if calendar is not None:
        calendars.check_calendar(calendar)

    notices: list[str] = []
    reason = ""
    if csv is not None:
        found = read_csv_prices(csv, calendar or calendars.DEFAULT_CALENDAR)
    elif source == "auto":
        found, reason = _auto(ticker, years, notices)
    elif source == "yahoo":
        found = _fetch(ticker, years, notices)
    elif source == "cache":
        found = _cached(ticker)
    else:
        found = read_sample(ticker)

    frame, short = _last_years(found.frame, years)
    start, end = (f"{date:%Y-%m-%d}" for date in frame.index[[0, -1]])
    calendar = calendar or found.calendar
    if reason and found.source == "cache":
        notices.append(
            f"{reason} Using cached prices of {start} to {end} instead, fetched {found.fetched_at}."
        )
    elif found.source == "sample":
        begin = f"{reason} Using the" if reason else "These are the"
        instead = " instead" if reason else ""
        notices.append(
            f"{begin} packaged sample prices of {ticker}{instead}, {start} to {end}: real, but not current."
        )
    elif found.source == "csv":
        notices += _unfinished(frame.index[-1], calendar)
        notices += _other_days(pd.DatetimeIndex(frame.index), calendar)
    notices += [*found.notices, *filter(None, (short, gap_notice(pd.DatetimeIndex(frame.index))))]
    for notice in notices:
        logger.warning("%s", notice)

    provenance = Provenance(
        ticker=ticker,
        source=found.source,
        requested_source="csv" if csv is not None else source,
        csv=None if csv is None else str(csv),
        exchange=found.exchange,
        calendar=calendar,
        adjusted=found.adjusted,
        start=start,
        end=end,
        rows=len(frame),
        fetched_at=found.fetched_at,
        sha256=rows_sha256(frame),
        notices=tuple(notices),
    )
    return PriceSet(frame, provenance)


def check_ticker(ticker: str) -> str:
    """Return the ticker in upper case.

    Raises
    ------
    OptionError
        It is empty, longer than 32 characters, or has characters that no ticker of Yahoo's has.
    """
    text = ticker.strip().upper() if isinstance(ticker, str) else ""
    if not _TICKER.fullmatch(text):
        shown = (
            repr(ticker) if len(repr(ticker)) <= 40 else f"{repr(ticker)[:40]}… ({len(ticker)} characters)"
        )
        raise OptionError(
            f"{shown} is not a ticker; a ticker has 1 to 32 letters, digits or . - = ^ & and begins with a letter, "
            "a digit or ^, such as MSFT, BRK-B, 7203.T, BTC-USD or ^GSPC."
        )
    return text


def check_years(years: float) -> float:
    """Return the number of years as a float.

    Raises
    ------
    OptionError
        It is not a number above 0 and at most 100.
    """
    try:
        number = float(years)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number <= MAX_YEARS:
        raise OptionError(f"years must be a number above 0 and at most {MAX_YEARS}, not {years!r}.")
    return number


def sample_tickers() -> tuple[str, ...]:
    """Return the tickers of the packaged sample, in alphabetical order."""
    return tuple(sorted({line.split(",", 1)[0] for line in _sample_text().splitlines()[1:]}))


def read_sample(ticker: str) -> SourcePrices:
    """Read a ticker's prices from the packaged sample; `sample.md` beside it says what they are.

    Raises
    ------
    SourceError
        The ticker is not in the sample.
    """
    header, *lines = _sample_text().splitlines()
    ours = [line for line in lines if line.startswith(f"{ticker},")]
    if not ours:
        raise SourceError(f"The packaged sample has no {ticker}, only {', '.join(sample_tickers())}.")
    table = io.StringIO("\n".join([header, *ours]))
    frame = pd.read_csv(table, index_col="Date", parse_dates=["Date"], date_format="%Y-%m-%d")
    frame, _ = clean_prices(frame, f"The packaged sample of {ticker}")
    return SourcePrices(frame=frame, source="sample", calendar=calendars.DEFAULT_CALENDAR, adjusted=True)


def _sample_text() -> str:
    packed = resources.files("trendlstm.data").joinpath("sample.csv.gz").read_bytes()
    return gzip.decompress(packed).decode()


def _auto(ticker: str, years: float, notices: list[str]) -> tuple[SourcePrices, str]:
    """Prices by the order of `auto`, and why it was not a fresh cache or Yahoo (empty if it was)."""
    try:
        cached = read_cache(ticker)
    except DataError as error:
        notices.append(str(error))
        cached = None
    if cached is not None and is_fresh(cached) and _covers(cached, years):
        return cached, ""
    since = pd.Timestamp(cached.asked_from) if cached is not None and cached.asked_from is not None else None
    try:
        return _fetch(ticker, years, notices, since, patient=False), ""
    except (SourceError, DataError) as error:
        if cached is not None:
            return cached, str(error)
        try:
            return read_sample(ticker), str(error)
        except SourceError as no_sample:
            raise SourceError(
                f"{error} The cache has no prices of {ticker} to use instead. {no_sample}"
            ) from error


def _covers(cached: SourcePrices, years: float) -> bool:
    """Whether the cached fetch asked far enough back; the ticker may be younger."""
    start = calendars.years_before(cached.frame.index[-1], years)
    return cached.asked_from is not None and pd.Timestamp(cached.asked_from) <= start


def _fetch(
    ticker: str, years: float, notices: list[str], since: pd.Timestamp | None = None, patient: bool = True
) -> SourcePrices:
    """Ask Yahoo and keep the answer in the cache."""
    fetched = fetch_yahoo(ticker, years, since, patient)
    if fetched.fresh_until is None:
        notices.append(
            f"Yahoo has no row yet for the last complete session of {ticker}; its newest is of "
            f"{fetched.frame.index[-1]:%Y-%m-%d}."
        )
    try:
        write_cache(ticker, fetched)
    except OSError as error:
        notices.append(f"The prices of {ticker} could not be kept in the cache: {error}.")
    return fetched


def _cached(ticker: str) -> SourcePrices:
    cached = read_cache(ticker)
    if cached is None:
        raise SourceError(f"The cache has no prices of {ticker}; fetch them with the source yahoo or auto.")
    return cached


def _last_years(frame: pd.DataFrame, years: float) -> tuple[pd.DataFrame, str | None]:
    """The rows of the last `years`, and a sentence if there are fewer years of them."""
    end = frame.index[-1]
    start = calendars.years_before(end, years)
    short = None
    if frame.index[0] > start + pd.Timedelta(days=10):  # weekends and holidays are no lack of prices
        have = (end - frame.index[0]).days / 365.25
        short = f"Prices begin only on {frame.index[0]:%Y-%m-%d}: {have:.1f} years instead of {years:g}."
    frame = frame.loc[start:].copy()
    frame.index = pd.DatetimeIndex(
        frame.index.to_numpy("datetime64[ns]"), name="Date"
    )  # the same from every source
    return frame, short


def _unfinished(last: pd.Timestamp, calendar: str) -> list[str]:
    """A sentence if a file's last row is of a session that is not over; nobody but its owner knows what that means."""
    today = calendars.utc_now().tz_localize(None).normalize()
    if last < today - pd.Timedelta(days=1) or last <= calendars.last_complete_session(calendar):
        return []
    return [
        f"The last row, of {last:%Y-%m-%d}, is later than the last complete session; it is used as it stands."
    ]


def _other_days(dates: pd.DatetimeIndex, calendar: str) -> list[str]:
    """Sentences if a file's rows are of other days than the sessions that forecasts will be dated with."""
    notices = []
    weekend = dates[dates.day_of_week >= 5]
    if len(weekend):
        newest = weekend[-1]  # on some exchanges a Sunday or a special Saturday is a session
        if calendars.next_sessions(newest - pd.Timedelta(days=1), 1, calendar)[0] != newest:
            notices.append(
                f"Saturdays and Sundays are no sessions of the calendar {calendar}, but {len(weekend)} of {len(dates)} "
                f"rows are of such days, the last of {newest:%Y-%m-%d}: if prices are of every day, give the calendar "
                f"{calendars.EVERY_DAY} (--calendar {calendars.EVERY_DAY})."
            )
    days = float(dates.to_series().diff().dt.days.median()) if len(dates) > 1 else 1.0
    if days > MOST_DAYS:
        notices.append(
            f"The rows lie {days:g} days apart (median), rarer than daily: one step of the model is one such row, but "
            f"the dates of its forecast will be daily sessions of the calendar {calendar}."
        )
    return notices
