"""The logistic sigmoid and the hyperbolic tangent of whole slices, in place, in loops that the compiler vectorises."""

import numpy as np

from .compile import compiled
from .equations import sigmoid_32, sigmoid_64, tanh_32, tanh_64


@compiled
def sigmoid(x):
    """x = 1 / (1 + exp(-x)), in place; x is one-dimensional."""
    if x.itemsize == 4:
        for j in range(x.size):
            x[j] = sigmoid_32(np.float32(x[j]))
    else:
        for j in range(x.size):
            x[j] = sigmoid_64(np.float64(x[j]))


@compiled
def tanh(x):
    """x = tanh(x), in place; x is one-dimensional."""
    if x.itemsize == 4:
        for j in range(x.size):
            x[j] = tanh_32(np.float32(x[j]))
    else:
        for j in range(x.size):
            x[j] = tanh_64(np.float64(x[j]))
