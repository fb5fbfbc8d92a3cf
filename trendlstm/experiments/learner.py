"""One network that learns a task from fresh sequences, block after block, and can be packed up between two blocks."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from trendlstm.experiments.task import Criterion, Exam, Task
from trendlstm.kernels import buffers, decisions
from trendlstm.kernels.buffers import Data, Plan
from trendlstm.kernels.gang import ASKED, COUNTERS, GO_ON, STOP
from trendlstm.kernels.stream import Block, StreamOptions, StreamState, stream_worker
from trendlstm.nn.network import Network
from trendlstm.nn.parameters import make_plan

CURVE_STEP = 1000  # sequences: between two points of a curve, and what each is the mean of

_BLOCK_NUMBERS = 2**20  # input numbers that are drawn at once
_PACKED = ("theta", "first_moment", "second_moment", "recent", "progress")  # of `StreamState`


class Stopped(Exception):
    """A learner that was asked to stop has stopped, in the middle of a block or an exam."""


class Examinee(Network):
    """A network whose predictions end with `Stopped` if its learner is to stop."""

    counters: np.ndarray

    def predict(self, *args: Any, **options: Any) -> Any:
        """As `Network.predict`."""
        if self.counters[STOP] != GO_ON:
            raise Stopped
        return super().predict(*args, **options)


class Learner:
    """A network in training, and all that decides how it goes on.

    Parameters
    ----------
    task : Task
    network : Network
        Its weights are trained.
    seed : int
        Of the sequences.

    Attributes
    ----------
    network : Network
        With the weights of the one that was given.
    outcome : int
        Of `decisions`: USED_UP until it has succeeded or diverged.
    seen : int
        Training sequences.
    exams : list of (int, float)
        Training sequences seen, and the score then.
    block_size : int
        Sequences that are drawn at once, at most: whole minibatches.
    """

    def __init__(self, task: Task, network: Network, seed: int) -> None:
        theta = network.theta
        self.task, self._seed = task, seed
        self._counters = np.zeros(COUNTERS, np.int64)
        self.network = Examinee.from_config(network.config)
        self.network.theta, self.network.counters = theta, self._counters
        names = ("first_moment", "second_moment", "gradient")
        self._state = StreamState(
            theta=theta,
            **{name: buffers.aligned_zeros(theta.size, theta.dtype) for name in names},
            recent=np.zeros(task.criterion.run if isinstance(task.criterion, Criterion) else 0),
            progress=np.zeros(1, decisions.STREAM_PROGRESS),
            counters=self._counters,
        )
        self._state.progress[0].outcome = decisions.USED_UP
        self._generator = np.random.default_rng([seed, 1])  # the weights have streams of their own
        self._curve = _Curve(np.empty(0), np.empty(0))
        self.exams: list[tuple[int, float]] = []
        self._work: tuple[Plan, buffers.Workspace] | None = None
        steps, batch = task.lag, task.training.batch_size
        if task.is_every_step:  # streams are longer than the lags in them
            steps = task.draw(np.random.default_rng(0), 1).x.shape[1]
        self.block_size = max(_BLOCK_NUMBERS // (steps * task.input_size) // batch, 1) * batch

    @property
    def outcome(self) -> int:
        """See the class."""
        return int(self._state.progress[0].outcome)

    @property
    def seen(self) -> int:
        """See the class."""
        return int(self._state.progress[0].seen)

    @property
    def has_ended(self) -> bool:
        """Whether it has succeeded or diverged, or has seen all sequences."""
        return self.outcome != decisions.USED_UP or self.seen >= self.task.training.max_sequences

    def stop(self) -> None:
        """Let `train_block` and what it has to predict end soon, with `Stopped`; callable from any thread."""
        self._counters[STOP] = ASKED

    @property
    def options(self) -> StreamOptions:
        """The settings of the training for the kernels, until the next block."""
        training, criterion = self.task.training, self.task.criterion
        tolerance = mean = 0.0
        if isinstance(criterion, Criterion):
            tolerance, mean = criterion.tolerance, criterion.mean
        rate = training.learning_rate
        if training.halved_every:
            rate *= 0.5 ** (self.seen / training.halved_every)
        return StreamOptions(training.batch_size, rate, training.clip_norm, tolerance, mean)

    def train_block(self, most: int | None = None) -> None:
        """Learn from the next block of sequences, and take the exam if one is due after it.

        Parameters
        ----------
        most : int, optional
            Sequences. Default: `block_size`.

        Raises
        ------
        Stopped
            In the middle of it; `pack` would give nothing to go on from.
        """
        plan, data = self.next_block(most)
        errors = self._train(plan, data)
        if self.outcome == decisions.UNFINISHED:
            raise Stopped
        if self._state.recent.size:
            self._curve.add(errors, self.seen)
        exam = self.task.criterion
        if isinstance(exam, Exam) and self.outcome == decisions.USED_UP and self._is_exam_due:
            self._examine(exam)

    def next_block(self, most: int | None = None) -> tuple[Plan, Data]:
        """The next sequences, whole minibatches that fit into memory up to the next exam, and the plan for them."""
        seen, training = self.seen, self.task.training
        end = min(seen + (most or self.block_size), training.max_sequences)
        if isinstance(self.task.criterion, Exam):
            every = exam_interval(self.task)
            end = min(end, (seen // every + 1) * every)
        return self.network.samples(*self.task.draw(self._generator, end - seen))

    def note_block(self, outcome: int, errors: np.ndarray) -> None:
        """What came of `next_block` on the GPU: the outcome, and the mean |error| of the sequences that it saw."""
        progress = self._state.progress[0]
        progress.outcome, progress.seen = outcome, progress.seen + errors.size
        self._curve.add(errors, self.seen)

    def curve(self) -> np.ndarray:
        """See `trials.Trial`."""
        return self._curve.finished(self.seen) if self._state.recent.size else np.empty(0)

    def pack(self) -> dict[str, Any]:
        """Numbers, texts and arrays from which `unpack` goes on with the same bits."""
        return {
            **{name: getattr(self._state, name).copy() for name in _PACKED},
            "generator": json.dumps(self._generator.bit_generator.state),
            "points": self._curve.points,
            "recent_errors": self._curve.recent,
            "exams": np.reshape(self.exams, (-1, 2)).astype(np.float64),
        }

    def unpack(self, packed: Mapping[str, Any]) -> None:
        """Go on from where another learner was when it was packed."""
        for name in _PACKED:
            getattr(self._state, name)[:] = packed[name]
        self._generator.bit_generator.state = json.loads(str(packed["generator"]))
        self._curve = _Curve(packed["points"], packed["recent_errors"])
        self.exams = [(int(seen), score) for seen, score in packed["exams"].tolist()]

    def _train(self, plan: Plan, data: Data) -> np.ndarray:
        """Train on a block; the mean |error| of the sequences that were judged."""
        truncate, count, before = self.task.training.truncate, data.x.shape[0], self.seen
        states = np.empty((0, buffers.state_size(plan)), data.x.dtype)
        if truncate is not None and truncate < plan.steps:
            plan = self._truncated(plan, truncate)
            states = np.empty((count, buffers.state_size(plan)), data.x.dtype)
        if self._work is None or self._work[0] is not plan:
            self._work = None  # two would be large where sequences are long
            self._work = plan, buffers.make_workspace(plan, data.x.dtype)
        block = Block(data, np.arange(count), states, np.zeros(count))
        stream_worker(plan, block, self.options, self._state, self._work[1])
        return block.errors[: self.seen - before]

    @property
    def _is_exam_due(self) -> bool:
        return self.seen % exam_interval(self.task) == 0 or self.has_ended

    def _examine(self, exam: Exam) -> None:
        score = float(exam.take(self.network, np.random.default_rng([self._seed, 2])))
        self.exams.append((self.seen, score))
        if exam.limit is not None and passes(exam, score, exam.limit):
            self._state.progress[0].outcome = decisions.SOLVED

    def _truncated(self, plan: Plan, truncate: int) -> Plan:
        """The plan for so many steps; the last one if that has as many, so that its work space serves again."""
        if self._work is not None and self._work[0].steps == truncate:
            return self._work[0]
        return make_plan(self.network.config, truncate, every_step=True)


class _Curve:
    """The mean of the last CURVE_STEP numbers at every CURVE_STEP-th of them, and at the last.

    Parameters
    ----------
    points : ndarray
        The means at every CURVE_STEP-th number so far.
    recent : ndarray
        The last numbers, as many as further means need.
    """

    def __init__(self, points: np.ndarray, recent: np.ndarray) -> None:
        self.points, self.recent = points, recent

    def add(self, numbers: np.ndarray, count: int) -> None:
        """Go on with numbers, `count` with all that were before."""
        recent = np.concatenate([self.recent, numbers])
        first = count - recent.size
        ends = np.arange(self.points.size + 1, count // CURVE_STEP + 1) * CURVE_STEP - first
        means = [recent[end - CURVE_STEP : end].mean() for end in ends.tolist()]
        self.points = np.append(self.points, means)
        self.recent = recent[-(CURVE_STEP + count % CURVE_STEP) :].copy()

    def finished(self, count: int) -> np.ndarray:
        """All points, when there are `count` numbers."""
        if count % CURVE_STEP == 0:
            return self.points
        return np.append(self.points, self.recent[-CURVE_STEP:].mean())


def passes(exam: Exam, score: Any, limit: float) -> Any:
    """Whether a score passes, or which of several do. NaN never does."""
    return score >= limit if exam.more_is_better else score < limit


def exam_interval(task: Task) -> int:
    """Training sequences from one exam of a task to the next: those that it asks for, in whole minibatches."""
    assert isinstance(task.criterion, Exam)
    batch = task.training.batch_size
    return -(-task.criterion.every // batch) * batch
