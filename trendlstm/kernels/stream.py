"""Training on a stream of fresh sequences: one network, one thread, one compiled call.

Every thread trains a network of its own, so the result does not depend on how many of them run.
"""

from typing import NamedTuple

import numpy as np

from .adam import adam_step, clip, squared_norm
from .buffers import Data
from .chunk import (
    backward_chunks,
    chunk_loss,
    forward_chunks,
    load_chunk,
    load_states,
    minibatch_targets,
    outputs,
    save_states,
    transpose_weights,
)
from .compile import entry_point, inlined
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


class Block(NamedTuple):
    """N sequences of a stream, which one call trains on."""

    data: Data
    order: np.ndarray  # (N,) int64, 0 ... N-1: the order in which they are seen
    # (N, S) receives what sequences go on from in truncated BPTT, see `chunk.load_states`; else (0, S)
    states: np.ndarray
    # (N,) float64: receives the mean |error| over the outputs of every sequence that was judged
    errors: np.ndarray


class StreamState(NamedTuple):
    """What goes on from block to block of sequences. P parameters."""

    theta: np.ndarray  # (P,)
    first_moment: np.ndarray  # (P,)
    second_moment: np.ndarray  # (P,)
    gradient: np.ndarray  # (P,)
    recent: np.ndarray  # (run,) float64: mean |error| of the last sequences, as a ring; (0,): none is judged
    progress: np.ndarray  # (1,) record, see `decisions`
    counters: np.ndarray  # int64, see `gang`


@entry_point
def stream_worker(plan, block, options, state, work):
    """Train on a block of sequences, and judge each before the step that it leads to.

    The loss of targets of every step is summed over the steps. `Network.fit` takes the mean, which where few of many
    steps carry a task makes its gradient so small that Adam's epsilon stops the weights.

    Ends early if the training has succeeded, with the weights that gave the answers, if the STOP counter says so, or
    when a loss is not finite.

    Parameters
    ----------
    plan : Plan
        Of fewer steps than the sequences for truncated BPTT, as in `Network.fit`. What judges sequences is the squared
        error after their last step.
    block : Block
    options : StreamOptions
    state : StreamState
        Modified.
    work : Workspace
    """
    progress = state.progress[0]
    progress.outcome = UNFINISHED
    transpose_weights(plan, state.theta, work)
    for first in range(0, block.order.size, options.batch_size):
        count = min(options.batch_size, block.order.size - first)
        for step in range(0, block.data.x.shape[1], plan.steps):  # once, but in truncated BPTT
            if minibatch_targets(plan, block.data.lengths, block.order, first, count, step) == 0:
                break
            loss = _minibatch(plan, block, first, count, step, options, state, work)
            if progress.outcome != UNFINISHED or atomic_load(state.counters, STOP) != GO_ON:
                return
            if not np.isfinite(loss):
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
        if state.recent.size == 0:
            progress.seen += count
    progress.outcome = USED_UP


@inlined
def _minibatch(plan, block, first, count, step, options, state, work):
    """The sum of a minibatch's losses, whose gradient becomes state.gradient; ends early with success, or to stop.

    The gradient is that of the mean over sequences and targets, but of the sum over the steps that have some.
    """
    data, order, chunk_rows = block.data, block.order, work.lengths.size
    scale = 2.0 / (count * plan.targets)
    gradients = view(state.gradient, 0, (1, state.gradient.size))
    total = 0.0
    for start in range(first, first + count, chunk_rows):
        if atomic_load(state.counters, STOP) != GO_ON:
            return total
        rows = min(chunk_rows, first + count - start)
        load_chunk(plan, work, data.x, data.lengths, order, start, rows, np.int64(0), step, np.uint64(0))
        if step > 0:
            load_states(plan, work, block.states, order, start, rows, np.int64(0))
        forward_chunks(plan, state.theta, work)
        total += chunk_loss(plan, work, data.y, order, start, rows, np.int64(0), step)
        if state.recent.size > 0:
            _judge(plan, block.errors, start, rows, options, state, work)
            if state.progress[0].outcome != UNFINISHED:
                return total
        if block.states.shape[0] > 0:
            save_states(plan, work, block.states, order, start, rows, np.int64(0))
        adds = start > first
        backward_chunks(plan, work, gradients, np.int64(0), np.int64(1), np.int64(1), scale, adds)
    return total


@inlined
def _judge(plan, errors, start, rows, options, state, work):
    """Note the mean |error| of a chunk's sequences, as far as the one with which the training has succeeded."""
    progress, delta = state.progress[0], outputs(plan, work.deltas, work.lengths.size)[0]
    for r in range(rows):
        error, is_correct = 0.0, True
        for k in range(plan.outputs):
            distance = abs(np.float64(delta[r, k]))
            error += distance
            is_correct = is_correct and distance < options.tolerance
        errors[start + r] = error / plan.outputs
        judge_sequence(progress, options, state.recent, errors[start + r], is_correct)
        if progress.outcome != UNFINISHED:
            return
