"""The recurrent cells: forward pass and back-propagation through time (BPTT) of R samples, one chunk or several.

Shapes: T steps, R rows (samples), H hidden units, K = H + F + 1 rows of a gate's matrix (H + F without bias).

    inputs  (T+1, R, K..)   row [h_{t-1}, x_t, 1]; the caller fills x, 1 and h_0, the forward pass writes every h_t
    weight  (gates, K, H)   one matrix a gate, applied from the right: z = [h_{t-1}, x_t, 1] W
    gates   (gates, T, R*H) the gates' values after the forward pass; their dL/dz after the backward pass
    cell    (T+1, R*H)      c_t; the caller fills c_0
    squashed (T, R*H)       tanh(c_t), or c_t without output squashing
    lengths (R,)            steps of each sample; h after step `lengths[r]` of row r is inputs[lengths[r], r, :H]

After a sample's end its gates are set to i = g = o = 0, f = 1. Then c passes through unchanged, h is 0 and feeds
nothing, and every derivative below is 0 without a further test.
"""

from .activations import sigmoid, tanh
from .buffers import CHUNK_ROWS
from .compile import compiled, inlined
from .equations import cell_state, cell_state_1997, sigmoid_backward, tanh_backward
from .matrix import chunk_gradient_add, product
from .simd import view


@inlined
def lstm_forward(inputs, weight, lengths, gates, cell, squashed, has_forget_gate, squash_output):
    """Hidden and cell states of the LSTM (gates i, f, g, o) or of the LSTM of 1997 (i, g, o: no forget gate, f = 1).

    i, f, o = sigmoid(z)    g = tanh(z)    c_t = f c_{t-1} + i g    h_t = o tanh(c_t)
    """
    n_gates, _, hidden_size = weight.shape
    steps, rows = squashed.shape[0], inputs.shape[1]
    zero = weight.dtype.type(0)
    one = weight.dtype.type(1)
    for t in range(steps):
        gate_inputs(gates, t, inputs[t], weight)
        # without a forget gate f is g by another name, and is not used
        i, f, g, o = gates[0, t], gates[1, t], gates[n_gates - 2, t], gates[n_gates - 1, t]
        sigmoid(i)
        if has_forget_gate:
            sigmoid(f)
        tanh(g)
        sigmoid(o)
        for r in range(rows):
            if t >= lengths[r]:
                for j in range(r * hidden_size, (r + 1) * hidden_size):
                    if has_forget_gate:
                        f[j] = one
                    i[j] = zero
                    g[j] = zero
                    o[j] = zero

        c_before, c = cell[t], cell[t + 1]
        if has_forget_gate:
            for j in range(c.size):
                c[j] = cell_state(f[j], c_before[j], i[j], g[j])
        else:
            for j in range(c.size):
                c[j] = cell_state_1997(c_before[j], i[j], g[j])

        s = squashed[t]
        for j in range(c.size):
            s[j] = c[j]
        if squash_output:
            tanh(s)
        for r in range(rows):
            h = inputs[t + 1, r]
            o_row = view(o, r * hidden_size, (hidden_size,))
            s_row = view(s, r * hidden_size, (hidden_size,))
            for j in range(hidden_size):
                h[j] = o_row[j] * s_row[j]


@inlined
def cell_state_backward(dc, dh, o, s, squash_output):
    """What dL/dh_t adds to dL/dc_t: dc += dh o (1 - s^2) with s = tanh(c_t), or dh o without output squashing."""
    if squash_output:
        for j in range(dc.size):
            dc[j] += tanh_backward(dh[j] * o[j], s[j])
    else:
        for j in range(dc.size):
            dc[j] += dh[j] * o[j]


@inlined
def lstm_backward(
    weight_transposed,
    gates,
    cell,
    squashed,
    has_forget_gate,
    squash_output,
    dh_external,
    dh,
    dc,
):
    """BPTT of `lstm_forward`; leaves dL/dz in `gates`, of which `recurrent_weight_gradient` makes the weights'.

    `dh_external` (T, R*H) is dL/dh_t from outside the cell; `dh`, `dc` (R*H,) are work space that ends as
    dL/dh_1 and dL/dc_0. With s = tanh(c_t):

        dz_o = dh s o (1 - o)        dc += dh o (1 - s^2)      dz_i = dc g i (1 - i)      dz_g = dc i (1 - g^2)
        dz_f = dc c_{t-1} f (1 - f)  dc_{t-1} = dc f           dh_{t-1} = sum over gates of dz W_h^T
    """
    n_gates, hidden_size, _ = weight_transposed.shape
    steps, rows = squashed.shape[0], dh.size // hidden_size
    dh[:] = dh.dtype.type(0)
    dc[:] = dh.dtype.type(0)
    for t in range(steps - 1, -1, -1):
        i, f, g, o = gates[0, t], gates[1, t], gates[n_gates - 2, t], gates[n_gates - 1, t]
        c_before, s, external = cell[t], squashed[t], dh_external[t]
        for j in range(dh.size):
            dh[j] += external[j]
        cell_state_backward(dc, dh, o, s, squash_output)
        for j in range(o.size):
            o[j] = sigmoid_backward(dh[j] * s[j], o[j])
        for j in range(i.size):
            i_before = i[j]
            i[j] = sigmoid_backward(dc[j] * g[j], i_before)
            g[j] = tanh_backward(dc[j] * i_before, g[j])
        if has_forget_gate:
            for j in range(f.size):
                f_before = f[j]
                f[j] = sigmoid_backward(dc[j] * c_before[j], f_before)
                dc[j] *= f_before
        if t > 0:
            hidden_gradient(view(dh, 0, (rows, hidden_size)), gates, t, weight_transposed)


@inlined
def rnn_forward(inputs, weight, lengths, gates, units, is_logistic):
    """Hidden states of the Elman network: h_t = tanh([h_{t-1}, x_t, 1] W), or with the sigmoid in place of tanh.

    The hidden units from `units` on are padding and stay at 0, where the sigmoid would put them at 1/2.
    """
    hidden_size = weight.shape[2]
    steps, rows = gates.shape[1], inputs.shape[1]
    for t in range(steps):
        z = gates[0, t]
        gate_inputs(gates, t, inputs[t], weight)
        if is_logistic:
            sigmoid(z)
        else:
            tanh(z)
        for r in range(rows):
            h = inputs[t + 1, r]
            z_row = view(z, r * hidden_size, (hidden_size,))
            running = units if t < lengths[r] else 0
            for j in range(running, hidden_size):
                z_row[j] = weight.dtype.type(0)
            for j in range(hidden_size):
                h[j] = z_row[j]


@inlined
def rnn_backward(weight_transposed, gates, is_logistic, dh_external, dh):
    """BPTT of `rnn_forward`; arguments as in `lstm_backward`.

    dz = dh (1 - h^2), with the sigmoid dz = dh h (1 - h)    dh_{t-1} = dz W_h^T
    """
    hidden_size = weight_transposed.shape[1]
    steps, rows = gates.shape[1], dh.size // hidden_size
    dh[:] = dh.dtype.type(0)
    for t in range(steps - 1, -1, -1):
        h, external = gates[0, t], dh_external[t]
        for j in range(dh.size):
            dh[j] += external[j]
        if is_logistic:
            for j in range(h.size):
                h[j] = sigmoid_backward(dh[j], h[j])
        else:
            for j in range(h.size):
                h[j] = tanh_backward(dh[j], h[j])
        if t > 0:
            hidden_gradient(view(dh, 0, (rows, hidden_size)), gates, t, weight_transposed)


# These two call no kernel a gate: the products are so small that four calls cost a tenth of the time.
@compiled
def gate_inputs(gates, t, step_inputs, weight):
    """z = [h_{t-1}, x_t, 1] W of every gate."""
    rows, n_gates, hidden_size = step_inputs.shape[0], weight.shape[0], weight.shape[2]
    for k in range(n_gates):
        # to and fro: the matrices used last are still in the first-level cache, which does not hold all of them
        gate = k if t % 2 == 0 else n_gates - 1 - k
        z = view(gates[gate, t], 0, (rows, hidden_size))
        product(z, step_inputs, weight[gate], CHUNK_ROWS, False, False)


@compiled
def hidden_gradient(dh, gates, t, weight_transposed):
    """dh = sum over gates of dz W_h^T; weight_transposed (gates, H, H) holds the W_h^T."""
    rows, hidden_size = dh.shape
    for gate in range(weight_transposed.shape[0]):
        dz = view(gates[gate, t], 0, (rows, hidden_size))
        product(dh, dz, weight_transposed[gate], CHUNK_ROWS, False, gate > 0)


@inlined
def recurrent_weight_gradient(dweight, inputs, gates, chunk):
    """dW += sum over steps and a chunk's rows of [h_{t-1}, x_t, 1]^T dz: one product a gate, after the loop."""
    hidden_size = dweight.shape[2]
    steps, rows = gates.shape[1], inputs.shape[1]
    every_input = view(inputs, 0, (steps * rows, inputs.shape[2]))
    for gate in range(gates.shape[0]):
        dz = view(gates[gate], 0, (steps * rows, hidden_size))
        chunk_gradient_add(dweight[gate], every_input, dz, rows, chunk)
