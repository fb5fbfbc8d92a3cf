"""The file of a backtest's finished folds, with the settings and prices that they belong to: an SQLite database."""

import io
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.config import BacktestConfig
from trendlstm.data.prices import PriceSet, Provenance, rows_sha256
from trendlstm.errors import RunError
from trendlstm.files import hidden_beside, json_text
from trendlstm.kernels.cache import processor
from trendlstm.version import __version__
from trendlstm.workflows.folds import FoldResult, Weights

NAME = "folds.sqlite"
_KINDS = ("forecasts", "members", "quantiles", "scores", "epochs")  # arrays by model in a FoldResult

_TABLES = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE prices (ticker TEXT PRIMARY KEY, provenance TEXT, columns TEXT, dates BLOB, array BLOB);
CREATE TABLE failures (ticker TEXT PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE folds (ticker TEXT, fold INTEGER, ridge_alpha REAL, seconds REAL, PRIMARY KEY (ticker, fold));
CREATE TABLE arrays (ticker TEXT, fold INTEGER, kind TEXT, model TEXT, array BLOB NOT NULL,
                     PRIMARY KEY (ticker, fold, kind, model));
CREATE TABLE weights (ticker TEXT, model TEXT, array BLOB NOT NULL, PRIMARY KEY (ticker, model));
"""


class FoldFile:
    """Keeps what folds have forecast (a `workflows.fold_queue.FoldStore`), a transaction for all that `save` is given.

    Only one process at a time has it open.

    Attributes
    ----------
    config : BacktestConfig
    prices : dict of str to PriceSet
        By ticker.
    failures : dict of str to str
        The tickers that have no prices, and why.
    version, processor : str
        Of this package, and what its kernels were compiled for, when the file was begun.
    """

    def __init__(self, path: Path) -> None:
        """Read a file; use `create` or `open`."""
        self.path = path
        with _reading(path):
            self._connection = connection = _connect(path)
            settings = dict(connection.execute("SELECT name, value FROM settings"))
            self.version, self.processor = settings["version"], settings["processor"]
            self.config = BacktestConfig.from_dict(json.loads(settings["config"]))
            rows = connection.execute("SELECT * FROM prices ORDER BY rowid").fetchall()
            self.prices = {ticker: _price_set(ticker, *row) for ticker, *row in rows}
            self.failures = dict(connection.execute("SELECT ticker, reason FROM failures ORDER BY rowid"))

    @classmethod
    def create(
        cls,
        folder: Path,
        config: BacktestConfig,
        prices: Mapping[str, PriceSet],
        failures: Mapping[str, str] | None = None,
    ) -> "FoldFile":
        """Begin a file in an existing folder.

        Raises
        ------
        RunError
            It cannot be written.
        """
        path = folder / NAME
        settings = {
            "version": __version__,
            "processor": processor(),
            "config": json_text(config.to_dict()),
        }
        rows = [_price_row(ticker, each) for ticker, each in prices.items()]
        unfinished = hidden_beside(path)
        try:
            with closing(_connect(unfinished)) as connection:
                connection.executescript(f"BEGIN;{_TABLES}")
                connection.executemany("INSERT INTO settings VALUES (?, ?)", settings.items())
                connection.executemany("INSERT INTO prices VALUES (?, ?, ?, ?, ?)", rows)
                connection.executemany("INSERT INTO failures VALUES (?, ?)", (failures or {}).items())
                connection.commit()
            os.replace(unfinished, path)
        except (sqlite3.Error, OSError) as error:
            unfinished.unlink(missing_ok=True)
            raise RunError(
                f"{path} cannot be written ({error}): choose another folder with --out."
            ) from error
        return cls(path)

    @classmethod
    def open(cls, folder: Path) -> "FoldFile":
        """Go on with a file.

        Raises
        ------
        RunError
            There is none, it is damaged, another process has it open, or another version of this package began it.
        """
        path = folder / NAME
        if not path.is_file():
            raise RunError(f"{folder} is no backtest that can be resumed: there is no {NAME} in it.")
        self = cls(path)
        if self.version != __version__:
            raise RunError(
                f"{folder} was begun by trendlstm {self.version}, but this is {__version__}: resume it with "
                f"trendlstm {self.version}, or begin another backtest."
            )
        return self

    def finished(self, ticker: str) -> set[int]:
        """See `FoldStore`."""
        with _reading(self.path):
            rows = self._connection.execute("SELECT fold FROM folds WHERE ticker = ?", (ticker,))
            return {fold for (fold,) in rows}

    def weights(self, ticker: str) -> Weights:
        """See `FoldStore`."""
        with _reading(self.path):
            rows = self._connection.execute("SELECT model, array FROM weights WHERE ticker = ?", (ticker,))
            return {model: _array(blob) for model, blob in rows}

    def save(self, results: Sequence[FoldResult]) -> None:
        """See `FoldStore`.

        Raises
        ------
        RunError
            The file cannot be written; what was in it before still is.
        """
        try:
            with self._connection:  # a transaction
                for result in results:
                    self._insert(result)
        except sqlite3.Error as error:
            raise RunError(
                f"{self.path} cannot be written ({error}): mend that and go on with --resume {self.path.parent}."
            ) from error

    def load(self, ticker: str) -> Iterator[FoldResult]:
        """See `FoldStore`."""
        with _reading(self.path):
            folds = self._connection.execute(
                "SELECT fold, ridge_alpha, seconds FROM folds WHERE ticker = ? ORDER BY fold", (ticker,)
            ).fetchall()
            for fold, ridge_alpha, seconds in folds:
                arrays: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in _KINDS}
                for kind, model, blob in self._connection.execute(
                    "SELECT kind, model, array FROM arrays WHERE ticker = ? AND fold = ? ORDER BY rowid",
                    (ticker, fold),
                ):
                    arrays[kind][model] = _array(blob)
                yield FoldResult(
                    ticker=ticker, number=fold, ridge_alpha=ridge_alpha, seconds=seconds, weights={}, **arrays
                )

    def close(self) -> None:
        """Let other processes have the file."""
        self._connection.close()

    def _insert(self, result: FoldResult) -> None:
        key = result.ticker, result.number
        execute = self._connection.execute
        execute("INSERT INTO folds VALUES (?, ?, ?, ?)", (*key, result.ridge_alpha, result.seconds))
        for kind in _KINDS:
            for model, array in getattr(result, kind).items():
                execute("INSERT INTO arrays VALUES (?, ?, ?, ?, ?)", (*key, kind, model, _blob(array)))
        for model, array in result.weights.items():
            execute("INSERT OR REPLACE INTO weights VALUES (?, ?, ?)", (result.ticker, model, _blob(array)))


def changed_settings(given: Mapping[str, Any], kept: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The names of settings that differ, such as "fit.epochs"."""
    names = []
    for name in {**kept, **given}:
        one, other = given.get(name), kept.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            names += changed_settings(one, other, f"{prefix}{name}.")
        elif one != other:
            names.append(f"{prefix}{name}")
    return names


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=1)
    connection.execute("PRAGMA synchronous = FULL")  # what is committed outlives a loss of power
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # from the next transaction until it is closed
    connection.execute("BEGIN EXCLUSIVE")
    connection.commit()
    return connection


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError, LookupError, TypeError) as error:
        busy = "locked" in str(error)
        why = "another process is working on it" if busy else f"it is damaged ({error})"
        remedy = "wait until that has ended" if busy else "begin another backtest"
        raise RunError(f"{path} cannot be read, because {why}: {remedy}.") from error


def _price_row(ticker: str, prices: PriceSet) -> tuple[str, str, str, bytes, bytes]:
    frame = prices.frame.select_dtypes("number")
    dates = frame.index.to_numpy().astype("datetime64[D]")
    values = frame.to_numpy(np.float64)
    columns = json.dumps(list(frame.columns))
    return ticker, json_text(prices.provenance.to_dict()), columns, _blob(dates), _blob(values)


def _price_set(ticker: str, provenance: str, columns: str, dates: bytes, array: bytes) -> PriceSet:
    frame = pd.DataFrame(_array(array), pd.DatetimeIndex(_array(dates), name="Date"), json.loads(columns))
    values = json.loads(provenance)
    if rows_sha256(frame) != values["sha256"]:
        raise ValueError(f"the prices of {ticker} have changed")
    return PriceSet(frame, Provenance(**{**values, "notices": tuple(values["notices"])}))


def _blob(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _array(blob: bytes) -> np.ndarray:
    return np.load(io.BytesIO(blob), allow_pickle=False)
