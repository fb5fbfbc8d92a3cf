"""The networks once more, plain as the equations: float64 NumPy, a loop over time, one matrix product a line.

This is the reference that the fast kernels are tested against, and the reference itself is tested by finite
differences in test_naive.py. It shares no code with the package.

Shapes: N samples, T time steps, F input features, H hidden units, m outputs. G blocks of rows: 4 for `lstm`
(i, f, g, o), 3 for `lstm1997` (i, g, o: there is no forget gate) and `gru` (r, z, n), 1 for `rnn` and `rnn-sigmoid`.

    recurrent.weight_ih (G*H, F)    recurrent.weight_hh (G*H, H)    recurrent.bias (G*H,), absent without bias
    recurrent.bias_ih, _hh (G*H,)   in place of recurrent.bias for `gru`
    recurrent.0.weight_ih, ...      in place of these, for several layers; each sees h_t of the one below
    hidden.weight (H, T*F)          hidden.bias (H,)                in place of these for `ann`
    dense.0.weight (out, in)        dense.0.bias (out,)             dense.1 ...; the last one is linear

A loss may want several outputs of each target; then m counts targets, and those of one target stand together.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Params = dict[str, np.ndarray]

GATES = {"lstm": 4, "lstm1997": 3, "gru": 3, "rnn": 1, "rnn-sigmoid": 1}


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
    hidden: int | tuple[int, ...] = 4,
    dense: tuple[int, ...] = (),
    outputs: int = 1,
    bias: bool = True,
) -> Params:
    """Every tensor of a network, biases too, drawn so that no gate is near 0 or 1, where derivatives vanish."""

    def draw(*shape: int) -> np.ndarray:
        bound = 0.5 if len(shape) == 1 else 1 / np.sqrt(shape[1])
        return rng.uniform(-bound, bound, shape)

    params = {}
    hidden = hidden if isinstance(hidden, tuple) else (hidden,)
    if cell == "ann":
        params["hidden.weight"] = draw(hidden[0], steps * features)
        if bias:
            params["hidden.bias"] = draw(hidden[0])
    else:
        n_in = features
        for layer, size in enumerate(hidden):
            name = "recurrent" if len(hidden) == 1 else f"recurrent.{layer}"
            rows = GATES[cell] * size
            params[f"{name}.weight_ih"] = draw(rows, n_in)
            params[f"{name}.weight_hh"] = draw(rows, size)
            if bias:
                for kind in ("bias_ih", "bias_hh") if cell == "gru" else ("bias",):
                    params[f"{name}.{kind}"] = draw(rows)
            n_in = size
    sizes = [hidden[-1], *dense, outputs]
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


def gru_forward(a: np.ndarray, q: np.ndarray, h_prev: np.ndarray) -> tuple:
    """One step of the GRU from a = W_ih x_t + b_ih and q = W_hh h_{t-1} + b_hh: h_t and the gates' outputs."""
    (a_r, a_z, a_n), (q_r, q_z, q_n) = np.split(a, 3, axis=1), np.split(q, 3, axis=1)
    r = sigmoid(a_r + q_r)
    z = sigmoid(a_z + q_z)
    n = np.tanh(a_n + r * q_n)
    return (1 - z) * n + z * h_prev, (r, z, n, q_n)


def gru_backward(dh: np.ndarray, h_prev: np.ndarray, gates: tuple) -> tuple:
    """The same step backward: dL/da, dL/dq, and what of dL/dh_{t-1} does not come through q."""
    r, z, n, q_n = gates
    da_z = dh * (h_prev - n) * z * (1 - z)
    da_n = dh * (1 - z) * (1 - n**2)
    da_r = da_n * q_n * r * (1 - r)
    return (
        np.concatenate([da_r, da_z, da_n], axis=1),
        np.concatenate([da_r, da_z, da_n * r], axis=1),
        dh * z,
    )


@dataclass
class Trace:
    """What the forward pass of the recurrent layer leaves for the backward pass."""

    cell: str
    squash_output: bool
    x: np.ndarray  # (N, T, F)
    lengths: np.ndarray  # (N,)
    mask: np.ndarray  # (N, H): what h_{t-1} is multiplied by before W_hh
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
    mask: np.ndarray | None = None,
) -> Trace:
    """Hidden states of all steps. Sample n runs for lengths[n] steps; what x holds after them is not read."""
    W_ih, W_hh = params["recurrent.weight_ih"], params["recurrent.weight_hh"]
    b = params.get("recurrent.bias", 0.0)
    x = np.asarray(x, dtype=np.float64)
    N, T, _ = x.shape
    H = W_hh.shape[1]
    lengths = np.full(N, T) if lengths is None else np.asarray(lengths)
    mask = np.ones((N, H)) if mask is None else mask
    trace = Trace(cell, squash_output, x, lengths, mask, np.zeros((N, T + 1, H)), np.zeros((N, T + 1, H)))
    h, c = trace.h, trace.c
    h[:, 0] = 0.0 if h0 is None else h0
    c[:, 0] = 0.0 if c0 is None else c0

    for t in range(T):
        on = lengths > t
        h[:, t + 1], c[:, t + 1] = h[:, t], c[:, t]
        h_seen = h[on, t] * mask[on]
        if cell == "gru":
            a = x[on, t] @ W_ih.T + params.get("recurrent.bias_ih", 0.0)
            q = h_seen @ W_hh.T + params.get("recurrent.bias_hh", 0.0)
            h[on, t + 1], gates = gru_forward(a, q, h[on, t])
        else:
            z = x[on, t] @ W_ih.T + h_seen @ W_hh.T + b
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
        direct = 0.0  # of dL/dh_{t-1}: what does not come through W_hh
        if trace.cell == "gru":
            dz, dq, direct = gru_backward(dh[on], h[on, t], trace.gates[t])
        else:
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
            dq = dz
        grads["recurrent.weight_ih"] += dz.T @ x[on, t]
        grads["recurrent.weight_hh"] += dq.T @ (h[on, t] * trace.mask[on])
        for bias, part in (("bias", dz), ("bias_ih", dz), ("bias_hh", dq)):
            if f"recurrent.{bias}" in grads:
                grads[f"recurrent.{bias}"] += part.sum(axis=0)
        dx[on, t] = dz @ W_ih
        dh[on] = direct + (dq @ W_hh) * trace.mask[on]
    return grads | {"x": dx, "h0": dh, "c0": dc}


# ------------------------------------------------------------------------------------ several recurrent layers


@dataclass
class Dropped:
    """What dropout multiplies by, 0 or 1 / (1 - p), of every layer."""

    outputs: list[np.ndarray]  # (N, T, H): h_t on its way to the layer above, or to the dense head
    recurrent: list[np.ndarray]  # (N, H): h_{t-1} on its way to W_hh, the same in all steps


def layers_of(params: Params) -> list[Params]:
    """Each recurrent layer's tensors, by the names of a single layer's."""
    if "recurrent.weight_hh" in params:
        return [{name: value for name, value in params.items() if name.startswith("recurrent.")}]
    count = sum(name.endswith("weight_hh") for name in params)
    return [
        {
            name.replace(f".{layer}.", "."): value
            for name, value in params.items()
            if name.startswith(f"recurrent.{layer}.")
        }
        for layer in range(count)
    ]


def stack_forward(
    params: Params,
    x: np.ndarray,
    cell: str,
    dropped: Dropped | None = None,
    h0: Any = None,
    c0: Any = None,
    **options: Any,
) -> list[Trace]:
    """Every layer's trace, from the first up; h0 and c0 are those of the only layer, or lists of all layers'."""
    traces: list[Trace] = []
    for layer, tensors in enumerate(layers_of(params)):
        state = [value[layer] if isinstance(value, list) else value for value in (h0, c0)]
        mask = None if dropped is None else dropped.recurrent[layer]
        traces.append(recurrent_forward(tensors, x, cell, h0=state[0], c0=state[1], mask=mask, **options))
        x = traces[-1].h[:, 1:]
        if dropped is not None:
            x = x * dropped.outputs[layer]
    return traces


def stack_backward(
    params: Params, traces: list[Trace], dh_steps: np.ndarray, dropped: Dropped | None = None
) -> Params:
    """Gradients of all recurrent tensors, of "x", and of the layers' "h0" and "c0" (lists if there are several)."""
    grads: Params = {}
    states: dict[str, list] = {"h0": [], "c0": []}
    layers = layers_of(params)
    for layer in reversed(range(len(layers))):
        if dropped is not None:
            dh_steps = dh_steps * dropped.outputs[layer]
        own = recurrent_backward(layers[layer], traces[layer], dh_steps)
        dh_steps = own.pop("x")
        for name, values in states.items():
            values.insert(0, own.pop(name))
        number = "." if len(layers) == 1 else f".{layer}."
        grads |= {name.replace(".", number, 1): value for name, value in own.items()}
    only = len(layers) == 1
    return grads | {"x": dh_steps} | {name: v[0] if only else v for name, v in states.items()}


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

    Options: lengths, h0, c0, squash_output, dropped, as in `stack_forward`.
    """
    if cell == "ann":
        return dense_forward(params, hidden_forward(params, x))[-1]
    trace = stack_forward(params, x, cell, **options)[-1]
    N, T, _ = x.shape
    seen = steps_seen(trace.lengths, T, every_step)
    values = dense_forward(params, top_outputs(trace, options.get("dropped"))[seen])[-1]
    if not every_step:
        return values
    outputs = np.full((N, T, values.shape[1]), np.nan)
    outputs[seen] = values
    return outputs


def top_outputs(trace: Trace, dropped: Dropped | None) -> np.ndarray:
    """What the dense head may look at (N, T, H)."""
    return trace.h[:, 1:] if dropped is None else trace.h[:, 1:] * dropped.outputs[-1]


def backward(params: Params, x: np.ndarray, dout: np.ndarray, cell: str = "lstm", **options: Any) -> Params:
    """Gradients of every tensor, of "x", and for recurrent cells of "h0" and "c0", from dL/doutput.

    `dout` is (N, m), or (N, T, m) if the loss looks at every step; what it holds after a sample's end is not read.
    """
    if cell == "ann":
        h = hidden_forward(params, x)
        grads, dh = dense_backward(params, dense_forward(params, h), dout)
        return grads | hidden_backward(params, x, h, dh)
    traces, dropped = stack_forward(params, x, cell, **options), options.get("dropped")
    trace = traces[-1]
    every_step = dout.ndim == 3
    seen = steps_seen(trace.lengths, x.shape[1], every_step)
    values = dense_forward(params, top_outputs(trace, dropped)[seen])
    grads, dh = dense_backward(params, values, dout[seen] if every_step else dout)
    dh_steps = np.zeros_like(trace.h[:, 1:])
    dh_steps[seen] = dh
    return grads | stack_backward(params, traces, dh_steps, dropped)


@dataclass(frozen=True)
class Loss:
    """What is minimised; `outputs` (..., m * each) are the network's own, several of each target side by side."""

    name: str = "mse"  # or mae, huber, pinball, gaussian, cross-entropy
    quantiles: tuple[float, ...] = ()  # of pinball
    delta: float = 1.0  # of huber
    classes: int = 0  # of cross-entropy, whose targets are their numbers, 0, 1, ...

    @property
    def each(self) -> int:
        """The outputs of one target."""
        several = {"pinball": len(self.quantiles), "gaussian": 2, "cross-entropy": self.classes}
        return several.get(self.name, 1)

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
        elif self.name == "cross-entropy":
            probability = np.exp(out) / np.exp(out).sum(axis=-1, keepdims=True)
            is_target = np.arange(self.classes) == y[..., None]
            losses = np.where(is_target, -np.log(probability), 0.0)
            slopes = probability - is_target
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


def epoch_state(seed: int, epoch: int) -> int:
    """The state of an epoch's generator."""
    _, mixed = splitmix64(seed)  # so that neighbouring seeds and epochs share nothing
    _, state = splitmix64(mixed ^ epoch)
    return state


def draw_dropped(
    seed: int,
    epoch: int,
    positions: np.ndarray,
    steps: int,
    hidden: tuple[int, ...],
    dropout: float,
    recurrent_dropout: float,
) -> Dropped:
    """The factors for the samples at these places of an epoch: one numbered draw for each."""
    _, state = splitmix64(epoch_state(seed, epoch) ^ 0xD1B54A32D192ED03)
    rows = [splitmix64(state ^ int(position))[1] | 1 for position in positions]

    def factor(row: int, draw: int, p: float) -> float:
        number = splitmix64((row + draw * 0x9E3779B97F4A7C15) & MASK64)[1]
        return 0.0 if (number >> 11) / 2**53 < p else 1 / (1 - p)

    def first(layer: int, t: int) -> int:
        return (layer * (steps + 1) + t) << 20

    return Dropped(
        [
            np.array(
                [
                    [[factor(r, first(k, t) + j, dropout) for j in range(H)] for t in range(steps)]
                    for r in rows
                ]
            )
            for k, H in enumerate(hidden)
        ],
        [
            np.array([[factor(r, first(k, steps) + j, recurrent_dropout) for j in range(H)] for r in rows])
            for k, H in enumerate(hidden)
        ],
    )


def shuffled(n: int, seed: int, epoch: int) -> np.ndarray:
    """The samples' order in an epoch: Fisher-Yates from the last to the first, on splitmix64(seed, epoch)."""
    state = epoch_state(seed, epoch)
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
            decay = 0.0 if "bias" in name else self.weight_decay
            new[name] = p - self.learning_rate * (m_hat / (np.sqrt(v_hat) + self.eps) + decay * p)
        return new


class SGD:
    """Gradient descent with momentum (Polyak 1964) as PyTorch has it; its decay is decoupled, as Adam's is."""

    def __init__(
        self, params: Params, learning_rate: float, weight_decay: float = 0.0, momentum: float = 0.9
    ) -> None:
        self.learning_rate, self.weight_decay, self.momentum = learning_rate, weight_decay, momentum
        self.velocity = {name: np.zeros_like(p) for name, p in params.items()}

    def step(self, params: Params, grads: Params) -> Params:
        """The parameters after one update; the old ones are left alone."""
        new = {}
        for name, p in params.items():
            self.velocity[name] = self.momentum * self.velocity[name] + grads[name]
            decay = 0.0 if name.endswith("bias") else self.weight_decay
            new[name] = p - self.learning_rate * (self.velocity[name] + decay * p)
        return new


def reductions(losses: list[float], warmup: int, plateau_patience: int) -> int:
    """How often so many epochs in a row did not have the lowest loss so far; the warm-up's are left out."""
    times = waited = 0
    losses = losses[warmup:]
    for epoch, loss in enumerate(losses):
        waited = 0 if loss < min(losses[:epoch], default=np.inf) else waited + 1
        if waited == plateau_patience:
            times, waited = times + 1, 0
    return times


def scheduled_rate(
    step: int,
    steps: int,
    epochs: int,
    learning_rate: float,
    losses: list[float],
    schedule: str = "constant",
    warmup: int = 0,
    step_epochs: int = 1,
    plateau_patience: int = 10,
    schedule_factor: float = 0.1,
) -> float:
    """The learning rate of a step, 1, 2, ..., where an epoch has `steps`; `losses` are those of the epochs before."""
    epoch = (step - 1) // steps
    if epoch < warmup:
        return learning_rate * step / (warmup * steps)
    share = {
        "constant": 1.0,
        "cosine": (1 + np.cos(np.pi * (epoch - warmup) / (epochs - warmup))) / 2,
        "step": schedule_factor ** ((epoch - warmup) // step_epochs),
        "plateau": schedule_factor ** reductions(losses[:epoch], warmup, plateau_patience),
    }
    return learning_rate * share[schedule]


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
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    truncate: int | None = None,
    optimizer: str = "adam",
    momentum: float = 0.9,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    loss: Loss = MSE,
    **schedule: Any,
) -> tuple[list[Params], list[float]]:
    """Train by minibatches; an epoch's last may be smaller, and its loss is the mean over its own elements.

    With `truncate` = K each minibatch makes a step on its steps 1 ... K, then on K+1 ... 2K, ...: every sample's state
    goes on from where it was, computed with the weights of then, but is a constant to the gradient. `schedule` is that
    of `scheduled_rate`; `validation` is what a plateau is looked for in, otherwise the training.

    Returns the parameters after each epoch, and each epoch's training loss: the mean over all targets of the
    losses that its minibatches had before their updates.
    """
    outputs_seen = np.ones(len(x), int)  # of each sample
    if y.ndim == 3:
        outputs_seen = np.full(len(x), x.shape[1]) if lengths is None else lengths
    if optimizer == "sgd":
        descent: Adam | SGD = SGD(params, learning_rate, weight_decay, momentum)
    else:
        descent = Adam(params, learning_rate, weight_decay)
    after_epoch, losses, watched = [], [], []
    step, steps = 0, -(-len(x) // batch_size)
    for epoch in range(epochs):
        order = shuffled(len(x), seed, epoch) if shuffle else np.arange(len(x))
        total = 0.0
        for first in range(0, len(x), batch_size):
            batch = order[first : first + batch_size]
            options = {} if cell == "ann" else {"squash_output": squash_output}
            if lengths is not None:
                options["lengths"] = lengths[batch]
            if dropout or recurrent_dropout:
                hidden = tuple(layer["recurrent.weight_hh"].shape[1] for layer in layers_of(params))
                places = first + np.arange(len(batch))
                options["dropped"] = draw_dropped(
                    seed, epoch, places, x.shape[1], hidden, dropout, recurrent_dropout
                )
            for start in range(0, x.shape[1], truncate or x.shape[1]):
                part = slice(start, start + (truncate or x.shape[1]))
                targets, seen = y[batch], outputs_seen[batch]
                if truncate:
                    on = seen > start  # samples that have steps left
                    batch, targets, seen = batch[on], targets[on][:, part], seen[on]
                    options["lengths"] = seen = np.minimum(seen, part.stop) - start
                    for name in ("h0", "c0"):
                        if name in options:
                            options[name] = [value[on] for value in options[name]]
                    if not len(batch):
                        break
                mean, grads = loss_and_gradients(params, x[batch, part], targets, cell, loss, **options)
                if truncate:
                    traces = stack_forward(params, x[batch, part], cell, **options)
                    options |= {"h0": [t.h[:, -1] for t in traces], "c0": [t.c[:, -1] for t in traces]}
                step += 1
                descent.learning_rate = scheduled_rate(
                    step, steps, epochs, learning_rate, watched, **schedule
                )
                params = descent.step(params, clip({name: grads[name] for name in params}, clip_norm))
                total += mean * seen.sum()
        after_epoch.append(params)
        losses.append(total / outputs_seen.sum())
        watched.append(
            losses[-1]
            if validation is None
            else loss.mean(predict(params, validation[0], cell), validation[1])
        )
    return after_epoch, losses
