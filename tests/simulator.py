"""numba-cuda's simulator, made repeatable: the threads of a block take turns, in an order that a test can choose.

The simulator's own threads run whenever Python lets them. Its `cuda.shared.array` looks for a block's array and then
makes it, so now and then two threads had one each, and a fit went wrong. Here one thread runs from a barrier to the
next, then another one does. Every run is the same, and four times as fast. Results that depend on the order show a race
in a kernel.
"""

import threading
from collections.abc import Callable, Iterable

import numpy as np
from numba.cuda.simulator.kernel import BlockManager, BlockThread

Order = Callable[[list], Iterable]
_order: Order = list


def take_turns(order: Order = list) -> None:
    """Let the threads of all blocks run in this order, given a list of them, between any two barriers."""
    global _order
    _order = order
    BlockManager.run = _run


class _Thread(BlockThread):
    """A thread that runs when its turn comes, up to the next barrier or its end."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._turn, self._pause = threading.Semaphore(0), threading.Semaphore(0)
        self.is_finished = False

    def run(self) -> None:
        self._turn.acquire()
        super().run()
        self.is_finished = True
        self._pause.release()

    def syncthreads(self) -> None:
        self._pause.release()
        self._turn.acquire()
        if self.abort:
            raise RuntimeError("another thread failed")

    def take_turn(self) -> None:
        self._turn.release()
        self._pause.acquire()


def _run(manager, grid_point, *arguments) -> None:
    """`BlockManager.run`: run one block's threads, and raise what one of them raises."""
    points = np.ndindex(*manager._block_dim)
    threads = [_Thread(lambda: manager._f(*arguments), manager, grid_point, point, False) for point in points]
    for thread in threads:
        thread.start()
    while threads:
        for thread in _order(threads):
            thread.take_turn()
            if thread.exception:
                _end(threads)
                error, traceback = thread.exception
                raise error.with_traceback(traceback)
        threads = [thread for thread in threads if not thread.is_finished]


def _end(threads: list[_Thread]) -> None:
    for thread in threads:
        thread.abort = True
        if not thread.is_finished:
            thread.take_turn()
