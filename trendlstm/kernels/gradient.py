"""The gradient of a minibatch, its chunks shared out among threads.

Work is divided by fixed rules that do not depend on the number of threads, and every sum is formed in a fixed order, so
the result is the same bits for any number of threads.
"""

import numpy as np

from .buffers import BLOCK, CHUNK_ROWS, FEW_ROWS
from .chunk import (
    backward_chunks,
    chunk_loss,
    forward_chunks,
    load_chunk,
    load_states,
    minibatch_targets,
    save_states,
    transpose_weights,
    with_rows,
)
from .compile import compiled, entry_point, inlined
from .simd import view


@inlined
def accumulators_used(gradients, count):
    """How many of the accumulators a minibatch of `count` samples fills, from the first on."""
    return min(gradients.shape[0], (count + CHUNK_ROWS - 1) // CHUNK_ROWS)


@compiled
def accumulate_chunks(plan, theta, data, order, first, count, step, drops, states, gradients, losses, thread):
    """Do one thread's share of a minibatch: accumulator a takes chunks a, a + A, a + 2A, ... in this order.

    The minibatch is the samples order[first : first + count]; the gradient is that of its mean loss. As many
    accumulators as the work space has chunks are filled together. `step` and `drops` are those of
    `chunk.load_chunk`; with `states` the samples begin with theirs, but for the first step, and leave them there.
    """
    work, accumulators, used = thread.work, gradients.shape[0], accumulators_used(gradients, count)
    together = work.lengths.size // CHUNK_ROWS
    if count <= FEW_ROWS:
        work, together = with_rows(work, count), 1
    scale = 2.0 / minibatch_targets(plan, data.lengths, order, first, count, step)
    for a in range(thread.rank, used, thread.size * together):
        for own in range(a, min(used, a + thread.size * together), thread.size):
            losses[own] = 0.0
        # the samples before the accumulators' next chunks: every accumulator has had one of them
        for before in range(0, count - a * CHUNK_ROWS, accumulators * CHUNK_ROWS):
            present = np.int64(0)  # Numba would compile `backward_chunks` once more for a literal
            for k in range(together):
                own = a + k * thread.size
                start = before + own * CHUNK_ROWS
                rows = min(CHUNK_ROWS, count - start) if own < used else 0
                at = k * CHUNK_ROWS
                load_chunk(plan, work, data.x, data.lengths, order, first + start, rows, at, step, drops)
                if states.shape[0] > 0 and step > 0:
                    load_states(plan, work, states, order, first + start, rows, at)
                present += rows > 0
            forward_chunks(plan, theta, work)
            for k in range(together):
                own = a + k * thread.size
                start = before + own * CHUNK_ROWS
                rows = min(CHUNK_ROWS, count - start) if own < used else 0
                loss = chunk_loss(plan, work, data.y, order, first + start, rows, k * CHUNK_ROWS, step)
                if rows > 0:
                    losses[own] += loss
                if states.shape[0] > 0:
                    save_states(plan, work, states, order, first + start, rows, k * CHUNK_ROWS)
            backward_chunks(plan, work, gradients, a, thread.size, present, scale, before > 0)


@inlined
def add_accumulators(gradients, used, block):
    """The minibatch's gradient of one block, added up in the order of the accumulators; returns a view of it."""
    total = view(gradients[0], block * BLOCK, (BLOCK,))
    for a in range(1, used):
        part = view(gradients[a], block * BLOCK, (BLOCK,))
        for j in range(BLOCK):
            total[j] += part[j]
    return total


@entry_point
def gradient_worker(plan, theta, data, order, gradients, losses, thread):
    """The loss and the gradient of some samples, on one thread.

    Parameters
    ----------
    plan : Plan
    theta : ndarray (P,)
        The flat parameters.
    data : Data
    order : ndarray (N,) of int64
        The samples, in the order in which they are added.
    gradients : ndarray (A, P)
        The accumulators. The first receives the gradient of the mean loss.
    losses : ndarray (A,) of float64
        Receives the sum of the losses of each accumulator's samples.
    thread : Thread
        Of size 1.
    """
    transpose_weights(plan, theta, thread.work)
    accumulate_chunks(
        plan,
        theta,
        data,
        order,
        np.int64(0),  # Numba would compile `accumulate_chunks` once more for a literal
        order.size,
        np.int64(0),
        np.uint64(0),
        view(gradients, 0, (0, 0)),
        gradients,
        losses,
        thread,
    )
    for block in range(theta.size // BLOCK):
        add_accumulators(gradients, gradients.shape[0], block)
