"""Gangs of plain Python threads that run one compiled function together, and how many of them there should be."""

import math
import numbers
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trendlstm.errors import OptionError

_POLL_SECONDS = 0.05  # how often a waiting main thread looks at the progress
_PAUSE_SECONDS = 0.002  # and, when it has asked them to stop, at whether the threads have


def available_threads() -> int:
    """The cores that this process may use: its affinity mask, and the CPU quota of its control group (Linux)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return cores


def thread_count(n_threads: int | None) -> int:
    """`n_threads`, else the environment's TRENDLSTM_NUM_THREADS, else `available_threads()`.

    Raises
    ------
    OptionError
        Not a whole number from 1 up.
    """
    if n_threads is None:
        text = os.environ.get("TRENDLSTM_NUM_THREADS") or str(available_threads())
        if not text.isdecimal() or int(text) < 1:
            raise OptionError(f"TRENDLSTM_NUM_THREADS must be a whole number from 1 up, but is {text!r}.")
        return int(text)
    if not isinstance(n_threads, numbers.Integral) or isinstance(n_threads, bool) or n_threads < 1:
        raise OptionError(f"n_threads must be a whole number from 1 up, but is {n_threads!r}.")
    return int(n_threads)


def _nothing() -> None:
    pass


def run_together(
    function: Callable[..., Any],
    arguments: Callable[[int], Sequence[tuple]],
    threads: int,
    while_waiting: Callable[[], None] = _nothing,
    stop: Callable[[], None] = _nothing,
    abandon: Callable[[], None] | None = None,
) -> None:
    """Call `function` on threads that run at the same time, and wait for all.

    Where the system has fewer threads to give than were asked for, those that it gives do the work; where it has none,
    this thread does, and hears of Ctrl-C when it has ended.

    Parameters
    ----------
    function : callable
        Called once on each thread.
    arguments : callable
        Told the number of threads, gives the arguments for each.
    threads : int
        How many to start.
    while_waiting : callable
        Called now and then on this thread.
    stop : callable
        Must make every call return soon. Called when `while_waiting` or a signal (Ctrl-C) raises; the threads are
        waited for, then the exception goes on.
    abandon : callable, optional
        Must make the running calls return although others are missing. Called when a thread cannot be started; all
        then begins anew, with those `arguments` that fewer threads have. None if a call does not need the others.
    """
    while threads > 0:
        started = _run_once(function, arguments(threads), while_waiting, stop, abandon)
        if started == threads or (started and abandon is None):
            return
        threads = started
    function(*arguments(1)[0])


def _run_once(
    function: Callable[..., Any],
    arguments: Sequence[tuple],
    while_waiting: Callable[[], None],
    stop: Callable[[], None],
    abandon: Callable[[], None] | None,
) -> int:
    """As `run_together`, on as many threads as can be started; returns how many that were."""
    failures: list[BaseException] = []
    ended: list[None] = []

    # Each begins at once, on the idle core where it was started. Behind a common starting gate the system wakes several
    # on one core, and short fits end before it has spread them: 14 ms instead of 9 for an epoch on 4 threads.
    def run(values: tuple) -> None:
        try:
            function(*values)
        except BaseException as error:  # handed to the calling thread below
            failures.append(error)
        finally:
            ended.append(None)

    started: list[threading.Thread] = []
    end = abandon or stop
    try:
        for values in arguments:
            thread = threading.Thread(target=run, args=(values,), daemon=True)
            started.append(thread)  # before a signal can interrupt its start
            try:
                thread.start()
            except RuntimeError:  # there are no more
                started.pop()
                if abandon is not None:
                    abandon()
                break
        else:
            end = stop
        for thread in started:
            while thread.is_alive():
                thread.join(_POLL_SECONDS)
                while_waiting()
    except BaseException:
        end()
        # not `join`: before 3.13 Python takes a thread for ended if a signal interrupts that
        while len(ended) < sum(thread.ident is not None for thread in started):
            time.sleep(_PAUSE_SECONDS)
        raise
    if failures:
        raise failures[0]
    return len(started)
