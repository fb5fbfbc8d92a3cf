"""Memory that one fit or prediction leaves to the next.

The system gives fresh memory page by page, as it is first touched, and clears each page. A short fit of a large network
spent up to half of its time on that, a small prediction most of it.
"""

from collections import deque
from contextlib import suppress

import numpy as np

from trendlstm.kernels import buffers
from trendlstm.kernels.buffers import Plan, Workspace

_MOST_BYTES = 2**28  # that nobody uses: a fit of 1,024 units has some 100 MB

_spare: "deque[Memory]" = deque()  # by when it was used last


def take_memory() -> "Memory":
    """Memory for the caller alone: what an earlier one has left, if it has."""
    try:
        return _spare.pop()
    except IndexError:
        return Memory()


def leave_memory(memory: "Memory") -> None:
    """Let others take it, unless there is too much already; after an error it is better forgotten."""
    if memory.nbytes > _MOST_BYTES:
        return
    _spare.append(memory)
    with suppress(IndexError):  # other threads may do the same
        while len(_spare) > 1 and sum(each.nbytes for each in tuple(_spare)) > _MOST_BYTES:
            _spare.popleft()


class Memory:
    """Arrays by name and work spaces by thread, which are used again where they fit.

    Attributes
    ----------
    nbytes : int
        Of all of them.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self._arrays: dict[str, np.ndarray] = {}
        self._works: dict[tuple[int, bool], tuple[Plan, Workspace]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of any content: the last one of that name if it has this shape and dtype."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            if array is not None:
                self.nbytes -= array.nbytes
                del array, self._arrays[name]  # before there is another
            array = self._arrays[name] = buffers.aligned_zeros(shape, dtype)
            self.nbytes += array.nbytes
        return array

    def zeros(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """As `array`, of zeros."""
        array = self.array(name, shape, dtype)
        array[...] = 0
        return array

    def workspace(
        self, plan: Plan, dtype: np.dtype, rows: int, rank: int = 0, backward: bool = True
    ) -> Workspace:
        """A thread's work space of so many rows: its last one if that was made for such a network."""
        last = self._works.get((rank, backward))
        if last is not None:
            known, work = last
            if work.inputs.dtype == dtype and work.lengths.size == rows and _is_same_plan(known, plan):
                return work
            self.nbytes -= _nbytes(work)
            del last, work, self._works[rank, backward]
        work = buffers.make_workspace(plan, dtype, rows, backward)
        self._works[rank, backward] = plan, work
        self.nbytes += _nbytes(work)
        return work


def _nbytes(work: Workspace) -> int:
    return sum(array.nbytes for array in work)


def _is_same_plan(one: Plan, other: Plan) -> bool:
    # the last three are arrays, of which the quantiles change nothing in a work space
    return one is other or (
        one[:-3] == other[:-3]
        and np.array_equal(one.layers, other.layers)
        and np.array_equal(one.widths, other.widths)
    )
