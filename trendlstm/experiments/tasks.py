"""The tasks: random sequences whose target depends on elements far back, and what counts as solved.

All three are from Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", Neural Computation 9(8). Positions in the
docstrings count from 1, as in the paper.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trendlstm.errors import OptionError
from trendlstm.experiments import ADDING_LENGTHS, LONG_LAGS, TASKS, TEMPORAL_ORDERS

PAPER = "Hochreiter & Schmidhuber 1997, Neural Computation 9(8)"
STOP_PROBABILITY = 0.1  # of `long_lag`: that the next element is the trigger e


class Sequences(NamedTuple):
    """Fresh samples: x (N, T, F) float32 with zeros after a sequence's end, y (N, m) float32, lengths (N,) int64."""

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


class PaperResult(NamedTuple):
    """What the paper reports of a task: the mean of its trials, whose number is None where our notes have none."""

    experiment: str
    sequences: int
    trials: int | None
    weights: int | None
    wrong: int | None


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
    criterion : Criterion
        The paper's.
    paper : PaperResult
    """

    name: str
    title: str
    question: str
    input_size: int
    output_size: int
    lag: int
    draw: Callable[[np.random.Generator, int], Sequences]
    criterion: Criterion
    paper: PaperResult


def make_task(name: str, length: int | None = None, variant: str | None = None) -> Task:
    """The task of one name, in its usual size unless told otherwise.

    Parameters
    ----------
    name : {"adding", "temporal-order", "long-lag"}
    length : int, optional
        Of `adding` and `long-lag`; 100.
    variant : str, optional
        Of `temporal-order`; "6a".

    Raises
    ------
    OptionError
        An unknown name, or a length or variant that the task does not have.
    """
    _check("task", name, TASKS)
    if name == "temporal-order":
        if length is not None:
            raise OptionError("length is for adding and long-lag; temporal-order takes variant, 6a or 6b.")
        return temporal_order("6a" if variant is None else variant)
    if variant is not None:
        raise OptionError(f"variant is for temporal-order; {name} takes length.")
    return (adding if name == "adding" else long_lag)(100 if length is None else length)


def adding(length: int = 100) -> Task:
    """Add the two marked numbers of a long sequence of random numbers (experiment 4).

    Elements are (value, marker), values uniform in [-1, 1]; a sequence has T ... T + T/10 of them. One of the first 10
    is marked, and one of the first T/2 - 1 of those not yet marked. Markers are 1 there, -1 at the first and the last
    element, 0 elsewhere; a mark on the first element is overwritten by its -1 and its value counts as 0. The target is
    0.5 + (X1 + X2) / 4, with X1, X2 the marked values.

    Parameters
    ----------
    length : {100, 500, 1000}
        T.

    Raises
    ------
    OptionError
        For another length.
    """
    _check("length", length, ADDING_LENGTHS)
    sequences, wrong = {100: (74_000, 1), 500: (209_000, 0), 1000: (853_000, 1)}[length]
    longest = length + length // 10

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        each = np.arange(count)
        lengths = generator.integers(length, longest, count, endpoint=True)
        x = np.zeros((count, longest, 2), np.float32)
        values, markers = x[:, :, 0], x[:, :, 1]
        values[:] = generator.uniform(-1, 1, (count, longest))
        values[np.arange(longest) >= lengths[:, None]] = 0
        first = generator.integers(10, size=count)
        second = generator.integers(length // 2 - 1, size=count)
        second += second >= first  # skips the marked one
        markers[each, first] = 1
        markers[each, second] = 1
        markers[:, 0] = -1
        markers[each, lengths - 1] = -1
        total = np.where(first > 0, values[each, first], 0) + np.where(second > 0, values[each, second], 0)
        return Sequences(x, np.float32(0.5) + total[:, None] / 4, lengths)

    return Task(
        name=f"adding-{length}",
        title=f"Adding problem, length {length:,}",
        question="Answer at the end with the sum of the two numbers that were marked, the second at least "
        f"{length // 2:,} steps before.",
        input_size=2,
        output_size=1,
        lag=longest,
        draw=draw,
        criterion=Criterion(tolerance=0.04, run=2000, mean=0.01),
        paper=PaperResult("4", sequences, trials=10, weights=93, wrong=wrong),
    )


def temporal_order(variant: str = "6a") -> Task:
    """Tell in which order the symbols X and Y appeared among distractors (experiment 6).

    A sequence of 100 ... 110 symbols starts with E, ends with B, and has X or Y at t1 in 10 ... 20 and t2 in 50 ... 60
    (6b: at 10 ... 20, 33 ... 43 and 66 ... 76); all others are a, b, c or d. Symbols and the 4 (6b: 8) classes XX, XY,
    YX, YY are one-hot.

    Parameters
    ----------
    variant : {"6a", "6b"}
        Two or three symbols to remember.

    Raises
    ------
    OptionError
        For another variant.
    """
    _check("variant", variant, TEMPORAL_ORDERS)
    starts = {"6a": (10, 50), "6b": (10, 33, 66)}[variant]
    classes = 2 ** len(starts)
    longest = 110

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        each = np.arange(count)
        lengths = generator.integers(100, longest, count, endpoint=True)
        symbols = generator.integers(4, 8, (count, longest))  # E B X Y a b c d
        symbols[:, 0] = 0
        symbols[each, lengths - 1] = 1
        label = np.zeros(count, np.int64)
        for start in starts:
            position = generator.integers(start, start + 10, count, endpoint=True)
            is_y = generator.integers(2, size=count)
            symbols[each, position - 1] = 2 + is_y
            label = 2 * label + is_y
        return Sequences(_one_hot(symbols, 8, lengths), np.eye(classes, dtype=np.float32)[label], lengths)

    return Task(
        name=f"temporal-order-{variant}",
        title=f"Temporal order, task {variant}",
        question=f"Tell which of X and Y stood at {len(starts)} places among {longest} symbols, and in which order.",
        input_size=8,
        output_size=classes,
        lag=longest,
        draw=draw,
        criterion=Criterion(tolerance=0.3, run=2000, mean=0.1),
        paper={
            "6a": PaperResult("6a", 31_390, trials=None, weights=156, wrong=1),
            "6b": PaperResult("6b", 571_100, trials=None, weights=308, wrong=2),
        }[variant],
    )


def long_lag(length: int = 100) -> Task:
    """Predict the last symbol, which is the second one again, after many random distractors (experiment 2c).

    A sequence is b, then x or y, then q + k of the p = q distractors, then the trigger e, after which x or y comes
    again: k is 0, 1, ... with probability 0.1 * 0.9^k. Symbols are one-hot; the outputs stand for x and y.

    Parameters
    ----------
    length : {50, 100, 200, 500, 1000}
        q; the second symbol must be remembered for at least q + 1 steps.

    Raises
    ------
    OptionError
        For another length.
    """
    _check("length", length, LONG_LAGS)
    sequences = {50: 30_000, 100: 31_000, 200: 33_000, 500: 38_000, 1000: 49_000}[length]
    distractors = length
    b, e, x_or_y = distractors, distractors + 1, distractors + 2

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        each = np.arange(count)
        extra = generator.geometric(STOP_PROBABILITY, count) - 1
        lengths = length + extra + 3  # the last symbol is not seen but predicted
        symbols = generator.integers(distractors, size=(count, lengths.max()))
        label = generator.integers(2, size=count)
        symbols[:, 0] = b
        symbols[:, 1] = x_or_y + label
        symbols[each, lengths - 1] = e
        return Sequences(
            _one_hot(symbols, distractors + 4, lengths), np.eye(2, dtype=np.float32)[label], lengths
        )

    return Task(
        name=f"long-lag-{length}",
        title=f"One long lag among distractors, q = {length:,}",
        question=f"Predict the last symbol: it is the second one again, seen at least {length + 1:,} steps before.",
        input_size=distractors + 4,
        output_size=2,
        lag=length + 12,  # the mean number of steps
        draw=draw,
        criterion=Criterion(tolerance=0.2, run=10_000),
        paper=PaperResult("2c", sequences, trials=20, weights=None, wrong=None),
    )


def _one_hot(symbols: np.ndarray, kinds: int, lengths: np.ndarray) -> np.ndarray:
    """(N, T) symbols as (N, T, kinds) float32, zeros after each sequence's end."""
    x = np.eye(kinds, dtype=np.float32)[symbols]
    x[np.arange(symbols.shape[1]) >= lengths[:, None]] = 0
    return x


def _check(name: str, value: object, allowed: tuple) -> None:
    if value not in allowed:
        raise OptionError(f"{name} must be one of {', '.join(map(str, allowed))}, but is {value!r}.")
