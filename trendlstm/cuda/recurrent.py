"""The recurrent layer on the GPU: one chunk of R = 8 samples, all steps forward, then back (BPTT), by one block.

A block has 4 H threads. Thread (q, u), u the fastest, owns unit u's state in rows 2q and 2q + 1 of the chunk: it adds
up their pre-activations, applies the equations, and writes h to shared memory for the next step. In between, it
computes its part of the matrix products for all 8 rows. K = H + F + 1 rows of a gate's matrix (H + F without bias).

    inputs      shared (K.., R)       column [h_{t-1}, x_t, 1] of every row, rounded up to a multiple of four
    scratch     shared                partial sums on their way from the threads that form them to those that add them
    dz          shared (2, G H, 4)    dL/dz of G gates, in the planes of `matrix`
    trace       global (T, V, R, H)   what the backward pass needs: see `cells`
    activations global (R, H) first   h after every sample's own last step; in `deltas`, dL/dh there

Past a sample's end its gates are i = g = o = 0, f = 1, as in `kernels.cells`.

`recurrent_registers` keeps the weights in registers while they fit, `recurrent_memory` reads them in every step.
"""

from typing import Any, NamedTuple

from ..kernels.buffers import CHUNK_ROWS
from . import recurrent_memory, recurrent_registers
from .buffers import QUARTERS, Spec
from .recurrent_registers import PADDED, make_shares


class Layer(NamedTuple):
    """The functions of a recurrent layer, and the sizes of the arrays in shared memory that they work on.

    forward(theta, x, chunk, steps, work, shared)
    backward(theta, x, chunk, steps, work, shared, gradient): adds to the layer's part of `gradient`
    """

    forward: Any
    backward: Any
    input_size: int  # of `inputs` / R
    scratch_size: int
    dz_size: int


def make_layer(spec: Spec, keep: bool) -> Layer:
    """The layer; without `keep` nothing is left for the backward pass."""
    if spec.in_registers:
        shares = make_shares(spec)
        return Layer(
            recurrent_registers.make_forward(spec, shares, keep),
            recurrent_registers.make_backward(spec, shares),
            input_size=QUARTERS * shares.rows,
            scratch_size=CHUNK_ROWS * spec.hidden_size * max(QUARTERS * spec.n_gates, PADDED),
            dz_size=CHUNK_ROWS * shares.columns,
        )
    return Layer(
        recurrent_memory.make_forward(spec, keep),
        recurrent_memory.make_backward(spec),
        input_size=spec.input_rows,
        scratch_size=1,
        dz_size=1,
    )
