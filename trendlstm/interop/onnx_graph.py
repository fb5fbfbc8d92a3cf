"""The nodes of a network, and of a forecaster from prices to prices, in a graph of ONNX.

The cells `lstm` and `rnn` in float32 become ONNX's LSTM and RNN. The other recurrent networks are spelt out, equation
by equation, in the body of a `Scan`: ONNX Runtime computes those operators in float32 only, no variant of them lacks
the forget gate, and not every runtime takes notice of other activations (ONNX's own reference evaluator computes tanh
where the output squashing is left out, and does not know the sigmoid in an RNN).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from trendlstm.config import FEATURES, DType, NetworkConfig
from trendlstm.data.windows import Scaler
from trendlstm.kernels.equations import SCALE_FLOOR

if TYPE_CHECKING:
    from trendlstm.nn.network import Network
    from trendlstm.workflows.forecast import Forecaster

ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
_ELMAN = {"rnn": "Tanh", "rnn-sigmoid": "Sigmoid"}  # activations, by cell


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
    """Whether ONNX's LSTM or RNN, as every runtime computes it, is this recurrent layer."""
    usual = config.cell == "rnn" or (config.cell == "lstm" and config.squash_output)
    return usual and config.dtype == "float32"


def gate_order(config: NetworkConfig) -> str | None:
    """The order in which the gates' rows lie in the graph's weights; None for a cell without gates."""
    if config.cell == "lstm1997":
        return "igo"
    if config.cell == "lstm":
        return "iofc" if is_operator(config) else "ifgo"
    return None


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
        time_first = graph.add("Transpose", x, perm=[1, 0, 2])
        add_recurrent = _add_operator if is_operator(config) else _add_scan
        h = add_recurrent(graph, config, values, time_first)
    for layer in range(len(config.dense)):
        h = graph.add("Relu", _add_layer(graph, h, values, f"dense.{layer}"))
    y = _add_layer(graph, h, values, f"dense.{len(config.dense)}")
    # `Network.predict` refuses such inputs; ONNX Runtime's LSTM makes plausible outputs of them
    nan = graph.constant("nan", np.array(np.nan, config.dtype))
    is_finite = _add_is_finite(graph, x, config.dtype)
    if config.loss not in ("pinball", "gaussian"):
        return graph.add("Where", is_finite, y, nan, output=output)
    return _add_distribution(graph, config, graph.add("Where", is_finite, y, nan), output)


def _add_distribution(graph: Graph, config: NetworkConfig, y: str, output: str | None) -> str:
    """Sorted quantiles (N, m, Q), or mean and scale (N, m, 2), from the last layer's outputs, as `nn.outputs`."""
    each = config.outputs_per_target
    shape = graph.constant("distribution.shape", [-1, config.output_size, each])
    values = graph.add("Reshape", y, shape)
    if config.loss == "pinball":
        count = graph.constant("distribution.quantiles", [each])
        quantiles, _ = graph.add_several(2, "TopK", values, count, largest=0)
        return graph.add("Identity", quantiles, output=output)
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


def _add_operator(graph: Graph, config: NetworkConfig, values: Mapping[str, np.ndarray], x: str) -> str:
    """The last hidden state (N, H) of x (T, N, F), by ONNX's LSTM or RNN."""
    is_lstm = config.cell == "lstm"

    def for_onnx(name: str) -> np.ndarray:  # with an axis of directions, of which there is one
        rows = values[f"recurrent.{name}"]
        if is_lstm:
            i, f, g, o = np.split(rows, 4)
            rows = np.concatenate([i, o, f, g])
        return rows[None]

    weights = [graph.constant(f"recurrent.{name}", for_onnx(name)) for name in ("weight_ih", "weight_hh")]
    if config.bias:  # ONNX adds two
        bias = for_onnx("bias")
        weights.append(graph.constant("recurrent.bias", np.concatenate([bias, np.zeros_like(bias)], axis=1)))
    last = graph.add("LSTM" if is_lstm else "RNN", x, *weights, skip=1, hidden_size=config.hidden_size)
    return graph.add("Squeeze", last, graph.constant("recurrent.directions", [0]))


def _add_scan(graph: Graph, config: NetworkConfig, values: Mapping[str, np.ndarray], x: str) -> str:
    """The last hidden state (N, H) of x (T, N, F), by the cell's equations in the network's dtype."""
    body = Graph(f"{graph.prefix}step.")
    h_before, c_before, x_t = (body.prefix + name for name in ("h_before", "c_before", "x"))
    weight = np.concatenate([values["recurrent.weight_hh"], values["recurrent.weight_ih"]], axis=1)
    parameters = [body.constant("weight", weight)]
    if config.bias:
        parameters.append(body.constant("bias", values["recurrent.bias"]))
    z = body.add("Gemm", body.add("Concat", h_before, x_t, axis=1), *parameters, transB=1)
    if config.cell in _ELMAN:
        before, after = [h_before], [body.add(_ELMAN[config.cell], z)]
    else:
        gates = "ifgo" if config.cell == "lstm" else "igo"
        z_of = dict(zip(gates, body.add_several(len(gates), "Split", z, axis=1), strict=True))
        kept = c_before
        if "f" in gates:
            kept = body.add("Mul", body.add("Sigmoid", z_of["f"]), c_before)
        entered = body.add("Mul", body.add("Sigmoid", z_of["i"]), body.add("Tanh", z_of["g"]))
        c = body.add("Add", kept, entered)
        s = body.add("Tanh", c) if config.squash_output else c
        h = body.add("Mul", body.add("Sigmoid", z_of["o"]), s)
        before, after = [h_before, c_before], [h, c]

    def declared(names: list[str], size: int) -> list[Any]:
        element = ELEMENT_TYPES[config.dtype]
        return [helper.make_tensor_value_info(name, element, [None, size]) for name in names]

    step = body.to_proto(
        f"{graph.prefix}step",
        [*declared(before, config.hidden_size), *declared([x_t], config.input_size)],
        declared(after, config.hidden_size),
    )
    n = graph.add("Shape", x, start=1, end=2)
    shape = graph.add("Concat", n, graph.constant("recurrent.hidden_size", [config.hidden_size]), axis=0)
    zero = numpy_helper.from_array(np.zeros(1, config.dtype))
    zeros = graph.add("ConstantOfShape", shape, value=zero)
    states = [zeros] * len(before)
    return graph.add_several(len(before), "Scan", *states, x, body=step, num_scan_inputs=1)[0]


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
