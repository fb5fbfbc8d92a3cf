"""Sequences of symbols as the networks see them."""

import numpy as np


def one_hot(symbols: np.ndarray, kinds: int, lengths: np.ndarray) -> np.ndarray:
    """(N, T) symbols as (N, T, kinds) float32, zeros after each sequence's end."""
    x = np.zeros((*symbols.shape, kinds), np.float32)
    is_symbol = np.arange(symbols.shape[1]) < lengths[:, None]
    np.put_along_axis(x, symbols.astype(np.intp)[:, :, None], is_symbol[:, :, None], axis=2)
    return x
