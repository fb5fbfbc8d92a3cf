"""How compiled kernels call each other."""

from weakref import WeakKeyDictionary

from numba.core.codegen import CodeLibrary, JITCodeLibrary

# Of each kernel that is compiled or loaded, the name of its file in the cache and its symbol.
kernels: "WeakKeyDictionary[CodeLibrary, tuple[str, str]]" = WeakKeyDictionary()


class KernelLibrary(JITCodeLibrary):
    """The machine code of one kernel, which calls other kernels where they lie.

    Numba would link them into each kernel that calls them, to optimise them and to make machine code of them once
    more. Here they stay declarations, which LLVM's engine resolves by their symbols: they must be loaded before, and
    a symbol that no loaded kernel has would end the process.
    """

    def __init__(self, codegen, name: str) -> None:
        super().__init__(codegen, name)
        self.callees: list[CodeLibrary] = []

    def add_linking_library(self, library: CodeLibrary) -> None:
        """As Numba's, but a kernel is only kept loaded."""
        if library in kernels:
            self.callees.append(library)
        else:
            super().add_linking_library(library)
