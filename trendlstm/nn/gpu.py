"""What the host does: data to the GPU once, launches of bounded length, and the results back."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trendlstm.config import NetworkConfig
from trendlstm.cuda import buffers as layout
from trendlstm.cuda.buffers import Fits, Launch, Networks, Samples, Spec, make_spec
from trendlstm.cuda.compile import SIMULATED, cuda, launch
from trendlstm.cuda.fit import make_fit
from trendlstm.cuda.predict import Inputs, make_predict
from trendlstm.cuda.stream import make_stream
from trendlstm.kernels import buffers
from trendlstm.kernels.buffers import CHUNK_ROWS, Data, Plan
from trendlstm.kernels.decisions import UNFINISHED, start_fits
from trendlstm.kernels.stream import StreamOptions
from trendlstm.nn.device import check_fit, check_limits
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
        check_fit(job.config)
        spec = make_spec(job.plan, job.theta.dtype)
        groups.setdefault((spec, tuple(job.plan.widths.tolist()), job.epochs), []).append(job)
    for (spec, _, _), members in groups.items():
        most = min(_networks_at_once(job) for job in members)
        for first in range(0, len(members), most):
            GpuFits(spec, members[first : first + most]).run(report)
            if any(job.is_broken() for job in members):  # as on the CPU, the others go no further
                return


def predict(
    network: NetworkConfig, plan: Plan, theta: np.ndarray, x: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """The outputs (N, m) of the network with the weights `theta` for checked inputs x (N, T, F)."""
    check_limits(network, plan.steps, plan.steps_seen)
    spec = make_spec(plan, theta.dtype)
    blocks = min(-(-x.shape[0] // CHUNK_ROWS), 2 * _multiprocessors())
    out = cuda.device_array((x.shape[0], plan.outputs), theta.dtype)
    workspaces = cuda.device_array((blocks, CHUNK_ROWS * int(plan.widths.sum())), theta.dtype)
    inputs = Inputs(cuda.to_device(x.reshape(-1)), cuda.to_device(lengths), plan.steps)
    device_theta, widths = cuda.to_device(theta), cuda.to_device(plan.widths)
    launch(make_predict(spec), blocks, spec.threads, device_theta, widths, inputs, out, workspaces)
    return out.copy_to_host()


class GpuFits:
    """Networks of one specification and their data on the GPU, and the launches that train them."""

    def __init__(self, spec: Spec, jobs: Sequence[FitJob]) -> None:
        self.jobs = list(jobs)
        plans, thetas = [job.plan for job in jobs], np.array([job.theta for job in jobs])
        table, self.samples = _lay_out(spec, [(job.plan, job.train, job.validation) for job in jobs])
        options = np.array([tuple(job.options) for job in jobs], layout.FIT_OPTIONS)
        self.progress = start_fits(len(jobs), layout.FIT_PROGRESS)
        self.networks = _networks(plans[0], thetas, table, options, self.progress)
        self.fits = Fits(
            kept=cuda.to_device(thetas),
            previous=cuda.to_device(thetas),
            decays=cuda.to_device(jobs[0].decays()),
            loss=cuda.to_device(np.array([job.loss for job in jobs])),
            validation_loss=cuda.to_device(np.array([job.validation_loss for job in jobs])),
        )
        self.launcher = _Launcher(spec, make_fit(spec), plans, thetas.dtype)

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
            if self.progress[network].outcome == UNFINISHED and not job.is_stopped()
        ]
        if not running:
            return False
        begun = (self.progress["position"] > 0) | (self.progress["epoch"] > 0)
        self.launcher.launch((self.networks, self.fits, self.samples), running, begun)
        self.read()
        return True

    def read(self) -> None:
        """Tell the jobs what has been done; waits for a launch to end."""
        self.progress = self.networks.progress.copy_to_host()
        loss, validation_loss = self.fits.loss.copy_to_host(), self.fits.validation_loss.copy_to_host()
        for network, job in enumerate(self.jobs):
            for name in job.progress.dtype.names or ():
                job.progress[name] = self.progress[name][network]
            job.loss[:], job.validation_loss[:] = loss[network], validation_loss[network]

    def copy_back(self) -> None:
        """Give the jobs the weights that are kept, and what belongs to them, which Ctrl-C may have kept unread."""
        self.read()
        for job, weights in zip(self.jobs, self.fits.kept.copy_to_host(), strict=True):
            job.theta[:] = weights


class GpuStreams:
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
        self.options = np.array([tuple(options)] * len(thetas), layout.STREAM_OPTIONS)
        self.progress = np.zeros(len(thetas), layout.STREAM_PROGRESS)
        self.recent = np.zeros((len(thetas), run))
        self._networks: Networks | None = None

    def train(
        self, blocks: dict[int, tuple[Plan, Data]], report: Callable[[], None]
    ) -> dict[int, tuple[int, np.ndarray]]:
        """Train some networks, by index, on a block of sequences each; their outcomes, and the sequences' errors."""
        plans, running = [plan for plan, _ in blocks.values()], list(blocks)
        for plan in plans:
            check_limits(self.network, plan.steps)
        dtype = self.thetas[0].dtype
        spec = make_spec(plans[0], dtype)
        table = np.zeros(len(self.thetas), layout.JOB)
        table[running], samples = _lay_out(spec, [(plan, block, None) for plan, block in blocks.values()])
        before = self.progress["seen"].copy()
        self.progress["position"][running] = 0
        self.progress["outcome"][running] = UNFINISHED
        if self._networks is None:
            self._networks = _networks(plans[0], np.array(self.thetas), table, self.options, self.progress)
        else:
            self._networks.jobs.copy_to_device(table)
            self._networks.progress.copy_to_device(self.progress)
        longest = max(block.x.shape[0] for _, block in blocks.values())
        errors = cuda.to_device(np.zeros((len(self.thetas), longest)))
        streams = layout.Streams(errors, cuda.to_device(self.recent))
        launcher = _Launcher(spec, make_stream(spec), plans, dtype)
        while running:
            launcher.launch((self._networks, streams, samples), running, self.progress["position"] > 0)
            self.progress = self._networks.progress.copy_to_host()
            running = [network for network in blocks if self.progress[network].outcome == UNFINISHED]
            report()
        self.recent, every = streams.recent.copy_to_host(), streams.errors.copy_to_host()
        judged = self.progress["seen"] - before
        return {
            network: (int(self.progress[network].outcome), every[network, : judged[network]])
            for network in blocks
        }

    def copy_back(self) -> None:
        """Give the networks their weights."""
        if self._networks is not None:
            for theta, weights in zip(self.thetas, self._networks.theta.copy_to_host(), strict=True):
                theta[:] = weights


def _networks(
    plan: Plan, thetas: np.ndarray, jobs: np.ndarray, options: np.ndarray, progress: np.ndarray
) -> Networks:
    """Networks that have the weights `thetas` (K, P) and no moments yet, on the GPU."""
    zeros = np.zeros_like(thetas)
    return Networks(
        widths=cuda.to_device(plan.widths),
        jobs=cuda.to_device(jobs),
        options=cuda.to_device(options),
        progress=cuda.to_device(progress),
        theta=cuda.to_device(thetas),
        first_moment=cuda.to_device(zeros),
        second_moment=cuda.to_device(zeros),
        gradient=cuda.to_device(zeros),
    )


class _Launcher:
    """Launches a kernel on blocks with work spaces of their own."""

    def __init__(self, spec: Spec, function: Any, plans: Sequence[Plan], dtype: np.dtype) -> None:
        self._function, self._threads = function, spec.threads
        size = max(layout.workspace_size(spec, plan) for plan in plans)
        at_once = int(_free_bytes() / (size * dtype.itemsize))
        self._blocks = max(1, min(len(plans), _multiprocessors() * _blocks_each(spec), at_once))
        self._workspaces = cuda.device_array((self._blocks, size), dtype)
        # Used by every launch: to free such arrays the host would wait for a launch where Ctrl-C is lost.
        self._queue = cuda.device_array(len(plans), np.int64)
        self._taken = cuda.device_array(1, np.int64)

    def launch(self, arguments: tuple, running: list[int], begun: np.ndarray) -> None:
        """Train the networks `running`; those that are `begun` come first: they are no more than there are blocks."""
        queue = np.zeros(self._queue.size, np.int64)
        queue[: len(running)] = sorted(running, key=lambda network: not begun[network])
        self._queue.copy_to_device(queue)
        self._taken.copy_to_device(np.zeros(1, np.int64))
        what = Launch(self._queue, len(running), self._taken, _LAUNCH_NANOSECONDS, self._workspaces)
        launch(self._function, min(self._blocks, len(running)), self._threads, *arguments, what)


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


def _lay_out(spec: Spec, parts: Sequence[tuple[Plan, Data, Data | None]]) -> tuple[np.ndarray, Samples]:
    """The jobs of networks that train on some data and perhaps validate on other; and the data on the GPU."""
    dtype = parts[0][1].x.dtype
    x, y, lengths = _Arena(dtype), _Arena(dtype), _Arena(np.int64)
    orders: list[np.ndarray] = []
    begin = 0

    def place(data: Data | None) -> tuple[int, ...]:
        if data is None:
            return (0, 0, 0, 0)
        return data.x.shape[0], x.place(data.x), y.place(data.y), lengths.place(data.lengths)

    table = np.zeros(len(parts), layout.JOB)
    for row, (plan, train, validation) in zip(table, parts, strict=True):
        row.steps, row.outputs = plan.steps, plan.outputs
        row["train"], row["validation"] = place(train), place(validation)
        row.chunk_time, row.validation_time, row.minibatch_time = _times(spec, plan)
        row.order = begin
        orders.append(np.tile(np.arange(train.x.shape[0]), 2))
        begin += orders[-1].size
    order = cuda.to_device(np.concatenate(orders))
    return table, Samples(x.to_device(), y.to_device(), lengths.to_device(), order)


def _multiprocessors() -> int:
    return 2 if SIMULATED else cuda.get_current_device().MULTIPROCESSOR_COUNT


def _blocks_each(spec: Spec) -> int:
    """Blocks that are given to a multiprocessor: 256 threads of a kernel that takes all registers fill it."""
    return max(1, 256 // spec.threads)


def _free_bytes() -> float:
    return 2.0**30 if SIMULATED else _MEMORY_SHARE * cuda.current_context().get_memory_info().free


def _networks_at_once(job: FitJob) -> int:
    data = sum(array.nbytes for part in (job.train, job.validation) for array in part)
    # theta, two moments, the gradient and two sets of kept weights; the losses; the order and its draws
    own = 6 * job.theta.nbytes + 2 * job.loss.nbytes + 16 * job.train.x.shape[0]
    return max(1, int(_free_bytes() / (own + data)))


def _times(spec: Spec, plan: Plan) -> tuple[int, ...]:
    """Nanoseconds that a block may take for a chunk of training, one of validation, and Adam's step: estimates."""
    step = 2 * CHUNK_ROWS * spec.input_rows * spec.n_gates * spec.hidden_size
    head = 2 * CHUNK_ROWS * int(((plan.widths[:-1] + 1) * plan.widths[1:]).sum())
    forward = (
        plan.steps * step / (_REGISTER_RATE if spec.in_registers else _MEMORY_RATE) + head / _MEMORY_RATE
    )
    start = 20e-6  # whatever the sizes: some barriers and reads from memory
    adam = buffers.parameter_size(plan) / spec.threads * 0.4e-6
    return tuple(int(1e9 * seconds) for seconds in (start + 3 * forward, start + forward, adam))
