"""The cells of a price table as its file has them: text, gzip, xlsx or parquet, read by pandas."""

import gzip
import io
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trendlstm.errors import DataError

_SEPARATORS = (",", ";", "\t", "|")
_HTML = ("<!doctype", "<html", "<head", "<body", "<?xml", "<div", "<script")
_EXTRA_CELLS = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")


@dataclass(frozen=True)
class Table:
    """A table before anything is made of its cells.

    Attributes
    ----------
    path : pathlib.Path
    header : list of str
        A title for each column, without outer blanks.
    cells : pandas.DataFrame
        dtype object, columns 0, 1, …: texts as they stand in the file, or values where the file has types. Rows
        without any content are left out.
    rows : ndarray of int64, shape (len(cells),)
        Number of each row in the file, where the header is row 1 unless something stands above it.
    separator : str or None
        What stands between the columns of a text.
    tickers : list of str or None
        Ticker of each column, where the table has a header line of tickers as yfinance writes it.
    """

    path: Path
    header: list[str]
    cells: pd.DataFrame
    rows: NDArray[np.int64]
    separator: str | None = None
    tickers: list[str] | None = None

    def column(self, position: int) -> list[Any]:
        """Return the cells of a column."""
        return self.cells[position].tolist()

    def __getitem__(self, kept: NDArray[np.bool_]) -> "Table":
        """Return the rows where `kept` is true."""
        return replace(self, cells=self.cells[kept], rows=self.rows[kept])


def read_table(path: Path) -> Table:
    """Read the table of a file; its content decides what kind of file it is.

    Parameters
    ----------
    path : pathlib.Path
        UTF-8 text with a header line and commas, semicolons, tabs or bars between the columns, the same packed by
        gzip, the first sheet of an xlsx workbook, or parquet. A table that yfinance wrote, with three header lines
        or two levels of columns, is read too.

    Raises
    ------
    DataError
        The file cannot be read or has no such table.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is a damaged gzip file: get it anew.") from error
    if content.startswith(b"PAR1"):
        frame = _typed(path, content, "parquet", "pyarrow", pd.read_parquet)
        return _not_empty(_from_frame(path, frame))
    if content.startswith(b"PK"):
        frame = _typed(path, content, "xlsx", "openpyxl", _read_excel)
        return _not_empty(_with_header(path, frame, None))
    lines = _text(path, content).splitlines()
    separator = _separator(lines)
    return _not_empty(_with_header(path, _split(path, lines, separator), separator))


def _typed(
    path: Path, content: bytes, kind: str, engine: str, read: Callable[[io.BytesIO], pd.DataFrame]
) -> pd.DataFrame:
    try:
        return read(io.BytesIO(content))
    except ImportError as error:
        raise DataError(
            f"{path}: pandas reads {kind} with {engine}, which is not installed: pip install {engine}."
        ) from error
    except Exception as error:  # the engines let through whatever a damaged file makes them raise
        raise DataError(f"{path} cannot be read as {kind}: it is damaged; save it anew.") from error


def _read_excel(file: io.BytesIO) -> pd.DataFrame:
    return pd.read_excel(file, header=None, dtype=object, na_filter=False, engine="openpyxl")


def _text(path: Path, content: bytes) -> str:
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


def _separator(lines: list[str]) -> str:
    """What occurs most often in the header line; unlike numbers, titles have no commas of their own."""
    header = re.sub('"[^"]*"', "", next(filter(str.strip, lines)))
    return max(_SEPARATORS, key=header.count)


def _split(path: Path, lines: list[str], separator: str) -> pd.DataFrame:
    """Cells of all lines, the index counting lines from 0; None where a line ends before its last column."""
    # To pandas no line is wider than the first, so that blank ones above the header are left away.
    blank = next(i for i, line in enumerate(lines) if line.strip())
    try:
        frame = pd.read_csv(
            io.StringIO("\n".join(lines[blank:])),
            sep=separator,
            header=None,
            dtype=object,
            na_filter=False,
            skip_blank_lines=False,
            skipinitialspace=True,
            engine="python",  # the other one does not tell a missing cell from an empty one
        )
    except pd.errors.ParserError as error:
        extra = _EXTRA_CELLS.search(str(error))
        if extra is None:
            raise DataError(
                f"{path} is not CSV: a quotation mark may be missing; save it anew with one row a line."
            ) from error
        columns, line, found = map(int, extra.groups())
        raise DataError(
            f"{path}, row {line + blank} has {found} columns where the header has {columns}; correct or remove the "
            "row (a number with a comma in it needs quotes around it)."
        ) from error
    return frame.set_axis(frame.index + blank)


def _with_header(path: Path, frame: pd.DataFrame, separator: str | None) -> Table:
    """The table below its header, which is the first row with any content; the frame's index counts rows from 0."""
    filled = frame.map(lambda cell: cell is not None and str(cell).strip() != "").any(axis=1).to_numpy()
    frame = frame[filled]
    if frame.empty:
        raise DataError(f"{path} is empty.")
    header = [str(title).strip() for title in frame.iloc[0]]
    cells, rows = frame.iloc[1:], frame.index[1:].to_numpy(np.int64) + 1
    short = np.flatnonzero(cells.isna().any(axis=1)) if separator is not None else np.empty(0)
    if short.size:
        i = int(short[0])
        found = int(cells.iloc[i].notna().sum())
        raise DataError(
            f"{path}, row {rows[i]} has {found} {'column' if found == 1 else 'columns'} where the header has "
            f"{len(header)}; correct or remove the row."
        )
    table = Table(path, header, cells.reset_index(drop=True), rows, separator)
    return _without_yfinance_lines(table)


def _without_yfinance_lines(table: Table) -> Table:
    """The same with one header line, for a table of yfinance's: it has three, for names, tickers and the index."""
    above = [[str(cell).strip() for cell in row] for row in table.cells.head(2).to_numpy()]
    lines = {line[0]: line[1:] for line in (table.header, *above)}
    if set(lines) != {"Price", "Ticker", "Date"} or any(lines["Date"]):
        return table
    below = replace(table, header=["Date", *lines["Price"]], tickers=["", *lines["Ticker"]])
    return below[np.arange(len(table.rows)) >= 2]


def _from_frame(path: Path, frame: pd.DataFrame) -> Table:
    """The table of a pandas frame, whose index comes first unless it only counts rows."""
    if not (isinstance(frame.index, pd.RangeIndex) and frame.index.name is None):
        frame = frame.reset_index()
    titles = [tuple(map(str, title if isinstance(title, tuple) else (title,))) for title in frame.columns]
    tickers = None
    if frame.columns.nlevels == 2:
        names = next((level for level in (0, 1) if "Close" in {title[level] for title in titles}), 0)
        tickers = [title[1 - names] for title in titles]
        tickers[0] = ""
        titles = [titles[0][:1], *((title[names],) for title in titles[1:])]
    header = ["" if title[0] == "index" else title[0].strip() for title in titles]
    cells = frame.astype(object).set_axis(range(len(header)), axis=1)
    return Table(path, header, cells, np.arange(2, len(frame) + 2), tickers=tickers)


def _not_empty(table: Table) -> Table:
    if not len(table.rows):
        raise DataError(f"{table.path} has a header but no rows of prices.")
    return table
