"""How the threads of one fit meet: a spin barrier, and a flag by which the main thread stops them.

Numba's own parallel layers abort the process when two Python threads use them at once (workqueue) or kill a forked
child (omp). A gang is plain Python threads, each inside one compiled call that holds no GIL.
"""

from .compile import compiled
from .simd import atomic_add, atomic_load, atomic_store, nanoseconds, pause, yield_thread

# Indices into `counters` (int64), a cache line apart so that waiting threads do not slow the arriving ones.
ARRIVED, GENERATION, STOP, WAITED, GATE = 0, 8, 16, 24, 32
COUNTERS = 40

# Values of counters[STOP]: nobody asked; the main thread asked; rank 0 saw it, so that all threads act on it after the
# same minibatch; not all threads could be started, so that those that were must not wait for the others.
GO_ON, ASKED, AGREED, ABANDONED = range(4)

# The chunks of a minibatch differ by a few microseconds; a longer wait means that others have taken a core.
_SPINS = 2000
_YIELDS = 2000
# Microseconds that a thread sleeps which has nothing to do: shorter ones would keep its core from others.
_PAUSE = 1000

# counters[GATE] is 0, then, for epoch 1, 2, ..., the epoch * _MOST_THREADS + how many threads take part.
_MOST_THREADS = 2**16
ENDED = -1  # or that the fit is over


@compiled
def meet(counters, size):
    """Return when all `size` threads have called, or the gang is abandoned; what each wrote is visible to all after."""
    if size == 1:
        return
    generation = atomic_load(counters, GENERATION)
    if atomic_add(counters, ARRIVED, 1) == size - 1:
        atomic_store(counters, ARRIVED, 0)
        atomic_store(counters, GENERATION, generation + 1)
        return
    spins, since = 0, 0
    while atomic_load(counters, GENERATION) == generation:
        spins += 1
        if spins > _SPINS:
            if atomic_load(counters, STOP) == ABANDONED:
                return
            if since == 0:
                since = nanoseconds()
            yield_thread()
    if since > 0:
        atomic_add(counters, WAITED, nanoseconds() - since)


@compiled
def open_gate(counters, epoch, size):
    """Let the threads 0 ... `size` - 1 begin with an epoch (1, 2, ...), or with `ENDED` all of them end."""
    atomic_store(counters, GATE, ENDED if epoch == ENDED else epoch * _MOST_THREADS + size)


@compiled
def pass_gate(counters, rank, epoch):
    """Wait until thread `rank` takes part in an epoch after this one; which, and with how many (0, 0 at the end)."""
    tries = 0
    while True:
        gate = atomic_load(counters, GATE)
        if gate == ENDED or atomic_load(counters, STOP) == ABANDONED:
            return 0, 0
        if gate // _MOST_THREADS > epoch and gate % _MOST_THREADS > rank:
            return gate // _MOST_THREADS, gate % _MOST_THREADS
        tries += 1
        if tries > _SPINS + _YIELDS:
            pause(_PAUSE)
        elif tries > _SPINS:
            yield_thread()
