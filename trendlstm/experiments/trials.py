"""Trials: networks that learn from fresh sequences until they meet a task's criterion, or have seen enough."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from trendlstm.config import Device, DType, FitConfig
from trendlstm.errors import OptionError
from trendlstm.experiments.checkpoints import Checkpoints
from trendlstm.experiments.learner import Learner, Stopped, exam_interval, passes
from trendlstm.experiments.models import Model, make_network
from trendlstm.experiments.task import Criterion, Exam, Task
from trendlstm.experiments.tasks import make_task
from trendlstm.kernels import decisions
from trendlstm.kernels.cache import note_compiled
from trendlstm.nn.device import choose_device
from trendlstm.nn.queue import run_queue
from trendlstm.nn.threads import thread_count

TEST_SEQUENCES = 2560

_CHECKPOINT_SECONDS = 5.0  # between two of a trial
_OUTCOMES = {
    decisions.USED_UP: "not solved",
    decisions.SOLVED: "solved",
    decisions.NOT_FINITE: "diverged",
}


@dataclass(frozen=True)
class Trial:
    """How one network fared.

    Attributes
    ----------
    model : Model
    seed : int
        Of its initial weights and of its sequences.
    outcome : {"solved", "not solved", "trained", "diverged"}
        "trained": its task has an exam that is neither passed nor failed, and it has seen all sequences.
    sequences : int
        Training sequences it saw: until it was solved, if it was.
    wrong : int or None
        Test sequences, of `TEST_SEQUENCES` fresh ones, with an |error| that is not below the criterion's tolerance.
        None if the task has an exam.
    curve : ndarray (points,)
        Mean |error| of the `learner.CURVE_STEP` training sequences before every `CURVE_STEP`-th and before the end,
        each judged before its minibatch's step. Empty if the task has an exam.
    exams : ndarray (exams, 2)
        Training sequences seen, and the score then.
    parameters : int
        Of the network.
    seconds : float
        Wall time.
    """

    model: Model
    seed: int
    outcome: str
    sequences: int
    wrong: int | None
    curve: np.ndarray
    exams: np.ndarray
    parameters: int
    seconds: float

    def reached(self, exam: Exam) -> dict[float, int]:
        """The limits of an exam that were passed, milestones first, and after how many training sequences."""
        limits = (*exam.milestones, *(() if exam.limit is None else (exam.limit,)))
        passed = {limit: self.exams[passes(exam, self.exams[:, 1], limit), 0] for limit in limits}
        return {limit: int(sequences[0]) for limit, sequences in passed.items() if sequences.size}


class TrialsProgress(NamedTuple):
    """What a progress callback is told."""

    share: float  # of the most work that all trials may need from where they begin or go on, 0 ... 1
    finished: int
    solved: int


def run_trials(
    task: Task,
    models: Sequence[Model],
    *,
    seed: int = 0,
    dtype: DType = "float32",
    n_threads: int | None = None,
    device: Device = "cpu",
    progress: Callable[[TrialsProgress], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> list[Trial]:
    """Let networks of every model learn a task as its `training` says, one network to a thread at a time.

    The k-th trial of each model has the seed `seed + k`: the same sequences for all models. Nothing depends on the
    number of threads.

    Parameters
    ----------
    task : Task
    models : sequence of Model
    seed : int
    dtype : {"float32", "float64"}
    n_threads : int, optional
        Default: all cores that the process may use.
    device : {"cpu", "cuda", "auto"}
        What trains the networks, see `Network.fit`.
    progress : callable, optional
        Called on this thread with a `TrialsProgress`, at the beginning, about 20 times a second and at the end.
    checkpoints : Checkpoints, optional
        What earlier calls with the same `settings` have left, from where this one goes on, and where it leaves what it
        does itself. The GPU does without.

    Returns
    -------
    list of Trial
        By model, then by seed.

    Raises
    ------
    OptionError
        A number is out of range, a model cannot be made, or the device cannot do what the task needs.
    KeyboardInterrupt
        Ctrl-C, after all threads have ended.
    """
    _check(task)
    on_gpu = choose_device(device) == "cuda"
    if on_gpu:
        check_gpu(task)
    kept = Checkpoints(None) if checkpoints is None or on_gpu else checkpoints
    jobs = [
        _RunningTrial(task, model, seed + k, dtype, kept, f"{number}-{k}")
        for number, model in enumerate(models)
        for k in range(task.training.trials)
    ]
    before = sum(job.done for job in jobs)
    remaining = len(jobs) * task.training.max_sequences - before

    def stop_all() -> None:
        for job in jobs:
            job.stop()

    def report() -> None:
        if progress is not None:
            ended = [job.trial for job in jobs if job.trial]
            share = (sum(job.done for job in jobs) - before) / remaining if remaining else 1.0
            solved = sum(trial.outcome == "solved" for trial in ended)
            progress(TrialsProgress(share, len(ended), solved))

    report()
    if on_gpu:
        _run_on_gpu(jobs, report)
    else:
        run_queue([job.run for job in jobs if not job.trial], thread_count(n_threads), report, stop_all)
        note_compiled(f"stream-{dtype}")
    report()
    return [job.trial for job in jobs if job.trial]


def settings(task: Task, models: Sequence[Model], seed: int, dtype: DType) -> dict[str, Any]:
    """What decides how the trials of a task of this package go, in numbers and texts."""
    criterion = task.criterion._asdict()
    criterion.pop("take", None)  # follows from the task
    return {
        "task": task.name,
        "criterion": criterion,
        "lag": task.lag,
        **task.training._asdict(),
        "models": [model._asdict() for model in models],
        "seed": seed,
        "dtype": dtype,
    }


def check_gpu(task: Task) -> None:
    """Raise an OptionError that names what the GPU cannot do of a task; `device.check_limits` does of its networks."""
    for is_needed, what in (
        (task.classes > 0, "the loss 'cross-entropy'"),
        (task.training.truncate is not None, "truncated gradients"),
        (bool(task.training.halved_every), "a learning rate that falls"),
        (isinstance(task.criterion, Exam), "exams on fresh sequences"),
    ):
        if is_needed:
            raise OptionError(f"device 'cuda' cannot do {what}, which {task.name} needs: use device 'cpu'.")


def most_seconds(task: Task, models: Sequence[Model], n_threads: int | None = None) -> float:
    """How long `run_trials` takes if no trial ends early, by the time of a minibatch and an exam of each model."""
    training = task.training
    total = 0.0
    for model in models:
        learner = Learner(task, make_network(task, model, seed=0), seed=0)
        learner.train_block(training.batch_size)  # which makes the work space
        start = time.perf_counter()
        learner.train_block(training.batch_size)
        total += (time.perf_counter() - start) * training.max_sequences / training.batch_size
        if isinstance(task.criterion, Exam):
            start = time.perf_counter()
            task.criterion.take(learner.network, np.random.default_rng(0))
            total += (time.perf_counter() - start) * training.max_sequences / exam_interval(task)
    return total * training.trials / thread_count(n_threads)


def compile_kernels(dtype: DType = "float32") -> None:
    """Compile what trials need, or load it from the cache."""
    task = make_task("adding")
    training = task.training._replace(trials=1, max_sequences=task.training.batch_size)
    run_trials(replace(task, training=training), [Model("lstm")], dtype=dtype, n_threads=1)


def _check(task: Task) -> None:
    training = task.training
    for name in ("trials", "max_sequences"):
        if getattr(training, name) < 1:
            raise OptionError(f"{name} must be a whole number from 1 up, but is {getattr(training, name)!r}.")
    FitConfig(
        batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        clip_norm=training.clip_norm or None,
        truncate=training.truncate,
    )


class _RunningTrial:
    """One trial: what its thread works on."""

    def __init__(
        self, task: Task, model: Model, seed: int, dtype: DType, checkpoints: Checkpoints, name: str
    ) -> None:
        self.task, self.model, self.seed = task, model, seed
        self.learner = Learner(task, make_network(task, model, seed, dtype), seed)
        self.trial: Trial | None = None
        self._checkpoints, self._name = checkpoints, name
        self._seconds = 0.0
        kept = checkpoints.load(name)
        if kept is None:
            return
        if "outcome" in kept:
            arrays: dict[str, Any] = {name: kept.pop(name) for name in ("curve", "exams")}
            values: dict[str, Any] = {"wrong": None} | {key: value.item() for key, value in kept.items()}
            self.trial = Trial(model, seed, **values, **arrays)
        else:
            self._seconds = kept.pop("seconds").item()
            self.learner.unpack(kept)

    @property
    def done(self) -> int:
        """Training sequences, of the most that it may see; all of them if it has ended."""
        return self.task.training.max_sequences if self.trial else self.learner.seen

    def stop(self) -> None:
        self.learner.stop()

    def run(self) -> None:
        """Let the network learn, and see what it has learned. It is kept now and then, and when it is stopped."""
        start = time.perf_counter() - self._seconds
        saved = time.monotonic()
        kept: dict[str, Any] = {}
        try:
            while not self.learner.has_ended:
                self.learner.train_block()
                if self._checkpoints.are_kept:
                    kept = {**self.learner.pack(), "seconds": time.perf_counter() - start}
                    if time.monotonic() - saved > _CHECKPOINT_SECONDS:
                        self._checkpoints.save(self._name, kept)
                        saved = time.monotonic()
            self.finish(time.perf_counter() - start)
        except Stopped:
            pass
        finally:
            if self.trial is None and kept:
                self._checkpoints.save(self._name, kept)

    def finish(self, seconds: float) -> None:
        """Make the trial of a learner that has ended, and keep it."""
        learner, task = self.learner, self.task
        outcome = _OUTCOMES[learner.outcome]
        if outcome == "not solved" and isinstance(task.criterion, Exam) and task.criterion.limit is None:
            outcome = "trained"
        results: dict[str, Any] = {
            "outcome": outcome,
            "sequences": learner.seen,
            "wrong": self._count_wrong(task.criterion) if isinstance(task.criterion, Criterion) else None,
            "curve": learner.curve(),
            "exams": np.reshape(learner.exams, (-1, 2)),
            "parameters": learner.network.num_params,
            "seconds": seconds,
        }
        self.trial = Trial(self.model, self.seed, **results)
        self._checkpoints.save(
            self._name, {name: value for name, value in results.items() if value is not None}
        )

    def _count_wrong(self, criterion: Criterion) -> int:
        """How many of TEST_SEQUENCES have an |error| that is not below the tolerance."""
        generator = np.random.default_rng([self.seed, 2])
        wrong, most = 0, self.learner.block_size
        for first in range(0, TEST_SEQUENCES, most):
            x, y, lengths = self.task.draw(generator, min(most, TEST_SEQUENCES - first))
            worst = np.abs(self.learner.network.predict(x, lengths, n_threads=1) - y).max(axis=1)
            wrong += int(np.sum(~(worst < criterion.tolerance)))
        return wrong


def _run_on_gpu(jobs: "Sequence[_RunningTrial]", report: Callable[[], None]) -> None:
    """Run all trials of a cell at once, block after block of sequences; one network to a multiprocessor at a time."""
    from trendlstm.nn import gpu

    for cell in dict.fromkeys(job.model.cell for job in jobs):
        start = time.perf_counter()
        group = [job for job in jobs if job.model.cell == cell]
        learners = [job.learner for job in group]
        criterion = group[0].task.criterion
        assert isinstance(criterion, Criterion)  # `check_gpu`
        thetas = [learner.network.theta for learner in learners]
        streams = gpu.GpuStreams(learners[0].network.config, thetas, learners[0].options, criterion.run)
        while drawn := {
            index: learner.next_block() for index, learner in enumerate(learners) if not learner.has_ended
        }:
            for index, (outcome, errors) in streams.train(drawn, report).items():
                learners[index].note_block(outcome, errors)
        streams.copy_back()
        seconds = time.perf_counter() - start  # of all together
        for job in group:
            job.finish(seconds)
