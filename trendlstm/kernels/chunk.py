"""One chunk of samples, as many rows as the work space has, through the whole network, forward and backward."""

import numpy as np

from .buffers import FEEDFORWARD
from .cells import lstm_backward, lstm_forward, rnn_backward, rnn_forward
from .compile import compiled, inlined
from .dense import dense_backward, dense_forward, feedforward_backward, feedforward_forward
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
def load_chunk(plan, work, x, lengths, order, first, count):
    """Copy the inputs of samples order[first : first + count] into the work space; absent rows get zeros."""
    column = 0 if plan.cell == FEEDFORWARD else plan.hidden_size
    zero = x.dtype.type(0)
    for r in range(work.lengths.size):
        if r < count:
            sample = x[order[first + r]]
            work.lengths[r] = lengths[order[first + r]]
            for t in range(plan.steps):
                for f in range(plan.features):
                    work.inputs[t, r, column + f] = sample[t, f]
        else:
            work.lengths[r] = plan.steps
            for t in range(plan.steps):
                for f in range(plan.features):
                    work.inputs[t, r, column + f] = zero


@inlined
def _step_seen(plan, lengths, s, r):
    """The step, from 0, whose hidden state is the s-th that the dense layers see of row r."""
    return s if plan.steps_seen == plan.steps else lengths[r] - 1


@compiled
def forward_chunk(plan, theta, work):
    """All activations of the loaded chunk; the last of them are the outputs."""
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
    """The last layer's (steps seen, rows, width) in a work space's activations or deltas."""
    width = plan.widths[plan.widths.size - 1]
    steps = plan.steps_seen
    return view(values, values.size - steps * rows * width, (steps, rows, width))


@compiled
def squared_error(plan, work, y, order, first, count):
    """The chunk's sum of squared errors (float64); leaves y_hat - y as the last layer's delta.

    It is 0 in absent rows and after a sample's end.
    """
    rows = work.lengths.size
    out, delta = outputs(plan, work.activations, rows), outputs(plan, work.deltas, rows)
    total = 0.0
    for s in range(delta.shape[0]):
        for r in range(rows):
            for k in range(delta.shape[2]):
                delta[s, r, k] = delta.dtype.type(0)
            if r < count and s < work.lengths[r]:
                for k in range(plan.outputs):
                    error = out[s, r, k] - y[order[first + r], s * plan.outputs + k]
                    delta[s, r, k] = error
                    total += np.float64(error) * np.float64(error)
    return total


@inlined
def all_targets(plan, data):
    """How many numbers the outputs of all samples are compared with."""
    return (data.lengths.sum() if plan.steps_seen > 1 else data.lengths.size) * plan.outputs


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
def backward_chunk(plan, work, gradient, scale):
    """Add scale * (gradient of half the chunk's squared error) to `gradient`, a flat buffer like theta."""
    hidden_size, rows = plan.hidden_size, work.lengths.size
    rows_seen = plan.steps_seen * rows
    last = outputs(plan, work.deltas, rows)
    delta = view(last, 0, (last.size,))
    factor = gradient.dtype.type(scale)
    for k in range(delta.size):
        delta[k] *= factor

    dweight, start = _recurrent_weight(plan, gradient)
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
        dense_backward(
            view(work.activations, before, (rows_seen, n_in)),
            view(work.activations, at, (rows_seen, n_out)),
            view(work.transposed, to, (n_out, n_in)),
            view(work.deltas, at, (rows_seen, n_out)),
            view(work.deltas, before, (rows_seen, n_in)),
            view(gradient, start, (n_in + 1, n_out)),
            layer < layers - 1,
        )
        at = before

    dh_seen = view(work.deltas, 0, (rows_seen, hidden_size))
    if plan.cell == FEEDFORWARD:
        feedforward_backward(work.inputs, work.gates, view(dh_seen, 0, (dh_seen.size,)), dweight)
        return
    for s in range(plan.steps_seen):
        for r in range(rows):
            dh = view(work.dh_external[_step_seen(plan, work.lengths, s, r)], r * hidden_size, (hidden_size,))
            for j in range(hidden_size):
                dh[j] = dh_seen[s * rows + r, j]
    if plan.has_cell_state:
        lstm_backward(
            work.inputs,
            weight_transposed,
            work.gates,
            work.cell,
            work.squashed,
            plan.has_forget_gate,
            plan.squash_output,
            work.dh_external,
            work.dh,
            work.dc,
            dweight,
        )
    else:
        rnn_backward(
            work.inputs,
            weight_transposed,
            work.gates,
            plan.is_logistic,
            work.dh_external,
            work.dh,
            dweight,
        )
    for s in range(plan.steps_seen):
        for r in range(rows):
            dh = view(work.dh_external[_step_seen(plan, work.lengths, s, r)], r * hidden_size, (hidden_size,))
            for j in range(hidden_size):
                dh[j] = dh.dtype.type(0)
