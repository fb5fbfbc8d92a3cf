"""What is done for Numba to compile quickly: that it is done, and undone afterwards."""

import copy

import pytest
from numba.core import config, inline_closurecall
from numba.core.errors import TypingError

from trendlstm.kernels import compile as compile_module
from trendlstm.kernels.compile import compiled, inlined


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
    copied = []

    class Copier(compile_module._BlockCopier):
        def deepcopy(self, block):
            copied_block = super().deepcopy(block)
            copied.append((block.scope, copied_block.scope))
            return copied_block

    monkeypatch.setattr(compile_module, "_BlockCopier", Copier)

    def both(x, y):
        return two_steps(x, y) + 10.0 * two_steps(y, x)

    # step(2, 1) is 6, step(1, 2) is -6
    assert compiled(both)(2.0, 1.0) == 12.0 - 120.0
    copies = {}
    for scope, copied_scope in copied:
        assert copied_scope is not scope
        copies.setdefault(id(scope), set()).add(id(copied_scope))
    assert len(copied) > len(copies) > 4
    assert all(len(scopes) == 1 for scopes in copies.values())


def test_numba_is_afterwards_as_it_was():
    def wrong(x):
        return step(x, x) + no_such_name  # noqa: F821

    level = config.OPT
    with pytest.raises(TypingError, match="no_such_name"):
        compiled(wrong)(1.0)
    assert config.OPT is level and inline_closurecall.copy is copy
