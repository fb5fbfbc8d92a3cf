"""Kernels that call each other: in this process, from the cache, and where a file of the cache is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trendlstm
from trendlstm.kernels.cache import kernel_folder
from trendlstm.kernels.compile import entry_point

MODULE = """
from trendlstm.kernels.compile import entry_point

@entry_point
def half(x):
    return x / 2

@entry_point
def square(x):
    return x * x

@entry_point
def square_and_one(x):
    return square(x) + 1.0
"""
ASK = """
import json, sys
import two_kernels
for name in sys.argv[1:]:
    kernel = getattr(two_kernels, name)
    print(json.dumps([kernel(3.0), sum(kernel.stats.cache_hits.values())]))
"""


@pytest.fixture(autouse=True)
def own_folder(own_cache, tmp_path):
    (tmp_path / "two_kernels.py").write_text(MODULE)


def start(folder, *names):
    """A process that calls kernels with 3."""
    path = os.pathsep.join([str(folder), str(Path(trendlstm.__file__).parents[1])])
    command = [sys.executable, "-c", ASK, *names]
    return subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    )


def answers(process):
    """Of each kernel what it gave, and whether it was loaded."""
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [(value, bool(hits)) for value, hits in map(json.loads, said.splitlines())]


def call(folder, *names):
    return answers(start(folder, *names))


def file_of(name):
    (file,) = kernel_folder().glob(f"two_kernels.{name}-*.kernel")
    return file


def test_a_kernel_is_not_compiled_again_in_one_that_calls_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    import two_kernels

    assert two_kernels.square_and_one(3.0) == 10.0
    (code,) = two_kernels.square_and_one.inspect_llvm().values()
    (callee,) = two_kernels.square.overloads.values()
    symbol = callee.fndesc.mangled_name
    assert any(line.startswith("declare") and symbol in line for line in code.splitlines())
    assert not any(line.startswith("define") and symbol in line for line in code.splitlines())


def test_kernels_that_processes_compile_at_the_same_time_are_loaded_with_those_that_they_call(tmp_path):
    together = [start(tmp_path, "square_and_one"), start(tmp_path, "half", "square", "square_and_one")]
    assert [answers(process)[-1][0] for process in together] == [10.0, 10.0]
    assert call(tmp_path, "square_and_one", "square") == [(10.0, True), (9.0, True)]


def test_a_kernel_whose_callee_is_missing_or_damaged_is_compiled_anew(tmp_path):
    call(tmp_path, "square_and_one")
    file_of("square").unlink()
    assert call(tmp_path, "square_and_one") == [(10.0, False)]
    file_of("square").write_bytes(b"damaged")
    assert call(tmp_path, "square_and_one") == [(10.0, False)]
    assert call(tmp_path, "square_and_one") == [(10.0, True)]


def test_a_kernel_fits_its_callers_whichever_process_has_compiled_it(tmp_path):
    """Its symbol must not depend on what the process has compiled before: a call of an unknown one would end it."""
    call(tmp_path, "square_and_one")
    file_of("square").unlink()
    assert call(tmp_path, "half", "square") == [(1.5, False), (9.0, False)]
    assert call(tmp_path, "square_and_one", "square") == [(10.0, True), (9.0, True)]


def test_two_functions_of_one_name_are_two_kernels():
    def local(x):
        return x + 1.0

    first = entry_point(local)

    def local(x):
        return x + 2.0

    assert (first(1.0), entry_point(local)(1.0), first(1.0)) == (2.0, 3.0, 2.0)
