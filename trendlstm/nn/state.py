"""What a network carries from one step to the next: given to a prediction, and returned by it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trendlstm.config import NetworkConfig
from trendlstm.errors import DataError
from trendlstm.kernels import buffers
from trendlstm.nn.samples import finite_array


class State(NamedTuple):
    """The hidden state h_t of every sample, and the cell state c_t of an LSTM.

    Attributes
    ----------
    h : ndarray (N, H), or a sequence of them
        With several layers one array a layer, from the first up.
    c : ndarray (N, H), a sequence of them, or None
        Likewise; None for a cell without cell state.
    """

    h: ArrayLike | Sequence[ArrayLike]
    c: ArrayLike | Sequence[ArrayLike] | None = None


def pack_state(
    config: NetworkConfig, plan: buffers.Plan, state: "State | tuple | None", samples: int
) -> NDArray[np.floating]:
    """The state of so many samples as the kernels take it, (N, S); zeros for None.

    Raises
    ------
    DataError
        It does not fit the network or the samples; the message names the part.
    """
    states = np.zeros((samples, buffers.state_size(plan)), config.dtype)
    if state is None:
        return states
    if not isinstance(state, tuple) or not 1 <= len(state) <= 2:
        needed = "State(h, c)" if plan.has_cell_state else "State(h)"
        raise DataError(f"the state of cell {config.cell!r} must be {needed}, as `predict` returns it.")
    h, c = State(*state)
    if (c is not None) != plan.has_cell_state:
        needs = "h and c" if plan.has_cell_state else "h alone, without c"
        raise DataError(f"the state of cell {config.cell!r} is {needs}.")
    given = {"h": _by_layer("h", h, config.layers)}
    if c is not None:
        given["c"] = _by_layer("c", c, config.layers)
    for (name, layer), view in _parts(config, plan, states):
        what = f"state {name}" + (f" of layer {layer}" if config.layers > 1 else "")
        array = finite_array(what, given[name][layer], view.shape, np.dtype(config.dtype))
        if array.shape != view.shape:
            raise DataError(f"{what} must have shape {view.shape}, but has {array.shape}.")
        view[...] = array
    return states


def unpack_state(config: NetworkConfig, plan: buffers.Plan, states: NDArray[np.floating]) -> State:
    """The kernels' states (N, S) by layer, without padding."""
    found: dict[str, list[NDArray[np.floating]]] = {"h": [], "c": []}
    for (name, _), view in _parts(config, plan, states):
        found[name].append(view.copy())
    h, c = (values[0] if config.layers == 1 and values else values for values in found.values())
    return State(h, c if plan.has_cell_state else None)


def _by_layer(name: str, value: Any, layers: int) -> Sequence[ArrayLike]:
    if layers == 1:
        return [value]
    if not isinstance(value, Sequence | np.ndarray) or len(value) != layers:
        raise DataError(f"state {name} must be a list of {layers} arrays, one for each layer.")
    return list(value)


def _parts(
    config: NetworkConfig, plan: buffers.Plan, states: NDArray[np.floating]
) -> Iterator[tuple[tuple[str, int], NDArray[np.floating]]]:
    """Every part of (N, S) states by name and layer, without padding."""
    start = 0
    for layer, hidden in enumerate(config.hidden_sizes):
        for name in ("h", "c") if plan.has_cell_state else ("h",):
            yield (name, layer), states[:, start : start + hidden]
            start += int(plan.layers[layer].hidden_size)
