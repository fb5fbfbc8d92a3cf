"""Fully connected layers on one chunk of R samples; weight (in + 1, out), its last row the bias.

Also the whole of the feed-forward cell: z = [x, 1] W, h = tanh(z), on the flattened window.
"""

from .activations import tanh
from .compile import compiled
from .equations import relu as relu_of
from .equations import relu_backward, tanh_backward
from .matrix import multiply, multiply_add, transposed_multiply_add
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
def dense_backward(x, out, weight_transposed, dout, dx, dweight, relu):
    """dW += x^T dz, db += sum dz, dx = dz W^T, with dz = dout (0 where relu cut off); dout becomes dz."""
    n_in = x.shape[1]
    if relu:
        flat, dflat = view(out, 0, (out.size,)), view(dout, 0, (dout.size,))
        for j in range(flat.size):
            dflat[j] = relu_backward(dflat[j], flat[j])
    transposed_multiply_add(view(dweight, 0, (n_in, dout.shape[1])), x, dout)
    dbias = dweight[n_in]
    for r in range(dout.shape[0]):
        for j in range(dout.shape[1]):
            dbias[j] += dout[r, j]
    multiply(dx, dout, weight_transposed)


@compiled
def feedforward_forward(inputs, weight, gates):
    """h = tanh([x, 1] W) of the flattened window; inputs (1, R, K..), gates (1, 1, R*H) receives h."""
    h = gates[0, 0]
    multiply(view(h, 0, (inputs.shape[1], weight.shape[2])), inputs[0], weight[0])
    tanh(h)


@compiled
def feedforward_backward(inputs, gates, dh, dweight):
    """dW += [x, 1]^T dz with dz = dh (1 - h^2); leaves dz in gates."""
    h = gates[0, 0]
    for j in range(h.size):
        h[j] = tanh_backward(dh[j], h[j])
    transposed_multiply_add(dweight[0], inputs[0], view(h, 0, (inputs.shape[1], dweight.shape[2])))
