"""The networks once more, plain as the equations: float64 NumPy, a loop over time, one matrix product a line.

This is the reference that the fast kernels are tested against, and the reference itself is tested by finite
differences in test_naive.py. It shares no code with the package.

Shapes: N samples, T time steps, F input features, H hidden units, m outputs. G blocks of rows: 4 for `lstm`
(i, f, g, o), 3 for `lstm1997` (i, g, o: there is no forget gate), 1 for `rnn` and `rnn-sigmoid`.

    recurrent.weight_ih (G*H, F)    recurrent.weight_hh (G*H, H)    recurrent.bias (G*H,), absent without bias
    hidden.weight (H, T*F)          hidden.bias (H,)                in place of these for `ann`
    dense.0.weight (out, in)        dense.0.bias (out,)             dense.1 ...; the last one is linear

A loss may want several outputs of each target; then m counts targets, and those of one target stand together.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Params = dict[str, np.ndarray]

GATES = {"lstm": 4, "lstm1997": 3, "rnn": 1, "rnn-sigmoid": 1}


def assert_close(a: np.ndarray, b: np.ndarray, rtol: float, name: str = "") -> None:
    """max|a - b| <= rtol max|b|: an element-wise relative error of tiny gradients would mean nothing."""
    assert a.shape == b.shape, f"{name}: shape {a.shape}, expected {b.shape}"
    error, scale = np.max(np.abs(a - b)), np.max(np.abs(b))
    assert error <= rtol * scale, f"{name}: max|a - b| = {error:.3g} with max|b| = {scale:.3g}, rtol {rtol:g}"


# ------------------------------------------------------------------------------------------------- parameters


def random_params(
    rng: np.random.Generator,
    cell: str = "lstm",
    steps: int = 1,
    features: int = 1,
    hidden: int = 4,
    dense: tuple[int, ...] = (),
    outputs: int = 1,
    bias: bool = True,
) -> Params:
    """Every tensor of a network, biases too, drawn so that no gate is near 0 or 1, where derivatives vanish."""

    def draw(*shape: int) -> np.ndarray:
        bound = 0.5 if len(shape) == 1 else 1 / np.sqrt(shape[1])
        return rng.uniform(-bound, bound, shape)

    params = {}
    if cell == "ann":
        params["hidden.weight"] = draw(hidden, steps * features)
        if bias:
            params["hidden.bias"] = draw(hidden)
    else:
        rows = GATES[cell] * hidden
        params["recurrent.weight_ih"] = draw(rows, features)
        params["recurrent.weight_hh"] = draw(rows, hidden)
        if bias:
            params["recurrent.bias"] = draw(rows)
    sizes = [hidden, *dense, outputs]
    for k in range(len(sizes) - 1):
        params[f"dense.{k}.weight"] = draw(sizes[k + 1], sizes[k])
        params[f"dense.{k}.bias"] = draw(sizes[k + 1])
    return params


# ---------------------------------------------------------------------------------------- the recurrent layer


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * z))  # 1 / (1 + exp(-z)), without its overflow


def cell_forward(cell: str, z: np.ndarray, c_prev: np.ndarray, squash_output: bool) -> tuple:
    """One time step from the pre-activations z = W [h_{t-1}, x_t] + b: h_t, c_t and the gates' outputs."""
    if cell == "rnn":
        return np.tanh(z), c_prev, ()
    if cell == "rnn-sigmoid":
        return sigmoid(z), c_prev, ()
    if cell == "lstm":
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
        f = sigmoid(z_f)  # how much of the old state is kept
    else:
        z_i, z_g, z_o = np.split(z, 3, axis=1)
        f = np.ones_like(z_i)  # 1997: all of it
    i = sigmoid(z_i)
    g = np.tanh(z_g)
    o = sigmoid(z_o)
    c = f * c_prev + i * g
    h = o * np.tanh(c) if squash_output else o * c
    return h, c, (i, f, g, o)


def cell_backward(
    cell: str,
    dh: np.ndarray,
    dc: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    c_prev: np.ndarray,
    gates: tuple,
    squash_output: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The same step backward: dL/dz and dL/dc_{t-1}, from dL/dh_t and the part of dL/dc_t that t+1 sent."""
    if cell == "rnn":
        return dh * (1 - h**2), dc
    if cell == "rnn-sigmoid":
        return dh * h * (1 - h), dc
    i, f, g, o = gates
    if squash_output:
        do = dh * np.tanh(c)
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
    else:
        do = dh * c
        dc = dc + dh * o
    di, df, dg = dc * g, dc * c_prev, dc * i
    dz_i, dz_f, dz_g, dz_o = di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)
    dz = [dz_i, dz_f, dz_g, dz_o] if cell == "lstm" else [dz_i, dz_g, dz_o]
    return np.concatenate(dz, axis=1), dc * f


@dataclass
class Trace:
    """What the forward pass of the recurrent layer leaves for the backward pass."""

    cell: str
    squash_output: bool
    x: np.ndarray  # (N, T, F)
    lengths: np.ndarray  # (N,)
    h: np.ndarray  # (N, T+1, H); h[:, 0] is the initial state; past a sample's length its last state stays
    c: np.ndarray  # (N, T+1, H)
    gates: list[tuple] = field(default_factory=list)  # one entry a step, of the samples still running

    @property
    def last(self) -> np.ndarray:
        """h at each sample's own last step (N, H)."""
        return self.h[:, -1]


def recurrent_forward(
    params: Params,
    x: np.ndarray,
    cell: str = "lstm",
    lengths: np.ndarray | None = None,
    h0: np.ndarray | None = None,
    c0: np.ndarray | None = None,
    squash_output: bool = True,
) -> Trace:
    """Hidden states of all steps. Sample n runs for lengths[n] steps; what x holds after them is not read."""
    W_ih, W_hh = params["recurrent.weight_ih"], params["recurrent.weight_hh"]
    b = params.get("recurrent.bias", 0.0)
    x = np.asarray(x, dtype=np.float64)
    N, T, _ = x.shape
    H = W_hh.shape[1]
    lengths = np.full(N, T) if lengths is None else np.asarray(lengths)
    trace = Trace(cell, squash_output, x, lengths, np.zeros((N, T + 1, H)), np.zeros((N, T + 1, H)))
    h, c = trace.h, trace.c
    h[:, 0] = 0.0 if h0 is None else h0
    c[:, 0] = 0.0 if c0 is None else c0

    for t in range(T):
        on = lengths > t
        h[:, t + 1], c[:, t + 1] = h[:, t], c[:, t]
        z = x[on, t] @ W_ih.T + h[on, t] @ W_hh.T + b
        h[on, t + 1], c[on, t + 1], gates = cell_forward(cell, z, c[on, t], squash_output)
        trace.gates.append(gates)
    return trace


def recurrent_backward(params: Params, trace: Trace, dh_steps: np.ndarray) -> Params:
    """Back-propagation through time from dL/dh_t of every step.

    `dh_steps` (N, T, H) is what the layers above send to h_1 ... h_T directly; entries past a sample's length
    are not read. Returns the gradients of the recurrent tensors, and of "x", "h0" and "c0".
    """
    W_ih, W_hh = params["recurrent.weight_ih"], params["recurrent.weight_hh"]
    x, h, c = trace.x, trace.h, trace.c
    T = x.shape[1]
    grads = {name: np.zeros_like(value) for name, value in params.items() if name.startswith("recurrent.")}
    dx = np.zeros_like(x)
    dh, dc = np.zeros_like(h[:, 0]), np.zeros_like(c[:, 0])

    for t in reversed(range(T)):
        on = trace.lengths > t
        dh[on] += dh_steps[on, t]
        dz, dc[on] = cell_backward(
            trace.cell,
            dh[on],
            dc[on],
            h[on, t + 1],
            c[on, t + 1],
            c[on, t],
            trace.gates[t],
            trace.squash_output,
        )
        grads["recurrent.weight_ih"] += dz.T @ x[on, t]
        grads["recurrent.weight_hh"] += dz.T @ h[on, t]
        if "recurrent.bias" in grads:
            grads["recurrent.bias"] += dz.sum(axis=0)
        dx[on, t] = dz @ W_ih
        dh[on] = dz @ W_hh
    return grads | {"x": dx, "h0": dh, "c0": dc}


# ----------------------------------------------------------------------------------------- hidden layer (ann)


def hidden_forward(params: Params, x: np.ndarray) -> np.ndarray:
    """The feed-forward network's hidden layer on the flattened window: tanh(W x + b), (N, H)."""
    flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    return np.tanh(flat @ params["hidden.weight"].T + params.get("hidden.bias", 0.0))


def hidden_backward(params: Params, x: np.ndarray, h: np.ndarray, dh: np.ndarray) -> Params:
    dz = dh * (1 - h**2)
    flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    grads = {"hidden.weight": dz.T @ flat, "x": (dz @ params["hidden.weight"]).reshape(x.shape)}
    if "hidden.bias" in params:
        grads["hidden.bias"] = dz.sum(axis=0)
    return grads


# --------------------------------------------------------------------------------------------- the dense head


def dense_forward(params: Params, h: np.ndarray) -> list[np.ndarray]:
    """[h, output of dense.0, ..., output of the last]: ReLU on all but the last, which is linear."""
    layers = sum(name.startswith("dense.") and name.endswith(".weight") for name in params)
    values = [h]
    for k in range(layers):
        z = values[-1] @ params[f"dense.{k}.weight"].T + params[f"dense.{k}.bias"]
        values.append(np.maximum(z, 0.0) if k < layers - 1 else z)
    return values


def dense_backward(params: Params, values: list[np.ndarray], dout: np.ndarray) -> tuple[Params, np.ndarray]:
    """Gradients of every dense tensor, and dL/dh (N, H), from dL/doutput."""
    grads = {}
    for k in reversed(range(len(values) - 1)):
        grads[f"dense.{k}.weight"] = dout.T @ values[k]
        grads[f"dense.{k}.bias"] = dout.sum(axis=0)
        dout = dout @ params[f"dense.{k}.weight"]
        if k > 0:
            dout = dout * (values[k] > 0)
    return grads, dout


# ------------------------------------------------------------------------------------------ the whole network


def steps_seen(lengths: np.ndarray, T: int, every_step: bool) -> np.ndarray:
    """Which h_t the dense head looks at (N, T): each sample's last one, or all until its end."""
    step = np.arange(1, T + 1)
    return step <= lengths[:, None] if every_step else step == lengths[:, None]


def predict(
    params: Params, x: np.ndarray, cell: str = "lstm", every_step: bool = False, **options: Any
) -> np.ndarray:
    """Outputs (N, m), or of every step (N, T, m) with NaN after a sample's end.

    Options: lengths, h0, c0, squash_output, as in `recurrent_forward`.
    """
    if cell == "ann":
        return dense_forward(params, hidden_forward(params, x))[-1]
    trace = recurrent_forward(params, x, cell, **options)
    N, T, _ = x.shape
    seen = steps_seen(trace.lengths, T, every_step)
    values = dense_forward(params, trace.h[:, 1:][seen])[-1]
    if not every_step:
        return values
    outputs = np.full((N, T, values.shape[1]), np.nan)
    outputs[seen] = values
    return outputs


def backward(params: Params, x: np.ndarray, dout: np.ndarray, cell: str = "lstm", **options: Any) -> Params:
    """Gradients of every tensor, of "x", and for recurrent cells of "h0" and "c0", from dL/doutput.

    `dout` is (N, m), or (N, T, m) if the loss looks at every step; what it holds after a sample's end is not read.
    """
    if cell == "ann":
        h = hidden_forward(params, x)
        grads, dh = dense_backward(params, dense_forward(params, h), dout)
        return grads | hidden_backward(params, x, h, dh)
    trace = recurrent_forward(params, x, cell, **options)
    every_step = dout.ndim == 3
    seen = steps_seen(trace.lengths, x.shape[1], every_step)
    values = dense_forward(params, trace.h[:, 1:][seen])
    grads, dh = dense_backward(params, values, dout[seen] if every_step else dout)
    dh_steps = np.zeros_like(trace.h[:, 1:])
    dh_steps[seen] = dh
    return grads | recurrent_backward(params, trace, dh_steps)


@dataclass(frozen=True)
class Loss:
    """What is minimised; `outputs` (..., m * each) are the network's own, several of each target side by side."""

    name: str = "mse"  # or mae, huber, pinball, gaussian
    quantiles: tuple[float, ...] = ()  # of pinball
    delta: float = 1.0  # of huber

    @property
    def each(self) -> int:
        """The outputs of one target."""
        return {"pinball": len(self.quantiles), "gaussian": 2}.get(self.name, 1)

    def of_targets(self, outputs: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss of every target, (..., m), and its derivative by every output, (..., m * each)."""
        out = outputs.reshape(*y.shape, self.each)
        error = out - y[..., None]
        if self.name == "mse":
            losses, slopes = error**2, 2 * error
        elif self.name == "mae":
            losses, slopes = np.abs(error), np.sign(error)
        elif self.name == "huber":
            near = np.abs(error) <= self.delta
            losses = np.where(near, error**2 / 2, self.delta * (np.abs(error) - self.delta / 2))
            slopes = np.where(near, error, self.delta * np.sign(error))
        elif self.name == "pinball":
            # an output above the target costs 1 - q a unit, one below it q: see Koenker & Bassett 1978
            slopes = ((error > 0) - np.array(self.quantiles)) / self.each
            losses = slopes * error
        else:
            mean, raw = out[..., 0], out[..., 1]
            scale = np.log1p(np.exp(raw)) + 1e-6
            z = (mean - y) / scale
            losses = (np.log(scale) + z**2 / 2 + np.log(2 * np.pi) / 2)[..., None]
            slopes = np.stack([z / scale, (1 - z**2) / scale * sigmoid(raw)], axis=-1)
        return losses.sum(axis=-1), slopes.reshape(outputs.shape)

    def mean(self, outputs: np.ndarray, y: np.ndarray) -> float:
        """The mean over all targets but those after a sample's end, where `outputs` is NaN."""
        return float(np.nanmean(self.of_targets(outputs, y)[0]))


MSE = Loss()


def mse(outputs: np.ndarray, y: np.ndarray) -> float:
    """The mean squared error over all elements but those after a sample's end, where `outputs` is NaN."""
    return MSE.mean(outputs, y)


def loss_and_gradients(
    params: Params, x: np.ndarray, y: np.ndarray, cell: str = "lstm", loss: Loss = MSE, **options: Any
) -> tuple[float, Params]:
    """Mean loss of the last outputs, y (N, m), or of those of every step, y (N, T, m), and its gradients."""
    outputs = (
        predict(params, x, cell, **options) if y.ndim == 2 else predict(params, x, cell, True, **options)
    )
    losses, slopes = loss.of_targets(outputs, y)
    return loss.mean(outputs, y), backward(params, x, slopes / np.sum(~np.isnan(losses)), cell, **options)


# --------------------------------------------------------------------------------------------------- training

MASK64 = (1 << 64) - 1


def splitmix64(state: int) -> tuple[int, int]:
    """Steele, Lea & Flood 2014: the next state and the number drawn from it, both 64 bits."""
    state = (state + 0x9E3779B97F4A7C15) & MASK64
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return state, z ^ (z >> 31)


def shuffled(n: int, seed: int, epoch: int) -> np.ndarray:
    """The samples' order in an epoch: Fisher-Yates from the last to the first, on splitmix64(seed, epoch)."""
    _, mixed = splitmix64(seed)  # so that neighbouring seeds and epochs share nothing
    _, state = splitmix64(mixed ^ epoch)
    order = np.arange(n)
    for last in range(n - 1, 0, -1):
        state, number = splitmix64(state)
        pick = number % (last + 1)
        order[last], order[pick] = order[pick], order[last]
    return order


def clip(grads: Params, clip_norm: float | None) -> Params:
    """All gradients scaled together so that the norm over all of them is at most `clip_norm`."""
    norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
    if clip_norm is None or norm <= clip_norm:
        return grads
    return {name: g * (clip_norm / norm) for name, g in grads.items()}


class Adam:
    """Kingma & Ba 2015, algorithm 1; decoupled decay (Loshchilov & Hutter 2019) of weights, not of biases."""

    def __init__(self, params: Params, learning_rate: float, weight_decay: float = 0.0) -> None:
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.beta1, self.beta2, self.eps = 0.9, 0.999, 1e-8
        self.m = {name: np.zeros_like(p) for name, p in params.items()}
        self.v = {name: np.zeros_like(p) for name, p in params.items()}
        self.t = 0

    def step(self, params: Params, grads: Params) -> Params:
        """The parameters after one update; the old ones are left alone."""
        self.t += 1
        new = {}
        for name, p in params.items():
            g = grads[name]
            self.m[name] = self.beta1 * self.m[name] + (1 - self.beta1) * g
            self.v[name] = self.beta2 * self.v[name] + (1 - self.beta2) * g**2
            m_hat = self.m[name] / (1 - self.beta1**self.t)
            v_hat = self.v[name] / (1 - self.beta2**self.t)
            decay = 0.0 if name.endswith("bias") else self.weight_decay
            new[name] = p - self.learning_rate * (m_hat / (np.sqrt(v_hat) + self.eps) + decay * p)
        return new


def fit(
    params: Params,
    x: np.ndarray,
    y: np.ndarray,
    cell: str = "lstm",
    epochs: int = 1,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    shuffle: bool = True,
    seed: int = 0,
    clip_norm: float | None = None,
    weight_decay: float = 0.0,
    lengths: np.ndarray | None = None,
    squash_output: bool = True,
    loss: Loss = MSE,
) -> tuple[list[Params], list[float]]:
    """Train by minibatches; an epoch's last may be smaller, and its loss is the mean over its own elements.

    Returns the parameters after each epoch, and each epoch's training loss: the mean over all targets of the
    losses that its minibatches had before their updates.
    """
    outputs_seen = np.ones(len(x), int)  # of each sample
    if y.ndim == 3:
        outputs_seen = np.full(len(x), x.shape[1]) if lengths is None else lengths
    adam = Adam(params, learning_rate, weight_decay)
    after_epoch, losses = [], []
    for epoch in range(epochs):
        order = shuffled(len(x), seed, epoch) if shuffle else np.arange(len(x))
        total = 0.0
        for first in range(0, len(x), batch_size):
            batch = order[first : first + batch_size]
            options = {} if cell == "ann" else {"squash_output": squash_output}
            if lengths is not None:
                options["lengths"] = lengths[batch]
            mean, grads = loss_and_gradients(params, x[batch], y[batch], cell, loss, **options)
            params = adam.step(params, clip({name: grads[name] for name in params}, clip_norm))
            total += mean * outputs_seen[batch].sum()
        after_epoch.append(params)
        losses.append(total / outputs_seen.sum())
    return after_epoch, losses
