"""Chunks of samples, as many rows as the work space has, through the whole network, forward and backward.

Several chunks go through the steps together, so that a block of weights in the first-level cache serves all of them.
What a row or a chunk gets does not depend on the others beside it, down to the last bit.
"""

import numpy as np

from .buffers import CHUNK_ROWS, FEEDFORWARD
from .cells import lstm_backward, lstm_forward, recurrent_weight_gradient, rnn_backward, rnn_forward
from .compile import compiled, inlined
from .dense import (
    dense_backward,
    dense_forward,
    dense_weight_gradient,
    feedforward_backward,
    feedforward_forward,
)
from .matrix import transpose
from .simd import view


@inlined
def _recurrent_weight(plan, flat):
    """The recurrent layer of a flat buffer, (gates, K, H), and where its dense layers start."""
    rows = plan.features + plan.bias
    if plan.cell != FEEDFORWARD:
        rows += plan.hidden_size
    shape = (plan.n_gates, rows, plan.hidden_size)
    return view(flat, 0, shape), shape[0] * shape[1] * shape[2]


@inlined
def recurrent_transposed(plan, transposed):
    """The W_h^T, (gates, H, H) or none of them, and where the transposed dense weights start."""
    gates = 0 if plan.cell == FEEDFORWARD else plan.n_gates
    shape = (gates, plan.hidden_size, plan.hidden_size)
    return view(transposed, 0, shape), shape[0] * shape[1] * shape[2]


@compiled
def transpose_weights(plan, theta, work):
    """Write the transposed weights that the backward pass reads: W_h^T of every gate, then each dense W^T."""
    weight, start = _recurrent_weight(plan, theta)
    weight_transposed, to = recurrent_transposed(plan, work.transposed)
    hidden_size = plan.hidden_size
    for gate in range(weight_transposed.shape[0]):
        transpose(weight_transposed[gate], view(weight[gate], 0, (hidden_size, hidden_size)))
    for layer in range(plan.widths.size - 1):
        n_in, n_out = plan.widths[layer], plan.widths[layer + 1]
        transpose(view(work.transposed, to, (n_out, n_in)), view(theta, start, (n_in, n_out)))
        start += (n_in + 1) * n_out
        to += n_in * n_out


@compiled
def load_chunk(plan, work, x, lengths, order, first, count, start):
    """Copy the inputs of samples order[first : first + count] into the rows from `start` on; absent rows get zeros.

    A chunk has CHUNK_ROWS rows, or as many as the work space if that has fewer. Its initial state is set to 0.
    """
    column = 0 if plan.cell == FEEDFORWARD else plan.hidden_size
    zero = x.dtype.type(0)
    for r in range(start, start + min(CHUNK_ROWS, work.lengths.size)):
        for j in range(column):
            work.inputs[0, r, j] = zero
        if r - start < count:
            sample = x[order[first + r - start]]
            work.lengths[r] = lengths[order[first + r - start]]
            for t in range(plan.steps):
                for f in range(plan.features):
                    work.inputs[t, r, column + f] = sample[t, f]
        else:
            work.lengths[r] = plan.steps
            for t in range(plan.steps):
                for f in range(plan.features):
                    work.inputs[t, r, column + f] = zero
    c = work.cell[0]
    for j in range(start * plan.hidden_size, min(c.size, (start + CHUNK_ROWS) * plan.hidden_size)):
        c[j] = zero


@inlined
def _step_seen(plan, lengths, s, r):
    """The step, from 0, whose hidden state is the s-th that the dense layers see of row r."""
    return s if plan.steps_seen == plan.steps else lengths[r] - 1


@compiled
def forward_chunks(plan, theta, work):
    """All activations of the loaded chunks; the last of them are the outputs."""
    weight, start = _recurrent_weight(plan, theta)
    hidden_size, rows = plan.hidden_size, work.lengths.size
    if plan.cell == FEEDFORWARD:
        feedforward_forward(work.inputs, weight, work.gates)
    elif plan.has_cell_state:
        lstm_forward(
            work.inputs,
            weight,
            work.lengths,
            work.gates,
            work.cell,
            work.squashed,
            plan.has_forget_gate,
            plan.squash_output,
        )
    else:
        rnn_forward(work.inputs, weight, work.lengths, work.gates, plan.units, plan.is_logistic)

    rows_seen = plan.steps_seen * rows
    layer_input = view(work.activations, 0, (rows_seen, hidden_size))
    for s in range(plan.steps_seen):
        for r in range(rows):
            if plan.cell == FEEDFORWARD:
                h = view(work.gates, r * hidden_size, (hidden_size,))
            else:
                h = work.inputs[_step_seen(plan, work.lengths, s, r) + 1, r]
            for j in range(hidden_size):
                layer_input[s * rows + r, j] = h[j]

    at = rows_seen * hidden_size
    layers = plan.widths.size - 1
    for layer in range(layers):
        n_in, n_out = plan.widths[layer], plan.widths[layer + 1]
        out = view(work.activations, at, (rows_seen, n_out))
        dense_forward(layer_input, view(theta, start, (n_in + 1, n_out)), out, layer < layers - 1)
        layer_input = out
        at += rows_seen * n_out
        start += (n_in + 1) * n_out


@inlined
def outputs(plan, values, rows):
    """The last layer's (steps seen, rows, width) in the activations or deltas of a work space of so many rows."""
    width = plan.widths[plan.widths.size - 1]
    steps = plan.steps_seen
    return view(values, values.size - steps * rows * width, (steps, rows, width))


@compiled
def squared_error(plan, work, y, order, first, count, start):
    """A chunk's sum of squared errors (float64); leaves y_hat - y as the last layer's delta.

    The chunk's are the rows from `start` on; the delta is 0 in absent rows and after a sample's end.
    """
    rows = work.lengths.size
    out, delta = outputs(plan, work.activations, rows), outputs(plan, work.deltas, rows)
    total = 0.0
    for s in range(delta.shape[0]):
        for r in range(start, start + CHUNK_ROWS):
            for k in range(delta.shape[2]):
                delta[s, r, k] = delta.dtype.type(0)
            if r - start < count and s < work.lengths[r]:
                for k in range(plan.outputs):
                    error = out[s, r, k] - y[order[first + r - start], s * plan.outputs + k]
                    delta[s, r, k] = error
                    total += np.float64(error) * np.float64(error)
    return total


@inlined
def all_targets(plan, data):
    """How many numbers the outputs of all samples are compared with."""
    steps = data.lengths.size
    if plan.steps_seen > 1:
        steps = 0
        for length in data.lengths:  # lengths.sum() would import SciPy with the compiled kernel
            steps += length
    return steps * plan.outputs


@inlined
def minibatch_targets(plan, lengths, order, first, count):
    """How many numbers the outputs of the samples order[first : first + count] are compared with."""
    steps = count
    if plan.steps_seen > 1:
        steps = 0
        for position in range(first, first + count):
            steps += lengths[order[position]]
    return steps * plan.outputs


@compiled
def backward_chunks(plan, work, gradients, first, stride, present, scale):
    """Add scale * (gradient of half a chunk's squared error) to that chunk's accumulator, for the chunks present.

    Chunk k adds to gradients[first + k * stride], a flat buffer like theta.
    """
    hidden_size, rows = plan.hidden_size, work.lengths.size
    rows_seen = plan.steps_seen * rows
    last = outputs(plan, work.deltas, rows)
    delta = view(last, 0, (last.size,))
    factor = work.deltas.dtype.type(scale)
    for k in range(delta.size):
        delta[k] *= factor

    _, start = _recurrent_weight(plan, gradients[first])
    weight_transposed, to = recurrent_transposed(plan, work.transposed)
    layers = plan.widths.size - 1
    for layer in range(layers):
        start += (plan.widths[layer] + 1) * plan.widths[layer + 1]
        to += plan.widths[layer] * plan.widths[layer + 1]
    at = work.deltas.size - delta.size
    for layer in range(layers - 1, -1, -1):
        n_in, n_out = plan.widths[layer], plan.widths[layer + 1]
        start -= (n_in + 1) * n_out
        to -= n_in * n_out
        before = at - rows_seen * n_in
        dz = view(work.deltas, at, (rows_seen, n_out))
        dense_backward(
            view(work.activations, at, (rows_seen, n_out)),
            view(work.transposed, to, (n_out, n_in)),
            dz,
            view(work.deltas, before, (rows_seen, n_in)),
            layer < layers - 1,
        )
        layer_input = view(work.activations, before, (rows_seen, n_in))
        for chunk in range(present):
            dweight = view(gradients[first + chunk * stride], start, (n_in + 1, n_out))
            dense_weight_gradient(layer_input, dz, dweight, rows, chunk)
        at = before

    dh_seen = view(work.deltas, 0, (rows_seen, hidden_size))
    if plan.cell == FEEDFORWARD:
        feedforward_backward(work.gates, view(dh_seen, 0, (dh_seen.size,)))
    else:
        _recurrent_backward(plan, work, dh_seen, weight_transposed)
    for chunk in range(present):
        dweight, _ = _recurrent_weight(plan, gradients[first + chunk * stride])
        recurrent_weight_gradient(dweight, work.inputs, work.gates, chunk)


@inlined
def _recurrent_backward(plan, work, dh_seen, weight_transposed):
    """dL/dz of every gate and step, from dL/dh of the steps that the dense layers have seen."""
    hidden_size, rows = plan.hidden_size, work.lengths.size
    for s in range(plan.steps_seen):
        for r in range(rows):
            dh = view(work.dh_external[_step_seen(plan, work.lengths, s, r)], r * hidden_size, (hidden_size,))
            for j in range(hidden_size):
                dh[j] = dh_seen[s * rows + r, j]
    if plan.has_cell_state:
        lstm_backward(
            weight_transposed,
            work.gates,
            work.cell,
            work.squashed,
            plan.has_forget_gate,
            plan.squash_output,
            work.dh_external,
            work.dh,
            work.dc,
        )
    else:
        rnn_backward(weight_transposed, work.gates, plan.is_logistic, work.dh_external, work.dh)
    for s in range(plan.steps_seen):
        for r in range(rows):
            dh = view(work.dh_external[_step_seen(plan, work.lengths, s, r)], r * hidden_size, (hidden_size,))
            for j in range(hidden_size):
                dh[j] = dh.dtype.type(0)
