"""Work whose process is killed at random moments, and gone on with each time, ends with the same bytes."""

import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from command_line import run
from walks import random_walk

from trendlstm.caches import cache_folder

FILES = ("predictions.csv", "members.csv", "equity.csv", "metrics.json", "backtest.png")
SETTINGS = "--hidden 4 --dense none --lag 4 --epochs 3 --test-years 0.6 --seeds 2 --threads 2 --quiet"


@pytest.mark.parametrize(
    "changes", ["--refit 2", "--refit 3 --warm-start --model rnn --model lstm --horizon 2"]
)
def test_killed_at_ten_random_moments(tmp_path, changes):
    csvs = []
    for seed, name in enumerate(("AA", "BB")):
        random_walk(400, seed).to_csv(tmp_path / f"{name}.csv")
        csvs.append(f"--csv {tmp_path}/{name}.csv")
    begin = f"backtest {' '.join(csvs)} {SETTINGS} {changes}"
    start = time.monotonic()
    run(f"{begin} --out {tmp_path / 'whole'}")
    longest = time.monotonic() - start
    folder, moments, kills = tmp_path / "killed", random.Random(changes), 0
    command = f"{begin} --out {folder}"
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-m", "trendlstm", *command.split()], stderr=subprocess.PIPE
        )
        while process.poll() is None and not (folder / "folds.sqlite").exists():
            time.sleep(0.001)
        try:
            process.wait(moments.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        command = f"backtest --resume {folder} --quiet"
    assert kills > 0
    run(command)
    assert {name: (folder / name).read_bytes() for name in FILES} == {
        name: (tmp_path / "whole" / name).read_bytes() for name in FILES
    }


def test_trials_killed_at_random_moments(tmp_path):
    """The same command goes on from what checkpoints have, whatever the moment."""
    # learned too slowly to end early; the seed is this test's, because the checkpoints are in everybody's cache
    command = (
        "reproduce reber --cell lstm --forget-bias 1 --trials 2 --max-sequences 8000 --lr 1e-4 --seed 1618033"
    )
    command += " --no-plot --quiet --threads 2 --out"
    run(f"{command} {tmp_path / 'whole'}")
    prepare = """
import sys
from trendlstm.experiments import trials
trials._CHECKPOINT_SECONDS = 0.01
from trendlstm.__main__ import main
main()
"""
    moments = random.Random(0)
    for _ in range(3):
        before = checkpoints()
        process = subprocess.Popen(
            [sys.executable, "-c", prepare, *command.split(), str(tmp_path / "killed")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while process.poll() is None and checkpoints() <= before:  # it has kept nothing yet
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    run(f"{command} {tmp_path / 'killed'}")
    assert (tmp_path / "killed" / "curves.csv").read_bytes() == (
        tmp_path / "whole" / "curves.csv"
    ).read_bytes()


def checkpoints():
    """What is kept of unfinished trials, and since when."""
    found = set()
    for path in cache_folder("experiments").glob("*/*.npz"):
        with suppress(FileNotFoundError):  # replaced in this moment
            found.add((path, path.stat().st_mtime_ns))
    return found
