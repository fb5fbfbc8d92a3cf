"""What the host does: data to the GPU once, launches of bounded length, and the results back."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import OptionError
from ..kernels import buffers
from ..kernels.buffers import CHUNK_ROWS, Plan
from . import kernels
from .recurrent import Spec
from .shim import SIMULATED, cuda

if TYPE_CHECKING:
    from ..network import Network
    from ..training import _Job

MAX_HIDDEN, MAX_STEPS, MAX_FEATURES = 256, 1000, 16

# Arithmetic of one block in one launch. A multiprocessor does some 1e11 operations a second with its weights in
# registers, perhaps a tenth without: a launch ends within a fraction of a second, long before the watchdog of a GPU
# that also draws a screen (2 s), and Ctrl-C acts as soon.
_LAUNCH_FLOPS = {True: 1e10, False: 1e9}

# Of the GPU's free memory, for the networks of one series of launches and for the blocks' work spaces.
_MEMORY_SHARE = 0.4


def train(jobs: "Sequence[_Job]", report: Callable[[], None]) -> None:
    """Train every job on the GPU; their weights, losses and outcomes are those of `kernels.fit.fit_worker`.

    Parameters
    ----------
    jobs : sequence of _Job
        Of `training`, modified.
    report : callable
        Called between launches. If it raises, or Ctrl-C is pressed, the jobs have what was reached until then.

    Raises
    ------
    OptionError
        A network is beyond what the kernels can do.
    """
    groups: dict[tuple, list[_Job]] = {}
    for job in jobs:
        spec = make_spec(job.plan, job.network.dtype)
        groups.setdefault((spec, tuple(job.plan.widths.tolist()), job.config.epochs), []).append(job)
    for (spec, _, _), members in groups.items():
        most = _networks_at_once(members[0])
        for first in range(0, len(members), most):
            Series(spec, members[first : first + most]).run(report)
            if any(job.is_broken() for job in members):  # as on the CPU, the others go no further
                for job in jobs:
                    job.stop()


def predict(network: "Network", plan: Plan, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The network's outputs (N, m) for checked inputs x (N, T, F)."""
    spec = make_spec(plan, network.dtype)
    compiled = kernels.make_kernels(spec)
    blocks = min(-(-x.shape[0] // CHUNK_ROWS), 2 * _multiprocessors())
    out = cuda.device_array((x.shape[0], plan.outputs), network.dtype)
    compiled.predict[blocks, compiled.threads](
        cuda.to_device(network._theta),
        cuda.to_device(plan.widths),
        cuda.to_device(x.reshape(-1)),
        cuda.to_device(lengths),
        plan.steps,
        out,
        cuda.device_array((blocks, CHUNK_ROWS * int(plan.widths.sum())), network.dtype),
    )
    return out.copy_to_host()


def make_spec(plan: Plan, dtype: np.dtype) -> Spec:
    """The kernels' specification of a network.

    Raises
    ------
    OptionError
        The GPU cannot train it.
    """
    if plan.cell == buffers.FEEDFORWARD:
        raise OptionError("device 'cuda' trains recurrent cells only: use device 'cpu' for cell 'ann'.")
    for what, value, largest in (
        ("hidden units", plan.hidden_size, MAX_HIDDEN),
        ("time steps", plan.steps, MAX_STEPS),
        ("features", plan.features, MAX_FEATURES),
    ):
        if value > largest:
            raise OptionError(f"device 'cuda' takes at most {largest} {what}: use device 'cpu' beyond that.")
    return Spec(plan.cell, plan.features, plan.hidden_size, plan.bias, plan.squash_output, dtype.itemsize)


class Series:
    """Networks of one specification and their data on the GPU, and the launches that train them."""

    def __init__(self, spec: Spec, jobs: "Sequence[_Job]", launch_steps: int | None = None) -> None:
        self.spec, self.jobs = spec, list(jobs)
        self.compiled = kernels.make_kernels(spec)
        dtype, plan = jobs[0].network.dtype, jobs[0].plan
        self.table, data = _lay_out(self.jobs)
        start = np.zeros((len(jobs), kernels.BUFFERS, jobs[0].kept.size), dtype)
        for row, job in zip(start, jobs, strict=True):
            row[: kernels.FIRST] = job.network._theta  # what is trained, kept, and kept before
        self.table[:, [kernels.BEST_EPOCH, kernels.PREVIOUS_EPOCH]] = -1
        self.table[:, kernels.OUTCOME] = kernels.RUNNING
        numbers = np.zeros((len(jobs), kernels.NUMBERS_SIZE))
        numbers[:, : kernels.BATCH_LOSS] = [
            (job.options.learning_rate, job.options.clip_norm, job.options.weight_decay) for job in jobs
        ]
        numbers[:, kernels.BEST_LOSS] = np.inf

        self.parameters = cuda.to_device(start)
        self.device_table = cuda.to_device(self.table)
        self.histories = cuda.to_device(np.stack([job.losses for job in jobs]))
        self.blocks = min(len(jobs), _multiprocessors() * _blocks_each(spec), _workspaces_at_once(self.jobs))
        workspaces = cuda.device_array((self.blocks, max(_workspace_size(job.plan) for job in jobs)), dtype)
        before = (self.parameters, cuda.to_device(jobs[0].decays()), cuda.to_device(plan.widths), *data)
        self.fixed = (*before, self.device_table, cuda.to_device(numbers), self.histories)
        self.workspaces = workspaces
        if launch_steps is None:
            step_flops = 2 * CHUNK_ROWS * spec.input_rows * spec.n_gates * spec.hidden_size
            launch_steps = max(1, int(_LAUNCH_FLOPS[spec.in_registers] / step_flops))
        self.launch_steps = launch_steps

    def run(self, report: Callable[[], None]) -> None:
        """Launch until all networks are trained, and give the jobs what came of it, however it ends."""
        start = time.perf_counter()
        try:
            while self.launch() and not any(job.is_broken() for job in self.jobs):
                report()
        finally:
            self.copy_back()
            for job in self.jobs:
                job.seconds = time.perf_counter() - start

    def launch(self) -> bool:
        """One launch; whether there is more to do. A job that is asked to stop is not trained any further."""
        running = [
            network
            for network, job in enumerate(self.jobs)
            if self.table[network, kernels.OUTCOME] == kernels.RUNNING and not job.is_stopped()
        ]
        if not running:
            return False
        # networks that are begun come first: no more than there are blocks
        running.sort(key=lambda network: not self.table[network, [kernels.POSITION, kernels.EPOCH]].any())
        blocks = min(self.blocks, len(running))
        self.compiled.fit[blocks, self.compiled.threads](
            *self.fixed,
            cuda.to_device(np.array(running)),
            cuda.to_device(np.zeros(1, np.int64)),
            self.workspaces,
            self.launch_steps,
        )
        self.table = self.device_table.copy_to_host()
        histories = self.histories.copy_to_host()
        for job, row, history in zip(self.jobs, self.table, histories, strict=True):
            outcome = int(row[kernels.OUTCOME])
            job.outcome[1:] = row[kernels.EPOCH], row[kernels.BEST_EPOCH]
            job.losses[:] = history
            if outcome != kernels.RUNNING:
                job.outcome[0] = outcome
        return True

    def copy_back(self) -> None:
        """Give the jobs the weights that are kept."""
        kept = self.parameters.copy_to_host()[:, kernels.KEPT]
        for job, weights in zip(self.jobs, kept, strict=True):
            job.kept[:] = weights


class _Arena:
    """Arrays laid end to end; an array that is given twice lies there once."""

    def __init__(self, dtype: np.dtype | type) -> None:
        self._dtype = dtype
        self._parts: list[np.ndarray] = []
        self._places: dict[tuple, int] = {}
        self._size = 0

    def place(self, array: np.ndarray) -> int:
        """Where the array begins."""
        key = (array.ctypes.data, array.shape)
        if key not in self._places:
            self._places[key] = self._size
            self._parts.append(array.reshape(-1))
            self._size += array.size
        return self._places[key]

    def to_device(self) -> Any:
        return cuda.to_device(np.concatenate([*self._parts, np.zeros(1, self._dtype)], dtype=self._dtype))


class _Data(NamedTuple):
    x: Any
    y: Any
    lengths: Any
    order: Any


def _lay_out(jobs: "Iterable[_Job]") -> tuple[np.ndarray, _Data]:
    """The table of jobs, and their data on the GPU."""
    jobs = list(jobs)
    dtype = jobs[0].network.dtype
    x, y, lengths = _Arena(dtype), _Arena(dtype), _Arena(np.int64)
    table = np.zeros((len(jobs), kernels.JOB_SIZE), np.int64)
    samples = 0
    for row, job in zip(table, jobs, strict=True):
        columns = (
            (kernels.SAMPLES, kernels.X, kernels.Y, kernels.LENGTHS, job.train),
            (
                kernels.VALIDATION_SAMPLES,
                kernels.VALIDATION_X,
                kernels.VALIDATION_Y,
                kernels.VALIDATION_LENGTHS,
                job.validation,
            ),
        )
        for count, x_at, y_at, length_at, data in columns:
            row[[count, x_at, y_at, length_at]] = (
                data.x.shape[0], x.place(data.x), y.place(data.y), lengths.place(data.lengths),
            )  # fmt: skip
        row[kernels.STEPS], row[kernels.OUTPUTS], row[kernels.ORDER] = (
            job.plan.steps,
            job.plan.outputs,
            samples,
        )
        row[kernels.EPOCHS], row[kernels.BATCH_SIZE] = job.options.epochs, job.options.batch_size
        row[kernels.PATIENCE_EPOCHS], row[kernels.SHUFFLE] = job.options.patience, job.options.shuffle
        row[kernels.SEED] = job.options.seed
        samples += 2 * job.train.x.shape[0]
    # each order is followed by room for the draws that shuffle it
    order = np.concatenate([np.tile(np.arange(job.train.x.shape[0]), 2) for job in jobs])
    return table, _Data(x.to_device(), y.to_device(), lengths.to_device(), cuda.to_device(order))


def _workspace_size(plan: Plan) -> int:
    """Numbers that a block keeps of one chunk: activations, their gradients, and the trace."""
    values = 2 if plan.cell == buffers.RNN else plan.n_gates + 3
    return CHUNK_ROWS * (2 * int(plan.widths.sum()) + plan.steps * values * plan.hidden_size)


def _multiprocessors() -> int:
    return 2 if SIMULATED else cuda.get_current_device().MULTIPROCESSOR_COUNT


def _blocks_each(spec: Spec) -> int:
    """Blocks that are given to a multiprocessor: 256 threads of a kernel that takes all registers fill it."""
    return max(1, 256 // spec.threads)


def _free_bytes() -> float:
    return 2.0**30 if SIMULATED else _MEMORY_SHARE * cuda.current_context().get_memory_info().free


def _networks_at_once(job: "_Job") -> int:
    return max(1, int(_free_bytes() / (kernels.BUFFERS * job.kept.nbytes)))


def _workspaces_at_once(jobs: "Sequence[_Job]") -> int:
    largest = max(_workspace_size(job.plan) for job in jobs) * jobs[0].network.dtype.itemsize
    return max(1, int(_free_bytes() / largest))
