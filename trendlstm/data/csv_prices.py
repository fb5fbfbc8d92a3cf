"""Prices from a file: which columns of its table are which, and whose rows."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from trendlstm.data import calendar as calendars
from trendlstm.data.date_cells import read_stamps, refuse_intraday, session_dates
from trendlstm.data.number_cells import read_numbers
from trendlstm.data.prices import COLUMNS, SourcePrices, adjust, clean_prices
from trendlstm.data.tables import Table, read_table
from trendlstm.errors import DataError

# Titles as `_plain` has them. Nasdaq writes Close/Last, Investing.com Vol., Stooq's bulk files <VOL>.
_TITLES = {
    "date": "Date",
    **{column.lower(): column for column in COLUMNS},
    "close last": "Close",
    "vol": "Volume",
    "adj close": "Adj Close",
    "adjclose": "Adj Close",
    "adjusted close": "Adj Close",
    "adjustedclose": "Adj Close",
    "close adj": "Adj Close",
    "closeadj": "Adj Close",
    "close adjusted": "Adj Close",
    "ticker": "Ticker",
    "symbol": "Ticker",
    # German spreadsheets
    "datum": "Date",
    "eröffnung": "Open",
    "hoch": "High",
    "tief": "Low",
    "schluss": "Close",
    "schlusskurs": "Close",
    "volumen": "Volume",
}
# Titles that count where no column has the name itself: of Investing.com, Alpha Vantage, and frames without one.
_SECOND_TITLES = {"price": "Close", "timestamp": "Date", "datetime": "Date", "time": "Date", "name": "Ticker"}
# At most so many days lie between rows (median).
_SPACINGS = ((4, "daily"), (10, "weekly"), (45, "monthly"), (120, "quarterly"))
_LEAST_ROWS = 5  # fewer rows do not tell how far apart they usually lie


def read_csv_prices(
    path: str | Path,
    calendar: str | None = None,
    ticker: str | None = None,
    decimal: str | None = None,
    date_format: str | None = None,
) -> SourcePrices:
    """Read daily prices from a CSV file, also packed by gzip, or from xlsx or parquet.

    Parameters
    ----------
    path : str or pathlib.Path
        A table as `trendlstm.data.tables.read_table` reads it, with columns of dates and closes. Open, High, Low,
        Volume and an adjusted close are used where they are, others ignored; docs/prices.md lists the titles. With an
        adjusted close all prices are scaled by adjusted close / close.
    calendar : str, optional
        Trading calendar of the prices, XNYS unless given.
    ticker : str, optional
        Whose rows to read where the file has several tickers.
    decimal : {".", ","}, optional
        The decimal mark. Default: the one under which all numbers of the file are numbers.
    date_format : str, optional
        How dates are written, such as ``%d/%m/%Y``. Default: the form of the first one, if it makes dates of all.

    Returns
    -------
    SourcePrices
        All rows of the file, checked; `adjusted` says whether there was an adjusted close.

    Raises
    ------
    DataError
        The file cannot be read as such a table, has several tickers and none is asked for, can be read in two ways,
        has intraday prices or rows rarer than daily, or a row is refused (see `trendlstm.data.prices.clean_prices`);
        the message names file, row (the header is row 1) and column.
    """
    path = Path(path)
    table = read_table(path)
    columns = _columns(table, ticker)
    notices = []
    if "Ticker" in columns:
        table, others = _rows_of(table, columns["Ticker"], ticker)
        notices += others

    def where(i: int, column: str = "Date") -> str:
        return f"{path}, row {table.rows[i]}, column {column}"

    stamps = read_stamps(table.column(columns["Date"]), where, date_format)
    refuse_intraday(stamps.days, stamps.clock, where)
    if "Time" in columns:
        refuse_intraday(stamps.days, [str(cell) for cell in table.column(columns["Time"])], where)
    dates, moved = session_dates(stamps, calendar)
    if moved:
        notices.append(f"{path}: {moved}")
    prices = {name: table.column(columns[name]) for name in (*COLUMNS, "Adj Close") if name in columns}
    frame = read_numbers(prices, where, decimal, table.separator).set_axis(dates)
    frame, repairs = clean_prices(frame, str(path), table.rows.tolist())
    notices += repairs
    _refuse_rare(pd.DatetimeIndex(frame.index), path)
    adjusted = "Adj Close" in frame
    if adjusted:
        frame = adjust(frame)
        notices.append(f"{path}: Open, High, Low and Close were scaled by Adj Close / Close.")
    return SourcePrices(
        frame=frame,
        source="csv",
        calendar=calendar or calendars.DEFAULT_CALENDAR,
        adjusted=adjusted,
        notices=tuple(notices),
    )


def _plain(title: str) -> str:
    """A title in lower case, its words apart and without a leading number: "5. Adjusted_Close" as "adjusted close"."""
    return re.sub(r"^\d+ ", "", " ".join(re.findall(r"[^\W_]+", title.lower())))


def _columns(table: Table, ticker: str | None) -> dict[str, int]:
    """Where each column that is used stands; "Ticker" and "Time" only where they can tell rows apart."""
    titles = dict(enumerate(map(_plain, table.header)))
    if table.tickers is not None:
        wanted = _one_ticker(table.path, table.tickers[1:], ticker)
        titles = {j: title for j, title in titles.items() if j == 0 or table.tickers[j] == wanted}
    columns: dict[str, int] = {}
    for j, title in titles.items():
        name = _TITLES.get(title)
        if name in columns:
            raise DataError(f"{table.path} has two columns for {name}; remove one of them.")
        if name is not None:
            columns[name] = j
    unknown = [table.header[j] for j, title in titles.items() if _is_like_adjusted_close(title)]
    if unknown and "Adj Close" not in columns:
        raise DataError(
            f"{table.path}: the column {unknown[0]!r} looks like an adjusted close, but is not known as one; name it "
            "Adj Close, or remove it to use the prices as they are."
        )
    for j, title in titles.items():
        if title in _SECOND_TITLES:
            columns.setdefault(_SECOND_TITLES[title], j)
        if title == "time" and columns["Date"] != j:
            columns["Time"] = j
    if titles[0] == "":
        columns.setdefault("Date", 0)  # the index of a frame that was saved without a name
    absent = [name for name in ("Date", "Close") if name not in columns]
    if absent:
        shown = ", ".join(table.header)[:100]
        raise DataError(
            f"{table.path} has no column {' and no column '.join(absent)}, because its first line is {shown!r}; name "
            "the columns there as Yahoo, Stooq or Nasdaq do, at least Date and Close."
        )
    return columns


def _is_like_adjusted_close(title: str) -> bool:
    about_another = re.search("unadj|open|high|low|vol|factor|coef|ratio", title)
    return "adj" in title and title not in _TITLES and not about_another


def _rows_of(table: Table, column: int, ticker: str | None) -> tuple[Table, list[str]]:
    """The rows of one ticker, and a sentence about the others."""
    names = np.array([str(name).strip() for name in table.column(column)], dtype=object)
    wanted = _one_ticker(table.path, names, ticker)
    ours = names == wanted
    if ours.all():
        return table, []
    others = ", ".join(sorted(set(names[~ours])))[:100]
    return table[ours], [
        f"{table.path}: {(~ours).sum()} rows of other tickers than {wanted} left out ({others})."
    ]


def _one_ticker(path: Path, names: Iterable[str], ticker: str | None) -> str:
    """The only name, or the one that is the ticker."""
    several = sorted(set(names))
    for name in several:
        if len(several) == 1 or name.upper() == ticker:
            return name
    raise DataError(
        f"{path} has prices of several tickers ({', '.join(several)[:100]}); name the one to read, as the ticker or by "
        "the file's name."
    )


def _refuse_rare(dates: pd.DatetimeIndex, path: Path) -> None:
    if len(dates) < _LEAST_ROWS:
        return
    days = float(dates.to_series().diff().dt.days.median())
    kind = next((kind for most, kind in _SPACINGS if days <= most), "yearly")
    if kind != "daily":
        raise DataError(
            f"{path} has {kind} prices: its rows lie {days:g} days apart (median). trendlstm's windows, tests and "
            "forecast dates are of daily sessions; give daily prices."
        )
