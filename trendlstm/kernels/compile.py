"""How every kernel is compiled: one decorator, and a cache that notices edits in any kernel source."""

import atexit
import functools
import hashlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.compiler import Compiler

_SOURCES = sorted(Path(__file__).parent.glob("*.py"))

# No "nnan" and no "ninf": a loss that becomes NaN must stay NaN until fit() sees it. No "reassoc": the sums that
# define a result are written in the order they are added, so that every thread count gives the same bits.
_FAST_MATH = {"nsz", "contract", "arcp"}


class _QuickCompiler(Compiler):
    """Numba's compiler with LLVM's first level of optimisation, not its third.

    The time goes into tiles that are vector code already and into loops that the first level vectorises as well: the
    kernels are as fast, and a quarter of the time to compile them is saved. Numba knows the level only as a setting
    of the process; it is compiling under its global lock here, so nobody else's code meets ours.
    """

    def compile_extra(self, func: Callable) -> Any:
        before = config.OPT  # type: ignore[attr-defined]
        config.OPT = min(before, 1)  # type: ignore[attr-defined]
        try:
            return super().compile_extra(func)
        finally:
            config.OPT = before  # type: ignore[attr-defined]


_OPTIONS: dict[str, Any] = {
    "pipeline_class": _QuickCompiler,
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
_cleaning = threading.Lock()
_cleaned: list[Exception] = []  # why the cache was thrown away, once at most in a process


def has_compiled(what: str) -> bool:
    """Whether this machine's cache holds the compiled kernels of some work, as `note_compiled` has called it."""
    return (_CACHE_FOLDER / f"compiled-{what}").exists()


def note_compiled(what: str) -> None:
    """Remember in the cache that all kernels of some work are there: a fit in "float32", a "stream", ..."""
    (_CACHE_FOLDER / f"compiled-{what}").touch()


def _compile(function: Callable, **options: Any) -> Callable:
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(_CACHE_FOLDER)  # type: ignore[attr-defined]
    try:
        return numba.njit(**_OPTIONS, **options)(function)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


def compiled(function: Callable) -> Callable:
    """Compile `function` to machine code that runs without the GIL, on first use, cached on disk.

    Division by zero gives inf or NaN as in NumPy arrays; indices are not checked.
    """
    return _compile(function)


def entry_point(function: Callable) -> Callable:
    """As `compiled`, for a function that Python calls: a damaged cache is thrown away and all is compiled again."""
    kernel = compiled(function)

    @functools.wraps(function)
    def call(*arguments: Any) -> None:
        try:
            kernel(*arguments)
        except Exception as error:  # no kernel raises anything, so the machine code could not be loaded
            _throw_cache_away(error)
            kernel(*arguments)

    return call


def _throw_cache_away(error: Exception) -> None:
    with _cleaning:
        if _cleaned:
            return
        _cleaned.append(error)
        logging.getLogger("trendlstm").warning(
            "The compiled kernels in %s cannot be used (%s: %s), so they are compiled again.",
            _CACHE_FOLDER,
            type(error).__name__,
            error,
        )
        shutil.rmtree(_CACHE_FOLDER, ignore_errors=True)
        _CACHE_FOLDER.mkdir(parents=True, exist_ok=True)


def inlined(function: Callable) -> Callable:
    """As `compiled`, for a function that becomes part of each caller.

    Every separate kernel is optimised again in all that call it, so long chains of small ones compile slowly.
    """
    return _compile(function, inline="always")
