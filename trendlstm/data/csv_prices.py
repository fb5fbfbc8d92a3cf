"""Prices from a CSV file: Date and Close at least, or the download formats of Yahoo, Stooq and Nasdaq."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd

from trendlstm.data.prices import COLUMNS, SourcePrices, adjust, clean_prices
from trendlstm.errors import DataError

# Header names in lower case without <>, $ and outer blanks; Nasdaq writes Close/Last, Stooq's bulk files VOL.
_COLUMN_NAMES = {
    "date": "Date",
    **{column.lower(): column for column in COLUMNS},
    "close/last": "Close",
    "vol": "Volume",
    "adj close": "Adj Close",
    "adjclose": "Adj Close",
    "adj_close": "Adj Close",
}
_DATE_FORMATS = (
    (re.compile(r"\d{4}-\d\d-\d\d([ T].*)?"), "%Y-%m-%d", "YYYY-MM-DD"),
    (re.compile(r"\d{1,2}/\d{1,2}/\d{4}"), "%m/%d/%Y", "MM/DD/YYYY"),
    (re.compile(r"\d{8}"), "%Y%m%d", "YYYYMMDD"),
)
_MISSING = {"", "null", "n/a", "nan", "none", "-", "--"}
_NUMBER = re.compile(r"-?\$?-?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?(e[-+]?\d+)?", re.IGNORECASE)
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_HTML = ("<!doctype", "<html", "<head", "<body", "<?xml", "<div", "<script")


def read_csv_prices(path: str | Path, calendar: str) -> SourcePrices:
    """Read prices from a CSV file.

    Parameters
    ----------
    path : str or pathlib.Path
        UTF-8 text with a header line. Columns Date and Close; Open, High, Low, Volume and Adj Close are used where
        they are, others ignored. Dates all as YYYY-MM-DD (a time after it is ignored), all as MM/DD/YYYY or all as
        YYYYMMDD. Numbers may have ``$`` and commas between thousands. With Adj Close all prices are scaled by
        Adj Close / Close. A table that yfinance wrote for one ticker, with three header lines, is read too.
    calendar : str
        Trading calendar of the prices.

    Returns
    -------
    SourcePrices
        All rows of the file, checked; `adjusted` says whether there was an Adj Close.

    Raises
    ------
    DataError
        The file cannot be read as such a table, or a row is refused (see `trendlstm.data.prices.clean_prices`);
        the message names file, row (the header is row 1) and column.
    """
    path = Path(path)
    header, rows, numbers = _without_yfinance_lines(*_table(_text(path), path), path)
    columns = _columns(header, path)
    date = columns.pop("Date")
    dates = _dates([row[date].strip() for row in rows], numbers, path)
    frame = pd.DataFrame(
        {name: _numbers([row[j] for row in rows], numbers, name, path) for name, j in columns.items()},
        index=dates,
    )
    frame, notices = clean_prices(frame, str(path), numbers)
    adjusted = "Adj Close" in frame
    if adjusted:
        frame = adjust(frame)
        notices.append(f"{path}: Open, High, Low and Close were scaled by Adj Close / Close.")
    return SourcePrices(
        frame=frame, source="csv", calendar=calendar, adjusted=adjusted, notices=tuple(notices)
    )


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16 text; save it as UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8.") from error
    if "\0" in text:
        raise DataError(f"{path} is not UTF-8 text but binary or UTF-16; save it as CSV in UTF-8.")
    if not text.strip():
        raise DataError(f"{path} is empty.")
    if text.lstrip().lower().startswith(_HTML):
        raise DataError(f"{path} is a web page (HTML), not a CSV file; download the table itself.")
    return text


def _table(text: str, path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows and the file's line number of each row; blank lines are skipped."""
    reader = csv.reader(text.splitlines())
    header: list[str] = []
    rows, numbers = [], []
    try:
        for row in reader:
            if not any(map(str.strip, row)):
                continue
            if not header:
                header = row
                continue
            if len(row) < len(header):
                raise DataError(
                    f"{path}, row {reader.line_num} has {len(row)} columns where the header has {len(header)}; "
                    "correct or remove the row."
                )
            rows.append(row)
            numbers.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num} is not CSV: {error}.") from error
    if not rows:
        raise DataError(f"{path} has a header but no rows of prices.")
    return header, rows, numbers


def _without_yfinance_lines(
    header: list[str], rows: list[list[str]], numbers: list[int], path: Path
) -> tuple[list[str], list[list[str]], list[int]]:
    """The same with one header line, for a table of yfinance's: it has three, for names, tickers and the index."""
    lines = {line[0].strip(): line[1:] for line in (header, *rows[:2])}
    if set(lines) != {"Price", "Ticker", "Date"} or any(map(str.strip, lines["Date"])):
        return header, rows, numbers
    tickers = sorted(set(lines["Ticker"]))
    if len(tickers) > 1:
        raise DataError(
            f"{path} has prices of several tickers ({', '.join(tickers)[:100]}); save one of them alone."
        )
    if not rows[2:]:
        raise DataError(f"{path} has a header but no rows of prices.")
    return ["Date", *lines["Price"]], rows[2:], numbers[2:]


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Where each column that is used stands."""
    columns: dict[str, int] = {}
    for position, title in enumerate(header):
        name = _COLUMN_NAMES.get(title.strip().strip("<>").lower())
        if name in columns:
            raise DataError(f"{path} has two columns for {name}; remove one of them.")
        if name is not None:
            columns[name] = position
    absent = [name for name in ("Date", "Close") if name not in columns]
    if absent:
        first_line = ",".join(header)
        for separator, name in _SEPARATORS.items():
            if separator in first_line:
                raise DataError(
                    f"{path} has {name} between its columns; save it with commas between them, and points, not "
                    "commas, in the numbers."
                )
        shown = ", ".join(title.strip() for title in header)[:100]
        raise DataError(
            f"{path} has no column {' and no column '.join(absent)}, for its first line is {shown!r}; name the columns "
            "there as Yahoo, Stooq or Nasdaq do, at least Date and Close."
        )
    return columns


def _dates(texts: list[str], numbers: list[int], path: Path) -> pd.DatetimeIndex:
    """Dates of all rows, in the form that the first row has: month and day never change places within a file."""
    form = next((form for form in _DATE_FORMATS if form[0].fullmatch(texts[0])), None)
    if form is None:
        raise DataError(
            f"{path}, row {numbers[0]}, column Date: {texts[0]!r} is not a date; write YYYY-MM-DD or MM/DD/YYYY."
        )
    pattern, directive, name = form
    days = [text.split("T")[0].split(" ")[0] if pattern.fullmatch(text) else None for text in texts]
    dates = pd.to_datetime(pd.Series(days, dtype=object), format=directive, errors="coerce")
    bad = np.flatnonzero(dates.isna())
    if bad.size:
        i = int(bad[0])
        day_first = pd.to_datetime(pd.Series(texts, dtype=object), format="%d/%m/%Y", errors="coerce")
        if directive == "%m/%d/%Y" and day_first.notna().all():
            raise DataError(
                f"{path}, row {numbers[i]}, column Date: {texts[i]!r} is not a date in the form {name}; every date of "
                "the file has its day first (DD/MM/YYYY), so write them all as YYYY-MM-DD."
            )
        raise DataError(
            f"{path}, row {numbers[i]}, column Date: {texts[i]!r} is not a date in the form {name} that the file "
            "begins with; correct or remove the row."
        )
    return pd.DatetimeIndex(dates)


def _numbers(texts: list[str], numbers: list[int], column: str, path: Path) -> np.ndarray:
    values = np.empty(len(texts))
    for i, text in enumerate(texts):
        try:
            values[i] = float(text.replace("_", "?"))  # to Python 1_000 is a number, in a file it is a slip
        except ValueError:
            text = text.strip()
            if text.lower() in _MISSING:
                values[i] = np.nan
            elif _NUMBER.fullmatch(text) and any(map(str.isdigit, text)):
                values[i] = float(text.replace("$", "").replace(",", ""))
            else:
                raise DataError(
                    f"{path}, row {numbers[i]}, column {column}: {text!r} is not a number; correct or remove the row."
                ) from None
    return values
