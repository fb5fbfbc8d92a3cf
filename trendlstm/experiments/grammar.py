"""Reber's grammar, embedded and continual: every next symbol must be foreseen as far as it can be.

The embedded strings are experiment 1 of Hochreiter & Schmidhuber 1997; in the continual task of Gers, Schmidhuber &
Cummins 2000, "Learning to Forget", Neural Computation 12(10), they follow each other without an end. Symbols are the
numbers 0 ... 6 of B, T, P, S, X, V, E.
"""

import numpy as np

from trendlstm.experiments.long_lags import PAPER
from trendlstm.experiments.symbols import one_hot
from trendlstm.experiments.task import Exam, Published, Sequences, Task, Training
from trendlstm.nn.network import Network
from trendlstm.nn.state import State

SYMBOLS = "BTPSXVE"
SHORTEST = 9  # symbols of an embedded string: BTBTXSETE
STREAM = 1000  # symbols of a training stream
TEST_STREAMS = 10
TOLERANCE = 0.49  # of the continual exam: a squared error

# Reber's grammar as a graph: the ways out of every node, a symbol and the node that it leads to. Of two ways each has
# the probability 1/2.
_REBER = ("B1", "T2 P3", "S2 X4", "T3 V5", "X3 S6", "P4 V6", "E7")


def _embedded_graph() -> tuple[np.ndarray, np.ndarray]:
    """Symbol and next node of both ways out of every node of the embedded grammar; a node with one way has it twice.

    It starts at node 0 and ends at the last one, which is left by no symbol: there a walk stays.
    """
    size = len(_REBER) + 1
    upper, lower, closing = 2, 2 + size, 2 + 2 * size  # two copies of Reber's grammar, then the last E
    graph = [[("B", 1)], [("T", upper), ("P", lower)]]
    for symbol, start in (("T", upper), ("P", lower)):
        graph += [[(way[0], start + int(way[1:])) for way in node.split()] for node in _REBER]
        graph.append([(symbol, closing)])
    graph += [[("E", closing + 1)], [("B", closing + 1)]]
    ways = [(node * 2)[:2] for node in graph]
    symbols = np.array([[SYMBOLS.index(symbol) for symbol, _ in node] for node in ways], np.uint8)
    return symbols, np.array([[target for _, target in node] for node in ways], np.uint8)


_SYMBOL, _NEXT = _embedded_graph()
_END = len(_NEXT) - 1
# [node, symbol]: whether it can come next; at the end of a string the next one begins with B
_POSSIBLE = np.zeros((_END + 1, len(SYMBOLS)), bool)
np.put_along_axis(_POSSIBLE, _SYMBOL.astype(np.intp), True, axis=1)


def _walks() -> tuple[np.ndarray, np.ndarray]:
    """The symbols and the nodes of eight steps from every node by every byte, whose bits choose the ways.

    Both (nodes, 256) of uint64, of which every byte is a step.
    """
    node = np.repeat(np.arange(_END + 1), 256)
    bits = np.tile(np.arange(256), _END + 1)
    symbols, nodes = np.zeros((2, node.size, 8), np.uint8)
    for step in range(8):
        way = bits >> step & 1
        symbols[:, step], node = _SYMBOL[node, way], _NEXT[node, way]
        nodes[:, step] = node
    return symbols.view(np.uint64).reshape(-1, 256), nodes.view(np.uint64).reshape(-1, 256)


_WALK_SYMBOLS, _WALK_NODES = _walks()


class Strings:
    """Random strings of the embedded grammar.

    Attributes
    ----------
    symbols, nodes : ndarray (N, T) of uint8
        Every symbol, and the node of the grammar's graph that it leads to.
    lengths : ndarray (N,) of int64
        Symbols of each string.
    """

    def __init__(self, generator: np.random.Generator, count: int) -> None:
        symbols: list[np.ndarray] = []
        nodes: list[np.ndarray] = []
        running, node = np.arange(count), np.zeros(count, np.uint8)
        while running.size:
            byte = generator.integers(256, size=running.size, dtype=np.uint8)
            for parts, walks in ((symbols, _WALK_SYMBOLS), (nodes, _WALK_NODES)):
                parts.append(np.full(count, walks[_END, 0]))
                parts[-1][running] = walks[node, byte]
            node = nodes[-1].view(np.uint8)[7::8][running]
            running, node = running[node < _END], node[node < _END]
        self.nodes = np.stack(nodes, axis=1).view(np.uint8)
        self.lengths = 1 + np.sum(self.nodes < _END, axis=1)
        longest = self.lengths.max()
        self.nodes = self.nodes[:, :longest]
        self.symbols = np.stack(symbols, axis=1).view(np.uint8)[:, :longest]

    @property
    def is_symbol(self) -> np.ndarray:
        """Which of (N, T) are before the end of their string."""
        return np.arange(self.symbols.shape[1]) < self.lengths[:, None]


def reber() -> Task:
    """Foresee the next symbol of a string of the embedded Reber grammar, every time (experiment 1).

    Strings are BT...TE or BP...PE around one of Reber's grammar; the second symbol must be remembered until the last
    but one. Symbols are one-hot, and the class of every step is the symbol that comes next.
    """

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        strings = Strings(generator, count)
        lengths = strings.lengths - 1  # the last symbol is not seen but predicted
        y = strings.symbols[:, 1:, None].astype(np.float32)
        return Sequences(one_hot(strings.symbols[:, :-1], len(SYMBOLS), lengths), y, lengths)

    def take(network: Network, generator: np.random.Generator) -> float:
        strings = Strings(generator, 512)
        lengths = strings.lengths - 1
        x = one_hot(strings.symbols[:, :-1], len(SYMBOLS), lengths)
        answers = network.predict(x, lengths, n_threads=1, every_step=True)[:, :, 0]
        possible = _POSSIBLE[strings.nodes[:, :-1]]
        least = np.where(possible, answers, np.inf).min(axis=2)
        is_right = least > np.where(possible, -np.inf, answers).max(axis=2)
        return float(np.mean((is_right | ~strings.is_symbol[:, 1:]).all(axis=1)))

    source = f"{PAPER}, experiment 1"
    return Task(
        name="reber",
        title="Embedded Reber grammar",
        question="Predict which symbols can come next. The last symbol but one repeats the second.",
        input_size=len(SYMBOLS),
        output_size=1,
        lag=12,  # the mean length of a string
        draw=draw,
        criterion=Exam(
            every=160,
            take=take,
            measure="share of the 512 test strings in which the possible next symbols were the most probable ones at "
            "every step",
            limit=1,
            more_is_better=True,
        ),
        published=(
            Published("LSTM 1997, 3 blocks of 2", source, 8_440, "100 % of trials solved", weights=276),
            Published("LSTM 1997, 4 blocks of 1", source, 39_740, "100 % of trials solved", weights=264),
            Published("RTRL, 12 units", source, 25_000, "some trials solved"),
            Published("Elman", source, None, "no trial solved in 200,000 sequences"),
        ),
        training=Training(batch_size=8, max_sequences=48_000),
        classes=len(SYMBOLS),
        is_every_step=True,
        differences=(
            "Training strings are fresh and test strings are 512 others; the paper: 256 for training, seen again and "
            "again, and 256 for testing, and solved when both are all right.",
        ),
    )


def continual_reber(longest: int = 1_000_000) -> Task:
    """Foresee the next symbol in a stream of embedded Reber strings that follow each other without a reset.

    A training sequence is a stream of 1,000 symbols, through which the state is carried.

    Parameters
    ----------
    longest : int
        Symbols of a test stream; the paper has a million.
    """

    def draw(generator: np.random.Generator, count: int) -> Sequences:
        symbols = _streams(generator, count, STREAM + 1)
        lengths = np.full(count, STREAM)
        y = symbols[:, 1:, None].astype(np.float32)
        return Sequences(one_hot(symbols[:, :-1], len(SYMBOLS), lengths), y, lengths)

    def take(network: Network, generator: np.random.Generator) -> float:
        return symbols_until_error(network, generator, longest)

    source = "Gers, Schmidhuber & Cummins 2000, Neural Computation 12(10), continual embedded Reber grammar"
    return Task(
        name="continual-reber" if longest == 1_000_000 else f"continual-reber-{longest}",
        title="Continual embedded Reber grammar",
        question="Predict which symbols can come next, in an endless stream of strings.",
        input_size=len(SYMBOLS),
        output_size=1,
        lag=12,  # the mean length of a string
        draw=draw,
        criterion=Exam(
            every=160,
            take=take,
            measure=f"symbols until the first error, mean of {TEST_STREAMS} test streams",
            limit=longest,
            more_is_better=True,
            milestones=(1000,),
        ),
        published=(
            Published(
                "LSTM with forget gate", source, None, "18 % of 100 trials solved", trials=100, weights=424
            ),
            Published(
                "LSTM with forget gate, decaying rate", source, None, "62 % of 100 trials solved", 100, 424
            ),
            Published("LSTM 1997", source, None, "0 % of 100 trials solved", trials=100),
        ),
        training=Training(batch_size=8, truncate=50, max_sequences=16_000),
        classes=len(SYMBOLS),
        is_every_step=True,
        differences=(
            "Training streams have 1,000 symbols; the paper's end at the first error, or after 100,000 symbols.",
            "A symbol's probability p is compared with 1 or 0 as min(1, 2 p), because a softmax divides 1 between the "
            "two symbols of a fork; the paper compares outputs as they are.",
        ),
    )


def symbols_until_error(network: Network, generator: np.random.Generator, longest: int) -> float:
    """How many symbols a network foresees before its first error, the mean of ten streams.

    A symbol is foreseen when, of all seven, the squared error of min(1, 2 p) to "can come next", 1 or 0, is below 0.49:
    p is the probability that the network gives it, and of two symbols that can come next each has 1/2. The streams are
    processed together, in pieces that grow, until each has had an error or `longest` symbols.
    """
    streams = [_Stream(one) for one in generator.spawn(TEST_STREAMS)]
    reached = np.zeros(TEST_STREAMS)
    running = np.arange(TEST_STREAMS)
    state: State | None = None
    seen, piece = 0, 250
    while running.size and seen < longest:
        steps = min(piece, longest - seen)
        symbols, nodes = (np.stack(parts) for parts in zip(*(streams[k].take(steps) for k in running)))
        x = one_hot(symbols, len(SYMBOLS), np.full(running.size, steps))
        answers, state = network.predict(x, n_threads=1, every_step=True, state=state, return_state=True)
        error = np.square(np.minimum(2 * answers[:, :, 0], 1) - _POSSIBLE[nodes]).max(axis=2)
        is_wrong = ~(error < TOLERANCE)
        fails = is_wrong.any(axis=1)
        reached[running] += np.where(fails, is_wrong.argmax(axis=1), steps)
        h, c = state
        state = State(np.asarray(h)[~fails], None if c is None else np.asarray(c)[~fails])
        running, seen, piece = running[~fails], seen + steps, min(2 * piece, 2000)
    return float(reached.mean())


class _Stream:
    """An endless stream of strings, of which symbols are taken a few at a time."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator, self._count = generator, 32  # strings to draw next
        self._symbols = self._nodes = np.zeros(0, np.uint8)

    def take(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """The next symbols, and the nodes that they lead to."""
        while self._symbols.size < steps:
            strings = Strings(self._generator, self._count)
            self._count = min(4 * self._count, 8192)
            self._symbols = np.append(self._symbols, strings.symbols[strings.is_symbol])
            self._nodes = np.append(self._nodes, strings.nodes[strings.is_symbol])
        taken = self._symbols[:steps], self._nodes[:steps]
        self._symbols, self._nodes = self._symbols[steps:], self._nodes[steps:]
        return taken


def _streams(generator: np.random.Generator, count: int, steps: int) -> np.ndarray:
    """The first symbols of several streams, (N, T)."""
    of_each = -(-steps // SHORTEST)  # strings, enough of the shortest
    strings = Strings(generator, count * of_each)
    ends = strings.lengths.reshape(count, of_each).sum(axis=1).cumsum()
    return strings.symbols[strings.is_symbol][np.append(0, ends[:-1])[:, None] + np.arange(steps)]
