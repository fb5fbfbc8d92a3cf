"""Threads: what is done where the system has fewer of them, or less memory, than was asked for."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import trendlstm as tl
from trendlstm.nn.threads import run_together

ROOT = Path(__file__).parents[2]
X = np.random.default_rng(0).normal(size=(70, 5, 1))
Y = X[:, -1]


@pytest.fixture(params=[0, 1, 2, 3])
def few_threads(request, monkeypatch):
    """The system starts this many threads, then no more."""
    start, most = threading.Thread.start, threading.active_count() + request.param

    def start_few(thread):
        if threading.active_count() >= most:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_few)
    return request.param


def fitted(**options):
    network = tl.Network(hidden_size=3, dense=(4,), seed=3)
    history = network.fit(X, Y, epochs=5, batch_size=32, validation=(X, Y), **options)
    return network, history


def bits(network):
    return {name: value.tobytes() for name, value in network.state_dict().items()}


def test_a_fit_runs_on_those_that_it_gets(few_threads):
    network, history = fitted(n_threads=4)
    expected, expected_history = fitted(n_threads=1)
    assert bits(network) == bits(expected)
    assert history.loss.tobytes() == expected_history.loss.tobytes() and history.stopped == "epochs"


def test_many_fits_and_predictions_run_on_those_that_they_get(few_threads):
    networks = [tl.Network(hidden_size=3, dense=(4,), seed=3) for _ in range(5)]
    tl.fit_many(networks, X, Y, epochs=5, batch_size=32, validation=(X, Y), n_threads=4)
    expected, _ = fitted(n_threads=1)
    assert all(bits(network) == bits(expected) for network in networks)
    many = np.tile(X, (50, 40, 1))
    assert expected.predict(many, n_threads=4).tobytes() == expected.predict(many, n_threads=1).tobytes()


def test_the_arguments_are_those_of_the_threads_that_run(few_threads):
    asked, done, abandoned = [], [], []

    def arguments(count):
        asked.append(count)
        return [(rank, count) for rank in range(count)]

    def work(rank, count):
        started.wait() if count > max(few_threads, 1) else done.append((rank, count))

    started = threading.Event()

    def abandon():
        abandoned.append(True)
        started.set()

    run_together(work, arguments, 4, abandon=abandon)
    last = max(few_threads, 1)
    assert asked == ([4, few_threads] if few_threads else [4, 1])
    assert sorted(done) == [(rank, last) for rank in range(last)] and abandoned == [True]


LIMITED = """
import resource
import numpy as np
import trendlstm as tl
network = tl.Network(hidden_size=3)  # Numba is imported, what it imports later is not
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (32 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    network.fit(np.zeros((64, 3, 1)), np.zeros((64, 1)), epochs=1, n_threads=2)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="only Linux tells a process its address space"
)
def test_too_small_an_address_space_is_an_error_not_an_endless_wait(tmp_path):
    """SciPy's OpenBLAS would ask again and again, when Numba imports it to compile."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRENDLSTM_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LIMITED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "the address space is limited, see `ulimit -v`\n", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_goes_on_when_all_threads_have_ended():
    """Also where Python takes a thread for ended because the signal has interrupted its `join`."""
    waiting, asked, done = threading.Event(), threading.Event(), []

    def work(rank):
        waiting.wait()
        if rank == 0:
            os.kill(os.getpid(), signal.SIGINT)
        asked.wait()
        time.sleep(0.05)  # what a thread does between two looks at the flag
        done.append(rank)

    with pytest.raises(KeyboardInterrupt):
        run_together(work, lambda count: [(rank,) for rank in range(count)], 3, waiting.set, asked.set)
    assert sorted(done) == [0, 1, 2]
