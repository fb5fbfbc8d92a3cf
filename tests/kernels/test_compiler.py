"""What is done for Numba to compile quickly: that it is done, and undone afterwards."""

import copy
import gc
import shutil

import pytest
from numba.core import config, inline_closurecall, untyped_passes
from numba.core.errors import TypingError
from numba.core.interpreter import Interpreter

from trendlstm.kernels import cache, compiler
from trendlstm.kernels.cache import kernel_folder
from trendlstm.kernels.compile import entry_point, inlined


@pytest.fixture(autouse=True)
def empty_cache(own_cache):
    pass


@inlined
def step(x, y):
    total = 0.0
    for _ in range(3):
        if x > y:
            total += x
        else:
            total -= y
    return total


@inlined
def two_steps(x, y):
    return step(x, y) - step(y, x)


def test_the_blocks_of_an_inlined_function_share_one_copy_of_its_scope(monkeypatch):
    copiers = []

    class Copier(compiler._BlockCopier):
        def __init__(self):
            super().__init__()
            self.pairs = []
            copiers.append(self.pairs)

        def deepcopy(self, block):
            copied = super().deepcopy(block)
            if copied is not block:
                self.pairs.append((block.scope, copied.scope))
            return copied

    monkeypatch.setattr(compiler, "_BlockCopier", Copier)

    def both(x, y):
        return two_steps(x, y) + 10.0 * two_steps(y, x)

    # step(2, 1) is 6, step(1, 2) is -6
    assert entry_point(both)(2.0, 1.0) == 12.0 - 120.0
    assert len(copiers) >= 2 and sum(map(len, copiers)) > len(copiers)
    for pairs in copiers:
        assert len({(id(scope), id(copied)) for scope, copied in pairs}) == 1
    copies = [id(copied) for ((_, copied), *_) in copiers]
    assert len(copies) == len(set(copies)) and not set(copies) & {id(scope) for ((scope, _), *_) in copiers}


def test_numba_is_afterwards_as_it_was():
    def wrong(x):
        return step(x, x) + no_such_name  # noqa: F821

    level, worker = config.OPT, inline_closurecall.InlineWorker
    with pytest.raises(TypingError, match="no_such_name"):
        entry_point(wrong)(1.0)
    assert config.OPT is level and gc.isenabled()
    assert inline_closurecall.copy is copy and inline_closurecall.InlineWorker is worker


def test_collections_of_garbage_stay_switched_off_for_who_has_done_so():
    gc.disable()
    try:
        assert entry_point(lambda x: step(x, x) + 1.0)(1.0) == -2.0
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_function_is_prepared_once_for_all_the_places_where_it_is_inlined(monkeypatch):
    monkeypatch.setattr(compiler, "_prepared", {})
    analysed = []

    def interpret(interpreter, bytecode):
        analysed.append(bytecode.func_id.func)
        return Interpreter.interpret(interpreter, bytecode)

    monkeypatch.setattr(
        untyped_passes.interpreter, "Interpreter", type("Spy", (Interpreter,), {"interpret": interpret})
    )

    def first(x, y):
        return two_steps(x, y) + 10.0 * two_steps(y, x)

    def second(x, y):
        return step(x, y) + two_steps(x, y)

    assert entry_point(first)(2.0, 1.0) == 12.0 - 120.0
    assert entry_point(second)(2.0, 1.0) == 6.0 + 12.0
    assert sorted(function.__name__ for function in analysed) == ["first", "second", "step", "two_steps"]


def test_a_symbol_does_not_depend_on_what_has_been_inlined_before(monkeypatch):
    def kernel(x, y):
        return two_steps(x, y)

    symbols = []
    for prepared in ({}, compiler._prepared):
        monkeypatch.setattr(compiler, "_prepared", prepared)
        monkeypatch.setattr(cache, "_kernels", {})
        shutil.rmtree(kernel_folder(), ignore_errors=True)
        made = entry_point(kernel)
        assert made(2.0, 1.0) == 12.0
        (overload,) = made.overloads.values()
        symbols.append(overload.fndesc.mangled_name)
    assert symbols[0] == symbols[1]
