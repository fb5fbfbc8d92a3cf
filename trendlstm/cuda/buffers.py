"""What the GPU's kernels work on: a network's specification, the records of all networks, and a launch's arguments.

The arguments of a launch are NamedTuples of arrays on the GPU. K networks are trained by one launch, each with P
parameters; its samples lie somewhere in arrays that all networks share. What a network is trained on, how, and how far
it has come are records, whose fields keep their names on the GPU.
"""

from typing import Any, NamedTuple, get_type_hints

import numpy as np

from ..kernels.buffers import CELLS, CHUNK_ROWS, Plan, record
from ..kernels.decisions import FIT_FIELDS, STREAM_FIELDS
from ..kernels.fit import FitOptions
from ..kernels.stream import StreamOptions

QUARTERS = 4  # of the rows of W, and of a chunk's rows
OWN_ROWS = CHUNK_ROWS // QUARTERS
LARGEST_IN_REGISTERS = 64  # hidden units


class Spec(NamedTuple):
    """What a kernel is compiled for (hidden_size padded)."""

    cell: int
    features: int
    hidden_size: int
    bias: int
    squash_output: int
    itemsize: int

    @property
    def n_gates(self) -> int:
        """Matrices of weights, as in `kernels.buffers.Cell`."""
        return CELLS[self.cell].n_gates

    @property
    def has_cell_state(self) -> bool:
        """Whether there is a c beside h."""
        return CELLS[self.cell].has_cell_state

    @property
    def has_forget_gate(self) -> bool:
        """Otherwise f = 1."""
        return CELLS[self.cell].has_forget_gate

    @property
    def input_rows(self) -> int:
        """K, the rows of a gate's matrix."""
        return self.hidden_size + self.features + self.bias

    @property
    def recurrent_size(self) -> int:
        """The recurrent layer's parameters; those of the dense layers come after them."""
        return self.n_gates * self.input_rows * self.hidden_size

    @property
    def threads(self) -> int:
        """Of a block."""
        return QUARTERS * self.hidden_size

    @property
    def values(self) -> int:
        """V, the numbers of a unit and step in the trace."""
        return self.n_gates + (3 if self.has_cell_state else 1)

    @property
    def in_registers(self) -> bool:
        """Whether the weights are kept in registers."""
        return self.hidden_size <= LARGEST_IN_REGISTERS and self.itemsize == 4

    @property
    def real(self) -> type:
        """The dtype."""
        return np.float32 if self.itemsize == 4 else np.float64


def make_spec(plan: Plan, dtype: np.dtype) -> Spec:
    """What the kernels of a network are compiled for."""
    width = int(plan.widths[0])
    return Spec(plan.cell, plan.features, width, plan.bias, plan.squash_output, dtype.itemsize)


def workspace_size(spec: Spec, plan: Plan) -> int:
    """Numbers that a block keeps of one chunk: activations, their gradients, and the trace."""
    return CHUNK_ROWS * (2 * int(plan.widths.sum()) + plan.steps * spec.values * spec.hidden_size)


def _options_record(options: type) -> np.dtype:
    kinds = {int: np.int64, bool: np.int64, float: np.float64}
    return record(**{name: kinds[kind] for name, kind in get_type_hints(options).items()})


SAMPLES = record(count=np.int64, x=np.int64, y=np.int64, lengths=np.int64)  # offsets in the common arrays
JOB = record(
    steps=np.int64,
    outputs=np.int64,
    train=SAMPLES,
    validation=SAMPLES,
    order=np.int64,  # offset; the N numbers are followed by N more, for the draws that shuffle them
    # nanoseconds, estimated, which bound a launch
    chunk_time=np.int64,
    validation_time=np.int64,
    minibatch_time=np.int64,
)
FIT_OPTIONS = _options_record(FitOptions)
STREAM_OPTIONS = _options_record(StreamOptions)

# Beside what is counted on the CPU: where in its epoch a network is, and sums of squared errors.
_PLACE_FIELDS = {
    "position": np.int64,  # training samples
    "validated": np.int64,  # validation samples, which come after them
    "minibatch_error": np.float64,
    "epoch_error": np.float64,
    "validation_error": np.float64,
}
FIT_PROGRESS = record(**FIT_FIELDS, **_PLACE_FIELDS)
STREAM_PROGRESS = record(**STREAM_FIELDS, **_PLACE_FIELDS)


class Samples(NamedTuple):
    """The samples of all networks, laid end to end; each array is flat."""

    x: Any
    y: Any
    lengths: Any  # int64
    order: Any  # int64


class Networks(NamedTuple):
    """What is trained."""

    widths: Any  # (layers + 1,) int64, of all of them
    jobs: Any  # (K,) JOB
    options: Any  # (K,) FIT_OPTIONS or STREAM_OPTIONS
    progress: Any  # (K,) FIT_PROGRESS or STREAM_PROGRESS
    theta: Any  # (K, P)
    first_moment: Any  # (K, P)
    second_moment: Any  # (K, P)
    gradient: Any  # (K, P) 0 at the start of every minibatch


class Fits(NamedTuple):
    """What belongs to a fit alone, as in `kernels.fit.FitState`; E epochs."""

    kept: Any  # (K, P)
    previous: Any  # (K, P)
    decays: Any  # (P,)
    loss: Any  # (K, E) float64
    validation_loss: Any  # (K, E) float64


class Streams(NamedTuple):
    """What belongs to a stream alone, as in `kernels.stream`."""

    errors: Any  # (K, longest block) float64
    recent: Any  # (K, run) float64


class Launch(NamedTuple):
    """What a launch does: the first `waiting` networks of `queue`, for about `budget` nanoseconds."""

    queue: Any  # (K,) int64
    waiting: int
    taken: Any  # (1,) int64: networks that are begun beside the first of each block; 0 at first
    budget: int
    workspaces: Any  # (blocks, `workspace_size`)


class Chunk(NamedTuple):
    """Which samples the R rows of a chunk are: (R,) int64 each, in shared memory."""

    starts: Any  # where they begin in x; -1: there is none
    lengths: Any
    targets: Any  # where their targets begin in y


class Shared(NamedTuple):
    """What a block's threads exchange in each step of the recurrent layer, in shared memory: see `recurrent`."""

    inputs: Any
    scratch: Any
    dz: Any


class Workspace(NamedTuple):
    """A block's row of `Launch.workspaces`, each part flat."""

    activations: Any  # (R, width) of the last hidden state, then of every dense layer
    deltas: Any  # dL/d(activations)
    trace: Any  # (T, V, R, H)
