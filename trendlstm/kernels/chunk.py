"""One chunk of up to CHUNK_ROWS samples through the whole network, forward and backward."""

import numpy as np

from .buffers import CHUNK_ROWS, FEEDFORWARD
from .cells import lstm_backward, lstm_forward, rnn_backward, rnn_forward
from .compile import kernel
from .dense import dense_backward, dense_forward, feedforward_backward, feedforward_forward
from .matrix import transpose


@kernel
def _recurrent_weight(plan, flat):
    """The (gates, K, H) view of the recurrent layer in a flat buffer, and where the dense layers start."""
    rows = plan.features + plan.bias
    if plan.cell != FEEDFORWARD:
        rows += plan.hidden_size
    end = plan.n_gates * rows * plan.hidden_size
    return flat[:end].reshape(plan.n_gates, rows, plan.hidden_size), end


@kernel
def _recurrent_transposed(plan, transposed):
    """The (gates, H, H) view of the W_h^T, and where the transposed dense weights start."""
    if plan.cell == FEEDFORWARD:
        return transposed[:0].reshape(0, plan.hidden_size, plan.hidden_size), 0
    end = plan.n_gates * plan.hidden_size * plan.hidden_size
    return transposed[:end].reshape(plan.n_gates, plan.hidden_size, plan.hidden_size), end


@kernel
def transpose_weights(plan, theta, transposed, rank, size):
    """Write the transposed weights that the backward pass reads; thread `rank` of `size` does every size-th matrix."""
    weight, start = _recurrent_weight(plan, theta)
    weight_transposed, to = _recurrent_transposed(plan, transposed)
    for gate in range(rank, weight_transposed.shape[0], size):
        transpose(weight_transposed[gate], weight[gate, : plan.hidden_size])
    for layer in range(plan.widths.size - 1):
        n_in, n_out = plan.widths[layer], plan.widths[layer + 1]
        if (plan.n_gates + layer) % size == rank:
            transpose(transposed[to : to + n_in * n_out].reshape(n_out, n_in),
                      theta[start : start + n_in * n_out].reshape(n_in, n_out))
        start += (n_in + 1) * n_out
        to += n_in * n_out


@kernel
def load_chunk(plan, work, x, lengths, samples):
    """Copy the inputs of `samples` (int64 indices, at most CHUNK_ROWS) into the work space; absent rows get zeros."""
    first = 0 if plan.cell == FEEDFORWARD else plan.hidden_size
    for r in range(CHUNK_ROWS):
        if r < samples.size:
            sample = x[samples[r]]
            work.lengths[r] = lengths[samples[r]]
            for t in range(plan.steps):
                row = work.inputs[t, r, first : first + plan.features]
                for f in range(plan.features):
                    row[f] = sample[t, f]
        else:
            work.lengths[r] = plan.steps
            for t in range(plan.steps):
                work.inputs[t, r, first : first + plan.features] = x.dtype.type(0)


@kernel
def forward_chunk(plan, theta, work):
    """All activations of the loaded chunk; returns the (R, width) outputs of the last layer (a view)."""
    weight, start = _recurrent_weight(plan, theta)
    hidden_size = plan.hidden_size
    if plan.cell == FEEDFORWARD:
        feedforward_forward(work.inputs, weight, work.gates)
    elif plan.n_gates == 1:
        rnn_forward(work.inputs, weight, work.lengths, work.gates)
    else:
        lstm_forward(work.inputs, weight, work.lengths, work.gates, work.cell, work.squashed, plan.squash_output)

    at = CHUNK_ROWS * hidden_size
    layer_input = work.activations[:at].reshape(CHUNK_ROWS, hidden_size)
    for r in range(CHUNK_ROWS):
        if plan.cell == FEEDFORWARD:
            layer_input[r] = work.gates[0, 0, r * hidden_size : (r + 1) * hidden_size]
        else:
            layer_input[r] = work.inputs[work.lengths[r], r, :hidden_size]

    layers = plan.widths.size - 1
    for layer in range(layers):
        n_in, n_out = plan.widths[layer], plan.widths[layer + 1]
        out = work.activations[at : at + CHUNK_ROWS * n_out].reshape(CHUNK_ROWS, n_out)
        weight_and_bias = theta[start : start + (n_in + 1) * n_out].reshape(n_in + 1, n_out)
        dense_forward(layer_input, weight_and_bias, out, layer < layers - 1)
        layer_input = out
        at += CHUNK_ROWS * n_out
        start += (n_in + 1) * n_out
    return layer_input


@kernel
def squared_error(plan, work, out, y, samples):
    """The chunk's sum of squared errors (float64); leaves y_hat - y as the last layer's delta, 0 in absent rows."""
    n_out = plan.widths[plan.widths.size - 1]
    end = work.deltas.size
    delta = work.deltas[end - CHUNK_ROWS * n_out : end].reshape(CHUNK_ROWS, n_out)
    total = 0.0
    for r in range(CHUNK_ROWS):
        delta[r] = delta.dtype.type(0)
        if r < samples.size:
            for k in range(plan.outputs):
                error = out[r, k] - y[samples[r], k]
                delta[r, k] = error
                total += np.float64(error) * np.float64(error)
    return total


@kernel
def backward_chunk(plan, theta, transposed, work, gradient, scale):
    """Add scale * (gradient of half the chunk's squared error) to `gradient`, a flat buffer like theta."""
    end = work.deltas.size
    n_out = plan.widths[plan.widths.size - 1]
    last = work.deltas[end - CHUNK_ROWS * n_out : end]
    factor = theta.dtype.type(scale)
    for j in range(last.size):
        last[j] *= factor

    dweight, start = _recurrent_weight(plan, gradient)
    weight_transposed, to = _recurrent_transposed(plan, transposed)
    for layer in range(plan.widths.size - 1):
        start += (plan.widths[layer] + 1) * plan.widths[layer + 1]
        to += plan.widths[layer] * plan.widths[layer + 1]
    layers = plan.widths.size - 1
    for layer in range(layers - 1, -1, -1):
        n_in, n_out = plan.widths[layer], plan.widths[layer + 1]
        middle = end - CHUNK_ROWS * n_out
        begin = middle - CHUNK_ROWS * n_in
        start -= (n_in + 1) * n_out
        to -= n_in * n_out
        dense_backward(
            work.activations[begin:middle].reshape(CHUNK_ROWS, n_in),
            work.activations[middle:end].reshape(CHUNK_ROWS, n_out),
            transposed[to : to + n_in * n_out].reshape(n_out, n_in),
            work.deltas[middle:end].reshape(CHUNK_ROWS, n_out),
            work.deltas[begin:middle].reshape(CHUNK_ROWS, n_in),
            gradient[start : start + (n_in + 1) * n_out].reshape(n_in + 1, n_out),
            layer < layers - 1,
        )
        end = middle

    hidden_size = plan.hidden_size
    dh_last = work.deltas[: CHUNK_ROWS * hidden_size]
    if plan.cell == FEEDFORWARD:
        feedforward_backward(work.inputs, work.gates, dh_last, dweight)
        return
    for r in range(CHUNK_ROWS):
        row = slice(r * hidden_size, (r + 1) * hidden_size)
        work.dh_external[work.lengths[r] - 1, row] = dh_last[row]
    if plan.n_gates == 1:
        rnn_backward(work.inputs, weight_transposed, work.gates, work.dh_external, work.dh, dweight)
    else:
        lstm_backward(work.inputs, weight_transposed, work.gates, work.cell, work.squashed, plan.squash_output,
                      work.dh_external, work.dh, work.dc, dweight)
    for r in range(CHUNK_ROWS):
        row = slice(r * hidden_size, (r + 1) * hidden_size)
        work.dh_external[work.lengths[r] - 1, row] = theta.dtype.type(0)
