"""A backtest whose process is killed at random moments, and gone on with each time, ends with the same bytes."""

import random
import signal
import subprocess
import sys
import time

import pytest
from command_line import run
from walks import random_walk

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
