"""A `Network` made of another library's weights, and the proof that it predicts what that library's model predicts."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from trendlstm.config import DTYPES, Cell
from trendlstm.errors import OptionError
from trendlstm.nn.network import Network

# Of the largest output. For float32 far above rounding, also that of a GPU's TF32 products, and far below what another
# layer or activation does.
_TOLERANCE = {"float32": 5e-3, "float64": 1e-9}
_SAMPLES, _STEPS = 16, 7


def network_of(
    cell: Cell,
    weights: Mapping[str, np.ndarray],
    lag: int | None = None,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    softmax: bool = False,
) -> Network:
    """The network that has these parameters, its sizes and dtype read off them.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn", "rnn-sigmoid", "ann"}
    weights : mapping of str to ndarray
        As `Network.state_dict` has them, in its order; all float32 or all float64.
    lag : int, optional
        T, if it is known; needed by `ann`.
    dropout, recurrent_dropout : float
        The network's.
    softmax : bool
        Whether the last layer's outputs are those of the classes of one target, for the loss "cross-entropy".

    Raises
    ------
    OptionError, DataError
        The weights have another dtype or several, do not fit each other, or are not finite.
    """
    dtypes = sorted({str(array.dtype) for array in weights.values()})
    if len(dtypes) > 1 or dtypes[0] not in DTYPES:
        raise OptionError(
            f"the weights are {' and '.join(dtypes)}, but a Network's are all {' or all '.join(DTYPES)}: convert the "
            "model to one of them first."
        )
    first = next(iter(weights.values()))
    inputs = first.shape[1]
    hidden = [array.shape[1] for name, array in weights.items() if name.endswith(".weight_hh")]
    sizes = [
        len(array)
        for name, array in weights.items()
        if name.startswith("dense.") and name.endswith(".weight")
    ]
    if cell == "ann":
        assert lag is not None
        if inputs % lag:
            raise OptionError(f"lag is {lag}, but the first layer's {inputs} inputs are no multiple of it.")
        inputs //= lag
    network = Network(
        input_size=inputs,
        hidden_size=hidden or len(first),
        dense=tuple(sizes[:-1]),
        output_size=1 if softmax else sizes[-1],
        cell=cell,
        dtype=first.dtype,
        lag=lag,
        bias=any("bias" in name and not name.startswith("dense.") for name in weights),
        dropout=dropout,
        recurrent_dropout=recurrent_dropout,
        loss="cross-entropy" if softmax else "mse",
        classes=sizes[-1] if softmax else 0,
    )
    network.load_state_dict(weights)
    return network


def random_windows(network: Network) -> np.ndarray:
    """Inputs (16, T, F) that reach the straight and the bent parts of the activations; T is the lag if there is one."""
    config = network.config
    generator = np.random.default_rng(0)
    windows = generator.normal(size=(_SAMPLES, config.lag or _STEPS, config.input_size))
    return (windows * np.geomspace(0.3, 3, _SAMPLES)[:, None, None]).astype(network.dtype)


def redrawn(network: Network, seed: int) -> Network:
    """A network of the same settings whose parameters are drawn anew, so widely that ReLUs open and close."""
    generator = np.random.default_rng(seed)
    drawn = Network.from_config(
        replace(network.config, init="uniform")
    )  # the quickest to draw and throw away
    drawn.load_state_dict(
        {
            name: generator.uniform(-1, 1, array.shape)
            * (2 / np.sqrt(array.shape[-1]) if array.ndim > 1 else 1)
            for name, array in network.state_dict().items()
        }
    )
    return drawn


def disagreement(network: Network, windows: np.ndarray, outputs: np.ndarray) -> float:
    """How far another model's outputs (N, m) or probabilities (N, K) are from the network's.

    As a share of the largest; 0 within rounding.
    """
    ours = network.predict(windows).reshape(outputs.shape)
    error, scale = np.max(np.abs(ours - outputs)), np.max(np.abs(outputs))
    if error <= _TOLERANCE[network.config.dtype] * scale:
        return 0.0
    return float(error / scale) if scale > 0 else float("inf")


def first_line(error: Exception) -> str:
    """What another library's error says first, to stand within a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
