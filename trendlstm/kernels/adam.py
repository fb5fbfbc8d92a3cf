"""From a gradient to a step: clipping by its norm, decoupled weight decay (Loshchilov & Hutter 2019), and Adam.

Adam is algorithm 1 of Kingma & Ba 2015. All arrays are flat, of one length and dtype.
"""

import numpy as np

from .compile import compiled, inlined
from .equations import adam_change, adam_rate, adam_scale, clip_factor, first_moment, second_moment


@inlined
def squared_norm(gradient):
    """The sum of squares of a flat array, in float64."""
    total = 0.0
    for j in range(gradient.size):
        total += np.float64(gradient[j]) * np.float64(gradient[j])
    return total


@inlined
def clip(gradient, norm_squared, clip_norm):
    """Multiply `gradient`, part or all of one with this squared norm, by `equations.clip_factor`."""
    factor = gradient.dtype.type(clip_factor(norm_squared, clip_norm))
    for j in range(gradient.size):
        gradient[j] *= factor


@inlined
def decay_weights(theta, decays, learning_rate, weight_decay):
    """theta -= lr weight_decay theta where `decays` is 1, as it is for weights; for biases it is 0."""
    shrink = theta.dtype.type(learning_rate * weight_decay)
    for j in range(theta.size):
        theta[j] -= shrink * decays[j] * theta[j]


@compiled
def adam_step(theta, gradient, first_moments, second_moments, step, learning_rate):
    """One step; all but `gradient` are updated in place.

    m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) g^2    theta -= lr m^ / (sqrt(v^) + eps)

    with m^ = m / (1 - b1^step), v^ = v / (1 - b2^step), step = 1, 2, ...
    """
    real = theta.dtype.type
    rate, scale = real(adam_rate(learning_rate, step)), real(adam_scale(step))
    for j in range(theta.size):
        m = first_moment(first_moments[j], gradient[j])
        v = second_moment(second_moments[j], gradient[j])
        first_moments[j] = m
        second_moments[j] = v
        theta[j] -= adam_change(m, v, rate, scale)
