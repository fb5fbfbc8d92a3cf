"""Trials: what they give, that nothing but their settings decides it, and how they end."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from drawn_sequences import drawn
from small_tasks import EXAM, small_task

from trendlstm import Network
from trendlstm.errors import OptionError
from trendlstm.experiments import CELLS, learner, long_lags, trials
from trendlstm.experiments.long_lags import adding
from trendlstm.experiments.models import Model, usual_models
from trendlstm.experiments.trials import most_seconds, run_trials

LSTM, RNN = Model("lstm"), Model("rnn", None)
ALL_TASKS = [
    adding(100),
    long_lags.temporal_order("6a"),
    long_lags.temporal_order("6b"),
    long_lags.long_lag(50),
]


def of(task, **training):
    """A task that is trained otherwise."""
    return replace(task, training=task.training._replace(**training))


def recorded(task, sequences):
    """The same task; what it draws is appended to `sequences`."""

    def draw(generator, count):
        sequences.append(task.draw(generator, count))
        return sequences[-1]

    return replace(task, draw=draw)


def essence(found):
    return [
        (
            trial.model,
            trial.seed,
            trial.outcome,
            trial.sequences,
            trial.wrong,
            trial.curve.tolist(),
            trial.exams.tolist(),
        )
        for trial in found
    ]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("task", ALL_TASKS, ids=lambda task: task.name)
def test_a_minibatch_of_different_lengths_is_as_one_by_one(task, cell):
    x, y, lengths = drawn(task, 21)
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


@pytest.mark.parametrize("task", ALL_TASKS, ids=lambda task: task.name)
def test_the_lstm_solves_and_the_rnn_does_not(task):
    """The papers' point, with a fixed seed: twice the sequences that most trials need."""
    task = of(task, trials=1, max_sequences=70_000)
    solved, learned, stuck = run_trials(task, [LSTM, Model("lstm1997"), RNN])
    for trial in (solved, learned):
        assert trial.outcome == "solved"
        assert task.criterion.run < trial.sequences < 70_000
        assert trial.wrong <= 10  # of 2,560
        assert trial.curve[-1] < 0.05 < trial.curve[0]
    assert stuck.outcome == "not solved"
    assert stuck.sequences == 70_000 and len(stuck.curve) == 70
    assert stuck.wrong > 2000
    assert len(solved.curve) == -(-solved.sequences // 1000)
    assert solved.exams.shape == (0, 2)


def test_a_forget_bias_of_1_fails_where_chrono_biases_do_not():
    (trial,) = run_trials(of(adding(100), trials=1, max_sequences=70_000), [Model("lstm", 1)])
    assert trial.outcome == "not solved" and trial.wrong > 2000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_depends_on_the_number_of_threads(dtype):
    told = []
    task, models = of(adding(100), trials=3, max_sequences=5100), [LSTM, RNN]
    one = run_trials(task, models, seed=7, dtype=dtype, n_threads=1, progress=told.append)
    three = run_trials(task, models, seed=7, dtype=dtype, n_threads=3)
    assert essence(one) == essence(three)
    assert [(trial.model, trial.seed) for trial in one] == [(m, seed) for m in models for seed in (7, 8, 9)]
    assert all(trial.sequences == 5100 and len(trial.curve) == 6 for trial in one)
    assert all(0.1 < trial.curve[-1] < 0.3 for trial in one)
    later = run_trials(of(task, trials=1), models[:1], seed=8, dtype=dtype)
    assert essence(later) == essence(one[1:2])
    shares = [progress.share for progress in told]
    assert shares == sorted(shares) and told[0] == (0, 0, 0) and told[-1] == (1, 6, 0)


def test_exams_do_not_depend_on_the_number_of_threads_either():
    task = small_task(criterion=EXAM)
    assert essence(run_trials(task, [LSTM, RNN], n_threads=1)) == essence(
        run_trials(task, [LSTM, RNN], n_threads=3)
    )


def test_the_dtype_is_that_of_the_arithmetic():
    first, second = (
        run_trials(of(adding(100), trials=1, max_sequences=1000), [LSTM], dtype=dtype)[0].curve
        for dtype in ("float32", "float64")
    )
    assert 0 < np.abs(first - second).max() < 1e-4


def test_blocks_fit_into_memory(monkeypatch):
    sequences = []
    task = of(adding(100), trials=1, max_sequences=200)
    monkeypatch.setattr(learner, "_BLOCK_NUMBERS", 1)
    (found,) = run_trials(recorded(task, sequences), [LSTM])
    assert {len(one.y) for one in sequences} == {32, 8}
    assert found.sequences == 200


def test_exams_of_a_trial(monkeypatch):
    scores = iter([3.0, 2.0, 0.5])
    exam = EXAM._replace(take=lambda *_: next(scores), limit=1.0, milestones=(2.5, 2.0, 0.1))
    (trial,) = run_trials(small_task(criterion=exam, trials=1, max_sequences=1000), [LSTM])
    assert trial.exams.tolist() == [[40, 3.0], [80, 2.0], [120, 0.5]]
    assert (trial.outcome, trial.sequences, trial.wrong, trial.curve.size) == ("solved", 120, None, 0)
    assert trial.reached(exam) == {2.5: 80, 2.0: 120, 1.0: 120}
    assert trial.reached(exam._replace(more_is_better=True, limit=None)) == {2.5: 40, 2.0: 40, 0.1: 40}


@pytest.mark.parametrize(("limit", "outcome"), [(None, "trained"), (0.0, "not solved")])
def test_a_trial_that_ends_without_success(limit, outcome):
    (trial,) = run_trials(small_task(criterion=EXAM._replace(limit=limit), trials=1), [LSTM])
    assert (trial.outcome, trial.sequences) == (outcome, 100)
    assert trial.exams[:, 0].tolist() == [40, 80, 100]


@pytest.mark.parametrize("criterion", [None, EXAM], ids=["judged", "exams"])
def test_a_trial_that_diverges_is_no_success(criterion):
    options = {} if criterion is None else {"criterion": criterion}
    (trial,) = run_trials(small_task(learning_rate=1e38, trials=1, **options), [LSTM])
    assert trial.outcome == "diverged"
    assert trial.sequences < 100
    assert trial.wrong == (trials.TEST_SEQUENCES if criterion is None else None)


def test_ctrl_c_ends_all_trials():
    def interrupt(progress):
        if progress.share > 0:
            raise KeyboardInterrupt

    before = threading.active_count()
    task = of(adding(100), trials=100, max_sequences=10**8)
    with pytest.raises(KeyboardInterrupt):
        run_trials(task, usual_models("adding"), n_threads=2, progress=interrupt)
    assert threading.active_count() == before


def test_every_seed_has_sequences_of_its_own_and_every_model_the_same():
    sequences = []
    task = recorded(of(adding(100), trials=2, max_sequences=trials.TEST_SEQUENCES), sequences)
    run_trials(task, [LSTM, RNN], n_threads=1)
    # training and test of the first trial, then of the second, and so on
    answers = [one.y for one in sequences]
    assert len(answers) == 8
    assert all(np.array_equal(one, other) for one, other in zip(answers[:4], answers[4:]))
    assert not any(np.array_equal(answers[i], answers[j]) for i in range(4) for j in range(i))


def test_a_failing_trial_ends_the_others():
    sequences = []
    whole = recorded(of(adding(100), trials=2, max_sequences=500_000), sequences)
    lock = threading.Lock()

    def fail_once(generator, count):
        if lock.acquire(blocking=False):
            raise MemoryError
        return whole.draw(generator, count)

    with pytest.raises(MemoryError):
        run_trials(replace(whole, draw=fail_once), [RNN], n_threads=2)
    assert len(sequences) < 20  # of more than 100


@pytest.mark.parametrize(
    "training",
    [
        {"trials": 0},
        {"max_sequences": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"clip_norm": -1.0},
        {"hidden_size": 0},
    ],
)
def test_numbers_out_of_range(training):
    with pytest.raises(OptionError, match=next(iter(training))):
        run_trials(small_task(**training), [LSTM])


@pytest.mark.parametrize("options", [{"n_threads": 0}, {"seed": -1}, {"dtype": "float16"}])
def test_options_out_of_range(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        run_trials(small_task(), [LSTM], **options)


def test_the_time_that_trials_may_take_grows_with_their_number_and_length():
    task = small_task(criterion=EXAM, max_sequences=10_000)
    seconds = most_seconds(task, [LSTM], n_threads=1)
    assert 0 < seconds < 60
    assert most_seconds(of(task, max_sequences=10**9), [LSTM], n_threads=1) > 1000 * seconds
