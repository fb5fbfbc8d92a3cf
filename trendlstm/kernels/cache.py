"""Compiled kernels on disk, so that a machine compiles them once.

Numba's own cache does not serve: it does not notice an edited helper in another file, names its folders by where the
package is installed, makes them when a kernel is defined, and unpickles (that is: runs) whatever it finds in them.
"""

import functools
import hashlib
import logging
import pickle
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from trendlstm.caches import cache_folder
from trendlstm.files import replace_file

from .linking import kernels
from .numba_imports import load_numba

_DIGEST_BYTES = hashlib.sha256().digest_size
_LOG = logging.getLogger("trendlstm")

# Numba's settings that change machine code; the processor's name and features are asked of its code generator.
_SETTINGS = (
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "DEBUG_NRT",
    "ENABLE_PROFILING",
    "EXTEND_VARIABLE_LIFETIMES",
    "LLVM_REFPRUNE_FLAGS",
    "LLVM_REFPRUNE_PASS",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "USING_SVML",
)
_OPT = config.OPT  # type: ignore[attr-defined]  # as the environment has it: `compile` lowers it for a while


def kernel_folder(make: bool = False) -> Path:
    """The folder of the kernels compiled from these sources, by these libraries, for this processor and settings.

    Parameters
    ----------
    make : bool
        As in `caches.cache_folder`, which see for what is raised.
    """
    settings = [f"{name}={getattr(config, name, None)!r}" for name in _SETTINGS]
    versions = [sys.implementation.cache_tag, numba.__version__, llvmlite.__version__, np.__version__]
    processor = cpu_target.target_context.codegen().magic_tuple()
    text = repr([_sources_digest(), versions, processor, f"OPT={_OPT!r}", settings])
    return cache_folder(f"kernels/{hashlib.sha256(text.encode()).hexdigest()[:16]}", make)


def processor() -> str:
    """The kind of processor that kernels are compiled for; on another one the last digits of a result may differ."""
    return str(cpu_target.target_context.codegen().magic_tuple()[1])


@functools.cache
def _sources_digest() -> str:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


class KernelCache(NullCache):
    """What Numba's dispatcher of one kernel asks for compiled code before it compiles, and gives it to after.

    A file holds the machine code for one tuple of argument types and names the kernels that this calls, behind a
    SHA-256 that is compared before the rest is unpickled: a damaged kernel is compiled anew, and so are its callers.
    """

    def __init__(self, function: Callable) -> None:
        if function.__closure__:
            raise TypeError(
                f"{function.__qualname__} has a closure, which the name of its cache file does not tell."
            )
        self._name = kernel_name(function)

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """The compiled kernel, or None if it must be compiled."""
        kernel = None
        with suppress(OSError):  # a folder that cannot be read
            kernel = _load(kernel_folder() / self._file_name(sig), target_context)
        if kernel is None:
            load_numba()  # half a second, which compiled kernels do without
        return kernel

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel; where nothing can be written this is said once, and the kernel used all the same."""
        name = self._file_name(sig)
        kernels[data.library] = name, data.fndesc.mangled_name
        callees = sorted({kernels[callee] for callee in data.library.callees})
        packed = pickle.dumps((callees, dumps(data._reduce())))
        try:
            path = kernel_folder(make=True) / name
            _kernels[path] = data
            replace_file(path, lambda file: file.write(hashlib.sha256(packed).digest() + packed))
        except OSError as error:
            _say_once(
                f"Compiled kernels cannot be kept ({error.strerror}: {error.filename}), so every process compiles them "
                "anew."
            )

    def _file_name(self, signature: Any) -> str:
        types = hashlib.sha256(str(signature).encode()).hexdigest()[:16]
        return f"{self._name}-{types}.kernel"


def kernel_name(function: Callable) -> str:
    """The name that a kernel has in the cache: its module, its own name, and the line that it begins in."""
    line = function.__code__.co_firstlineno
    return re.sub(r"[<>]", "", f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}-{line}")


_kernels: dict[Path, Any] = {}  # what this process has loaded, or compiled and kept


def _load(path: Path, target_context: Any) -> Any:
    """The kernel of a file and those that it calls; None if one is missing, damaged or of another symbol.

    Symbols are the same in every process (see `compile`); they are compared because a call of one that is not there
    would end the process.
    """
    if path in _kernels:
        return _kernels[path]
    try:
        content = path.read_bytes()
    except OSError:  # not compiled yet
        return None
    digest, packed = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        _LOG.warning("The compiled kernel %s is damaged, so it is compiled again.", path)
        return None
    callees, data = pickle.loads(packed)
    for name, symbol in callees:
        callee = _load(path.parent / name, target_context)
        if callee is None or callee.fndesc.mangled_name != symbol:
            return None
    rtsys.initialize(target_context)  # for kernels that make arrays; Numba does it where it compiles
    kernel = CompileResult._rebuild(target_context, *pickle.loads(data))
    kernels[kernel.library] = path.name, kernel.fndesc.mangled_name
    _kernels[path] = kernel
    return kernel


@functools.cache
def _say_once(text: str) -> None:
    _LOG.warning(text)


_compiled: set[str] = set()  # what this process has compiled, for where nothing can be written


def has_compiled(what: str) -> bool:
    """Whether the kernels of some work are there, in this machine's cache or this process.

    Parameters
    ----------
    what : str
        As `note_compiled` has called it.
    """
    return what in _compiled or is_kept(what)


def is_kept(what: str) -> bool:
    """As `has_compiled`, but for the next process."""
    try:
        return (kernel_folder() / f"compiled-{what}").exists()
    except OSError:
        return False


def note_compiled(what: str) -> None:
    """Remember that all kernels of some work are there: a fit in "float32", a "stream", ..."""
    _compiled.add(what)
    with suppress(OSError):  # which has been said
        (kernel_folder(make=True) / f"compiled-{what}").touch()
