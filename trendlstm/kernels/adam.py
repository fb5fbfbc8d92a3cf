"""The Adam step (Kingma & Ba 2015, algorithm 1), with optional decoupled weight decay (Loshchilov & Hutter 2019)."""

import numpy as np

from .compile import kernel

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@kernel
def adam_step(theta, gradient, first_moment, second_moment, decays, step, learning_rate, weight_decay):
    """One step on flat arrays of one length and dtype; all but `gradient` and `decays` are updated in place.

    m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) g^2    theta -= lr m^ / (sqrt(v^) + eps)

    with m^ = m / (1 - b1^step), v^ = v / (1 - b2^step), step = 1, 2, ... `decays` is 1 for a weight and 0 for a
    bias: theta -= lr weight_decay theta first, weights only.
    """
    real = theta.dtype.type
    b1, b2, a1, a2, epsilon = real(BETA1), real(BETA2), real(1 - BETA1), real(1 - BETA2), real(EPSILON)
    rate = real(learning_rate / (1.0 - BETA1**step))
    scale = real(1.0 / np.sqrt(1.0 - BETA2**step))
    if weight_decay > 0.0:
        shrink = real(learning_rate * weight_decay)
        for j in range(theta.size):
            theta[j] -= shrink * decays[j] * theta[j]
    for j in range(theta.size):
        m = b1 * first_moment[j] + a1 * gradient[j]
        v = b2 * second_moment[j] + a2 * gradient[j] * gradient[j]
        first_moment[j] = m
        second_moment[j] = v
        theta[j] -= rate * m / (np.sqrt(v) * scale + epsilon)
