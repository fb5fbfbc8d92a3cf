"""Prices in the forms in which people hold them in Python, as one table."""

import logging
from collections.abc import Sequence

import pandas as pd

from trendlstm.config import DataConfig
from trendlstm.data.calendar import DEFAULT_CALENDAR, check_calendar
from trendlstm.data.oddities import calendar_oddities, oddities
from trendlstm.data.prices import PriceSet, Provenance, adjust, check_prices, rows_sha256
from trendlstm.errors import DataError

logger = logging.getLogger("trendlstm")


def price_table(prices: object) -> pd.DataFrame:
    """A table of one ticker's prices, a column each, indexed by tz-naive dates.

    Parameters
    ----------
    prices : DataFrame or Series
        A table with a Close column and dates as index, also with yfinance's two levels of columns (prices and
        tickers) if they are of one ticker, or with an Adj Close, by which its prices are then scaled; or a Series
        of closes. Not modified. Dates with a time zone become the dates of that zone.

    Returns
    -------
    DataFrame
        The table itself where nothing had to be changed.

    Raises
    ------
    DataError
        It is something else, or holds several tickers, no Close or no dates.
    """
    if isinstance(prices, pd.Series):
        table = prices.to_frame("Close")
    elif isinstance(prices, pd.DataFrame):
        table = _one_ticker(prices) if prices.columns.nlevels > 1 else prices
    else:
        raise DataError(
            f"Prices must be a pandas DataFrame with a Close column or a Series of closes, indexed by date, but are "
            f"{type(prices).__name__}: put dates to them, as in pandas.Series(closes, index=dates)."
        )
    if "Close" not in table.columns:
        raise DataError(f"The prices have no Close column, only {', '.join(map(str, table.columns))}.")
    if not isinstance(table.index, pd.DatetimeIndex):
        raise DataError(
            "The prices must be indexed by date (a DatetimeIndex): see pandas.DataFrame.set_index."
        )
    if table.index.tz is not None:
        table = table.set_axis(table.index.tz_localize(None).normalize())
    if "Adj Close" in table.columns:
        logger.warning("Open, High, Low and Close were scaled by Adj Close / Close.")
        table = adjust(table)
    return table


def _one_ticker(table: pd.DataFrame) -> pd.DataFrame:
    """The table of the only ticker of one with yfinance's two levels of columns."""
    levels = [table.columns.get_level_values(level).unique() for level in range(table.columns.nlevels)]
    named = [level for level, values in enumerate(levels) if "Close" in values]
    if len(levels) != 2 or len(named) != 1:
        raise DataError(
            f"The prices have columns of {len(levels)} levels, of which none or several have a Close: give a table "
            "with a Close column."
        )
    tickers = levels[1 - named[0]]
    if len(tickers) > 1:
        raise DataError(
            f"The prices are of {len(tickers)} tickers, {', '.join(map(str, tickers))[:100]}: choose one, as in "
            f"prices.xs({tickers[0]!r}, axis=1, level={1 - named[0]})."
        )
    return table.droplevel(1 - named[0], axis=1)


def price_set(prices: object, config: DataConfig, features: Sequence[str] = ("Close",)) -> PriceSet:
    """Prices in any form with their provenance.

    Parameters
    ----------
    prices : PriceSet, DataFrame or Series
        A table from `load_prices` that has not been changed since keeps its provenance; for any other the source is
        "frame", and what is odd about its rows is logged as warnings. Not modified.
    config : DataConfig
        Names the ticker and, if it has one, the calendar.
    features : sequence of str, optional
        Columns that will be used: those of them that are there are checked beside dates and Close, before anything is
        said of the rows. A `PriceSet` is taken as it is.

    Returns
    -------
    PriceSet

    Raises
    ------
    OptionError, DataError
        There is no such calendar; or see `price_table` and `check_prices`.
    """
    if isinstance(prices, PriceSet):
        return prices
    table = price_table(prices)
    check_prices(table, [name for name in features if name in table.columns])
    digest = rows_sha256(table.select_dtypes("number"))
    known = table.attrs.get("provenance", {})
    if known.get("sha256") == digest:
        return PriceSet(table, Provenance(**{**known, "notices": tuple(known["notices"])}))
    calendar = check_calendar(config.calendar or DEFAULT_CALENDAR)
    dates = pd.DatetimeIndex(table.index)
    notices = [*calendar_oddities(dates, calendar), *oddities(table, adjusted=False)] if len(table) else []
    for notice in notices:
        logger.warning("%s", notice)
    start, end = (f"{date:%Y-%m-%d}" for date in dates[[0, -1]]) if len(table) else ("", "")
    provenance = Provenance(
        ticker=config.ticker,
        source="frame",
        requested_source="frame",
        csv=None,
        exchange=None,
        calendar=calendar,
        adjusted=False,
        start=start,
        end=end,
        rows=len(table),
        fetched_at=None,
        sha256=digest,
        notices=tuple(notices),
    )
    return PriceSet(table, provenance)
