"""Chunks of samples, as many rows as the work space has, through the whole network, forward and backward.

Several chunks go through the steps together, so that a block of weights in the first-level cache serves all of them.
What a row or a chunk gets does not depend on the others beside it, down to the last bit.
"""

import numpy as np

from .buffers import (
    CHUNK_ROWS,
    CROSS_ENTROPY,
    FEEDFORWARD,
    GAUSSIAN,
    HUBER,
    MAE,
    MSE,
    PADDING,
    Layer,
    Workspace,
)
from .cells import (
    gru_backward,
    gru_forward,
    hidden_state,
    input_gradient,
    lstm_backward,
    lstm_forward,
    recurrent_weight_gradient,
    rnn_backward,
    rnn_forward,
)
from .compile import compiled, inlined
from .dense import (
    dense_backward,
    dense_forward,
    dense_weight_gradient,
    feedforward_backward,
    feedforward_forward,
)
from .dropout import drop
from .equations import (
    absolute_error,
    absolute_error_backward,
    cross_entropy,
    cross_entropy_backward,
    gaussian,
    gaussian_backward_mean,
    gaussian_backward_raw,
    huber,
    huber_backward,
    pinball,
    pinball_backward,
    predicted_scale,
    row_state,
    softmax_numerator,
)
from .matrix import transpose
from .simd import view

_DRAWS_A_STEP = 1 << 20  # numbers of a layer's draws for one step: more than there are hidden units


@inlined
def layer_of(plan, work, index):
    """One recurrent layer's part of a work space."""
    shape, rows, steps = plan.layers[index], work.lengths.size, plan.steps
    # all with a backward pass, else 1; a branch is slow to compile
    kept = min(steps, 1 + steps * work.deltas.size)
    flat, below = rows * shape.hidden_size, rows * shape.below
    columns = (shape.input_rows + PADDING - 1) // PADDING * PADDING
    return Layer(
        view(work.inputs, rows * shape.inputs, (steps + 1, rows, columns)),
        view(work.gates, plan.n_gates * kept * below, (plan.n_gates, kept, flat)),
        view(work.cell, (steps + 1) * below, (steps + 1, flat)),
        view(work.squashed, kept * below, (kept, flat)),
        view(work.hidden, (steps + 1) * below, (steps + 1, flat)),
        view(work.masks, below, (flat,)),
    )


@inlined
def with_rows(work, rows):
    """The memory of a work space as one of fewer rows."""
    each = work.activations.size // work.lengths.size
    each_delta = work.deltas.size // work.lengths.size
    return Workspace(
        work.inputs,
        work.gates,
        work.cell,
        work.squashed,
        work.hidden,
        work.masks,
        view(work.lengths, 0, (rows,)),
        work.has_states,
        view(work.draws, 0, (rows,)),
        view(work.activations, 0, (rows * each,)),
        work.dh_external,
        work.dh_below,
        work.dh,
        work.dc,
        view(work.deltas, 0, (rows * each_delta,)),
        work.transposed,
    )


@inlined
def layer_weight(plan, flat, index):
    """The weights of a recurrent layer, (gates, K, H), in a buffer like theta."""
    shape = plan.layers[index]
    return view(flat, shape.weight, (plan.n_gates, shape.input_rows, shape.hidden_size))


@inlined
def _dense_start(plan):
    """Where the dense layers begin in a buffer like theta."""
    last = plan.layers[plan.layers.size - 1]
    return last.weight + plan.n_gates * last.input_rows * last.hidden_size


@inlined
def layer_transposed(plan, transposed, index):
    """A recurrent layer's W_h^T, (gates, H, H) or none of them, and where what comes after them begins."""
    shape = plan.layers[index]
    gates = 0 if plan.cell == FEEDFORWARD else plan.n_gates
    size = gates * shape.hidden_size * shape.hidden_size
    return (
        view(transposed, shape.transposed, (gates, shape.hidden_size, shape.hidden_size)),
        shape.transposed + size,
    )


@compiled
def transpose_weights(plan, theta, work):
    """Write the transposed weights that the backward pass reads; see `buffers.Workspace`."""
    to = np.int64(0)
    for index in range(plan.layers.size):
        shape, weight = plan.layers[index], layer_weight(plan, theta, index)
        hidden_size, features = shape.hidden_size, shape.features
        weight_transposed, to = layer_transposed(plan, work.transposed, index)
        for gate in range(weight_transposed.shape[0] if plan.steps > 1 else 0):
            transpose(weight_transposed[gate], view(weight[gate], 0, (hidden_size, hidden_size)))
        if index > 0:
            for gate in range(plan.n_gates):
                of_x = view(weight[gate], shape.x_row * hidden_size, (features, hidden_size))
                transpose(view(work.transposed, to, (hidden_size, features)), of_x)
                to += hidden_size * features
    start = _dense_start(plan)
    for layer in range(plan.widths.size - 1):
        n_in, n_out = plan.widths[layer], plan.widths[layer + 1]
        transpose(view(work.transposed, to, (n_out, n_in)), view(theta, start, (n_in, n_out)))
        start += (n_in + 1) * n_out
        to += n_in * n_out


@compiled
def load_chunk(plan, work, x, lengths, order, first, count, start, step, drops):
    """Copy the inputs of samples order[first : first + count] into the rows from `start` on; absent rows get zeros.

    A chunk has CHUNK_ROWS rows, or as many as the work space if that has fewer. It sees the plan's steps from number
    `step` on, of which a sample may have fewer or none left. Its initial state is set to 0. `drops` is an epoch's
    `equations.dropout_state`, or 0 if nothing is dropped.
    """
    work.has_states[0] &= start > 0
    column = plan.layers[0].x_row
    zero = x.dtype.type(0)
    stop = start + min(CHUNK_ROWS, work.lengths.size)
    inputs = layer_of(plan, work, 0).inputs
    steps = min(plan.steps, x.shape[1] - step)
    for r in range(start, stop):
        work.draws[r] = row_state(drops, first + r - start) if drops > 0 else np.uint64(0)
        present = 0
        if r - start < count:
            sample = x[order[first + r - start]]
            work.lengths[r] = steps_left(plan, lengths[order[first + r - start]], step)
            present = steps
        else:
            work.lengths[r] = plan.steps
        for t in range(present):
            for f in range(plan.features):
                inputs[t, r, column + f] = sample[step + t, f]
        for t in range(present, plan.steps):
            for f in range(plan.features):
                inputs[t, r, column + f] = zero
    for index in range(plan.layers.size):
        layer = layer_of(plan, work, index)
        _set_ones(plan, layer.inputs, plan.layers[index], start, stop)
        if plan.cell != FEEDFORWARD:
            _begin_rows(plan, work, layer, index, start, stop)


@inlined
def _set_ones(plan, inputs, shape, start, stop):
    """The inputs of the biases, which lie elsewhere in a work space of other rows."""
    if plan.bias > 0:
        one = inputs.dtype.type(1)
        for t in range(plan.steps):
            for r in range(start, stop):
                inputs[t, r, shape.input_rows - 1] = one
                if plan.has_reset_gate:
                    inputs[t, r, shape.hidden_size] = one


@inlined
def steps_left(plan, length, step):
    """How many of the plan's steps a sample has left from number `step` on."""
    return max(np.int64(0), min(plan.steps, length - step))


@inlined
def _begin_rows(plan, work, layer, index, start, stop):
    """The state before the first step: 0, and with recurrent dropout the masks of these rows' sequences."""
    hidden_size = plan.layers[index].hidden_size
    real = layer.inputs.dtype.type
    for r in range(start, stop):
        h = layer.inputs[0, r]
        for j in range(hidden_size):
            h[j] = real(0)
        if plan.has_cell_state:
            c = view(layer.cell[0], r * hidden_size, (hidden_size,))
            for j in range(hidden_size):
                c[j] = real(0)
        if plan.recurrent_dropout > 0:
            h = view(layer.hidden[0], r * hidden_size, (hidden_size,))
            mask = view(layer.mask, r * hidden_size, (hidden_size,))
            for j in range(hidden_size):
                h[j] = real(0)
                mask[j] = real(1)
            drop(mask, work.draws[r], _first_draw(plan, index, plan.steps), plan.recurrent_dropout)


@inlined
def _first_draw(plan, index, t):
    """The number of the first draw for one layer and step; behind the last step's are those of its masks."""
    return (index * (plan.steps + 1) + t) * _DRAWS_A_STEP


@compiled
def load_states(plan, work, states, order, first, count, start):
    """Let the loaded samples begin with their states (N, S) instead of 0; see `buffers.state_size`."""
    work.has_states[0] = True
    for r in range(start, start + count):
        values, at = states[order[first + r - start]], 0
        for index in range(plan.layers.size):
            layer, hidden_size = layer_of(plan, work, index), plan.layers[index].hidden_size
            h = layer.inputs[0, r]
            for j in range(hidden_size):
                h[j] = values[at + j]
            if plan.recurrent_dropout > 0:
                before = view(layer.hidden[0], r * hidden_size, (hidden_size,))
                for j in range(hidden_size):
                    before[j] = h[j]
                    h[j] *= layer.mask[r * hidden_size + j]
            at += hidden_size
            if plan.has_cell_state:
                c = view(layer.cell[0], r * hidden_size, (hidden_size,))
                for j in range(hidden_size):
                    c[j] = values[at + j]
                at += hidden_size


@compiled
def save_states(plan, work, states, order, first, count, start):
    """Write the states of the samples after their last step to `states` (N, S)."""
    for r in range(start, start + count):
        values, at = states[order[first + r - start]], 0
        for index in range(plan.layers.size):
            layer, hidden_size = layer_of(plan, work, index), plan.layers[index].hidden_size
            h = hidden_state(layer, work.lengths[r], r, plan.recurrent_dropout > 0)
            for j in range(hidden_size):
                values[at + j] = h[j]
            at += hidden_size
            if plan.has_cell_state:
                c = view(layer.cell[plan.steps], r * hidden_size, (hidden_size,))
                for j in range(hidden_size):
                    values[at + j] = c[j]
                at += hidden_size


@inlined
def _step_seen(plan, lengths, s, r):
    """The step, from 0, whose hidden state is the s-th that the dense layers see of row r."""
    return s if plan.steps_seen == plan.steps else lengths[r] - 1


@inlined
def _drop_outputs(plan, work, index, t, r, values):
    """Dropout of what one layer gives away in one step: `values` are its hidden units, or their gradient."""
    if plan.dropout > 0:
        drop(values, work.draws[r], _first_draw(plan, index, t), plan.dropout)


@compiled
def forward_chunks(plan, theta, work):
    """All activations of the loaded chunks; the last of them are the outputs."""
    rows, drops, at_zero = work.lengths.size, plan.recurrent_dropout > 0, not work.has_states[0]
    top = plan.layers.size - 1
    for index in range(plan.layers.size):
        layer, weight = layer_of(plan, work, index), layer_weight(plan, theta, index)
        shape = plan.layers[index]
        if plan.cell == FEEDFORWARD:
            feedforward_forward(layer.inputs, weight, layer.gates)
        elif plan.has_reset_gate:
            gru_forward(layer, weight, work.lengths, shape.x_row, drops, at_zero)
        elif plan.has_cell_state:
            lstm_forward(
                layer, weight, work.lengths, plan.has_forget_gate, plan.squash_output, drops, at_zero
            )
        else:
            rnn_forward(layer, weight, work.lengths, shape.units, plan.is_logistic, drops, at_zero)
        if index < top:
            _pass_up(plan, work, index, layer, layer_of(plan, work, index + 1))

    layer, hidden_size = layer_of(plan, work, top), plan.widths[0]
    rows_seen = plan.steps_seen * rows
    layer_input = view(work.activations, 0, (rows_seen, hidden_size))
    for s in range(plan.steps_seen):
        for r in range(rows):
            t = _step_seen(plan, work.lengths, s, r)
            if plan.cell == FEEDFORWARD:
                h = view(layer.gates, r * hidden_size, (hidden_size,))
            else:
                h = hidden_state(layer, t + 1, r, drops)
            seen = layer_input[s * rows + r]
            for j in range(hidden_size):
                seen[j] = h[j]
            _drop_outputs(plan, work, top, t, r, seen)

    at = rows_seen * hidden_size
    start = _dense_start(plan)
    layers = plan.widths.size - 1
    for layer in range(layers):
        n_in, n_out = plan.widths[layer], plan.widths[layer + 1]
        out = view(work.activations, at, (rows_seen, n_out))
        dense_forward(layer_input, view(theta, start, (n_in + 1, n_out)), out, layer < layers - 1)
        layer_input = out
        at += rows_seen * n_out
        start += (n_in + 1) * n_out


@inlined
def _pass_up(plan, work, index, layer, above):
    """Every h_t of a layer, after dropout, is x_t of the layer above it."""
    x_row, hidden_size = plan.layers[index + 1].x_row, plan.layers[index].hidden_size
    columns = above.inputs.shape[2]
    flat = view(above.inputs, 0, (above.inputs.size,))
    for t in range(plan.steps):
        for r in range(work.lengths.size):
            x = view(flat, (t * work.lengths.size + r) * columns + x_row, (hidden_size,))
            h = hidden_state(layer, t + 1, r, plan.recurrent_dropout > 0)
            for j in range(hidden_size):
                x[j] = h[j]
            _drop_outputs(plan, work, index, t, r, x)


@inlined
def outputs(plan, values, rows):
    """The last layer's (steps seen, rows, width) in the activations or deltas of a work space of so many rows."""
    width = plan.widths[plan.widths.size - 1]
    steps = plan.steps_seen
    return view(values, values.size - steps * rows * width, (steps, rows, width))


@compiled
def chunk_loss(plan, work, y, order, first, count, start, step):
    """The sum of the losses of a chunk's targets (float64); leaves half their gradient as the last layer's delta.

    Of the squared error half the gradient is y_hat - y.

    The chunk's are the rows from `start` on, and it sees the steps from number `step` on. The delta is 0 in absent rows
    and after a sample's end.
    """
    rows = work.lengths.size
    out, delta = outputs(plan, work.activations, rows), outputs(plan, work.deltas, rows)
    total = 0.0
    for s in range(delta.shape[0]):
        for r in range(start, start + min(CHUNK_ROWS, rows)):
            for k in range(delta.shape[2]):
                delta[s, r, k] = delta.dtype.type(0)
            if r - start < count and s < work.lengths[r]:
                sample = order[first + r - start]
                if plan.loss == MSE:
                    for k in range(plan.targets):
                        error = out[s, r, k] - y[sample, (step + s) * plan.targets + k]
                        delta[s, r, k] = error
                        total += np.float64(error) * np.float64(error)
                else:
                    for k in range(plan.targets):
                        total += _target_loss(
                            plan, out[s, r], y[sample, (step + s) * plan.targets + k], k, delta[s, r]
                        )
    return total


@compiled
def _target_loss(plan, out, target, k, delta):
    """The loss of target k of a row of outputs, other than the squared error; half its gradient goes to `delta`."""
    real, y = delta.dtype.type, np.float64(target)
    if plan.loss == GAUSSIAN:
        error, raw = np.float64(out[2 * k]) - y, np.float64(out[2 * k + 1])
        scale = predicted_scale(raw)
        delta[2 * k] = real(0.5 * gaussian_backward_mean(error, scale))
        delta[2 * k + 1] = real(0.5 * gaussian_backward_raw(error, scale, raw))
        return gaussian(error, scale)
    if plan.loss == MAE:
        error = np.float64(out[k]) - y
        delta[k] = real(0.5 * absolute_error_backward(error))
        return absolute_error(error)
    if plan.loss == HUBER:
        error = np.float64(out[k]) - y
        delta[k] = real(0.5 * huber_backward(error, plan.huber_delta))
        return huber(error, plan.huber_delta)
    if plan.loss == CROSS_ENTROPY:
        number = plan.outputs // plan.targets
        return _class_loss(
            view(out, k * number, (number,)), np.int64(target), view(delta, k * number, (number,))
        )
    total, number = 0.0, plan.quantiles.size
    for q in range(number):
        error = np.float64(out[k * number + q]) - y
        delta[k * number + q] = real(0.5 / number * pinball_backward(error, plan.quantiles[q]))
        total += pinball(error, plan.quantiles[q])
    return total / number


@inlined
def _class_loss(out, target, delta):
    """The cross-entropy of the classes' outputs where the class is number `target`; half its gradient to `delta`."""
    real, largest, total = delta.dtype.type, np.float64(out[0]), 0.0
    for c in range(out.size):
        largest = max(largest, np.float64(out[c]))
    for c in range(out.size):
        numerator = softmax_numerator(np.float64(out[c]), largest)
        total += numerator
        delta[c] = real(numerator)  # of the largest output 1, so that p - 1 of a likely class loses nothing
    for c in range(out.size):
        delta[c] = real(0.5 * cross_entropy_backward(np.float64(delta[c]) / total, c == target))
    return cross_entropy(np.float64(out[target]), largest, total)


@inlined
def all_targets(plan, data):
    """How many numbers the outputs of all samples are compared with."""
    steps = data.lengths.size
    if data.y.shape[1] > plan.targets:
        steps = 0
        for length in data.lengths:  # lengths.sum() would import SciPy with the compiled kernel
            steps += length
    return steps * plan.targets


@inlined
def minibatch_targets(plan, lengths, order, first, count, step):
    """How many numbers the samples order[first : first + count] are compared with, in the steps from `step` on."""
    steps = count
    if plan.steps_seen > 1 or step > 0:
        steps = 0
        for position in range(first, first + count):
            steps += steps_left(plan, lengths[order[position]], step)
    return steps * plan.targets


@compiled
def backward_chunks(plan, work, gradients, first, stride, present, scale, accumulate):
    """Write scale * (gradient of half a chunk's loss) to that chunk's accumulator, for the chunks present.

    Chunk k's is gradients[first + k * stride], a flat buffer like theta; with `accumulate` that is added to.
    """
    rows, top = work.lengths.size, plan.layers.size - 1
    hidden_size = plan.widths[0]
    rows_seen = plan.steps_seen * rows
    last = outputs(plan, work.deltas, rows)
    delta = view(last, 0, (last.size,))
    factor = work.deltas.dtype.type(scale)
    for k in range(delta.size):
        delta[k] *= factor

    start = _dense_start(plan)
    _, to = layer_transposed(plan, work.transposed, top)
    if top > 0:
        to += plan.n_gates * hidden_size * plan.layers[top].features
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
            dense_weight_gradient(layer_input, dz, dweight, rows, chunk, accumulate)
        at = before

    dh_seen = view(work.deltas, 0, (rows_seen, hidden_size))
    for s in range(plan.steps_seen):
        for r in range(rows):
            _drop_outputs(plan, work, top, _step_seen(plan, work.lengths, s, r), r, dh_seen[s * rows + r])
    if plan.cell == FEEDFORWARD:
        feedforward_backward(layer_of(plan, work, 0).gates, view(dh_seen, 0, (dh_seen.size,)))
    else:
        _recurrent_backward(plan, work, dh_seen)
    at_zero = plan.cell != FEEDFORWARD and not work.has_states[0]
    for index in range(plan.layers.size):
        layer, x_row = layer_of(plan, work, index), plan.layers[index].x_row
        for chunk in range(present):
            dweight = layer_weight(plan, gradients[first + chunk * stride], index)
            recurrent_weight_gradient(
                dweight, layer, x_row, plan.has_reset_gate, np.int64(chunk), np.bool_(accumulate), at_zero
            )


@inlined
def _recurrent_backward(plan, work, dh_seen):
    """dL/dz of every layer, gate and step, from dL/dh of the steps that the dense layers have seen."""
    rows, steps, top = work.lengths.size, plan.steps, plan.layers.size - 1
    hidden_size, drops = plan.widths[0], plan.recurrent_dropout > 0
    external = view(work.dh_external, 0, (steps, rows * hidden_size))
    for s in range(plan.steps_seen):
        for r in range(rows):
            dh = view(external[_step_seen(plan, work.lengths, s, r)], r * hidden_size, (hidden_size,))
            for j in range(hidden_size):
                dh[j] = dh_seen[s * rows + r, j]
    for index in range(top, -1, -1):
        shape, layer = plan.layers[index], layer_of(plan, work, index)
        flat = rows * shape.hidden_size
        if index < top:
            external = view(work.dh_below, 0, (steps, flat))
        weight_transposed, to = layer_transposed(plan, work.transposed, index)
        dh, dc = view(work.dh, 0, (flat,)), view(work.dc, 0, (flat,))
        if plan.has_reset_gate:
            gru_backward(layer, weight_transposed, drops, external, dh, dc)
        elif plan.has_cell_state:
            lstm_backward(
                layer, weight_transposed, plan.has_forget_gate, plan.squash_output, drops, external, dh, dc
            )
        else:
            rnn_backward(layer, weight_transposed, plan.is_logistic, drops, external, dh)
        if index > 0:
            x_transposed = view(work.transposed, to, (plan.n_gates, shape.hidden_size, shape.features))
            dx = view(work.dh_below, 0, (steps * rows, shape.features))
            input_gradient(dx, layer.gates, x_transposed)
            for t in range(steps):
                for r in range(rows):
                    _drop_outputs(plan, work, index - 1, t, r, dx[t * rows + r])
    for s in range(plan.steps_seen):
        for r in range(rows):
            t = _step_seen(plan, work.lengths, s, r)
            dh = view(work.dh_external, t * rows * hidden_size + r * hidden_size, (hidden_size,))
            for j in range(hidden_size):
                dh[j] = dh.dtype.type(0)
