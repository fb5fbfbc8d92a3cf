"""Trials: networks that learn from fresh sequences until they meet the paper's criterion, or have seen enough."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trendlstm.config import Cell, Device, FitConfig, ForgetBias, Init, NetworkConfig
from trendlstm.errors import OptionError
from trendlstm.experiments import MAX_SEQUENCES, TRIALS, USUAL_CELLS
from trendlstm.experiments.long_lags import adding
from trendlstm.experiments.task import Task
from trendlstm.kernels import buffers, decisions
from trendlstm.kernels.buffers import Data
from trendlstm.kernels.cache import note_compiled
from trendlstm.kernels.gang import ASKED, COUNTERS, STOP
from trendlstm.kernels.stream import StreamOptions, StreamState, stream_worker
from trendlstm.nn.device import choose_device
from trendlstm.nn.network import Network
from trendlstm.nn.queue import run_queue
from trendlstm.nn.threads import thread_count

TEST_SEQUENCES = 2560
CURVE_STEP = 1000  # sequences: between two points of a curve, and what each is the mean of
TRAINING = FitConfig(batch_size=32, learning_rate=1e-2, clip_norm=1.0)
HIDDEN_SIZE = 16

_BLOCK_NUMBERS = 2**20  # input numbers that are drawn at once
_OUTCOMES = {
    decisions.USED_UP: "not solved",
    decisions.SOLVED: "solved",
    decisions.NOT_FINITE: "diverged",
}


class Model(NamedTuple):
    """What is tried: a cell and its initial values, see `Network`.

    The LSTM of 1997 has no forget gate; "chrono" gives it the input gate's half, b_i = -ln U[1, T-1], which keeps the
    gates almost shut at first, as the paper's own negative biases do.
    """

    cell: Cell
    forget_bias: ForgetBias | None = "chrono"
    init: Init = "orthogonal"

    @property
    def is_lstm(self) -> bool:
        """Whether the forget bias says anything of it."""
        return self.cell in ("lstm", "lstm1997")

    @property
    def label(self) -> str:
        """For people: "LSTM, chrono biases"."""
        if not self.is_lstm:
            return self.cell.upper()
        if self.cell == "lstm1997":
            return f"LSTM 1997, {'input gates shut' if self.forget_bias == 'chrono' else 'zero biases'}"
        return "LSTM, " + (
            "chrono biases" if self.forget_bias == "chrono" else f"forget bias {self.forget_bias}"
        )


def make_models(
    cells: Iterable[Cell] = USUAL_CELLS,
    forget_biases: Iterable[ForgetBias] = ("chrono", 1),
    init: Init = "orthogonal",
) -> list[Model]:
    """Every cell with every bias, without those that would be the same: RNN and GRU have one case, `lstm1997` two."""
    made: dict[str, Model] = {}
    for cell in cells:
        for bias in forget_biases:
            model = Model(cell, bias, init)
            model = model if model.is_lstm else model._replace(forget_bias=None)
            made.setdefault(model.label, model)
    return list(made.values())


@dataclass(frozen=True)
class Trial:
    """How one network fared.

    Attributes
    ----------
    model : Model
    seed : int
        Of its initial weights and of its sequences.
    outcome : {"solved", "not solved", "diverged"}
    sequences : int
        Training sequences it saw: until it was solved, if it was.
    wrong : int
        Test sequences, of `TEST_SEQUENCES` fresh ones, with an |error| that is not below the criterion's tolerance.
    curve : ndarray (points,)
        Mean |error| of the `CURVE_STEP` training sequences before every `CURVE_STEP`-th and before the end, each judged
        before its minibatch's step.
    parameters : int
        Of the network.
    seconds : float
        Wall time.
    """

    model: Model
    seed: int
    outcome: str
    sequences: int
    wrong: int
    curve: np.ndarray
    parameters: int
    seconds: float


class TrialsProgress(NamedTuple):
    """What a progress callback is told."""

    share: float  # of the most work that all trials may need, 0 ... 1
    finished: int
    solved: int


def run_trials(
    task: Task,
    models: Sequence[Model],
    *,
    trials: int = TRIALS,
    max_sequences: int = MAX_SEQUENCES,
    seed: int = 0,
    n_threads: int | None = None,
    device: Device = "cpu",
    progress: Callable[[TrialsProgress], None] | None = None,
) -> list[Trial]:
    """Let `trials` networks of every model learn a task, one network to a thread at a time.

    The k-th trial of each model has the seed `seed + k`: the same sequences for all models. Nothing depends on the
    number of threads.

    Parameters
    ----------
    task : Task
    models : sequence of Model
    trials : int
        Of each model.
    max_sequences : int
        After so many training sequences a trial ends unsolved.
    seed : int
    n_threads : int, optional
        Default: all cores that the process may use.
    device : {"cpu", "cuda", "auto"}
        What trains the networks, see `Network.fit`.
    progress : callable, optional
        Called on this thread with a `TrialsProgress`, about 20 times a second and at the end.

    Returns
    -------
    list of Trial
        By model, then by seed.

    Raises
    ------
    OptionError
        A number is below 1, or a model cannot be made.
    KeyboardInterrupt
        Ctrl-C, after all threads have ended.
    """
    for name, value in (("trials", trials), ("max_sequences", max_sequences)):
        if value < 1:
            raise OptionError(f"{name} must be a whole number from 1 up, but is {value!r}.")
    jobs = [_RunningTrial(task, model, seed + k, max_sequences) for model in models for k in range(trials)]

    def stop_all() -> None:
        for job in jobs:
            job.stop()

    def report() -> None:
        if progress is not None:
            done = [job.trial for job in jobs if job.trial]
            seen = sum(max_sequences if job.trial else int(job.progress[0].seen) for job in jobs)
            solved = sum(trial.outcome == "solved" for trial in done)
            progress(TrialsProgress(seen / (len(jobs) * max_sequences), len(done), solved))

    if choose_device(device) == "cuda":
        _run_on_gpu(jobs, report)
        report()
        return [job.trial for job in jobs if job.trial]
    run_queue([job.run for job in jobs], thread_count(n_threads), report, stop_all)
    note_compiled("stream")
    report()
    return [job.trial for job in jobs if job.trial]


def compile_kernels() -> None:
    """Compile what trials need, or load it from the cache."""
    run_trials(
        adding(100),
        [Model("lstm")],
        trials=1,
        max_sequences=TRAINING.batch_size,
        n_threads=1,
    )


class _RunningTrial:
    """One trial: what its thread works on."""

    def __init__(self, task: Task, model: Model, seed: int, max_sequences: int) -> None:
        self.task, self.model, self.seed, self.max_sequences = task, model, seed, max_sequences
        self.config = NetworkConfig(
            input_size=task.input_size,
            hidden_size=HIDDEN_SIZE,
            dense=(),
            output_size=task.output_size,
            seed=seed,
            lag=task.lag,
            cell=model.cell,
            forget_bias=model.forget_bias or 0,
            init=model.init,
        )
        self.counters = np.zeros(COUNTERS, np.int64)
        self.progress = np.zeros(1, decisions.STREAM_PROGRESS)
        self.trial: Trial | None = None

    def run(self) -> None:
        start = time.perf_counter()
        network = self.make_network()
        errors = self._train(network)
        if self.progress[0].outcome != decisions.UNFINISHED:
            self.finish(network, errors, time.perf_counter() - start)

    def stop(self) -> None:
        self.counters[STOP] = ASKED

    def make_network(self) -> Network:
        network = Network.from_config(self.config)
        if self.model.cell == "lstm1997" and self.model.forget_bias == "chrono":
            _shut_input_gates(network)
        return network

    def blocks(self) -> Iterator[Data]:
        """The training sequences."""
        generator = np.random.default_rng([self.seed, 1])  # the weights have streams of their own
        for count in self._counts(self.max_sequences):
            yield Data(*self.task.draw(generator, count))

    def finish(self, network: Network, errors: np.ndarray, seconds: float) -> None:
        """Make the trial of a trained network, and of the mean |error| of every sequence that it saw."""
        test = np.random.default_rng([self.seed, 2])
        ends = [*range(CURVE_STEP, errors.size, CURVE_STEP), errors.size]
        self.trial = Trial(
            model=self.model,
            seed=self.seed,
            outcome=_OUTCOMES[self.progress[0].outcome],
            sequences=errors.size,
            wrong=self._count_wrong(network, test),
            curve=np.array([errors[max(0, end - CURVE_STEP) : end].mean() for end in ends]),
            parameters=network.num_params,
            seconds=seconds,
        )

    def _counts(self, count: int) -> Iterator[int]:
        """Parts of `count` sequences that fit into memory, of whole minibatches."""
        batch = TRAINING.batch_size
        most = max(_BLOCK_NUMBERS // (self.task.lag * self.task.input_size) // batch, 1) * batch
        for first in range(0, count, most):
            yield min(most, count - first)

    def options(self) -> StreamOptions:
        criterion = self.task.criterion
        assert TRAINING.clip_norm is not None
        return StreamOptions(
            TRAINING.batch_size,
            TRAINING.learning_rate,
            TRAINING.clip_norm,
            criterion.tolerance,
            criterion.mean,
        )

    def _train(self, network: Network) -> np.ndarray:
        """Train the network; returns the mean |error| of every sequence that it saw."""
        theta, options = network.theta, self.options()
        names = ("first_moment", "second_moment", "gradient")
        state = StreamState(
            theta=theta,
            **{name: buffers.aligned_zeros(theta.size, theta.dtype) for name in names},
            recent=np.zeros(self.task.criterion.run),
            progress=self.progress,
            counters=self.counters,
        )
        parts = []
        for data in self.blocks():
            before = self.progress[0].seen
            plan = network.plan(data.x.shape[1])
            errors = np.zeros(data.x.shape[0])
            work = buffers.make_workspace(plan, theta.dtype)
            stream_worker(plan, data, np.arange(errors.size), options, state, work, errors)
            parts.append(errors[: self.progress[0].seen - before])
            if self.progress[0].outcome != decisions.USED_UP:
                break
        return np.concatenate(parts)

    def _count_wrong(self, network: Network, generator: np.random.Generator) -> int:
        """How many of TEST_SEQUENCES have an |error| that is not below the tolerance."""
        wrong = 0
        for count in self._counts(TEST_SEQUENCES):
            x, y, lengths = self.task.draw(generator, count)
            worst = np.abs(network.predict(x, lengths, n_threads=1) - y).max(axis=1)
            wrong += int(np.sum(~(worst < self.task.criterion.tolerance)))
        return wrong


def _run_on_gpu(jobs: "Sequence[_RunningTrial]", report: Callable[[], None]) -> None:
    """Run all trials of a cell at once, block after block of sequences; one network to a multiprocessor at a time."""
    from trendlstm.nn import gpu

    for cell in dict.fromkeys(job.model.cell for job in jobs):
        start = time.perf_counter()
        group = [job for job in jobs if job.model.cell == cell]
        networks = [job.make_network() for job in group]
        thetas = [network.theta for network in networks]
        streams = gpu.GpuStreams(group[0].config, thetas, group[0].options(), group[0].task.criterion.run)
        blocks = [job.blocks() for job in group]
        errors: list[list[np.ndarray]] = [[] for _ in group]
        learning = list(range(len(group)))
        while learning:
            drawn = {
                index: (networks[index].plan(block.x.shape[1]), block)
                for index in learning
                for block in [next(blocks[index], None)]
                if block
            }
            learning = []
            for index, (outcome, judged) in streams.train(drawn, report).items() if drawn else ():
                errors[index].append(judged)
                progress = group[index].progress[0]
                progress.outcome, progress.seen = outcome, sum(map(len, errors[index]))
                if outcome == decisions.USED_UP:
                    learning.append(index)
        streams.copy_back()
        seconds = time.perf_counter() - start  # of all together
        for job, network, parts in zip(group, networks, errors, strict=True):
            job.finish(network, np.concatenate(parts), seconds)


def _shut_input_gates(network: Network) -> None:
    """Set b_i = -ln U[1, T-1] in an LSTM without forget gate."""
    config = network.config
    assert config.lag is not None
    generator = np.random.default_rng([config.seed, 3])
    values = network.state_dict()
    values["recurrent.bias"][: config.hidden_size] = -np.log(
        generator.uniform(1, config.lag - 1, config.hidden_size)
    )
    network.load_state_dict(values)
