"""Compiling kernels before they are needed: the wait can be shown, Ctrl-C is heard at once, and two processes share it.

Numba compiles under a lock, so that threads would not help. A second process compiles a part of the kernels into the
cache that both use.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from numba.core import event
from numba.core.dispatcher import Dispatcher

from trendlstm.config import DType
from trendlstm.errors import CacheError
from trendlstm.kernels.cache import is_kept, kernel_folder, note_compiled
from trendlstm.nn.many import compile_predictions, smallest_job
from trendlstm.nn.threads import available_threads
from trendlstm.nn.training import compile_backward, compile_end_of_epoch, compile_forward, train_here

# What the second process runs. It is told where this one finds its modules.
_SECOND_PROCESS = """
import sys
sys.path[:] = sys.argv[2:]
from trendlstm.nn.compilation import compile_second_part
compile_second_part(sys.argv[1])
"""


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
        Called with a `CompileProgress`, on the thread that compiles.
    """
    with event.install_listener("numba:compile", _Counter(progress)):
        yield


class _Counter(event.Listener):
    def __init__(self, progress: Callable[[CompileProgress], None]) -> None:
        self._progress = progress
        self._kernels = 0

    def on_start(self, event: event.Event) -> None:
        pass

    def on_end(self, event: event.Event) -> None:
        dispatcher = event.data["dispatcher"]
        if isinstance(dispatcher, Dispatcher) and dispatcher.py_func.__module__.startswith("trendlstm."):
            self._kernels += 1
            self._progress(CompileProgress(self._kernels, dispatcher.py_func.__name__))


def compile_kernels(dtype: DType = "float32") -> None:
    """Compile what fits and predictions need, or load it from the cache; with two cores, in two processes.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    """
    job = smallest_job(dtype)
    with _second_process(dtype) as wait_for_next:
        compile_backward(job)
        wait_for_next()  # the forward pass
        wait_for_next()  # the end of an epoch
        train_here(job)
        wait_for_next()  # predictions
    compile_predictions(dtype)
    note_compiled(dtype)


def compile_second_part(dtype: DType) -> None:
    """What the second process does; a line on standard output tells the first that a piece is in the cache."""
    job = smallest_job(dtype)
    for compile_piece in (compile_forward, compile_end_of_epoch):
        compile_piece(job)
        print(flush=True)
    compile_predictions(dtype)


@contextmanager
def _second_process(dtype: DType) -> Iterator[Callable[[], object]]:
    """A process that runs `compile_second_part`; the function waits for its next piece, or for its end.

    Where it cannot be started, or fails, the function returns at once, and the first process compiles everything.
    """
    try:
        kernel_folder(make=True)
        if available_threads() < 2 or is_kept(dtype):
            raise OSError
        process = subprocess.Popen(
            [sys.executable, "-c", _SECOND_PROCESS, dtype, *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, CacheError):
        yield lambda: None
        return
    assert process.stdout is not None
    try:
        yield process.stdout.readline
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
