"""Compiling kernels before they are needed: the wait can be shown, Ctrl-C is heard at once, and two processes share it.

Numba compiles under a lock, so that threads would not help. A second process compiles a part of the kernels into the
cache that both use.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import event
from numba.core.dispatcher import Dispatcher

from trendlstm.config import DType
from trendlstm.kernels.cache import kernel_folder
from trendlstm.kernels.chunk import (
    backward_chunks,
    chunk_loss,
    forward_chunks,
    load_chunk,
    load_states,
    save_states,
)
from trendlstm.kernels.dense import dense_forward
from trendlstm.kernels.dropout import drop
from trendlstm.kernels.fit import finish_epoch, fit_worker, update_weights
from trendlstm.kernels.gradient import accumulate_chunks
from trendlstm.nn import many
from trendlstm.nn.threads import available_threads
from trendlstm.nn.training import one_thread


class CompileProgress(NamedTuple):
    """What a progress callback is told: kernels compiled so far, and the name of the last."""

    kernels: int
    name: str


@contextmanager
def counted_kernels(progress: Callable[[CompileProgress], None]) -> Iterator[None]:
    """Tell `progress` of every kernel of this package that is compiled inside the block.

    Parameters
    ----------
    progress : callable
        Called with a `CompileProgress`, on the thread that compiles. Of what the second process of `compile_kernels`
        has done it is told when this one needs it.
    """
    counter = _Counter(progress)
    _counters.append(counter)
    try:
        with event.install_listener("numba:compile", counter):
            yield
    finally:
        _counters.remove(counter)


class _Counter(event.Listener):
    def __init__(self, progress: Callable[[CompileProgress], None]) -> None:
        self._progress = progress
        self._kernels = 0

    def on_start(self, event: event.Event) -> None:
        pass

    def on_end(self, event: event.Event) -> None:
        dispatcher = event.data["dispatcher"]
        if isinstance(dispatcher, Dispatcher) and dispatcher.py_func.__module__.startswith("trendlstm."):
            self.count(dispatcher.py_func.__name__)

    def count(self, name: str) -> None:
        self._kernels += 1
        self._progress(CompileProgress(self._kernels, name))


_counters: list[_Counter] = []


def compile_kernels(dtype: DType = "float32") -> None:
    """Compile what fits and predictions need, or load it from the cache; with two cores, in two processes.

    Who compiles what is laid down here and in `compile_second_part`, so that no kernel is compiled by both.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    """
    with _second_process(dtype) as second:
        parts = _Parts(dtype)
        parts.shared()
        second.go_on()
        parts.forward()
        second.go_on()
        parts.update_weights()
        second.wait()  # for the losses and states
        parts.finish_epoch()
        second.wait()  # for the gradient
        parts.fit()
        second.wait()  # for the predictions
    many.compile_kernels(dtype)


def compile_second_part(dtype: DType, folder: str) -> None:
    """What the second process does: it is asked to go on by bytes on standard input, whose end ends it at once.

    On standard output it names every kernel that is in the cache, and says by an empty line that a part is complete.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    folder : str
        Where the first process has its kernels. If this one would have them elsewhere, it does nothing.
    """
    asked = threading.Semaphore(0)

    def listen() -> None:
        while os.read(0, 1):  # not sys.stdin, which Python cannot close while a thread reads it
            asked.release()
        os._exit(0)  # the first process has ended, or no longer needs this one

    threading.Thread(target=listen, daemon=True).start()
    if str(kernel_folder()) != folder:
        return
    with counted_kernels(lambda compiled: print(compiled.name, flush=True)):
        parts = _Parts(dtype)
        parts.losses_and_states()
        print(flush=True)
        asked.acquire()  # until the shared kernels are there
        parts.backward()
        asked.acquire()  # until the forward pass is there
        parts.gradient()
        print(flush=True)
        many.compile_predictions(dtype)


class _Parts:
    """The kernels of a fit in parts, which are compiled one after another unless two of them do not need each other."""

    def __init__(self, dtype: DType) -> None:
        job = many.smallest_job(dtype)
        self._arguments = one_thread(job)
        self._plan, self._train, self._validation, self._options, self._state, self._thread = self._arguments
        self._order = self._state.order

    def shared(self) -> None:
        """What the passes forward and backward both call."""
        matrix, vector = self._state.gradients, self._state.theta
        _compile(dense_forward, matrix, matrix, matrix, False)
        _compile(drop, vector, np.uint64(0), 0, 0.0)

    def forward(self) -> None:
        """The forward pass."""
        work, data = self._thread.work, self._train
        _compile(forward_chunks, self._plan, self._state.theta, work)
        _compile(load_chunk, self._plan, work, data.x, data.lengths, self._order, 0, 0, 0, 0, np.uint64(0))

    def losses_and_states(self) -> None:
        """The losses of a forward pass, and the states before and after it."""
        work = self._thread.work
        _compile(chunk_loss, self._plan, work, self._train.y, self._order, 0, 0, 0, 0)
        for kernel in load_states, save_states:
            _compile(kernel, self._plan, work, self._state.states, self._order, 0, 0, 0)

    def backward(self) -> None:
        """The backward pass."""
        _compile(backward_chunks, self._plan, self._thread.work, self._state.gradients, 0, 0, 0, 0.0, False)

    def gradient(self) -> None:
        """Both passes over a minibatch."""
        state = self._state
        _compile(
            accumulate_chunks,
            *(self._plan, state.theta, self._train, state.order, 0, 0, 0, np.uint64(0), state.states),
            *(state.gradients, state.losses, self._thread),
        )

    def update_weights(self) -> None:
        """A step of the optimizer."""
        _compile(update_weights, self._plan, self._options, 0, self._state, self._thread)

    def finish_epoch(self) -> None:
        """What follows on an epoch's last minibatch."""
        _compile(finish_epoch, self._plan, self._validation, self._options, 0.0, self._state, self._thread)

    def fit(self) -> None:
        """All that is left of a fit."""
        _compile(fit_worker, *self._arguments)


def _compile(kernel: Any, *arguments: object) -> None:
    """Compile a kernel for arguments of these types, or load it."""
    kernel.compile(tuple(map(numba.typeof, arguments)))


# What the second process runs. It is told where this one finds its modules.
_SECOND_PROCESS = """
import sys
sys.path[:] = sys.argv[3:]
from trendlstm.nn.compilation import compile_second_part
compile_second_part(*sys.argv[1:3])
"""


class _Second:
    """The other process; where there is none, or it has failed, there is nothing to wait for."""

    def __init__(self, process: "subprocess.Popen[str] | None") -> None:
        self._process = process

    def go_on(self) -> None:
        """Tell it that the next part which it needs is in the cache."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # it has failed
                self._process.stdin.write(".")  # no newline, which is two bytes on Windows
                self._process.stdin.flush()

    def wait(self) -> None:
        """Wait until its next part is in the cache, or it has ended, and count its kernels."""
        if self._process is not None and self._process.stdout is not None:
            for line in iter(self._process.stdout.readline, "\n"):
                if not line:
                    return
                for counter in _counters:
                    counter.count(line.rstrip("\n"))


@contextmanager
def _second_process(dtype: DType) -> Iterator[_Second]:
    """A process that runs `compile_second_part`, where that can be of use."""
    process = None
    with suppress(OSError):
        folder = kernel_folder(make=True)
        is_python = sys.executable and not hasattr(sys, "frozen")
        if is_python and available_threads() > 1 and os.access(folder, os.W_OK):
            process = subprocess.Popen(
                [sys.executable, "-c", _SECOND_PROCESS, dtype, str(folder), *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
    try:
        yield _Second(process)
    finally:
        if process is not None:
            process.kill()
            process.communicate()
