"""Folds on the workers of a Dask cluster. This cuts, submits and merges; what is computed is `forecast_block`'s."""

import functools
import logging
import signal
import sys
import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import llvmlite
import numba
import numpy as np
import pandas as pd

from trendlstm.config import BacktestConfig, DType
from trendlstm.errors import ClusterError, OptionError, TrendLSTMError
from trendlstm.files import one_at_a_time
from trendlstm.kernels.cache import is_kept, kernel_folder, processor
from trendlstm.nn.many import compile_kernels
from trendlstm.version import __version__, install_command
from trendlstm.workflows.fold_queue import Block, Fail, Fits, Save, forecast_block, one_blas_thread
from trendlstm.workflows.folds import FoldResult, Walk, Weights

if TYPE_CHECKING:
    from distributed import Client, Future

BLOCK_SECONDS = 10.0  # of work in a task: far more than the milliseconds that a task costs the scheduler
CONNECT_SECONDS = 5.0
_TASKS_PER_THREAD = 2  # at the workers, so that none waits for the next one
_LEAST_TASKS = 8  # also where there is no worker yet: clusters that grow on demand want to see work
_POLL_SECONDS = 0.2
_COUNT_SECONDS = 2.0  # how often the workers are counted

_LOG = logging.getLogger("trendlstm")


@contextmanager
def connect(address: str) -> "Iterator[Client]":
    """A client of a scheduler that is there already. Dask's own log is silent from then on, as with `local_cluster`.

    Parameters
    ----------
    address : str
        As `dask scheduler` prints it, such as "tcp://10.0.0.1:8786".

    Raises
    ------
    OptionError
        Dask is not installed, or this is no address.
    ClusterError
        No scheduler answers there.
    """
    _require_dask()
    from distributed import Client

    _silence()
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except ValueError as error:
        raise OptionError(
            f"{address!r} is no address of a scheduler ({error}): give it as tcp://HOST:PORT."
        ) from error
    except Exception as error:  # whatever answers there may be no scheduler, or one of another version
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ClusterError(
            f"no scheduler answers at {address} ({why}): start one with `dask scheduler`, or correct the address."
        ) from error
    with client:
        yield client


@contextmanager
def local_cluster(workers: int) -> "Iterator[Client]":
    """A client of a cluster of this machine's own: so many processes of one thread each, which end with the block.

    Only processes that hold the cluster's key, which is made for this once, can talk to it (TLS).

    Raises
    ------
    OptionError
        Dask is not installed.
    ClusterError
        The processes cannot be started.
    """
    _require_dask()
    import dask
    from distributed import Client, LocalCluster

    def start() -> Client:
        if sys.platform != "win32":
            resource_tracker.ensure_running()  # which would unblock it again
            signal.pthread_sigmask(
                signal.SIG_BLOCK, {signal.SIGINT}
            )  # in the processes that this thread starts
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            security=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        )
        return Client(cluster, set_as_default=False)

    def end() -> None:
        if starting.exception() is None:
            client = starting.result()
            client.close()
            client.cluster.close()

    _silence()
    with ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.worker.multiprocessing-method": "spawn"}))
        # On another thread: Ctrl-C while Dask starts would leave processes without a master, so that end waits for it.
        starting = stack.enter_context(ThreadPoolExecutor(1)).submit(start)
        stack.callback(end)
        try:
            client = starting.result()
        except Exception as error:
            raise ClusterError(f"the processes of a local cluster cannot be started: {error}.") from error
        yield client


def _require_dask() -> None:
    try:
        import cryptography  # noqa: F401
        import distributed  # noqa: F401
    except ImportError as error:
        raise OptionError(f"more than one process needs Dask: {install_command('dask')}.") from error


def _silence() -> None:
    """Keep Dask from logging, from now on: what a user must know is an error or a warning of ours."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class DaskEngine:
    """The workers of a cluster (an `Engine`), each thread of them with one block at a time.

    Results are the same bits as those of `ThreadEngine` where the workers' processors are of the same kind.

    Parameters
    ----------
    client : distributed.Client
        Is not closed.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client

    def run(self, blocks: Sequence[Block], config: BacktestConfig, save: Save, fail: Fail) -> None:
        """See `Engine`. Ctrl-C loses the blocks that are being done, some ten seconds of each worker.

        Raises
        ------
        ClusterError
            The scheduler is lost, a worker has other versions than this process, or a block was the end of several
            workers. What `save` was given is all that is finished.
        """
        if any(block.folds for block in blocks):
            with _Coordinator(self._client, blocks, config) as coordinator:
                coordinator.run(save, fail)


class _Work(NamedTuple):
    """What all blocks of a ticker need: sent to a worker once."""

    walk: Walk
    config: BacktestConfig
    versions: dict[str, str]


class _Done(NamedTuple):
    """What comes back of a block."""

    results: list[FoldResult]
    error: TrendLSTMError | None  # why the fold after them cannot be fitted
    seconds: float  # of wall time
    processor: str


def _forecast(work: _Work, numbers: Sequence[int], weights: Weights) -> _Done:
    """Forecast some folds; this is what a worker runs."""
    from distributed import get_worker

    for complaint in _complaints(versions(), work.versions):
        raise ClusterError(f"the worker {get_worker().address} {complaint}")
    _prepare(work.config.network.dtype)
    results: list[FoldResult] = []
    error = None
    start = time.perf_counter()
    block = Block(work.walk, [work.walk.folds[number] for number in numbers], weights)
    try:
        forecast_block(block, work.config, Fits(), results.append)
    except TrendLSTMError as raised:
        error = raised
    seconds = time.perf_counter() - start
    results[:-1] = [replace(result, weights={}) for result in results[:-1]]  # only the last are gone on with
    return _Done(results, error, seconds, processor())


@functools.cache
def _prepare(dtype: DType) -> None:
    """Make this process ready; where kernels are not compiled yet, one process of the machine does it for all."""
    one_blas_thread()
    if not is_kept(dtype):
        with suppress(OSError), one_at_a_time(kernel_folder(make=True) / "compiling"):
            if not is_kept(dtype):
                compile_kernels(dtype)
    compile_kernels(dtype)


def versions() -> dict[str, str]:
    """What must be the same in every process, because numbers or messages between them depend on it."""
    return {
        "trendlstm": __version__,
        "Python": ".".join(map(str, sys.version_info[:2])),
        "Numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "NumPy": np.__version__,
        "pandas": pd.__version__,
    }


def _complaints(theirs: "dict[str, str] | BaseException", ours: dict[str, str]) -> Iterator[str]:
    """What is wrong with the versions of a worker, as the end of a sentence."""
    remedy = "install the same versions on all machines, or stop that worker"
    if isinstance(theirs, BaseException):
        yield f"cannot run trendlstm {ours['trendlstm']} ({theirs}): {remedy}."
        return
    for name, version in ours.items():
        if theirs.get(name) != version:
            yield f"has {name} {theirs.get(name)}, but this process has {version}: {remedy}."


class _Rest(NamedTuple):
    """Folds of a ticker that are left, and its `_Work` on the cluster, once that is there."""

    block: Block
    work: "Future | None" = None


class _Coordinator:
    """One run: what waits, what is at the workers, and how long a fold takes."""

    def __init__(self, client: "Client", blocks: Sequence[Block], config: BacktestConfig) -> None:
        self._client, self._config = client, config
        self._address = str(client.scheduler.address)
        self._waiting = deque(_Rest(block) for block in blocks if block.folds)
        self._left = sum(len(block.folds) for block in blocks)  # folds that no task has been made of
        self._running: dict[Hashable, tuple[Future, _Rest]] = {}  # by key; what of the ticker comes after it
        self._finished: SimpleQueue[Future] = SimpleQueue()
        self._again: list[Future] = []  # their results were lost with a worker, and are made again
        self._threads = 0
        self._count_at = 0.0
        self._is_alone = False
        self._seconds, self._folds = 0.0, 0
        self._processors = {processor()}

    def __enter__(self) -> "_Coordinator":
        return self

    def __exit__(self, *_: object) -> None:
        for future, _rest in self._running.values():
            future.release()  # so that it is not begun, or forgotten when it ends
        self._running.clear()
        self._waiting.clear()

    def run(self, save: Save, fail: Fail) -> None:
        """Until all is done."""
        with self._asking():
            self._check_workers()
        while self._waiting or self._running:
            with self._asking():
                self._count_threads()
                self._submit()
            futures = self._wait()
            with self._asking():
                outcomes = self._collect(futures)
            save([result for _, done in outcomes for result in done.results])
            for rest, done in outcomes:
                self._note(rest, done, fail)
            for future in futures:
                if future.key in self._running:
                    self._look_after(future)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what Dask raises when the scheduler does not answer into one sentence."""
        try:
            if self._client.status != "running":
                raise OSError("the connection is closed")
            yield
        except (OSError, CancelledError) as error:
            raise self._lost() from error

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"the scheduler at {self._address} is lost; the folds that were finished are kept: start it again, and "
            "go on with --resume."
        )

    def _check_workers(self) -> None:
        ours = versions()
        for address, theirs in self._client.run(versions, on_error="return").items():
            for complaint in _complaints(theirs, ours):
                raise ClusterError(f"the worker {address} {complaint}")

    def _count_threads(self) -> None:
        if time.monotonic() < self._count_at:
            return
        self._threads = sum(self._client.nthreads().values())
        self._count_at = time.monotonic() + _COUNT_SECONDS
        if not self._threads and not self._is_alone:
            _LOG.warning(
                "The scheduler at %s has no workers: it waits until there is one (dask worker %s).",
                self._address,
                self._address,
            )
        self._is_alone = not self._threads

    def _submit(self) -> None:
        """Give the workers as much to do as they need until the next time."""
        room = max(_LEAST_TASKS, _TASKS_PER_THREAD * self._threads)
        while self._waiting and len(self._running) < room:
            waiting = self._waiting.popleft()
            work = waiting.work
            if work is None:
                # A task, and not scattered data: when a worker that has it is lost, it is made again.
                values = waiting.block.walk, self._config, versions()
                work = self._client.submit(_Work, *values, pure=False)
            block, left = waiting.block.cut(self._block_size())
            self._left -= len(block.folds)
            rest = _Rest(left, work)
            numbers = [fold.number for fold in block.folds]
            future = self._client.submit(_forecast, work, numbers, block.weights, pure=False)
            self._running[future.key] = future, rest
            future.add_done_callback(self._finished.put)
            if left.folds and not self._config.warm_start:
                self._waiting.appendleft(rest)  # one ticker after the other: few prices are on the way

    def _block_size(self) -> int:
        """So many folds that they take `BLOCK_SECONDS`, but towards the end fewer, so that all workers end together."""
        if not self._folds:
            return 1
        in_time = BLOCK_SECONDS * self._folds / max(self._seconds, 1e-9)
        share = self._left / (_TASKS_PER_THREAD * max(self._threads, 1))
        return max(1, int(min(in_time, share)))

    def _wait(self) -> "list[Future]":
        """The futures that have ended since the last time, or should be looked at again."""
        futures, self._again = self._again, []
        with suppress(Empty):
            futures.append(self._finished.get(timeout=_POLL_SECONDS))
            while True:
                futures.append(self._finished.get_nowait())
        return futures

    def _collect(self, futures: "Sequence[Future]") -> list[tuple[_Rest, _Done]]:
        """The results that have come."""
        good = [future for future in futures if future.status == "finished"]
        outcomes: list[_Done] = self._client.gather(good)
        return [(self._running.pop(future.key)[1], done) for future, done in zip(good, outcomes, strict=True)]

    def _note(self, rest: _Rest, done: _Done, fail: Fail) -> None:
        """Learn from a block, and make the next one of its ticker ready."""
        self._seconds += done.seconds
        self._folds += len(done.results)
        if done.processor not in self._processors:
            self._processors.add(done.processor)
            _LOG.warning(
                "Some folds are forecast by a processor of the kind %s, which is not this machine's (%s): the last "
                "digits of their results may differ.",
                done.processor,
                processor(),
            )
        block = rest.block
        if done.error is not None:
            fail(block.walk.ticker, done.error)
            self._drop(block.walk.ticker)
        elif self._config.warm_start and block.folds:
            going_on = block._replace(weights=done.results[-1].weights)
            self._waiting.append(rest._replace(block=going_on))

    def _drop(self, ticker: str) -> None:
        """Begin no more blocks of a ticker."""
        kept = [rest for rest in self._waiting if rest.block.walk.ticker != ticker]
        self._left -= sum(len(rest.block.folds) for rest in self._waiting) - sum(
            len(rest.block.folds) for rest in kept
        )
        self._waiting = deque(kept)

    def _look_after(self, future: "Future") -> None:
        """Wait again for a result that was lost with its worker; or raise why there is none."""
        if future.status in ("finished", "lost", "pending"):
            self._again.append(future)
            return
        if future.status != "error":
            raise self._lost()
        error: Any = future.exception()
        if isinstance(error, TrendLSTMError):
            raise error
        raise ClusterError(
            f"a worker could not forecast some folds ({type(error).__name__}: {error}): see the logs of the workers, "
            "and go on with --resume."
        ) from error
