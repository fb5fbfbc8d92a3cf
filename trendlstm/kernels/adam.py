"""The Adam step (Kingma & Ba 2015, algorithm 1), with optional decoupled weight decay (Loshchilov & Hutter 2019)."""

from .compile import compiled
from .equations import adam_change, adam_rate, adam_scale, first_moment, second_moment


@compiled
def adam_step(theta, gradient, first_moments, second_moments, decays, step, learning_rate, weight_decay):
    """One step on flat arrays of one length and dtype; all but `gradient` and `decays` are updated in place.

    m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) g^2    theta -= lr m^ / (sqrt(v^) + eps)

    with m^ = m / (1 - b1^step), v^ = v / (1 - b2^step), step = 1, 2, ... `decays` is 1 for a weight and 0 for a
    bias: theta -= lr weight_decay theta first, weights only.
    """
    real = theta.dtype.type
    rate, scale = real(adam_rate(learning_rate, step)), real(adam_scale(step))
    if weight_decay > 0.0:
        shrink = real(learning_rate * weight_decay)
        for j in range(theta.size):
            theta[j] -= shrink * decays[j] * theta[j]
    for j in range(theta.size):
        m = first_moment(first_moments[j], gradient[j])
        v = second_moment(second_moments[j], gradient[j])
        first_moments[j] = m
        second_moments[j] = v
        theta[j] -= adam_change(m, v, rate, scale)
