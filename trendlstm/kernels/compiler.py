"""Numba's compiler, made quick for kernels; imported where there is something to compile."""

import copy
import gc
import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import config, inline_closurecall
from numba.core.bytecode import FunctionIdentity
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager

from .cache import kernel_name
from .linking import KernelLibrary


class _BlockCopier:
    """What Numba's inliner gets in the place of the module `copy` while it inlines a function once.

    It copies the function block by block, and each block refers to all of the function's variables through its scope:
    the blocks share one copy of that. It copies them again for a caller who wants the function as it was; none does.
    """

    def __init__(self) -> None:
        self._memo: dict[int, Any] = {}
        self._copies: set[int] = set()

    def deepcopy(self, block: Any) -> Any:
        if id(block) in self._copies:
            return block
        copied = copy.deepcopy(block, self._memo)
        self._copies.add(id(copied))
        return copied


_prepared: dict[Callable, Any] = {}  # by `_InlineWorker`


class _InlineWorker(inline_closurecall.InlineWorker):
    """Numba's inliner, which prepares a function once for all the places where it is inlined."""

    def run_untyped_passes(self, func: Callable, enable_ssa: bool = False) -> Any:
        self.flags.enable_ssa = enable_ssa  # as Numba's does; the flags are a part of the caller's symbol
        if func not in _prepared:
            _prepared[func] = super().run_untyped_passes(func, enable_ssa)
        return _prepared[func]

    def inline_ir(self, *arguments: Any, **options: Any) -> Any:
        inline_closurecall.copy = _BlockCopier()  # type: ignore[assignment]
        try:
            return super().inline_ir(*arguments, **options)
        finally:
            inline_closurecall.copy = copy


# Passes of Numba's compiler that do nothing for kernels, which have no `with`, no closure or comprehension, no `raise`,
# no tuple of several types to loop over and no expression of whole arrays; and one that is for `inspect_types`.
_NEEDLESS_PASSES = {
    "AnnotateTypes",
    "InlineClosureLikes",
    "InlineOverloads",
    "LiteralPropagationSubPipelinePass",
    "LiteralUnroll",
    "MakeFunctionToJitFunction",
    "NopythonRewrites",
    "RewriteDynamicRaises",
    "WithLifting",
}


class QuickCompiler(CompilerBase):
    """Numba's compiler in the settings of `_quick_settings`, and with symbols that do not depend on the process.

    A kernel's symbol has a number in it, which Numba counts up with everything that the process compiles. Here it comes
    from the kernel's name, so that a kernel has the same symbol whoever compiles it: the callers that one process has
    compiled find the kernels that another one has.
    """

    def define_pipelines(self) -> list[PassManager]:
        """The passes that a kernel goes through."""
        passes = PassManager("kernel")
        for each, description in DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
            if each.__name__ not in _NEEDLESS_PASSES:
                passes.add_pass(each, description)
        passes.finalize()
        return [passes]

    def compile_extra(self, func: Callable) -> Any:
        """Compile a function."""
        self.state.library = KernelLibrary(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        counted = FunctionIdentity._unique_ids
        FunctionIdentity._unique_ids = itertools.chain([_number(func)], counted)  # type: ignore[assignment]
        try:
            with _quick_settings():
                return super().compile_extra(func)
        finally:
            FunctionIdentity._unique_ids = counted


@contextmanager
def _quick_settings() -> Iterator[None]:
    """LLVM's first level of optimisation, not its third; a quick inliner; and no collections of garbage.

    The time of a fit goes into tiles that are vector code already and into loops that the first level vectorises as
    well: the kernels are as fast, and a quarter of the time to compile them is saved. Collections find little while a
    kernel is compiled, and took an eighth of the time.

    Numba knows the level and its inliner only as settings of the process; it is compiling under its global lock here,
    so nobody else's code meets ours.
    """
    before = config.OPT, inline_closurecall.InlineWorker  # type: ignore[attr-defined]
    collects = gc.isenabled()
    config.OPT = min(config.OPT, 1)  # type: ignore[attr-defined]
    inline_closurecall.InlineWorker = _InlineWorker  # type: ignore[misc]
    gc.disable()
    try:
        yield
    finally:
        config.OPT, inline_closurecall.InlineWorker = before  # type: ignore[attr-defined, misc]
        if collects:
            gc.enable()


def _number(func: Callable) -> int:
    """A number of 63 bits for one kernel, which no count reaches."""
    return int.from_bytes(hashlib.sha256(kernel_name(func).encode()).digest()[:8]) | 1 << 62
