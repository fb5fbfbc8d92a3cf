"""What the kernels work on: the network's plan, its flat buffer of parameters, samples, and each thread's work space.

Every layer's width is padded with units whose weights are 0 to a multiple of `PADDING`, so that no kernel has a
remainder to treat. A padded unit's output is 0, and so are all its gradients: training leaves its weights at 0.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

LSTM, LSTM1997, RNN, RNN_SIGMOID, FEEDFORWARD = range(5)
MSE, MAE, HUBER, PINBALL, GAUSSIAN = range(5)  # losses


class Cell(NamedTuple):
    """What sets one kind of cell apart from the others."""

    n_gates: int  # matrices of weights, the candidate's among them
    has_cell_state: bool  # c beside h
    has_forget_gate: bool
    is_logistic: bool = False  # an RNN's h = sigmoid(z), not tanh(z)


CELLS = {
    LSTM: Cell(4, has_cell_state=True, has_forget_gate=True),
    LSTM1997: Cell(3, has_cell_state=True, has_forget_gate=False),
    RNN: Cell(1, has_cell_state=False, has_forget_gate=False),
    RNN_SIGMOID: Cell(1, has_cell_state=False, has_forget_gate=False, is_logistic=True),
    FEEDFORWARD: Cell(1, has_cell_state=False, has_forget_gate=False),
}

CHUNK_ROWS = 8  # samples whose gradient is one sum: a register tile of rows, and a power of two
# Chunk k adds its gradients to accumulator k mod ACCUMULATORS, whatever the number of threads.
ACCUMULATORS = 16
BLOCK = 1024  # parameters that one thread updates at a time; a multiple of every vector loop's stride
PADDING = 16  # elements: one AVX-512 vector of float32, two of float64


class Plan(NamedTuple):
    """The network's shape, as the kernels see it (hidden_size and widths padded)."""

    cell: int
    steps: int
    features: int
    units: int  # the hidden units that are not padding
    hidden_size: int
    n_gates: int
    has_cell_state: bool
    has_forget_gate: bool
    is_logistic: bool
    bias: int
    squash_output: int
    targets: int  # m
    outputs: int  # of the last layer, several of each target side by side if the loss wants them
    loss: int
    huber_delta: float
    steps_seen: int  # hidden states that the dense layers see: of all steps, or 1, of each sample's last step
    widths: np.ndarray  # (layers + 1,) int64: hidden_size, then every dense layer's width
    quantiles: np.ndarray  # (Q,) float64, ascending: those of PINBALL


class Data(NamedTuple):
    """Samples: x (N, T, F), y (N, m) of the network's dtype, lengths (N,) int64.

    If the dense layers see every step, y is (N, T * m): the targets of the first step, of the second, ...
    """

    x: np.ndarray
    y: np.ndarray
    lengths: np.ndarray


class Workspace(NamedTuple):
    """One thread's arrays for one chunk; shapes in `cells`.

    `activations` and `deltas`, dL/d(activations), are flat: the (steps_seen * R, width) values of the hidden state,
    then of every dense layer.
    """

    inputs: np.ndarray
    lengths: np.ndarray
    gates: np.ndarray
    cell: np.ndarray
    squashed: np.ndarray
    activations: np.ndarray
    # of the backward pass, and empty without it
    dh_external: np.ndarray
    dh: np.ndarray
    dc: np.ndarray
    deltas: np.ndarray
    transposed: np.ndarray  # flat: W_h^T of every gate, then each dense W^T


class Thread(NamedTuple):
    """One of the threads that run a job together: `rank` = 0 ... `size` - 1."""

    rank: int
    size: int
    work: Workspace


def pad(width: int) -> int:
    """`width` rounded up to a multiple of PADDING."""
    return -(-width // PADDING) * PADDING


def make_plan(
    cell: int,
    steps: int,
    features: int,
    hidden_size: int,
    dense: tuple[int, ...],
    outputs: int,
    bias: bool,
    squash_output: bool,
    every_step: bool = False,
    loss: int = MSE,
    quantiles: tuple[float, ...] = (),
    huber_delta: float = 1.0,
) -> Plan:
    """The plan of a network given by its real sizes; a feed-forward cell sees one step of steps * features inputs.

    `outputs` are the last layer's.
    """
    if cell == FEEDFORWARD:
        steps, features = 1, steps * features
    widths = np.array([pad(width) for width in (hidden_size, *dense, outputs)], np.int64)
    return Plan(
        cell=cell,
        steps=steps,
        features=features,
        units=hidden_size,
        hidden_size=int(widths[0]),
        **CELLS[cell]._asdict(),
        bias=int(bias),
        squash_output=int(squash_output),
        targets=outputs // {PINBALL: len(quantiles), GAUSSIAN: 2}.get(loss, 1),
        outputs=outputs,
        loss=loss,
        huber_delta=huber_delta,
        steps_seen=steps if every_step else 1,
        widths=widths,
        quantiles=np.array(quantiles, np.float64),
    )


def input_rows(plan: Plan) -> int:
    """K, the rows of a gate's matrix: [h, x, 1], without h in a feed-forward cell, without 1 if there is no bias."""
    return (0 if plan.cell == FEEDFORWARD else plan.hidden_size) + plan.features + plan.bias


def parameter_views(plan: Plan, flat: np.ndarray) -> list[np.ndarray]:
    """The flat buffer's layers: the recurrent (gates, K, H), then each dense (in + 1, out)."""
    widths = plan.widths.tolist()
    shapes: list[tuple[int, ...]] = [(plan.n_gates, input_rows(plan), widths[0])]
    shapes += [(n_in + 1, n_out) for n_in, n_out in itertools.pairwise(widths)]
    return _split(flat, shapes)


def _transposed_size(plan: Plan) -> int:
    """Elements of the transposed weights that the backward pass reads."""
    widths = plan.widths
    recurrent = 0 if plan.cell == FEEDFORWARD else plan.n_gates * plan.hidden_size**2
    return int(recurrent + np.sum(widths[1:] * widths[:-1]))


def parameter_size(plan: Plan) -> int:
    """Elements of the flat parameter buffer: all layers, padded to whole blocks."""
    widths = plan.widths
    size = plan.n_gates * input_rows(plan) * plan.hidden_size + int(np.sum((widths[:-1] + 1) * widths[1:]))
    return -(-size // BLOCK) * BLOCK


def aligned_zeros(shape: int | tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An array of zeros that starts at a cache line: a vector that straddles two costs two loads."""
    # np.prod would take almost as long as all the rest
    size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def rows_together(plan: Plan, dtype: np.dtype, chunks: int) -> int:
    """The rows of a work space for a thread that has so many chunks to do; no result depends on it.

    Chunks that go through the steps together read each block of weights once for all. That pays where the weights are
    larger than a second-level cache (H = 512: 7 % on a core with 1 MiB, H = 1024: 24 %). Where they are not, it pays a
    little (T = 20, H = 64: 3 %), as long as what the chunks keep of all steps stays in that cache, and else it costs.
    """
    itemsize = np.dtype(dtype).itemsize
    kept = CHUNK_ROWS * plan.steps * (plan.hidden_size * (plan.n_gates + 4) + input_rows(plan)) * itemsize
    has_large_weights = plan.n_gates * plan.hidden_size**2 * itemsize > 2**21
    most, most_bytes = (4, 2**27) if has_large_weights else (2, 2**20)
    return CHUNK_ROWS * max(1, min(most, chunks, most_bytes // kept))


def make_workspace(plan: Plan, dtype: np.dtype, rows: int = CHUNK_ROWS, backward: bool = True) -> Workspace:
    """Allocate a thread's arrays for so many rows, whole chunks or fewer than one, with the columns of ones."""
    flat = rows * plan.hidden_size
    state = flat if plan.has_cell_state else 0
    back = int(backward)
    inputs = aligned_zeros((plan.steps + 1, rows, pad(input_rows(plan))), dtype)
    if plan.bias:
        inputs[:, :, input_rows(plan) - 1] = 1
    total = plan.steps_seen * rows * int(plan.widths.sum())
    return Workspace(
        inputs=inputs,
        lengths=np.full(rows, plan.steps, np.int64),
        gates=aligned_zeros((plan.n_gates, plan.steps, flat), dtype),
        cell=aligned_zeros((plan.steps + 1, state), dtype),
        squashed=aligned_zeros((plan.steps, state), dtype),
        activations=aligned_zeros(total, dtype),
        dh_external=aligned_zeros((back * plan.steps, flat), dtype),
        dh=aligned_zeros(back * flat, dtype),
        dc=aligned_zeros(back * state, dtype),
        deltas=aligned_zeros(back * total, dtype),
        transposed=aligned_zeros(back * _transposed_size(plan), dtype),
    )


def _split(flat: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    views, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        views.append(flat[start : start + size].reshape(shape))
        start += size
    return views
