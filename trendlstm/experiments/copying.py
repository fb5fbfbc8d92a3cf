"""Copy memory: repeat ten symbols after a long time without any.

The copying problem of Arjovsky, Shah & Bengio 2016, "Unitary Evolution Recurrent Neural Networks", ICML.
"""

import math

import numpy as np

from trendlstm.experiments.symbols import one_hot
from trendlstm.experiments.task import Exam, Published, Sequences, Task, Training
from trendlstm.nn.network import Network

KINDS = 8  # of symbols to remember
REMEMBERED = 10  # symbols
BLANK, DELIMITER = KINDS, KINDS + 1

_URNN = Published(
    "uRNN",
    "Arjovsky et al. 2016, the copying memory problem",
    result="solved; the LSTM stays at the cross-entropy of guessing",
)
_CHRONO = Published(
    "LSTM, 128 units, chrono biases",
    "Tallec & Ollivier 2018, Can recurrent neural networks warp time?, ICLR",
    result="solved; with forget bias 1 it stays at the cross-entropy of guessing",
    is_remembered=True,
)
_PUBLISHED = {500: (_URNN, _CHRONO), 2000: (_CHRONO,)}


def copy(length: int = 500) -> Task:
    """Repeat ten random symbols, in their order, when the sign for it comes.

    A sequence of T + 20 steps shows 10 symbols, each one of 8, then T - 1 blanks, the delimiter, and 10 blanks; the
    target is the blank for T + 10 steps and then the 10 symbols. Symbols are one-hot, and the classes are the 8 symbols
    and the blank. Without any memory the lowest mean cross-entropy is 10 ln 8 / (T + 20), by guessing one of 8.

    Parameters
    ----------
    length : int
        T; `experiments.LENGTHS` has the usual ones.
    """
    steps = length + 2 * REMEMBERED

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        symbols = np.full((count, steps), BLANK)
        remembered = generator.integers(KINDS, size=(count, REMEMBERED))
        symbols[:, :REMEMBERED] = remembered
        symbols[:, length + REMEMBERED - 1] = DELIMITER
        y = np.full((count, steps, 1), BLANK, np.float32)
        y[:, -REMEMBERED:, 0] = remembered
        lengths = np.full(count, steps)
        return Sequences(one_hot(symbols, KINDS + 2, lengths), y, lengths)

    def take(network: Network, generator: np.random.Generator) -> float:
        x, y, _ = draw(generator, 256)
        answers = network.predict(x, n_threads=1, every_step=True)[:, -REMEMBERED:, 0].argmax(axis=2)
        return float(np.mean(answers == y[:, -REMEMBERED:, 0]))

    guessing = REMEMBERED * math.log(KINDS) / steps
    return Task(
        name=f"copy-{length}",
        title=f"Copy memory, T = {length:,}",
        question=f"Repeat ten symbols {length + REMEMBERED:,} steps after each was seen. Without memory the "
        f"cross-entropy is {guessing:.4f} at least, and one symbol in 8 is right by chance.",
        input_size=KINDS + 2,
        output_size=1,
        lag=5 * length,  # so that most cells still hold after T steps what they held at first
        draw=draw,
        criterion=Exam(
            every=1600,
            take=take,
            measure="share of the symbols of 256 test sequences that are repeated rightly",
            limit=0.99,
            more_is_better=True,
            milestones=(0.5, 0.9),
        ),
        published=_PUBLISHED.get(length, ()),
        training=Training(hidden_size=96, batch_size=8, halved_every=50_000, trials=5, max_sequences=200_000),
        classes=KINDS + 1,
        is_every_step=True,
        differences=(
            "Solved when 99 % of the symbols of fresh sequences are right; the paper has no such limit, and trains on "
            "100,000 sequences again and again.",
        ),
    )
