"""Dropout (Srivastava et al. 2014), inverted: what is left is scaled up in training, and predictions are left alone."""

from .compile import compiled
from .equations import kept


@compiled
def drop(values, state, first, dropout):
    """Multiply each of `values` by 0 with the probability `dropout`, else by 1 / (1 - dropout), in place.

    Parameters
    ----------
    values : ndarray (n,)
    state : uint64
        A row's, from `equations.row_state`; 0 if nothing is dropped.
    first : int
        The number of the first of the n draws.
    dropout : float
    """
    if state > 0:
        for j in range(values.size):
            values[j] *= values.dtype.type(kept(state, first + j, dropout))
