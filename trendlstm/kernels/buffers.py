"""What the kernels work on: the network's plan, its flat buffer of parameters, samples, and each thread's work space.

Every layer's width is padded with units whose weights are 0 to a multiple of `PADDING`, so that no kernel has a
remainder to treat. A padded unit's output is 0, and so are all its gradients: training leaves its weights at 0.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

LSTM, LSTM1997, RNN, RNN_SIGMOID, FEEDFORWARD, GRU = range(6)
MSE, MAE, HUBER, PINBALL, GAUSSIAN, CROSS_ENTROPY = range(6)  # losses


class Cell(NamedTuple):
    """What sets one kind of cell apart from the others."""

    n_gates: int  # matrices of weights, the candidate's among them
    has_cell_state: bool  # c beside h
    has_forget_gate: bool
    is_logistic: bool = False  # an RNN's h = sigmoid(z), not tanh(z)
    has_reset_gate: bool = False  # the GRU, which has two biases a gate


CELLS = {
    LSTM: Cell(4, has_cell_state=True, has_forget_gate=True),
    LSTM1997: Cell(3, has_cell_state=True, has_forget_gate=False),
    RNN: Cell(1, has_cell_state=False, has_forget_gate=False),
    RNN_SIGMOID: Cell(1, has_cell_state=False, has_forget_gate=False, is_logistic=True),
    FEEDFORWARD: Cell(1, has_cell_state=False, has_forget_gate=False),
    GRU: Cell(3, has_cell_state=False, has_forget_gate=False, has_reset_gate=True),
}

CHUNK_ROWS = 8  # samples whose gradient is one sum: a register tile of rows, and a power of two
# Chunk k adds its gradients to accumulator k mod ACCUMULATORS, whatever the number of threads.
ACCUMULATORS = 16
FEW_ROWS = 4  # so few samples go through the network without the absent rows of their chunk
BLOCK = 1024  # parameters that one thread updates at a time; a multiple of every vector loop's stride
PADDING = 16  # elements: one AVX-512 vector of float32, two of float64


def record(**fields: type | np.dtype) -> np.dtype:
    """The dtype of records whose fields are attributes, in Python as in compiled code."""
    # aligned: the GPU reads a number that might not be byte by byte
    return np.dtype((np.record, np.dtype(list(fields.items()), align=True)))


LAYER = record(
    features=np.int64,  # of x: the input's, or the hidden units of the layer below
    units=np.int64,  # hidden units that are not padding
    hidden_size=np.int64,
    input_rows=np.int64,  # K
    x_row=np.int64,  # the first row of x in a gate's matrix
    below=np.int64,  # the hidden sizes of the layers below, added up: where its part of most arrays begins
    # where it begins in the parameters, in the transposed weights, and in a row's inputs
    weight=np.int64,
    transposed=np.int64,
    inputs=np.int64,
)


class Plan(NamedTuple):
    """The network's shape, as the kernels see it (hidden sizes and widths padded)."""

    cell: int
    steps: int
    features: int
    n_gates: int
    has_cell_state: bool
    has_forget_gate: bool
    is_logistic: bool
    has_reset_gate: bool
    bias: int
    squash_output: int
    targets: int  # m
    outputs: int  # of the last layer, several of each target side by side if the loss wants them
    loss: int
    huber_delta: float
    steps_seen: int  # hidden states that the dense layers see: of all steps, or 1, of each sample's last step
    dropout: float  # share of a layer's outputs that training drops, between layers and before the dense ones
    recurrent_dropout: float  # share of h_{t-1} that a sequence does without in all of its steps
    layers: np.ndarray  # (L,) of LAYER: the recurrent layers, or the feed-forward cell's only one
    widths: np.ndarray  # (dense layers + 1,) int64: the top layer's hidden_size, then the dense widths
    quantiles: np.ndarray  # (Q,) float64, ascending: those of PINBALL


class Data(NamedTuple):
    """Samples: x (N, T, F), y (N, m) of the network's dtype, lengths (N,) int64; y of CROSS_ENTROPY are class numbers.

    If the dense layers see every step, y is (N, T * m): the targets of the first step, of the second, ...
    """

    x: np.ndarray
    y: np.ndarray
    lengths: np.ndarray


def state_size(plan: Plan) -> int:
    """S, the numbers of a sample's state: h and, if the cell has it, c of every layer, padded, from the first up."""
    return int(plan.layers["hidden_size"].sum()) * (2 if plan.has_cell_state else 1)


class Workspace(NamedTuple):
    """One thread's arrays for R rows: chunks of samples, or one sample.

    Those of the recurrent layers lie one behind the other in flat arrays; `layer_views` gives one layer's. Flat as well
    are `activations` and `deltas`, dL/d(activations): the (steps_seen * R, width) values of the hidden state, then of
    every dense layer.
    """

    inputs: np.ndarray
    gates: np.ndarray
    cell: np.ndarray
    squashed: np.ndarray
    hidden: np.ndarray
    masks: np.ndarray
    lengths: np.ndarray  # (R,) int64
    has_states: np.ndarray  # (1,) bool: whether an h_0 of these chunks was given, and may be other than 0
    draws: np.ndarray  # (R,) uint64: where each row's draws for dropout begin; 0 if nothing is dropped
    activations: np.ndarray
    # of the backward pass, and empty without it
    dh_external: np.ndarray
    dh_below: np.ndarray  # dh_external of the layer below
    dh: np.ndarray
    dc: np.ndarray
    deltas: np.ndarray
    transposed: np.ndarray  # flat: W_h^T of each layer's gates, then W_x^T but in the first; each dense W^T


class Layer(NamedTuple):
    """One recurrent layer's part of a work space; shapes in `cells`."""

    inputs: np.ndarray
    gates: np.ndarray
    cell: np.ndarray
    squashed: np.ndarray
    hidden: np.ndarray
    mask: np.ndarray


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
    hidden_sizes: tuple[int, ...],
    dense: tuple[int, ...],
    outputs: int,
    bias: bool,
    squash_output: bool,
    every_step: bool = False,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    loss: int = MSE,
    quantiles: tuple[float, ...] = (),
    huber_delta: float = 1.0,
    outputs_per_target: int = 1,
) -> Plan:
    """The plan of a network given by its real sizes; a feed-forward cell sees one step of steps * features inputs.

    `outputs` are the last layer's, of all targets.
    """
    if cell == FEEDFORWARD:
        steps, features = 1, steps * features
    widths = np.array([pad(width) for width in (hidden_sizes[-1], *dense, outputs)], np.int64)
    kind = CELLS[cell]
    return Plan(
        cell=cell,
        steps=steps,
        features=features,
        **kind._asdict(),
        bias=int(bias),
        squash_output=int(squash_output),
        targets=outputs // outputs_per_target,
        outputs=outputs,
        loss=loss,
        huber_delta=huber_delta,
        steps_seen=steps if every_step else 1,
        dropout=float(dropout),
        recurrent_dropout=float(recurrent_dropout),
        layers=_make_layers(cell, kind, steps, features, hidden_sizes, int(bias)),
        widths=widths,
        quantiles=np.array(quantiles, np.float64),
    )


def _make_layers(
    cell: int, kind: Cell, steps: int, features: int, hidden_sizes: tuple[int, ...], bias: int
) -> np.ndarray:
    layers = np.zeros(len(hidden_sizes), LAYER)
    below = weight = transposed = inputs = 0
    for index, units in enumerate(hidden_sizes):
        width = pad(units)
        recurrent = 0 if cell == FEEDFORWARD else width
        x_row = recurrent + (bias if kind.has_reset_gate else 0)
        rows = x_row + features + bias
        layers[index] = features, units, width, rows, x_row, below, weight, transposed, inputs
        below += width
        weight += kind.n_gates * rows * width
        transposed += kind.n_gates * width * (recurrent + (features if index else 0))
        inputs += (steps + 1) * pad(rows)
        features = width
    return layers


def parameter_views(plan: Plan, flat: np.ndarray) -> list[np.ndarray]:
    """The flat buffer's layers: each recurrent (gates, K, H), then each dense (in + 1, out)."""
    widths = plan.widths.tolist()
    shapes: list[tuple[int, ...]] = [
        (plan.n_gates, int(layer.input_rows), int(layer.hidden_size)) for layer in plan.layers
    ]
    shapes += [(n_in + 1, n_out) for n_in, n_out in itertools.pairwise(widths)]
    return _split(flat, shapes)


def _transposed_size(plan: Plan) -> int:
    """Elements of the transposed weights that the backward pass reads."""
    last = plan.layers[-1]
    recurrent = 0 if plan.cell == FEEDFORWARD else last.hidden_size
    size = plan.n_gates * last.hidden_size * (recurrent + (last.features if len(plan.layers) > 1 else 0))
    return int(last.transposed + size + np.sum(plan.widths[1:] * plan.widths[:-1]))


def parameter_size(plan: Plan) -> int:
    """Elements of the flat parameter buffer: all layers, padded to whole blocks."""
    last, widths = plan.layers[-1], plan.widths
    size = last.weight + plan.n_gates * last.input_rows * last.hidden_size
    size = int(size + np.sum((widths[:-1] + 1) * widths[1:]))
    return -(-size // BLOCK) * BLOCK


def aligned_zeros(shape: int | tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An array of zeros that starts at a cache line: a vector that straddles two costs two loads."""
    # np.prod would take almost as long as all the rest
    size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def rows_together(plan: Plan, dtype: np.dtype, chunks: int, backward: bool = True) -> int:
    """The rows of a work space for a thread that has so many chunks to do; no result depends on it.

    Chunks that go through the steps together read each block of weights once for all. That pays where the weights are
    larger than a second-level cache (H = 512: 7 % on a core with 1 MiB, H = 1024: 24 %). Where they are not, it pays a
    little (T = 20, H = 64: 3 %), as long as what the chunks keep of all steps stays in that cache, and else it costs.
    """
    # of plain numbers: NumPy's sums of so few would take longer than a small prediction
    itemsize = dtype.itemsize
    hidden = plan.layers["hidden_size"].tolist()
    each_step = sum(plan.layers["input_rows"].tolist()) + (plan.n_gates + 4 if backward else 2) * sum(hidden)
    kept = CHUNK_ROWS * plan.steps * each_step * itemsize
    has_large_weights = plan.n_gates * sum(size**2 for size in hidden) * itemsize > 2**21
    most, most_bytes = (4, 2**27) if has_large_weights else (2, 2**20)
    return CHUNK_ROWS * max(1, min(most, chunks, most_bytes // kept))


def make_workspace(plan: Plan, dtype: np.dtype, rows: int = CHUNK_ROWS, backward: bool = True) -> Workspace:
    """Allocate a thread's arrays for so many rows, whole chunks or fewer than one.

    Without a backward pass no step's gates are kept beyond that step.
    """
    layers, steps, last = plan.layers, plan.steps, plan.layers[-1]
    units = int(layers["hidden_size"].sum())
    widest = int(layers["hidden_size"].max())
    has_squashed = plan.has_cell_state or plan.has_reset_gate
    kept = steps if backward else 1
    back, is_stacked, drops = int(backward), len(layers) > 1, plan.recurrent_dropout > 0
    inputs = int(last.inputs + (steps + 1) * pad(last.input_rows))
    total = plan.steps_seen * rows * int(plan.widths.sum())
    return Workspace(
        inputs=aligned_zeros(rows * inputs, dtype),
        gates=aligned_zeros(rows * plan.n_gates * kept * units, dtype),
        cell=aligned_zeros(rows * plan.has_cell_state * (steps + 1) * units, dtype),
        squashed=aligned_zeros(rows * has_squashed * kept * units, dtype),
        hidden=aligned_zeros(rows * drops * (steps + 1) * units, dtype),
        masks=aligned_zeros(rows * drops * units, dtype),
        lengths=np.full(rows, steps, np.int64),
        has_states=np.zeros(1, np.bool_),
        draws=np.zeros(rows, np.uint64),
        activations=aligned_zeros(total, dtype),
        dh_external=aligned_zeros(back * rows * steps * int(last.hidden_size), dtype),
        dh_below=aligned_zeros(back * is_stacked * rows * steps * widest, dtype),
        dh=aligned_zeros(back * rows * widest, dtype),
        dc=aligned_zeros(back * has_squashed * rows * widest, dtype),
        deltas=aligned_zeros(back * total, dtype),
        transposed=aligned_zeros(back * _transposed_size(plan), dtype),
    )


def layer_views(plan: Plan, work: Workspace, index: int) -> Layer:
    """One recurrent layer's part of a work space; `chunk.layer_of` is its compiled twin."""
    layer, rows, steps = plan.layers[index], work.lengths.size, plan.steps
    kept = steps if work.deltas.size else 1
    flat, below = rows * int(layer.hidden_size), rows * int(layer.below)

    def part(array: np.ndarray, start: int, *shape: int) -> np.ndarray:
        given = shape if array.size else (0, *shape[1:])
        return array[start : start + math.prod(given)].reshape(given)

    return Layer(
        inputs=part(work.inputs, rows * int(layer.inputs), steps + 1, rows, pad(int(layer.input_rows))),
        gates=part(work.gates, plan.n_gates * kept * below, plan.n_gates, kept, flat),
        cell=part(work.cell, (steps + 1) * below, steps + 1, flat),
        squashed=part(work.squashed, kept * below, kept, flat),
        hidden=part(work.hidden, (steps + 1) * below, steps + 1, flat),
        mask=part(work.masks, below, flat),
    )


def _split(flat: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    views, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        views.append(flat[start : start + size].reshape(shape))
        start += size
    return views
