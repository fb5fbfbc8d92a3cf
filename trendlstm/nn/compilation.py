"""Compiling kernels before they are needed, on this thread: the wait can be shown, and Ctrl-C is heard at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from numba.core import event
from numba.core.dispatcher import Dispatcher


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
