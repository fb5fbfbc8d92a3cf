"""A whole fit, from its first to its last epoch, in one compiled call a thread.

`fit_worker` is run by all threads of a fit at once. What each of them decides follows from numbers that all of them
see, so that they go the same way without asking each other.
"""

from typing import NamedTuple

import numpy as np

from .adam import adam_step, clip, decay_weights, squared_norm
from .buffers import BLOCK, CHUNK_ROWS, Thread
from .chunk import (
    all_targets,
    chunk_loss,
    forward_chunks,
    load_chunk,
    load_states,
    minibatch_targets,
    save_states,
    transpose_weights,
)
from .compile import compiled, entry_point, inlined
from .decisions import NOT_FINITE, UNFINISHED, end_epoch, is_best, is_plateau, kept_weights_failed
from .equations import dropout_state, segment_state, warm_up
from .gang import AGREED, ASKED, ENDED, STOP, meet, open_gate, pass_gate
from .gradient import accumulate_chunks, accumulators_used, add_accumulators
from .pace import choose_active
from .sgd import sgd_step
from .shuffle import shuffle_epoch
from .simd import atomic_load, atomic_store, nanoseconds, view


class FitOptions(NamedTuple):
    """The settings of a fit; clip_norm 0, patience 0 and plateau_patience 0 mean off."""

    epochs: int
    batch_size: int
    learning_rate: float
    clip_norm: float
    weight_decay: float
    patience: int
    shuffle: bool
    seed: int
    sgd: bool  # or Adam
    momentum: float
    warmup: int  # epochs
    plateau_patience: int
    schedule_factor: float


class FitState(NamedTuple):
    """What the threads of one fit share. P parameters, A accumulators, E epochs."""

    theta: np.ndarray  # (P,)
    kept: np.ndarray  # (P,) the weights of the best epoch, without validation of the last, once there is one
    previous: np.ndarray  # (P,) what `kept` was before the best epoch, once there is one
    first_moment: np.ndarray  # (P,) or the velocity
    second_moment: np.ndarray  # (P,)
    decays: np.ndarray  # (P,) 1 for weights, 0 for biases
    gradients: np.ndarray  # (A, P)
    losses: np.ndarray  # (A,) float64: the sum of the minibatch's, in parts
    squared_norms: np.ndarray  # (P / BLOCK,) float64: of the minibatch's gradient, in parts
    finite: np.ndarray  # (P / BLOCK,) bool: whether the weights are, in parts
    order: np.ndarray  # (N,) int64, 0 ... N-1; shuffled in place
    validation_order: np.ndarray  # 0, 1, ... int64
    validation_losses: np.ndarray  # (validation chunks,) float64: sums over the chunks' targets
    # (N, S) what the samples of truncated BPTT begin their next steps with, see `chunk.load_states`; else (0, S)
    states: np.ndarray
    validation_states: np.ndarray
    loss: np.ndarray  # (E,) float64: of the training samples
    validation_loss: np.ndarray  # (E,) float64
    learning_rate: np.ndarray  # (E,) float64: of each epoch's last step; a plateau changes the next one's
    progress: np.ndarray  # (threads,) records, see `decisions`: each thread counts for itself
    counters: np.ndarray  # int64, see `gang`
    pace: np.ndarray  # (1,) record, see `pace`: the first thread's


@entry_point
def fit_worker(plan, train, validation, options, state, thread):
    """Train until the last epoch, or until patience, the STOP counter or a loss that is not finite ends it.

    Parameters
    ----------
    plan : Plan
    train : Data
    validation : Data
        Without samples if there is no validation.
    options : FitOptions
    state : FitState
        Modified.
    thread : Thread
        Each thread's own.
    """
    progress = state.progress[thread.rank]
    epoch = last = np.int64(0)
    while progress.outcome == UNFINISHED and atomic_load(state.counters, STOP) < AGREED:
        if thread.rank == 0:
            if options.shuffle:
                shuffle_epoch(state.order, options.seed, progress.epoch)
            epoch, size = last + 1, state.pace[0].active
            open_gate(state.counters, epoch, size)
        else:
            epoch, size = pass_gate(state.counters, thread.rank, last)
            if size == 0:
                return
            state.progress[thread.rank] = state.progress[0]
        if epoch != last + 1 or last == 0:  # this thread was not there when the weights were written
            transpose_weights(plan, state.theta, thread.work)
        _epoch(plan, train, validation, options, state, Thread(thread.rank, size, thread.work))
        if thread.rank == 0:
            choose_active(state.pace[0], state.counters, nanoseconds())
        last = epoch
    if thread.rank == 0:
        open_gate(state.counters, np.int64(ENDED), np.int64(0))


@inlined
def _epoch(plan, train, validation, options, state, thread):
    """One epoch of the threads that take part in it."""
    samples, is_validated = train.x.shape[0], validation.x.shape[0] > 0
    drops = np.uint64(0)
    if plan.dropout > 0 or plan.recurrent_dropout > 0:
        drops = dropout_state(options.seed, state.progress[thread.rank].epoch)
    total = 0.0
    for first in range(0, samples, options.batch_size):
        count = min(options.batch_size, samples - first)
        for step in range(0, train.x.shape[1], plan.steps):  # once, but in truncated BPTT
            if step > 0 and minibatch_targets(plan, train.lengths, state.order, first, count, step) == 0:
                break
            loss = _minibatch(plan, train, first, count, step, drops, state, thread)
            if not np.isfinite(loss):
                _reject_minibatch(first + step, is_validated, state, thread)
                return
            if atomic_load(state.counters, STOP) >= AGREED:
                return
            total += loss
            used = accumulators_used(state.gradients, count)
            if options.clip_norm > 0.0:
                _clip(options.clip_norm, used, state, thread)
                used = np.int64(1)  # Numba would compile `update_weights` once more for a literal
            update_weights(plan, options, used, state, thread)
            if thread.rank == 0 and atomic_load(state.counters, STOP) == ASKED:
                atomic_store(state.counters, STOP, AGREED)
    finish_epoch(plan, validation, options, total / all_targets(plan, train), state, thread)


@inlined
def _minibatch(plan, train, first, count, step, drops, state, thread):
    """The sum of a minibatch's losses, the same on every thread; its gradient lies in the accumulators."""
    accumulate_chunks(
        plan,
        state.theta,
        train,
        state.order,
        first,
        count,
        step,
        segment_state(drops, step) if drops > 0 else drops,
        state.states,
        state.gradients,
        state.losses,
        thread,
    )
    meet(state.counters, thread.size)
    total = 0.0
    for a in range(accumulators_used(state.gradients, count)):
        total += state.losses[a]
    return total


@inlined
def _reject_minibatch(first, is_validated, state, thread):
    """End the fit because a minibatch's loss is not finite."""
    progress = state.progress[thread.rank]
    if thread.rank == 0 and progress.best_epoch > 0 and kept_weights_failed(first, is_validated):
        for j in range(state.kept.size):
            state.kept[j] = state.previous[j]
        progress.best_epoch = progress.best_before
    progress.outcome = NOT_FINITE


@inlined
def _clip(clip_norm, used, state, thread):
    """Add the accumulators up into the first, and clip the gradient that is now there."""
    blocks = state.squared_norms.size
    for block in range(thread.rank, blocks, thread.size):
        state.squared_norms[block] = squared_norm(add_accumulators(state.gradients, used, block))
    meet(state.counters, thread.size)
    total = 0.0
    for block in range(blocks):
        total += state.squared_norms[block]
    for block in range(thread.rank, blocks, thread.size):
        clip(view(state.gradients, block * BLOCK, (BLOCK,)), total, clip_norm)


@compiled
def update_weights(plan, options, used, state, thread):
    """A step on the gradient in the first `used` accumulators, and the transposed weights anew."""
    progress = state.progress[thread.rank]
    progress.step += 1
    rate = state.learning_rate[progress.epoch]
    if progress.epoch < options.warmup:
        steps = (state.order.size + options.batch_size - 1) // options.batch_size
        rate = warm_up(rate, progress.step, (progress.epoch + 1) * steps)
    for block in range(thread.rank, state.theta.size // BLOCK, thread.size):
        start = block * BLOCK
        gradient = add_accumulators(state.gradients, used, block)
        theta = view(state.theta, start, (BLOCK,))
        if options.weight_decay > 0.0:
            decay_weights(theta, view(state.decays, start, (BLOCK,)), rate, options.weight_decay)
        first_moment = view(state.first_moment, start, (BLOCK,))
        if options.sgd:
            sgd_step(theta, gradient, first_moment, options.momentum, rate)
        else:
            second_moment = view(state.second_moment, start, (BLOCK,))
            adam_step(theta, gradient, first_moment, second_moment, progress.step, rate)
    meet(state.counters, thread.size)
    # each thread for itself, because to read all from the threads that wrote them takes longer; but none that no chunk
    # of a small minibatch falls to
    if thread.rank < state.gradients.shape[0]:
        transpose_weights(plan, state.theta, thread.work)


@compiled
def finish_epoch(plan, validation, options, loss, state, thread):
    """Validate the weights, keep them if they are the best, and end the fit if it is time."""
    progress = state.progress[thread.rank]
    is_validated = validation.x.shape[0] > 0
    validation_loss = np.nan
    if is_validated:
        validation_loss = _summed_validation_loss(plan, validation, state, thread) / all_targets(
            plan, validation
        )
    # an epoch's last step may overflow
    if (is_validated and not np.isfinite(validation_loss)) or not _all_finite(state, thread):
        progress.outcome = NOT_FINITE
        return
    best = is_best(progress, validation_loss, is_validated)
    if best:
        _keep_weights(state, thread)
    if thread.rank == 0:
        state.loss[progress.epoch] = loss
        state.validation_loss[progress.epoch] = validation_loss
    end_epoch(progress, options, validation_loss, best)
    if options.plateau_patience > 0:
        reduced = is_plateau(progress, options, validation_loss if is_validated else loss)
        if thread.rank == 0 and progress.epoch >= options.warmup and progress.epoch < options.epochs:
            before = state.learning_rate[progress.epoch - 1]
            state.learning_rate[progress.epoch] = options.schedule_factor * before if reduced else before
    meet(state.counters, thread.size)


@inlined
def _summed_validation_loss(plan, validation, state, thread):
    """The sum of the validation samples' losses, the same on every thread."""
    work, samples, chunks = thread.work, validation.x.shape[0], state.validation_losses.size
    together, order = work.lengths.size // CHUNK_ROWS, state.validation_order
    for chunk in range(thread.rank * together, chunks, thread.size * together):
        for k in range(min(together, chunks - chunk)):
            state.validation_losses[chunk + k] = 0.0
        for step in range(0, validation.x.shape[1], plan.steps):
            for k in range(together):
                first, at = (chunk + k) * CHUNK_ROWS, k * CHUNK_ROWS
                rows = min(CHUNK_ROWS, samples - first)
                load_chunk(
                    plan,
                    work,
                    validation.x,
                    validation.lengths,
                    order,
                    first,
                    rows,
                    at,
                    step,
                    np.uint64(0),
                )
                if step > 0:
                    load_states(plan, work, state.validation_states, order, first, rows, at)
            forward_chunks(plan, state.theta, work)
            for k in range(min(together, chunks - chunk)):
                first, at = (chunk + k) * CHUNK_ROWS, k * CHUNK_ROWS
                rows = min(CHUNK_ROWS, samples - first)
                loss = chunk_loss(plan, work, validation.y, order, first, rows, at, step)
                state.validation_losses[chunk + k] += loss
                if step + plan.steps < validation.x.shape[1]:
                    save_states(plan, work, state.validation_states, order, first, rows, at)
    meet(state.counters, thread.size)
    total = 0.0
    for chunk in range(state.validation_losses.size):
        total += state.validation_losses[chunk]
    return total


@inlined
def _all_finite(state, thread):
    """Whether all weights are finite, the same answer on every thread."""
    for block in range(thread.rank, state.finite.size, thread.size):
        theta = view(state.theta, block * BLOCK, (BLOCK,))
        failed = np.int32(0)  # which vectors can count, as they cannot add in order
        for j in range(BLOCK):
            failed += np.int32(theta[j] - theta[j] != 0)  # NaN for NaN and infinities
        state.finite[block] = failed == 0
    meet(state.counters, thread.size)
    finite = True
    for block in range(state.finite.size):
        finite = finite and state.finite[block]
    return finite


@inlined
def _keep_weights(state, thread):
    """Keep the weights, and those that were kept before them."""
    for block in range(thread.rank, state.theta.size // BLOCK, thread.size):
        theta = view(state.theta, block * BLOCK, (BLOCK,))
        kept = view(state.kept, block * BLOCK, (BLOCK,))
        previous = view(state.previous, block * BLOCK, (BLOCK,))
        for j in range(BLOCK):
            previous[j] = kept[j]
            kept[j] = theta[j]
