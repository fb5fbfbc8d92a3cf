"""What Numba imports when it first compiles: not at all where every kernel is cached, nor where it would never end."""

import functools
import importlib.util
import mmap
import os
import sys

from numba.core.registry import cpu_target

# What SciPy's linear algebra maps, and for each of its threads: measured 60 MB, and a buffer of 32 MB and a stack.
_SCIPY_BYTES = 64 << 20
_SCIPY_THREAD_BYTES = 48 << 20


@functools.cache
def load_numba() -> None:
    """Import what Numba needs to compile.

    Raises
    ------
    MemoryError
        The address space is limited, and too small for SciPy: its OpenBLAS does not fail then, but asks for ever.
    """
    if _is_address_space_limited() and importlib.util.find_spec("scipy"):
        try:
            mmap.mmap(-1, _SCIPY_BYTES + _SCIPY_THREAD_BYTES * _blas_threads()).close()
        except OSError as error:
            raise MemoryError("the address space is limited, see `ulimit -v`") from error
    cpu_target.target_context.refresh()


def _is_address_space_limited() -> bool:
    if sys.platform == "win32":
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _blas_threads() -> int:
    text = os.environ.get("OPENBLAS_NUM_THREADS", "")
    return int(text) if text.isdecimal() else os.cpu_count() or 1
