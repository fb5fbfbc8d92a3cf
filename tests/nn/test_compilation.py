"""Compiling ahead: every kernel is told of, and shown."""

import itertools

import pytest
from numba.core.caching import NullCache

from trendlstm.cli import common
from trendlstm.kernels.compile import compiled
from trendlstm.nn.compilation import counted_kernels
from trendlstm.output import console


def twice(x):
    return x + x


def thrice(x):
    return x + x + x


@pytest.fixture
def kernels(monkeypatch):
    """Two kernels that are not compiled yet."""
    for function in (twice, thrice):
        monkeypatch.setattr(function, "__module__", "trendlstm.kernels.of_a_test")
    made = compiled(twice), compiled(thrice)
    for kernel in made:
        kernel._cache = NullCache()  # there is no such module for it to be loaded from
    return made


def test_every_kernel_is_told_of_once(kernels):
    told = []
    with counted_kernels(told.append):
        for kernel in (*kernels, *kernels):
            kernel(3)
    kernels[0](2.5)  # compiled anew, but nobody listens any more
    assert told == [(1, "twice"), (2, "thrice")]


def test_compiling_is_shown_also_without_a_terminal(kernels, monkeypatch, capsys):
    seconds = itertools.count(0.0, 3.0)
    monkeypatch.setattr(console, "clock", lambda: next(seconds))
    monkeypatch.setattr(common, "_KERNELS", {"float32": 4})
    monkeypatch.setattr(common, "_compile", lambda work: [kernel(3) for kernel in kernels])
    monkeypatch.setattr("trendlstm.kernels.cache.has_compiled", lambda work: work != "float32")
    common.compile_kernels(console.Console(), "float32", "gradients")
    first, *lines, last = capsys.readouterr().err.splitlines()
    assert first.startswith("Compiling the kernels for this machine: once")
    assert lines == [
        "Compiling: 25 % · kernel 1: twice · about 9 s left",
        "Compiling: 50 % · kernel 2: thrice · about 6 s left",
        "Compiling: 100 %",
    ]
    assert last.startswith("Compiled in ")
    common.compile_kernels(console.Console(), "gradients")
    assert capsys.readouterr().err == ""
