"""Predictions, as `kernels.predict`."""

import functools
from typing import Any, NamedTuple

from ..kernels.buffers import CHUNK_ROWS
from .buffers import Shared, Spec, Workspace
from .chunk import make_chunk, prepare_inputs
from .compile import ALIGNMENT, cuda, entry_point, unsigned
from .dense import dense_forward
from .recurrent import make_layer


class Inputs(NamedTuple):
    """N samples without targets."""

    x: Any  # (N * T * F,)
    lengths: Any  # (N,) int64
    steps: int


@functools.cache
def make_predict(spec: Spec) -> Any:
    """The kernel `predict(theta, widths, inputs, out, workspaces)`; it is compiled when it is launched first.

    It writes the outputs (N, m) of all samples. Each block has a row of `workspaces`, for the (R, width) values of the
    last hidden state and of every layer.
    """
    layer = make_layer(spec, keep=False)
    forward = layer.forward
    # the sizes of arrays must be plain names for the compiler
    input_size, scratch_size = layer.input_size * CHUNK_ROWS, layer.scratch_size
    real, threads, features = spec.real, spec.threads, spec.features
    input_rows, bias, dense_start = spec.input_rows, bool(spec.bias), spec.recurrent_size

    @entry_point(threads)
    def predict(theta, widths, inputs, out, workspaces):
        shared_inputs = cuda.shared.array(input_size, real, ALIGNMENT)
        scratch = cuda.shared.array(scratch_size, real)
        chunk, shared = make_chunk(), Shared(shared_inputs, scratch, scratch)
        activations = workspaces[cuda.blockIdx.x]
        work = Workspace(activations, activations, activations)  # nothing goes back
        tid = unsigned(cuda.threadIdx.x)
        n, outputs, width = out.shape[0], unsigned(out.shape[1]), unsigned(widths[widths.size - 1])
        prepare_inputs(shared_inputs, input_rows, bias)
        # block b takes the chunks b, b + blocks, b + 2 blocks, ...
        for start in range(CHUNK_ROWS * cuda.blockIdx.x, n, CHUNK_ROWS * cuda.gridDim.x):
            first = unsigned(start)
            count = min(CHUNK_ROWS, n - first)
            if tid < CHUNK_ROWS:
                chunk.starts[tid] = (first + tid) * inputs.steps * features if tid < count else -1
                chunk.lengths[tid] = inputs.lengths[first + tid] if tid < count else inputs.steps
            cuda.syncthreads()
            forward(theta, inputs.x, chunk, inputs.steps, work, shared)
            at = dense_forward(theta, dense_start, widths, activations, threads)
            for e in range(tid, count * outputs, threads):
                r, k = unsigned(e) // outputs, unsigned(e) % outputs
                out[first + r, k] = activations[unsigned(at + r * width + k)]
            cuda.syncthreads()

    return predict
