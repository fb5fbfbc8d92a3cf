"""The long-lag tasks of the paper that introduced the LSTM: adding, multiplication, temporal order, one long lag.

They are experiments 4, 5, 6 and 2c of Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", Neural Computation 9(8).
Adding has a newer rule too. Positions in the docstrings count from 1, as in the paper.
"""

from collections.abc import Callable

import numpy as np

from trendlstm.experiments.symbols import one_hot
from trendlstm.experiments.task import Criterion, Exam, Published, Sequences, Task, Training
from trendlstm.nn.network import Network

PAPER = "Hochreiter & Schmidhuber 1997, Neural Computation 9(8)"
STOP_PROBABILITY = 0.1  # of `long_lag`: that the next element is the trigger e

_AT_ONCE = 96  # test sequences

# With more steps than the paper of 1997 has, so that ten networks that fail take a quarter of an hour on two cores.
_MOST_STEPS_1997 = 1000
_MOST_SEQUENCES = 60_800


def adding(length: int = 100, variant: str = "1997") -> Task:
    """Add the two marked numbers of a long sequence of random numbers.

    By the rule of 1997 (experiment 4) elements are (value, marker), values uniform in [-1, 1]; a sequence has
    T ... T + T/10 of them. One of the first 10 is marked, and one of the first T/2 - 1 of those not yet marked. Markers
    are 1 there, -1 at the first and the last element, 0 elsewhere; a mark on the first element is overwritten by its -1
    and its value counts as 0. The target is 0.5 + (X1 + X2) / 4, with X1, X2 the marked values.

    By the rule of 2022 (as in Rusch et al., LEM) all sequences have T elements, values are uniform in [0, 1], one
    element of each half is marked by 1, and the target is X1 + X2. Always answering 1 has a mean squared error of 1/6.

    Parameters
    ----------
    length : int
        T; `experiments.LENGTHS` has the usual ones.
    variant : {"1997", "2022"}
    """
    return (_adding_1997 if variant == "1997" else _adding_2022)(length)


def _adding_1997(length: int) -> Task:
    published = {100: (74_000, 1), 500: (209_000, 0), 1000: (853_000, 1)}
    longest = length + length // 10

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        x, lengths, first, second = _marked_values(generator, count, length, lowest=-1)
        each, values = np.arange(count), x[:, :, 0]
        total = np.where(first > 0, values[each, first], 0) + np.where(second > 0, values[each, second], 0)
        return Sequences(x, np.float32(0.5) + total[:, None] / 4, lengths)

    return Task(
        name=f"adding-{length}",
        title=f"Adding problem, length {length:,}",
        question="At the end, answer with the sum of the two marked numbers, the later of which came at least "
        f"{length // 2:,} steps before.",
        input_size=2,
        output_size=1,
        lag=longest,
        draw=draw,
        criterion=Criterion(tolerance=0.04, run=2000, mean=0.01),
        published=tuple(
            Published("LSTM 1997", f"{PAPER}, experiment 4", sequences, f"{wrong} of 2,560 wrong", 10, 93)
            for size, (sequences, wrong) in published.items()
            if size == length
        ),
        training=Training(max_sequences=100_000 if length <= _MOST_STEPS_1997 else _MOST_SEQUENCES),
        differences=()
        if length in published
        else (f"The paper's longest sequences have 1,000 elements, these {length:,} by the same rule.",),
    )


def _adding_2022(length: int) -> Task:
    source = "Rusch et al. 2022 (LEM), the log of one training that its authors published"
    reached = {5000: (155_000, 100_000), 10_000: (245_000, 95_000)}

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        each = np.arange(count)
        x = np.zeros((count, length, 2), np.float32)
        x[:, :, 0] = generator.random((count, length), np.float32)
        first = generator.integers(length // 2, size=count)
        second = generator.integers(length // 2, length, count)
        x[each, first, 1] = x[each, second, 1] = 1
        total = x[each, first, 0] + x[each, second, 0]
        return Sequences(x, total[:, None], np.full(count, length))

    def take(network: Network, generator: np.random.Generator) -> float:
        return _mean_squared_error(network, draw, generator, count=1000)

    return Task(
        name=f"adding-2022-{length}",
        title=f"Adding problem by the rule of 2022, length {length:,}",
        question="At the end, answer with the sum of the two marked numbers, one in each half.",
        input_size=2,
        output_size=1,
        lag=length,
        draw=draw,
        criterion=Exam(
            every=1600,
            take=take,
            measure="mean squared error of 1,000 test sequences",
            limit=0.001,
            milestones=(0.01,),
        ),
        published=tuple(
            Published("LEM, 128 units", source, solved, f"below 0.01 after {first:,}", trials=1)
            for size, (solved, first) in reached.items()
            if size == length
        ),
        training=Training(max_sequences=80_000 if length <= _MOST_STEPS_1997 else _MOST_SEQUENCES),
    )


def multiplication(length: int = 100) -> Task:
    """Multiply the two marked numbers of a long sequence of random numbers (experiment 5).

    As `adding` by the rule of 1997, but values are uniform in [0, 1], the target is X1 X2, and the value of a mark on
    the first element counts as 1.

    Parameters
    ----------
    length : int
        T; the paper has 100.
    """

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        x, lengths, first, second = _marked_values(generator, count, length, lowest=0)
        each, values = np.arange(count), x[:, :, 0]
        product = np.where(first > 0, values[each, first], 1) * np.where(second > 0, values[each, second], 1)
        return Sequences(x, product[:, None], lengths)

    def take(network: Network, generator: np.random.Generator) -> float:
        x, y, lengths = draw(generator, 2000)
        error = np.abs(network.predict(x, lengths, n_threads=1) - y)[:, 0]
        return float(np.sum(~(error < 0.04)))

    source = f"{PAPER}, experiment 5"
    return Task(
        name=f"multiplication-{length}",
        title=f"Multiplication problem, length {length:,}",
        question="At the end, answer with the product of the two marked numbers, the later of which came at least "
        f"{length // 2:,} steps before.",
        input_size=2,
        output_size=1,
        lag=length + length // 10,
        draw=draw,
        criterion=Exam(
            every=1600,
            take=take,
            measure="wrong of 2,000 test sequences, |error| not below 0.04",
            limit=13,
            milestones=(140,),
        ),
        published=(
            Published(
                "LSTM 1997",
                source,
                1_273_000,
                "fewer than 140 wrong after 482,000; 14 of 2,560 wrong in the end",
                trials=10,
                weights=93,
                is_remembered=True,
            ),
        )
        if length == 100
        else (),
        training=Training(max_sequences=320_000),
        differences=(
            "Solved with fewer than 13 wrong of 2,000 fresh sequences, seen every 1,600 training sequences; the paper: "
            "of the last 2,000 training sequences.",
        ),
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
    """
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
        return Sequences(one_hot(symbols, 8, lengths), np.eye(classes, dtype=np.float32)[label], lengths)

    return Task(
        name=f"temporal-order-{variant}",
        title=f"Temporal order, task {variant}",
        question=f"Tell which of X and Y stood at {len(starts)} places among {longest} symbols, and in which order.",
        input_size=8,
        output_size=classes,
        lag=longest,
        draw=draw,
        criterion=Criterion(tolerance=0.3, run=2000, mean=0.1),
        published=(
            {
                "6a": Published(
                    "LSTM 1997", f"{PAPER}, experiment 6a", 31_390, "1 of 2,560 wrong", weights=156
                ),
                "6b": Published(
                    "LSTM 1997", f"{PAPER}, experiment 6b", 571_100, "2 of 2,560 wrong", weights=308
                ),
            }[variant],
        ),
    )


def long_lag(length: int = 100) -> Task:
    """Predict the last symbol, which is the second one again, after many random distractors (experiment 2c).

    A sequence is b, then x or y, then q + k of the p = q distractors, then the trigger e, after which x or y comes
    again: k is 0, 1, ... with probability 0.1 * 0.9^k. Symbols are one-hot; the outputs stand for x and y.

    Parameters
    ----------
    length : int
        q; the second symbol must be remembered for at least q + 1 steps. The paper has 50, 100, 200, 500 and 1000.
    """
    published = {50: 30_000, 100: 31_000, 200: 33_000, 500: 38_000, 1000: 49_000}
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
            one_hot(symbols, distractors + 4, lengths), np.eye(2, dtype=np.float32)[label], lengths
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
        published=tuple(
            Published("LSTM 1997", f"{PAPER}, experiment 2c", sequences, trials=20)
            for size, sequences in published.items()
            if size == length
        ),
    )


def _marked_values(
    generator: np.random.Generator, count: int, length: int, lowest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random values in [lowest, 1] with two marks, by the rule of 1997: x, lengths, and where the marks fell."""
    longest = length + length // 10
    each = np.arange(count)
    lengths = generator.integers(length, longest, count, endpoint=True)
    x = np.zeros((count, longest, 2), np.float32)
    values, markers = x[:, :, 0], x[:, :, 1]
    values[:] = generator.uniform(lowest, 1, (count, longest))
    values[np.arange(longest) >= lengths[:, None]] = 0
    first = generator.integers(10, size=count)
    second = generator.integers(length // 2 - 1, size=count)
    second += second >= first  # skips the marked one
    markers[each, first] = 1
    markers[each, second] = 1
    markers[:, 0] = -1
    markers[each, lengths - 1] = -1
    return x, lengths, first, second


def _mean_squared_error(
    network: Network,
    draw: Callable[[np.random.Generator, int], Sequences],
    generator: np.random.Generator,
    count: int,
) -> float:
    """Of the answers to fresh sequences, which are drawn in parts because long ones are large."""
    total = 0.0
    for first in range(0, count, _AT_ONCE):
        x, y, lengths = draw(generator, min(_AT_ONCE, count - first))
        total += float(np.square(network.predict(x, lengths, n_threads=1) - y).sum())
    return total / count
