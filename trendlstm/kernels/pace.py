"""How many of a fit's threads take part in an epoch: fewer where other processes have taken cores.

Threads that share every minibatch wait for the slowest of them. Where the system gives one of them half a core, the
others do half as much, and one thread alone would be as fast. So the first thread watches how long threads wait, tries
an epoch or more with one thread fewer, and keeps to that if it was faster; later it tries more of them again. No result
depends on it: a gradient is the same bits for any number of threads.
"""

import numpy as np

from .buffers import record
from .compile import compiled, inlined
from .gang import WAITED
from .simd import atomic_load, atomic_store

PACE = record(
    most=np.int64,  # threads that may take part: all, but no more than cores
    active=np.int64,  # threads that do
    usual=np.int64,  # that number, also while another one is tried
    epochs=np.int64,  # of the period, which lasts _PERIOD or longer
    started=np.int64,  # ns: when it began
    changed=np.int64,  # ns: when `active` was
    trials=np.int64,  # of other numbers, that have ended
    usual_ns=np.float64,  # an epoch of `usual` threads
    waiting=np.int64,  # periods in a row in which they waited long
    wait=np.int64,  # periods until another number may be tried
    last_wait=np.int64,
    tried=np.float64,  # s: when the last fit ended that has tried another number, for `nn.training`
)

_PERIOD = 10_000_000  # ns: some time slices of the system's scheduler
_WAITED_SHARE = 0.125  # of the threads' time: less waiting is in the nature of a minibatch
_LONG_WAITS = 2  # periods of that in a row: beside one, as often a hiccup, fewer threads would look fast
_FASTER = 0.95  # what a trial must reach: less may be noise
_SLOWER = 1.25  # a trial of more threads that begins so is over: to measure it would take another such epoch
_LEAST_WAIT, _MOST_WAIT = 8, 128  # periods between trials; each that is in vain doubles them


@compiled
def choose_active(pace, counters, now):
    """Decide at the end of an epoch, on the first thread, how many threads take part in the next.

    Parameters
    ----------
    pace : record of PACE
        Modified.
    counters : ndarray of int64
        See `gang`.
    now : int
        From `simd.nanoseconds`.
    """
    if pace.started == 0:  # an epoch in which threads were started, or in which they found other cores
        is_slow = pace.active > pace.usual and now - pace.changed > _SLOWER * pace.usual_ns
        if not is_slow:
            _begin_period(pace, counters, now)
            return
        # this trial is in vain, and ends below: counted from 0 on, its epoch is slower than any
    pace.epochs += 1
    elapsed = now - pace.started
    if pace.most == 1 or elapsed < _PERIOD:
        return
    before = pace.active
    epoch_ns = elapsed / pace.epochs
    if pace.active != pace.usual:
        if epoch_ns < _FASTER * pace.usual_ns:
            pace.usual, pace.usual_ns, pace.last_wait = pace.active, epoch_ns, _LEAST_WAIT
        else:
            pace.active, pace.last_wait = pace.usual, min(2 * pace.last_wait, _MOST_WAIT)
        pace.wait, pace.waiting = pace.last_wait, 0
        pace.trials += 1
    else:
        pace.usual_ns = epoch_ns if pace.waiting == 0 else (pace.usual_ns + epoch_ns) / 2
        pace.wait -= 1
        waited = atomic_load(counters, WAITED)
        pace.waiting = pace.waiting + 1 if waited > _WAITED_SHARE * elapsed * pace.active else 0
        if pace.wait <= 0 and pace.active > 1 and pace.waiting >= _LONG_WAITS:
            pace.active -= 1
        elif pace.wait <= 0 and pace.waiting == 0 and pace.active < pace.most:
            pace.active += 1
    if pace.active != before:
        pace.changed = now
    _begin_period(pace, counters, now if pace.active == before else 0)


@inlined
def _begin_period(pace, counters, now):
    pace.epochs, pace.started = 0, now
    atomic_store(counters, WAITED, 0)


def start_pace(threads: int, cores: int) -> np.ndarray:
    """The record (1,) of a fit that begins with all of its threads, or with as many as there are cores."""
    pace = np.zeros(1, PACE)
    pace["most"] = pace["active"] = pace["usual"] = min(threads, cores)
    pace["last_wait"], pace["tried"] = _LEAST_WAIT, -np.inf
    return pace


def resume_pace(pace: np.ndarray, last: np.ndarray) -> None:
    """Begin with what an earlier fit of the same size has found."""
    pace["active"] = pace["usual"] = np.minimum(last["usual"], pace["most"])
    for field in ("wait", "last_wait", "tried"):
        pace[field] = last[field]
