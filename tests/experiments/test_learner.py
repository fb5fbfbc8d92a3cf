"""A learner trains as `Network.fit` does, and goes on from where another was packed with the same bits."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tasks import EXAM, small_task

from trendlstm.experiments import CELLS, learner
from trendlstm.experiments.learner import Learner, Stopped
from trendlstm.experiments.models import Model, make_network
from trendlstm.experiments.task import Sequences
from trendlstm.nn.parameters import named_values

KINDS = {
    "squared error": {},
    "of every step": {"is_every_step": True},
    "classes": {"classes": 3},
    "classes of every step": {"classes": 3, "is_every_step": True},
    "truncated": {"classes": 3, "is_every_step": True, "truncate": 3},
    "truncated, one step": {"is_every_step": True, "truncate": 1},
    "truncated beyond the end": {"is_every_step": True, "truncate": 20},
}


LSTM = Model("lstm")


def recorded(task):
    """The same task, and the sequences that it will have drawn."""
    drawn = []

    def draw(generator, count):
        drawn.append(task.draw(generator, count))
        return drawn[-1]

    return replace(task, draw=draw), drawn


def trained(task, model=LSTM, seed=1, dtype="float64"):
    made = Learner(task, make_network(task, model, seed, dtype), seed)
    while not made.has_ended:
        made.train_block()
    return made


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_learner_trains_as_fit_does(kind, cell):
    # targets of every step: `fit` takes the mean over the steps, which is no other direction
    clip_norm = 1e-6 if KINDS[kind].get("is_every_step") else 0.1
    task = small_task(criterion=EXAM, steps=7, max_sequences=75, clip_norm=clip_norm, **KINDS[kind])
    task, drawn = recorded(task)
    found = trained(task, Model(cell))
    drawn = [one for one in drawn if len(one.y) > 1]  # one alone tells how long the sequences are
    x, y, lengths = (np.concatenate(parts) for parts in zip(*drawn))
    assert len(x) == 75
    expected = make_network(task, Model(cell), 1, "float64")
    training = task.training
    expected.fit(
        x,
        y,
        lengths=lengths,
        epochs=1,
        shuffle=False,
        batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        clip_norm=training.clip_norm,
        truncate=training.truncate,
    )
    values = found.network.state_dict()
    for name, value in expected.state_dict().items():
        assert np.abs(values[name] - value).max() <= 1e-9 * np.abs(value).max()
        assert not np.array_equal(value, make_network(task, Model(cell), 1, "float64").state_dict()[name])


@pytest.mark.parametrize("kind", ["squared error", "of every step", "classes", "classes of every step"])
def test_the_loss_is_the_sum_over_the_steps_and_the_mean_over_sequences(kind):
    task, drawn = recorded(
        small_task(criterion=EXAM, steps=7, max_sequences=10, clip_norm=0.0, **KINDS[kind])
    )
    made = trained(task)
    x, y, lengths = drawn[-1]
    steps = lengths.mean() if task.is_every_step else 1
    _, gradients = make_network(task, LSTM, 1, "float64").loss_and_gradients(x, y, lengths)
    found = named_values(made.network.config, made._state.gradient)
    for name, gradient in gradients.items():
        assert np.abs(found[name] - steps * gradient).max() <= 1e-9 * np.abs(gradient).max()


def test_the_learning_rate_falls_to_half_in_so_many_sequences():
    """Every block is learned with a rate of its own, as by a learner whose rate stays."""
    task = small_task(criterion=EXAM, halved_every=20, learning_rate=0.1)
    made, rates = Learner(task, make_network(task, LSTM, 1), 1), []
    while not made.has_ended:
        rates.append(made.options.learning_rate)
        staying = small_task(criterion=EXAM, learning_rate=rates[-1])
        other = Learner(staying, make_network(staying, LSTM, 1), 1)
        other.unpack({name: np.asarray(value) for name, value in made.pack().items()})
        for one in made, other:
            one.train_block(10)
        assert essence(one) == essence(made)
    assert rates == pytest.approx([0.1 * 0.5 ** (seen / 20) for seen in range(0, 100, 10)])


def essence(made):
    return [
        made.outcome,
        made.seen,
        made.exams,
        made.curve().tolist(),
        *(value.tolist() for value in made.network.state_dict().values()),
    ]


@given(
    blocks=st.integers(0, 12),
    kind=st.sampled_from([{}, {"criterion": EXAM}, {"criterion": EXAM, **KINDS["truncated"], "classes": 0}]),
    dtype=st.sampled_from(["float32", "float64"]),
)
@settings(max_examples=30)
def test_a_packed_learner_goes_on_with_the_same_bits(blocks, kind, dtype):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "_BLOCK_NUMBERS", 2 * 4 * 20)
        patch.setattr(learner, "CURVE_STEP", 30)
        task = small_task(**kind)
        expected, first = (
            trained(task, dtype=dtype),
            Learner(task, make_network(task, LSTM, 1, dtype), 1),
        )
        for _ in range(blocks):
            if not first.has_ended:
                first.train_block()
        packed = {name: np.asarray(value) for name, value in first.pack().items()}
        for _ in range(2):  # what the first goes on with must not be in the package
            if not first.has_ended:
                first.train_block()
        second = Learner(task, make_network(task, LSTM, 1, dtype), 1)
        second.unpack(packed)
        while not second.has_ended:
            second.train_block()
        assert essence(second) == essence(expected)


@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    step=st.integers(1, 40),
)
def test_a_curve_is_the_mean_of_the_sequences_before_each_point(sizes, step):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "CURVE_STEP", step)
        errors = np.random.default_rng(0).random(sum(sizes))
        curve = learner._Curve(np.empty(0), np.empty(0))
        for start, stop in itertools.pairwise([0, *itertools.accumulate(sizes)]):
            curve.add(errors[start:stop], stop)
        ends = [*range(step, errors.size, step), errors.size]
        expected = [errors[max(0, end - step) : end].mean() for end in ends]
        assert curve.finished(errors.size).tolist() == expected
        assert curve.recent.size < 2 * step


def test_exams_are_taken_after_whole_minibatches_and_at_the_end():
    scores = iter([3.0, 1.0, 2.0, np.nan])
    exam = EXAM._replace(every=33, take=lambda network, generator: next(scores), limit=None)
    made = trained(small_task(criterion=exam, max_sequences=130))
    assert [seen for seen, _ in made.exams] == [40, 80, 120, 130]
    assert [score for _, score in made.exams[:3]] == [3.0, 1.0, 2.0]
    assert made.seen == 130


@pytest.mark.parametrize(
    ("more_is_better", "scores", "solved_at"),
    [
        (False, [2, 1, 0.9], 120),
        (True, [0.9, 1, 2], 80),
        (False, [np.nan, 0.5], 80),
        (True, [0.5, np.nan], 0),
    ],
)
def test_an_exam_that_is_passed_ends_the_training(more_is_better, scores, solved_at):
    scores = iter(scores)
    exam = EXAM._replace(
        take=lambda network, generator: next(scores, 0.99 if more_is_better else 5.0),
        limit=1.0,
        more_is_better=more_is_better,
    )
    made = trained(small_task(criterion=exam, max_sequences=200))
    assert made.seen == (solved_at or 200)


def test_every_exam_of_a_trial_has_the_same_sequences_and_they_are_no_training_sequences():
    asked = []

    def take(network, generator):
        asked.append(generator.random())
        return 1.0

    task, drawn = recorded(small_task(criterion=EXAM._replace(take=take)))
    trained(task)
    trained(task, seed=2)
    assert len(asked) == 6 and len(set(asked)) == 2 and asked[0] == asked[1] != asked[3]
    assert not any(np.isin(asked[0], sequences.x) for sequences in drawn)


def test_streams_are_drawn_a_few_at_a_time_although_their_lags_are_short():
    exam = EXAM._replace(every=10**6)
    task = small_task(criterion=exam, is_every_step=True, steps=5000, truncate=50, max_sequences=1000)
    task, drawn = recorded(replace(task, lag=5))
    made = Learner(task, make_network(task, LSTM, 0), 0)
    made.train_block()
    assert max(sequences.x.size for sequences in drawn) <= learner._BLOCK_NUMBERS


@pytest.mark.parametrize("where", ["sequences", "exam"])
def test_a_learner_that_is_asked_to_stop_stops_in_the_middle(where):
    def draw(generator, count):
        if where == "sequences":
            made.stop()
        return small_task().draw(generator, count)

    def take(network, generator):
        made.stop()
        network.predict(np.zeros((1, 2, 2), np.float32))
        raise AssertionError

    task = replace(small_task(criterion=EXAM._replace(take=take)), draw=draw)
    made = Learner(task, make_network(task, LSTM, 0), 0)
    weights = made.network.theta.copy()
    with pytest.raises(Stopped):
        made.train_block()
    assert np.array_equal(weights, made.network.theta) == (where == "sequences")
    assert not made.exams


def test_sequences_that_no_network_could_take_are_refused():
    task = small_task()
    broken = replace(
        task, draw=lambda generator, count: Sequences(*task.draw(generator, count)[:2], np.full(count, 9))
    )
    with pytest.raises(ValueError, match="lengths must lie in 1"):
        trained(broken)
