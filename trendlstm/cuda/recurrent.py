"""The recurrent layer on the GPU: one chunk of R = 8 samples, all steps forward, then back (BPTT), by one block.

A block has 4 H threads. Thread (q, u), u the fastest, owns unit u's state in rows 2q and 2q + 1 of the chunk: it adds
up their pre-activations, applies the equations, and writes h to shared memory for the next step. In between, it
computes its part of the matrix products for all 8 rows. K = H + F + 1 rows of a gate's matrix (H + F without bias).

    inputs  shared (K.., R)       column [h_{t-1}, x_t, 1] of every row, rounded up to a multiple of four
    scratch shared                partial sums on their way from the threads that form them to those that add them
    trace   global (T, V, R, H)   what the backward pass needs: the gates, then c, tanh(c) (LSTM only) and h
    head    global (R, H)         h after every sample's own last step; in `deltas`, dL/dh there

Past a sample's end its gates are i = g = o = 0, f = 1, as in `kernels.cells`.

While they fit, the weights stay in registers (`make_register_layer`). Forward, thread (q, u) holds a quarter of the
rows of W and all gates of unit u: each number that it reads from shared memory serves four products, for shared
memory delivers one number a thread and cycle, and would otherwise be what the arithmetic waits for. Backward, thread
(a, b), b = 0 ... 15, holds W_h's rows 4a ... 4a + 3 and every 16th column from b, for the same reason.

Otherwise (`make_memory_layer`) thread (q, u) reads unit u's weights anew in every step.
"""

from typing import Any, NamedTuple

import numpy as np

from ..kernels.buffers import CELLS, CHUNK_ROWS
from ..kernels.equations import (
    cell_state,
    cell_state_1997,
    sigmoid_32,
    sigmoid_64,
    sigmoid_backward,
    tanh_32,
    tanh_64,
    tanh_backward,
)
from .shim import cuda, device, unsigned
from .tile import make_load, make_multiply_add, make_outer_product, make_store

QUARTERS = 4  # of the rows of W, and of a chunk's rows
OWN_ROWS = CHUNK_ROWS // QUARTERS
LARGEST_IN_REGISTERS = 64  # hidden units
PARTS = 16  # of the columns of W_h, in the backward product


class Spec(NamedTuple):
    """What a kernel is compiled for (hidden_size padded)."""

    cell: int
    features: int
    hidden_size: int
    bias: int
    squash_output: int
    itemsize: int

    @property
    def n_gates(self) -> int:
        """Matrices of weights, as in `kernels.buffers.Cell`."""
        return CELLS[self.cell].n_gates

    @property
    def has_cell_state(self) -> bool:
        """Whether there is a c beside h."""
        return CELLS[self.cell].has_cell_state

    @property
    def has_forget_gate(self) -> bool:
        """Otherwise f = 1."""
        return CELLS[self.cell].has_forget_gate

    @property
    def input_rows(self) -> int:
        """K."""
        return self.hidden_size + self.features + self.bias

    @property
    def threads(self) -> int:
        """Of a block."""
        return QUARTERS * self.hidden_size

    @property
    def values(self) -> int:
        """V, the numbers of a unit and step in the trace."""
        return self.n_gates + (3 if self.has_cell_state else 1)

    @property
    def in_registers(self) -> bool:
        """Whether the weights are kept in registers."""
        return self.hidden_size <= LARGEST_IN_REGISTERS and self.itemsize == 4

    @property
    def real(self) -> type:
        """The dtype."""
        return np.float32 if self.itemsize == 4 else np.float64


class Layer(NamedTuple):
    """The device functions of a recurrent layer, and the sizes of the arrays they work on."""

    forward: Any
    backward: Any
    input_size: int  # of `inputs` / R
    scratch_size: int
    dz_size: int


def _make_equations(spec: Spec) -> tuple[Any, Any]:
    """One unit's step forward, z and c_{t-1} to the values of the trace, and back, to dz and dL/dc_{t-1}."""
    real, n_gates, squash = spec.real, spec.n_gates, bool(spec.squash_output)
    has_forget_gate = spec.has_forget_gate
    sigmoid, tanh = (sigmoid_32, tanh_32) if spec.itemsize == 4 else (sigmoid_64, tanh_64)

    # real(): the simulator's numbers come back from the equations as Python's
    @device
    def rnn_forward(z, c_before, running, values):
        h = real(tanh(z[0])) if running else real(0)
        values[0] = h
        values[1] = h

    @device
    def rnn_backward(values, c_before, dh, dc, dz):
        dz[0] = tanh_backward(dh, values[0])
        return dc

    @device
    def lstm_forward(z, c_before, running, values):
        i, f = real(0), real(1)
        g, o = real(0), real(0)
        if running:
            i, g, o = real(sigmoid(z[0])), real(tanh(z[n_gates - 2])), real(sigmoid(z[n_gates - 1]))
            if has_forget_gate:
                f = real(sigmoid(z[1]))
        c = real(cell_state(f, c_before, i, g) if has_forget_gate else cell_state_1997(c_before, i, g))
        s = real(tanh(c)) if squash else c
        values[0] = i
        values[1] = f  # without a forget gate g's place
        values[n_gates - 2] = g
        values[n_gates - 1] = o
        values[n_gates] = c
        values[n_gates + 1] = s
        values[n_gates + 2] = o * s

    @device
    def lstm_backward(values, c_before, dh, dc, dz):
        i, f, g, o, s = (
            values[0],
            values[1],
            values[n_gates - 2],
            values[n_gates - 1],
            values[n_gates + 1],
        )
        dc += real(tanh_backward(dh * o, s)) if squash else dh * o
        dz[n_gates - 1] = sigmoid_backward(dh * s, o)
        dz[0] = sigmoid_backward(dc * g, i)
        dz[n_gates - 2] = tanh_backward(dc * i, g)
        if has_forget_gate:
            dz[1] = sigmoid_backward(dc * c_before, f)
            dc = dc * f
        return dc

    return (lstm_forward, lstm_backward) if spec.has_cell_state else (rnn_forward, rnn_backward)


class _Steps(NamedTuple):
    """One of a thread's own rows, i = 0 or 1, in one step; called twice, for in a loop i would not be a constant."""

    forward: Any
    backward: Any


def _make_steps(spec: Spec, keep: bool) -> _Steps:
    real, n_gates, hidden, rows, n_values = spec.real, spec.n_gates, spec.hidden_size, CHUNK_ROWS, spec.values
    has_cell_state = spec.has_cell_state
    cell_forward, cell_backward = _make_equations(spec)

    @device
    def step_forward(i, z, t, lengths, trace, head, inputs, values, cell):
        """From the pre-activations z to the trace, the next step's h, and the head's input."""
        tid = unsigned(cuda.threadIdx.x)
        r, unit = OWN_ROWS * (tid // hidden) + i, tid % hidden
        cell_forward(z, cell[i], t < lengths[r], values)
        if has_cell_state:
            cell[i] = values[n_gates]
        if keep:
            at = unsigned((t * n_values * rows + r) * hidden + unit)
            for j in range(n_values):
                trace[at + j * rows * hidden] = values[j]
        inputs[unit * rows + r] = values[n_values - 1]
        if t + 1 == lengths[r]:
            head[r * hidden + unit] = values[n_values - 1]

    @device
    def step_backward(i, t, lengths, trace, deltas, dz, values, dh, dc):
        """From dL/dh_t, and what dc brings from the step after, to dz; returns h_{t-1}."""
        tid = unsigned(cuda.threadIdx.x)
        r, unit = OWN_ROWS * (tid // hidden) + i, tid % hidden
        if t + 1 == lengths[r]:
            dh[i] += deltas[r * hidden + unit]
        at = unsigned((t * n_values * rows + r) * hidden + unit)
        for j in range(n_values):
            values[j] = trace[at + j * rows * hidden]
        h_before, c_before = real(0), real(0)
        if t > 0:
            before = unsigned(at - n_values * rows * hidden)
            h_before = trace[before + (n_values - 1) * rows * hidden]
            if has_cell_state:
                c_before = trace[before + n_gates * rows * hidden]
        dc[i] = cell_backward(values, c_before, dh[i], dc[i], dz)
        return h_before

    return _Steps(step_forward, step_backward)


def make_register_layer(spec: Spec, keep: bool) -> Layer:
    """The layer with its weights in registers; without `keep` nothing is left for the backward pass."""
    real, n_gates, hidden, features = spec.real, spec.n_gates, spec.hidden_size, spec.features
    rows, threads, n_values, input_rows = CHUNK_ROWS, spec.threads, spec.values, spec.input_rows
    share = -(-input_rows // QUARTERS)  # rows of W a thread
    columns = n_gates * hidden
    own_columns = columns // PARTS
    # the sizes of arrays must be plain names for the compiler
    gradient_size, gate_rows = share * n_gates, n_gates * rows
    weights_backward, sums_backward = own_columns * 4, 4 * rows
    padded = PARTS + 1  # so that neighbouring threads read from different banks of shared memory
    x_share = -(-features * rows // threads)
    step_forward, step_backward = _make_steps(spec, keep)

    row_offsets = [(g * input_rows + k) * hidden for k in range(share) for g in range(n_gates)]
    certain = (input_rows - (QUARTERS - 1) * share) * n_gates  # the last quarter may be shorter
    load_rows, store_rows = make_load(row_offsets, certain), make_store(row_offsets, certain)
    load_columns = make_load(
        [
            (c * PARTS // hidden * input_rows + n) * hidden + c * PARTS % hidden
            for c in range(own_columns)
            for n in range(4)
        ],
        weights_backward,
    )
    add_products = make_multiply_add(share, n_gates, rows, 4)
    add_gradients = make_outer_product(share, n_gates, rows, hidden * 4, columns * 4)
    add_backward_products = make_multiply_add(own_columns, 4, PARTS * 4, columns * 4)

    @device
    def add_parts(i, scratch, z):
        tid = unsigned(cuda.threadIdx.x)
        r, unit = OWN_ROWS * (tid // hidden) + i, tid % hidden
        for g in range(n_gates):
            z[g] = scratch[(g * rows + r) * hidden + unit]
            for part in range(1, QUARTERS):
                z[g] += scratch[((part * n_gates + g) * rows + r) * hidden + unit]

    @device
    def share_results(i, h_before, dz, inputs, dz_shared):
        tid = unsigned(cuda.threadIdx.x)
        quarter, unit = tid // hidden, tid % hidden
        inputs[unit * rows + OWN_ROWS * quarter + i] = h_before
        for g in range(n_gates):
            dz_shared[((quarter // 2) * columns + g * hidden + unit) * 4 + quarter % 2 * 2 + i] = dz[g]

    @device
    def forward(theta, x, samples, lengths, steps, trace, head, inputs, scratch):
        tid = unsigned(cuda.threadIdx.x)
        quarter, unit = tid // hidden, tid % hidden
        first = quarter * share
        weight = cuda.local.array(gradient_size, real)
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
            sample = samples[unsigned(e) % rows]
            inputs[hidden * rows + unsigned(e)] = x[sample + unsigned(e) // rows] if sample >= 0 else real(0)
        cuda.syncthreads()
        for t in range(steps):
            for i in range(x_share):  # asked for now, needed after the products
                e = tid + i * threads
                x_next[i] = real(0)
                if e < features * rows and t + 1 < steps:
                    sample = samples[e % rows]
                    if sample >= 0:
                        x_next[i] = x[sample + (t + 1) * features + e // rows]
            for e in range(n_gates * rows):
                sums[e] = real(0)
            add_products(sums, weight, inputs, first * rows)
            for e in range(n_gates * rows):
                scratch[(quarter * n_gates * rows + e) * hidden + unit] = sums[e]
            cuda.syncthreads()
            add_parts(0, scratch, z)
            step_forward(0, z, t, lengths, trace, head, inputs, values, cell)
            add_parts(1, scratch, z)
            step_forward(1, z, t, lengths, trace, head, inputs, values, cell)
            for i in range(x_share):
                e = tid + i * threads
                if e < features * rows:
                    inputs[hidden * rows + e] = x_next[i]
            cuda.syncthreads()

    @device
    def backward(theta, x, samples, lengths, steps, trace, deltas, inputs, scratch, dz_shared, total):
        tid = unsigned(cuda.threadIdx.x)
        quarter, unit = tid // hidden, tid % hidden
        first = quarter * share
        group, part = tid // PARTS, tid % PARTS
        weight = cuda.local.array(weights_backward, real)
        load_columns(weight, theta, 4 * group * hidden + part, weights_backward)
        gradient = cuda.local.array(gradient_size, real)
        load_rows(gradient, total, first * hidden + unit, (input_rows - first) * n_gates)
        sums = cuda.local.array(sums_backward, real)
        dz = cuda.local.array(n_gates, real)
        values = cuda.local.array(n_values, real)
        dh = cuda.local.array(OWN_ROWS, real)
        dc = cuda.local.array(OWN_ROWS, real)
        for i in range(OWN_ROWS):
            dh[i] = real(0)
            dc[i] = real(0)
        for t in range(steps - 1, -1, -1):
            h_before = step_backward(0, t, lengths, trace, deltas, dz, values, dh, dc)
            share_results(0, h_before, dz, inputs, dz_shared)
            h_before = step_backward(1, t, lengths, trace, deltas, dz, values, dh, dc)
            share_results(1, h_before, dz, inputs, dz_shared)
            for e in range(tid, features * rows, threads):
                sample = samples[unsigned(e) % rows]
                inputs[hidden * rows + unsigned(e)] = (
                    x[sample + t * features + unsigned(e) // rows] if sample >= 0 else real(0)
                )
            cuda.syncthreads()
            add_gradients(gradient, inputs, first * rows, dz_shared, unit * 4)
            if t > 0:
                for e in range(4 * rows):
                    sums[e] = real(0)
                add_backward_products(sums, weight, dz_shared, part * 4)
                for n in range(4):
                    for r in range(rows):
                        scratch[(r * hidden + 4 * group + n) * padded + part] = sums[n * rows + r]
                cuda.syncthreads()
                for i in range(OWN_ROWS):
                    start = ((OWN_ROWS * quarter + i) * hidden + unit) * padded
                    dh[i] = scratch[start]
                    for p in range(1, PARTS):
                        dh[i] += scratch[start + p]
        store_rows(gradient, total, first * hidden + unit, (input_rows - first) * n_gates)
        cuda.syncthreads()

    return Layer(
        forward,
        backward,
        input_size=QUARTERS * share,
        scratch_size=max(QUARTERS * n_gates * rows * hidden, rows * hidden * padded),
        dz_size=rows * columns,
    )


def make_memory_layer(spec: Spec, keep: bool) -> Layer:
    """The same with its weights in global memory, slower, for any H; dz takes the gates' place in the trace."""
    real, n_gates, hidden, features = spec.real, spec.n_gates, spec.hidden_size, spec.features
    rows, threads, n_values, input_rows = CHUNK_ROWS, spec.threads, spec.values, spec.input_rows
    bias_row = hidden + features
    step_forward, step_backward = _make_steps(spec, keep)

    @device
    def load_x(x, samples, t, inputs):
        for e in range(unsigned(cuda.threadIdx.x), features * rows, threads):
            sample = samples[e % rows]
            inputs[hidden * rows + e] = x[sample + t * features + e // rows] if sample >= 0 else real(0)

    @device
    def forward(theta, x, samples, lengths, steps, trace, head, inputs, scratch):
        tid = unsigned(cuda.threadIdx.x)
        unit, row = tid % hidden, OWN_ROWS * (tid // hidden)
        z = cuda.local.array(n_gates, real)
        z_next = cuda.local.array(n_gates, real)
        values = cuda.local.array(n_values, real)
        cell = cuda.local.array(OWN_ROWS, real)
        for i in range(OWN_ROWS):
            cell[i] = real(0)
            inputs[unit * rows + row + i] = real(0)
        load_x(x, samples, 0, inputs)
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
            step_forward(0, z, t, lengths, trace, head, inputs, values, cell)
            step_forward(1, z_next, t, lengths, trace, head, inputs, values, cell)
            if t + 1 < steps:
                load_x(x, samples, t + 1, inputs)
            cuda.syncthreads()

    @device
    def backward(theta, x, samples, lengths, steps, trace, deltas, inputs, scratch, dz_shared, total):
        tid = unsigned(cuda.threadIdx.x)
        unit, row = tid % hidden, OWN_ROWS * (tid // hidden)
        dz = cuda.local.array(n_gates, real)
        values = cuda.local.array(n_values, real)
        dh = cuda.local.array(OWN_ROWS, real)
        dc = cuda.local.array(OWN_ROWS, real)
        for i in range(OWN_ROWS):
            dh[i] = real(0)
            dc[i] = real(0)
        for t in range(steps - 1, -1, -1):
            start = unsigned(t * n_values * rows * hidden)
            step_backward(0, t, lengths, trace, deltas, dz, values, dh, dc)
            for g in range(n_gates):
                trace[start + (g * rows + row) * hidden + unit] = dz[g]
            step_backward(1, t, lengths, trace, deltas, dz, values, dh, dc)
            for g in range(n_gates):
                trace[start + (g * rows + row + 1) * hidden + unit] = dz[g]
            cuda.syncthreads()
            if t > 0:
                first, second = real(0), real(0)
                for g in range(n_gates):
                    for column in range(hidden):
                        weight = theta[(g * input_rows + unit) * hidden + column]
                        at = start + (g * rows + row) * hidden + column
                        first += weight * trace[at]
                        second += weight * trace[at + hidden]
                dh[0], dh[1] = first, second
        for e in range(tid, n_gates * input_rows * hidden, threads):
            gate, k, column = e // (input_rows * hidden), e // hidden % input_rows, e % hidden
            value_sum = total[e]
            for t in range(steps):
                at = unsigned((t * n_values + gate) * rows * hidden + column)
                for r in range(rows):
                    value = real(1)
                    if k < hidden:
                        value = real(0)
                        if t > 0:
                            value = trace[
                                unsigned((((t - 1) * n_values + n_values - 1) * rows + r) * hidden + k)
                            ]
                    elif k < bias_row:
                        value = real(0)
                        if samples[r] >= 0:
                            value = x[samples[r] + t * features + k - hidden]
                    value_sum += value * trace[at + r * hidden]
            total[e] = value_sum
        cuda.syncthreads()

    return Layer(
        forward,
        backward,
        input_size=input_rows,
        scratch_size=1,
        dz_size=1,
    )
