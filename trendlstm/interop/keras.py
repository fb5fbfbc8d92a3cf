"""Weights from and to Keras, which is never imported here: a model that comes in brings its own methods."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from trendlstm.config import Cell
from trendlstm.errors import OptionError
from trendlstm.interop.agreement import disagreement, first_line, network_of, random_windows
from trendlstm.nn.network import Network

_RECURRENT_CELLS: dict[tuple[str, str], Cell] = {
    ("LSTM", "tanh"): "lstm",
    ("SimpleRNN", "tanh"): "rnn",
    ("SimpleRNN", "sigmoid"): "rnn-sigmoid",
}
_NO_WORK = ("InputLayer", "Identity")
# What a recurrent layer may be asked to do besides, and must not.
_REFUSED_FLAGS = {
    "return_sequences": "returns the outputs of every step",
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
        Built, of float32 or float64. One LSTM or SimpleRNN (or Flatten and a Dense layer with tanh), then Dense layers
        with ReLU, then a linear Dense layer. Not modified.

    Returns
    -------
    Network
        `predict(x)` gives the model's outputs to rounding. Its `lag` is the steps of the model's input, if they are
        fixed. Nothing of how the model was trained comes along: neither its optimizer nor which layers were frozen.

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
    cell, used = _read_layers(model)
    lag = _steps(model, cell)
    network = network_of(cell, _weights(cell, used), lag)
    windows = random_windows(network)
    try:
        outputs = model.predict_on_batch(windows)
    except Exception as error:  # whatever the backend raises
        raise OptionError(
            f"the Keras model {model.name!r} cannot be called with windows of shape {windows.shape}: "
            f"{first_line(error)}."
        ) from error
    expected = (len(windows), network.config.output_size)
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
        Of the cell `lstm`, `rnn`, `rnn-sigmoid` or `ann`.

    Returns
    -------
    list of ndarray
        In the network's dtype: kernel (F, gates * H), recurrent kernel (H, gates * H) and, unless the network has none,
        bias (gates * H,) of the LSTM or SimpleRNN, gates in the order i, f, g, o; for `ann` kernel (T * F, H) and bias
        (H,) of the Dense layer after Flatten. Then kernel (in, out) and bias (out,) of each Dense layer. Of the losses
        "pinball" and "gaussian" the twin gives the last layer's outputs as they are: quantiles that are not sorted, and
        what `Network.predict` makes a standard deviation of.

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
    return [np.ascontiguousarray(array.T) for array in network.state_dict().values()]


def _read_layers(model: Any) -> tuple[Cell, list[Any]]:
    """The cell that a model's layers make and those of them that have its weights; refuses what is no network."""
    problems: list[str] = []
    cell: Cell | None = None
    flattens = False
    used: list[Any] = []
    activations: list[str] = []  # of the Dense layers
    for layer in model.layers:
        kind, config = type(layer).__name__, _config(layer)
        refused = _own_problem(kind, config)
        if kind in ("LSTM", "SimpleRNN"):
            if cell is not None:
                refused = "is stacked on another recurrent layer"
            elif flattens or used:
                refused = "comes after other layers"
            cell = cell or _RECURRENT_CELLS.get((kind, _activation(config)), "lstm")  # others are refused
            used.append(layer)
        elif kind == "Flatten":
            if cell is not None or used:
                refused = "comes after other layers"
            flattens = True
        elif kind == "Dense":
            used.append(layer)
            activations.append(_activation(config))
        elif kind in ("Activation", "ReLU") and not refused:
            applied = "relu" if kind == "ReLU" else _activation(config)
            before = activations[-1] if activations else None
            if before == "linear":
                activations[-1] = applied
            elif applied != "linear" and not before == applied == "relu":
                refused = f"applies {applied} where a Network does not"
        if refused:
            problems.append(f"{layer.name} ({kind}) {refused}")
    dense = [layer for layer in used if type(layer).__name__ == "Dense"]
    if cell is None:
        cell = "ann"
        if not problems and not (flattens and len(dense) > 1):
            problems.append(
                "its first layer with weights is neither LSTM nor SimpleRNN, nor Dense between Flatten and others"
            )
    problems += _dense_problems(dense, activations, flattens)
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        problems.append("it has several inputs or outputs")
    if problems:
        raise OptionError(
            f"the Keras model {model.name!r} is not one that a Network can be: {'; '.join(problems)}. Leave that out "
            "and train it again, here or there."
        )
    return cell, used


def _own_problem(kind: str, config: Mapping[str, Any]) -> str:
    """What is wrong with a layer wherever it stands; empty if nothing is."""
    if kind in ("LSTM", "SimpleRNN"):
        for flag, reason in _REFUSED_FLAGS.items():
            if config.get(flag):
                return f"{reason} ({flag}=True)"
        if (kind, _activation(config)) not in _RECURRENT_CELLS:
            return f"has activation={_activation(config)!r}, not 'tanh'"
        if kind == "LSTM" and _activation(config, "recurrent_activation") != "sigmoid":
            return f"has recurrent_activation={_activation(config, 'recurrent_activation')!r}, not 'sigmoid'"
        for rate in ("dropout", "recurrent_dropout"):
            if config.get(rate):
                return f"drops units in training ({rate}={config[rate]:g})"
    elif kind == "Dropout":
        if config["rate"]:
            return f"drops units in training (rate={config['rate']:g})"
    elif kind == "ReLU":
        if config["max_value"] is not None or config["negative_slope"] or config["threshold"]:
            return "is not max(0, x)"
    elif kind not in ("Dense", "Flatten", "Activation", *_NO_WORK):
        return "is a layer that a Network does not have"
    for name, value in config.items():
        if name.endswith(("_regularizer", "_constraint")) and value is not None:
            return f"has a {name}"
    return ""


def _dense_problems(dense: list[Any], activations: list[str], flattens: bool) -> list[str]:
    """What is wrong with Dense layers where they stand: tanh comes after Flatten, the last is linear, ReLU between."""
    problems = []
    if not dense:
        return ["it does not end with a Dense layer"]
    for number, (layer, activation) in enumerate(zip(dense, activations, strict=True)):
        hidden = flattens and number == 0
        expected = "tanh" if hidden else "linear" if number == len(dense) - 1 else "relu"
        if activation != expected:
            place = {"tanh": "the first", "relu": "one between", "linear": "the last"}[expected]
            problems.append(
                f"{layer.name} (Dense) has activation={activation!r}, but as {place} it needs {expected!r}"
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


def _weights(cell: Cell, used: list[Any]) -> dict[str, np.ndarray]:
    """The parameters by our names: Keras' kernels are ours transposed, the order of the gates is the same."""
    weights: dict[str, np.ndarray] = {}
    for number, layer in enumerate(used):
        arrays = [np.asarray(array).T for array in layer.get_weights()]
        kept, computed = {str(array.dtype) for array in arrays}, layer.compute_dtype
        if kept != {computed}:
            raise OptionError(
                f"the Keras layer {layer.name} computes in {computed} with weights of {' and '.join(sorted(kept))}, "
                "but a Network has one dtype: make the model of float32 or float64 and set its weights."
            )
        if number:
            names = [f"dense.{number - 1}.weight", f"dense.{number - 1}.bias"]
        elif cell == "ann":
            names = ["hidden.weight", "hidden.bias"]
        else:
            names = ["recurrent.weight_ih", "recurrent.weight_hh", "recurrent.bias"]
        weights.update(zip(names, arrays))
    return weights
