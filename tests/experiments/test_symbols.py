"""Symbols as networks see them."""

import numpy as np

from trendlstm.experiments.symbols import one_hot


def test_one_hot_is_zero_after_the_end():
    x = one_hot(np.array([[2, 0, 1], [1, 1, 1]], np.uint8), 3, np.array([3, 1]))
    assert x.dtype == np.float32
    assert x.tolist() == [[[0, 0, 1], [1, 0, 0], [0, 1, 0]], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]]
