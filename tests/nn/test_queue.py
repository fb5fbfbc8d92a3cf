"""The queue of tasks on threads: every task once, in order, and an end at the first failure."""

import threading
from functools import partial

import pytest

from trendlstm.nn.queue import run_queue


@pytest.mark.parametrize("threads", [1, 3, 50])
def test_every_task_is_called_once_and_begun_in_order(threads):
    begun, ended = [], []

    def task(number):
        begun.append(number)
        ended.append(number)

    run_queue([partial(task, number) for number in range(40)], threads)
    assert sorted(begun) == sorted(ended) == list(range(40))
    if threads == 1:
        assert begun == list(range(40))


def test_as_many_tasks_as_threads_run_at_the_same_time():
    """Twelve meet in fours: three at a time would wait for the fourth."""
    meeting, running, most = threading.Barrier(4), 0, 0
    lock = threading.Lock()

    def task():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meeting.wait(30)
        with lock:
            running -= 1

    run_queue([task] * 12, 4)
    assert most == 4


def test_the_first_failure_ends_it_and_is_raised():
    """What runs beside it is told to stop, and what that raises then is not what is told."""
    stopped, both, begun = threading.Event(), threading.Barrier(2), []

    def fail():
        both.wait(30)
        raise ZeroDivisionError

    def run(error):
        both.wait(30)
        begun.append("told to stop" if stopped.wait(5) else "not told")
        if error:
            raise error

    for error in (None, KeyError):
        begun.clear()
        stopped.clear()
        with pytest.raises(ZeroDivisionError):
            run_queue([fail, partial(run, error), partial(begun.append, "later")], 2, stop=stopped.set)
        assert begun == ["told to stop"]


def test_what_reports_progress_may_end_it():
    stopped, begun = threading.Event(), []

    def task():
        begun.append(1)
        assert stopped.wait(30)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_queue([task] * 9, 2, interrupt, stopped.set)
    assert 1 <= len(begun) <= 2
