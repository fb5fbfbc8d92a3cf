"""The price cache: one gzip CSV with a JSON header line per ticker, replaced as a whole.

Adjusted prices of the past are rewritten by every dividend and split, so a file holds one fetch and two fetches are
never joined. ``zcat FILE`` shows everything there is.
"""

import gzip
import json
import os
import zlib
from pathlib import Path
from typing import IO, Any

import pandas as pd

from trendlstm.caches import cache_folder
from trendlstm.data.calendar import utc_now
from trendlstm.data.prices import SourcePrices, rows_sha256
from trendlstm.errors import DataError
from trendlstm.files import replace_file

_SUFFIX = ".csv.gz"
_HEADER = ("calendar", "adjusted", "exchange", "asked_from", "fetched_at", "fresh_until", "notices")


def prices_path(ticker: str) -> Path:
    """Return the cache file of a ticker, which need not exist."""
    return cache_folder("prices") / f"{ticker}{_SUFFIX}"


def write_cache(ticker: str, prices: SourcePrices) -> Path:
    """Store one fetch, in place of an earlier one.

    Parameters
    ----------
    ticker : str
        In upper case.
    prices : SourcePrices
        As fetched, not yet cut to a number of years.

    Returns
    -------
    pathlib.Path
        The file. At every moment it is the old one or the new one as a whole, also with several writers.

    Raises
    ------
    OSError
        The folder cannot be written.
    CacheError
        Others may write the folder: as `cache_folder`, also of the functions below.
    """
    header = {
        "ticker": ticker,
        "source": prices.source,
        **{name: getattr(prices, name) for name in _HEADER},
        "start": f"{prices.frame.index[0]:%Y-%m-%d}",
        "end": f"{prices.frame.index[-1]:%Y-%m-%d}",
        "rows": len(prices.frame),
        "sha256": rows_sha256(prices.frame),
    }

    def write(file: IO[bytes]) -> None:
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            packed.write(f"# {json.dumps(header)}\n".encode())
            packed.write(prices.frame.to_csv(date_format="%Y-%m-%d").encode())

    path = cache_folder("prices", make=True) / f"{ticker}{_SUFFIX}"
    replace_file(path, write)
    return path


def read_cache(ticker: str) -> SourcePrices | None:
    """Read a ticker's cache file.

    Parameters
    ----------
    ticker : str
        In upper case.

    Returns
    -------
    SourcePrices or None
        None where there is no file.

    Raises
    ------
    DataError
        The file cannot be read or its rows do not match its hash. It has then been renamed to ``….damaged`` (where
        the folder permits), so that the next fetch makes a new one.
    """
    path = prices_path(ticker)
    try:
        header, frame = _read(path)
        if header["ticker"] != ticker:
            raise DataError(f"it holds {header['ticker']}")
        fields = {name: header[name] for name in _HEADER}
        return SourcePrices(frame=frame, source="cache", **{**fields, "notices": tuple(fields["notices"])})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        aside = path.with_name(path.name + ".damaged")
        try:
            os.replace(path, aside)
            done = f"it was renamed to {aside.name}"
        except OSError:
            done = "remove it"
        why = f" ({error})" if isinstance(error, DataError) else ""  # Python's own words help nobody
        raise DataError(f"The price cache {path} is damaged{why}; {done}.") from error


def _read(path: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        header = json.loads(file.readline().removeprefix("# "))
        table = pd.read_csv(file, dtype=str)
    dates = pd.DatetimeIndex(pd.to_datetime(table.pop("Date"), format="%Y-%m-%d"), name="Date")
    # float() reads back exactly the number whose shortest form was written; not every pandas does.
    frame = pd.DataFrame({name: column.map(float).to_numpy() for name, column in table.items()}, index=dates)
    if rows_sha256(frame) != header["sha256"]:
        raise DataError("its rows do not match its hash")
    return header, frame


def is_fresh(prices: SourcePrices) -> bool:
    """Whether cached prices still end with the last complete session of their exchange."""
    return prices.fresh_until is not None and utc_now() < pd.Timestamp(prices.fresh_until)


def list_cache() -> list[dict[str, Any]]:
    """Describe what the cache holds, sorted by ticker.

    Returns
    -------
    list of dict
        Each file's header (ticker, source, exchange, calendar, adjusted, start, end, rows, fetched_at, fresh_until,
        sha256, …) with its `path` and `bytes`; for a file that cannot be read `path`, `bytes` and `error`.
    """
    found = []
    for path in sorted(cache_folder("prices").glob(f"*{_SUFFIX}")):
        entry: dict[str, Any] = {"path": str(path), "bytes": path.stat().st_size}
        try:
            entry |= _read(path)[0]
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
            entry["error"] = str(error)
        found.append(entry)
    return found


def clear_cache(ticker: str | None = None) -> list[Path]:
    """Delete cached prices, files set aside as damaged included.

    Parameters
    ----------
    ticker : str, optional
        In upper case; default all.

    Returns
    -------
    list of pathlib.Path
        The files deleted.
    """
    folder = cache_folder("prices")
    ours = [path for path in sorted(folder.glob("*")) if path.name.removesuffix(".damaged").endswith(_SUFFIX)]
    paths = [p for p in ours if ticker is None or p.name.removesuffix(".damaged") == f"{ticker}{_SUFFIX}"]
    for path in paths:
        path.unlink(missing_ok=True)
    return paths
