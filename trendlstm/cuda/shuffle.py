"""The order of the samples in an epoch, as in `kernels.shuffle`."""

import numpy as np

from ..kernels.equations import shuffle_partner, shuffle_state
from .compile import cuda, inlined, unsigned


@inlined
def shuffle_epoch(order, at, n, seed, epoch):
    """Fill order[at : at + n]; all threads draw, into the n numbers after it, and one lets samples change places."""
    tid = unsigned(cuda.threadIdx.x)
    state = shuffle_state(seed, epoch)
    for position in range(tid, n, cuda.blockDim.x):
        order[at + position] = position
        order[at + n + position] = shuffle_partner(np.uint64(state), n - 1 - position, position)
    cuda.syncthreads()
    if tid == 0:
        for last in range(n - 1, 0, -1):
            other = order[at + n + last]
            kept = order[at + last]
            order[at + last] = order[at + other]
            order[at + other] = kept
    cuda.syncthreads()
