"""Predictions, and their recursion: predictions fed back as if they had been observed."""

from typing import NamedTuple

import numpy as np

from .buffers import CHUNK_ROWS, PINBALL
from .chunk import forward_chunks, load_chunk, load_states, outputs, save_states
from .compile import entry_point, inlined
from .simd import view


class Inputs(NamedTuple):
    """Samples without targets: x (N, T, F) of the network's dtype, lengths (N,) int64, order (N,) = 0 ... N-1.

    `states` (N, S), or (0, S) for states of 0 that nobody asks for, are what the samples begin with; they become those
    after their last steps. `drops` is that of `chunk.load_chunk`.
    """

    x: np.ndarray
    lengths: np.ndarray
    order: np.ndarray
    states: np.ndarray
    drops: np.uint64


@entry_point
def predict_worker(plan, theta, inputs, out, thread):
    """Make one thread's share of the predictions.

    Parameters
    ----------
    plan : Plan
    theta : ndarray (P,)
        The flat parameters.
    inputs : Inputs
    out : ndarray (N, m)
        Receives the outputs; (N, T * m) if the dense layers see every step.
    thread : Thread
        Its work space decides how many samples go through the network together.
    """
    work = thread.work
    together = work.lengths.size
    for first in range(thread.rank * together, out.shape[0], thread.size * together):
        count = min(together, out.shape[0] - first)
        for start in range(0, together, CHUNK_ROWS):
            rows = min(CHUNK_ROWS, count - start)
            load_chunk(
                plan,
                work,
                inputs.x,
                inputs.lengths,
                inputs.order,
                first + start,
                rows,
                start,
                np.int64(0),
                inputs.drops,
            )
            if inputs.states.shape[0] > 0:
                load_states(plan, work, inputs.states, inputs.order, first + start, rows, start)
        forward_chunks(plan, theta, work)
        if inputs.states.shape[0] > 0:
            save_states(plan, work, inputs.states, inputs.order, first, count, np.int64(0))
        values = outputs(plan, work.activations, together)
        for s in range(plan.steps_seen):
            for r in range(count):
                for k in range(plan.outputs):
                    out[first + r, s * plan.outputs + k] = values[s, r, k]


@entry_point
def recurse_worker(plan, thetas, path, steps, relative, inputs, work):
    """Continue every row of `path` by predictions that are fed back, on one thread.

    A window is the T values before the next one, less its last if `relative`; the prediction, the mean of the networks'
    point forecasts, then counts from there too.

    Parameters
    ----------
    plan : Plan
        Of all networks, which have one feature and one target.
    thetas : ndarray (K, P)
        The networks' flat parameters.
    path : ndarray (n, T + steps) of float64
        The first T values of each row are known, the others are written.
    steps : int
    relative : bool
    inputs : Inputs
        Space for one chunk's windows; its lengths are T.
    work : Workspace
        Of as many rows as `inputs`.
    """
    chunk_rows = work.lengths.size
    lag = path.shape[1] - steps
    real = inputs.x.dtype.type
    for first in range(0, path.shape[0], chunk_rows):
        rows = min(chunk_rows, path.shape[0] - first)
        for step in range(steps):
            for r in range(rows):
                values = path[first + r]
                anchor = values[step + lag - 1] if relative else 0.0
                window = view(inputs.x[r], 0, (lag,))
                for t in range(lag):
                    window[t] = real(values[step + t] - anchor)
                values[step + lag] = anchor
            # np.int64: Numba would compile `load_chunk` once more for literals
            load_chunk(
                plan,
                work,
                inputs.x,
                inputs.lengths,
                inputs.order,
                np.int64(0),
                rows,
                np.int64(0),
                np.int64(0),
                inputs.drops,
            )
            for k in range(thetas.shape[0]):
                forward_chunks(plan, thetas[k], work)
                predicted = outputs(plan, work.activations, chunk_rows)[0]
                for r in range(rows):
                    path[first + r, step + lag] += (
                        np.float64(_point_forecast(plan, predicted[r])) / thetas.shape[0]
                    )


@inlined
def _point_forecast(plan, outputs):
    """The single number that the outputs of one target predict; of quantiles the median once they are sorted."""
    point = outputs[0]  # of a normal distribution the mean
    if plan.loss == PINBALL:
        rank = 0
        for quantile in plan.quantiles:
            rank += quantile < 0.5
        for q in range(plan.outputs):
            below = same = 0
            for other in range(plan.outputs):
                below += outputs[other] < outputs[q]
                same += outputs[other] == outputs[q]
            if below <= rank < below + same:
                point = outputs[q]
    return point
