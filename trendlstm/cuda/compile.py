"""How the GPU's functions are compiled: the one place that imports its compiler.

To try that compiler's successor, change these imports.
"""

from collections.abc import Callable
from typing import Any

import numba
import numba.cuda
import numpy as np

from trendlstm.version import install_command

from ..errors import OptionError

try:
    from numba.cuda.core import config
except ModuleNotFoundError as error:  # `numba.cuda` is then Numba's own target, which is deprecated
    raise OptionError(f"The GPU's compiler is missing: {install_command('cuda')}.") from error

cuda: Any = numba.cuda
SIMULATED = bool(numba.config.ENABLE_CUDASIM)  # type: ignore[attr-defined]

ALIGNMENT = None if SIMULATED else 16  # bytes, of shared arrays that are read in vectors


def launch_bounds(threads: int) -> tuple[int, int]:
    """Threads of a block, and the blocks that must fit a multiprocessor: unless told, the compiler spills for more."""
    return threads, 1


def entry_point(threads: int) -> Callable[[Callable], Any]:
    """Compile a function that is launched with blocks of so many threads: a kernel, in CUDA's words."""
    if SIMULATED:
        return cuda.jit
    return cuda.jit(launch_bounds=launch_bounds(threads))


def launch(function: Any, blocks: int, threads: int, *arguments: Any) -> None:
    """Launch an entry point, without the warning that there are few blocks: one network is one block."""
    before = config.CUDA_LOW_OCCUPANCY_WARNINGS
    config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
    try:
        configured = function[blocks, threads]
    finally:
        config.CUDA_LOW_OCCUPANCY_WARNINGS = before
    configured(*arguments)


def inlined(function: Callable) -> Any:
    """Compile a function that becomes part of each caller."""
    return cuda.jit(device=True, inline="always")(function)


def from_cpu(function: Any) -> Any:
    """A function of `kernels` that takes arrays: in the simulator as Python, because its arrays are not NumPy's."""
    return function.py_func if SIMULATED else function


def _unsigned(index):
    """`index`, from 0 to 2^32 - 1, as a number that the compiler knows is not negative.

    Otherwise it is tested for being counted from an array's end, and the addresses made from it are no longer a common
    base and a constant, but take a register each.
    """
    return np.int64(np.uint32(index))


# called so often that the simulator, which wraps every function of the GPU, would take twice as long
unsigned = int if SIMULATED else inlined(_unsigned)
