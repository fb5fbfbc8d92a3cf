"""The grammar against descriptions that are written otherwise; its exams against networks that know it or do not."""

import re
from collections import Counter

import numpy as np
import pytest
from drawn_sequences import Answering, drawn

from trendlstm.experiments import grammar
from trendlstm.experiments.grammar import continual_reber, reber
from trendlstm.nn.state import State

SYMBOLS = "BTPSXVE"
STRING = re.compile(
    r"B(?P<outer>[TP])"
    r"B(?:TS*X(?:XT*VP)*(?:S|XT*VV)|PT*V(?:V|P(?:XT*VP)*(?:S|XT*VV)))E"
    r"(?P=outer)E"
)

# The same as an automaton: what can follow is said by the place in the string and its second symbol.
INNER = {
    "b": {"B": "tp"},
    "tp": {"T": "sx", "P": "tv"},
    "sx": {"S": "sx", "X": "xs"},
    "tv": {"T": "tv", "V": "pv"},
    "xs": {"X": "tv", "S": "e"},
    "pv": {"P": "xs", "V": "e"},
    "e": {"E": "outer"},
}
PLACES = [("start", ""), ("second", "")] + [
    (place, second) for second in "TP" for place in (*INNER, "outer", "last")
]


def ways(place, second):
    """What can come next, and where it leads."""
    if place == "start":
        return {"B": ("second", "")}
    if place == "second":
        return {"T": ("b", "T"), "P": ("b", "P")}
    if place == "outer":
        return {second: ("last", second)}
    if place == "last":
        return {"E": ("start", "")}
    return {symbol: (then, second) for symbol, then in INNER[place].items()}


def texts(x, y, lengths):
    """Strings of the inputs with the class that follows each."""
    for symbols, classes, steps in zip(x.argmax(axis=2), y[:, :, 0].astype(int), lengths):
        text = "".join(SYMBOLS[symbol] for symbol in symbols[:steps])
        assert text[1:] == "".join(SYMBOLS[symbol] for symbol in classes[: steps - 1])
        yield text + SYMBOLS[classes[steps - 1]]


def probabilities(x, start=None, of_ways=(0.5, 0.5)):
    """(N, T, 7) of the right answers, and the number of the place in which every sequence ends.

    Of two ways the first in the alphabet BTPSXVE has the probability of_ways[0].
    """
    answers = np.zeros(x.shape)
    places = [PLACES[0]] * len(x) if start is None else [PLACES[int(k)] for k in start]
    for n, symbols in enumerate(x.argmax(axis=2)):
        for t, symbol in enumerate(symbols):
            if not x[n, t].any():
                break
            places[n] = ways(*places[n])[SYMBOLS[symbol]]
            following = sorted(SYMBOLS.index(one) for one in ways(*places[n]))
            answers[n, t, following] = of_ways if len(following) == 2 else 1
    return answers, np.array([PLACES.index(place) for place in places])


def without_memory(x):
    """Right answers but where the second symbol must be known."""
    answers, _ = probabilities(x)
    is_closing = (answers[:, :, 1] + answers[:, :, 2] == 1) & (answers.max(axis=2) == 1)
    answers[is_closing] = np.eye(7)[1] / 2 + np.eye(7)[2] / 2
    return answers


def test_strings_are_those_of_the_grammar():
    found = list(texts(*drawn(reber(), 4000)))
    assert all(STRING.fullmatch(text) for text in found)
    lengths = np.array([len(text) for text in found])
    assert lengths.min() == grammar.SHORTEST == 9 and lengths.max() > 24
    assert lengths.mean() == pytest.approx(12, abs=0.3)  # by the equations of the automaton
    shortest = {text for text in found if len(text) == 9}
    assert shortest == {"BTBTXSETE", "BPBTXSEPE", "BTBPVVETE", "BPBPVVEPE"}


def test_both_ways_are_as_likely():
    taken = Counter()
    for text in texts(*drawn(reber(), 4000)):
        place = PLACES[0]
        for symbol in text:
            taken[place, symbol] += 1
            place = ways(*place)[symbol]
    for place in PLACES:
        following = list(ways(*place))
        if len(following) == 2:
            one, other = (taken[place, symbol] for symbol in following)
            assert one + other > 500 and abs(one - other) < 6 * np.sqrt(one + other)


def test_streams_are_strings_without_gaps():
    task = continual_reber()
    x, y, lengths = drawn(task, 20)
    assert set(lengths) == {1000}
    counts = Counter()
    for text in texts(x, y, lengths):
        assert text[:2] in ("BT", "BP")
        whole = list(STRING.finditer(text))
        assert "".join(match[0] for match in whole) == text[: whole[-1].end()]
        place = PLACES[0]
        for symbol in text[whole[-1].end() :]:
            place = ways(*place)[symbol]
        counts.update(len(match[0]) for match in whole)
    assert counts.total() == pytest.approx(20 * 1001 / 12, rel=0.1)
    assert task.training.truncate < 1000


# the exam of the strings


def test_who_knows_the_grammar_passes_the_exam():
    exam = reber().criterion
    assert (exam.limit, exam.more_is_better) == (1, True)

    def score(answer):
        return exam.take(Answering(lambda x: answer(x)[:, :, None]), np.random.default_rng(1))

    assert score(lambda x: probabilities(x)[0]) == 1
    assert score(lambda x: probabilities(x, of_ways=(0.01, 0.99))[0]) == 1
    assert score(without_memory) == 0
    assert score(lambda x: np.full(x.shape, 1 / 7)) == 0
    assert score(lambda x: np.full(x.shape, np.nan)) == 0

    def often_right(x):
        answers = probabilities(x)[0]
        answers[:100, 3] = 1 / 7
        return answers

    assert score(often_right) == pytest.approx(412 / 512)


# the exam of the streams


class Grammarian:
    """Foresees streams, each until a step of its own; its state is the place, the step, and which stream it is."""

    def __init__(self, errors, of_ways=(0.5, 0.5), wrong=None):
        self.errors, self.of_ways, self.wrong = np.array(errors), of_ways, wrong
        self.steps = 0

    def predict(self, x, lengths=None, n_threads=None, *, every_step, state, return_state):
        h = np.stack([np.zeros(len(x)), np.zeros(len(x)), np.arange(len(x))], 1) if state is None else state.h
        assert h.shape == (len(x), 3) and every_step and return_state
        answers, places = probabilities(x, h[:, 0], self.of_ways)
        if self.wrong is not None:
            answers = self.wrong(answers)
        first = self.errors[h[:, 2].astype(int)] - h[:, 1]
        answers[np.arange(x.shape[1]) == first[:, None]] = np.nan
        self.steps += x.shape[0] * x.shape[1]
        after = np.stack([places, h[:, 1] + x.shape[1], h[:, 2]], axis=1)
        return answers[:, :, None], State(after, after.copy())


def score(network):
    return continual_reber(longest=1300).criterion.take(network, np.random.default_rng(5))


def test_a_stream_ends_at_its_first_error():
    errors = [0, 7, 249, 250, 251, 999, 1250, 1299, 1300, 10**6]
    knows = Grammarian(errors)
    expected = np.minimum(errors, 1300).mean()
    assert score(knows) == expected
    assert knows.steps < 10 * 1300  # those that have ended cost nothing more
    none = Grammarian([10**9] * 10)
    assert score(none) == 1300
    none = Grammarian([3] * 10)
    assert score(none) == 3 and none.steps == 2500


def test_who_does_not_remember_fails_at_the_first_closing_symbol():
    def guess(answers):
        is_closing = (answers[:, :, 1] + answers[:, :, 2] == 1) & (answers.max(axis=2) == 1)
        answers[is_closing] = [0, 0.5, 0.5, 0, 0, 0, 0]
        return answers

    assert 6 <= score(Grammarian([10**6] * 10, wrong=guess)) < 15


@pytest.mark.parametrize(
    ("of_ways", "is_right"),
    [((0.16, 0.84), True), ((0.14, 0.86), False), ((0.84, 0.16), True), ((1, 0), False)],
)
def test_how_far_a_probability_may_be_off(of_ways, is_right):
    assert (score(Grammarian([10**6] * 10, of_ways)) == 1300) == is_right


@pytest.mark.parametrize(("share", "is_right"), [(0.34, True), (0.36, False)])
def test_how_probable_an_impossible_symbol_may_be(share, is_right):
    def mix(answers):
        is_certain = answers.max(axis=2) == 1
        impossible = np.roll(answers, 1, axis=2)
        answers[is_certain] = ((1 - share) * answers + share * impossible)[is_certain]
        return answers

    assert (score(Grammarian([10**6] * 10, wrong=mix)) == 1300) == is_right


def test_the_published_figures():
    assert [figure.sequences for figure in reber().published] == [8_440, 39_740, 25_000, None]
    exam = continual_reber().criterion
    assert (exam.limit, exam.more_is_better, exam.milestones) == (1_000_000, True, (1000,))
    assert ["%" in figure.result for figure in continual_reber().published] == [True] * 3
