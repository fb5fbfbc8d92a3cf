"""Training of fit jobs: on the processor's threads or on a GPU, until all have ended, one fails or is interrupted."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np

from trendlstm.config import Device
from trendlstm.errors import FitInterrupted, OptionError, TrainingError
from trendlstm.kernels import buffers
from trendlstm.kernels.buffers import Data, Thread
from trendlstm.kernels.fit import FitState, fit_worker
from trendlstm.kernels.pace import resume_pace, start_pace
from trendlstm.nn.device import choose_device
from trendlstm.nn.fit_job import FitJob
from trendlstm.nn.history import History
from trendlstm.nn.memory import Memory, leave_memory, take_memory
from trendlstm.nn.progress import FitProgress, Report
from trendlstm.nn.queue import run_queue
from trendlstm.nn.threads import available_threads, run_together, thread_count


def train(
    jobs: Sequence[FitJob],
    n_threads: int | None = None,
    device: Device = "cpu",
    report: Report | None = None,
) -> list[History]:
    """Train jobs; however it ends, each one's `theta` then holds the weights that it keeps.

    On the processor all threads share the minibatches of a single job; of several jobs each is one thread's. Either
    way the weights are the same bits. On the GPU a job is one multiprocessor's.

    Parameters
    ----------
    jobs : sequence of FitJob
        Modified.
    n_threads : int, optional
        Default: all cores that the process may use.
    device : {"cpu", "cuda", "auto"}
    report : callable, optional
        Told of all jobs together, on this thread, about 20 times a second and at the end.

    Returns
    -------
    list of History
        In the order of `jobs`.

    Raises
    ------
    OptionError
        The device or `n_threads` cannot be used, or a job's weights are being trained by somebody else.
    TrainingError
        A loss or weight became infinite or NaN; the other jobs go no further.
    FitInterrupted
        Ctrl-C.
    """

    def tell() -> None:
        if report is not None and jobs:
            report(_progress(jobs))

    device, threads = choose_device(device), thread_count(n_threads)
    with _alone(jobs):
        for job in jobs:  # only now is it certain that nobody else is training its weights
            job.begin(min(threads, job.chunks) if len(jobs) == 1 else 1)
        try:
            if device == "cuda":
                from trendlstm.nn import gpu

                gpu.train(jobs, tell)
            elif len(jobs) == 1:
                _train_together(jobs[0], tell)
            else:
                _train_each(jobs, threads, tell)
        except KeyboardInterrupt as error:
            raise FitInterrupted([job.history() for job in jobs]) from error
        for index, job in enumerate(jobs):
            if job.is_broken():
                which = f"Network {index}: " if len(jobs) > 1 else ""
                raise TrainingError(which + _complaint(job), [job.history() for job in jobs])
        tell()
    return [job.history() for job in jobs]


def train_here(job: FitJob) -> None:
    """Train a job on this thread alone, which hears of Ctrl-C only when that has ended."""
    start = time.perf_counter()
    memory = take_memory()
    state = _state(job, memory)
    fit_worker(*_arguments(job, state, memory, 0, 1))
    _keep(job, state)
    leave_memory(memory)
    job.seconds = time.perf_counter() - start


def one_thread(job: FitJob) -> tuple:
    """The arguments of `fit_worker` for a job that is one thread's alone."""
    memory = Memory()
    return _arguments(job, _state(job, memory), memory, 0, 1)


def _keep(job: FitJob, state: FitState) -> None:
    """Give a job that has ended the weights to keep, unless those are the ones from before training."""
    if job.progress["best_epoch"][0] > 0:
        job.theta[:] = state.kept


def fit_here(job: FitJob) -> History:
    """Train a job of weights that nobody else trains, on this thread alone; `theta` then holds those that are kept.

    Raises
    ------
    TrainingError
        A loss or weight became infinite or NaN.
    """
    train_here(job)
    if job.is_broken():
        raise TrainingError(_complaint(job), [job.history()])
    return job.history()


def _train_together(job: FitJob, tell: Callable[[], None]) -> None:
    """Train a job on the threads that it has begun for, which share its minibatches."""
    start = time.perf_counter()
    memory = take_memory()
    state: FitState | None = None

    def arguments(size: int) -> list[tuple]:
        nonlocal state
        if state is not None:  # it was abandoned, because there are no more threads to be had
            job.begin(size)
        state = _state(job, memory)
        return [_arguments(job, state, memory, rank, size) for rank in range(size)]

    try:
        run_together(fit_worker, arguments, len(job.progress), tell, job.stop, job.abandon)
        leave_memory(memory)
    finally:
        if state is not None:
            _remember_pace(job, state.pace)
            _keep(job, state)
        job.seconds = time.perf_counter() - start


def _train_each(jobs: Sequence[FitJob], threads: int, tell: Callable[[], None]) -> None:
    """Train each job on one thread, as many at a time as there are threads."""

    def run(job: FitJob) -> None:
        if job.is_stopped():
            return
        train_here(job)
        if job.is_broken():
            stop_all()

    def stop_all() -> None:
        for job in jobs:
            job.stop()

    run_queue([partial(run, job) for job in jobs], threads, tell, stop_all)


def _arguments(job: FitJob, state: FitState, memory: Memory, rank: int, size: int) -> tuple:
    """One thread's arguments of `fit_worker`, with a work space of its own."""
    rows = buffers.rows_together(job.plan, job.theta.dtype, -(-job.chunks // size))
    thread = Thread(rank, size, memory.workspace(job.plan, job.theta.dtype, rows, rank))
    return job.plan, job.train, job.validation, job.options, state, thread


def _state(job: FitJob, memory: Memory) -> FitState:
    """What the threads of a job share."""
    size, dtype = job.theta.size, job.theta.dtype
    accumulators = min(buffers.ACCUMULATORS, job.chunks)
    theta = memory.array("theta", (size,), dtype)
    theta[:] = job.theta
    gradients = memory.array("gradients", (accumulators, size), dtype)
    gradients[:, -buffers.BLOCK :] = 0  # in which is what no layer writes
    return FitState(
        theta=theta,
        kept=memory.array("kept", (size,), dtype),
        previous=memory.array("previous", (size,), dtype),
        first_moment=memory.zeros("first_moment", (size,), dtype),
        second_moment=memory.zeros("second_moment", (size,), dtype),
        decays=job.decays() if job.config.weight_decay else np.empty(0, dtype),
        gradients=gradients,
        losses=np.zeros(accumulators),
        squared_norms=np.zeros(size // buffers.BLOCK),
        finite=np.zeros(size // buffers.BLOCK, np.bool_),
        order=np.arange(job.train.x.shape[0]),
        validation_order=np.arange(job.validation.x.shape[0]),
        validation_losses=np.zeros(-(-job.validation.x.shape[0] // buffers.CHUNK_ROWS)),
        states=_states(job, job.train),
        validation_states=_states(job, job.validation),
        loss=job.loss,
        validation_loss=job.validation_loss,
        learning_rate=job.learning_rate,
        progress=job.progress,
        counters=job.counters,
        pace=_begin_pace(job),
    )


def _states(job: FitJob, samples: Data) -> np.ndarray:
    """What samples of more steps than the plan's begin their next ones with; otherwise nothing."""
    count = samples.x.shape[0] if samples.x.shape[1] > job.plan.steps else 0
    return np.zeros((count, buffers.state_size(job.plan)), job.theta.dtype)


# What fits have found lately about the number of threads to take part in an epoch, by their size.
_paces: dict[tuple[int, ...], np.ndarray] = {}
_PACE_SECONDS, _MOST_PACES = 10.0, 64  # so long and so many: other processes come and go


def _size(job: FitJob) -> tuple[int, ...]:
    return len(job.progress), job.plan.steps, job.theta.nbytes, job.chunks


def _begin_pace(job: FitJob) -> np.ndarray:
    """The record with which a fit begins: beside a busy process it would search for a good part of a short fit."""
    pace = start_pace(len(job.progress), available_threads())
    last = _paces.get(_size(job), pace)
    if time.monotonic() - last["tried"][0] < _PACE_SECONDS:
        resume_pace(pace, last)
    return pace


def _remember_pace(job: FitJob, pace: np.ndarray) -> None:
    if pace["trials"][0] > 0:
        pace["tried"] = time.monotonic()
    if len(_paces) >= _MOST_PACES:
        _paces.clear()
    _paces[_size(job)] = pace


_trained: set[int] = set()  # by their address: the weights that are being trained in this process
_claiming = threading.Lock()


@contextmanager
def _alone(jobs: Sequence[FitJob]) -> Iterator[None]:
    """While the block runs nobody else can train the weights of these jobs."""
    ours = [job.theta.ctypes.data for job in jobs]
    with _claiming:
        if len(set(ours)) < len(ours):
            raise OptionError("networks holds the same network twice; each fit needs its own.")
        if not _trained.isdisjoint(ours):
            raise OptionError(
                "this network is being trained by another fit: wait until that has ended, or train a copy."
            )
        _trained.update(ours)
    try:
        yield
    finally:
        with _claiming:
            _trained.difference_update(ours)


def _complaint(job: FitJob) -> str:
    """Why a job is broken, and what to do."""
    history = job.history()
    kept = f"of epoch {history.best_epoch}" if history.best_epoch else "from before training"
    return (
        f"the loss is no longer finite in epoch {history.epochs_run + 1}: use a smaller learning rate than "
        f"{job.config.learning_rate:g} or clip the gradient's norm; the weights {kept} are kept."
    )


def _progress(jobs: Sequence[FitJob]) -> FitProgress:
    """How far all are together, with the losses of the one that is furthest and still runs."""
    done = [job.epochs_run() for job in jobs]
    last = max(range(len(jobs)), key=lambda index: (0 < done[index] < jobs[index].epochs, done[index]))
    job, epoch = jobs[last], done[last]
    losses = (job.loss[epoch - 1], job.validation_loss[epoch - 1]) if epoch else (np.nan, np.nan)
    return FitProgress(sum(done), sum(job.epochs for job in jobs), *map(float, losses))
