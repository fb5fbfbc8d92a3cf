"""Training on streams of fresh sequences: on the GPU (or in its simulator) as on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
from naive import assert_close

from trendlstm.experiments import tasks, trials


@pytest.fixture
def small(monkeypatch):
    """Add the two marked numbers of two to four: learned well enough within some hundred sequences."""
    monkeypatch.setattr(trials, "TRAINING", replace(trials.TRAINING, batch_size=10))
    monkeypatch.setattr(trials, "CURVE_STEP", 20)
    monkeypatch.setattr(trials, "TEST_SEQUENCES", 50)
    monkeypatch.setattr(trials, "_BLOCK_NUMBERS", 2 * 4 * 30)  # thirty sequences a block
    monkeypatch.setattr(trials, "HIDDEN_SIZE", 4)

    def draw(generator, count):
        x = np.zeros((count, 4, 2), np.float32)
        x[:, :, 0] = generator.uniform(0, 1, (count, 4))
        x[:, :2, 1] = 1
        lengths = generator.integers(2, 4, count, endpoint=True)
        return tasks.Sequences(x, x[:, :2, 0].sum(axis=1, keepdims=True) / 2, lengths)

    criterion = tasks.Criterion(tolerance=0.5, run=25, mean=0.2)
    return replace(tasks.adding(100), lag=4, draw=draw, criterion=criterion)


@pytest.mark.parametrize("max_sequences", [45, 200])
def test_trials_are_the_cpus(small, max_sequences):
    models = [trials.Model("lstm", 1), trials.Model("rnn", None)]
    options = {"trials": 2, "max_sequences": max_sequences, "seed": 5}
    expected = trials.run_trials(small, models, **options)
    reports = []
    found = trials.run_trials(small, models, device="cuda", progress=reports.append, **options)
    assert any(trial.outcome == "solved" for trial in expected) == (max_sequences > 45)
    for ours, cpus in zip(found, expected, strict=True):
        for what in ("model", "seed", "outcome", "sequences"):
            assert getattr(ours, what) == getattr(cpus, what)
        assert_close(ours.curve, cpus.curve, 1e-4)
        assert abs(ours.wrong - cpus.wrong) <= 1
    assert reports[-1].finished == len(expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_trial_that_diverges_ends(small, monkeypatch):
    monkeypatch.setattr(trials, "TRAINING", replace(trials.TRAINING, learning_rate=1e39))
    (trial,) = trials.run_trials(small, [trials.Model("lstm", 1)], trials=1, max_sequences=100, device="cuda")
    assert (trial.outcome, trial.sequences) == ("diverged", 20)
