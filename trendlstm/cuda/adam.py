"""From a gradient to a step, as in `kernels.adam`; all arrays are flat, and a block's threads share them out."""

import numpy as np

from ..kernels.equations import adam_change, adam_rate, adam_scale, clip_factor, first_moment, second_moment
from .compile import cuda, inlined, unsigned

_PARTS = 32  # sums that are left when the threads' own have been added up side by side


@inlined
def squared_norm(gradient, parts):
    """The sum of squares in float64, added up in a fixed order; the same on every thread. `parts` (threads,)."""
    tid = unsigned(cuda.threadIdx.x)
    part = 0.0
    for e in range(tid, gradient.size, cuda.blockDim.x):
        value = np.float64(gradient[unsigned(e)])
        part += value * value
    parts[tid] = part
    cuda.syncthreads()
    if tid < _PARTS:
        for other in range(tid + _PARTS, cuda.blockDim.x, _PARTS):
            parts[tid] += parts[other]
    cuda.syncthreads()
    total = 0.0
    for other in range(_PARTS):
        total += parts[other]
    cuda.syncthreads()
    return total


@inlined
def clip(gradient, norm_squared, clip_norm):
    """Multiply the gradient with this squared norm by `equations.clip_factor`."""
    factor = gradient.dtype.type(clip_factor(norm_squared, clip_norm))
    for e in range(unsigned(cuda.threadIdx.x), gradient.size, cuda.blockDim.x):
        gradient[unsigned(e)] *= factor


@inlined
def decay_weights(theta, decays, learning_rate, weight_decay):
    """theta -= lr weight_decay theta where `decays` is 1."""
    shrink = theta.dtype.type(learning_rate * weight_decay)
    for index in range(unsigned(cuda.threadIdx.x), theta.size, cuda.blockDim.x):
        e = unsigned(index)
        theta[e] -= shrink * decays[e] * theta[e]


@inlined
def adam_step(theta, gradient, first_moments, second_moments, step, learning_rate):
    """One step, which leaves the gradient at 0."""
    real = theta.dtype.type
    rate, scale = real(adam_rate(learning_rate, step)), real(adam_scale(step))
    for index in range(unsigned(cuda.threadIdx.x), theta.size, cuda.blockDim.x):
        e = unsigned(index)
        # real(): the simulator's numbers come back from the equations as Python's
        m = real(first_moment(first_moments[e], gradient[e]))
        v = real(second_moment(second_moments[e], gradient[e]))
        first_moments[e] = m
        second_moments[e] = v
        theta[e] -= real(adam_change(m, v, rate, scale))
        gradient[e] = real(0)
