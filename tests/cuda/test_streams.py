"""Training on streams of fresh sequences: on the GPU (or in its simulator) as on the CPU."""

import pytest
from naive import assert_close
from small_tasks import EXAM, small_task

from trendlstm.errors import OptionError
from trendlstm.experiments import learner, trials
from trendlstm.experiments.checkpoints import Checkpoints
from trendlstm.experiments.models import Model


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """What a trial does in hundreds or thousands it does in tens here, thirty sequences a block."""
    monkeypatch.setattr(learner, "CURVE_STEP", 20)
    monkeypatch.setattr(trials, "TEST_SEQUENCES", 50)
    monkeypatch.setattr(learner, "_BLOCK_NUMBERS", 2 * 4 * 30)


@pytest.mark.parametrize("max_sequences", [45, 200])
def test_trials_are_the_cpus(max_sequences, tmp_path):
    task = small_task(max_sequences=max_sequences)
    models = [Model("lstm", 1), Model("rnn", None)]
    expected = trials.run_trials(task, models, seed=5)
    reports = []
    found = trials.run_trials(
        task, models, seed=5, device="cuda", progress=reports.append, checkpoints=Checkpoints(tmp_path)
    )
    assert any(trial.outcome == "solved" for trial in expected) == (max_sequences > 45)
    for ours, cpus in zip(found, expected, strict=True):
        for what in ("model", "seed", "outcome", "sequences"):
            assert getattr(ours, what) == getattr(cpus, what)
        assert_close(ours.curve, cpus.curve, 1e-4)
        assert abs(ours.wrong - cpus.wrong) <= 1
    assert reports[-1] == (1, len(expected), sum(trial.outcome == "solved" for trial in expected))
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_trial_that_diverges_ends():
    task = small_task(learning_rate=1e39, trials=1)
    (trial,) = trials.run_trials(task, [Model("lstm", 1)], device="cuda")
    assert (trial.outcome, trial.sequences) == ("diverged", 20)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"criterion": EXAM}, "exams on fresh sequences"),
        ({"classes": 3}, "the loss 'cross-entropy'"),
        ({"truncate": 2}, "truncated gradients"),
        ({"halved_every": 50}, "a learning rate that falls"),
    ],
)
def test_what_the_gpu_cannot_do_is_refused_by_name(options, words):
    with pytest.raises(
        OptionError, match=f"device 'cuda' cannot do {words}, which small needs: use device 'cpu'"
    ):
        trials.run_trials(small_task(**options), [Model("lstm", 1)], device="cuda")
