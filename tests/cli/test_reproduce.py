"""`trendlstm reproduce`: one task or all, gone on with, and refused by name."""

import csv
import errno
import json
import os
import signal
import sys

import pytest
from command_line import error_of
from command_line import run as run_command

from trendlstm import experiments
from trendlstm.experiments import TASKS, checkpoints, digits, learner, tasks, trials
from trendlstm.experiments.models import usual_models
from trendlstm.version import install_command


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Where checkpoints are kept in this test."""

    def folder(name, make=False):
        path = tmp_path / "cache" / name
        if make:
            path.mkdir(parents=True, exist_ok=True)
        return path

    monkeypatch.setattr(checkpoints, "cache_folder", folder)
    return tmp_path / "cache" / "experiments"


def run(command, expect=0):
    return run_command(f"reproduce {command}", expect)


def test_reproduce(tmp_path, cache):
    folder = tmp_path / "made" / "here"
    options = "--trials 2 --max-sequences 1500 --seed 4"
    result = run(f"adding {options} --out {folder}")
    said = result.stdout
    assert "Adding problem, length 100: training sequences until success" in said
    assert "published: LSTM 1997" in said and "74,000" in said
    assert "1 of 2,560 wrong (Hochreiter & Schmidhuber 1997, Neural Computation 9(8), experiment 4)." in said
    models = usual_models("adding")
    for model in models:
        assert f"{model.label}: solved in 0 of 2 trials within 1,500 sequences." in said
    assert "differences from the papers:" in said and str(folder) in said
    assert sorted(path.name for path in folder.iterdir()) == [
        "curves.csv",
        "errors.png",
        "reproduce.json",
        "trials.csv",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["here"]
    assert not list(cache.iterdir())
    document = json.loads((folder / "reproduce.json").read_text())
    assert [row["network"] for row in document["networks"]] == [model.label for model in models]
    assert document["settings"] == {
        "lag": 110,
        "hidden_size": 16,
        "batch_size": 32,
        "learning_rate": 0.01,
        "halved_every": None,
        "clip_norm": 1.0,
        "truncate": None,
        "trials": 2,
        "max_sequences": 1500,
        "models": [model._asdict() for model in models],
        "seed": 4,
        "dtype": "float32",
        "device": "cpu",
    }
    assert document["published"][0]["sequences"] == 74_000
    with open(folder / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["cell"], row["seed"], row["sequences"]) for row in rows] == [
        (model.cell, str(seed), "1500") for model in models for seed in (4, 5)
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


@pytest.mark.parametrize(
    ("command", "title"),
    [
        ("temporal-order", "Temporal order, task 6a"),
        ("temporal-order --variant 6b", "Temporal order, task 6b"),
        ("long-lag --length 50", "One long lag among distractors, q = 50"),
        ("adding --length 500", "Adding problem, length 500"),
        ("adding --variant 2022", "Adding problem by the rule of 2022, length 100"),
        ("multiplication", "Multiplication problem, length 100"),
        ("reber", "Embedded Reber grammar"),
        ("continual-reber", "Continual embedded Reber grammar"),
        ("copy", "Copy memory, T = 500"),
        ("digits --variant permuted", "Sequential digits, permuted"),
    ],
)
def test_reproduce_every_task(tmp_path, command, title):
    out = run(
        f"{command} --trials 1 --max-sequences 64 --cell lstm --forget-bias 0 --init uniform "
        f"--no-plot --out {tmp_path / 'out'}"
    ).stdout
    assert title in out and "LSTM, forget bias 0: " in out and "RNN, " not in out
    document = json.loads((tmp_path / "out" / "reproduce.json").read_text())
    (row,) = document["trials"]
    assert (row["cell"], row["forget_bias"], row["init"], row["sequences"]) == ("lstm", 0, "uniform", 64)


def test_every_number_of_a_training_can_be_chosen(tmp_path):
    chosen = (
        "--hidden 5 --batch-size 8 --lr 0.003 --clip-norm 0 --dtype float64 --trials 1 --max-sequences 40"
    )
    out = run(f"adding --cell gru {chosen} --no-plot --out {tmp_path / 'out'}").stdout
    for words in ("learning rate 0.003", "Minibatches of 8", "5 hidden units", "in float64"):
        assert words in out
    assert "clipped" not in out
    settings = json.loads((tmp_path / "out" / "reproduce.json").read_text())["settings"]
    for name, value in {
        "hidden_size": 5,
        "batch_size": 8,
        "clip_norm": 0,
        "dtype": "float64",
        "trials": 1,
    }.items():
        assert settings[name] == value
    assert [model["cell"] for model in settings["models"]] == ["gru"]


@pytest.mark.parametrize(
    ("options", "cells"),
    [
        ("--forget-bias 1", [("lstm", 1), ("lstm1997", 1), ("rnn", None)]),
        ("--cell lstm", [("lstm", "chrono"), ("lstm", 1)]),
        ("--cell rnn --cell gru", [("rnn", None), ("gru", None)]),
        ("--length 5000 --max-sequences 8 --batch-size 8", [("lstm", "chrono"), ("lstm", 1)]),
    ],
)
def test_which_networks_are_tried(options, cells, tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "TEST_SEQUENCES", 8)
    command = (
        f"adding --trials 1 --max-sequences 32 {options} --no-plot --json --quiet --out {tmp_path / 'out'}"
    )
    settings = json.loads(run(command).stdout)["settings"]
    assert [(model["cell"], model["forget_bias"]) for model in settings["models"]] == cells


def test_that_no_trial_can_be_solved_is_said(tmp_path):
    options = "--trials 1 --cell rnn --batch-size 500 --no-plot"
    few = run(f"adding --max-sequences 1999 {options} --out {tmp_path / 'few'}")
    assert (
        "No trial can be solved: 2,000 sequences in a row must be right, but --max-sequences is 1,999."
        in few.stderr
    )
    enough = run(f"adding --max-sequences 2000 {options} --out {tmp_path / 'enough'}")
    assert "can be solved" not in enough.stderr


def test_reproduce_writes_to_runs_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("adding --trials 1 --max-sequences 64 --cell rnn --no-plot --quiet")
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("adding-100-")


SHORT = "--trials 2 --max-sequences 900 --cell lstm --no-plot --threads 1"


def interrupt_after(blocks, monkeypatch):
    """Press Ctrl-C when so many blocks have been trained."""
    train_block = learner.Learner.train_block

    def train(self, *arguments):
        blocks.append(0)
        if len(blocks) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        train_block(self, *arguments)

    monkeypatch.setattr(learner.Learner, "train_block", train)


def test_an_interrupted_reproduction_leaves_nothing_but_its_checkpoints_and_goes_on(
    tmp_path, cache, monkeypatch
):
    monkeypatch.setattr(learner, "_BLOCK_NUMBERS", 2**15)
    whole = json.loads(run(f"adding {SHORT} --json --out {tmp_path / 'whole'}").stdout)
    with monkeypatch.context() as patch:
        interrupt_after([], patch)
        result = run(f"adding {SHORT} --out {tmp_path / 'out'}", expect=130)
    kept = "What the trials have done is kept: the same command goes on from there."
    assert result.stderr.splitlines()[-1] == f"Error: Interrupted. {kept}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "whole"]
    (folder,) = cache.iterdir()
    assert sorted(path.name for path in folder.glob("*.npz")) == ["0-0.npz"]
    result = run(f"adding {SHORT} --json --out {tmp_path / 'out'}")
    assert "Adding problem, length 100: going on from the checkpoints of 1 of 4 trials" in result.stderr
    found = json.loads(result.stdout)
    for one, other in zip(found["trials"], whole["trials"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert (tmp_path / "out" / "curves.csv").read_bytes() == (tmp_path / "whole" / "curves.csv").read_bytes()
    assert not list(cache.iterdir())


def test_the_same_command_twice_at_a_time(tmp_path, cache):
    def in_between(generator, count):
        message = error_of(f"reproduce adding {SHORT} --out {tmp_path / 'second'}", 1)
        assert message == (
            "Another `trendlstm reproduce` trains the very same trials: wait until it has ended, or choose another "
            "--seed."
        )
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        train_block = learner.Learner.train_block
        patch.setattr(
            learner.Learner,
            "train_block",
            lambda self: in_between(None, None) if cache.exists() else train_block(self),
        )
        run(f"adding {SHORT} --out {tmp_path / 'first'}", expect=130)
    run(f"adding {SHORT} --out {tmp_path / 'first'}")


def test_a_full_disk_costs_no_more_than_the_checkpoints(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "there")

    monkeypatch.setattr(checkpoints, "replace_file", fail)
    result = run(f"adding {SHORT} --out {tmp_path / 'out'}")
    assert result.stderr.count("Checkpoints cannot be kept (No space left on device: there)") == 1
    assert (tmp_path / "out" / "reproduce.json").exists()


# all of them

QUICK = "all --quick --trials 1 --max-sequences 64 --no-plot"


def test_all(tmp_path, cache):
    out = tmp_path / "out"
    result = run(f"{QUICK} --json --out {out}")
    assert sorted(path.name for path in out.iterdir()) == sorted([*TASKS, "reproduce.json"])
    told = json.loads(result.stdout)
    assert told["run"] == str(out) and told["failures"] == told["left_out"] == {}
    assert list(told["tasks"]) == list(TASKS)
    written = json.loads((out / "reproduce.json").read_text())
    assert written["rows"] == told["rows"] and written["task"] == "all"
    assert written["settings"] == {
        "quick": True,
        **dict.fromkeys(("cells", "forget_biases", "hidden_size", "batch_size", "learning_rate")),
        **dict.fromkeys(("halved_every", "clip_norm", "threads")),
        **{"trials": 1, "max_sequences": 64, "init": "orthogonal"},
        **{"seed": 0, "dtype": "float32", "device": "cpu"},
    }
    assert len(told["rows"]) == 2 * len(TASKS)
    assert [line for line in result.stderr.splitlines() if line.startswith("reber ")]
    for name in TASKS:
        assert json.loads((out / name / "reproduce.json").read_text()) == told["tasks"][name]
    row = next(row for row in told["rows"] if row["task"].startswith("temporal-order"))
    assert (row["published_sequences"], row["solved"], row["trials"]) == (31_390, 0, 1)
    assert not list(cache.iterdir())
    assert "experiment" in run_command(f"runs list {tmp_path}").stdout
    run_command(f"runs remove {out} --yes")
    assert not out.exists()


def test_a_task_that_fails_does_not_lose_the_others(tmp_path, monkeypatch, cache):
    quick_task = tasks.quick_task

    def make(name):
        if name == "reber":
            raise ValueError("no grammar")
        return quick_task(name)

    monkeypatch.setattr(tasks, "quick_task", make)
    monkeypatch.setattr(experiments, "TASKS", ("adding", "reber", "multiplication"))
    result = run(f"{QUICK} --out {tmp_path / 'out'}", expect=1)
    assert "Warning: reber failed: ValueError: no grammar" in result.stderr
    assert "reber failed: ValueError: no grammar" in result.stdout and "adding-100" in result.stdout
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["adding", "multiplication", "reproduce.json"]


def test_a_task_without_its_library_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    digits._images.cache_clear()
    monkeypatch.setattr(experiments, "TASKS", ("reber", "digits"))
    result = run(f"{QUICK} --threads 1 --json --out {tmp_path / 'out'}")
    said = (
        f"scikit-learn, which brings the images, is missing. Install it with: {install_command('sklearn')}."
    )
    assert (
        result.stderr.startswith(f"Warning: digits is left out: {said}\n") and "failed" not in result.stderr
    )
    told = json.loads(result.stdout)
    assert told["left_out"] == {"digits": f"digits is left out: {said}"} and told["failures"] == {}
    assert error_of("reproduce digits", 2) == said


def test_all_goes_on_where_it_was(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(experiments, "TASKS", ("adding", "reber", "multiplication"))
    train_block = learner.Learner.train_block

    def train(self, *arguments):
        if self.task.name.startswith("reber"):
            raise KeyboardInterrupt
        train_block(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(learner.Learner, "train_block", train)
        run(f"{QUICK} --out {tmp_path / 'out'}", expect=130)
    assert not (tmp_path / "out").exists()
    trained = []

    def note(self, *arguments):
        trained.append(self.task.name)
        train_block(self, *arguments)

    monkeypatch.setattr(learner.Learner, "train_block", note)
    run(f"{QUICK} --out {tmp_path / 'out'}")
    assert trained[0] == "reber"
    assert not list(cache.iterdir())


def test_without_quick_it_says_how_long_it_may_take(tmp_path, monkeypatch):
    from trendlstm.output import reproduce_all

    told = []
    monkeypatch.setattr(
        reproduce_all,
        "most_seconds",
        lambda task, models, threads: told.append((task.name, len(models))) or 60.0,
    )
    monkeypatch.setattr(experiments, "TASKS", ("reber", "adding"))
    result = run(f"all --trials 1 --max-sequences 32 --no-plot --threads 1 --out {tmp_path / 'out'}")
    assert result.stdout.startswith("All trials take 2 minutes at most on 1 thread of this machine")
    assert told == [("reber", 5), ("adding-100", 5)]


# what is refused


def test_too_little_memory(monkeypatch, tmp_path):
    def train(self, *arguments):
        raise MemoryError("Unable to allocate 15 TiB")

    monkeypatch.setattr(learner.Learner, "train_block", train)
    assert error_of(f"reproduce adding {SHORT} --out {tmp_path / 'out'}", 1) == (
        "There is not enough memory (Unable to allocate 15 TiB): use a smaller --hidden, --length or --batch-size, or "
        "allow this process more (`ulimit -v`)."
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "Missing argument"),
        ("subtracting", "'subtracting' is not one of"),
        ("adding --length 99", "length must be one of 100, 500, 1000, 5000, 10000, but is 99"),
        ("adding --variant 6a", "variant must be one of 1997, 2022, but is '6a'"),
        ("temporal-order --length 100", "length is not for temporal-order"),
        ("temporal-order --variant 6c", "'6c' is not one of"),
        ("long-lag --length 99", "length must be one of 50, 100, 200, 500, 1000, but is 99"),
        ("all --length 100", "length is not for all tasks at once"),
        ("all --variant 6a", "variant is not for all tasks at once"),
        ("adding --quick --length 100", "--quick has a size of its own"),
        ("adding --cell ann", "'ann' is not one of"),
        ("adding --forget-bias 2", "'2' is not one of"),
        (
            "adding --cell gru --cell rnn --forget-bias 1",
            "--forget-bias is for LSTMs: leave it out, or add --cell",
        ),
        ("all --cell gru --forget-bias 1", "--forget-bias is for LSTMs"),
        ("adding --trials 0", "0 is not in the range"),
        ("adding --max-sequences 0", "0 is not in the range"),
        ("adding --hidden 0", "0 is not in the range"),
        ("adding --lr 0", "0.0 is not in the range"),
        ("adding --clip-norm -1", "-1.0 is not in the range"),
        ("adding --seed -1", "-1 is not in the range"),
        ("adding --threads 0", "0 is not in the range"),
    ],
)
def test_bad_options(command, words, cache):
    result = run(command, expect=2)
    assert words in result.stderr
    assert result.stdout == ""
    assert not cache.exists()


def test_a_folder_is_never_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    for task in ("adding", "all --quick"):
        result = run(f"{task} --out {tmp_path / 'out'}", expect=2)
        assert "exists already" in result.stderr and result.stdout == ""
