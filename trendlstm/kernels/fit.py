"""Whole jobs in one compiled call a thread: a fit from first to last epoch, one gradient, predictions, their recursion.

Each function is run by `size` threads at once, `rank` = 0 ... size - 1. Work is divided by fixed rules that do not
depend on `size`, and every sum is formed in a fixed order, so the result is the same bits for any number of threads.
"""

from typing import NamedTuple

import numpy as np

from .adam import adam_step
from .buffers import BLOCK, CHUNK_ROWS
from .chunk import (
    backward_chunk,
    forward_chunk,
    load_chunk,
    outputs,
    squared_error,
    target_count,
    transpose_weights,
)
from .compile import compiled, inlined
from .gang import AGREED, ASKED, STOP, meet
from .shuffle import shuffle_epoch
from .simd import atomic_load, atomic_store, view

# Why a fit ended; `FitState.outcome[0]`.
ALL_EPOCHS, PATIENCE, STOPPED, NOT_FINITE = range(4)


class Data(NamedTuple):
    """Samples: x (N, T, F), y (N, m) of the network's dtype, lengths (N,) int64.

    If the dense layers see every step, y is (N, T * m): the targets of the first step, of the second, ...
    """

    x: np.ndarray
    y: np.ndarray
    lengths: np.ndarray


class FitOptions(NamedTuple):
    """The settings of a fit; clip_norm 0 and patience -1 mean off."""

    epochs: int
    batch_size: int
    learning_rate: float
    clip_norm: float
    weight_decay: float
    patience: int
    shuffle: bool
    seed: int


class FitState(NamedTuple):
    """What the threads of one fit share. P parameters."""

    theta: np.ndarray  # (P,)
    kept: np.ndarray  # (P,) the weights to return: of the best epoch; without validation, of the last
    previous: np.ndarray  # (P,) what `kept` was before
    first_moment: np.ndarray  # (P,)
    second_moment: np.ndarray  # (P,)
    decays: np.ndarray  # (P,) 1 for weights, 0 for biases
    gradients: np.ndarray  # (accumulators, P)
    losses: np.ndarray  # (accumulators,) float64
    norms: np.ndarray  # (P / BLOCK,) float64
    order: np.ndarray  # (N,) int64, 0 ... N-1; shuffled in place
    validation_order: np.ndarray  # 0, 1, ... int64
    validation_losses: np.ndarray  # (validation chunks,) float64
    history: np.ndarray  # (2, epochs) float64: training loss, validation loss
    outcome: np.ndarray  # int64: why it ended, epochs run, best epoch
    counters: np.ndarray  # int64, see `gang`


@inlined
def _accumulate_chunks(
    plan, theta, transposed, data, order, first, count, gradients, losses, work, rank, size
):
    """Losses and gradients of a minibatch: accumulator a takes chunks a, a + A, a + 2A, ... in this order.

    The minibatch is the samples order[first : first + count]; the gradient is that of its mean squared error.
    """
    chunks = (count + CHUNK_ROWS - 1) // CHUNK_ROWS
    accumulators = gradients.shape[0]
    scale = 2.0 / target_count(plan, data.lengths, order, first, count)
    for a in range(rank, min(accumulators, chunks), size):
        gradient = gradients[a]
        for j in range(gradient.size):
            gradient[j] = gradient.dtype.type(0)
        loss = 0.0
        for chunk in range(a, chunks, accumulators):
            start = first + chunk * CHUNK_ROWS
            rows = min(CHUNK_ROWS, first + count - start)
            load_chunk(plan, work, data.x, data.lengths, order, start, rows)
            forward_chunk(plan, theta, work)
            loss += squared_error(plan, work, data.y, order, start, rows)
            backward_chunk(plan, theta, transposed, work, gradient, scale)
        losses[a] = loss


@inlined
def _add_accumulators(gradients, used, block):
    """The minibatch's gradient of one block, added up in the order of the accumulators; returns a view of it."""
    total = view(gradients[0], block * BLOCK, (BLOCK,))
    for a in range(1, used):
        part = view(gradients[a], block * BLOCK, (BLOCK,))
        for j in range(BLOCK):
            total[j] += part[j]
    return total


@inlined
def _validation_loss(plan, state, validation, targets, work, rank, size):
    """The mean squared error on the validation samples, the same on every thread."""
    n = validation.x.shape[0]
    for chunk in range(rank, state.validation_losses.size, size):
        start = chunk * CHUNK_ROWS
        rows = min(CHUNK_ROWS, n - start)
        load_chunk(plan, work, validation.x, validation.lengths, state.validation_order, start, rows)
        forward_chunk(plan, state.theta, work)
        state.validation_losses[chunk] = squared_error(
            plan, work, validation.y, state.validation_order, start, rows
        )
    meet(state.counters, size)
    total = 0.0
    for chunk in range(state.validation_losses.size):
        total += state.validation_losses[chunk]
    return total / targets


@inlined
def _all_finite(state, rank, size):
    """Whether all weights are finite, the same answer on every thread: an epoch's last step may overflow."""
    for block in range(rank, state.norms.size, size):
        part = view(state.theta, block * BLOCK, (BLOCK,))
        zero = 0.0
        for j in range(part.size):
            zero += np.float64(part[j] - part[j])  # 0, or NaN for NaN and infinities
        state.norms[block] = zero
    meet(state.counters, size)
    total = 0.0
    for block in range(state.norms.size):
        total += state.norms[block]
    return total == 0.0


@compiled
def fit_worker(plan, state, train, validation, options, work, transposed, rank, size):
    """Train for all epochs. Ends early by patience, by the STOP counter, or when a loss is not finite."""
    n = train.x.shape[0]
    blocks = state.theta.size // BLOCK
    best, best_epoch, previous_epoch, since_best = np.inf, -1, -1, 0
    step = 0
    ended = ALL_EPOCHS
    epoch = 0
    targets = target_count(plan, train.lengths, state.order, 0, n)
    validation_targets = target_count(
        plan, validation.lengths, state.validation_order, 0, validation.x.shape[0]
    )
    transpose_weights(plan, state.theta, transposed)
    while epoch < options.epochs and ended == ALL_EPOCHS:
        if rank == 0 and options.shuffle:
            shuffle_epoch(state.order, options.seed, epoch)
        meet(state.counters, size)
        epoch_loss = 0.0
        for first in range(0, n, options.batch_size):
            count = min(options.batch_size, n - first)
            _accumulate_chunks(
                plan,
                state.theta,
                transposed,
                train,
                state.order,
                first,
                count,
                state.gradients,
                state.losses,
                work,
                rank,
                size,
            )
            meet(state.counters, size)
            used = min(state.gradients.shape[0], (count + CHUNK_ROWS - 1) // CHUNK_ROWS)
            loss = 0.0
            for a in range(used):
                loss += state.losses[a]
            if not np.isfinite(loss):
                ended = NOT_FINITE
                if first == 0 and validation.x.shape[0] == 0 and rank == 0:
                    # the first loss of the kept weights: they are no good
                    for j in range(state.kept.size):
                        state.kept[j] = state.previous[j]
                    state.outcome[2] = previous_epoch
            elif atomic_load(state.counters, STOP) >= AGREED:
                ended = STOPPED
            if ended != ALL_EPOCHS:
                break
            epoch_loss += loss
            step += 1
            clip = 1.0
            if options.clip_norm > 0.0:
                for block in range(rank, blocks, size):
                    total = _add_accumulators(state.gradients, used, block)
                    norm = 0.0
                    for j in range(total.size):
                        norm += np.float64(total[j]) * np.float64(total[j])
                    state.norms[block] = norm
                meet(state.counters, size)
                norm = 0.0
                for block in range(blocks):
                    norm += state.norms[block]
                clip = min(1.0, options.clip_norm / np.sqrt(norm)) if norm > 0.0 else 1.0
            for block in range(rank, blocks, size):
                start = block * BLOCK
                if options.clip_norm > 0.0:
                    gradient = view(state.gradients, start, (BLOCK,))
                    factor = gradient.dtype.type(clip)
                    for j in range(BLOCK):
                        gradient[j] *= factor
                else:
                    gradient = _add_accumulators(state.gradients, used, block)
                adam_step(
                    view(state.theta, start, (BLOCK,)),
                    gradient,
                    view(state.first_moment, start, (BLOCK,)),
                    view(state.second_moment, start, (BLOCK,)),
                    view(state.decays, start, (BLOCK,)),
                    step,
                    options.learning_rate,
                    options.weight_decay,
                )
            meet(state.counters, size)
            # each thread for itself: to read all from the threads that wrote them takes longer
            transpose_weights(plan, state.theta, transposed)
            if rank == 0 and atomic_load(state.counters, STOP) == ASKED:
                atomic_store(state.counters, STOP, AGREED)
        if ended != ALL_EPOCHS:
            break

        epoch_loss /= targets
        improved = True
        validation_loss = np.nan
        if validation.x.shape[0] > 0:
            validation_loss = _validation_loss(plan, state, validation, validation_targets, work, rank, size)
            if not np.isfinite(validation_loss):
                ended = NOT_FINITE
                break
            improved = validation_loss < best
        if not _all_finite(state, rank, size):
            ended = NOT_FINITE
            break
        if improved:
            previous_epoch = best_epoch
            best, best_epoch, since_best = validation_loss, epoch, 0
            for block in range(rank, blocks, size):
                theta = view(state.theta, block * BLOCK, (BLOCK,))
                kept = view(state.kept, block * BLOCK, (BLOCK,))
                previous = view(state.previous, block * BLOCK, (BLOCK,))
                for j in range(BLOCK):
                    previous[j] = kept[j]
                    kept[j] = theta[j]
        else:
            since_best += 1
            if options.patience >= 0 and since_best >= options.patience:
                ended = PATIENCE
        if rank == 0:
            state.history[0, epoch] = epoch_loss
            state.history[1, epoch] = validation_loss
        epoch += 1
        if rank == 0:
            state.outcome[1] = epoch
            state.outcome[2] = best_epoch
        meet(state.counters, size)
    if rank == 0:
        state.outcome[0] = ended


@compiled
def gradient_worker(plan, theta, transposed, data, order, gradients, losses, work, counters, rank, size):
    """Sum of squared errors per accumulator, and in gradients[0] the gradient of the mean squared error."""
    transpose_weights(plan, theta, transposed)
    _accumulate_chunks(
        plan, theta, transposed, data, order, 0, order.size, gradients, losses, work, rank, size
    )
    meet(counters, size)
    for block in range(rank, theta.size // BLOCK, size):
        _add_accumulators(gradients, gradients.shape[0], block)


@compiled
def predict_worker(plan, theta, x, lengths, order, out, work, rank, size):
    """Write the outputs for x (N, T, F) to out (N, m), or (N, T * m) of every step; order is 0 ... N-1."""
    chunk_rows = work.lengths.size
    for chunk in range(rank, (x.shape[0] + chunk_rows - 1) // chunk_rows, size):
        first = chunk * chunk_rows
        rows = min(chunk_rows, x.shape[0] - first)
        load_chunk(plan, work, x, lengths, order, first, rows)
        forward_chunk(plan, theta, work)
        values = outputs(plan, work.activations, chunk_rows)
        for s in range(plan.steps_seen):
            for r in range(rows):
                for k in range(plan.outputs):
                    out[first + r, s * plan.outputs + k] = values[s, r, k]


@compiled
def recurse_worker(plan, thetas, path, steps, relative, x, lengths, order, work):
    """Continue each row of `path` (n, T + steps; float64) beyond its first T values by feeding predictions back.

    A window is the T values before the next one, less its last if `relative`; the prediction, the mean over the
    networks `thetas` (K, P), then counts from there too. `x` (rows, ...) has space for one chunk's windows.
    """
    chunk_rows = work.lengths.size
    lag = path.shape[1] - steps
    real = x.dtype.type
    for first in range(0, path.shape[0], chunk_rows):
        rows = min(chunk_rows, path.shape[0] - first)
        for step in range(steps):
            for r in range(rows):
                values = path[first + r]
                anchor = values[step + lag - 1] if relative else 0.0
                window = view(x[r], 0, (lag,))
                for t in range(lag):
                    window[t] = real(values[step + t] - anchor)
                values[step + lag] = anchor
            load_chunk(plan, work, x, lengths, order, 0, rows)
            for k in range(thetas.shape[0]):
                forward_chunk(plan, thetas[k], work)
                predicted = outputs(plan, work.activations, chunk_rows)[0]
                for r in range(rows):
                    path[first + r, step + lag] += np.float64(predicted[r, 0]) / thetas.shape[0]
