"""The papers' tasks against their definitions, training on a stream against `fit`, trials, and `reproduce`."""

import csv
import json
import logging
import re
import shlex
import threading
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from trendlstm import Network, cli
from trendlstm.errors import OptionError
from trendlstm.experiments import ADDING_LENGTHS, CELLS, LONG_LAGS, tasks, trials
from trendlstm.experiments.trials import Model, Trial, make_models, run_trials
from trendlstm.kernels import buffers, decisions, stream
from trendlstm.kernels.buffers import Data
from trendlstm.kernels.gang import COUNTERS
from trendlstm.output import reproduce as report
from trendlstm.output.console import Console
from trendlstm.output.plots import reproduce as plots

ALL_TASKS = [tasks.adding(100), tasks.temporal_order("6a"), tasks.temporal_order("6b"), tasks.long_lag(50)]


def draw(task, count=2000, seed=0):
    sequences = task.draw(np.random.default_rng(seed), count)
    steps = sequences.x.shape[1]
    assert sequences.x.shape == (count, steps, task.input_size)
    assert sequences.y.shape == (count, task.output_size)
    assert sequences.x.dtype == sequences.y.dtype == np.float32
    assert sequences.lengths.max() <= steps
    for x, length in zip(sequences.x, sequences.lengths):
        assert not x[length:].any()
    return sequences


def is_uniform(counts):
    """Whether counts of equally likely events differ by no more than chance, six standard deviations."""
    mean = np.mean(counts)
    return np.abs(np.asarray(counts) - mean).max() < 6 * np.sqrt(mean)


# the tasks


@pytest.mark.parametrize("length", ADDING_LENGTHS)
def test_adding(length):
    x, y, lengths = draw(tasks.adding(length))
    assert set(lengths) <= set(range(length, length + length // 10 + 1))
    assert {lengths.min(), lengths.max()} == {length, length + length // 10}
    low, high, places = [], [], []
    for sequence, target, steps in zip(x, y[:, 0], lengths):
        values, markers = sequence[:steps].T
        assert markers[0] == markers[-1] == -1
        assert set(markers[1:-1]) <= {0, 1}
        marked = np.flatnonzero(markers == 1)
        assert target == pytest.approx(0.5 + values[marked].sum() / 4, abs=1e-6)
        low.append(values.min())
        high.append(values.max())
        if len(marked) == 1:  # the other mark fell on the first element, and is overwritten
            marked = np.array([0, *marked])
        assert len(marked) == 2
        assert marked[0] < 10
        assert marked[1] <= length // 2 - 1
        assert steps - 1 - marked[1] >= length // 2
        places.append(marked)
    places = np.array(places)
    assert -1 <= min(low) < -0.9 and 0.9 < max(high) <= 1
    assert places[:, 1].max() > 0.9 * (length // 2 - 1)
    assert 0.05 < np.mean(places[:, 0] == 0) < 0.2
    early = np.bincount(places[places[:, 1] >= 10, 0], minlength=10)
    assert len(early) == 10 and is_uniform(early)
    assert abs(y.mean() - 0.5) < 0.02


@pytest.mark.parametrize(
    ("variant", "windows"),
    [("6a", [(10, 20), (50, 60)]), ("6b", [(10, 20), (33, 43), (66, 76)])],
)
def test_temporal_order(variant, windows):
    x, y, lengths = draw(tasks.temporal_order(variant), 4000)
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


@pytest.mark.parametrize("length", [50, 200])
def test_long_lag(length):
    x, y, lengths = draw(tasks.long_lag(length))
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
    assert extra.mean() == pytest.approx(9, abs=1)
    assert np.mean(extra == 0) == pytest.approx(0.1, abs=0.03)
    assert is_uniform(y.sum(axis=0))
    assert is_uniform(x[:, :, :length].sum(axis=(0, 1)))


@pytest.mark.parametrize("task", ALL_TASKS, ids=lambda task: task.name)
def test_sequences_follow_from_the_generator(task):
    first, again, other = draw(task, 50, seed=1), draw(task, 50, seed=1), draw(task, 50, seed=2)
    for a, b in zip(first, again):
        assert np.array_equal(a, b)
    assert not np.array_equal(first.y, other.y)


def test_the_papers_figures():
    published = {100: (74_000, 1), 500: (209_000, 0), 1000: (853_000, 1)}
    for length in ADDING_LENGTHS:
        task = tasks.adding(length)
        assert (task.paper.sequences, task.paper.wrong) == published[length]
        assert task.paper.weights == 93 and task.paper.trials == 10
        assert task.criterion == (0.04, 2000, 0.01)
    assert tasks.temporal_order("6a").paper[1:] == (31_390, None, 156, 1)
    assert tasks.temporal_order("6b").paper[1:] == (571_100, None, 308, 2)
    assert tasks.temporal_order("6a").criterion.tolerance == 0.3
    assert [tasks.long_lag(q).paper.sequences for q in LONG_LAGS] == [30_000, 31_000, 33_000, 38_000, 49_000]
    assert tasks.long_lag(50).criterion == (0.2, 10_000, np.inf)


def test_make_task():
    assert tasks.make_task("adding").name == "adding-100"
    assert tasks.make_task("adding", 500).name == "adding-500"
    assert tasks.make_task("temporal-order").name == "temporal-order-6a"
    assert tasks.make_task("temporal-order", variant="6b").name == "temporal-order-6b"
    assert tasks.make_task("long-lag").name == "long-lag-100"
    for arguments, words in [
        (("subtracting",), "task must be one of adding, temporal-order, long-lag, but is 'subtracting'"),
        (("adding", 101), "length must be one of 100, 500, 1000, but is 101"),
        (("long-lag", 51), "length must be one of 50, 100, 200, 500, 1000, but is 51"),
        (("temporal-order", None, "6c"), "variant must be one of 6a, 6b, but is '6c'"),
        (("temporal-order", 100), "length is for adding and long-lag"),
        (("adding", 100, "6a"), "variant is for temporal-order; adding takes length"),
    ]:
        with pytest.raises(OptionError, match=words):
            tasks.make_task(*arguments)


# sequences of different lengths in one minibatch


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("task", ALL_TASKS, ids=lambda task: task.name)
def test_a_minibatch_of_different_lengths_is_as_one_by_one(task, cell):
    x, y, lengths = draw(task, 21)
    assert len(set(lengths)) > 3
    network = Network(
        task.input_size, 5, (), task.output_size, cell, dtype="float64", lag=task.lag, forget_bias="chrono"
    )
    together = network.predict(x, lengths)
    loss, gradients = network.loss_and_gradients(x, y, lengths)
    losses, parts = [], []
    for n, steps in enumerate(lengths):
        alone = x[n : n + 1, :steps]
        np.testing.assert_allclose(together[n], network.predict(alone)[0], rtol=1e-12)
        one = network.loss_and_gradients(alone, y[n : n + 1])
        losses.append(one[0])
        parts.append(one[1])
    assert loss == pytest.approx(np.mean(losses), rel=1e-12)
    for name, gradient in gradients.items():
        expected = np.mean([part[name] for part in parts], axis=0)
        assert np.abs(gradient - expected).max() <= 1e-9 * np.abs(expected).max()


# training on a stream


def train_stream(
    network, data, blocks, *, batch_size=32, rate=1e-2, clip=1.0, run=10**6, tolerance=0.0, mean=np.inf
):
    """Train on `data` cut into blocks of these sizes; the sequences' errors and the progress."""
    theta, plan = network.theta, network.plan(data.x.shape[1])
    state = stream.StreamState(
        theta=theta,
        **{
            name: buffers.aligned_zeros(theta.size, theta.dtype)
            for name in ("first_moment", "second_moment", "gradient")
        },
        recent=np.zeros(run),
        progress=np.zeros(1, decisions.STREAM_PROGRESS),
        counters=np.zeros(COUNTERS, np.int64),
    )
    options = stream.StreamOptions(batch_size, rate, clip, tolerance, mean)
    every = np.zeros(len(data.y))
    first = 0
    for count in blocks:
        part = Data(
            *(array[first : first + count].astype(theta.dtype, copy=False) for array in data[:2]),
            data.lengths[first : first + count],
        )
        work = buffers.make_workspace(plan, theta.dtype)
        errors = every[first : first + count]
        stream.stream_worker(plan, part, np.arange(count), options, state, work, errors)
        if state.progress[0].outcome != decisions.USED_UP:
            break
        first += count
    return every, state.progress[0]


def small_network(cell="lstm", **options):
    return Network(2, 5, (), 1, cell, **{"dtype": "float64", "lag": 110, "forget_bias": "chrono", **options})


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_a_stream_in_blocks_trains_as_fit_does(cell, clip):
    data = Data(*draw(tasks.adding(100), 150))
    expected, whole, parts = (small_network(cell) for _ in range(3))
    expected.fit(
        data.x,
        data.y,
        lengths=data.lengths,
        epochs=1,
        shuffle=False,
        learning_rate=1e-2,
        clip_norm=clip or None,
    )
    errors, progress = train_stream(whole, data, [150], clip=clip)
    errors_of_parts, _ = train_stream(parts, data, [64, 32, 54], clip=clip)
    assert progress.tolist() == (decisions.USED_UP, 150, 0, 5)
    assert np.array_equal(errors, errors_of_parts)
    for name, value in expected.state_dict().items():
        assert np.array_equal(whole.state_dict()[name], parts.state_dict()[name])
        assert np.abs(whole.state_dict()[name] - value).max() <= 1e-9 * np.abs(value).max()


def test_every_sequence_is_judged_before_its_step():
    data = Data(*draw(tasks.temporal_order("6a"), 64))
    network = Network(8, 5, (), 4, dtype="float64")
    before = np.abs(network.predict(data.x[:32], data.lengths[:32]) - data.y[:32]).mean(axis=1)
    first = network.state_dict()
    errors, _ = train_stream(network, data, [32])
    np.testing.assert_allclose(errors[:32], before, rtol=1e-9)
    middle = np.abs(network.predict(data.x[32:], data.lengths[32:]) - data.y[32:]).mean(axis=1)
    network.load_state_dict(first)
    errors, _ = train_stream(network, data, [64])
    np.testing.assert_allclose(errors[32:], middle, rtol=1e-9)


@given(
    targets=st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.875]), min_size=1, max_size=60),
    run=st.integers(1, 12),
    mean=st.sampled_from([0.0625, 0.1875, np.inf]),
    batch_size=st.integers(1, 9),
    block=st.integers(1, 25),
)
@settings(max_examples=300, deadline=None)
def test_the_criterion_ends_a_stream_at_the_very_sequence(targets, run, mean, batch_size, block):
    network = small_network()
    network.load_state_dict({name: 0 * value for name, value in network.state_dict().items()})
    n = len(targets)
    data = Data(np.ones((n, 2, 2)), np.array(targets)[:, None], np.full(n, 2))
    blocks = [min(block, n - first) for first in range(0, n, block)]
    # the outputs stay 0, so that the targets are the errors; their sums are exact in any order
    errors, progress = train_stream(
        network, data, blocks, batch_size=batch_size, rate=1e-300, run=run, tolerance=0.5, mean=mean
    )
    solved = [
        end
        for end in range(run, n + 1)
        if max(targets[end - run : end]) < 0.5 and np.mean(targets[end - run : end]) < mean
    ]
    assert progress.seen == (solved[0] if solved else n)
    assert progress.outcome == (decisions.SOLVED if solved else decisions.USED_UP)
    np.testing.assert_allclose(errors[: progress.seen], targets[: progress.seen], atol=1e-12)


def test_a_solved_stream_keeps_the_weights_that_gave_the_answers():
    data = Data(*draw(tasks.adding(100), 64))
    once, network = small_network(), small_network()
    train_stream(once, data, [32])
    _, progress = train_stream(network, data, [64], run=40, tolerance=10.0)
    assert progress.tolist() == (decisions.SOLVED, 40, 40, 1)
    assert np.array_equal(network.theta, once.theta)


def test_one_output_that_is_off_makes_a_sequence_wrong():
    network = Network(2, 5, (), 2, dtype="float64")
    network.load_state_dict({name: 0 * value for name, value in network.state_dict().items()})
    data = Data(np.ones((8, 2, 2)), np.tile([[0.1, 0.1], [0.0, 0.6]], (4, 1)), np.full(8, 2))
    errors, progress = train_stream(network, data, [8], rate=1e-300, run=2, tolerance=0.5)
    assert progress.outcome == decisions.USED_UP and progress.correct == 0
    np.testing.assert_allclose(errors, [0.1, 0.3] * 4)


# trials


def test_models_that_are_tried():
    assert make_models() == [
        Model("lstm", "chrono"),
        Model("lstm", 1),
        Model("lstm1997", "chrono"),
        Model("lstm1997", 1),
        Model("rnn", None),
    ]
    labels = [
        model.label for model in make_models(["rnn", "gru", "lstm1997", "lstm", "rnn"], [0, 1, 1, "chrono"])
    ]
    assert labels == [
        "RNN",
        "GRU",
        "LSTM 1997, zero biases",
        "LSTM 1997, input gates shut",
        "LSTM, forget bias 0",
        "LSTM, forget bias 1",
        "LSTM, chrono biases",
    ]
    assert make_models(["lstm1997"], [0, 1]) == [Model("lstm1997", 0)]
    assert all(model.init == "uniform" for model in make_models(init="uniform"))


def test_the_lstm_of_1997_starts_with_its_input_gates_shut():
    network = Network(2, 16, (), 1, "lstm1997", seed=3, lag=110)
    before = network.state_dict()
    trials._shut_input_gates(network)
    after = network.state_dict()
    bias = after.pop("recurrent.bias")
    assert (bias[:16] < 0).all() and (bias[:16] > -np.log(109)).all() and len(set(bias[:16])) == 16
    assert not bias[16:].any()
    assert all(np.array_equal(before[name], value) for name, value in after.items())


@pytest.mark.parametrize("task", ALL_TASKS, ids=lambda task: task.name)
def test_the_lstm_solves_and_the_rnn_does_not(task):
    """The papers' point, with a fixed seed: twice the sequences that most trials need."""
    solved, learned, stuck = run_trials(
        task, [Model("lstm"), Model("lstm1997"), Model("rnn")], trials=1, max_sequences=70_000
    )
    for trial in (solved, learned):
        assert trial.outcome == "solved"
        assert task.criterion.run < trial.sequences < 70_000
        assert trial.wrong <= 10  # of 2,560
        assert trial.curve[-1] < 0.05 < trial.curve[0]
    assert stuck.outcome == "not solved"
    assert stuck.sequences == 70_000 and len(stuck.curve) == 70
    assert stuck.wrong > 2000
    assert len(solved.curve) == -(-solved.sequences // 1000)


def test_a_forget_bias_of_1_fails_where_chrono_biases_do_not():
    (trial,) = run_trials(tasks.adding(100), [Model("lstm", 1)], trials=1, max_sequences=70_000)
    assert trial.outcome == "not solved" and trial.wrong > 2000


def essence(found):
    return [
        (trial.model, trial.seed, trial.outcome, trial.sequences, trial.wrong, trial.curve.tolist())
        for trial in found
    ]


def test_nothing_depends_on_the_number_of_threads():
    told = []
    models = [Model("lstm"), Model("rnn")]
    options = {"trials": 3, "max_sequences": 5100, "seed": 7}
    one = run_trials(tasks.adding(100), models, n_threads=1, progress=told.append, **options)
    three = run_trials(tasks.adding(100), models, n_threads=3, **options)
    assert essence(one) == essence(three)
    assert [(trial.model, trial.seed) for trial in one] == [(m, seed) for m in models for seed in (7, 8, 9)]
    assert all(trial.sequences == 5100 and len(trial.curve) == 6 for trial in one)
    assert all(0.1 < trial.curve[-1] < 0.3 for trial in one)
    later = run_trials(tasks.adding(100), models[:1], trials=1, max_sequences=5100, seed=8)
    assert essence(later) == essence(one[1:2])
    shares = [progress.share for progress in told]
    assert shares == sorted(shares) and told[-1] == (1.0, 6, 0)


def test_the_size_of_blocks_changes_nothing(monkeypatch):
    task = tasks.adding(100)
    expected = essence(run_trials(task, [Model("lstm")], trials=1, max_sequences=200))[0]
    drawn = []
    monkeypatch.setattr(trials, "_BLOCK_NUMBERS", 1)
    found = essence(run_trials(recorded(task, drawn), [Model("lstm")], trials=1, max_sequences=200))[0]
    assert {len(sequences.y) for sequences in drawn} == {32, 8}
    assert found[3] == expected[3] == 200


def test_a_curve_is_the_mean_of_the_sequences_before_each_point(monkeypatch):
    def train(trial, network):
        trial.progress[0].outcome = decisions.USED_UP
        return np.arange(sequences)

    monkeypatch.setattr(trials._RunningTrial, "_train", train)
    sequences = 2500.0
    (found,) = run_trials(tasks.adding(100), [Model("lstm")], trials=1)
    assert found.curve.tolist() == [499.5, 1499.5, 1999.5]
    assert found.sequences == 2500
    sequences = 5.0
    (found,) = run_trials(tasks.adding(100), [Model("lstm")], trials=1)
    assert found.curve.tolist() == [2.0]


def test_a_trial_that_diverges_is_no_success(monkeypatch):
    monkeypatch.setattr(
        trials, "TRAINING", trials.FitConfig(batch_size=32, learning_rate=1e38, clip_norm=1.0)
    )
    (trial,) = run_trials(tasks.adding(100), [Model("lstm")], trials=1, max_sequences=1000)
    assert trial.outcome == "diverged"
    assert trial.sequences < 1000 and trial.wrong == trials.TEST_SEQUENCES


def test_ctrl_c_ends_all_trials():
    def interrupt(progress):
        if progress.share > 0:
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run_trials(
            tasks.adding(100), make_models(), trials=100, max_sequences=10**8, n_threads=2, progress=interrupt
        )
    assert threading.active_count() == before


def recorded(task, drawn):
    """The same task; what it draws is appended to `drawn`."""

    def draw(generator, count):
        drawn.append(task.draw(generator, count))
        return drawn[-1]

    return replace(task, draw=draw)


def test_every_seed_has_sequences_of_its_own_and_every_model_the_same():
    drawn = []
    task = recorded(tasks.adding(100), drawn)
    models, count = [Model("lstm"), Model("rnn")], trials.TEST_SEQUENCES
    run_trials(task, models, trials=2, max_sequences=count, n_threads=1)
    # training and test of the first trial, then of the second, and so on
    answers = [sequences.y for sequences in drawn]
    assert len(answers) == 8
    assert all(np.array_equal(one, other) for one, other in zip(answers[:4], answers[4:]))
    assert not any(np.array_equal(answers[i], answers[j]) for i in range(4) for j in range(i))


def test_a_failing_trial_ends_the_others():
    drawn = []
    whole = recorded(tasks.adding(100), drawn)
    lock = threading.Lock()

    def fail_once(generator, count):
        if lock.acquire(blocking=False):
            raise MemoryError
        return whole.draw(generator, count)

    with pytest.raises(MemoryError):
        run_trials(
            replace(whole, draw=fail_once), [Model("rnn")], trials=2, max_sequences=500_000, n_threads=2
        )
    assert len(drawn) < 20  # of more than 100


@pytest.mark.parametrize("options", [{"trials": 0}, {"max_sequences": 0}, {"n_threads": 0}, {"seed": -1}])
def test_numbers_out_of_range(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        run_trials(tasks.adding(100), [Model("lstm")], **options)


# what is said


def trial(model, outcome="solved", sequences=30_000, wrong=1):
    return Trial(model, 0, outcome, sequences, wrong, np.full(-(-sequences // 1000), 0.1), 1233, 1.0)


FAILED = {"outcome": "not solved", "sequences": 100_000, "wrong": 2100}


def test_conclusions_follow_the_numbers():
    task, chrono, one = tasks.adding(100), Model("lstm"), Model("lstm", 1)
    decided = "The same LSTM succeeds or fails by the biases"
    found = report.conclusions(
        [trial(chrono), trial(chrono, sequences=20_000), trial(one, **FAILED)], task, 100_000
    )
    assert found[0] == "LSTM, chrono biases: solved in 2 of 2 trials, after 25,000 sequences on average."
    assert found[1] == "LSTM, forget bias 1: solved in 0 of 1 trials within 100,000 sequences."
    assert "74,000" in found[2]
    assert found[3].startswith(decided)
    for chrono_trial, one_trial in [({}, {}), (FAILED, FAILED), (FAILED, {})]:
        found = report.conclusions([trial(chrono, **chrono_trial), trial(one, **one_trial)], task, 100_000)
        assert not any(sentence.startswith(decided) for sentence in found)
    found = report.conclusions([trial(chrono), trial(chrono, **FAILED)], task, 100_000)
    assert found[0].endswith("in 1 of 2 trials, after 30,000 sequences on average, where solved.")


def test_the_papers_figure_stands_beside_what_makes_it_another_experiment():
    task = tasks.adding(1000)
    chrono, one, shut = Model("lstm"), Model("lstm", 1), Model("lstm1997")

    def about_the_paper(found, task=task):
        sentences = report.conclusions(found, task, 100_000)
        return [sentence for sentence in sentences if sentence.startswith("The paper's LSTM took")]

    (both,) = about_the_paper([trial(chrono), replace(trial(shut), parameters=929), trial(one, **FAILED)])
    assert both == (
        "The paper's LSTM took 853,000 sequences, but is not the same network taught in the same way: it has 93 "
        "weights, these 929 or 1,233; it learned by plain gradient descent, these by Adam; the initial biases of "
        '"LSTM, chrono biases" and "LSTM 1997, input gates shut" were set from the task\'s length.'
    )
    (plain,) = about_the_paper([trial(one)])
    assert "1,233" in plain and "length" not in plain
    assert about_the_paper([trial(chrono, **FAILED)]) == []
    (unknown,) = about_the_paper([trial(one)], tasks.long_lag(50))
    assert "30,000" in unknown and "weights" not in unknown


def test_table(capsys):
    task, chrono, rnn = tasks.adding(100), Model("lstm"), Model("rnn")
    found = [
        trial(chrono, sequences=20_000, wrong=0),
        trial(chrono, wrong=3),
        trial(chrono, **FAILED),
        trial(rnn, **FAILED),
    ]
    report.show_trials(Console(), task, found)
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    assert ["LSTM, chrono biases", "1,233", "2 of 3", "25,000", "20,000", "30,000", "701.0"] in lines
    assert ["RNN", "1,233", "0 of 1", "–", "–", "–", "2,100.0"] in lines
    assert ["paper: LSTM 1997", "93", "–", "74,000", "–", "–", "1"] in lines


def test_differences_name_what_was_done():
    text = "\n".join(report.differences(tasks.adding(100), [trial(model) for model in make_models()]))
    for words in (
        "Adam",
        "0.01",
        "32 sequences",
        "16 hidden units",
        "forget gate",
        "Chrono",
        "T = 110",
        "1,233 weights in all",
        "93 weights in all",
        "RNN",
        "linear",
    ):
        assert words in text
    text = "\n".join(report.differences(tasks.long_lag(50), [trial(Model("rnn"))]))
    assert "5,000,000" in text and "Chrono" not in text and "forget gate" not in text


@pytest.mark.parametrize("task", [tasks.adding(100), tasks.long_lag(50)], ids=lambda task: task.name)
def test_figure(task, tmp_path):
    found = [trial(model) for model in make_models()[:4]] + [trial(Model("rnn"), **FAILED)]
    figure = plots._trials_figure(found, task)
    (axes,) = figure.axes
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "LSTM, chrono biases: solved 1 of 1" in legend and "RNN: solved 0 of 1" in legend
    assert any(f"{task.paper.sequences:,}" in text for text in legend)
    assert any("0.01" in text for text in legend) == (task.name == "adding-100")
    assert axes.get_yscale() == "log"
    level = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert level == ([0.01] if task.name == "adding-100" else [])
    plots.plot_trials(found, task, tmp_path / "errors.png")
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")


# the command


@pytest.fixture(autouse=True)
def logger():
    logger = logging.getLogger("trendlstm")
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def run(command, expect=0):
    result = CliRunner().invoke(cli.main, ["reproduce", *shlex.split(command)], prog_name="trendlstm")
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code == expect, result.output
    return result


def test_reproduce(tmp_path):
    folder = tmp_path / "made" / "here"
    options = "--trials 2 --max-sequences 1500 --seed 4"
    result = run(f"adding {options} --out {folder}")
    said = result.stdout
    assert "Adding problem, length 100: training sequences until success" in said
    assert "paper: LSTM 1997" in said and "74,000" in said
    assert "Hochreiter & Schmidhuber 1997, Neural Computation 9(8), experiment 4, mean of 10 trials." in said
    for model in make_models():
        assert f"{model.label}: solved in 0 of 2 trials within 1,500 sequences." in said
    assert "Differences from the paper:" in said and str(folder) in said
    assert sorted(path.name for path in folder.iterdir()) == [
        "curves.csv",
        "errors.png",
        "reproduce.json",
        "trials.csv",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["here"]
    document = json.loads((folder / "reproduce.json").read_text())
    assert [row["network"] for row in document["networks"]] == [model.label for model in make_models()]
    assert document["settings"] == {
        "hidden_size": 16,
        "batch_size": 32,
        "learning_rate": 0.01,
        "clip_norm": 1.0,
        "lag": 110,
        "seed": 4,
        "max_sequences": 1500,
        "device": "cpu",
    }
    assert document["paper"]["sequences"] == 74_000
    with open(folder / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["cell"], row["seed"], row["sequences"]) for row in rows] == [
        (model.cell, str(seed), "1500") for model in make_models() for seed in (4, 5)
    ]
    with open(folder / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sequences"] for row in rows] == ["1000", "1500"] * 10

    again = json.loads(
        run(f"adding {options} --threads 1 --json --no-plot --out {tmp_path / 'again'}").stdout
    )
    assert not (tmp_path / "again" / "errors.png").exists()
    assert again.pop("run") == str(tmp_path / "again")
    for one, other in zip(again["trials"], document["trials"]):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert again["networks"] == document["networks"]


@pytest.mark.parametrize(
    ("command", "title"),
    [
        ("temporal-order", "Temporal order, task 6a"),
        ("temporal-order --variant 6b", "Temporal order, task 6b"),
        ("long-lag --length 50", "One long lag among distractors, q = 50"),
        ("adding --length 500", "Adding problem, length 500"),
    ],
)
def test_reproduce_every_task(tmp_path, command, title):
    out = run(
        f"{command} --trials 1 --max-sequences 64 --cell lstm --forget-bias 0 --init uniform "
        f"--no-plot --out {tmp_path / 'out'}"
    ).stdout
    assert title in out and "LSTM, forget bias 0: solved in 0 of 1" in out and "RNN" not in out
    document = json.loads((tmp_path / "out" / "reproduce.json").read_text())
    (row,) = document["trials"]
    assert (row["cell"], row["forget_bias"], row["init"]) == ("lstm", 0, "uniform")


def test_reproduce_writes_to_runs_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("adding --trials 1 --max-sequences 64 --cell rnn --no-plot --quiet")
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("adding-100-")


def test_an_interrupted_reproduction_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "run_trials", interrupt)
    result = run(f"adding --out {tmp_path / 'out'}", expect=130)
    assert "Interrupted." in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "Missing argument"),
        ("subtracting", "'subtracting' is not one of"),
        ("adding --length 99", "length must be one of 100, 500, 1000, but is 99"),
        ("adding --variant 6a", "variant is for temporal-order"),
        ("temporal-order --length 100", "length is for adding and long-lag"),
        ("temporal-order --variant 6c", "'6c' is not one of"),
        ("long-lag --length 99", "length must be one of 50, 100, 200, 500, 1000, but is 99"),
        ("adding --cell ann", "'ann' is not one of"),
        ("adding --forget-bias 2", "'2' is not one of"),
        ("adding --trials 0", "0 is not in the range"),
        ("adding --max-sequences 0", "0 is not in the range"),
        ("adding --seed -1", "-1 is not in the range"),
        ("adding --threads 0", "0 is not in the range"),
    ],
)
def test_bad_options(command, words):
    result = run(command, expect=2)
    assert words in result.stderr
    assert result.stdout == ""


def test_a_folder_is_never_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    result = run(f"adding --out {tmp_path / 'out'}", expect=2)
    assert "exists already" in result.stderr and result.stdout == ""
