"""Other processes that are stopped half-way."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def waiting_half_way(code, *arguments):
    """Run Python code until it prints "half", and SIGKILL it at the end of the block."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        assert process.stdout.readline() == "half\n"
        yield
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
