"""The recurrent layer with its weights in global memory, for any H, slower than in registers: see `recurrent`.

Thread (q, u) reads the weights of unit u anew in every step. In the trace, dz takes the gates' place.
"""

from typing import Any

from ..kernels.buffers import CHUNK_ROWS
from .buffers import OWN_ROWS, Spec
from .cells import make_read_x, make_steps
from .compile import cuda, inlined, unsigned


def make_forward(spec: Spec, keep: bool) -> Any:
    """`Layer.forward`."""
    real, n_gates, hidden, features = spec.real, spec.n_gates, spec.hidden_size, spec.features
    rows, threads, n_values, input_rows = CHUNK_ROWS, spec.threads, spec.values, spec.input_rows
    step_forward, _ = make_steps(spec, keep)
    read_x = make_read_x(spec)

    @inlined
    def load_x(x, starts, t, inputs):
        for e in range(unsigned(cuda.threadIdx.x), features * rows, threads):
            inputs[hidden * rows + e] = read_x(x, starts, t, e // rows, e % rows)

    @inlined
    def forward(theta, x, chunk, steps, work, shared):
        inputs = shared.inputs
        tid = unsigned(cuda.threadIdx.x)
        unit, row = tid % hidden, OWN_ROWS * (tid // hidden)
        z = cuda.local.array(n_gates, real)
        z_next = cuda.local.array(n_gates, real)
        values = cuda.local.array(n_values, real)
        cell = cuda.local.array(OWN_ROWS, real)
        for i in range(OWN_ROWS):
            cell[i] = real(0)
            inputs[unit * rows + row + i] = real(0)
        load_x(x, chunk.starts, 0, inputs)
        cuda.syncthreads()
        for t in range(steps):
            for g in range(n_gates):
                z[g] = real(0)
                z_next[g] = real(0)
            for k in range(input_rows):
                value, value_next = inputs[k * rows + row], inputs[k * rows + row + 1]
                for g in range(n_gates):
                    weight = theta[(g * input_rows + k) * hidden + unit]
                    z[g] += weight * value
                    z_next[g] += weight * value_next
            cuda.syncthreads()
            step_forward(0, t, z, values, cell, chunk.lengths, inputs, work)
            step_forward(1, t, z_next, values, cell, chunk.lengths, inputs, work)
            if t + 1 < steps:
                load_x(x, chunk.starts, t + 1, inputs)
            cuda.syncthreads()

    return forward


def make_backward(spec: Spec) -> Any:
    """`Layer.backward`."""
    real, n_gates, hidden, rows, n_values = spec.real, spec.n_gates, spec.hidden_size, CHUNK_ROWS, spec.values
    _, step_backward = make_steps(spec, keep=True)
    add_products, add_gradients = _make_backward_products(spec), _make_add_gradients(spec)

    @inlined
    def share_results(i, start, dz, trace):
        tid = unsigned(cuda.threadIdx.x)
        unit, row = tid % hidden, OWN_ROWS * (tid // hidden)
        for g in range(n_gates):
            trace[start + (g * rows + row + i) * hidden + unit] = dz[g]

    @inlined
    def backward(theta, x, chunk, steps, work, shared, total):
        dz = cuda.local.array(n_gates, real)
        values = cuda.local.array(n_values, real)
        dh = cuda.local.array(OWN_ROWS, real)
        dc = cuda.local.array(OWN_ROWS, real)
        for i in range(OWN_ROWS):
            dh[i] = real(0)
            dc[i] = real(0)
        for t in range(steps - 1, -1, -1):
            start = unsigned(t * n_values * rows * hidden)
            step_backward(0, t, values, dh, dc, dz, chunk.lengths, work)
            share_results(0, start, dz, work.trace)
            step_backward(1, t, values, dh, dc, dz, chunk.lengths, work)
            share_results(1, start, dz, work.trace)
            cuda.syncthreads()
            if t > 0:
                add_products(theta, start, work.trace, dh)
        add_gradients(x, chunk.starts, steps, work.trace, total)
        cuda.syncthreads()

    return backward


def _make_backward_products(spec: Spec) -> Any:
    real, n_gates, hidden, input_rows = spec.real, spec.n_gates, spec.hidden_size, spec.input_rows

    @inlined
    def add_products(theta, start, trace, dh):
        """dL/dh_{t-1} = dz W_h^T, of a thread's own rows; the step's dz begin at `start`."""
        tid = unsigned(cuda.threadIdx.x)
        unit, row = tid % hidden, OWN_ROWS * (tid // hidden)
        first, second = real(0), real(0)
        for g in range(n_gates):
            for column in range(hidden):
                weight = theta[(g * input_rows + unit) * hidden + column]
                at = start + (g * CHUNK_ROWS + row) * hidden + column
                first += weight * trace[at]
                second += weight * trace[at + hidden]
        dh[0], dh[1] = first, second

    return add_products


def _make_add_gradients(spec: Spec) -> Any:
    real, n_gates, hidden, features = spec.real, spec.n_gates, spec.hidden_size, spec.features
    rows, threads, n_values, input_rows = CHUNK_ROWS, spec.threads, spec.values, spec.input_rows
    read_x = make_read_x(spec)

    @inlined
    def read_input(x, starts, trace, t, k, r):
        """Number k of [h_{t-1}, x_t, 1] in row r."""
        value = real(1)
        if k < hidden:
            value = real(0)
            if t > 0:
                before = (t - 1) * n_values + n_values - 1
                value = trace[unsigned((before * rows + r) * hidden + k)]
        elif k < hidden + features:
            value = read_x(x, starts, t, k - hidden, r)
        return value

    @inlined
    def add_gradients(x, starts, steps, trace, total):
        """dW += sum over steps and rows of [h_{t-1}, x_t, 1]^T dz."""
        for e in range(unsigned(cuda.threadIdx.x), n_gates * input_rows * hidden, threads):
            gate, k, column = e // (input_rows * hidden), e // hidden % input_rows, e % hidden
            value_sum = total[e]
            for t in range(steps):
                at = unsigned((t * n_values + gate) * rows * hidden + column)
                for r in range(rows):
                    value_sum += read_input(x, starts, trace, t, k, r) * trace[at + r * hidden]
            total[e] = value_sum

    return add_gradients
