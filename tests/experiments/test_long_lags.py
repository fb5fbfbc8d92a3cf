"""The long-lag tasks against their definitions, and their exams against networks that know the answers."""

import numpy as np
import pytest
from drawn_sequences import Answering, drawn, is_uniform

from trendlstm.experiments import LENGTHS, long_lags
from trendlstm.experiments.long_lags import adding, long_lag, multiplication, temporal_order


def places_of_marks(sequence, steps, length):
    """Where the two marks of the rule of 1997 fell, 0 for one that the first element's marker hides."""
    markers = sequence[:steps, 1]
    assert markers[0] == markers[-1] == -1
    assert set(markers[1:-1]) <= {0, 1}
    marked = np.flatnonzero(markers == 1)
    marked = marked if len(marked) == 2 else np.array([0, *marked])
    assert len(marked) == 2
    assert marked[0] < 10
    assert marked[1] <= length // 2 - 1
    assert steps - 1 - marked[1] >= length // 2
    return marked


def check_places(places, length):
    places = np.array(places)
    assert places[:, 1].max() > 0.9 * (length // 2 - 1)
    assert 0.05 < np.mean(places[:, 0] == 0) < 0.2
    early = np.bincount(places[places[:, 1] >= 10, 0], minlength=10)
    assert len(early) == 10 and is_uniform(early)


@pytest.mark.parametrize(("length", "count"), [(100, 2000), (10_000, 100)])
def test_adding_by_the_rule_of_1997(length, count):
    x, y, lengths = drawn(adding(length), count)
    assert length <= lengths.min() < lengths.max() <= length + length // 10
    places = []
    for sequence, target, steps in zip(x, y[:, 0], lengths):
        marked = places_of_marks(sequence, steps, length)
        values = np.where(marked > 0, sequence[marked, 0], 0)
        assert target == pytest.approx(0.5 + values.sum() / 4, abs=1e-6)
        places.append(marked)
    values = np.concatenate([sequence[:steps, 0] for sequence, steps in zip(x, lengths)])
    assert -1 <= values.min() < -0.999 and 0.999 < values.max() <= 1
    assert abs(values.mean()) < 0.01
    if count == 2000:
        assert {lengths.min(), lengths.max()} == {length, length + length // 10}
        check_places(places, length)
        assert abs(y.mean() - 0.5) < 0.02


def test_adding_by_the_rule_of_2022():
    length = 40
    x, y, lengths = drawn(adding(length, "2022"), 4000)
    values, markers = x[:, :, 0], x[:, :, 1]
    assert set(lengths) == {length} and x.shape[1] == length
    assert set(np.unique(markers)) == {0, 1}
    assert (markers[:, : length // 2].sum(axis=1) == 1).all()
    assert (markers[:, length // 2 :].sum(axis=1) == 1).all()
    assert is_uniform(markers[:, : length // 2].sum(axis=0))
    assert is_uniform(markers[:, length // 2 :].sum(axis=0))
    np.testing.assert_allclose(y[:, 0], (values * markers).sum(axis=1), atol=1e-6)
    assert 0 <= values.min() < 0.001 and 0.999 < values.max() < 1
    assert np.var(y) == pytest.approx(1 / 6, rel=0.1)


def test_the_exam_of_2022_is_the_mean_squared_error():
    exam = adding(40, "2022").criterion

    def score(answer):
        return exam.take(Answering(answer), np.random.default_rng(3))

    def exact(x):
        return (x[:, :, 0] * x[:, :, 1]).sum(axis=1, keepdims=True)

    assert score(exact) < 1e-12 < exam.limit
    assert score(lambda x: exact(x) + 0.05) == pytest.approx(0.0025, rel=1e-3)
    assert score(lambda x: np.ones((len(x), 1))) == pytest.approx(1 / 6, rel=0.15)
    assert (exam.limit, exam.milestones, exam.more_is_better) == (0.001, (0.01,), False)


def test_multiplication():
    x, y, lengths = drawn(multiplication())
    places = []
    for sequence, target, steps in zip(x, y[:, 0], lengths):
        marked = places_of_marks(sequence, steps, 100)
        assert target == pytest.approx(np.where(marked > 0, sequence[marked, 0], 1).prod(), abs=1e-6)
        places.append(marked)
    check_places(places, 100)
    assert 0 <= x[:, :, 0].min() < 0.001 and 0.999 < x[:, :, 0].max() <= 1


def test_the_exam_of_multiplication_counts_wrong_answers():
    task = multiplication()
    exam = task.criterion
    _, y, _ = task.draw(np.random.default_rng(3), 2000)

    def score(error):
        return exam.take(Answering(lambda x: y + error[:, None]), np.random.default_rng(3))

    assert score(np.full(2000, 0.039)) == 0
    assert score(np.full(2000, -0.041)) == 2000
    assert score(np.where(np.arange(2000) < 12, 0.041, 0.0)) == 12 < exam.limit == 13
    assert score(np.full(2000, np.nan)) == 2000
    assert exam.milestones == (140,)


@pytest.mark.parametrize(
    ("variant", "windows"),
    [("6a", [(10, 20), (50, 60)]), ("6b", [(10, 20), (33, 43), (66, 76)])],
)
def test_temporal_order(variant, windows):
    x, y, lengths = drawn(temporal_order(variant), 1500)
    assert {lengths.min(), lengths.max()} == {100, 110} and is_uniform(np.bincount(lengths)[100:])
    places = []
    for sequence, target, steps in zip(x, y, lengths):
        assert (sequence[:steps].sum(axis=1) == 1).all() and set(np.unique(sequence)) == {0, 1}
        text = "".join("EBXYabcd"[symbol] for symbol in sequence[:steps].argmax(axis=1))
        assert text[0] == "E" and text[-1] == "B" and text.count("E") == text.count("B") == 1
        found = [position for position, symbol in enumerate(text, start=1) if symbol in "XY"]
        assert len(found) == len(windows)
        order = "".join(text[position - 1] for position in found)
        assert target.sum() == 1
        assert target.argmax() == int(order.replace("X", "0").replace("Y", "1"), 2)
        places.append(found)
    for column, (first, last) in zip(np.transpose(places), windows):
        assert {column.min(), column.max()} == {first, last} and is_uniform(np.bincount(column)[first:])
    assert is_uniform(y.sum(axis=0))
    distractors = x[:, :, 4:].sum(axis=(0, 1))
    assert is_uniform(distractors)


@pytest.mark.parametrize("length", [10, 50])
def test_long_lag(length):
    x, y, lengths = drawn(long_lag(length), 1000)
    b, e = length, length + 1
    for sequence, target, steps in zip(x, y, lengths):
        symbols = sequence[:steps].argmax(axis=1)
        assert (sequence[:steps].sum(axis=1) == 1).all()
        assert symbols[0] == b and symbols[-1] == e
        assert symbols[1] == length + 2 + target.argmax() and target.sum() == 1
        assert (symbols[2:-1] < length).all()
        assert steps - 1 - 1 >= length + 1  # from the second symbol to the trigger
    extra = lengths - (length + 3)
    assert extra.min() == 0
    assert extra.mean() == pytest.approx(9, abs=1.5)
    assert np.mean(extra == 0) == pytest.approx(0.1, abs=0.04)
    assert is_uniform(y.sum(axis=0))
    assert is_uniform(x[:, :, :length].sum(axis=(0, 1)))


def test_the_published_figures():
    figures = {
        100: (74_000, "1 of"),
        500: (209_000, "0 of"),
        1000: (853_000, "1 of"),
        5000: None,
        10_000: None,
    }
    assert tuple(figures) == LENGTHS["adding"]
    for length, expected in figures.items():
        task = adding(length)
        assert task.criterion == (0.04, 2000, 0.01)
        if expected is None:
            assert task.published == () and len(task.differences) == 1
            continue
        (found,) = task.published
        assert found.sequences == expected[0] and found.result.startswith(expected[1])
        assert (found.weights, found.trials, found.is_remembered) == (93, 10, False)
    assert [adding(length, "2022").published[0].sequences for length in (5000, 10_000)] == [155_000, 245_000]
    assert "95,000" in adding(10_000, "2022").published[0].result
    assert adding(100, "2022").published == ()
    assert multiplication().published[0].is_remembered
    (first,), (second,) = temporal_order("6a").published, temporal_order("6b").published
    assert (first.sequences, first.weights) == (31_390, 156)
    assert (second.sequences, second.weights) == (571_100, 308)
    assert temporal_order("6a").criterion.tolerance == 0.3
    lags = [long_lag(q).published[0].sequences for q in LENGTHS["long-lag"]]
    assert lags == [30_000, 31_000, 33_000, 38_000, 49_000]
    assert long_lag(50).criterion == (0.2, 10_000, np.inf)
    assert long_lag(60).published == ()
    assert long_lags.PAPER in first.source
