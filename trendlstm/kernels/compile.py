"""How every kernel is compiled: one decorator, and a cache that notices edits in any kernel source."""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

_SOURCES = sorted(Path(__file__).parent.glob("*.py"))

# No "nnan" and no "ninf": a loss that becomes NaN must stay NaN until fit() sees it. No "reassoc": the sums that
# define a result are written in the order they are added, so that every thread count gives the same bits.
_FAST_MATH = {"nsz", "contract", "arcp"}

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": _FAST_MATH,
    "no_cfunc_wrapper": True,  # no C code calls these: a tenth less to compile
}


def cache_folder() -> Path:
    """The folder of the compiled kernels, one per content of all kernel sources.

    Numba's own cache looks only at the file that holds a function: an edited helper in another file would leave
    stale machine code behind.
    """
    root = os.environ.get("TRENDLSTM_CACHE_DIR")
    if not root:
        from platformdirs import user_cache_dir

        root = user_cache_dir("trendlstm")
    digest = hashlib.sha256()
    for source in _SOURCES:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return Path(root) / "kernels" / digest.hexdigest()[:16]


def _writable_cache_folder() -> Path:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:  # a home that cannot be written: compile anew in each process
        folder = Path(tempfile.mkdtemp(prefix="trendlstm-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


_CACHE_FOLDER = _writable_cache_folder()


def has_compiled() -> bool:
    """Whether this machine's cache holds compiled kernels of this version."""
    return any(_CACHE_FOLDER.rglob("*.nbc"))


def _compile(function: Callable, **options: Any) -> Callable:
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(_CACHE_FOLDER)  # type: ignore[attr-defined]
    try:
        return numba.njit(**_OPTIONS, **options)(function)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


def kernel(function: Callable) -> Callable:
    """Compile `function` to machine code that runs without the GIL, on first use, cached on disk.

    Division by zero gives inf or NaN as in NumPy arrays; indices are not checked.
    """
    return _compile(function)


def inlined(function: Callable) -> Callable:
    """As `kernel`, for a function that becomes part of each caller.

    Every separate kernel is optimised again in all that call it, so long chains of small ones compile slowly.
    """
    return _compile(function, inline="always")
