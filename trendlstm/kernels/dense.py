"""Fully connected layers on R rows, samples or their steps; weight (in + 1, out), its last row the bias.

Also the whole of the feed-forward cell: z = [x, 1] W, h = tanh(z), on the flattened window.
"""

from .activations import tanh
from .buffers import CHUNK_ROWS
from .compile import compiled
from .equations import relu as relu_of
from .equations import relu_backward, tanh_backward
from .matrix import chunk_gradient, multiply, multiply_add
from .simd import view


@compiled
def dense_forward(x, weight, out, relu):
    """out = x W + b, with relu also max(0, .)."""
    n_in = x.shape[1]
    bias = weight[n_in]
    for r in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[r, j] = bias[j]
    multiply_add(out, x, view(weight, 0, (n_in, out.shape[1])))
    if relu:
        flat = view(out, 0, (out.size,))
        for j in range(flat.size):
            flat[j] = relu_of(flat[j])


@compiled
def dense_backward(out, weight_transposed, dout, dx, relu):
    """dx = dz W^T with dz = dout (0 where relu cut off); dout becomes dz."""
    if relu:
        flat, dflat = view(out, 0, (out.size,)), view(dout, 0, (dout.size,))
        for j in range(flat.size):
            dflat[j] = relu_backward(dflat[j], flat[j])
    multiply(dx, dout, weight_transposed)


@compiled
def dense_weight_gradient(x, dz, dweight, rows, chunk, accumulate):
    """dW = x^T dz, db = sum dz, over the rows of one chunk: see `matrix.chunk_gradient`."""
    n_in, n_out = x.shape[1], dz.shape[1]
    chunk_gradient(view(dweight, 0, (n_in, n_out)), x, dz, rows, chunk, accumulate, 0)
    dbias = dweight[n_in]
    if not accumulate:
        for j in range(n_out):
            dbias[j] = dbias.dtype.type(0)
    for first in range(CHUNK_ROWS * chunk, dz.shape[0], rows):
        for r in range(first, first + min(CHUNK_ROWS, rows)):
            for j in range(n_out):
                dbias[j] += dz[r, j]


@compiled
def feedforward_forward(inputs, weight, gates):
    """h = tanh([x, 1] W) of the flattened window; inputs (1, R, K..), gates (1, 1, R*H) receives h."""
    h = gates[0, 0]
    multiply(view(h, 0, (inputs.shape[1], weight.shape[2])), inputs[0], weight[0])
    tanh(h)


@compiled
def feedforward_backward(gates, dh):
    """dz = dh (1 - h^2), in the place of h in gates."""
    h = gates[0, 0]
    for j in range(h.size):
        h[j] = tanh_backward(dh[j], h[j])
