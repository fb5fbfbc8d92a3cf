"""The recurrent cells: forward pass and back-propagation through time (BPTT) of R samples, one chunk or several.

Shapes: T steps, R rows (samples), H hidden units, K = H + F + 1 rows of a gate's matrix (H + F without bias, H + F + 2
in the GRU, which has two). What a layer keeps of its steps, a `buffers.Layer`:

    inputs  (T+1, R, K..)   row [h_{t-1}, x_t, 1], the GRU's [h_{t-1}, 1, x_t, 1]; the caller fills x, 1 and h_0, the
                            forward pass writes every h_t
    gates   (gates, T, R*H) the gates' values after the forward pass; their dL/dz after the backward pass. Without one
                            all steps share one place, as they do of `squashed`: (gates, 1, R*H), (1, R*H)
    cell    (T+1, R*H)      c_t; the caller fills c_0
    squashed (T, R*H)       tanh(c_t), or c_t without output squashing; the GRU's q_t
    hidden  (T+1, R*H)      with recurrent dropout: every h_t as it was before the mask; the caller fills h_0
    mask    (R*H,)          with recurrent dropout: what h_{t-1} is multiplied by in every step

and beside it

    weight  (gates, K, H)   one matrix a gate, applied from the right: z = [h_{t-1}, x_t, 1] W
    lengths (R,)            steps of each sample; row r's last hidden state is that of step lengths[r]

After a sample's end its gates are set to i = g = o = 0, f = 1 (GRU: r = n = 0, z = 1). Then c passes through unchanged,
h is 0 (GRU: unchanged) and feeds nothing, and every derivative below is 0 without a further test.
"""

from .activations import sigmoid, tanh
from .buffers import CHUNK_ROWS
from .compile import compiled, inlined
from .equations import (
    cell_state,
    cell_state_1997,
    gru_candidate,
    gru_state,
    sigmoid_backward,
    tanh_backward,
)
from .matrix import chunk_gradient, product
from .simd import TILE_ROWS, view

# Bytes. A gradient of such rows is written row after row: it is larger than all else, and its rows are far apart.
_LONG_ROW = 2048


@inlined
def _place_of_step(gates, t):
    """Where the gates of a step are: without a backward pass all steps have the same place."""
    return min(t, gates.shape[1] - 1)


@inlined
def hidden_state(layer, t, r, drops):
    """h_t of row r, t = 0 ... T, before a mask of recurrent dropout; what stands behind its H numbers is not h."""
    if drops:
        flat = layer.hidden[t]
        hidden_size = layer.mask.size // layer.inputs.shape[1]
        return view(flat, r * hidden_size, (hidden_size,))
    return layer.inputs[t, r]


@inlined
def mask_hidden_state(layer, t, drops):
    """With recurrent dropout (Gal & Ghahramani 2016): the next step sees h_t times its sequence's mask."""
    if drops:
        h, mask = layer.hidden[t], layer.mask
        rows = layer.inputs.shape[1]
        hidden_size = mask.size // rows
        for r in range(rows):
            row, first = layer.inputs[t, r], r * hidden_size
            for j in range(hidden_size):
                h[first + j] = row[j]
                row[j] *= mask[first + j]


@compiled
def lstm_forward(layer, weight, lengths, has_forget_gate, squash_output, drops, at_zero):
    """Hidden and cell states of the LSTM (gates i, f, g, o) or of the LSTM of 1997 (i, g, o: no forget gate, f = 1).

    i, f, o = sigmoid(z)    g = tanh(z)    c_t = f c_{t-1} + i g    h_t = o tanh(c_t)
    """
    inputs, gates, cell, squashed = layer.inputs, layer.gates, layer.cell, layer.squashed
    n_gates, _, hidden_size = weight.shape
    steps, rows = inputs.shape[0] - 1, inputs.shape[1]
    zero = weight.dtype.type(0)
    one = weight.dtype.type(1)
    for t in range(steps):
        gate_inputs(gates, t, inputs[t], weight, at_zero)
        at = _place_of_step(gates, t)
        # without a forget gate f is g by another name, and is not used
        i, f, g, o = gates[0, at], gates[1, at], gates[n_gates - 2, at], gates[n_gates - 1, at]
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

        s = squashed[at]
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
        mask_hidden_state(layer, t + 1, drops)


@inlined
def cell_state_backward(dc, dh, o, s, squash_output):
    """What dL/dh_t adds to dL/dc_t: dc += dh o (1 - s^2) with s = tanh(c_t), or dh o without output squashing."""
    if squash_output:
        for j in range(dc.size):
            dc[j] += tanh_backward(dh[j] * o[j], s[j])
    else:
        for j in range(dc.size):
            dc[j] += dh[j] * o[j]


@compiled
def lstm_backward(layer, weight_transposed, has_forget_gate, squash_output, drops, dh_external, dh, dc):
    """BPTT of `lstm_forward`; leaves dL/dz in `gates`, of which `recurrent_weight_gradient` makes the weights'.

    `dh_external` (T, R*H) is dL/dh_t from outside the cell; `dh`, `dc` (R*H,) are work space that ends as
    dL/dh_1 and dL/dc_0. With s = tanh(c_t):

        dz_o = dh s o (1 - o)        dc += dh o (1 - s^2)      dz_i = dc g i (1 - i)      dz_g = dc i (1 - g^2)
        dz_f = dc c_{t-1} f (1 - f)  dc_{t-1} = dc f           dh_{t-1} = sum over gates of dz W_h^T
    """
    gates, cell, squashed = layer.gates, layer.cell, layer.squashed
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
            hidden_gradient(view(dh, 0, (rows, hidden_size)), gates, o, t, weight_transposed)
            mask_gradient(dh, layer.mask, drops)


@compiled
def rnn_forward(layer, weight, lengths, units, is_logistic, drops, at_zero):
    """Hidden states of the Elman network: h_t = tanh([h_{t-1}, x_t, 1] W), or with the sigmoid in place of tanh.

    The hidden units from `units` on are padding and stay at 0, where the sigmoid would put them at 1/2.
    """
    inputs, gates = layer.inputs, layer.gates
    hidden_size = weight.shape[2]
    steps, rows = inputs.shape[0] - 1, inputs.shape[1]
    for t in range(steps):
        z = gates[0, _place_of_step(gates, t)]
        gate_inputs(gates, t, inputs[t], weight, at_zero)
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
        mask_hidden_state(layer, t + 1, drops)


@compiled
def rnn_backward(layer, weight_transposed, is_logistic, drops, dh_external, dh):
    """BPTT of `rnn_forward`; arguments as in `lstm_backward`.

    dz = dh (1 - h^2), with the sigmoid dz = dh h (1 - h)    dh_{t-1} = dz W_h^T
    """
    gates = layer.gates
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
            hidden_gradient(view(dh, 0, (rows, hidden_size)), gates, h, t, weight_transposed)
            mask_gradient(dh, layer.mask, drops)


@compiled
def gru_forward(layer, weight, lengths, x_row, drops, at_zero):
    """Hidden states of the GRU (Cho et al. 2014; gates r, z, n), in the form of Keras (`reset_after`) and PyTorch.

    With q = [h_{t-1}, 1] W_hn, and all but h_{t-1} of the candidate's inputs in p = [x_t, 1] W_xn:

    r, z = sigmoid([h_{t-1}, 1, x_t, 1] W)    n = tanh(p + r q)    h_t = (1 - z) n + z h_{t-1}
    """
    inputs, gates = layer.inputs, layer.gates
    hidden_size = weight.shape[2]
    steps, rows = inputs.shape[0] - 1, inputs.shape[1]
    zero, one = weight.dtype.type(0), weight.dtype.type(1)
    for t in range(steps):
        at = _place_of_step(gates, t)
        q = layer.squashed[at]
        gru_inputs(gates, q, t, inputs[t], weight, x_row, at_zero)
        reset, z, n = gates[0, at], gates[1, at], gates[2, at]
        sigmoid(reset)
        sigmoid(z)
        for j in range(n.size):
            n[j] = gru_candidate(n[j], reset[j], q[j])
        tanh(n)
        for r in range(rows):
            first = r * hidden_size
            if t >= lengths[r]:
                for j in range(first, first + hidden_size):
                    reset[j] = zero
                    z[j] = one
                    n[j] = zero
            h, h_before = inputs[t + 1, r], hidden_state(layer, t, r, drops)
            z_row, n_row = view(z, first, (hidden_size,)), view(n, first, (hidden_size,))
            for j in range(hidden_size):
                h[j] = gru_state(z_row[j], n_row[j], h_before[j])
        mask_hidden_state(layer, t + 1, drops)


@compiled
def gru_backward(layer, weight_transposed, drops, dh_external, dh, work):
    """BPTT of `gru_forward`; arguments as in `lstm_backward`, `work` (R*H,) is work space.

    Leaves dz_r, dz_z, dz_n in `gates` and dq in the place of q.

        dz_n = dh (1 - z) (1 - n^2)    dz_z = dh (h_{t-1} - n) z (1 - z)    dz_r = dz_n q r (1 - r)    dq = dz_n r
        dh_{t-1} = dh z + dz_r W_hr^T + dz_z W_hz^T + dq W_hn^T
    """
    gates = layer.gates
    hidden_size = weight_transposed.shape[1]
    steps, rows = gates.shape[1], dh.size // hidden_size
    one = dh.dtype.type(1)
    dh[:] = dh.dtype.type(0)
    for t in range(steps - 1, -1, -1):
        reset, z, n, q, external = gates[0, t], gates[1, t], gates[2, t], layer.squashed[t], dh_external[t]
        for j in range(dh.size):
            dh[j] += external[j]
        for j in range(dh.size):
            work[j] = tanh_backward(dh[j] * (one - z[j]), n[j])
        for r in range(rows):
            first = r * hidden_size
            dh_row, h_before = view(dh, first, (hidden_size,)), hidden_state(layer, t, r, drops)
            z_row, n_row = view(z, first, (hidden_size,)), view(n, first, (hidden_size,))
            for j in range(hidden_size):
                z_before = z_row[j]
                z_row[j] = sigmoid_backward(dh_row[j] * (h_before[j] - n_row[j]), z_before)
                dh_row[j] *= z_before
        for j in range(n.size):
            n[j] = work[j]
        for j in range(n.size):
            reset_before = reset[j]
            reset[j] = sigmoid_backward(work[j] * q[j], reset_before)
            q[j] = work[j] * reset_before
        if t > 0:
            hidden_gradient(view(work, 0, (rows, hidden_size)), gates, q, t, weight_transposed)
            mask_gradient(work, layer.mask, drops)
            for j in range(dh.size):
                dh[j] += work[j]


@inlined
def mask_gradient(dh, mask, drops):
    """dL/dh_{t-1} of the way through a mask of recurrent dropout."""
    if drops:
        for j in range(dh.size):
            dh[j] *= mask[j]


# These call no kernel a gate: the products are so small that four calls cost a tenth of the time.
@compiled
def gate_inputs(gates, t, step_inputs, weight, at_zero):
    """z = [h_{t-1}, x_t, 1] W of every gate; in the first step without h_0 if that is 0."""
    rows, n_gates, hidden_size = step_inputs.shape[0], weight.shape[0], weight.shape[2]
    zeros = hidden_size * at_zero * (t == 0)
    for k in range(n_gates):
        # to and fro: the matrices used last are still in the first-level cache, which does not hold all of them
        gate = k if t % 2 == 0 else n_gates - 1 - k
        z = view(gates[gate, _place_of_step(gates, t)], 0, (rows, hidden_size))
        product(z, step_inputs, weight[gate], CHUNK_ROWS, False, False, zeros)


@compiled
def gru_inputs(gates, q, t, step_inputs, weight, x_row, at_zero):
    """z of the gates r and z, p of the candidate in its place among the gates, and q; see `gate_inputs`."""
    rows, columns = step_inputs.shape
    input_rows, hidden_size = weight.shape[1:]
    at, zeros = _place_of_step(gates, t), hidden_size * at_zero * (t == 0)
    for k in range(4):
        out, first, last = gates[min(k, 2), at], 0, input_rows
        if k == 2:
            first = x_row
        elif k == 3:
            out, last = q, x_row
        z = view(out, 0, (rows, hidden_size))
        # `first` columns further on, and as far from row to row
        seen = view(view(step_inputs, 0, (step_inputs.size,)), first, (rows, columns))
        rows_seen = view(weight[min(k, 2)], first * hidden_size, (last - first, hidden_size))
        skipped = 0 if k == 2 or last == zeros else zeros  # q without a bias is the product of zeros
        product(z, seen, rows_seen, CHUNK_ROWS, False, False, skipped)


@compiled
def hidden_gradient(dh, gates, last, t, weight_transposed):
    """dh = sum over gates of dz W_h^T; weight_transposed (gates, H, H) holds the W_h^T.

    `last` (R*H,) is the last gate's dz, for the GRU's candidate sees h_{t-1} otherwise than x_t.
    """
    rows, hidden_size = dh.shape
    n_gates = weight_transposed.shape[0]
    for gate in range(n_gates):
        flat = last if gate == n_gates - 1 else gates[gate, t]
        product(
            dh, view(flat, 0, (rows, hidden_size)), weight_transposed[gate], CHUNK_ROWS, False, gate > 0, 0
        )


@compiled
def input_gradient(dx, gates, input_transposed):
    """dL/dx of every step = sum over gates of dz W_x^T; dx (T*R, F), input_transposed (gates, H, F) the W_x^T."""
    n_gates, hidden_size, _ = input_transposed.shape
    for gate in range(n_gates):
        dz = view(gates[gate], 0, (dx.shape[0], hidden_size))
        product(dx, dz, input_transposed[gate], CHUNK_ROWS, False, gate > 0, 0)


@compiled
def recurrent_weight_gradient(dweight, layer, x_row, has_reset_gate, chunk, accumulate, at_zero):
    """dW = sum over steps and a chunk's rows of [h_{t-1}, x_t, 1]^T dz: one product a gate, after the loop.

    Of the GRU's candidate: [x_t, 1]^T dz, and [h_{t-1}, 1]^T dq. If h_0 is 0, the first step adds nothing to the rows
    of h.
    """
    inputs, gates = layer.inputs, layer.gates
    input_rows, hidden_size = dweight.shape[1:]
    steps, rows, columns = gates.shape[1], inputs.shape[1], inputs.shape[2]
    shape, zeros = (steps * rows, hidden_size), hidden_size * at_zero
    strip = TILE_ROWS if hidden_size * dweight.itemsize >= _LONG_ROW else input_rows
    for k in range(gates.shape[0] + has_reset_gate):
        gate, first, last = min(k, gates.shape[0] - 1), 0, input_rows
        dz = view(gates[gate], 0, shape)
        if has_reset_gate and k == 2:
            first = x_row
        elif k == gates.shape[0]:
            dz, last = view(layer.squashed, 0, shape), x_row
        # rows of W that the first step's zeros meet, which leave it out, and the others
        for skipped in range(0, 2 * rows, rows):
            begin, end = (first, min(last, zeros)) if skipped else (max(first, zeros), last)
            for row in range(begin, end, strip):
                seen = view(inputs, row, (steps * rows, columns))
                out = view(dweight[gate], row * hidden_size, (min(strip, end - row), hidden_size))
                if steps > 1 or skipped == 0:
                    chunk_gradient(out, seen, dz, rows, chunk, accumulate, skipped)
                elif not accumulate:
                    flat = view(out, 0, (out.size,))
                    for j in range(flat.size):
                        flat[j] = flat.dtype.type(0)
