"""The nodes of a network, and of a forecaster from prices to prices, in a graph of ONNX.

Layers of the cells `lstm`, `gru` and `rnn` in float32 become ONNX's LSTM, GRU and RNN. The others are spelt out,
equation by equation, in the body of a `Scan`: ONNX Runtime computes those operators in float32 only, no variant of them
lacks the forget gate, and not every runtime takes notice of other activations (ONNX's own reference evaluator computes
tanh where the output squashing is left out, and does not know the sigmoid in an RNN). Dropout is for training alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from trendlstm.config import FEATURES, DType, NetworkConfig
from trendlstm.data.windows import Scaler
from trendlstm.kernels.equations import SCALE_FLOOR
from trendlstm.nn.parameters import recurrent_name

if TYPE_CHECKING:
    from trendlstm.nn.network import Network
    from trendlstm.workflows.forecast import Forecaster

ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
_ELMAN = {"rnn": "Tanh", "rnn-sigmoid": "Sigmoid"}  # activations, by cell
# By cell, with the gates of its own order in ONNX's.
_OPERATORS = {"lstm": ("LSTM", (0, 3, 1, 2)), "gru": ("GRU", (1, 0, 2)), "rnn": ("RNN", (0,))}
_GATES = {"lstm": "ifgo", "lstm1997": "igo", "gru": "rzn"}


class Graph:
    """Nodes and constants that are being put together.

    Parameters
    ----------
    prefix : str
        Goes before every name that is made here: names in a graph are unique, in the bodies of its loops too.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def part(self, prefix: str) -> Self:
        """The same graph with a longer prefix."""
        part = type(self)(self.prefix + prefix)
        part.nodes, part.constants = self.nodes, self.constants
        return part

    def add(
        self, operator: str, *inputs: str, output: str | None = None, skip: int = 0, **attributes: Any
    ) -> str:
        """Append a node with one output.

        Parameters
        ----------
        operator : str
        *inputs : str
            Names of what it takes.
        output : str, optional
            A name for the output, which gets no prefix.
        skip : int
            Optional outputs that come before it and are left out.
        **attributes
            The operator's own.

        Returns
        -------
        str
            The output's name.
        """
        name = self._next(operator)
        outputs = [""] * skip + [output or name]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs[-1]

    def add_several(self, count: int, operator: str, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node with `count` outputs; their names."""
        name = self._next(operator)
        outputs = [f"{name}.{index}" for index in range(count)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs

    def constant(self, name: str, values: Any) -> str:
        """Add an array of float32, float64 or int64; its name."""
        name = self.prefix + name
        self.constants.append(numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def to_proto(self, name: str, inputs: list[Any], outputs: list[Any]) -> GraphProto:
        """The finished graph, with what it takes and gives."""
        return helper.make_graph(self.nodes, name, inputs, outputs, self.constants)

    def _next(self, operator: str) -> str:
        return f"{self.prefix}{operator}_{len(self.nodes)}"


def is_operator(config: NetworkConfig) -> bool:
    """Whether ONNX's LSTM, GRU or RNN, as every runtime computes it, is this network's recurrent layer."""
    unusual = config.cell == "lstm" and not config.squash_output
    return config.cell in _OPERATORS and not unusual and config.dtype == "float32"


def gate_order(config: NetworkConfig) -> str | None:
    """The order in which the gates' rows lie in the graph's weights; None for a cell without gates.

    An operator's is in ONNX's letters: c is g, the cell's candidate, and h is n, the GRU's.
    """
    if is_operator(config):
        return {"lstm": "iofc", "gru": "zrh"}.get(config.cell)
    return _GATES.get(config.cell)


def add_network(graph: Graph, network: Network, x: str, output: str | None = None) -> str:
    """Add a network.

    Parameters
    ----------
    graph : Graph
        Appended to.
    network : Network
    x : str
        Inputs (N, T, F) in the network's dtype.
    output : str, optional
        A name for its outputs.

    Returns
    -------
    str
        What `Network.predict` returns, in the network's dtype; NaN for a sample with an input that is not finite.
    """
    config, values = network.config, network.state_dict()
    if config.cell == "ann":
        h = graph.add("Tanh", _add_layer(graph, graph.add("Flatten", x, axis=1), values, "hidden"))
    else:
        # ONNX has an attribute for batch-first inputs, but ONNX Runtime refuses it and OpenVINO gets it wrong
        h = graph.add("Transpose", x, perm=[1, 0, 2])
        add_recurrent = _add_operator if is_operator(config) else _add_scan
        for layer in range(config.layers):
            h = add_recurrent(
                graph, config, layer, _of_layer(values, recurrent_name(config.layers, layer)), h
            )
    for layer in range(len(config.dense)):
        h = graph.add("Relu", _add_layer(graph, h, values, f"dense.{layer}"))
    y = _add_layer(graph, h, values, f"dense.{len(config.dense)}")
    # `Network.predict` refuses such inputs; ONNX Runtime's LSTM makes plausible outputs of them
    nan = graph.constant("nan", np.array(np.nan, config.dtype))
    is_finite = _add_is_finite(graph, x, config.dtype)
    if config.loss not in ("pinball", "gaussian", "cross-entropy"):
        return graph.add("Where", is_finite, y, nan, output=output)
    return _add_distribution(graph, config, graph.add("Where", is_finite, y, nan), output)


def _add_distribution(graph: Graph, config: NetworkConfig, y: str, output: str | None) -> str:
    """Sorted quantiles (N, m, Q), mean and scale (N, m, 2), or probabilities (N, m, K), of the last layer's outputs.

    As `nn.outputs` has them.
    """
    each = config.outputs_per_target
    shape = graph.constant("distribution.shape", [-1, config.output_size, each])
    values = graph.add("Reshape", y, shape)
    if config.loss == "pinball":
        count = graph.constant("distribution.quantiles", [each])
        quantiles, _ = graph.add_several(2, "TopK", values, count, largest=0)
        return graph.add("Identity", quantiles, output=output)
    if config.loss == "cross-entropy":
        return graph.add("Softmax", values, axis=2, output=output)
    mean, raw = graph.add_several(2, "Split", values, axis=2)
    floor = graph.constant("distribution.floor", np.array(SCALE_FLOOR, config.dtype))
    if config.dtype == "float32":
        softplus = graph.add("Softplus", raw)
    else:  # which ONNX Runtime does not have: max(0, a) - ln(sigmoid(|a|))
        near_zero = graph.add("Log", graph.add("Sigmoid", graph.add("Abs", raw)))
        softplus = graph.add("Sub", graph.add("Relu", raw), near_zero)
    scale = graph.add("Add", softplus, floor)
    return graph.add("Concat", mean, scale, axis=2, output=output)


def _add_is_finite(graph: Graph, x: str, dtype: DType) -> str:
    """Whether all inputs of a sample (N, T, F) are finite, (N, 1)."""
    size = graph.add("Abs", graph.add("Flatten", x, axis=1))
    finite = graph.add("LessOrEqual", size, graph.constant("largest", np.finfo(dtype).max))
    # there is no "all": it is the least of 0 and 1
    least = graph.add("ReduceMin", graph.add("Cast", finite, to=TensorProto.FLOAT), axes=[1])
    return graph.add("Cast", least, to=TensorProto.BOOL)


def _add_layer(graph: Graph, x: str, values: Mapping[str, np.ndarray], layer: str) -> str:
    """x W^T + b; a layer without a bias has none here either."""
    names = [name for name in (f"{layer}.weight", f"{layer}.bias") if name in values]
    return graph.add("Gemm", x, *(graph.constant(name, values[name]) for name in names), transB=1)


def _of_layer(values: Mapping[str, np.ndarray], layer: str) -> dict[str, np.ndarray]:
    """The parameters of a recurrent layer by the last part of their names."""
    return {
        name.removeprefix(f"{layer}."): array
        for name, array in values.items()
        if name.startswith(f"{layer}.")
    }


def _add_operator(
    graph: Graph, config: NetworkConfig, layer: int, values: Mapping[str, np.ndarray], x: str
) -> str:
    """The hidden states (T, N, H) of x (T, N, F), of the top layer the last (N, H), by ONNX's LSTM, GRU or RNN."""
    operator, order = _OPERATORS[config.cell]
    own = graph.part(f"{recurrent_name(config.layers, layer)}.")

    def for_onnx(rows: np.ndarray) -> np.ndarray:  # with an axis of directions, of which there is one
        gates = np.split(rows, len(order))
        return np.concatenate([gates[index] for index in order])[None]

    weights = [own.constant(name, for_onnx(values[name])) for name in ("weight_ih", "weight_hh")]
    if config.bias:  # ONNX adds two everywhere
        names = ("bias_ih", "bias_hh") if config.cell == "gru" else ("bias",)
        biases = [for_onnx(values[name]) for name in names]
        if len(biases) == 1:
            biases.append(np.zeros_like(biases[0]))
        weights.append(own.constant("bias", np.concatenate(biases, axis=1)))
    attributes: dict[str, Any] = {"hidden_size": config.hidden_sizes[layer]}
    if config.cell == "gru":
        attributes["linear_before_reset"] = 1
    is_top = layer == config.layers - 1
    h = own.add(operator, x, *weights, skip=int(is_top), **attributes)  # of every step, or of the last
    return own.add("Squeeze", h, own.constant("directions", [0 if is_top else 1]))


def _add_scan(
    graph: Graph, config: NetworkConfig, layer: int, values: Mapping[str, np.ndarray], x: str
) -> str:
    """The hidden states (T, N, H) of x (T, N, F), of the top layer the last (N, H), by the cell's equations."""
    own = graph.part(f"{recurrent_name(config.layers, layer)}.")
    body = Graph(f"{own.prefix}step.")
    h_before, c_before, x_t = (body.prefix + name for name in ("h_before", "c_before", "x"))
    if config.cell == "gru":
        before, after = [h_before], [_add_gru_step(body, values, h_before, x_t)]
    elif config.cell in _ELMAN:
        z = _add_gate_inputs(body, values, h_before, x_t)
        before, after = [h_before], [body.add(_ELMAN[config.cell], z)]
    else:
        z = _add_gate_inputs(body, values, h_before, x_t)
        before, after = [h_before, c_before], _add_lstm_step(body, config, z, c_before)
    states, is_top = len(before), layer == config.layers - 1
    if not is_top:  # h once more, to be kept of every step: an output's name is unique
        after.append(body.add("Identity", after[0]))
    hidden_size = config.hidden_sizes[layer]
    n_in = config.hidden_sizes[layer - 1] if layer else config.input_size

    def declared(names: list[str], size: int) -> list[Any]:
        element = ELEMENT_TYPES[config.dtype]
        return [helper.make_tensor_value_info(name, element, [None, size]) for name in names]

    step = body.to_proto(
        f"{own.prefix}step",
        [*declared(before, hidden_size), *declared([x_t], n_in)],
        declared(after, hidden_size),
    )
    n = own.add("Shape", x, start=1, end=2)
    shape = own.add("Concat", n, own.constant("hidden_size", [hidden_size]), axis=0)
    zero = numpy_helper.from_array(np.zeros(1, config.dtype))
    zeros = own.add("ConstantOfShape", shape, value=zero)
    outputs = own.add_several(len(after), "Scan", *[zeros] * states, x, body=step, num_scan_inputs=1)
    return outputs[0 if is_top else -1]


def _add_gate_inputs(body: Graph, values: Mapping[str, np.ndarray], h_before: str, x_t: str) -> str:
    """z = W [h_{t-1}, x_t] + b of all gates of an LSTM or an Elman network."""
    weight = np.concatenate([values["weight_hh"], values["weight_ih"]], axis=1)
    parameters = [body.constant("weight", weight)]
    if "bias" in values:
        parameters.append(body.constant("bias", values["bias"]))
    return body.add("Gemm", body.add("Concat", h_before, x_t, axis=1), *parameters, transB=1)


def _add_lstm_step(body: Graph, config: NetworkConfig, z: str, c_before: str) -> list[str]:
    """h_t and c_t of an LSTM, with or without a forget gate, from its gates' z."""
    gates = _GATES[config.cell]
    z_of = dict(zip(gates, body.add_several(len(gates), "Split", z, axis=1), strict=True))
    kept = c_before
    if "f" in gates:
        kept = body.add("Mul", body.add("Sigmoid", z_of["f"]), c_before)
    entered = body.add("Mul", body.add("Sigmoid", z_of["i"]), body.add("Tanh", z_of["g"]))
    c = body.add("Add", kept, entered)
    s = body.add("Tanh", c) if config.squash_output else c
    return [body.add("Mul", body.add("Sigmoid", z_of["o"]), s), c]


def _add_gru_step(body: Graph, values: Mapping[str, np.ndarray], h_before: str, x_t: str) -> str:
    """h_t of a GRU."""

    def products(seen: str, side: str) -> list[str]:
        names = [name for name in (f"weight_{side}", f"bias_{side}") if name in values]
        product = body.add("Gemm", seen, *(body.constant(name, values[name]) for name in names), transB=1)
        return body.add_several(3, "Split", product, axis=1)

    p, q = products(x_t, "ih"), products(h_before, "hh")
    r, z = (body.add("Sigmoid", body.add("Add", p[gate], q[gate])) for gate in (0, 1))
    n = body.add("Tanh", body.add("Add", p[2], body.add("Mul", r, q[2])))
    # (1 - z) n + z h_{t-1}
    return body.add("Add", n, body.add("Mul", z, body.add("Sub", h_before, n)))


def needs_close(scaler: Scaler) -> bool:
    """Whether the Close at the origin is an input of its own: window scaling of features without it."""
    return scaler.scaling == "window" and "Close" not in scaler.features


def add_forecaster(graph: Graph, forecaster: Forecaster, prices: str, close: str, output: str) -> None:
    """Add a forecaster: `Scaler.inputs`, its networks, the mean of their point forecasts, and `Scaler.prices`.

    Parameters
    ----------
    graph : Graph
        Appended to.
    forecaster : Forecaster
    prices : str
        Raw windows (N, T, F), float64.
    close : str
        Close at each window's origin (N,), float64. Used only if `needs_close`.
    output : str
        The name of the predicted closes (N, m), float64.
    """
    scaler = forecaster.scaler
    is_window = scaler.scaling == "window"
    if is_window:
        anchor = _add_anchor(graph, scaler, prices, close)
        sigma = graph.constant("sigma", scaler.sigma)
        x = _add_window_scaling(graph, scaler, prices, anchor, sigma)
    else:
        x = _add_standardised(graph.part("features."), prices, scaler.centre, scaler.scale)
    outputs = []
    for index, network in enumerate(forecaster.networks):
        part = graph.part(f"network.{index}.")
        own = part.add("Cast", x, to=ELEMENT_TYPES[network.config.dtype])
        predicted = add_network(part, network, own)
        point = network.config.point_index
        if point is not None:
            predicted = part.add("Gather", predicted, part.constant("point", point), axis=2)
        outputs.append(part.add("Cast", predicted, to=TensorProto.DOUBLE))
    total = graph.add("Sum", *outputs)
    mean = graph.add("Div", total, graph.constant("networks", float(len(outputs))))
    if is_window:
        growth = graph.add("Exp", graph.add("Mul", sigma, mean))
        last_close = graph.add("Squeeze", anchor, graph.constant("anchor.steps", [1]))  # (N, 1)
        graph.add("Mul", last_close, growth, output=output)
    else:
        change = graph.add("Mul", graph.constant("target.scale", scaler.target_scale), mean)
        graph.add("Add", graph.constant("target.centre", scaler.target_centre), change, output=output)


def _add_anchor(graph: Graph, scaler: Scaler, prices: str, close: str) -> str:
    """The Close at the origin, (N, 1, 1)."""
    axes = graph.constant("anchor.axes", [1, 2])
    if needs_close(scaler):
        return graph.add("Unsqueeze", close, axes)
    column = scaler.features.index("Close")
    start = graph.constant("anchor.start", [-1, column])
    end = graph.constant("anchor.end", [np.iinfo(np.int64).max, column + 1])
    return graph.add("Slice", prices, start, end, axes)


def _add_window_scaling(graph: Graph, scaler: Scaler, prices: str, anchor: str, sigma: str) -> str:
    """The inputs (N, T, F) under window scaling: every feature by its own rule, see `Scaler`."""
    columns = graph.add_several(len(scaler.features), "Split", prices, axis=2)
    scaled = []
    for index, (feature, column) in enumerate(zip(scaler.features, columns, strict=True)):
        if feature == "Volume":
            one = graph.constant("volume.one", 1.0)
            mean = graph.add("ReduceMean", column, axes=[1])
            ratio = graph.add("Div", graph.add("Add", one, column), graph.add("Add", one, mean))
            scaled.append(graph.add("Log", ratio))
        elif feature in FEATURES:
            scaled.append(graph.add("Div", graph.add("Log", graph.add("Div", column, anchor)), sigma))
        else:
            own = graph.part(f"feature.{index}.")
            scaled.append(_add_standardised(own, column, scaler.centre[index], scaler.scale[index]))
    return graph.add("Concat", *scaled, axis=2)


def _add_standardised(graph: Graph, x: str, centre: Any, scale: Any) -> str:
    """(x - centre) / scale."""
    shifted = graph.add("Sub", x, graph.constant("centre", centre))
    return graph.add("Div", shifted, graph.constant("scale", scale))
