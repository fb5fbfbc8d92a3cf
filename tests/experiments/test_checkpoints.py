"""Checkpoints: whole or not at all, of one command alone, and no reason for it to fail."""

import errno
import os

import numpy as np
import pytest
from small_tasks import EXAM, small_task

from trendlstm.errors import RunError
from trendlstm.experiments import checkpoints, learner, trials
from trendlstm.experiments.checkpoints import Checkpoints, open_checkpoints
from trendlstm.experiments.models import Model
from trendlstm.experiments.trials import run_trials, settings
from trendlstm.files import held_alone

MODELS = [Model("lstm", 1), Model("rnn", None)]


@pytest.fixture
def root(monkeypatch, tmp_path):
    """Where checkpoints are kept in this test."""

    def folder(name, make=False):
        path = tmp_path / "cache" / name
        if make:
            path.mkdir(parents=True, exist_ok=True)
        return path

    monkeypatch.setattr(checkpoints, "cache_folder", folder)
    return tmp_path / "cache"


def essence(found):
    return [
        (
            one.model,
            one.seed,
            one.outcome,
            one.sequences,
            one.wrong,
            one.curve.tolist(),
            one.exams.tolist(),
            one.parameters,
        )
        for one in found
    ]


def test_what_was_saved_is_loaded(tmp_path):
    kept = Checkpoints(tmp_path)
    assert kept.load("a") is None and kept.count() == 0
    kept.save("a", {"number": 3, "text": "é", "array": np.arange(4.0)})
    kept.save("a", {"number": 4, "text": "é", "array": np.arange(5.0)})
    loaded = kept.load("a")
    assert loaded["number"].item() == 4 and loaded["text"].item() == "é"
    assert loaded["array"].tolist() == [0, 1, 2, 3, 4]
    assert kept.count() == 1
    kept.remove()
    assert not tmp_path.exists() and kept.load("a") is None and not kept.are_kept
    kept.save("a", {"number": 3})
    assert not tmp_path.exists()


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "text", "pickle"])
def test_a_damaged_checkpoint_is_said_and_its_trial_begins_anew(tmp_path, caplog, damage):
    kept = Checkpoints(tmp_path)
    kept.save("0-0", {"array": np.arange(1000.0)})
    path = tmp_path / "0-0.npz"
    content = path.read_bytes()
    if damage == "pickle":
        np.savez(path, array=np.array([print], object))
    else:
        path.write_bytes(
            {
                "cut": content[: len(content) // 2],
                "changed": content[:2000] + b"?" + content[2001:],
                "empty": b"",
                "text": b"no archive",
            }[damage]
        )
    assert kept.load("0-0") is None
    (record,) = caplog.records
    assert record.getMessage() == f"The checkpoint {path} is damaged, so its trial begins anew."


@pytest.mark.parametrize("criterion", [None, EXAM], ids=["judged", "exams"])
@pytest.mark.parametrize("interrupted", [1, 2, 3, 7, 12])
def test_trials_interrupted_at_any_block_go_on_with_the_same_bits(
    tmp_path, monkeypatch, criterion, interrupted
):
    monkeypatch.setattr(learner, "_BLOCK_NUMBERS", 2 * 4 * 20)
    monkeypatch.setattr(trials, "TEST_SEQUENCES", 50)
    options = {} if criterion is None else {"criterion": criterion}
    task = small_task(**options)
    expected = run_trials(task, MODELS)
    drawn = []

    def draw(generator, count):
        drawn.append(count)
        if len(drawn) == interrupted:
            raise KeyboardInterrupt
        return task.draw(generator, count)

    interrupting = small_task(**options)
    object.__setattr__(interrupting, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        run_trials(interrupting, MODELS, n_threads=1, checkpoints=Checkpoints(tmp_path))
    found = run_trials(interrupting, MODELS, n_threads=1, checkpoints=Checkpoints(tmp_path))
    assert essence(found) == essence(expected)
    whole = len(drawn)
    again = run_trials(interrupting, MODELS, n_threads=1, checkpoints=Checkpoints(tmp_path))
    assert essence(again) == essence(expected) and len(drawn) == whole  # all had ended
    drawn.clear()
    interrupted = 0
    run_trials(interrupting, MODELS, n_threads=1)
    assert 1 <= whole - len(drawn) <= 3  # no block twice but the interrupted one, or the three of the test


def test_running_trials_are_kept_every_few_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(learner, "_BLOCK_NUMBERS", 2 * 4 * 20)
    monkeypatch.setattr(trials, "_CHECKPOINT_SECONDS", 0.0)
    seen = []
    kept = Checkpoints(tmp_path)
    monkeypatch.setattr(kept, "save", lambda name, values: seen.append((name, values.get("outcome"))))
    run_trials(small_task(trials=1), [Model("rnn", None)], checkpoints=kept)
    assert seen == [("0-0", None)] * 5 + [("0-0", "not solved")]
    seen.clear()
    monkeypatch.setattr(trials, "_CHECKPOINT_SECONDS", 1e9)
    run_trials(small_task(trials=1), [Model("rnn", None)], checkpoints=kept)
    assert seen == [("0-0", "not solved")]


def test_progress_begins_at_0_where_trials_go_on(tmp_path):
    kept = Checkpoints(tmp_path)
    run_trials(small_task(trials=1), MODELS[:1], checkpoints=kept)
    told = []
    run_trials(small_task(), MODELS[:1], checkpoints=kept, progress=told.append)
    assert told[0] == (0, 1, 1)
    assert told[-1].share == 1 and told[-1].finished == 2
    run_trials(small_task(), MODELS[:1], checkpoints=kept, progress=told.append)
    assert told[-1].share == 1


def opened(task, models=MODELS, seed=0, dtype="float32"):
    with open_checkpoints(settings(task, models, seed, dtype)) as kept:
        kept.save("0-0", {"number": 1})
        return kept._folder


def test_other_settings_have_other_checkpoints(root, monkeypatch):
    task = small_task()
    folders = [opened(task)]
    assert opened(task) == folders[0]
    others = [
        small_task(hidden_size=5),
        small_task(batch_size=11),
        small_task(learning_rate=0.02),
        small_task(clip_norm=2.0),
        small_task(truncate=2),
        small_task(trials=3),
        small_task(max_sequences=101),
        small_task(steps=5),
        small_task(criterion=EXAM),
        small_task(criterion=EXAM._replace(every=41)),
        small_task(criterion=EXAM._replace(limit=0.5)),
    ]
    folders += map(opened, others)
    folders += [opened(task, MODELS[:1]), opened(task, seed=1), opened(task, dtype="float64")]
    folders.append(opened(task, [model._replace(init="uniform") for model in MODELS]))
    monkeypatch.setattr(checkpoints, "__version__", "another")
    folders.append(opened(task))
    monkeypatch.setattr(checkpoints, "kernel_folder", lambda: root / "others")
    folders.append(opened(task))
    monkeypatch.setattr(checkpoints, "_sources_digest", lambda: "others")
    folders.append(opened(task))
    assert len(set(folders)) == len(folders) == 19


def test_a_second_command_with_the_same_settings_is_refused(root):
    with open_checkpoints({"a": 1}) as first:
        first.save("0-0", {"number": 1})
        with (
            pytest.raises(RunError, match="Another `trendlstm reproduce` trains the very same trials"),
            open_checkpoints({"a": 1}),
        ):
            pass
        with open_checkpoints({"a": 2}):
            pass
        assert first.count() == 1
    with open_checkpoints({"a": 1}) as again:
        assert again.count() == 1
        again.remove()
    with open_checkpoints({"a": 1}) as anew:
        assert anew.count() == 0


def test_who_waits_for_a_file_that_its_holder_removes_gets_the_next_one(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    real, removed = open, []

    def open_late(*arguments):
        file = real(*arguments)
        if not removed:  # the holder has removed it between opening and locking
            removed.append(path.unlink())
        return file

    monkeypatch.setattr("builtins.open", open_late)
    with held_alone(path) as is_ours:
        assert is_ours and path.exists()
        with held_alone(path) as is_theirs:
            assert not is_theirs


@pytest.mark.parametrize("when", ["at once", "later"])
def test_where_nothing_can_be_kept_the_trials_run_all_the_same(root, monkeypatch, caplog, when):
    monkeypatch.setattr(learner, "_BLOCK_NUMBERS", 2 * 4 * 20)
    monkeypatch.setattr(trials, "_CHECKPOINT_SECONDS", 0.0)
    expected = essence(run_trials(small_task(), MODELS))

    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here")

    monkeypatch.setattr(checkpoints, "cache_folder" if when == "at once" else "replace_file", fail)
    with open_checkpoints({}) as kept:
        assert essence(run_trials(small_task(), MODELS, checkpoints=kept, n_threads=2)) == expected
        assert not kept.are_kept
        kept.remove()
    (record,) = caplog.records
    assert record.getMessage() == (
        "Checkpoints cannot be kept (No space left on device: here), so trials that are interrupted would begin anew."
    )
