"""The recurrent layer with its weights in registers: see `recurrent`.

Forward, thread (q, u) holds a quarter of the rows of W and all gates of unit u: each number that it reads from shared
memory serves four products, because shared memory delivers one number a thread and cycle. Otherwise the arithmetic
would wait for it. Backward, thread (a, b), b = 0 ... 15, holds W_h's rows 4a ... 4a + 3 and every 16th column from b,
for the same reason.
"""

from typing import Any, NamedTuple

from ..kernels.buffers import CHUNK_ROWS
from .buffers import OWN_ROWS, QUARTERS, Spec
from .cells import make_read_x, make_steps
from .compile import cuda, inlined, unsigned
from .matrix import VECTOR, make_load, make_multiply_add, make_outer_product, make_store

PARTS = 16  # of the columns of W_h, in the backward product
PADDED = PARTS + 1  # so that neighbouring threads read from different banks of shared memory


class Shares(NamedTuple):
    """What a thread holds of W."""

    rows: int  # forward, of all gates of one unit
    certain: int  # numbers of these that every thread has: the last quarter of the rows may be shorter
    offsets: list[int]  # where in theta they lie, from the first of them
    columns: int  # of all gates of W_h
    own_columns: int  # of these, backward


def make_shares(spec: Spec) -> Shares:
    """How W is shared out."""
    hidden, n_gates, input_rows = spec.hidden_size, spec.n_gates, spec.input_rows
    rows = -(-input_rows // QUARTERS)
    return Shares(
        rows,
        certain=(input_rows - (QUARTERS - 1) * rows) * n_gates,
        offsets=[(g * input_rows + k) * hidden for k in range(rows) for g in range(n_gates)],
        columns=n_gates * hidden,
        own_columns=n_gates * hidden // PARTS,
    )


def make_forward(spec: Spec, shares: Shares, keep: bool) -> Any:
    """`Layer.forward`."""
    real, n_gates, hidden, features = spec.real, spec.n_gates, spec.hidden_size, spec.features
    rows, threads, n_values, input_rows = CHUNK_ROWS, spec.threads, spec.values, spec.input_rows
    share = shares.rows
    # the sizes of arrays must be plain names for the compiler
    weight_size, gate_rows = share * n_gates, n_gates * rows
    x_share = -(-features * rows // threads)
    step_forward, _ = make_steps(spec, keep)
    read_x, add_parts = make_read_x(spec), _make_add_parts(spec)
    load_rows = make_load(shares.offsets, shares.certain)
    add_products = make_multiply_add(share, n_gates, rows, VECTOR)

    @inlined
    def forward(theta, x, chunk, steps, work, shared):
        inputs, scratch = shared.inputs, shared.scratch
        tid = unsigned(cuda.threadIdx.x)
        quarter, unit = tid // hidden, tid % hidden
        first = quarter * share
        weight = cuda.local.array(weight_size, real)
        load_rows(weight, theta, first * hidden + unit, (input_rows - first) * n_gates)
        sums = cuda.local.array(gate_rows, real)
        z = cuda.local.array(n_gates, real)
        values = cuda.local.array(n_values, real)
        cell = cuda.local.array(OWN_ROWS, real)
        x_next = cuda.local.array(x_share, real)
        for i in range(OWN_ROWS):
            cell[i] = real(0)
            inputs[unit * rows + OWN_ROWS * quarter + i] = real(0)
        for e in range(tid, features * rows, threads):
            feature, r = unsigned(e) // rows, unsigned(e) % rows
            inputs[hidden * rows + unsigned(e)] = read_x(x, chunk.starts, 0, feature, r)
        cuda.syncthreads()
        for t in range(steps):
            for i in range(x_share):  # asked for now, needed after the products
                e = tid + i * threads
                x_next[i] = real(0)
                if e < features * rows and t + 1 < steps:
                    x_next[i] = read_x(x, chunk.starts, t + 1, e // rows, e % rows)
            for e in range(gate_rows):
                sums[e] = real(0)
            add_products(sums, weight, inputs, first * rows)
            for e in range(gate_rows):
                scratch[(quarter * gate_rows + e) * hidden + unit] = sums[e]
            cuda.syncthreads()
            # twice, because in a loop the row would not be a constant
            add_parts(0, scratch, z)
            step_forward(0, t, z, values, cell, chunk.lengths, inputs, work)
            add_parts(1, scratch, z)
            step_forward(1, t, z, values, cell, chunk.lengths, inputs, work)
            for i in range(x_share):
                e = tid + i * threads
                if e < features * rows:
                    inputs[hidden * rows + e] = x_next[i]
            cuda.syncthreads()

    return forward


def _make_add_parts(spec: Spec) -> Any:
    n_gates, hidden = spec.n_gates, spec.hidden_size

    @inlined
    def add_parts(i, scratch, z):
        """Let z be the sums of the quarters' products, for one of a thread's own rows."""
        tid = unsigned(cuda.threadIdx.x)
        r, unit = OWN_ROWS * (tid // hidden) + i, tid % hidden
        for g in range(n_gates):
            z[g] = scratch[(g * CHUNK_ROWS + r) * hidden + unit]
            for part in range(1, QUARTERS):
                z[g] += scratch[((part * n_gates + g) * CHUNK_ROWS + r) * hidden + unit]

    return add_parts


def make_backward(spec: Spec, shares: Shares) -> Any:
    """`Layer.backward`."""
    real, n_gates, hidden, features = spec.real, spec.n_gates, spec.hidden_size, spec.features
    rows, threads, n_values, input_rows = CHUNK_ROWS, spec.threads, spec.values, spec.input_rows
    share = shares.rows
    # the sizes of arrays must be plain names for the compiler
    gradient_size, weights_backward = share * n_gates, shares.own_columns * VECTOR
    _, step_backward = make_steps(spec, keep=True)
    read_x, share_results = make_read_x(spec), _make_share_results(spec, shares)
    add_products = _make_backward_products(spec, shares)
    load_rows, store_rows = (make(shares.offsets, shares.certain) for make in (make_load, make_store))
    load_columns = make_load(_column_offsets(spec, shares), weights_backward)
    add_gradients = make_outer_product(share, n_gates, rows, hidden * VECTOR, shares.columns * VECTOR)

    @inlined
    def backward(theta, x, chunk, steps, work, shared, total):
        inputs, dz_shared = shared.inputs, shared.dz
        tid = unsigned(cuda.threadIdx.x)
        quarter, unit = tid // hidden, tid % hidden
        first = quarter * share
        weight = cuda.local.array(weights_backward, real)
        load_columns(weight, theta, VECTOR * (tid // PARTS) * hidden + tid % PARTS, weights_backward)
        gradient = cuda.local.array(gradient_size, real)
        load_rows(gradient, total, first * hidden + unit, (input_rows - first) * n_gates)
        dz = cuda.local.array(n_gates, real)
        values = cuda.local.array(n_values, real)
        dh = cuda.local.array(OWN_ROWS, real)
        dc = cuda.local.array(OWN_ROWS, real)
        for i in range(OWN_ROWS):
            dh[i] = real(0)
            dc[i] = real(0)
        for t in range(steps - 1, -1, -1):
            # twice, because in a loop the row would not be a constant
            h_before = step_backward(0, t, values, dh, dc, dz, chunk.lengths, work)
            share_results(0, h_before, dz, inputs, dz_shared)
            h_before = step_backward(1, t, values, dh, dc, dz, chunk.lengths, work)
            share_results(1, h_before, dz, inputs, dz_shared)
            for e in range(tid, features * rows, threads):
                feature, r = unsigned(e) // rows, unsigned(e) % rows
                inputs[hidden * rows + unsigned(e)] = read_x(x, chunk.starts, t, feature, r)
            cuda.syncthreads()
            add_gradients(gradient, inputs, first * rows, dz_shared, unit * VECTOR)
            if t > 0:
                add_products(weight, dz_shared, shared.scratch, dh)
        store_rows(gradient, total, first * hidden + unit, (input_rows - first) * n_gates)
        cuda.syncthreads()

    return backward


def _column_offsets(spec: Spec, shares: Shares) -> list[int]:
    """Where in theta a thread's part of W_h lies, from its first number, in the backward pass."""
    hidden = spec.hidden_size
    gates_and_columns = [divmod(c * PARTS, hidden) for c in range(shares.own_columns)]
    return [
        (gate * spec.input_rows + n) * hidden + column
        for gate, column in gates_and_columns
        for n in range(VECTOR)
    ]


def _make_share_results(spec: Spec, shares: Shares) -> Any:
    n_gates, hidden, columns = spec.n_gates, spec.hidden_size, shares.columns

    @inlined
    def share_results(i, h_before, dz, inputs, dz_shared):
        """Put h_{t-1} and dz of one of a thread's own rows where the other threads read them."""
        tid = unsigned(cuda.threadIdx.x)
        quarter, unit = tid // hidden, tid % hidden
        inputs[unit * CHUNK_ROWS + OWN_ROWS * quarter + i] = h_before
        for g in range(n_gates):
            column = (quarter // 2) * columns + g * hidden + unit
            dz_shared[column * VECTOR + quarter % 2 * OWN_ROWS + i] = dz[g]

    return share_results


def _make_backward_products(spec: Spec, shares: Shares) -> Any:
    real, hidden, rows = spec.real, spec.hidden_size, CHUNK_ROWS
    sums_size = VECTOR * rows
    multiply_add = make_multiply_add(shares.own_columns, VECTOR, PARTS * VECTOR, shares.columns * VECTOR)

    @inlined
    def add_products(weight, dz_shared, scratch, dh):
        """dL/dh_{t-1} = dz W_h^T, of a thread's own rows."""
        tid = unsigned(cuda.threadIdx.x)
        quarter, unit = tid // hidden, tid % hidden
        group, part = tid // PARTS, tid % PARTS
        sums = cuda.local.array(sums_size, real)
        for e in range(sums_size):
            sums[e] = real(0)
        multiply_add(sums, weight, dz_shared, part * VECTOR)
        for n in range(VECTOR):
            for r in range(rows):
                scratch[(r * hidden + VECTOR * group + n) * PADDED + part] = sums[n * rows + r]
        cuda.syncthreads()
        for i in range(OWN_ROWS):
            start = ((OWN_ROWS * quarter + i) * hidden + unit) * PADDED
            dh[i] = scratch[start]
            for p in range(1, PARTS):
                dh[i] += scratch[start + p]

    return add_products
