"""Real processes on this machine's loopback: a scheduler, and workers that come and go."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]


def wait_until(condition, seconds=60):
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it has not come about in time"
        time.sleep(0.02)
    return value


class Cluster:
    """One scheduler and some workers of one thread each."""

    def __init__(self, folder, workers):
        self._folder = folder
        self._stack = ExitStack()
        self.workers = []
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(file))
        self.address = json.loads(wait_until(lambda: file.exists() and file.read_text()))["address"]
        for _ in range(workers):
            self.add_worker()

    def add_worker(self, preload=None):
        """Start a worker, which runs some code first."""
        options = ["--no-nanny", "--nthreads", "1", "--local-directory", str(self._folder)]
        if preload:
            options += ["--preload", preload]
        self.workers.append(self._start("worker", self.address, *options))

    def kill_worker(self):
        """SIGKILL the oldest one."""
        self._kill(self.workers.pop(0))

    def kill_scheduler(self):
        """SIGKILL it."""
        self._kill(self.scheduler)

    def close(self):
        """End all processes."""
        self._stack.close()

    def _start(self, what, *options):
        command = [sys.executable, "-m", "dask", what, *options, "--host", "127.0.0.1", "--no-dashboard"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(self._folder / "log", "ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._stack.callback(self._kill, process)
        return process

    def _kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()
