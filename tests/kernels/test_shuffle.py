"""The order of an epoch's samples against the plain Fisher-Yates of naive.py."""

import naive
import numba
import numpy as np
import pytest

from trendlstm.kernels.shuffle import shuffle_epoch


@numba.njit
def shuffle(order, seed, epoch):
    shuffle_epoch(order, seed, epoch)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 45])
def test_every_permutation_is_the_references(size):
    order = np.empty(size, np.int64)
    for seed in (0, 1, 2, 3, 2**63 - 1):
        for epoch in range(6):
            shuffle(order, seed, epoch)
            np.testing.assert_array_equal(order, naive.shuffled(size, seed, epoch))
