"""One queue of tasks that some threads take from: many fits, trials, the measurement of gradients."""

import threading
from collections.abc import Callable, Sequence

from trendlstm.nn.threads import run_together


def run_queue(
    tasks: Sequence[Callable[[], object]],
    threads: int,
    while_waiting: Callable[[], None] = lambda: None,
    stop: Callable[[], None] = lambda: None,
) -> None:
    """Call every task once, each on the next thread that is free, and wait for all.

    Parameters
    ----------
    tasks : sequence of callable
        Begun in this order.
    threads : int
        How many run at a time, at most.
    while_waiting : callable
        Called now and then on this thread.
    stop : callable
        Must make the tasks that are running return soon.

    Raises
    ------
    BaseException
        What the first task that failed raised, or `while_waiting`, or a signal (Ctrl-C). No task is begun after it,
        `stop` is called, and the tasks that are running are waited for.
    """
    remaining = iter(tasks)
    taking = threading.Lock()

    def end() -> None:
        nonlocal remaining
        with taking:
            remaining = iter(())
        stop()

    def work() -> None:
        while True:
            with taking:
                task = next(remaining, None)
            if task is None:
                return
            try:
                task()
            except BaseException:
                end()
                raise

    run_together(work, lambda count: [()] * count, min(threads, len(tasks)), while_waiting, end)
