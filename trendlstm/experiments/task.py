"""What a task is: random sequences, what a network must answer, how it learns, and what counts as solved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trendlstm.nn.network import Network


class Sequences(NamedTuple):
    """Fresh samples.

    x (N, T, F) float32 with zeros after a sequence's end; y float32, (N, m) or of every step (N, T, m), the numbers of
    classes if the task has them; lengths (N,) int64.
    """

    x: np.ndarray
    y: np.ndarray
    lengths: np.ndarray


class Criterion(NamedTuple):
    """Solved when the last `run` training sequences had every |error| below `tolerance`, and mean |error| below `mean`.

    |error| is that of one output at the sequence's end, before the step that the sequence's minibatch leads to.
    """

    tolerance: float
    run: int
    mean: float = np.inf


class Exam(NamedTuple):
    """A test that is taken again and again; solved when it is passed.

    Attributes
    ----------
    every : int
        Training sequences from one to the next.
    take : callable
        `take(network, generator)` gives the score of a network on fresh sequences; the generator's are the same for
        every exam of a trial.
    measure : str
        What the score is, for people: "test mean squared error".
    limit : float or None
        Passed with a score below it, or from it up if `more_is_better`. None: nothing is passed, and what counts is the
        score after the last training sequence.
    more_is_better : bool
    milestones : tuple of float
        Limits on the way to the last one, of which it is reported when they were reached.
    """

    every: int
    take: Callable[[Network, np.random.Generator], float]
    measure: str
    limit: float | None
    more_is_better: bool = False
    milestones: tuple[float, ...] = ()


class Published(NamedTuple):
    """A figure of the literature, beside which ours is shown.

    Attributes
    ----------
    network : str
        As people call it: "LSTM 1997".
    source : str
        Paper, year, and where in it: "Hochreiter & Schmidhuber 1997, experiment 4".
    sequences : int or None
        Training sequences until success, mean of the trials; None where there is no such figure.
    result : str
        The other figures in words: "1 of 2,560 wrong"; "" if there are none.
    trials : int or None
    weights : int or None
    is_remembered : bool
        Whether the figure is from memory and could not be compared with the paper's text.
    """

    network: str
    source: str
    sequences: int | None = None
    result: str = ""
    trials: int | None = None
    weights: int | None = None
    is_remembered: bool = False


class Training(NamedTuple):
    """How the networks of a task are trained unless told otherwise: by Adam, on sequences that come once each.

    The learning rate falls to half in `halved_every` sequences, with every block of them that is drawn; None: it stays.
    `truncate` is that of `Network.fit`, for sequences that are long streams.
    """

    hidden_size: int = 16
    batch_size: int = 32
    learning_rate: float = 1e-2
    halved_every: int | None = None
    clip_norm: float = 1.0
    truncate: int | None = None
    trials: int = 10
    max_sequences: int = 100_000


@dataclass(frozen=True)
class Task:
    """One experiment.

    Attributes
    ----------
    name : str
        Of the task and its size, for files: "adding-100".
    title : str
        For people: "Adding problem, length 100".
    question : str
        What a network must do, in one sentence.
    input_size, output_size : int
        F and m.
    lag : int
        T of the initial chrono biases: the steps of the longest sequence, where there is none of a typical one.
    draw : callable
        `draw(generator, count)` gives `count` fresh `Sequences`.
    criterion : Criterion or Exam
        Of the paper where it has one that can be kept.
    published : tuple of Published
        The literature's figures; the first is the one to compare with.
    training : Training
    classes : int
        Of the loss "cross-entropy"; 0: the targets are numbers, and the loss is the squared error.
    is_every_step : bool
        Whether every step has a target.
    differences : tuple of str
        Sentences: in what this task, not the network or its training, differs from the paper's.
    """

    name: str
    title: str
    question: str
    input_size: int
    output_size: int
    lag: int
    draw: Callable[[np.random.Generator, int], Sequences]
    criterion: Criterion | Exam
    published: tuple[Published, ...]
    training: Training = Training()  # noqa: RUF009 (immutable)
    classes: int = 0
    is_every_step: bool = False
    differences: tuple[str, ...] = ()
