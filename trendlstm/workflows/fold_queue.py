"""The queue of a backtest's folds: fit, forecast, move on, fit again.

All folds of all tickers are one queue. A fold is fitted by one thread (or one worker of a cluster) with all its models
and seeds, and goes into a `FoldStore` when it is finished; what is there already is not done again.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from trendlstm.config import BacktestConfig
from trendlstm.data.prices import PriceSet
from trendlstm.errors import TrendLSTMError
from trendlstm.nn.fit_job import FitJob
from trendlstm.nn.history import History
from trendlstm.nn.queue import run_queue
from trendlstm.nn.threads import thread_count
from trendlstm.nn.training import fit_here
from trendlstm.workflows.folds import Fold, FoldResult, Walk, Weights, forecast_fold, plan_walk

T = TypeVar("T")


class FoldStore(Protocol):
    """Where the results of folds are kept."""

    def finished(self, ticker: str) -> set[int]:
        """The numbers of the folds that are kept."""

    def weights(self, ticker: str) -> Weights:
        """What the fold after the last one that is kept begins with; empty without a warm start."""

    def save(self, results: Sequence[FoldResult]) -> None:
        """Keep some folds, all or none of them."""

    def load(self, ticker: str) -> Iterator[FoldResult]:
        """All that is kept of a ticker, the first fold first."""


class Block(NamedTuple):
    """Folds of one ticker that are done in turn, by one thread or worker; a warm start goes on from `weights`."""

    walk: Walk
    folds: Sequence[Fold]
    weights: Weights

    def cut(self, size: int) -> "tuple[Block, Block]":
        """The first folds, so many of them, and the others."""
        return self._replace(folds=self.folds[:size]), self._replace(folds=self.folds[size:])


class BacktestProgress(NamedTuple):
    """How far a backtest has come.

    Attributes
    ----------
    done, folds : int
        Folds that are finished, of all.
    ticker : str
        Whose fold was finished last.
    rmse, naive_rmse : float
        So far, of the log returns that the first model and persistence forecast for the next day; NaN at first.
    """

    done: int
    folds: int
    ticker: str
    rmse: float
    naive_rmse: float

    @property
    def completed(self) -> int:
        """Finished folds."""
        return self.done

    @property
    def total(self) -> int:
        """All folds."""
        return self.folds

    def __str__(self) -> str:
        errors = f"RMSE {100 * self.rmse:.3f} %, persistence {100 * self.naive_rmse:.3f} %"
        return f"{self.done:,} of {self.folds:,} · {self.ticker} · {errors}"


Report = Callable[[BacktestProgress], None]
Save = Callable[[Sequence[FoldResult]], None]
Fail = Callable[[str, TrendLSTMError], None]  # a ticker, and why a fold of it cannot be fitted


class MemoryStore:
    """A `FoldStore` that ends with the process."""

    def __init__(self) -> None:
        self._results: dict[str, dict[int, FoldResult]] = {}
        self._weights: dict[str, Weights] = {}

    def finished(self, ticker: str) -> set[int]:
        """See `FoldStore`."""
        return set(self._results.get(ticker, ()))

    def weights(self, ticker: str) -> Weights:
        """See `FoldStore`."""
        return self._weights.get(ticker, {})

    def save(self, results: Sequence[FoldResult]) -> None:
        """See `FoldStore`."""
        for result in results:
            self._weights[result.ticker] = result.weights
            self._results.setdefault(result.ticker, {})[result.number] = replace(result, weights={})

    def load(self, ticker: str) -> Iterator[FoldResult]:
        """See `FoldStore`."""
        folds = self._results.get(ticker, {})
        return (folds[number] for number in sorted(folds))


class Fits:
    """Fits of several threads, each of which trains on its own; all can be stopped at once."""

    def __init__(self) -> None:
        self._running: set[FitJob] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def train(self, job: FitJob) -> History:
        """As `fit_here`; raises KeyboardInterrupt if it was stopped."""
        with self._lock:
            self._running.add(job)
        try:
            if self._stopped:
                job.stop()
            history = fit_here(job)
        finally:
            with self._lock:
                self._running.discard(job)
        if self._stopped:
            raise KeyboardInterrupt
        return history

    def stop(self) -> None:
        """End the fits that run, and all later ones."""
        with self._lock:
            self._stopped = True
            for job in self._running:
                job.stop()


def forecast_block(
    block: Block, config: BacktestConfig, fits: Fits, done: Callable[[FoldResult], None]
) -> None:
    """Forecast the folds of a block, one after the other.

    Raises
    ------
    TrainingError
        A loss or weight became infinite or NaN.
    KeyboardInterrupt
        The fits were stopped.
    """
    weights = block.weights
    for fold in block.folds:
        result = forecast_fold(block.walk, fold, config, weights, fits.train)
        weights = result.weights
        done(result)


class Engine(Protocol):
    """What does blocks: threads of this process, or the workers of a cluster."""

    def run(self, blocks: Sequence[Block], config: BacktestConfig, save: Save, fail: Fail) -> None:
        """Do all blocks, one a ticker, cut into as many smaller ones as suits the engine.

        `save` and `fail` are called on this thread, `save` also with nothing, now and then. Of a ticker that has
        failed, folds may be left out.
        """


class ThreadEngine:
    """Threads of this process, each with one fold at a time.

    Parameters
    ----------
    threads : int, optional
        Default: all cores that the process may use.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = thread_count(threads)

    def run(self, blocks: Sequence[Block], config: BacktestConfig, save: Save, fail: Fail) -> None:
        """See `Engine`. Ctrl-C loses the folds that are being fitted, one a thread."""
        fits = Fits()
        finished: SimpleQueue[FoldResult] = SimpleQueue()
        failed: SimpleQueue[tuple[str, TrendLSTMError]] = SimpleQueue()

        def do(block: Block) -> None:
            try:
                forecast_block(block, config, fits, finished.put)
            except TrendLSTMError as error:
                failed.put((block.walk.ticker, error))

        def hand_over() -> None:
            save(list(_drained(finished)))
            for ticker, error in _drained(failed):
                fail(ticker, error)

        try:
            with one_blas_thread():
                tasks = [partial(do, part) for block in blocks for part in _parts(block, config)]
                run_queue(tasks, self._threads, hand_over, fits.stop)
        finally:
            hand_over()


def _parts(block: Block, config: BacktestConfig) -> Iterator[Block]:
    """Single folds, so that no thread is left with much at the end; with a warm start they go together."""
    size = len(block.folds) if config.warm_start else 1
    while block.folds:
        part, block = block.cut(size)
        yield part


def one_blas_thread() -> threadpool_limits:
    """Keep NumPy's matrix products on the thread that calls them, from now on or for a `with` block.

    Every fold has a thread already, and the last digits of large products differ with the number of threads.
    """
    return threadpool_limits(1, "blas")


def _drained(queue: "SimpleQueue[T]") -> Iterator[T]:
    with suppress(Empty):
        while True:
            yield queue.get_nowait()


def make_blocks(walks: Mapping[str, Walk], config: BacktestConfig, store: FoldStore) -> list[Block]:
    """What is left to do, one block a ticker."""
    blocks = []
    for ticker, walk in walks.items():
        finished = store.finished(ticker)
        left = [fold for fold in walk.folds if fold.number not in finished]
        blocks.append(Block(walk, left, store.weights(ticker) if config.warm_start else {}))
    return blocks


@dataclass(frozen=True, eq=False)
class Planned:
    """What is to be tested.

    Attributes
    ----------
    config : BacktestConfig
    walks : dict of str to Walk
        By ticker.
    failures : dict of str to str
        The tickers that cannot be tested, and why.
    """

    config: BacktestConfig
    walks: dict[str, Walk]
    failures: dict[str, str]

    @property
    def folds(self) -> int:
        """Of all tickers."""
        return sum(len(walk.folds) for walk in self.walks.values())


def plan(prices: Mapping[str, PriceSet], config: BacktestConfig) -> Planned:
    """Lay out every ticker's folds; one that has no room for them is a failure of its own."""
    walks, failures = {}, {}
    for ticker, of_ticker in prices.items():
        try:
            walks[ticker] = plan_walk(ticker, of_ticker, config)
        except TrendLSTMError as error:
            failures[ticker] = str(error)
    return Planned(config, walks, failures)


def run(planned: Planned, store: FoldStore, engine: Engine, report: Report | None = None) -> dict[str, str]:
    """Forecast every fold that the store has not got yet.

    Returns
    -------
    dict of str to str
        The tickers of which a fold could not be fitted, and why.
    """
    config = planned.config
    failures: dict[str, str] = {}
    blocks = make_blocks(planned.walks, config, store)
    watch = _Watch(planned, store, report)

    def save(results: Sequence[FoldResult]) -> None:
        if results:
            store.save(results)
            watch.see(results)

    def fail(ticker: str, error: TrendLSTMError) -> None:
        failures.setdefault(ticker, str(error))

    engine.run(blocks, config, save, fail)
    return failures


class _Watch:
    """Counts folds and sums up errors, for whoever looks on."""

    def __init__(self, planned: Planned, store: FoldStore, report: Report | None) -> None:
        self._planned, self._report = planned, report
        self._done = sum(len(store.finished(ticker)) for ticker in planned.walks)
        self._errors = self._naive_errors = 0.0
        self._count = 0

    def see(self, results: Sequence[FoldResult]) -> None:
        if self._report is None:
            return
        model = self._planned.config.models[0]
        for result in results:
            walk = self._planned.walks[result.ticker]
            close = walk.prices.frame["Close"].to_numpy(np.float64)
            origins = np.asarray(walk.folds[result.number].origins)
            forecast = result.forecasts[model][:, 0]
            self._errors += float(np.sum(np.log(close[origins + 1] / forecast) ** 2))
            self._naive_errors += float(np.sum(np.log(close[origins + 1] / close[origins]) ** 2))
            self._count += len(origins)
        self._done += len(results)
        rmse, naive = (math.sqrt(errors / self._count) for errors in (self._errors, self._naive_errors))
        self._report(BacktestProgress(self._done, self._planned.folds, results[-1].ticker, rmse, naive))
