"""How every kernel is compiled."""

from collections.abc import Callable
from typing import Any, NoReturn

import numba

from .cache import KernelCache


class _Ordered(set[str]):
    """A set that reads the same in every process: the text of these flags is a part of every symbol."""

    def __repr__(self) -> str:
        return repr(sorted(self))


# No "nnan" and no "ninf": a loss that becomes NaN must stay NaN until fit() sees it. No "reassoc": the sums that
# define a result are written in the order they are added, so that every thread count gives the same bits.
_FAST_MATH = _Ordered({"nsz", "contract", "arcp"})


def _make_compiler(*arguments: Any) -> Any:
    """A `QuickCompiler`: what it needs of Numba takes a tenth of a second to import."""
    from .compiler import QuickCompiler

    return QuickCompiler(*arguments)


_OPTIONS: dict[str, Any] = {
    "pipeline_class": _make_compiler,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": _FAST_MATH,
    "no_cfunc_wrapper": True,  # no C code calls these: a tenth less to compile
}


def _compile(function: Callable, **options: Any) -> Any:
    dispatcher = numba.njit(**_OPTIONS, **options)(function)
    dispatcher._cache = KernelCache(function)
    return dispatcher


def entry_point(function: Callable) -> Any:
    """Compile `function` to machine code that runs without the GIL, on first use, cached on disk.

    Division by zero gives inf or NaN as in NumPy arrays; indices are not checked. It cannot make arrays: without
    counted references there is a tenth less to compile.
    """
    return _compile(function, _nrt=False)


def allocating(function: Callable) -> Any:
    """As `entry_point`, for a function that makes arrays."""
    return _compile(function)


def compiled(function: Callable) -> Any:
    """As `entry_point`, for a function that other kernels call.

    Python cannot: what unpacks its arguments would be a fifth of the code to compile.
    """
    dispatcher = _compile(function, _nrt=False, no_cpython_wrapper=True)

    def add_overload(kernel: Any) -> None:  # but not to those that Python calls where they lie
        dispatcher.overloads[tuple(kernel.signature.args)] = kernel

    def refuse(*arguments: object, **options: object) -> NoReturn:
        raise TypeError(f"{function.__name__} can be called by kernels alone: mark it @entry_point.")

    dispatcher.add_overload, dispatcher._compile_for_args = add_overload, refuse
    return dispatcher


def inlined(function: Callable) -> Any:
    """As `compiled`, for a function that becomes part of each caller.

    A large one that is called in several places is quicker to compile on its own.
    """
    return _compile(function, inline="always", _nrt=False)


def code_for(kernel: Any, arguments: tuple) -> Callable:
    """What calls a kernel with arguments of the same types as these.

    The kernel itself finds their types out in every call, which takes 4 us for plans, work spaces and samples: as long
    as a fifth of a prediction of one window.
    """
    return kernel.compile(tuple(numba.typeof(argument) for argument in arguments))
