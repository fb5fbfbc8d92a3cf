"""How the threads of one fit meet: a spin barrier, and a flag by which the main thread stops them.

Numba's own parallel layers abort the process when two Python threads use them at once (workqueue) or kill a forked
child (omp). A gang is plain Python threads, each inside one compiled call that holds no GIL.
"""

from .compile import compiled
from .simd import atomic_add, atomic_load, atomic_store, yield_thread

# Indices into `counters` (int64), a cache line apart so that waiting threads do not slow the arriving ones.
ARRIVED, GENERATION, STOP = 0, 8, 16
COUNTERS = 24

# Values of counters[STOP]: nobody asked; the main thread asked; rank 0 saw it, so that all threads act on it after the
# same minibatch; not all threads could be started, so that those that were must not wait for the others.
GO_ON, ASKED, AGREED, ABANDONED = range(4)

# The chunks of a minibatch differ by a few microseconds; a longer wait means that others have taken a core.
_SPINS = 2000


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
    spins = 0
    while atomic_load(counters, GENERATION) == generation:
        spins += 1
        if spins > _SPINS:
            if atomic_load(counters, STOP) == ABANDONED:
                return
            yield_thread()
