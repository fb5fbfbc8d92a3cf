"""Weights from and to Keras, which is never imported here: a model that comes in brings its own methods."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trendlstm.config import Cell
from trendlstm.errors import OptionError
from trendlstm.interop.agreement import disagreement, first_line, network_of, random_windows
from trendlstm.nn.network import Network
from trendlstm.nn.parameters import recurrent_name

_RECURRENT_CELLS: dict[tuple[str, str], Cell] = {
    ("LSTM", "tanh"): "lstm",
    ("GRU", "tanh"): "gru",
    ("SimpleRNN", "tanh"): "rnn",
    ("SimpleRNN", "sigmoid"): "rnn-sigmoid",
}
_RECURRENT_KINDS = {kind for kind, _ in _RECURRENT_CELLS}
_NO_WORK = ("InputLayer", "Identity")
# What a recurrent layer may be asked to do besides, and must not.
_REFUSED_FLAGS = {
    "return_state": "returns its state",
    "go_backwards": "runs backwards",
    "stateful": "keeps its state between batches",
}


def from_keras(model: Any) -> Network:
    """The network that a Keras model is, with its weights.

    It is what the model is layer by layer, and the model is called with a few random windows to prove that both
    predict the same. Neither Keras nor its backend is imported.

    Parameters
    ----------
    model : keras.Sequential or keras.Model
        Built, of float32 or float64. LSTM, GRU or SimpleRNN layers, all of one kind (or Flatten and a Dense layer with
        tanh), then Dense layers with ReLU, then a Dense layer that is linear or has a softmax. Dropout layers follow
        every recurrent layer (or the one with tanh), all at one rate, or none. A SimpleRNN may have a
        `recurrent_dropout`. Not modified.

    Returns
    -------
    Network
        `predict(x)` gives the model's outputs to rounding. Its `lag` is the steps of the model's input, if they are
        fixed; its `dropout` is the rate of the Dropout layers; its loss is "cross-entropy", of one target, if the last
        layer has a softmax. Nothing else of how the model was trained comes along: neither its optimizer, nor another
        loss, nor which layers were frozen.

    Raises
    ------
    OptionError
        The model has layers that a network does not, which are all named; it is not built, of another precision, or
        predicts something else.
    """
    layers = getattr(model, "layers", None)
    if not isinstance(layers, list) or not hasattr(model, "get_weights"):
        raise OptionError(f"from_keras takes a Keras model, but was given a {type(model).__name__}.")
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if not kinds & {"Sequential", "Functional"}:
        raise OptionError(
            f"the Keras model {type(model).__name__} computes its outputs in code of its own: make it a Sequential or "
            "functional model, whose layers tell what it computes."
        )
    if not getattr(model, "built", False):
        raise OptionError(
            f"the Keras model {model.name!r} has no weights yet: build it first, for instance by "
            "model.build((None, lag, features))."
        )
    stack = _read_layers(model)
    network = network_of(
        stack.cell,
        _weights(stack),
        _steps(model, stack.cell),
        stack.dropout,
        stack.recurrent_dropout,
        softmax=stack.activations[-1] == "softmax",
    )
    windows = random_windows(network)
    try:
        outputs = model.predict_on_batch(windows)
    except Exception as error:  # whatever the backend raises
        raise OptionError(
            f"the Keras model {model.name!r} cannot be called with windows of shape {windows.shape}: "
            f"{first_line(error)}."
        ) from error
    expected = (len(windows), network.config.last_layer_size)
    shape = getattr(outputs, "shape", None)
    if shape != expected:
        raise OptionError(
            f"the Keras model {model.name!r} returns {shape or type(outputs).__name__} for windows of shape "
            f"{windows.shape}, not one array of shape {expected}."
        )
    if differ := disagreement(network, windows, outputs):
        raise OptionError(
            f"the Keras model {model.name!r} computes something else than its layers one after the other: its outputs "
            f"differ by {differ:.2g} of the largest."
        )
    return network


def to_keras_weights(network: Network) -> list[np.ndarray]:
    """A network's weights as `model.set_weights` of its twin in Keras takes them.

    Parameters
    ----------
    network : Network
        Of the cell `lstm`, `gru`, `rnn`, `rnn-sigmoid` or `ann`.

    Returns
    -------
    list of ndarray
        In the network's dtype: kernel (F, gates * H), recurrent kernel (H, gates * H) and, unless the network has none,
        bias (gates * H,) of each LSTM or SimpleRNN, gates in the order i, f, g, o; of a GRU (`reset_after=True`) both
        biases (2, 3 * H), gates in the order z, r, n; for `ann` kernel (T * F, H) and bias (H,) of the Dense layer
        after Flatten. Then kernel (in, out) and bias (out,) of each Dense layer. Dropout layers have no weights. Of the
        losses "pinball" and "gaussian" the twin gives the last layer's outputs as they are: quantiles that are not
        sorted, and what `Network.predict` makes a standard deviation of. Of "cross-entropy" its last layer must have a
        softmax to give probabilities, those of one target: of several, Keras would take all classes together.

    Raises
    ------
    OptionError
        Keras has no such cell.
    """
    config = network.config
    if config.cell == "lstm1997":
        raise OptionError("Keras has no layer for the cell 'lstm1997': its LSTM always has a forget gate.")
    if config.cell == "lstm" and not config.squash_output:
        raise OptionError("Keras has no LSTM with squash_output=False: there, h_t = o tanh(c_t) always.")
    weights: list[np.ndarray] = []
    for name, array in network.state_dict().items():
        of_gru = config.cell == "gru" and name.startswith("recurrent.")
        theirs = np.ascontiguousarray((_swap_reset_and_update(array) if of_gru else array).T)
        if name.endswith("bias_hh"):
            weights[-1] = np.stack([weights[-1], theirs])
        else:
            weights.append(theirs)
    return weights


@dataclass
class _Stack:
    """The layers of a model that make a network.

    Attributes
    ----------
    recurrent, dense : list of layers
        Those with weights; for `ann` the first dense one has the tanh.
    activations : list of str
        Of the dense ones.
    dropped : dict of int to layer
        The Dropout layer after a recurrent layer, by that one's number; for `ann` after the first dense layer, 0.
    flattens : bool
    cell : str
    """

    recurrent: list[Any] = field(default_factory=list)
    dense: list[Any] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    dropped: dict[int, Any] = field(default_factory=dict)
    flattens: bool = False
    cell: Cell = "ann"

    @property
    def dropout(self) -> float:
        """The rate after every recurrent layer."""
        return next((float(_config(layer)["rate"]) for layer in self.dropped.values()), 0.0)

    @property
    def recurrent_dropout(self) -> float:
        """The rate within every recurrent layer."""
        return float(_config(self.recurrent[0])["recurrent_dropout"]) if self.recurrent else 0.0


def _read_layers(model: Any) -> _Stack:
    """The layers that make a network; refuses what is none."""
    problems: list[str] = []
    stack = _Stack()
    for layer in model.layers:
        kind, config = type(layer).__name__, _config(layer)
        refused = _own_problem(kind, config)
        if kind in _RECURRENT_KINDS:
            refused = refused or _recurrent_problem(stack, layer)
            stack.cell = _RECURRENT_CELLS.get((kind, _activation(config)), "lstm")  # others are refused
            stack.recurrent.append(layer)
        elif kind == "Flatten":
            if stack.recurrent or stack.dense or stack.dropped:
                refused = "comes after other layers"
            stack.flattens = True
        elif kind == "Dense":
            stack.dense.append(layer)
            stack.activations.append(_activation(config))
        elif kind == "Dropout" and config["rate"]:
            refused = refused or _dropout_problem(stack, layer)
        elif kind in ("Activation", "ReLU") and not refused:
            applied = "relu" if kind == "ReLU" else _activation(config)
            before = stack.activations[-1] if stack.activations else None
            if before == "linear":
                stack.activations[-1] = applied
            elif applied != "linear" and not before == applied == "relu":
                refused = f"applies {applied} where a Network does not"
        if refused:
            problems.append(f"{layer.name} ({kind}) {refused}")
    if stack.recurrent:
        top = stack.recurrent[-1]
        if _config(top)["return_sequences"]:
            problems.append(
                f"{top.name} ({type(top).__name__}) returns the outputs of every step (return_sequences=True)"
            )
        if stack.dropped:
            problems += [
                f"{layer.name} ({type(layer).__name__}) has no Dropout layer after it, but another has, where a "
                "Network drops after each"
                for number, layer in enumerate(stack.recurrent)
                if number not in stack.dropped
            ]
    elif not problems and not (stack.flattens and len(stack.dense) > 1):
        problems.append(
            "its first layer with weights is neither LSTM, GRU nor SimpleRNN, nor Dense between Flatten and others"
        )
    problems += _dense_problems(stack)
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        problems.append("it has several inputs or outputs")
    if problems:
        raise OptionError(
            f"the Keras model {model.name!r} is not one that a Network can be: {'; '.join(problems)}. Leave that out "
            "and train it again, here or there."
        )
    return stack


def _recurrent_problem(stack: _Stack, layer: Any) -> str:
    """What is wrong with a recurrent layer where it stands; empty if nothing is."""
    if stack.flattens or stack.dense:
        return "comes after other layers"
    if not stack.recurrent:
        return ""
    first = stack.recurrent[0]
    ours, its = _config(layer), _config(first)
    if type(layer) is not type(first) or _activation(ours) != _activation(its):
        return f"is of another kind than {first.name} ({type(first).__name__}), where a Network has one cell"
    for option in ("use_bias", "recurrent_dropout"):
        if ours[option] != its[option]:
            return f"has {option}={ours[option]}, but {first.name} has {its[option]}, where a Network has one for all"
    return ""


def _dropout_problem(stack: _Stack, layer: Any) -> str:
    """What is wrong with a Dropout layer where it stands; empty if nothing is, and then it is noted."""
    after_tanh = stack.flattens and stack.activations == ["tanh"]
    place = 0 if after_tanh else len(stack.recurrent) - 1
    if place < 0 or place in stack.dropped or (stack.dense and not after_tanh):
        return (
            "drops units where a Network does not: it does once after each recurrent layer, and nowhere else"
        )
    first = next(iter(stack.dropped.values()), layer)
    rate, its = _config(layer)["rate"], _config(first)["rate"]
    if rate != its:
        return f"has rate={rate:g}, but {first.name} has {its:g}, where a Network has one for all"
    stack.dropped[place] = layer
    return ""


def _own_problem(kind: str, config: Mapping[str, Any]) -> str:
    """What is wrong with a layer wherever it stands; empty if nothing is."""
    if kind in _RECURRENT_KINDS:
        for flag, reason in _REFUSED_FLAGS.items():
            if config.get(flag):
                return f"{reason} ({flag}=True)"
        if (kind, _activation(config)) not in _RECURRENT_CELLS:
            return f"has activation={_activation(config)!r}, not 'tanh'"
        if kind != "SimpleRNN" and _activation(config, "recurrent_activation") != "sigmoid":
            return f"has recurrent_activation={_activation(config, 'recurrent_activation')!r}, not 'sigmoid'"
        if kind == "GRU" and not config["reset_after"]:
            return "resets the state before its product with the weights (reset_after=False), not after"
        if config["dropout"]:
            return f"drops inputs, the same in every step (dropout={config['dropout']:g}), which a Network does not"
        if config["recurrent_dropout"] and kind != "SimpleRNN":
            return (
                f"drops other units of the state for each gate (recurrent_dropout={config['recurrent_dropout']:g}), "
                "where a Network drops the same for all"
            )
    elif kind == "Dropout":
        if config["rate"] >= 1:
            return "drops everything (rate=1)"
        if config["noise_shape"] is not None:
            return f"drops units together (noise_shape={config['noise_shape']}), where a Network drops each alone"
    elif kind == "ReLU":
        if config["max_value"] is not None or config["negative_slope"] or config["threshold"]:
            return "is not max(0, x)"
    elif kind not in ("Dense", "Flatten", "Activation", *_NO_WORK):
        return "is a layer that a Network does not have"
    for name, value in config.items():
        if name.endswith(("_regularizer", "_constraint")) and value is not None:
            return f"has a {name}"
    return ""


def _dense_problems(stack: _Stack) -> list[str]:
    """What is wrong with Dense layers where they stand.

    tanh comes after Flatten, ReLU between, and the last is linear or has the softmax of several classes.
    """
    problems = []
    if not stack.dense:
        return ["it does not end with a Dense layer"]
    for number, (layer, activation) in enumerate(zip(stack.dense, stack.activations, strict=True)):
        hidden, several = stack.flattens and number == 0, _config(layer)["units"] > 1
        place, expected = "one between", ["relu"]
        if hidden:
            place, expected = "the first", ["tanh"]
        elif number == len(stack.dense) - 1:
            place, expected = "the last", ["linear", "softmax"] if several else ["linear"]
        if activation not in expected:
            needed = " or ".join(map(repr, expected))
            problems.append(
                f"{layer.name} (Dense) has activation={activation!r}, but as {place} it needs {needed}"
            )
        if not hidden and not _config(layer)["use_bias"]:
            problems.append(f"{layer.name} (Dense) has no bias")
    return problems


def _config(layer: Any) -> Mapping[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras', of activations that it could not save
        return layer.get_config()


def _activation(config: Mapping[str, Any], name: str = "activation") -> str:
    """The name of an activation; of one that is an object or a function of the user's, its class if it is known."""
    value = config[name]
    if isinstance(value, Mapping):
        return str(value.get("registered_name") or value.get("class_name") or "a function of its own")
    return str(value)


def _steps(model: Any, cell: Cell) -> int | None:
    """T of the model's input (N, T, F); None if it is free."""
    shape = tuple(model.inputs[0].shape)
    if cell == "ann" and (len(shape) != 3 or None in shape[1:]):
        raise OptionError(
            f"the Keras model {model.name!r} takes inputs of shape {shape}, but a feed-forward network's must be "
            "(None, lag, features), both fixed."
        )
    return shape[1]


def _weights(stack: _Stack) -> dict[str, np.ndarray]:
    """The parameters by our names: Keras' kernels are ours transposed, the gates' order is the same but in a GRU."""
    weights: dict[str, np.ndarray] = {}
    layers = len(stack.recurrent)
    for number, layer in enumerate(stack.recurrent):
        arrays = _arrays(layer)
        names = ["weight_ih", "weight_hh", "bias"]
        if stack.cell == "gru":
            arrays = [_swap_reset_and_update(array) for array in arrays]
            names[2:] = ["bias_ih", "bias_hh"]
            arrays[2:] = [bias for both in arrays[2:] for bias in both.T]
        weights.update(
            {f"{recurrent_name(layers, number)}.{name}": array for name, array in zip(names, arrays)}
        )
    first_dense = -1 if stack.cell == "ann" else 0
    for number, layer in enumerate(stack.dense, first_dense):
        name = "hidden" if number < 0 else f"dense.{number}"
        weights.update(zip([f"{name}.weight", f"{name}.bias"], _arrays(layer)))
    return weights


def _arrays(layer: Any) -> list[np.ndarray]:
    """A layer's weights, transposed."""
    arrays = [np.asarray(array).T for array in layer.get_weights()]
    kept, computed = {str(array.dtype) for array in arrays}, layer.compute_dtype
    if kept != {computed}:
        raise OptionError(
            f"the Keras layer {layer.name} computes in {computed} with weights of {' and '.join(sorted(kept))}, "
            "but a Network has one dtype: make the model of float32 or float64 and set its weights."
        )
    return arrays


def _swap_reset_and_update(rows: np.ndarray) -> np.ndarray:
    """A GRU's rows (3 * H, ...) with the first two gates exchanged: Keras' order is z, r, n, ours r, z, n."""
    first, second, candidate = np.split(rows, 3)
    return np.concatenate([second, first, candidate])
