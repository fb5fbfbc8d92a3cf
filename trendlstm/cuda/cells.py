"""One step of one unit in one row of a chunk, as in `kernels.cells`: the equations, and where their values lie.

A step's values of a unit, in the trace: the gates; then, if the cell has a state, c and tanh(c) (c without output
squashing); then h. Past a sample's end the gates are i = g = o = 0, f = 1, so that h is 0.
"""

from typing import Any, NamedTuple

from ..kernels.buffers import CHUNK_ROWS
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
from .buffers import OWN_ROWS, Spec
from .compile import cuda, inlined, unsigned


def _make_equations(spec: Spec) -> tuple[Any, Any]:
    """One unit's step forward, z and c_{t-1} to the values of the trace, and back, to dz and dL/dc_{t-1}."""
    real, n_gates, squash = spec.real, spec.n_gates, bool(spec.squash_output)
    has_forget_gate = spec.has_forget_gate
    sigmoid, tanh = (sigmoid_32, tanh_32) if spec.itemsize == 4 else (sigmoid_64, tanh_64)

    # real(): the simulator's numbers come back from the equations as Python's
    @inlined
    def rnn_forward(z, c_before, running, values):
        h = real(tanh(z[0])) if running else real(0)
        values[0] = h
        values[1] = h

    @inlined
    def rnn_backward(values, c_before, dh, dc, dz):
        dz[0] = tanh_backward(dh, values[0])
        return dc

    @inlined
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
        values[1] = f  # without a forget gate the place of g, which comes next
        values[n_gates - 2] = g
        values[n_gates - 1] = o
        values[n_gates] = c
        values[n_gates + 1] = s
        values[n_gates + 2] = o * s

    @inlined
    def lstm_backward(values, c_before, dh, dc, dz):
        i, f, g, o = values[0], values[1], values[n_gates - 2], values[n_gates - 1]
        s = values[n_gates + 1]
        dc += real(tanh_backward(dh * o, s)) if squash else dh * o
        dz[n_gates - 1] = sigmoid_backward(dh * s, o)
        dz[0] = sigmoid_backward(dc * g, i)
        dz[n_gates - 2] = tanh_backward(dc * i, g)
        if has_forget_gate:
            dz[1] = sigmoid_backward(dc * c_before, f)
            dc = dc * f
        return dc

    return (lstm_forward, lstm_backward) if spec.has_cell_state else (rnn_forward, rnn_backward)


class Steps(NamedTuple):
    """One step of one of a thread's own rows, i = 0 or 1."""

    forward: Any
    backward: Any


def make_steps(spec: Spec, keep: bool) -> Steps:
    """The functions of one step; without `keep` the trace is not written."""
    real, n_gates, hidden, rows, n_values = spec.real, spec.n_gates, spec.hidden_size, CHUNK_ROWS, spec.values
    has_cell_state = spec.has_cell_state
    cell_forward, cell_backward = _make_equations(spec)

    @inlined
    def step_forward(i, t, z, values, cell, lengths, inputs, work):
        """From the pre-activations z to the trace, the next step's h, and at a sample's end the dense layers' input."""
        tid = unsigned(cuda.threadIdx.x)
        r, unit = OWN_ROWS * (tid // hidden) + i, tid % hidden
        cell_forward(z, cell[i], t < lengths[r], values)
        if has_cell_state:
            cell[i] = values[n_gates]
        if keep:
            at = unsigned((t * n_values * rows + r) * hidden + unit)
            for j in range(n_values):
                work.trace[at + j * rows * hidden] = values[j]
        inputs[unit * rows + r] = values[n_values - 1]
        if t + 1 == lengths[r]:
            work.activations[r * hidden + unit] = values[n_values - 1]

    @inlined
    def step_backward(i, t, values, dh, dc, dz, lengths, work):
        """From dL/dh_t, and what dc brings from the step after, to dz; returns h_{t-1}."""
        tid = unsigned(cuda.threadIdx.x)
        r, unit = OWN_ROWS * (tid // hidden) + i, tid % hidden
        if t + 1 == lengths[r]:
            dh[i] += work.deltas[r * hidden + unit]
        at = unsigned((t * n_values * rows + r) * hidden + unit)
        for j in range(n_values):
            values[j] = work.trace[at + j * rows * hidden]
        h_before, c_before = real(0), real(0)
        if t > 0:
            before = unsigned(at - n_values * rows * hidden)
            h_before = work.trace[before + (n_values - 1) * rows * hidden]
            if has_cell_state:
                c_before = work.trace[before + n_gates * rows * hidden]
        dc[i] = cell_backward(values, c_before, dh[i], dc[i], dz)
        return h_before

    return Steps(step_forward, step_backward)


def make_read_x(spec: Spec) -> Any:
    """The function that reads a chunk's features."""
    real, features = spec.real, spec.features

    @inlined
    def read_x(x, starts, t, feature, r):
        """A feature in step t of row r; 0 if the row has no sample."""
        return x[starts[r] + t * features + feature] if starts[r] >= 0 else real(0)

    return read_x
