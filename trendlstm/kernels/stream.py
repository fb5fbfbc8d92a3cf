"""Training on a stream of fresh sequences until they are all answered well: one network, one thread, one compiled call.

Every thread trains a network of its own, so the result does not depend on how many of them run.
"""

from typing import NamedTuple

import numpy as np

from .adam import adam_step, clip, squared_norm
from .chunk import backward_chunks, chunk_loss, forward_chunks, load_chunk, outputs, transpose_weights
from .compile import compiled, inlined
from .decisions import NOT_FINITE, UNFINISHED, USED_UP, judge_sequence
from .gang import GO_ON, STOP
from .simd import atomic_load, view


class StreamOptions(NamedTuple):
    """The settings of a training, and when it has succeeded: see `decisions.judge_sequence`; clip_norm 0 means off."""

    batch_size: int
    learning_rate: float
    clip_norm: float
    tolerance: float
    mean_error: float


class StreamState(NamedTuple):
    """What goes on from block to block of sequences. P parameters."""

    theta: np.ndarray  # (P,)
    first_moment: np.ndarray  # (P,)
    second_moment: np.ndarray  # (P,)
    gradient: np.ndarray  # (P,)
    recent: np.ndarray  # (run,) float64: mean |error| of the last sequences, as a ring
    progress: np.ndarray  # (1,) record, see `decisions`
    counters: np.ndarray  # int64, see `gang`


@compiled
def stream_worker(plan, data, order, options, state, work, errors):
    """Train on some sequences, and judge each before the step that it leads to.

    Ends early if the training has succeeded, with the weights that gave the answers, if the STOP counter says so, or
    when a loss is not finite.

    Parameters
    ----------
    plan : Plan
        Of the squared error.
    data : Data
        The sequences.
    order : ndarray (N,) of int64
        0 ... N-1, the order in which they are seen.
    options : StreamOptions
    state : StreamState
        Modified.
    work : Workspace
    errors : ndarray (N,) of float64
        Receives the mean |error| over the outputs of every sequence that was judged.
    """
    progress = state.progress[0]
    progress.outcome = UNFINISHED
    transpose_weights(plan, state.theta, work)
    for first in range(0, order.size, options.batch_size):
        if atomic_load(state.counters, STOP) != GO_ON:
            return
        count = min(options.batch_size, order.size - first)
        error = _minibatch(plan, data, order, first, count, options, state, work, errors)
        if progress.outcome != UNFINISHED:
            return
        if not np.isfinite(error):
            progress.outcome = NOT_FINITE
            return
        if options.clip_norm > 0.0:
            clip(state.gradient, squared_norm(state.gradient), options.clip_norm)
        progress.step += 1
        adam_step(
            state.theta,
            state.gradient,
            state.first_moment,
            state.second_moment,
            progress.step,
            options.learning_rate,
        )
        transpose_weights(plan, state.theta, work)
    progress.outcome = USED_UP


@inlined
def _minibatch(plan, data, order, first, count, options, state, work, errors):
    """The sum of squared errors of a minibatch, whose gradient becomes state.gradient; ends early with success."""
    progress, chunk_rows = state.progress[0], work.lengths.size
    gradients = view(state.gradient, 0, (1, state.gradient.size))
    total = 0.0
    for start in range(first, first + count, chunk_rows):
        rows = min(chunk_rows, first + count - start)
        load_chunk(
            plan, work, data.x, data.lengths, order, start, rows, np.int64(0), np.int64(0), np.uint64(0)
        )
        forward_chunks(plan, state.theta, work)
        total += chunk_loss(plan, work, data.y, order, start, rows, np.int64(0), np.int64(0))
        delta = outputs(plan, work.deltas, chunk_rows)[0]
        for r in range(rows):
            error, is_correct = 0.0, True
            for k in range(plan.outputs):
                distance = abs(np.float64(delta[r, k]))
                error += distance
                is_correct = is_correct and distance < options.tolerance
            errors[start + r] = error / plan.outputs
            judge_sequence(progress, options, state.recent, errors[start + r], is_correct)
            if progress.outcome != UNFINISHED:
                return total
        backward_chunks(
            plan,
            work,
            gradients,
            np.int64(0),
            np.int64(1),
            np.int64(1),
            2.0 / (count * plan.outputs),
            start > first,
        )
    return total
