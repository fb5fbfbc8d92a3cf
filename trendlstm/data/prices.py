"""What every price table must satisfy, whatever its source: checks, lossless repairs and the hash of its rows."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from trendlstm.errors import DataError, OptionError

PRICE_COLUMNS = ("Open", "High", "Low", "Close")
COLUMNS = (*PRICE_COLUMNS, "Volume")
# Adjusted prices are products of rounded numbers: one part in a million is far below a tick and above their rounding.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class SourcePrices:
    """What one source gave: all its rows, checked.

    Attributes
    ----------
    frame : pandas.DataFrame
        Columns among Open, High, Low, Close, Volume (float64, Close always), strictly ascending tz-naive index `Date`.
    source : {"yahoo", "cache", "sample", "csv"}
        Where the rows were read.
    calendar : str
        Name of the trading calendar, as in `trendlstm.data.calendar`.
    adjusted : bool
        Whether prices are adjusted for dividends and splits.
    exchange : str or None
        Yahoo's code of the exchange.
    asked_from : str or None
        First date (ISO) that Yahoo was asked for; the first row may be later.
    fetched_at, fresh_until : str or None
        ISO times (UTC) of the fetch, and of the next session's close after it, when newer prices exist.
    notices : tuple of str
        Repairs made and oddities seen, one sentence each.
    """

    frame: pd.DataFrame
    source: str
    calendar: str
    adjusted: bool
    exchange: str | None = None
    asked_from: str | None = None
    fetched_at: str | None = None
    fresh_until: str | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """Where prices came from, and which rows they are.

    Attributes
    ----------
    ticker : str
        In upper case; for prices from a file a label.
    source : {"yahoo", "cache", "sample", "csv", "frame"}
        Where the rows were read; "frame" is a table that was given in Python.
    requested_source : {"auto", "yahoo", "cache", "sample", "csv", "frame"}
        What was asked for.
    csv : str or None
        The file.
    exchange : str or None
        Yahoo's code of the exchange.
    calendar : str
        Name of the trading calendar that dates forecasts.
    adjusted : bool
        Whether prices are adjusted for dividends and splits.
    start, end : str
        First and last date (ISO) of the rows.
    rows : int
    fetched_at : str or None
        ISO time (UTC) of the fetch.
    sha256 : str
        Hash of the rows, see `rows_sha256`.
    notices : tuple of str
        What was said about the prices, one sentence each.
    """

    ticker: str
    source: str
    requested_source: str
    csv: str | None
    exchange: str | None
    calendar: str
    adjusted: bool
    start: str
    end: str
    rows: int
    fetched_at: str | None
    sha256: str
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON-able values, in the order above."""
        return {**asdict(self), "notices": list(self.notices)}


@dataclass(frozen=True)
class PriceSet:
    """The prices of one run and where they came from.

    Attributes
    ----------
    frame : pandas.DataFrame
        Columns among Open, High, Low, Close, Volume (float64, Close always), strictly ascending tz-naive index `Date`.
    provenance : Provenance
    """

    frame: pd.DataFrame
    provenance: Provenance


def adjust(frame: pd.DataFrame) -> pd.DataFrame:
    """Scale Open, High, Low and Close by ``Adj Close / Close`` and drop the column ``Adj Close``.

    Parameters
    ----------
    frame : pandas.DataFrame
        Has the columns Close and Adj Close, and any of Open, High, Low.

    Returns
    -------
    pandas.DataFrame
        A new table whose Close is the given Adj Close. Each row keeps its order of Low, Open, Close and High.
    """
    adjusted = frame.drop(columns="Adj Close")
    for column in set(PRICE_COLUMNS) & set(frame.columns):
        # Ratio to Close first: exactly 1 where a price equals Close, so that a High at the close stays there.
        adjusted[column] = frame["Adj Close"] * (frame[column] / frame["Close"])
    return adjusted


def clean_prices(
    frame: pd.DataFrame, where: str, row_numbers: Sequence[int] | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Check prices, and repair what can be repaired without loss.

    Repaired: rows in another order are sorted, exact duplicates and rows without any price are dropped, a Volume
    column without any value is dropped. Everything else that is wrong is refused.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns among Open, High, Low, Close, Adj Close, Volume; Close must be there, other columns are dropped.
        Index: dates, tz-naive, no time of day.
    where : str
        What the rows are called in messages, for example a file name.
    row_numbers : sequence of int, optional
        Line number of each row in its file; without it messages name the date alone.

    Returns
    -------
    frame : pandas.DataFrame
        float64, strictly ascending index named Date.
    notices : list of str
        One sentence for each kind of repair.

    Raises
    ------
    DataError
        A price is missing, not finite or not positive, a volume is missing, not finite or negative, High or Low
        contradicts another price of the row, a date has two different rows, or no row is left. The message names
        the row and the column.
    """
    dates = pd.DatetimeIndex(frame.index)
    columns = [column for column in (*PRICE_COLUMNS, "Adj Close", "Volume") if column in frame.columns]
    values = frame[columns].to_numpy(np.float64)
    lines = np.arange(len(frame)) if row_numbers is None else np.asarray(row_numbers)
    prices = [j for j, column in enumerate(columns) if column != "Volume"]
    notices = []

    def row(i: int) -> str:
        day = f"{dates[i]:%Y-%m-%d}"
        return f"row {lines[i]} ({day})" if row_numbers is not None else f"the row of {day}"

    missing = np.isnan(values[:, prices]).all(axis=1)
    if missing.any():
        first = row(int(np.flatnonzero(missing)[0]))
        notices.append(f"{where}: {_rows(missing.sum())} without any price left out, the first is {first}.")
        dates, values, lines = dates[~missing], values[~missing], lines[~missing]
    if not len(dates):
        raise DataError(f"{where} has no row with a price.")
    if "Volume" in columns and np.isnan(values[:, -1]).all():
        notices.append(f"{where}: the column Volume has no values and is left out.")
        columns, values = columns[:-1], values[:, :-1]

    _refuse_bad_values(values, columns, where, row)

    if not dates.is_monotonic_increasing:
        kind = "from newest to oldest" if dates.is_monotonic_decreasing else "not in order of date"
        notices.append(f"{where}: rows were {kind} and have been sorted.")
        order = np.argsort(dates, kind="stable")
        dates, values, lines = dates[order], values[order], lines[order]
    repeated = np.flatnonzero(np.asarray(dates[1:] == dates[:-1]))
    if repeated.size:
        differing = np.flatnonzero((values[repeated] != values[repeated + 1]).any(axis=1))
        if differing.size:
            i = int(repeated[differing[0]])
            column = columns[int(np.flatnonzero(values[i] != values[i + 1])[0])]
            both = (
                f"{row(i)} and {row(i + 1)}"
                if row_numbers is not None
                else f"two rows of {dates[i]:%Y-%m-%d}"
            )
            raise DataError(
                f"{where}: {both} have the same date but a different {column}; keep the right one."
            )
        notices.append(f"{where}: {_rows(repeated.size)} repeated exactly and left out.")
        dates, values = dates.delete(repeated), np.delete(values, repeated, axis=0)

    return pd.DataFrame(values, index=pd.DatetimeIndex(dates, name="Date"), columns=columns), notices


def _refuse_bad_values(values: np.ndarray, columns: list[str], where: str, row: Callable[[int], str]) -> None:
    volume = np.array([column == "Volume" for column in columns])
    bad = ~np.isfinite(values) | (values < 0) | ((values == 0) & ~volume)
    if bad.any():
        i, j = (int(k) for k in np.argwhere(bad)[0])
        count = int(bad.any(axis=1).sum())
        wanted = "zero or a positive finite number" if volume[j] else "a positive finite number"
        more = f" ({count} rows are wrong in all)" if count > 1 else ""
        cell = f"{where}, {row(i)}, column {columns[j]}"
        raise DataError(f"{cell}: {values[i, j]:g} is not {wanted}; correct or remove the row{more}.")
    prices = [columns.index(column) for column in PRICE_COLUMNS if column in columns]
    for name, sign in (("High", 1.0), ("Low", -1.0)):
        if name in columns:
            limit = values[:, columns.index(name)]
            beyond = sign * (values[:, prices] - limit[:, None]) > TOLERANCE * limit[:, None]
            if beyond.any():
                i, j = (int(k) for k in np.argwhere(beyond)[0])
                raise DataError(
                    f"{where}, {row(i)}, column {name}: {limit[i]:g} is {'below' if sign > 0 else 'above'} "
                    f"{columns[prices[j]]} ({values[i, prices[j]]:g}); correct or remove the row."
                )


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def check_prices(prices: pd.DataFrame, features: Sequence[str]) -> None:
    """Refuse a table that no model can use: its dates, its features, its Close.

    Parameters
    ----------
    prices : pandas.DataFrame
        Has a Close; dates as index.
    features : sequence of str

    Raises
    ------
    OptionError
        A feature is missing.
    DataError
        Dates do not ascend or are repeated, or a feature or Close holds what is no number of its kind.
    """
    for feature in features:
        if feature not in prices.columns:
            present = ", ".join(map(str, prices.select_dtypes("number").columns))
            raise OptionError(f"These prices have no {feature}: choose features among {present}.")
    if not (prices.index.is_monotonic_increasing and prices.index.is_unique):
        raise DataError("The dates of the prices must ascend without repeats: sort them and drop duplicates.")
    for column in dict.fromkeys((*features, "Close")):
        if not is_numeric_dtype(prices[column]):
            raise DataError(
                f"The column {column} holds {prices[column].dtype}, not numbers: convert or leave it out."
            )
        values = prices[column].to_numpy(np.float64, na_value=np.nan)
        if column in PRICE_COLUMNS:
            usable, kind = values > 0, "a finite number above 0"
        elif column == "Volume":
            usable, kind = values >= 0, "a finite number of 0 or more"
        else:
            usable, kind = np.isfinite(values), "a finite number"
        usable = usable & np.isfinite(values)
        if not usable.all():
            row = int(np.argmin(usable))
            raise DataError(
                f"{column} of {prices.index[row]:%Y-%m-%d} is {values[row]}, but must be {kind}: "
                "mend or drop that row."
            )


def rows_sha256(frame: pd.DataFrame) -> str:
    """Hash of dates, column names and values: equal exactly when the rows are bit-identical.

    Parameters
    ----------
    frame : pandas.DataFrame
        Prices, float64, with dates as index.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(",".join(frame.columns).encode())
    digest.update(frame.index.to_numpy().astype("datetime64[D]").astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(frame.to_numpy(), dtype="<f8").tobytes())
    return digest.hexdigest()
