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
    "gru": buffers.GRU,
    "ann": buffers.FEEDFORWARD,
}
_LOSS_CODES = {
    "mse": buffers.MSE,
    "mae": buffers.MAE,
    "huber": buffers.HUBER,
    "pinball": buffers.PINBALL,
    "gaussian": buffers.GAUSSIAN,
    "cross-entropy": buffers.CROSS_ENTROPY,
}


def make_plan(config: NetworkConfig, steps: int, every_step: bool = False) -> buffers.Plan:
    """A network's shape, as the kernels see it, for windows of `steps`; a feed-forward cell's have its lag.

    With `every_step` the dense layers see the hidden state of every step, otherwise that of the last.
    """
    return buffers.make_plan(
        _CELL_CODES[config.cell],
        config.lag if config.cell == "ann" and config.lag else steps,
        config.input_size,
        config.hidden_sizes,
        config.dense,
        config.last_layer_size,
        config.bias,
        config.squash_output,
        every_step,
        config.dropout,
        config.recurrent_dropout,
        _LOSS_CODES[config.loss],
        config.quantiles,
        config.huber_delta,
        config.outputs_per_target,
    )


def recurrent_name(layers: int, layer: int) -> str:
    """What the names of a recurrent layer's parameters begin with: "recurrent", or with several "recurrent.0", ..."""
    return "recurrent" if layers == 1 else f"recurrent.{layer}"


def parameter_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape, in the order and shapes of `Network.state_dict`."""
    shapes: dict[str, tuple[int, ...]] = {}
    kind = buffers.CELLS[_CELL_CODES[config.cell]]
    n_in = config.input_size
    for layer, hidden in enumerate(config.hidden_sizes):
        rows = kind.n_gates * hidden
        if config.cell == "ann":
            assert config.lag is not None
            name, biases = "hidden", ["bias"]
            shapes["hidden.weight"] = (hidden, config.lag * n_in)
        else:
            name = recurrent_name(config.layers, layer)
            biases = ["bias_ih", "bias_hh"] if kind.has_reset_gate else ["bias"]
            shapes |= {f"{name}.weight_ih": (rows, n_in), f"{name}.weight_hh": (rows, hidden)}
        if config.bias:
            shapes |= {f"{name}.{bias}": (rows,) for bias in biases}
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
    blocks = buffers.parameter_views(plan, flat)
    views: dict[str, np.ndarray] = {}
    n_in = plan.features
    for index, (layer, block, hidden) in enumerate(
        zip(plan.layers, blocks, config.hidden_sizes, strict=False)
    ):
        gates, x_row = block[:, :, :hidden].swapaxes(1, 2), int(layer.x_row)  # (gates, K, H) -> (gates, H, K)
        of_x = gates[:, :, x_row : x_row + n_in]
        if config.cell == "ann":
            name, biases = "hidden", {"bias": -1}
            views["hidden.weight"] = of_x
        else:
            name, biases = recurrent_name(config.layers, index), {"bias": -1}
            if plan.has_reset_gate:
                biases = {"bias_ih": -1, "bias_hh": x_row - 1}
            views |= {f"{name}.weight_ih": of_x, f"{name}.weight_hh": gates[:, :, :hidden]}
        if config.bias:
            views |= {f"{name}.{bias}": block[:, row, :hidden] for bias, row in biases.items()}
        n_in = hidden
    for index, n_out in enumerate((*config.dense, config.last_layer_size)):
        block = blocks[len(plan.layers) + index]
        views[f"dense.{index}.weight"] = block[:n_in, :n_out].T
        views[f"dense.{index}.bias"] = block[-1, :n_out]
        n_in = n_out
    return views


def initial_values(config: NetworkConfig) -> dict[str, np.ndarray]:
    """Initial parameters (float64), see `Network`."""
    generator = np.random.default_rng(config.seed)
    values = {}
    shapes = parameter_shapes(config)
    for name, shape in shapes.items():
        layer, _, kind = name.rpartition(".")
        if config.init == "uniform":
            recurrent = shapes.get(f"{layer}.weight_hh")
            n_in = (
                shapes["hidden.weight"][0]
                if layer == "hidden"
                else (recurrent or shapes[f"{layer}.weight"])[1]
            )
            bound = 1 / math.sqrt(n_in)
            values[name] = generator.uniform(-bound, bound, shape)
        elif kind.startswith("bias"):
            values[name] = np.zeros(shape)
        elif kind == "weight_hh" and config.init == "orthogonal":
            values[name] = _orthonormal_columns(generator.standard_normal(shape))
        else:
            bound = math.sqrt(6 / sum(shape))
            values[name] = generator.uniform(-bound, bound, shape)
    if config.cell == "lstm" and config.bias:
        for index, hidden in enumerate(config.hidden_sizes):
            input_gate, forget_gate = slice(0, hidden), slice(hidden, 2 * hidden)
            bias = values[f"{recurrent_name(config.layers, index)}.bias"]
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
