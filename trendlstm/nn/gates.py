"""What happens inside the top recurrent layer: the gates and states of every step, as the kernels compute them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trendlstm.errors import OptionError
from trendlstm.kernels import buffers
from trendlstm.kernels.buffers import CHUNK_ROWS, Thread
from trendlstm.kernels.predict import Inputs, predict_worker
from trendlstm.nn.network import Network
from trendlstm.nn.samples import check_inputs

FloatArray = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class GateActivations:
    """The values of every hidden unit at the steps t = 1 ... T, each (N, T, H) in the network's dtype.

    ::

        i, f, o = sigmoid(W [h_{t-1}, x_t] + b)    g = tanh(W [h_{t-1}, x_t] + b)
        c_t = f c_{t-1} + i g                      h_t = o tanh(c_t)

    and of the GRU, with q = W_hn h_{t-1} + b_hn::

        r, z = sigmoid(W [h_{t-1}, x_t] + b)       n = tanh(W_xn x_t + b_xn + r q)
        h_t = (1 - z) n + z h_{t-1}

    Attributes
    ----------
    i, g, o : ndarray or None
        Input gate, candidate, output gate; None unless the cell is an LSTM.
    f : ndarray or None
        Forget gate; None unless the cell is an LSTM, and for that of 1997, where f = 1.
    c : ndarray or None
        The cell state c_t of an LSTM, otherwise None.
    h : ndarray
        The hidden state h_t.
    r, z, n : ndarray or None
        Reset gate, update gate, candidate; None unless the cell is a GRU.
    """

    i: FloatArray | None
    f: FloatArray | None
    g: FloatArray | None
    o: FloatArray | None
    c: FloatArray | None
    h: FloatArray
    r: FloatArray | None = None
    z: FloatArray | None = None
    n: FloatArray | None = None


def gate_activations(network: Network, x: ArrayLike) -> GateActivations:
    """Run windows through a network, and return what its top recurrent layer's gates and states were at every step.

    These are the numbers of the forward pass that `Network.predict` makes, read from a work space.

    Parameters
    ----------
    network : Network
        Of a recurrent cell; not modified.
    x : array_like (N, T, F)
        Scaled inputs, as for `Network.predict`.

    Returns
    -------
    GateActivations

    Raises
    ------
    OptionError
        The cell is feed-forward.
    DataError
        `x` has the wrong shape or holds a value that is not finite.
    """
    config = network.config
    if config.cell == "ann":
        raise OptionError("gates and states over time need a recurrent cell, but the cell is 'ann'.")
    x, lengths = check_inputs(config, x, None)
    plan = network.plan(x.shape[1])
    work = buffers.make_workspace(plan, network.dtype)  # which keeps the gates of every step
    top, hidden = len(plan.layers) - 1, config.hidden_sizes[-1]
    layer = buffers.layer_views(plan, work, top)
    kept = len(x), plan.steps, hidden
    gates = np.empty((plan.n_gates, *kept), network.dtype)
    h, c = np.empty(kept, network.dtype), np.empty(kept, network.dtype)
    out = np.empty((CHUNK_ROWS, plan.outputs), network.dtype)
    no_states = np.empty((0, 0), network.dtype)
    for first in range(0, len(x), CHUNK_ROWS):
        chunk = slice(first, min(first + CHUNK_ROWS, len(x)))
        rows = chunk.stop - first
        inputs = Inputs(x[chunk], lengths[chunk], np.arange(rows), no_states, np.uint64(0))
        predict_worker(plan, network.theta, inputs, out[:rows], Thread(0, 1, work))

        def real(values: np.ndarray, rows: int = rows) -> np.ndarray:  # (..., T, R*H) -> (..., R, T, H)
            by_row = values.reshape(*values.shape[:-1], CHUNK_ROWS, int(plan.widths[0]))
            return by_row[..., :rows, :hidden].swapaxes(-2, -3)

        gates[:, chunk] = real(layer.gates)
        h[chunk] = layer.inputs[1:, :rows, :hidden].swapaxes(0, 1)
        if plan.has_cell_state:
            c[chunk] = real(layer.cell[1:])
    if plan.has_reset_gate:
        return GateActivations(None, None, None, None, None, h, *gates)
    if not plan.has_cell_state:
        return GateActivations(None, None, None, None, None, h)
    i, *forget, g, o = gates
    return GateActivations(i, forget[0] if forget else None, g, o, c, h)
