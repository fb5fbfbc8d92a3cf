"""Stochastic gradient descent with momentum (Polyak 1964), the plainest way from a gradient to a step."""

from .compile import compiled


@compiled
def sgd_step(theta, gradient, velocity, momentum, learning_rate):
    """One step; `theta` and `velocity` are updated in place. All arrays are flat, of one length and dtype.

    v = mu v + g    theta -= lr v

    This is PyTorch's form: the rate multiplies the velocity when it is used, not the gradients that went into it, so
    that a new rate acts at once on all of it.
    """
    real = theta.dtype.type
    mu, rate = real(momentum), real(learning_rate)
    for j in range(theta.size):
        v = mu * velocity[j] + gradient[j]
        velocity[j] = v
        theta[j] -= rate * v
