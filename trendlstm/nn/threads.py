"""Gangs of plain Python threads that run one compiled function together, and how many of them there should be."""

import math
import numbers
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trendlstm.errors import OptionError

_POLL_SECONDS = 0.05  # how often a waiting main thread looks at the progress


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
    arguments: list[tuple],
    while_waiting: Callable[[], None] = _nothing,
    stop: Callable[[], None] = _nothing,
    abandon: Callable[[], None] = _nothing,
) -> None:
    """Call `function` with each tuple of `arguments`, each in a thread of its own, and wait for all.

    Parameters
    ----------
    function : callable
        Run once per tuple. It may expect all others to run at the same time.
    arguments : list of tuple
        One per thread.
    while_waiting : callable
        Called now and then on this thread.
    stop : callable
        Must make every call return soon. Called when `while_waiting` or a signal (Ctrl-C) raises; the threads are
        waited for, then the exception goes on.
    abandon : callable
        Must make the running calls return although others are missing. Called when a thread cannot be started.
    """
    failures: list[BaseException] = []

    # Each begins at once, on the idle core where it was started. Behind a common starting gate the system wakes several
    # on one core, and short fits end before it has spread them: 14 ms instead of 9 for an epoch on 4 threads.
    def run(values: tuple) -> None:
        try:
            function(*values)
        except BaseException as error:  # handed to the calling thread below
            failures.append(error)

    started: list[threading.Thread] = []
    end = abandon
    try:
        for values in arguments:
            thread = threading.Thread(target=run, args=(values,), daemon=True)
            thread.start()
            started.append(thread)
        end = stop
        for thread in started:
            while thread.is_alive():
                thread.join(_POLL_SECONDS)
                while_waiting()
    except BaseException:
        end()
        for thread in started:
            thread.join()
        raise
    if failures:
        raise failures[0]
