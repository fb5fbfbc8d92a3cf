"""Weights from and to PyTorch, which is never imported here: whoever has a module of its has imported it."""

import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from trendlstm.config import Cell, NetworkConfig
from trendlstm.errors import OptionError
from trendlstm.interop.agreement import disagreement, first_line, network_of, random_windows, redrawn
from trendlstm.nn.network import Network
from trendlstm.nn.parameters import recurrent_name

# weight_ih_l0 and its like, of a layer of any name
_RECURRENT_TENSOR = re.compile(r"(?:(.*)\.)?((?:weight|bias)_(?:ih|hh|hr))_l(\d+)(_reverse)?")
_GATES_TO_CELL: dict[int, Cell] = {4: "lstm", 3: "gru", 1: "rnn"}
_MODE_TO_CELL: dict[str, Cell] = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn"}
_DRAWS = 8  # of weights to call a module with
_WITHOUT_DROPOUT = "Give its state_dict() instead for a network with the same weights and no dropout."
_ACTIVATIONS = {"recurrent": ("ReLU", "Softmax"), "feed-forward": ("ReLU", "Softmax", "Tanh")}


def from_pytorch(source: Any, cell: Cell | None = None, lag: int | None = None) -> Network:
    """The network that a PyTorch module is, or that the tensors of its `state_dict()` make, with its weights.

    A module's classes say what it is, and it is called with a few random windows, with its own and with random weights,
    to prove that both predict the same.
    Tensors alone say less: that there is a ReLU between the linear layers is taken for granted, and `cell` must say
    what else they do not. PyTorch's two biases of a recurrent layer are added, but a GRU's are the network's own.

    Parameters
    ----------
    source : torch.nn.Module, or mapping of str to tensor or ndarray
        Of float32 or float64. Layers of `torch.nn.LSTM`, `GRU` or `RNN`, in one module or in several of one kind (or
        one linear layer and tanh), then linear layers with ReLU between them, and a `torch.nn.Softmax` after the last
        or none. A module drops units at one rate after each recurrent layer (between those of one class by its
        `dropout`, elsewhere by a `torch.nn.Dropout`), or not at all. It takes windows (N, T, F), or (T, N, F) where its
        recurrent layer is not `batch_first`, or (N, T * F) without such a layer, and returns the outputs (N, m), or a
        tuple that begins with them. It is called in evaluation mode; its weights are not modified.
    cell : {"lstm", "gru", "rnn", "ann"}, optional
        For a mapping: "rnn" says that the nonlinearity of an RNN is tanh, "ann" that tanh follows the first of linear
        layers alone.
    lag : int, optional
        T, for linear layers alone: how many time steps the inputs of the first one are.

    Returns
    -------
    Network
        `predict(x)` of windows (N, T, F) gives the module's outputs to rounding. Its `dropout` is the module's, 0 for a
        mapping, which does not say. Its loss is "cross-entropy", of one target, if the module ends with a
        `torch.nn.Softmax`. Of a module that `torch.nn.CrossEntropyLoss` has trained, which takes the outputs before it,
        another network of this loss and of the same sizes takes the weights: `load_state_dict(network.state_dict())`.

    Raises
    ------
    OptionError
        There are layers that a network does not have, which are all named; something is not said that must be; or the
        module predicts something else.
    DataError
        A weight is not finite.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.nn.Module):
        found = _cell_of_module(torch.nn, source)
        if cell not in (None, found):
            raise OptionError(f"cell is {cell!r}, but the module is of the cell {found!r}: leave it out.")
        dropout = _dropout_of_module(torch.nn, source)
        softmax = any(isinstance(child, torch.nn.Softmax) for child in source.modules())
        network = _network_of(found, source.state_dict(), lag, dropout, softmax)
        _prove(torch, source, network)
        return network
    if not isinstance(source, Mapping):
        raise OptionError(
            f"from_pytorch takes a torch.nn.Module or its state_dict(), but was given a {type(source).__name__}."
        )
    return _network_of(cell, source, lag)


def to_pytorch_state_dict(network: Network, module: Any = None) -> dict[str, Any]:
    """A network's weights by PyTorch's names, for `module.load_state_dict`.

    Parameters
    ----------
    network : Network
        Of the cell `lstm`, `gru`, `rnn` or `ann`.
    module : torch.nn.Module, optional
        The module that shall have them. Not modified.

    Returns
    -------
    dict of str to ndarray or tensor
        With a module tensors by its own names, in its dtype and on its device. Without one arrays in the network's
        dtype, as a module has them whose layers are called `recurrent` (`torch.nn.LSTM`, `GRU` or `RNN`; for `ann`
        `hidden`, linear) and `dense` (a `ModuleList` of linear layers): `recurrent.weight_ih_l0` (gates * H, F),
        `recurrent.weight_hh_l0` (gates * H, H), `recurrent.bias_ih_l0` and, but for a GRU all 0,
        `recurrent.bias_hh_l0` (gates * H,), gates in the order i, f, g, o (GRU: r, z, n), then those of `l1`, ...;
        `dense.0.weight` (out, in), `dense.0.bias` (out,), ... Where layers have different hidden sizes, `recurrent` is
        a `ModuleList` of one layer each, because PyTorch has one size a module: `recurrent.0.weight_ih_l0`, ... Of the
        losses "pinball", "gaussian" and "cross-entropy" the module gives the last layer's outputs as they are:
        quantiles that are not sorted, what `Network.predict` makes a standard deviation of, and what it makes
        probabilities of (those of one target, if the module ends with a `torch.nn.Softmax`).

    Raises
    ------
    OptionError
        PyTorch has no such cell, or the module has other layers or sizes.
    """
    config = network.config
    if config.cell == "lstm1997":
        raise OptionError("PyTorch has no layer for the cell 'lstm1997': its LSTM always has a forget gate.")
    if config.cell == "rnn-sigmoid":
        raise OptionError(
            "PyTorch has no layer for the cell 'rnn-sigmoid': the nonlinearity of its RNN is tanh or relu."
        )
    if config.cell == "lstm" and not config.squash_output:
        raise OptionError("PyTorch has no LSTM with squash_output=False: there, h_t = o tanh(c_t) always.")
    values = network.state_dict()
    if module is None:
        return {
            theirs: array if number == 0 else np.zeros_like(array)
            for ours, array in values.items()
            for number, theirs in enumerate(_canonical_names(config, ours))
        }
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(module, torch.nn.Module):
        raise OptionError(f"module must be a torch.nn.Module, but is a {type(module).__name__}.")
    tensors = module.state_dict()
    cell, names = _parameter_names(_cell_of_module(torch.nn, module), _shapes(tensors))
    theirs = {ours: tuple(tensors[group[0]].shape) for ours, group in names.items()}
    shapes = {ours: array.shape for ours, array in values.items()}
    if (cell, theirs) != (config.cell, shapes):
        raise OptionError(
            f"the module is not of the network's shape: it is {_shape_text(cell, theirs)}, but the network "
            f"{_shape_text(config.cell, shapes)}."
        )
    return {
        name: torch.from_numpy(values[ours] if number == 0 else np.zeros_like(values[ours])).to(tensors[name])
        for ours, group in names.items()
        for number, name in enumerate(group)
    }


def _canonical_names(config: NetworkConfig, name: str) -> list[str]:
    """Our name of a parameter as PyTorch's, of which there are two for the bias of a recurrent layer."""
    if not name.startswith("recurrent."):
        return [name]
    layer, _, kind = name.rpartition(".")
    number = layer.rpartition(".")[2] if config.layers > 1 else "0"
    if isinstance(config.hidden_size, int):
        layer = "recurrent"
    else:
        number = "0"
    kinds = ("bias_ih", "bias_hh") if kind == "bias" else (kind,)
    return [f"{layer}.{kind}_l{number}" for kind in kinds]


def _network_of(
    cell: Cell | None,
    tensors: Mapping[str, Any],
    lag: int | None,
    dropout: float = 0.0,
    softmax: bool = False,
) -> Network:
    """The network that a state_dict's tensors make."""
    cell, names = _parameter_names(cell, _shapes(tensors))
    if cell == "ann" and lag is None:
        raise OptionError(
            "the first layer of a feed-forward network takes lag * features numbers, and its weights do not say how "
            "many of each: give lag=."
        )
    weights = {}
    for ours, group in names.items():
        first, *others = (_array(name, tensors[name]) for name in group)
        for other in others:
            if other.any():  # else the first one's bits, which -0.0 + 0.0 would change
                first = first + other
        weights[ours] = first
    return network_of(cell, weights, lag if cell == "ann" else None, dropout, softmax=softmax)


def _shapes(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    nested = [name for name, tensor in tensors.items() if isinstance(tensor, Mapping)]
    if nested:
        raise OptionError(
            f"the mapping holds others ({', '.join(map(repr, nested))}): give the one with the tensors alone."
        )
    try:
        return {name: tuple(np.shape(tensor)) for name, tensor in tensors.items()}
    except RuntimeError as error:  # of a lazy module
        raise OptionError(
            f"a tensor has no shape yet: call the module once before ({first_line(error)})."
        ) from error


def _array(name: str, tensor: Any) -> np.ndarray:
    """A tensor, wherever it lies, or anything that NumPy takes, as an array."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        tensor = tensor.detach().cpu()
        if tensor.dtype not in (torch.float32, torch.float64):
            raise OptionError(
                f"{name} is of {str(tensor.dtype).removeprefix('torch.')}, but a Network's weights are all float32 or "
                "all float64: convert them first, for instance by module.float()."
            )
    return np.asarray(tensor)


def _shape_text(cell: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    return f"{cell} with {', '.join(f'{name} {shape}' for name, shape in shapes.items())}"


def _parameter_names(
    cell: Cell | None, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Cell, dict[str, tuple[str, ...]]]:
    """The cell, and by our names of its parameters theirs, of which the biases of a recurrent layer have two.

    Raises an OptionError that names every tensor for which a network has no place.
    """
    problems: list[str] = []
    recurrent: dict[tuple[str, int], dict[str, str]] = {}  # by module and layer: their names by kind
    groups: dict[
        str, dict[str, str]
    ] = {}  # of what may be linear layers: weight and bias by the layer's name
    for name in shapes:
        match = _RECURRENT_TENSOR.fullmatch(name)
        if match is None:
            layer, _, kind = name.rpartition(".")
            groups.setdefault(layer, {})[kind] = name
            continue
        module, kind, number, reverse = match.groups()
        if kind == "weight_hr":
            problems.append(f"{name} is a projection of the hidden state")
        elif reverse:
            problems.append(f"{name} runs backwards")
        else:
            recurrent.setdefault((module, int(number)), {})[kind] = name
    names: dict[str, tuple[str, ...]] = {}
    if recurrent:
        found = _name_recurrent_layers(list(recurrent.values()), shapes, cell, names, problems)
    else:
        if cell != "ann":
            raise OptionError(
                "there is no recurrent layer (no weight_ih_l0 and weight_hh_l0) among the tensors: give cell='ann' if "
                "they are of a feed-forward network with tanh after its first layer."
            )
        found = "ann"
    _name_linear_layers(found, groups, shapes, names, problems)
    if problems:
        raise OptionError(f"the tensors are not those of one Network: {'; '.join(problems)}.")
    return found, names


def _name_recurrent_layers(
    layers: list[dict[str, str]],
    shapes: Mapping[str, tuple[int, ...]],
    cell: Cell | None,
    names: dict[str, tuple[str, ...]],
    problems: list[str],
) -> Cell:
    """Add the recurrent layers, in their order, to the names; the cell. What does not fit joins the problems."""
    first, n_in = layers[0], None
    for number, layer in enumerate(layers):
        found = _recurrent_cell(layer, shapes, cell, problems)
        if found is None:
            return "lstm"  # which nobody sees
        ih, hh = layer["weight_ih"], layer["weight_hh"]
        biases = tuple(layer[kind] for kind in ("bias_ih", "bias_hh") if kind in layer)
        if number == 0:
            kept = found
        elif found != kept:
            problems.append(f"{hh} is of the cell {found!r}, but {first['weight_hh']} of {kept!r}")
        elif set(layer) != set(first):
            problems.append(f"{ih} has not the biases that {first['weight_ih']} has")
        elif shapes[ih][1:] != (n_in,):
            problems.append(f"{ih} takes {shapes[ih][-1]} inputs, but the layer before gives {n_in}")
        n_in = shapes[hh][1]
        name = recurrent_name(len(layers), number)
        names |= {f"{name}.weight_ih": (ih,), f"{name}.weight_hh": (hh,)}
        if found == "gru":
            if len(biases) == 1:
                problems.append(f"{biases[0]} is the only bias of a GRU, which has bias_ih and bias_hh")
            names.update({f"{name}.bias_{side}": (bias,) for side, bias in zip(("ih", "hh"), biases)})
        elif biases:
            names[f"{name}.bias"] = biases
    return kept


def _recurrent_cell(
    layer: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    cell: Cell | None,
    problems: list[str],
) -> Cell | None:
    """The cell that has so many rows of weights; None if none has. What is wrong with them joins the problems."""
    hh = layer.get("weight_hh")
    if hh is None or "weight_ih" not in layer:
        problems.append(f"a weight_ih or weight_hh is missing beside {', '.join(layer.values())}")
        return None
    rows, hidden = shapes[hh] if len(shapes[hh]) == 2 else (0, 1)
    found = _GATES_TO_CELL.get(rows // hidden) if rows % hidden == 0 else None
    if found is None:
        problems.append(f"{hh} is of shape {shapes[hh]}, neither an LSTM's, a GRU's nor an RNN's")
        return None
    for name in layer.values():
        if shapes[name][:1] != (rows,):
            problems.append(f"{name} is of shape {shapes[name]}, but beside {hh} it has {rows} rows")
    if cell not in (None, found):
        problems.append(f"{hh} of shape {shapes[hh]} is of the cell {found!r}, but cell is {cell!r}")
    elif found == "rnn" and cell is None:
        problems.append(
            f"{hh} does not say whether the RNN's nonlinearity is tanh or relu: give cell='rnn' if it is tanh"
        )
    return found


def _name_linear_layers(
    cell: Cell,
    groups: Mapping[str, Mapping[str, str]],
    shapes: Mapping[str, tuple[int, ...]],
    names: dict[str, tuple[str, ...]],
    problems: list[str],
) -> None:
    """Add the linear layers, in their order, to the names; whatever is none joins the problems."""
    n_in = None
    if cell != "ann" and not problems:
        n_in = next(
            shapes[group[0]][1] for name, group in reversed(names.items()) if name.endswith("weight_hh")
        )
    number = 0
    for group in groups.values():
        weight = shapes.get(group.get("weight", ""), ())
        hidden = cell == "ann" and "hidden.weight" not in names
        if not set(group) <= {"weight", "bias"} or len(weight) != 2:
            problems.append(f"{', '.join(group.values())}: neither of a recurrent nor of a linear layer")
            continue
        if "bias" not in group and not hidden:
            problems.append(f"{group['weight']} has no bias beside it")
        if n_in is not None and weight[1] != n_in:
            problems.append(f"{group['weight']} takes {weight[1]} inputs, but the layer before gives {n_in}")
        n_in = weight[0]
        ours = "hidden" if hidden else f"dense.{number}"
        number += not hidden
        names.update({f"{ours}.{kind}": (group[kind],) for kind in ("weight", "bias") if kind in group})
    if number == 0 and not problems:
        problems.append("no linear layer comes after the first layer")


def _cell_of_module(nn: Any, module: Any) -> Cell:
    """The cell that a module's classes make; refuses those that a network does not have, by name."""
    children = list(module.named_modules())
    recurrent = [child for _, child in children if isinstance(child, nn.RNNBase)]
    activations = _ACTIVATIONS["recurrent" if recurrent else "feed-forward"]
    problems = []
    for name, child in children:
        problem = _layer_problem(nn, child, activations)
        if not problem and child in recurrent and child.mode != recurrent[0].mode:
            problem = f"comes after another kind, {type(recurrent[0]).__name__}, where a Network has one cell"
        if problem:
            problems.append(f"{name or 'it'} ({type(child).__name__}) {problem}")
    if problems:
        raise OptionError(
            f"the module {type(module).__name__} is not one that a Network can be: {'; '.join(problems)}. Leave that "
            "out and train it again, here or there."
        )
    return _MODE_TO_CELL[recurrent[0].mode] if recurrent else "ann"


def _dropout_of_module(nn: Any, module: Any) -> float:
    """The one rate at which a module drops units; refuses several. Where it drops, `_prove` finds out."""
    rates = _dropout_rates(nn, module)
    if not any(rates.values()):
        return 0.0
    if len(set(rates.values())) > 1 or max(rates.values()) == 1:
        raise OptionError(
            f"the module {type(module).__name__} drops units otherwise than a Network, which has one rate below 1 for "
            f"all layers: {', '.join(f'{told} has {rate:g}' for told, rate in rates.items())}. {_WITHOUT_DROPOUT}"
        )
    return float(max(rates.values()))


def _dropout_rates(nn: Any, module: Any) -> dict[str, float]:
    """The rate of every child that drops units, and of those that could between their layers."""
    rates = {}
    for name, child in module.named_modules():
        told = f"{name or 'it'} ({type(child).__name__})"
        if isinstance(child, nn.RNNBase) and child.num_layers > 1:  # of one layer PyTorch ignores the rate
            rates[f"{told} between its layers"] = child.dropout
        elif isinstance(child, nn.Dropout) and child.p > 0:
            rates[told] = child.p
    return rates


def _layer_problem(nn: Any, layer: Any, activations: tuple[str, ...]) -> str:
    """What is wrong with a module's child by its class; empty if nothing is."""
    if isinstance(layer, nn.RNNBase):
        for wrong, reason in (
            (layer.mode == "RNN_RELU", "has nonlinearity='relu', not 'tanh'"),
            (layer.bidirectional, "is bidirectional"),
            (layer.proj_size > 0, "projects its hidden state (proj_size)"),
        ):
            if wrong:
                return reason
    elif isinstance(layer, nn.Linear):
        return ""  # of a bias the tensors tell
    elif isinstance(layer, nn.modules.dropout._DropoutNd):
        if layer.p > 0 and not isinstance(layer, nn.Dropout):
            return f"drops units together (p={layer.p:g}), where a Network drops each alone"
    elif type(layer).__name__ in (*activations, "Flatten", "Identity"):
        return ""
    elif any(True for _ in layer.parameters(recurse=False)) or any(
        True for _ in layer.buffers(recurse=False)
    ):
        return "has weights that a Network does not"
    elif type(layer).__module__.startswith("torch.nn.modules.") and not isinstance(
        layer, nn.Sequential | nn.ModuleList | nn.ModuleDict
    ):
        return "is a layer that a Network does not have"
    return ""


def _prove(torch: Any, module: Any, network: Network) -> None:
    """Call the module with a few windows; refuse it if it predicts something else than the network.

    Its own weights may hide what it computes: a ReLU that is always open is as good as none. So it is also called as if
    it had others, which leaves its own alone.
    """
    windows = random_windows(network)
    config, name = network.config, type(module).__name__
    recurrent = [child for child in module.modules() if isinstance(child, torch.nn.RNNBase)]
    steps_first = bool(recurrent) and not recurrent[0].batch_first
    inputs = windows if recurrent else windows.reshape(len(windows), -1)
    tensor = torch.from_numpy(inputs).to(next(module.parameters()).device)
    tensor = tensor.transpose(0, 1).contiguous() if steps_first else tensor
    instead = "if you know that it has the same weights, give its state_dict() instead"
    for draw in range(_DRAWS):
        drawn = redrawn(network, draw) if draw else network
        state = to_pytorch_state_dict(drawn, module) if draw else module.state_dict()
        outputs = _outputs(torch, module, state, tensor, config.last_layer_size, steps_first, instead)
        error = disagreement(drawn, windows, outputs)
        if error and not disagreement(_without_relu(drawn), windows, outputs):
            raise OptionError(
                f"the module {name} has no ReLU between its linear layers, but a Network has: join them into one."
            )
        if error:
            layers = "linear layers with ReLU between them" if config.dense else "a linear layer"
            if config.loss == "cross-entropy":
                layers += " and softmax"
            before = "a linear layer and tanh"
            if config.cell != "ann":
                several = f"{config.layers} layers of {config.cell}"
                before = f"the last hidden state of {f'one {config.cell}' if config.layers == 1 else several}"
            raise OptionError(
                f"the module {name} computes something else than {before}, then {layers}: its outputs differ by "
                f"{error:.2g} of the largest; {instead}."
            )
    if config.dropout:
        # where a module drops, only its code says: if its Dropout layers halve what they get, what sees that is halved
        halving = [
            child.register_forward_hook(lambda _, inputs, output: output / 2)
            for child in module.modules()
            if isinstance(child, torch.nn.Dropout) and child.p > 0
        ]
        try:
            outputs = _outputs(torch, module, state, tensor, config.last_layer_size, steps_first, instead)
        finally:
            for hook in halving:
                hook.remove()
        if disagreement(_with_halved_outputs(drawn, recurrent), windows, outputs):
            raise OptionError(
                f"the module {name} drops units elsewhere than a Network, which does it once after each recurrent "
                f"layer (or after tanh) and nowhere else: it has {', '.join(_dropout_rates(torch.nn, module))}. "
                f"{_WITHOUT_DROPOUT}"
            )


def _with_halved_outputs(network: Network, recurrent: list[Any]) -> Network:
    """The network in which each of a module's recurrent layers gives on half of its outputs, or the layer with tanh."""
    config, values = network.config, network.state_dict()
    tops, layer = [], -1
    for child in recurrent:  # between layers of one, no Dropout layer sees them
        layer += child.num_layers
        tops.append(layer)
    for layer in tops or [0]:
        above = "dense.0.weight"
        if layer < config.layers - 1:
            above = f"{recurrent_name(config.layers, layer + 1)}.weight_ih"
        values[above] /= 2
    return network_of(config.cell, values, config.lag, softmax=config.loss == "cross-entropy")


def _outputs(
    torch: Any, module: Any, state: Any, inputs: Any, size: int, steps_first: bool, instead: str
) -> np.ndarray:
    """A module's outputs (N, m) with the tensors of a state_dict; evaluation mode is undone."""
    name, modes = type(module).__name__, [(child, child.training) for child in module.modules()]
    try:
        with torch.no_grad():
            outputs = torch.func.functional_call(module.eval(), state, (inputs,))
        outputs = (outputs[0] if isinstance(outputs, tuple) else outputs).cpu().numpy()
    except Exception as error:  # whatever the module's code raises
        raise OptionError(
            f"the module {name} cannot be called with windows of shape {tuple(inputs.shape)} ({first_line(error)}): "
            f"{instead}."
        ) from error
    finally:
        for child, mode in modes:
            child.training = mode
    n = inputs.shape[1 if steps_first else 0]
    if outputs.shape == (*inputs.shape[:2], size):
        raise OptionError(
            f"the module {name} returns the outputs of every step, of shape {outputs.shape}, where predict(x) returns "
            "the last: give its state_dict() instead, and predict with every_step=True."
        )
    if outputs.shape not in ((n, size), (n,) if size == 1 else ()):
        raise OptionError(
            f"the module {name} returns outputs of shape {outputs.shape} for inputs of shape {tuple(inputs.shape)}, "
            f"not {(n, size)}: {instead}."
        )
    return outputs.reshape(n, size)


def _without_relu(network: Network) -> Network:
    """The network whose one linear layer is all of this one's, one after the other."""
    weights = network.state_dict()
    dense = [
        (weights.pop(f"dense.{k}.weight"), weights.pop(f"dense.{k}.bias"))
        for k in range(len(network.config.dense) + 1)
    ]
    weight, bias = dense[0]
    for following, offset in dense[1:]:
        weight, bias = following @ weight, following @ bias + offset
    joined = {**weights, "dense.0.weight": weight, "dense.0.bias": bias}
    softmax = network.config.loss == "cross-entropy"
    return network_of(network.config.cell, joined, network.config.lag, softmax=softmax)
