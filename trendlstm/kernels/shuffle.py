"""The order of the samples in an epoch: Fisher-Yates on splitmix64 (Steele, Lea & Flood 2014), the same everywhere."""

import numpy as np

from .compile import kernel


@kernel
def splitmix64(state):
    """One output of the generator whose state is `state` (uint64); the next state is state + 0x9E3779B97F4A7C15."""
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def shuffle_epoch(order, seed, epoch):
    """Fill `order` (int64) with a permutation of 0 ... N-1 that depends on seed and epoch alone."""
    for position in range(order.size):
        order[position] = position
    state = splitmix64(splitmix64(np.uint64(seed)) ^ np.uint64(epoch))
    for last in range(order.size - 1, 0, -1):
        # the remainder is biased by less than N / 2^64
        other = np.int64(splitmix64(state) % np.uint64(last + 1))
        state += np.uint64(0x9E3779B97F4A7C15)
        order[last], order[other] = order[other], order[last]
