"""How every kernel is compiled."""

import copy
import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import numba
from numba.core import config, inline_closurecall
from numba.core.bytecode import FunctionIdentity
from numba.core.compiler import Compiler

from .cache import KernelCache, kernel_name
from .linking import KernelLibrary


class _Ordered(set[str]):
    """A set that reads the same in every process: the text of these flags is a part of every symbol."""

    def __repr__(self) -> str:
        return repr(sorted(self))


# No "nnan" and no "ninf": a loss that becomes NaN must stay NaN until fit() sees it. No "reassoc": the sums that
# define a result are written in the order they are added, so that every thread count gives the same bits.
_FAST_MATH = _Ordered({"nsz", "contract", "arcp"})


class _BlockCopier:
    """What Numba's inliner gets in the place of the module `copy`: blocks of one function share one copy of its scope.

    The inliner copies a function block by block, and each block refers to all of the function's variables through its
    scope. To copy them anew with every block took a sixth of the time to compile.
    """

    def __init__(self) -> None:
        self._scope: Any = None
        self._copied: dict[int, Any] = {}

    def deepcopy(self, block: Any) -> Any:
        if block.scope is not self._scope:
            self._scope, self._copied = block.scope, {}
        return copy.deepcopy(block, self._copied)


class _QuickCompiler(Compiler):
    """Numba's compiler with LLVM's first level of optimisation, not its third.

    The time goes into tiles that are vector code already and into loops that the first level vectorises as well: the
    kernels are as fast, and a quarter of the time to compile them is saved. Numba knows the level, and how its inliner
    copies, only as settings of the process; it is compiling under its global lock here, so nobody else's code meets
    ours.

    A kernel's symbol has a number in it, which Numba counts up with everything that the process compiles. Here it comes
    from the kernel's name, so that a kernel has the same symbol whoever compiles it: the callers that one process has
    compiled find the kernels that another one has.
    """

    def compile_extra(self, func: Callable) -> Any:
        self.state.library = KernelLibrary(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        counted = FunctionIdentity._unique_ids
        before = config.OPT, inline_closurecall.copy  # type: ignore[attr-defined]
        config.OPT = min(config.OPT, 1)  # type: ignore[attr-defined]
        inline_closurecall.copy = _BlockCopier()  # type: ignore[assignment]
        FunctionIdentity._unique_ids = itertools.chain([_number(func)], counted)  # type: ignore[assignment]
        try:
            return super().compile_extra(func)
        finally:
            FunctionIdentity._unique_ids = counted
            config.OPT, inline_closurecall.copy = before  # type: ignore[attr-defined]


def _number(func: Callable) -> int:
    """A number of 63 bits for one kernel, which no count reaches."""
    return int.from_bytes(hashlib.sha256(kernel_name(func).encode()).digest()[:8]) | 1 << 62


_OPTIONS: dict[str, Any] = {
    "pipeline_class": _QuickCompiler,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": _FAST_MATH,
    "no_cfunc_wrapper": True,  # no C code calls these: a tenth less to compile
}


def _compile(function: Callable, **options: Any) -> Callable:
    dispatcher = numba.njit(**_OPTIONS, **options)(function)
    dispatcher._cache = KernelCache(function)
    return dispatcher


def compiled(function: Callable) -> Any:
    """Compile `function` to machine code that runs without the GIL, on first use, cached on disk.

    Division by zero gives inf or NaN as in NumPy arrays; indices are not checked. It cannot make arrays: without
    counted references there is a tenth less to compile.
    """
    return _compile(function, _nrt=False)


def code_for(kernel: Any, arguments: tuple) -> Callable:
    """What calls a kernel with arguments of the same types as these.

    The kernel itself finds their types out in every call, which takes 4 us for plans, work spaces and samples: as long
    as a fifth of a prediction of one window.
    """
    return kernel.compile(tuple(numba.typeof(argument) for argument in arguments))


def allocating(function: Callable) -> Callable:
    """As `compiled`, for a function that makes arrays."""
    return _compile(function)


def inlined(function: Callable) -> Callable:
    """As `compiled`, for a function that becomes part of each caller.

    A large one that is called in several places is quicker to compile on its own.
    """
    return _compile(function, inline="always", _nrt=False)
