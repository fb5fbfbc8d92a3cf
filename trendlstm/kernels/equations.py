"""The equations of one element, written once: the CPU's kernels and the GPU's are both compiled from them.

Scalar functions only, each of which becomes part of its caller, so that a loop over a slice stays a plain loop that
the compiler vectorises. Numbers are float32 or float64 throughout.

The logistic sigmoid and the hyperbolic tangent follow from E(x) = exp(x) - 1, which keeps full relative precision at 0:

    sigmoid(x) = 1 / (2 + E(-x))        tanh(x) = E(2x) / (E(2x) + 2)

With x = n ln 2 + r, |r| <= ln(2) / 2, E(x) = 2^n E(r) + (2^n - 1), and E(r) is its Taylor polynomial: degree 7
leaves 2e-8 of it in float32, degree 13 less than 1e-17 in float64. A call of the C library for every element would
cost more than all the rest of an LSTM step.
"""

import math

import numpy as np

from .compile import inlined
from .simd import power_of_two, quotient, round_to_even

_LOG2_E = 1.4426950408889634

# ------------------------------------------------------------------------------------------------- activations


@inlined
def _expm1_32(x):
    x = np.float32(-87) if x < np.float32(-87) else x  # written so that NaN stays NaN
    x = np.float32(87) if x > np.float32(87) else x
    n = round_to_even(x * np.float32(_LOG2_E))
    # ln 2 in two parts: the first has few bits, so that n times it is exact
    r = x - n * np.float32(0.693359375)
    r = r - n * np.float32(-2.12194440e-4)
    p = np.float32(1 / 5040)
    p = p * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(1 / 2)
    p = p * r * r + r
    scale = power_of_two(n)
    return scale * p + (scale - np.float32(1))


@inlined
def _expm1_64(x):
    x = -708.0 if x < -708.0 else x
    x = 708.0 if x > 708.0 else x
    n = round_to_even(x * _LOG2_E)
    r = x - n * 6.93147180369123816490e-01
    r = r - n * 1.90821492927058770002e-10
    p = 1 / 6227020800
    p = p * r + 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 1 / 2
    p = p * r * r + r
    scale = power_of_two(n)
    return scale * p + (scale - 1.0)


@inlined
def sigmoid_32(x):
    """1 / (1 + exp(-x)) in float32."""
    return quotient(np.float32(1), np.float32(2) + _expm1_32(-x))


@inlined
def sigmoid_64(x):
    """1 / (1 + exp(-x)) in float64."""
    return 1.0 / (2.0 + _expm1_64(-x))


@inlined
def tanh_32(x):
    """tanh(x) in float32."""
    e = _expm1_32(np.float32(2) * x)
    return quotient(e, e + np.float32(2))


@inlined
def tanh_64(x):
    """tanh(x) in float64."""
    e = _expm1_64(2.0 * x)
    return e / (e + 2.0)


@inlined
def relu(z):
    """max(0, z), and NaN for NaN."""
    zero = type(z)(0)
    return zero if z < zero else z


@inlined
def sigmoid_backward(dy, y):
    """dL/dz from dL/dy, where y = sigmoid(z)."""
    return dy * y * (type(y)(1) - y)


@inlined
def tanh_backward(dy, y):
    """dL/dz from dL/dy, where y = tanh(z)."""
    return dy * (type(y)(1) - y * y)


@inlined
def relu_backward(dy, y):
    """dL/dz from dL/dy, where y = relu(z)."""
    return dy if y > type(y)(0) else type(y)(0)


# ---------------------------------------------------------------------------------------------------- the cell


@inlined
def cell_state(f, c_before, i, g):
    """c_t = f c_{t-1} + i g."""
    return f * c_before + i * g


@inlined
def cell_state_1997(c_before, i, g):
    """c_t = c_{t-1} + i g: without a forget gate."""
    return c_before + i * g


@inlined
def gru_candidate(p, r, q):
    """What the GRU's n_t is the tanh of: p + r q, with p from x_t and q from h_{t-1}."""
    return p + r * q


@inlined
def gru_state(z, n, h_before):
    """h_t = (1 - z) n + z h_{t-1}."""
    return (type(z)(1) - z) * n + z * h_before


# ----------------------------------------------------------------------- losses of one target, all in float64

# What a predicted scale is at least: else the loss of a target that is met exactly would have no lower bound. Its
# square and cube are ordinary numbers in float32, and it is small beside any target: those of window scaling have a
# standard deviation of about 1, and a price scaled to 0 ... 1 changes by some 1e-3 a day.
SCALE_FLOOR = 1e-6
_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


@inlined
def absolute_error(error):
    """|e|, of e = prediction - target."""
    return abs(error)


@inlined
def absolute_error_backward(error):
    """d|e|/de, and 0 at the kink."""
    return 1.0 if error > 0.0 else (-1.0 if error < 0.0 else error)


@inlined
def huber(error, delta):
    """e^2 / 2 up to |e| = delta, and from there on the tangent, delta (|e| - delta / 2) (Huber 1964)."""
    distance = abs(error)
    return 0.5 * error * error if distance <= delta else delta * (distance - 0.5 * delta)


@inlined
def huber_backward(error, delta):
    """Its derivative: e within -delta ... delta."""
    return min(max(error, -delta), delta)


@inlined
def pinball(error, quantile):
    """What an error of a quantile q costs: (1 - q) e above the target, -q e below it (Koenker & Bassett 1978)."""
    return (1.0 - quantile) * error if error > 0.0 else -quantile * error


@inlined
def pinball_backward(error, quantile):
    """Its derivative, and 0 at the kink."""
    return 1.0 - quantile if error > 0.0 else (-quantile if error < 0.0 else error)


@inlined
def predicted_scale(raw):
    """A normal distribution's standard deviation s > 0 from an output of any sign: ln(1 + exp(raw)) + SCALE_FLOOR."""
    return max(raw, 0.0) + math.log1p(math.exp(-abs(raw))) + SCALE_FLOOR


@inlined
def gaussian(error, scale):
    """The negative logarithm of the normal density at a target: ln s + (e / s)^2 / 2 + ln(2 pi) / 2."""
    z = error / scale
    return math.log(scale) + 0.5 * z * z + _HALF_LOG_2_PI


@inlined
def gaussian_backward_mean(error, scale):
    """Its derivative by the mean: e / s^2."""
    return error / (scale * scale)


@inlined
def gaussian_backward_raw(error, scale, raw):
    """Its derivative by the raw scale, whose own slope is the sigmoid: (1 - (e / s)^2) / s sigmoid(raw)."""
    z = error / scale
    return (1.0 - z * z) / scale * sigmoid_64(raw)


@inlined
def softmax_numerator(z, largest):
    """e^z, over that of the largest output, so that it cannot overflow: in proportion to a class's probability."""
    return math.exp(z - largest)


@inlined
def cross_entropy(z, largest, total):
    """-ln p of the target's class, whose output is z; `total` is the sum of all classes' numerators."""
    return math.log(total) - (z - largest)


@inlined
def cross_entropy_backward(probability, is_target):
    """Its derivative by the output of a class: p - 1 of the target's class, p of another."""
    return probability - is_target


# ------------------------------------------------------------------------------------------- gradient clipping


@inlined
def clip_factor(squared_norm, clip_norm):
    """What a gradient d is multiplied by so that its norm is at most C: min(1, C / |d|), in float64."""
    norm = math.sqrt(squared_norm)
    return clip_norm / norm if norm > clip_norm else 1.0


# -------------------------------------------------------------------------------------------------------- Adam

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@inlined
def first_moment(m, gradient):
    """The running mean of the gradient: b1 m + (1 - b1) g."""
    return type(m)(BETA1) * m + type(m)(1 - BETA1) * gradient


@inlined
def second_moment(v, gradient):
    """The running mean of its square: b2 v + (1 - b2) g^2."""
    return type(v)(BETA2) * v + type(v)(1 - BETA2) * gradient * gradient


@inlined
def adam_rate(learning_rate, step):
    """The learning rate with the correction of the first moment's bias; step = 1, 2, ..., all in float64."""
    return learning_rate / (1.0 - BETA1**step)


@inlined
def adam_scale(step):
    """What sqrt(v) is multiplied by to correct the second moment's bias, in float64."""
    return 1.0 / math.sqrt(1.0 - BETA2**step)


@inlined
def adam_change(m, v, rate, scale):
    """What a step takes off a parameter: lr m^ / (sqrt(v^) + eps)."""
    return quotient(rate * m, math.sqrt(v) * scale + type(v)(EPSILON))


# -------------------------------------------------------------------------------------------- the learning rate


@inlined
def warm_up(learning_rate, step, last_step):
    """The rate of a step, 1, 2, ..., on the straight line from 0 to the rate of a later one, in float64."""
    return learning_rate * step / last_step


# --------------------------------------------------------------------------------------------------- shuffling


@inlined
def splitmix64(state):
    """One output of the generator whose state is `state` (uint64); the next state is state + 0x9E3779B97F4A7C15."""
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inlined
def shuffle_state(seed, epoch):
    """The generator's state before an epoch's first draw: neighbouring seeds and epochs share nothing."""
    return splitmix64(splitmix64(np.uint64(seed)) ^ np.uint64(epoch))


@inlined
def shuffle_partner(state, draw, last):
    """The position, 0 ... last, that changes places with `last`; draw = 0, 1, ... counts the epoch's draws."""
    number = splitmix64(state + np.uint64(draw) * np.uint64(0x9E3779B97F4A7C15))
    return np.int64(number % np.uint64(last + 1))  # the remainder is biased by less than N / 2^64


# ----------------------------------------------------------------------------------------------------- dropout


@inlined
def dropout_state(seed, epoch):
    """The state that all draws for an epoch's dropout go back to: another than that of its shuffling."""
    return splitmix64(shuffle_state(seed, epoch) ^ np.uint64(0xD1B54A32D192ED03))


@inlined
def segment_state(state, step):
    """An epoch's state for the steps from number `step` on of truncated BPTT."""
    return splitmix64(state + np.uint64(step)) if step > 0 else state


@inlined
def row_state(state, position):
    """The state of one sample's draws, by its place in the epoch; never 0, which stands for no dropout."""
    return splitmix64(state ^ np.uint64(position)) | np.uint64(1)


@inlined
def kept(state, draw, dropout):
    """What dropout multiplies a number by, in float64: 0 with the probability `dropout`, else 1 / (1 - dropout).

    The draws of a state are numbered, so that no result depends on the order in which they are made.
    """
    number = splitmix64(state + np.uint64(draw) * np.uint64(0x9E3779B97F4A7C15))
    uniform = np.float64(number >> np.uint64(11)) * (1.0 / 9007199254740992.0)
    return 0.0 if uniform < dropout else 1.0 / (1.0 - dropout)
