"""The dense layers on the R rows of a chunk, as in `kernels.dense`; `start` is where their weights begin in theta.

`work` is `buffers.Workspace`, and `activations` its part of that name. `threads` is the size of a block: as a constant
of the caller it takes fewer registers than cuda.blockDim.x.
"""

from ..kernels.buffers import CHUNK_ROWS
from ..kernels.equations import relu, relu_backward
from .compile import cuda, inlined, unsigned


@inlined
def last_layer(widths):
    """Where the last layer's values begin in `activations` and `deltas`."""
    at = 0
    for layer in range(widths.size - 1):
        at += CHUNK_ROWS * widths[layer]
    return at


@inlined
def dense_forward(theta, start, widths, activations, threads):
    """All layers; returns where the last one's values begin."""
    at = 0
    for layer in range(widths.size - 1):
        n_in, n_out = unsigned(widths[layer]), unsigned(widths[layer + 1])
        after = at + CHUNK_ROWS * n_in
        for e in range(unsigned(cuda.threadIdx.x), CHUNK_ROWS * n_out, threads):
            r, j = unsigned(e) // n_out, unsigned(e) % n_out
            z = theta[unsigned(start + n_in * n_out + j)]
            for k in range(n_in):
                z += activations[unsigned(at + r * n_in + k)] * theta[unsigned(start + k * n_out + j)]
            activations[unsigned(after + e)] = relu(z) if layer < widths.size - 2 else z
        cuda.syncthreads()
        start += (n_in + 1) * n_out
        at = after
    return at


@inlined
def dense_backward(theta, start, widths, work, gradient, threads):
    """From the last layer's deltas to those of the last hidden state; adds to the weights' part of `gradient`."""
    real, activations, deltas = theta.dtype.type, work.activations, work.deltas
    tid = unsigned(cuda.threadIdx.x)
    at = last_layer(widths)
    for layer in range(widths.size - 1):
        start += (widths[layer] + 1) * widths[layer + 1]
    for layer in range(widths.size - 2, -1, -1):
        n_in, n_out = unsigned(widths[layer]), unsigned(widths[layer + 1])
        start -= (n_in + 1) * n_out
        before = at - CHUNK_ROWS * n_in
        if layer < widths.size - 2:
            for e in range(tid, CHUNK_ROWS * n_out, threads):
                place = unsigned(at + e)
                deltas[place] = relu_backward(deltas[place], activations[place])
            cuda.syncthreads()
        for e in range(tid, (n_in + 1) * n_out, threads):
            k, j = unsigned(e) // n_out, unsigned(e) % n_out
            total = gradient[unsigned(start + e)]
            for r in range(CHUNK_ROWS):
                value = activations[unsigned(before + r * n_in + k)] if k < n_in else real(1)
                total += value * deltas[unsigned(at + r * n_out + j)]
            gradient[unsigned(start + e)] = total
        for e in range(tid, CHUNK_ROWS * n_in, threads):
            r, k = unsigned(e) % CHUNK_ROWS, unsigned(e) // CHUNK_ROWS  # neighbours share a row of theta
            total = real(0)
            for j in range(n_out):
                total += deltas[unsigned(at + r * n_out + j)] * theta[unsigned(start + k * n_out + j)]
            deltas[unsigned(before + r * n_in + k)] = total
        cuda.syncthreads()
        at = before
