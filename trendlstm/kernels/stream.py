"""Training on a stream of fresh sequences until they are all answered well: one network, one thread, one compiled call.

Every thread trains a network of its own, so the result does not depend on how many of them run.
"""

from typing import NamedTuple

import numpy as np

from .adam import adam_step
from .chunk import backward_chunk, forward_chunk, load_chunk, outputs, squared_error, transpose_weights
from .compile import compiled
from .gang import STOP
from .simd import atomic_load

# Why a call ended; `StreamState.counts[OUTCOME]`.
MORE, SOLVED, STOPPED, NOT_FINITE = range(4)
# Indices into `StreamState.counts`: sequences seen, of which the last so many were correct; Adam's steps.
OUTCOME, SEEN, CORRECT, STEPS = range(4)


class StreamOptions(NamedTuple):
    """The settings of a training, and when it has succeeded: see `stream_worker`."""

    batch_size: int
    learning_rate: float
    clip_norm: float
    tolerance: float
    mean: float


class StreamState(NamedTuple):
    """What goes on from block to block of sequences. P parameters."""

    theta: np.ndarray  # (P,)
    transposed: np.ndarray
    first_moment: np.ndarray  # (P,)
    second_moment: np.ndarray  # (P,)
    decays: np.ndarray  # (P,) not used, for there is no weight decay
    gradient: np.ndarray  # (P,)
    recent: np.ndarray  # (run,) float64: mean |error| of the last sequences, as a ring
    counts: np.ndarray  # (4,) int64
    counters: np.ndarray  # int64, see `gang`


@compiled
def stream_worker(plan, state, data, order, options, work, errors):
    """Train on the sequences of `data` in their order, 0, 1, ... = `order`, and judge each before the step it leads to.

    `errors` (N,) receives every sequence's mean |error| over the outputs. The training has succeeded when each of the
    last `run` sequences had all |errors| < tolerance, and the mean of their errors is < options.mean; then it ends
    with the weights that gave these answers.
    """
    run, chunk_rows = state.recent.size, work.lengths.size
    counts = state.counts
    n = data.x.shape[0]
    real = state.theta.dtype.type
    transpose_weights(plan, state.theta, state.transposed)
    for first in range(0, n, options.batch_size):
        if atomic_load(state.counters, STOP) != 0:
            counts[OUTCOME] = STOPPED
            return
        count = min(options.batch_size, n - first)
        for j in range(state.gradient.size):
            state.gradient[j] = real(0)
        loss = 0.0
        for start in range(first, first + count, chunk_rows):
            rows = min(chunk_rows, first + count - start)
            load_chunk(plan, work, data.x, data.lengths, order, start, rows)
            forward_chunk(plan, state.theta, work)
            loss += squared_error(plan, work, data.y, order, start, rows)
            delta = outputs(plan, work.deltas, chunk_rows)[0]
            for r in range(rows):
                total, correct = 0.0, True
                for k in range(plan.outputs):
                    error = abs(np.float64(delta[r, k]))
                    total += error
                    correct = correct and error < options.tolerance
                errors[start + r] = total / plan.outputs
                state.recent[counts[SEEN] % run] = errors[start + r]
                counts[SEEN] += 1
                counts[CORRECT] = counts[CORRECT] + 1 if correct else 0
                if counts[CORRECT] >= run and np.mean(state.recent) < options.mean:
                    counts[OUTCOME] = SOLVED
                    return
            backward_chunk(
                plan, state.theta, state.transposed, work, state.gradient, 2.0 / (count * plan.outputs)
            )
        if not np.isfinite(loss):
            counts[OUTCOME] = NOT_FINITE
            return
        if options.clip_norm > 0.0:
            norm = 0.0
            for j in range(state.gradient.size):
                norm += np.float64(state.gradient[j]) * np.float64(state.gradient[j])
            norm = np.sqrt(norm)
            if norm > options.clip_norm:
                factor = real(options.clip_norm / norm)
                for j in range(state.gradient.size):
                    state.gradient[j] *= factor
        counts[STEPS] += 1
        adam_step(
            state.theta,
            state.gradient,
            state.first_moment,
            state.second_moment,
            state.decays,
            counts[STEPS],
            options.learning_rate,
            0.0,
        )
        transpose_weights(plan, state.theta, state.transposed)
