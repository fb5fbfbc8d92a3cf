"""`fit` and `fit_many`: mini-batch training with Adam, validation, early stopping."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from trendlstm.config import Device, DType, FitConfig
from trendlstm.errors import DataError, FitInterrupted, OptionError, TrainingError
from trendlstm.kernels import buffers
from trendlstm.kernels import fit as kernel
from trendlstm.kernels.cache import note_compiled
from trendlstm.kernels.gang import ABANDONED, ASKED, COUNTERS, STOP
from trendlstm.nn.device import choose_device, load_driver
from trendlstm.nn.history import History
from trendlstm.nn.network import Network, recurse
from trendlstm.nn.progress import FitProgress
from trendlstm.nn.queue import run_queue
from trendlstm.nn.threads import run_together, thread_count

Pair = tuple[np.ndarray, np.ndarray]

_STOPPED = {
    kernel.ALL_EPOCHS: "epochs",
    kernel.PATIENCE: "patience",
    kernel.STOPPED: "interrupted",
    kernel.NOT_FINITE: "not finite",
}


def fit(
    network: Network,
    x: np.ndarray,
    y: np.ndarray,
    *,
    validation: Pair | None = None,
    lengths: np.ndarray | None = None,
    n_threads: int | None = None,
    device: Device = "cpu",
    progress: Callable[[FitProgress], None] | None = None,
    **settings: Any,
) -> History:
    """Train one network by Adam (Kingma & Ba 2015) on the mean squared error; all threads share each minibatch.

    The weights are the same bits for any number of threads. Each call starts Adam afresh. With `validation` the
    weights of its best epoch are kept, otherwise the last.

    Parameters
    ----------
    network : Network
        Modified.
    x : array_like (N, T, F)
        Inputs. Not modified.
    y : array_like (N, m)
        Targets. Not modified.
    validation : pair of arrays (x, y), optional
        Evaluated after each epoch; chooses the epoch, changes nothing else.
    lengths : array_like (N,) of int, optional
        Steps of each sample of x. Not with `validation`.
    n_threads : int, optional
        Default: all cores that the process may use.
    device : {"cpu", "cuda", "auto"}
        What computes: the processor, an NVIDIA GPU (with the extra `cuda`), or whichever is known to be faster. The
        GPU sees the same minibatches, but adds in another order: its weights agree to rounding, not in every bit.
    progress : callable, optional
        Called on this thread with a `FitProgress`, about 20 times a second and at the end. If it raises, training ends.
    **settings
        The fields of `FitConfig`: epochs=100, batch_size=32, learning_rate=1e-3, patience=None (epochs without a
        better validation loss before stopping), clip_norm=None (largest norm of the gradient), weight_decay=0.0
        (decoupled, weights only), shuffle=True, seed=None (of the shuffling; default: the network's).

    Returns
    -------
    History

    Raises
    ------
    OptionError, DataError
        A setting or an array cannot be used.
    TrainingError
        A loss or weight became infinite or NaN. The network keeps the weights it would have had at the last good
        epoch (the initial ones if there was none).
    FitInterrupted
        Ctrl-C (it is a KeyboardInterrupt); the network then has the best weights so far.
    """
    start = time.perf_counter()
    job = _Job(network, x, y, lengths, validation, _fit_config(settings))
    size = min(thread_count(n_threads), job.chunks)
    if choose_device(device) == "cuda":
        _run_on_gpu([job], progress)
        return job.history()
    arguments = [(*job.arguments(), rank, size) for rank in range(size)]

    def train() -> None:
        run_together(kernel.fit_worker, arguments, _reporter([job], progress), job.stop, job.abandon)
        job.seconds = time.perf_counter() - start

    _run([job], train)
    _reporter([job], progress)()
    return job.history()


def fit_many(
    networks: Sequence[Network],
    xs: np.ndarray | Sequence[np.ndarray],
    ys: np.ndarray | Sequence[np.ndarray],
    *,
    validation: Pair | Sequence[Pair | None] | None = None,
    n_threads: int | None = None,
    device: Device = "cpu",
    progress: Callable[[FitProgress], None] | None = None,
    **settings: Any,
) -> list[History]:
    """Train many networks, one to a thread (or to a multiprocessor of the GPU) at a time.

    Each gets the bits that `fit` would give it alone on the same device.

    Parameters
    ----------
    networks : sequence of Network
        Modified. Each may have its own shape.
    xs, ys : sequence of arrays, or one array for all
        Inputs (N, T, F) and targets (N, m) of each network; a single array is shared.
    validation : pair, sequence of pairs or None, optional
        One for all or one each.
    n_threads, device, progress, **settings
        As in `fit`.

    Returns
    -------
    list of History
        In the order of `networks`.

    Raises
    ------
    As `fit`. If a fit fails or is interrupted, the others keep their best weights so far.
    """
    config = _fit_config(settings)
    count = len(networks)
    inputs, targets = (_one_each(name, value, count) for name, value in (("xs", xs), ("ys", ys)))
    shared = validation is None or _is_pair(validation)
    pairs = [validation] * count if shared else _one_each("validation", validation, count)
    if len({id(network) for network in networks}) < count:
        raise OptionError("networks holds the same network twice; each fit needs its own.")
    jobs = [
        _Job(network, x, y, None, pair, config)
        for network, x, y, pair in zip(networks, inputs, targets, pairs, strict=True)
    ]
    if choose_device(device) == "cuda":
        _run_on_gpu(jobs, progress)
        return [job.history() for job in jobs]
    spare: list[tuple] = []  # arguments of fits that have ended, at most one a thread

    def train(job: _Job) -> None:
        if job.is_stopped():
            return
        start = time.perf_counter()
        arguments = job.arguments(spare.pop() if spare else None)
        kernel.fit_worker(*arguments, 0, 1)
        job.release()
        spare.append(arguments)
        job.seconds = time.perf_counter() - start
        if job.is_broken():
            stop_all()

    def stop_all() -> None:
        for job in jobs:
            job.stop()

    tasks, threads = [partial(train, job) for job in jobs], thread_count(n_threads)
    _run(jobs, lambda: run_queue(tasks, threads, _reporter(jobs, progress), stop_all))
    _reporter(jobs, progress)()
    return [job.history() for job in jobs]


def _run_on_gpu(jobs: "list[_Job]", progress: Callable[[FitProgress], None] | None) -> None:
    if not jobs:
        return
    driver = load_driver()
    _run(jobs, lambda: driver.train(jobs, _reporter(jobs, progress)))
    _reporter(jobs, progress)()


def compile_kernels(dtype: DType = "float32") -> None:
    """Compile what `fit` and `Network.predict` need, or load it from the cache, on this thread.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    """
    network = Network(hidden_size=1, dense=(), dtype=dtype)
    x, y = np.zeros((1, 1, 1)), np.zeros((1, 1))
    kernel.fit_worker(*_Job(network, x, y, None, (x, y), FitConfig(epochs=1)).arguments(), 0, 1)
    network.predict(x)
    recurse([network], x[:, :, 0], 1, relative=True)
    note_compiled(dtype)


def _run(jobs: "list[_Job]", train: Callable[[], None]) -> None:
    """Call `train` and give every network its kept weights, however it ends."""
    try:
        train()
    except KeyboardInterrupt as error:
        raise FitInterrupted([job.history() for job in jobs]) from error
    finally:
        for job in jobs:
            job.finish()
    for index, job in enumerate(jobs):
        if job.is_broken():
            which = f"Network {index}: " if len(jobs) > 1 else ""
            raise TrainingError(which + job.complaint(), [job.history() for job in jobs])


class _Job:
    """One fit: checked data, and while it runs the arrays that its threads share."""

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        y: np.ndarray,
        lengths: np.ndarray | None,
        validation: Pair | None,
        config: FitConfig,
    ) -> None:
        if validation is not None and not (isinstance(validation, tuple | list) and len(validation) == 2):
            raise OptionError("validation must be a pair of arrays (x, y).")
        if config.patience is not None and validation is None:
            raise OptionError("patience needs validation=(x, y), whose loss it watches.")
        if lengths is not None and validation is not None:
            raise OptionError("lengths cannot be combined with validation.")
        self.network = network
        self.config = config
        self.plan, self.train = network._data(x, y, lengths)
        n = self.train.x.shape[0]
        if validation is None:
            self.validation = type(self.train)(self.train.x[:0], self.train.y[:0], self.train.lengths[:0])
        else:
            plan, self.validation = network._data(*validation, None, "validation ")
            if plan.steps != self.plan.steps or plan.features != self.plan.features:
                raise DataError(
                    f"validation x must have {self.train.x.shape[1]} time steps like x, "
                    f"but has {self.validation.x.shape[1]}."
                )
        self.chunks = -(-min(config.batch_size, n) // buffers.CHUNK_ROWS)
        self.counters = np.zeros(COUNTERS, np.int64)
        self.outcome = np.array([kernel.STOPPED, 0, -1], np.int64)
        self.losses = np.full((2, config.epochs), np.nan)
        self.kept = network._theta.copy()
        self.options = kernel.FitOptions(
            epochs=config.epochs,
            batch_size=config.batch_size,
            learning_rate=float(config.learning_rate),
            clip_norm=float(config.clip_norm or 0.0),
            weight_decay=float(config.weight_decay),
            patience=config.patience or -1,
            shuffle=config.shuffle,
            seed=network.config.seed if config.seed is None else config.seed,
        )
        self.seconds = 0.0
        self._state: kernel.FitState | None = None

    def arguments(self, ended: tuple | None = None) -> tuple:
        """The arguments of one thread's `fit_worker`, with a work space of its own.

        `ended` are those of a fit that has ended; its memory is used again where it has the right size. A short fit of
        a small network would spend a tenth of its time on fresh memory.
        """
        dtype = self.network.dtype
        if self._state is None:
            self._state = self._make_state(ended[1] if ended else None)
        if ended and ended[5].inputs.dtype == dtype and _is_same_plan(ended[0], self.plan):
            work, transposed = ended[5:]
        else:
            work = buffers.make_workspace(self.plan, dtype)
            transposed = buffers.aligned_zeros(buffers.transposed_size(self.plan), dtype)
        return self.plan, self._state, self.train, self.validation, self.options, work, transposed

    def _make_state(self, ended: kernel.FitState | None) -> kernel.FitState:
        network = self.network
        size, dtype = network._theta.size, network.dtype
        accumulators = min(buffers.ACCUMULATORS, self.chunks)

        def zeros(name: str, *shape: int) -> np.ndarray:
            array = getattr(ended, name, None)
            if array is None or array.shape != shape or array.dtype != dtype:
                return buffers.aligned_zeros(shape, dtype)
            array[...] = 0
            return array

        theta = zeros("theta", size)
        theta[:] = network._theta
        return kernel.FitState(
            theta=theta,
            kept=self.kept,
            previous=self.kept.copy(),
            first_moment=zeros("first_moment", size),
            second_moment=zeros("second_moment", size),
            decays=self.decays(),
            gradients=zeros("gradients", accumulators, size),
            losses=np.zeros(accumulators),
            norms=np.zeros(size // buffers.BLOCK),
            order=np.arange(self.train.x.shape[0]),
            validation_order=np.arange(self.validation.x.shape[0]),
            validation_losses=np.zeros(-(-self.validation.x.shape[0] // buffers.CHUNK_ROWS)),
            history=self.losses,
            outcome=self.outcome,
            counters=self.counters,
        )

    def decays(self) -> np.ndarray:
        """Which parameters decay: 1 for weights, also those of padding, which are 0 and stay so; 0 for biases."""
        decays = buffers.aligned_zeros(self.kept.size, self.network.dtype)
        recurrent, *dense = buffers.parameter_views(self.plan, decays)
        recurrent[:, : buffers.input_rows(self.plan) - self.plan.bias] = 1
        for weight in dense:
            weight[:-1] = 1
        return decays

    def release(self) -> None:
        """Drop what only a running fit needs."""
        self._state = None

    def stop(self) -> None:
        self.counters[STOP] = ASKED

    def abandon(self) -> None:
        self.counters[STOP] = ABANDONED

    def is_stopped(self) -> bool:
        return bool(self.counters[STOP])

    def is_broken(self) -> bool:
        return bool(self.outcome[0] == kernel.NOT_FINITE)

    def finish(self) -> None:
        """Give the network the kept weights."""
        self.release()
        self.network._theta[:] = self.kept

    def complaint(self) -> str:
        """Why the fit is broken, and what to do."""
        _, epochs_run, best_epoch = self.outcome.tolist()
        kept = f"of epoch {best_epoch + 1}" if best_epoch >= 0 else "from before training"
        return (
            f"the loss is no longer finite in epoch {epochs_run + 1}: use a smaller learning rate than "
            f"{self.config.learning_rate:g} or clip the gradient's norm; the weights {kept} are kept."
        )

    def history(self) -> History:
        ended, epochs_run, best_epoch = self.outcome.tolist()
        validated = self.validation.x.shape[0] > 0
        return History(
            loss=self.losses[0, :epochs_run].copy(),
            validation_loss=self.losses[1, :epochs_run].copy() if validated else None,
            kept_epoch=best_epoch + 1,
            epochs_run=epochs_run,
            seconds=self.seconds,
            stopped=_STOPPED[ended],
        )


def _fit_config(settings: dict[str, Any]) -> FitConfig:
    names = [field.name for field in dataclasses.fields(FitConfig)]
    for name in settings:
        if name not in names:
            raise OptionError(f"unknown setting {name!r} of fit; the settings are {', '.join(names)}.")
    return FitConfig(**settings)


def _is_same_plan(one: buffers.Plan, other: buffers.Plan) -> bool:
    return one[:-1] == other[:-1] and np.array_equal(one.widths, other.widths)


def _is_pair(value: object) -> bool:
    """Whether `value` is (x, y) itself, not a sequence of such pairs."""
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(part, np.ndarray) for part in value)
    )


def _one_each(name: str, values: Any, count: int) -> Sequence[Any]:
    if isinstance(values, np.ndarray):
        return [values] * count
    if len(values) != count:
        raise OptionError(
            f"{name} must hold one entry for each of the {count} networks, but holds {len(values)}."
        )
    return values


def _progress_of(jobs: list[_Job]) -> FitProgress:
    done = [int(job.outcome[1]) for job in jobs]
    last = max(range(len(jobs)), key=lambda index: (0 < done[index] < jobs[index].config.epochs, done[index]))
    losses = jobs[last].losses[:, done[last] - 1] if done[last] else (np.nan, np.nan)
    return FitProgress(sum(done), sum(job.config.epochs for job in jobs), float(losses[0]), float(losses[1]))


def _reporter(jobs: list[_Job], progress: Callable[[FitProgress], None] | None) -> Callable[[], None]:
    if progress is None:
        return lambda: None
    return lambda: progress(_progress_of(jobs))
