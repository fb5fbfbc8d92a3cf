"""A network's parameters: their names, shapes and initial values, and where each lies in the flat buffer."""

import math

import numpy as np

from trendlstm.config import NetworkConfig
from trendlstm.kernels import buffers

_CELL_CODES = {
    "lstm": buffers.LSTM,
    "lstm1997": buffers.LSTM1997,
    "rnn": buffers.RNN,
    "rnn-sigmoid": buffers.RNN_SIGMOID,
    "ann": buffers.FEEDFORWARD,
}
_LOSS_CODES = {
    "mse": buffers.MSE,
    "mae": buffers.MAE,
    "huber": buffers.HUBER,
    "pinball": buffers.PINBALL,
    "gaussian": buffers.GAUSSIAN,
}


def make_plan(config: NetworkConfig, steps: int, every_step: bool = False) -> buffers.Plan:
    """A network's shape, as the kernels see it, for windows of `steps`; a feed-forward cell's have its lag.

    With `every_step` the dense layers see the hidden state of every step, otherwise that of the last.
    """
    return buffers.make_plan(
        _CELL_CODES[config.cell],
        config.lag if config.cell == "ann" and config.lag else steps,
        config.input_size,
        config.hidden_size,
        config.dense,
        config.last_layer_size,
        config.bias,
        config.squash_output,
        every_step,
        _LOSS_CODES[config.loss],
        config.quantiles,
        config.huber_delta,
    )


def parameter_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape, in the order and shapes of `Network.state_dict`."""
    hidden, rows = config.hidden_size, buffers.CELLS[_CELL_CODES[config.cell]].n_gates * config.hidden_size
    if config.cell == "ann":
        assert config.lag is not None
        shapes: dict[str, tuple[int, ...]] = {"hidden.weight": (hidden, config.lag * config.input_size)}
        bias = "hidden.bias"
    else:
        shapes = {"recurrent.weight_ih": (rows, config.input_size), "recurrent.weight_hh": (rows, hidden)}
        bias = "recurrent.bias"
    if config.bias:
        shapes[bias] = (rows,)
    n_in = hidden
    for layer, n_out in enumerate((*config.dense, config.last_layer_size)):
        shapes[f"dense.{layer}.weight"] = (n_out, n_in)
        shapes[f"dense.{layer}.bias"] = (n_out,)
        n_in = n_out
    return shapes


def named_values(config: NetworkConfig, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Copies out of a flat buffer (P,), as `Network.theta` or its gradient, by name and in their public shapes."""
    shapes, views = parameter_shapes(config), named_views(config, flat)
    # in C order: safetensors writes the bytes of another order as they lie, which would scramble the weights
    return {name: np.array(view, order="C").reshape(shapes[name]) for name, view in views.items()}


def named_views(config: NetworkConfig, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Views into a flat buffer (P,), by name, without the padding; gates on an axis of their own."""
    plan = make_plan(config, config.lag or 1)
    recurrent, *dense = buffers.parameter_views(plan, flat)
    hidden, padded = config.hidden_size, plan.hidden_size
    views: dict[str, np.ndarray] = {}

    def stack(rows: np.ndarray) -> np.ndarray:  # (gates, n, H) -> (gates, H, n), a view
        return rows[:, :, :hidden].swapaxes(1, 2)

    if config.cell == "ann":
        views["hidden.weight"] = stack(recurrent[:, : plan.features])
        if config.bias:
            views["hidden.bias"] = recurrent[:, -1, :hidden]
    else:
        views["recurrent.weight_ih"] = stack(recurrent[:, padded : padded + plan.features])
        views["recurrent.weight_hh"] = stack(recurrent[:, :hidden])
        if config.bias:
            views["recurrent.bias"] = recurrent[:, -1, :hidden]
    n_in = hidden
    for layer, (block, n_out) in enumerate(zip(dense, (*config.dense, config.last_layer_size), strict=True)):
        views[f"dense.{layer}.weight"] = block[:n_in, :n_out].T
        views[f"dense.{layer}.bias"] = block[-1, :n_out]
        n_in = n_out
    return views


def initial_values(config: NetworkConfig) -> dict[str, np.ndarray]:
    """Initial parameters (float64), see `Network`."""
    generator = np.random.default_rng(config.seed)
    hidden = config.hidden_size
    values = {}
    for name, shape in parameter_shapes(config).items():
        first_layer = name.startswith(("recurrent", "hidden"))
        if config.init == "uniform":
            n_in = hidden if first_layer else parameter_shapes(config)[name.rpartition(".")[0] + ".weight"][1]
            bound = 1 / math.sqrt(n_in)
            values[name] = generator.uniform(-bound, bound, shape)
        elif name.endswith("bias"):
            values[name] = np.zeros(shape)
        elif name == "recurrent.weight_hh" and config.init == "orthogonal":
            values[name] = _orthonormal_columns(generator.standard_normal(shape))
        else:
            bound = math.sqrt(6 / sum(shape))
            values[name] = generator.uniform(-bound, bound, shape)
    if config.cell == "lstm" and config.bias:
        input_gate, forget_gate = slice(0, hidden), slice(hidden, 2 * hidden)
        bias = values["recurrent.bias"]
        if config.forget_bias == "chrono":
            assert config.lag is not None
            bias[forget_gate] = np.log(generator.uniform(1, config.lag - 1, hidden))
            bias[input_gate] = -bias[forget_gate]
        else:
            bias[forget_gate] += float(config.forget_bias)
    return values


def _orthonormal_columns(matrix: np.ndarray) -> np.ndarray:
    """Gram-Schmidt, each column twice for full precision; of normal draws, uniform over all such matrices.

    Not `numpy.linalg.qr`, whose last bits depend on the number of threads of the BLAS.
    """
    rows = np.ascontiguousarray(matrix.T)
    for k, row in enumerate(rows):
        for _ in range(2):
            row -= np.einsum("ij,i->j", rows[:k], np.einsum("ij,j->i", rows[:k], row))
        row /= math.sqrt(np.einsum("j,j->", row, row))
    return rows.T
