"""`load_prices`: daily prices from Yahoo, the cache, the packaged sample or a CSV file, with their provenance."""

import gzip
import io
import logging
import re
from dataclasses import replace
from datetime import date
from importlib import resources
from pathlib import Path

import pandas as pd

from trendlstm.config import DataConfig, Source
from trendlstm.data import calendar as calendars
from trendlstm.data.cache import is_fresh, read_cache, write_cache
from trendlstm.data.csv_prices import read_csv_prices
from trendlstm.data.oddities import calendar_oddities, oddities
from trendlstm.data.prices import PriceSet, Provenance, SourcePrices, clean_prices, rows_sha256
from trendlstm.data.yahoo import fetch_yahoo, last_session
from trendlstm.errors import DataError, OptionError, SourceError

_HOLIDAYS = 10  # days that prices may lack at an end
_TICKER = re.compile(r"[A-Z0-9^][A-Z0-9.^=&-]{0,31}")

logger = logging.getLogger("trendlstm")


def load_prices(
    ticker: str = DataConfig.ticker,
    years: float | None = None,
    source: Source = DataConfig.source,
    csv: str | Path | None = None,
    calendar: str | None = None,
    *,
    start: str | date | None = None,
    end: str | date | None = None,
    decimal: str | None = None,
    date_format: str | None = None,
) -> pd.DataFrame:
    """Load a ticker's daily prices.

    Parameters
    ----------
    ticker : str
        Yahoo's ticker; for a file a label, and whose rows to read where it has several tickers.
    years : float, optional
        How far the prices reach back from `end` or else from the last complete session that the source has, above 0
        and at most 100. Default: 4, or all rows of a file.
    source : {"auto", "yahoo", "cache", "sample"}
        ``auto``: the cache if it holds the exchange's last complete session, else Yahoo, else an older cache, else
        the packaged sample if the ticker is in it. The others never fall back.
    csv : str or pathlib.Path, optional
        Read this file instead; see `trendlstm.data.csv_prices.read_csv_prices`.
    calendar : str, optional
        Name of `exchange_calendars` or ``24/7`` for future dates. Default: by the exchange, XNYS for a file.
    start, end : str or datetime.date, optional
        First and last date (ISO), both inclusive; `start` in place of `years`.
    decimal : {".", ","}, optional
        Decimal mark of the file, where it cannot be told.
    date_format : str, optional
        How the file writes dates, such as ``%d/%m/%Y``, where it cannot be told.

    Returns
    -------
    pandas.DataFrame
        Columns among Open, High, Low, Close, Volume (float64; Close always), strictly ascending tz-naive
        DatetimeIndex named Date. ``attrs["provenance"]`` is a JSON-able dict of the fields of
        `trendlstm.data.prices.Provenance`; its notices were also logged as warnings.

    Raises
    ------
    OptionError
        A bad ticker, years, source, calendar, date or form, `csv` together with a source, or `start` with `years`.
    SourceError
        The source has no prices of this ticker, or none between `start` and `end`.
    DataError
        The prices or the file are refused.
    """
    found = find_prices(
        DataConfig(
            ticker=check_ticker(ticker),
            years=years,
            source=source,
            csv=None if csv is None else str(csv),
            calendar=calendar,
            start=start.isoformat()[:10] if isinstance(start, date) else start,
            end=end.isoformat()[:10] if isinstance(end, date) else end,
            decimal=decimal,
            date_format=date_format,
        )
    )
    found.frame.attrs["provenance"] = found.provenance.to_dict()
    return found.frame


def find_prices(config: DataConfig) -> PriceSet:
    """Find the prices that the settings ask for, as `load_prices` does; notices are logged as warnings.

    Raises
    ------
    OptionError, SourceError, DataError
        As `load_prices`.
    """
    config = replace(config, ticker=check_ticker(config.ticker))
    if config.calendar is not None:
        calendars.check_calendar(config.calendar)
    notices: list[str] = []
    reason = ""
    if config.csv is not None:
        found = read_csv_prices(
            config.csv, config.calendar, config.ticker, config.decimal, config.date_format
        )
    elif config.source == "auto":
        found, reason = _auto(config, notices)
    elif config.source == "yahoo":
        found = _fetch(config, notices)
    elif config.source == "cache":
        found = _cached(config.ticker)
    else:
        found = read_sample(config.ticker)

    frame, left_out = _cut(found.frame, config)
    start, end = (f"{day:%Y-%m-%d}" for day in frame.index[[0, -1]])
    calendar = config.calendar or found.calendar
    if reason and found.source == "cache":
        notices.append(
            f"{reason} Using cached prices of {start} to {end} instead, fetched {found.fetched_at}."
        )
    elif found.source == "sample":
        begin = f"{reason} Using the" if reason else "These are the"
        instead = " instead" if reason else ""
        notices.append(
            f"{begin} packaged sample prices of {config.ticker}{instead}, {start} to {end}: real, but not current."
        )
    elif found.source == "csv":
        notices += calendar_oddities(pd.DatetimeIndex(frame.index), calendar)
    notices += [*found.notices, *left_out, *oddities(frame, found.adjusted)]
    for notice in notices:
        logger.warning("%s", notice)
    provenance = Provenance(
        ticker=config.ticker,
        source=found.source,
        requested_source=config.source if config.csv is None else "csv",
        csv=config.csv,
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


def _auto(config: DataConfig, notices: list[str]) -> tuple[SourcePrices, str]:
    """Prices by the order of `auto`, and why it was not a fresh cache or Yahoo (empty if it was)."""
    ticker = config.ticker
    try:
        cached = read_cache(ticker)
    except DataError as error:
        notices.append(str(error))
        cached = None
    if cached is not None and is_fresh(cached) and _covers(cached, config):
        return cached, ""
    since = pd.Timestamp(cached.asked_from) if cached is not None and cached.asked_from is not None else None
    try:
        return _fetch(config, notices, since, patient=False), ""
    except (SourceError, DataError) as error:
        if cached is not None:
            return cached, str(error)
        try:
            return read_sample(ticker), str(error)
        except SourceError as no_sample:
            raise SourceError(
                f"{error} The cache has no prices of {ticker} to use instead. {no_sample}"
            ) from error


def _first_date(config: DataConfig, last: pd.Timestamp) -> pd.Timestamp | None:
    """The first date that is wanted of prices that reach to `last`; None for all of a file."""
    if config.start is not None:
        return pd.Timestamp(config.start)
    if config.years is None:
        return None
    return calendars.years_before(
        last if config.end is None else min(last, pd.Timestamp(config.end)), config.years
    )


def _covers(cached: SourcePrices, config: DataConfig) -> bool:
    """Whether the cached fetch asked far enough back; the ticker may be younger."""
    first = _first_date(config, cached.frame.index[-1])
    return cached.asked_from is not None and pd.Timestamp(cached.asked_from) <= first


def _fetch(
    config: DataConfig, notices: list[str], since: pd.Timestamp | None = None, patient: bool = True
) -> SourcePrices:
    """Ask Yahoo, at least from `since` on, and keep the answer in the cache."""
    ticker = config.ticker
    last = last_session(ticker)
    first = _first_date(config, last)
    if first > last:
        raise SourceError(
            f"The last complete session of {ticker}, {last:%Y-%m-%d}, is before {config.start}."
        )
    start = first - pd.Timedelta(days=7)
    fetched = fetch_yahoo(ticker, start if since is None else min(start, since), patient)
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


def _cut(frame: pd.DataFrame, config: DataConfig) -> tuple[pd.DataFrame, list[str]]:
    """The rows that are wanted, and sentences if there are fewer than that, or more in a file."""
    kept = frame.loc[: config.end]
    first = _first_date(config, kept.index[-1]) if len(kept) else None
    kept = kept.loc[first:].copy()
    if kept.empty:
        span = " ".join(f"{word} {day}" for word, day in (("from", config.start), ("to", config.end)) if day)
        raise SourceError(
            f"There are no prices of {config.ticker} {span}, only of {frame.index[0]:%Y-%m-%d} to "
            f"{frame.index[-1]:%Y-%m-%d}."
        )
    notices = []
    # weekends and holidays are no lack of prices
    if first is not None and frame.index[0] > first + pd.Timedelta(days=_HOLIDAYS):
        have = (kept.index[-1] - kept.index[0]).days / 365.25
        wanted = (
            f"{have:.1f} years instead of {config.years:g}"
            if config.start is None
            else f"not on {config.start}"
        )
        notices.append(f"Prices begin only on {frame.index[0]:%Y-%m-%d}: {wanted}.")
    if config.end is not None and frame.index[-1] < pd.Timestamp(config.end) - pd.Timedelta(days=_HOLIDAYS):
        notices.append(f"Prices end on {frame.index[-1]:%Y-%m-%d} already, not on {config.end}.")
    if config.csv is not None and len(kept) < len(frame):
        given = {"years": config.years, "start": config.start, "end": config.end}
        reasons = " ".join(f"--{name} {value}" for name, value in given.items() if value is not None)
        notices.append(
            f"{config.csv}: {len(frame) - len(kept):,} of {len(frame):,} rows left out because of {reasons}."
        )
    kept.index = pd.DatetimeIndex(
        kept.index.to_numpy("datetime64[ns]"), name="Date"
    )  # the same from every source
    return kept, notices
