"""How much of a gradient reaches each step of the past: BPTT term by term, and products of state Jacobians.

Both walk back from the last step, through the top layer; what it sees of the layers below is taken as given. Lag
k = 0 ... T-1 is step T-k, whose gates are [T-1-k] and whose states are [T-k] in arrays shaped as in `cells`. All
arithmetic is float64.
"""

import math
from typing import NamedTuple

import numpy as np

from .buffers import CHUNK_ROWS
from .cells import cell_state_backward, hidden_gradient
from .chunk import (
    backward_chunks,
    chunk_loss,
    forward_chunks,
    layer_of,
    layer_transposed,
    load_chunk,
    transpose_weights,
)
from .compile import allocating, compiled, inlined
from .equations import sigmoid_backward, tanh_backward
from .matrix import multiply, multiply_add, transposed_multiply_add
from .simd import view

_TINY = float(np.finfo(np.float64).tiny)  # norms below it count as 0: their reciprocal is infinite


class Batch(NamedTuple):
    """The samples order[start:stop]."""

    order: np.ndarray
    start: int
    stop: int


class LossGradients(NamedTuple):
    """What `bptt_by_lag` writes, by lag."""

    norms_h: np.ndarray  # (N, T) |dL/dh_{T-k}|
    norms_c: (
        np.ndarray
    )  # (N, T) |dL/dc_{T-k}|, all ways from the state to the loss included; if the cell has a state c
    terms: (
        np.ndarray
    )  # (T, gates, H, H) the terms of dL/dW_hh = sum over t of h_{t-1}^T dL/dz_t, added up over samples


class JacobianNorms(NamedTuple):
    """What `jacobian_norms` writes, by lag: spectral norms of blocks of d(h, c)_T / d(h, c)_{T-k}."""

    hh: np.ndarray  # (N, T)
    cc: np.ndarray  # (N, T), if the cell has a state c


@allocating
def bptt_by_lag(plan, theta, data, batch, work, gradients):
    """The gradient of each sample's own loss, the mean over its targets, lag by lag.

    Parameters
    ----------
    plan : Plan
        Of a recurrent cell.
    theta : ndarray (P,) of float64
        The flat parameters.
    data : Data
        All samples have T steps.
    batch : Batch
    work : Workspace
    gradients : LossGradients
        The rows of `batch` are written; `terms` is added to.
    """
    hidden_size, steps, top = plan.widths[0], plan.steps, plan.layers.size - 1
    layer = layer_of(plan, work, top)
    dh, dc = view(work.dh, 0, (CHUNK_ROWS * hidden_size,)), view(work.dc, 0, (CHUNK_ROWS * hidden_size,))
    gates, dweights = np.empty(layer.gates.shape), np.zeros((1, theta.size))
    transpose_weights(plan, theta, work)
    weight_transposed, _ = layer_transposed(plan, work.transposed, top)
    for start in range(batch.start, batch.stop, CHUNK_ROWS):
        rows = min(CHUNK_ROWS, batch.stop - start)
        load_chunk(
            plan, work, data.x, data.lengths, batch.order, start, rows, np.int64(0), np.int64(0), np.uint64(0)
        )
        forward_chunks(plan, theta, work)
        chunk_loss(plan, work, data.y, batch.order, start, rows, np.int64(0), np.int64(0))
        gates[:] = layer.gates  # backward_chunks puts dL/dz in their place
        backward_chunks(
            plan, work, dweights, np.int64(0), np.int64(1), np.int64(1), 2.0 / plan.targets, np.bool_(False)
        )
        for j in range(dh.size):
            dh[j] = work.deltas[j]
        if plan.has_cell_state:
            dc[:] = 0.0
        for k in range(steps):
            t = steps - 1 - k
            if plan.has_cell_state:
                o = gates[plan.n_gates - 1, t]
                cell_state_backward(dc, dh, o, layer.squashed[t], plan.squash_output)
            for r in range(rows):
                gradients.norms_h[start + r, k] = _norm(view(dh, r * hidden_size, (hidden_size,)))
                if plan.has_cell_state:
                    gradients.norms_c[start + r, k] = _norm(view(dc, r * hidden_size, (hidden_size,)))
            last = layer.squashed[t] if plan.has_reset_gate else layer.gates[plan.n_gates - 1, t]
            for gate in range(plan.n_gates):
                dz = last if gate == plan.n_gates - 1 else layer.gates[gate, t]
                dz_rows = view(dz, 0, (CHUNK_ROWS, hidden_size))
                transposed_multiply_add(gradients.terms[k, gate], layer.inputs[t], dz_rows)
            if plan.has_forget_gate:
                f = gates[1, t]
                for j in range(dc.size):
                    dc[j] *= f[j]
            if plan.has_reset_gate:
                z = gates[1, t]
                hidden_gradient(
                    view(dc, 0, (CHUNK_ROWS, hidden_size)), layer.gates, last, t, weight_transposed
                )
                for j in range(dh.size):
                    dh[j] = dh[j] * z[j] + dc[j]
            else:
                hidden_gradient(
                    view(dh, 0, (CHUNK_ROWS, hidden_size)), layer.gates, last, t, weight_transposed
                )


@allocating
def jacobian_norms(plan, theta, data, batch, work, norms):
    """The spectral norms of the blocks (h, h) and (c, c) of d(h, c)_T / d(h, c)_{T-k}, h and c taken as independent.

    The rows of the product, [P_h, P_c], are carried back like gradients, those of h_T first, then those of c_T. With
    s = tanh(c_t)::

        D = P_c + P_h diag(o (1 - s^2))       P_c <- D diag(f)
        P_h <- P_h diag(s o (1 - o)) W_o^T
               + D [diag(g i (1 - i)) W_i^T + diag(c_{t-1} f (1 - f)) W_f^T + diag(i (1 - g^2)) W_g^T]

    in the RNN P_h <- P_h diag(1 - h^2) W^T, with the sigmoid P_h diag(h (1 - h)) W^T, and in the GRU::

        P_h <- P_h [diag(z) + diag((h_{t-1} - n) z (1 - z)) W_z^T
                    + diag((1 - z) (1 - n^2)) (diag(q r (1 - r)) W_r^T + diag(r) W_n^T)]

    Parameters
    ----------
    plan : Plan
        Of a recurrent cell.
    theta : ndarray (P,) of float64
        The flat parameters.
    data : Data
        All samples have T steps.
    batch : Batch
        Of CHUNK_ROWS samples at most.
    work : Workspace
    norms : JacobianNorms
        The rows of `batch` are written.
    """
    hidden_size, steps, top = plan.widths[0], plan.steps, plan.layers.size - 1
    layer = layer_of(plan, work, top)
    square = (hidden_size, hidden_size)
    height = 2 * hidden_size if plan.has_cell_state else hidden_size
    p_h, p_c = np.empty((height, hidden_size)), np.empty((height, hidden_size))
    d, next_h = np.empty((height, hidden_size)), np.empty((height, hidden_size))
    through_h, through_c, powers = np.empty(square), np.empty(square), np.empty((2, *square))
    transpose_weights(plan, theta, work)
    weight_transposed, _ = layer_transposed(plan, work.transposed, top)
    rows = batch.stop - batch.start
    load_chunk(
        plan,
        work,
        data.x,
        data.lengths,
        batch.order,
        batch.start,
        rows,
        np.int64(0),
        np.int64(0),
        np.uint64(0),
    )
    forward_chunks(plan, theta, work)
    for r in range(rows):
        sample = batch.start + r
        p_h[:] = 0.0
        p_c[:] = 0.0
        for j in range(plan.layers[top].units):
            p_h[j, j] = 1.0
            if plan.has_cell_state:
                p_c[hidden_size + j, j] = 1.0
        norms.hh[sample, 0] = 1.0
        if plan.has_cell_state:
            norms.cc[sample, 0] = 1.0
        for k in range(1, steps):
            t = steps - k
            if plan.has_cell_state:
                _lstm_jacobian(plan, layer, weight_transposed, t, r, through_h, through_c)
                _through_cell_state(plan, layer, t, r, p_h, p_c, d)
                multiply(next_h, d, through_c)
                multiply_add(next_h, p_h, through_h)
                norms.cc[sample, k] = spectral_norm(view(p_c, hidden_size * hidden_size, square), powers)
            elif plan.has_reset_gate:
                _gru_jacobian(layer, weight_transposed, t, r, through_h)
                multiply(next_h, p_h, through_h)
            else:
                h = view(layer.gates[0, t], r * hidden_size, (hidden_size,))
                for j in range(hidden_size):
                    slope = sigmoid_backward(1.0, h[j]) if plan.is_logistic else tanh_backward(1.0, h[j])
                    _scale_row(through_h, weight_transposed[0], j, slope)
                multiply(next_h, p_h, through_h)
            p_h, next_h = next_h, p_h
            norms.hh[sample, k] = spectral_norm(view(p_h, 0, square), powers)


@compiled
def _lstm_jacobian(plan, layer, weight_transposed, t, r, through_h, through_c):
    """How z depends on h_{t-1}: through_h = diag(dh/dz_o) W_o^T; through_c = sum over the others of diag(dc/dz) W^T."""
    hidden_size, n_gates = plan.widths[0], plan.n_gates
    first = r * hidden_size
    i = view(layer.gates[0, t], first, (hidden_size,))
    g = view(layer.gates[n_gates - 2, t], first, (hidden_size,))
    o = view(layer.gates[n_gates - 1, t], first, (hidden_size,))
    s = view(layer.squashed[t], first, (hidden_size,))
    for j in range(hidden_size):
        _scale_row(through_h, weight_transposed[n_gates - 1], j, sigmoid_backward(s[j], o[j]))
        _scale_row(through_c, weight_transposed[0], j, sigmoid_backward(g[j], i[j]))
        _add_scaled_row(through_c, weight_transposed[n_gates - 2], j, tanh_backward(i[j], g[j]))
    if plan.has_forget_gate:
        f = view(layer.gates[1, t], first, (hidden_size,))
        c_before = view(layer.cell[t], first, (hidden_size,))
        for j in range(hidden_size):
            _add_scaled_row(through_c, weight_transposed[1], j, sigmoid_backward(c_before[j], f[j]))


@compiled
def _gru_jacobian(layer, weight_transposed, t, r, through_h):
    """dh_t / dh_{t-1} of one row, transposed: see `jacobian_norms`."""
    hidden_size = weight_transposed.shape[1]
    first = r * hidden_size
    reset = view(layer.gates[0, t], first, (hidden_size,))
    z = view(layer.gates[1, t], first, (hidden_size,))
    n = view(layer.gates[2, t], first, (hidden_size,))
    q, h_before = view(layer.squashed[t], first, (hidden_size,)), layer.inputs[t, r]
    for j in range(hidden_size):
        candidate = tanh_backward(1.0 - z[j], n[j])
        _scale_row(through_h, weight_transposed[0], j, sigmoid_backward(candidate * q[j], reset[j]))
        _add_scaled_row(through_h, weight_transposed[1], j, sigmoid_backward(h_before[j] - n[j], z[j]))
        _add_scaled_row(through_h, weight_transposed[2], j, candidate * reset[j])
        through_h[j, j] += z[j]


@compiled
def _through_cell_state(plan, layer, t, r, p_h, p_c, d):
    """D = P_c + P_h diag(o (1 - s^2)), then P_c = D diag(f)."""
    hidden_size, n_gates = plan.widths[0], plan.n_gates
    first = r * hidden_size
    o = view(layer.gates[n_gates - 1, t], first, (hidden_size,))
    s = view(layer.squashed[t], first, (hidden_size,))
    f = view(
        layer.gates[1, t], first, (hidden_size,)
    )  # the candidate if there is no forget gate, and not used
    for row in range(d.shape[0]):
        c_row, d_row = p_c[row], d[row]
        for j in range(hidden_size):
            d_row[j] = c_row[j]
        cell_state_backward(d_row, p_h[row], o, s, plan.squash_output)
        if plan.has_forget_gate:
            for j in range(hidden_size):
                c_row[j] = d_row[j] * f[j]
        else:
            for j in range(hidden_size):
                c_row[j] = d_row[j]


@inlined
def _scale_row(out, a, row, factor):
    """Set a row of `out` to factor times that of `a`."""
    out_row, a_row = out[row], a[row]
    for j in range(a_row.size):
        out_row[j] = factor * a_row[j]


@inlined
def _add_scaled_row(out, a, row, factor):
    out_row, a_row = out[row], a[row]
    for j in range(a_row.size):
        out_row[j] += factor * a_row[j]


@allocating
def spectral_norm(a, powers):
    """The largest singular value of a square matrix, to rounding; `powers` (2, H, H) is work space.

    Let B = A^T A, with eigenvalues e_j >= 0. The trace of B^p is the sum of e_j^p, between max(e)^p and H max(e)^p, so
    its p-th root is off by a factor of H^(1/p) at most. Squaring n times gives p = 2^n. Every power is divided by its
    trace, and the logarithms of the traces are added up.
    """
    size = a.shape[0]
    power, squared = powers[0], powers[1]
    highest = squared[0]
    highest[:] = 0.0
    for row in range(size):
        a_row = a[row]
        for j in range(size):
            highest[j] = max(highest[j], abs(a_row[j]))
    scale = highest.max()
    if not _TINY <= scale < np.inf:
        return 0.0 if scale < _TINY else np.nan
    for row in range(size):  # the square of 1e-170 would be 0
        _scale_row(squared, a, row, 1.0 / scale)
    power[:] = 0.0
    transposed_multiply_add(power, squared, squared)
    weight, logarithm = 1.0, 0.0
    while True:
        trace = 0.0
        for j in range(size):
            trace += power[j, j]
        logarithm += weight * math.log(trace)
        is_one_eigenvalue = weight < 1.0 and trace > 1.0 - 1e-14
        if is_one_eigenvalue or weight < 1e-16:
            return scale * math.exp(0.5 * logarithm)
        for row in range(size):
            _scale_row(power, power, row, 1.0 / trace)
        multiply(squared, power, power)
        power, squared = squared, power
        weight *= 0.5


@compiled
def _norm(vector):
    """The Euclidean norm; scaled, because the square of 1e-170 would be 0."""
    scale = 0.0
    for j in range(vector.size):
        scale = max(scale, abs(vector[j]))
    if not _TINY <= scale < np.inf:
        return 0.0 if scale < _TINY else scale
    total = 0.0
    for j in range(vector.size):
        total += (vector[j] / scale) ** 2
    return scale * math.sqrt(total)
