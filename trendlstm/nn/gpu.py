"""What the host does: data to the GPU once, launches of bounded length, and the results back."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from trendlstm.config import NetworkConfig
from trendlstm.cuda import kernels
from trendlstm.cuda.recurrent import Spec
from trendlstm.cuda.shim import SIMULATED, configure, cuda
from trendlstm.kernels import buffers
from trendlstm.kernels.buffers import CHUNK_ROWS, Data, Plan
from trendlstm.kernels.decisions import UNFINISHED
from trendlstm.kernels.stream import StreamOptions
from trendlstm.nn.device import check_limits
from trendlstm.nn.fit_job import FitJob

# How long a launch may take by the estimate of `_times`: Ctrl-C acts as soon, and the watchdog of a GPU that also draws
# a screen (2 s) is far, although the estimate is made without one and may be wrong by a factor.
_LAUNCH_NANOSECONDS = 100_000_000

# Operations a second of one block: in the recurrent products with weights in registers, and elsewhere.
_REGISTER_RATE, _MEMORY_RATE = 1e11, 1e10

# Of the GPU's free memory, for the networks of one series of launches and for the blocks' work spaces.
_MEMORY_SHARE = 0.4


def train(jobs: Sequence[FitJob], report: Callable[[], None]) -> None:
    """Train every job on the GPU; their weights, losses and outcomes are those of `kernels.fit.fit_worker`.

    Parameters
    ----------
    jobs : sequence of FitJob
        Modified.
    report : callable
        Called between launches. If it raises, or Ctrl-C is pressed, the jobs have what was reached until then.

    Raises
    ------
    OptionError
        A network is beyond what the kernels can do.
    """
    groups: dict[tuple, list[FitJob]] = {}
    for job in jobs:
        check_limits(job.network, job.plan.steps, job.plan.steps_seen)
        spec = make_spec(job.plan, job.theta.dtype)
        groups.setdefault((spec, tuple(job.plan.widths.tolist()), job.config.epochs), []).append(job)
    for (spec, _, _), members in groups.items():
        most = min(_networks_at_once(job) for job in members)
        for first in range(0, len(members), most):
            Series(spec, members[first : first + most]).run(report)
            if any(job.is_broken() for job in members):  # as on the CPU, the others go no further
                return


def predict(
    network: NetworkConfig, plan: Plan, theta: np.ndarray, x: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """The outputs (N, m) of the network with the weights `theta` for checked inputs x (N, T, F)."""
    check_limits(network, plan.steps, plan.steps_seen)
    spec = make_spec(plan, theta.dtype)
    compiled = kernels.make_kernels(spec)
    blocks = min(-(-x.shape[0] // CHUNK_ROWS), 2 * _multiprocessors())
    out = cuda.device_array((x.shape[0], plan.outputs), theta.dtype)
    configure(compiled.predict, blocks, compiled.threads)(
        cuda.to_device(theta),
        cuda.to_device(plan.widths),
        cuda.to_device(x.reshape(-1)),
        cuda.to_device(lengths),
        plan.steps,
        out,
        cuda.device_array((blocks, CHUNK_ROWS * int(plan.widths.sum())), theta.dtype),
    )
    return out.copy_to_host()


def make_spec(plan: Plan, dtype: np.dtype) -> Spec:
    """What the kernels of a network are compiled for."""
    return Spec(plan.cell, plan.features, plan.hidden_size, plan.bias, plan.squash_output, dtype.itemsize)


class Series:
    """Networks of one specification and their data on the GPU, and the launches that train them."""

    def __init__(self, spec: Spec, jobs: Sequence[FitJob]) -> None:
        self.jobs = list(jobs)
        options = [job.options for job in jobs]
        self.table, data = _lay_out([(job.plan, job.train, job.validation) for job in jobs])
        for row, option in zip(self.table, options, strict=True):
            row[kernels.EPOCHS], row[kernels.BATCH_SIZE] = option.epochs, option.batch_size
            row[kernels.PATIENCE_EPOCHS], row[kernels.SHUFFLE] = option.patience, option.shuffle
            row[kernels.SEED] = option.seed
        numbers = np.zeros((len(jobs), kernels.NUMBERS_SIZE))
        numbers[:, : kernels.BATCH_LOSS] = [
            (option.learning_rate, option.clip_norm, option.weight_decay) for option in options
        ]
        numbers[:, kernels.BEST_LOSS] = np.inf
        thetas, plans = [job.theta for job in jobs], [job.plan for job in jobs]
        self.parameters = _parameters(thetas)
        self.histories = cuda.to_device(np.array([(job.loss, job.validation_loss) for job in jobs]))
        self.launcher = _Launcher(spec, kernels.make_kernels(spec).fit, plans, thetas[0].dtype)
        self.device_table = cuda.to_device(self.table)
        constants = (cuda.to_device(jobs[0].decays()), cuda.to_device(plans[0].widths))
        self.arguments = (
            self.parameters, *constants, *data, self.device_table, cuda.to_device(numbers), self.histories
        )  # fmt: skip

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
        """One launch; whether there was anything to do. A job that is asked to stop is not trained any further."""
        running = [
            network
            for network, job in enumerate(self.jobs)
            if self.table[network, kernels.OUTCOME] == UNFINISHED and not job.is_stopped()
        ]
        if not running:
            return False
        self.launcher.launch(self.arguments, running, self.table)
        self.read()
        return True

    def read(self) -> None:
        """Tell the jobs what has been done; waits for a launch to end."""
        self.table = self.device_table.copy_to_host()
        histories = self.histories.copy_to_host()
        for job, row, history in zip(self.jobs, self.table, histories, strict=True):
            progress = job.progress[0]
            progress.outcome = row[kernels.OUTCOME]
            progress.epoch, progress.best_epoch = row[kernels.EPOCH], row[kernels.BEST_EPOCH] + 1
            job.loss[:], job.validation_loss[:] = history

    def copy_back(self) -> None:
        """Give the jobs the weights that are kept, and what belongs to them, which Ctrl-C may have kept unread."""
        self.read()
        kept = self.parameters.copy_to_host()[:, kernels.KEPT]
        for job, weights in zip(self.jobs, kept, strict=True):
            job.kept[:] = weights


class Streams:
    """Networks of one specification that learn from blocks of fresh sequences, as `kernels.stream.stream_worker`.

    Parameters
    ----------
    network : NetworkConfig
        Of all of them, but for the seed.
    thetas : sequence of ndarray (P,)
        Their weights, modified by `copy_back`.
    options : StreamOptions
    run : int
        Sequences in a row that must be answered well.
    """

    def __init__(
        self, network: NetworkConfig, thetas: Sequence[np.ndarray], options: StreamOptions, run: int
    ) -> None:
        self.network, self.thetas = network, list(thetas)
        self.parameters = _parameters(thetas)
        self.table = np.zeros((len(thetas), kernels.JOB_SIZE), np.int64)
        self.table[:, [kernels.BATCH_SIZE, kernels.RUN]] = options.batch_size, run
        self.recent = np.zeros((len(thetas), run))
        self.numbers = np.zeros((len(thetas), kernels.NUMBERS_SIZE))
        self.numbers[:, [kernels.LEARNING_RATE, kernels.CLIP_NORM, kernels.TOLERANCE, kernels.MEAN]] = (
            options.learning_rate, options.clip_norm, options.tolerance, options.mean,
        )  # fmt: skip

    def train(
        self, blocks: dict[int, tuple[Plan, Data]], report: Callable[[], None]
    ) -> dict[int, tuple[int, np.ndarray]]:
        """Train some networks, by index, on a block of sequences each; their outcomes, and the sequences' errors."""
        plans = [plan for plan, _ in blocks.values()]
        for plan in plans:
            check_limits(self.network, plan.steps)
        table, data = _lay_out([(plan, block, None) for plan, block in blocks.values()])
        longest = max(self.recent.shape[1], *(block.x.shape[0] for _, block in blocks.values()))
        histories = np.zeros((len(self.thetas), 2, longest))
        histories[:, 1, : self.recent.shape[1]] = self.recent
        for row, network in zip(table, blocks, strict=True):
            self.table[network, : kernels.OUTPUTS + 1] = row[: kernels.OUTPUTS + 1]
            self.table[network, kernels.POSITION] = 0
            self.table[network, kernels.OUTCOME] = UNFINISHED
        size, dtype = self.thetas[0].size, self.thetas[0].dtype
        spec = make_spec(plans[0], dtype)
        launcher = _Launcher(spec, kernels.make_kernels(spec).stream, plans, dtype)
        device_table, device_numbers = cuda.to_device(self.table), cuda.to_device(self.numbers)
        device_histories = cuda.to_device(histories)
        constants = (cuda.to_device(np.zeros(size, dtype)), cuda.to_device(plans[0].widths))
        arguments = (self.parameters, *constants, *data, device_table, device_numbers, device_histories)
        before = self.table[:, kernels.SEEN].copy()
        running = list(blocks)
        while running:
            launcher.launch(arguments, running, self.table)
            self.table = device_table.copy_to_host()
            running = [network for network in blocks if self.table[network, kernels.OUTCOME] == UNFINISHED]
            report()
        self.numbers, histories = device_numbers.copy_to_host(), device_histories.copy_to_host()
        self.recent = histories[:, 1, : self.recent.shape[1]]
        judged = self.table[:, kernels.SEEN] - before
        return {
            network: (int(self.table[network, kernels.OUTCOME]), histories[network, 0, : judged[network]])
            for network in blocks
        }

    def copy_back(self) -> None:
        """Give the networks their weights."""
        trained = self.parameters.copy_to_host()[:, kernels.THETA]
        for theta, weights in zip(self.thetas, trained, strict=True):
            theta[:] = weights


def _parameters(thetas: Sequence[np.ndarray]) -> Any:
    """Every network's buffers on the GPU: the weights that are trained, kept and kept before, and zeros."""
    values = np.zeros((len(thetas), kernels.BUFFERS, thetas[0].size), thetas[0].dtype)
    for row, theta in zip(values, thetas, strict=True):
        row[: kernels.FIRST] = theta
    return cuda.to_device(values)


class _Launcher:
    """Launches a kernel on blocks with work spaces of their own."""

    def __init__(self, spec: Spec, kernel: Any, plans: Sequence[Plan], dtype: np.dtype) -> None:
        self._kernel, self._threads = kernel, spec.threads
        size = max(_workspace_size(plan) for plan in plans)
        at_once = int(_free_bytes() / (size * dtype.itemsize))
        self._blocks = max(1, min(len(plans), _multiprocessors() * _blocks_each(spec), at_once))
        self._workspaces = cuda.device_array((self._blocks, size), dtype)
        # Used by every launch: to free such arrays the host would wait for a launch where Ctrl-C is lost.
        self._queue = cuda.device_array(len(plans), np.int64)
        self._taken = cuda.device_array(1, np.int64)

    def launch(self, arguments: tuple, running: list[int], table: np.ndarray) -> None:
        """Train the networks `running`; those that are begun come first: they are no more than there are blocks."""
        queue = np.zeros(self._queue.size, np.int64)
        queue[: len(running)] = sorted(
            running, key=lambda network: not table[network, [kernels.POSITION, kernels.EPOCH]].any()
        )
        self._queue.copy_to_device(queue)
        self._taken.copy_to_device(np.zeros(1, np.int64))
        configure(self._kernel, min(self._blocks, len(running)), self._threads)(
            *arguments, self._queue, len(running), self._taken, self._workspaces, _LAUNCH_NANOSECONDS
        )


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


class _Arrays(NamedTuple):
    x: Any
    y: Any
    lengths: Any
    order: Any


def _lay_out(parts: Sequence[tuple[Plan, Data, Data | None]]) -> tuple[np.ndarray, _Arrays]:
    """The table of jobs that train on some data and perhaps validate on other; and the data on the GPU."""
    dtype = parts[0][1].x.dtype
    x, y, lengths = _Arena(dtype), _Arena(dtype), _Arena(np.int64)
    table = np.zeros((len(parts), kernels.JOB_SIZE), np.int64)
    table[:, [kernels.BEST_EPOCH, kernels.PREVIOUS_EPOCH]] = -1
    table[:, kernels.OUTCOME] = UNFINISHED
    training = [kernels.SAMPLES, kernels.X, kernels.Y, kernels.LENGTHS]
    validating = [
        kernels.VALIDATION_SAMPLES, kernels.VALIDATION_X, kernels.VALIDATION_Y, kernels.VALIDATION_LENGTHS
    ]  # fmt: skip
    orders: list[np.ndarray] = []
    begin = 0
    for row, (plan, train, validation) in zip(table, parts, strict=True):
        row[kernels.STEPS], row[kernels.OUTPUTS] = plan.steps, plan.outputs
        row[[kernels.CHUNK_TIME, kernels.VALIDATION_TIME, kernels.MINIBATCH_TIME]] = _times(plan, dtype)
        row[kernels.ORDER] = begin
        # each order is followed by room for the draws that shuffle it
        orders.append(np.tile(np.arange(train.x.shape[0]), 2))
        begin += orders[-1].size
        for columns, data in ((training, train), (validating, validation)):
            if data is not None:
                places = x.place(data.x), y.place(data.y), lengths.place(data.lengths)
                row[columns] = data.x.shape[0], *places
    order = cuda.to_device(np.concatenate(orders))
    return table, _Arrays(x.to_device(), y.to_device(), lengths.to_device(), order)


def _workspace_size(plan: Plan) -> int:
    """Numbers that a block keeps of one chunk: activations, their gradients, and the trace."""
    values = plan.n_gates + (3 if plan.has_cell_state else 1)
    return CHUNK_ROWS * (2 * int(plan.widths.sum()) + plan.steps * values * plan.hidden_size)


def _multiprocessors() -> int:
    return 2 if SIMULATED else cuda.get_current_device().MULTIPROCESSOR_COUNT


def _blocks_each(spec: Spec) -> int:
    """Blocks that are given to a multiprocessor: 256 threads of a kernel that takes all registers fill it."""
    return max(1, 256 // spec.threads)


def _free_bytes() -> float:
    return 2.0**30 if SIMULATED else _MEMORY_SHARE * cuda.current_context().get_memory_info().free


def _networks_at_once(job: FitJob) -> int:
    data = sum(array.nbytes for part in (job.train, job.validation) for array in part)
    own = (
        job.kept.nbytes * kernels.BUFFERS + 2 * job.loss.nbytes + 16 * job.train.x.shape[0]
    )  # the order and its draws
    return max(1, int(_free_bytes() / (own + data)))


def _times(plan: Plan, dtype: np.dtype) -> tuple[int, ...]:
    """Nanoseconds that a block may take for a chunk of training, one of validation, and Adam's step: estimates."""
    spec = make_spec(plan, dtype)
    step = 2 * CHUNK_ROWS * spec.input_rows * spec.n_gates * spec.hidden_size
    head = 2 * CHUNK_ROWS * int(((plan.widths[:-1] + 1) * plan.widths[1:]).sum())
    forward = (
        plan.steps * step / (_REGISTER_RATE if spec.in_registers else _MEMORY_RATE) + head / _MEMORY_RATE
    )
    start = 20e-6  # whatever the sizes: some barriers and reads from memory
    adam = buffers.parameter_size(plan) / spec.threads * 0.4e-6
    return tuple(int(1e9 * seconds) for seconds in (start + 3 * forward, start + forward, adam))
