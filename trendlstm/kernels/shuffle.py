"""The order of the samples in an epoch: Fisher-Yates on splitmix64 (Steele, Lea & Flood 2014), the same everywhere."""

from .compile import compiled
from .equations import shuffle_partner, shuffle_state


@compiled
def shuffle_epoch(order, seed, epoch):
    """Fill `order` (int64) with a permutation of 0 ... N-1 that depends on seed and epoch alone."""
    for position in range(order.size):
        order[position] = position
    state = shuffle_state(seed, epoch)
    for last in range(order.size - 1, 0, -1):
        other = shuffle_partner(state, order.size - 1 - last, last)
        order[last], order[other] = order[other], order[last]
