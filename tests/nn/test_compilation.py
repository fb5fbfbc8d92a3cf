"""Compiling ahead: every kernel is told of, and shown; two processes share the work, or one does all of it."""

import itertools
import os
import subprocess
import sys

import pytest
from numba.core.caching import NullCache

from trendlstm.cli import common
from trendlstm.kernels.cache import kernel_folder
from trendlstm.kernels.compile import entry_point
from trendlstm.nn import compilation, many
from trendlstm.nn.compilation import compile_kernels, counted_kernels
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
    made = entry_point(twice), entry_point(thrice)
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


@pytest.fixture
def two_cores(monkeypatch):
    """As on a machine with two cores; all kernels are in the cache."""
    many.compile_kernels()
    monkeypatch.setattr(compilation, "available_threads", lambda: 2)


@pytest.mark.parametrize(
    "code",
    [
        "a fault",
        "import os; os.kill(os.getpid(), 9)",
        "import os; os.close(0); print('drop', flush=True); os._exit(1)",
        compilation._SECOND_PROCESS.replace("sys.argv[1:3]", "'float32', 'another folder'"),
    ],
)
def test_a_second_process_that_fails_is_done_without(code, two_cores, monkeypatch, capfd):
    class Ended(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.wait()

    monkeypatch.setattr(subprocess, "Popen", Ended)
    monkeypatch.setattr(compilation, "_SECOND_PROCESS", code)
    compile_kernels()
    assert capfd.readouterr() == ("", "")


def test_a_second_process_that_cannot_be_started_is_done_without(two_cores, monkeypatch):
    def refuse(*arguments, **options):
        raise BlockingIOError("too many processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    compile_kernels()


def test_the_second_process_ends_when_the_first_has_ended(two_cores):
    command = [sys.executable, "-c", compilation._SECOND_PROCESS, "float32", str(kernel_folder()), *sys.path]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"\n"  # it has its first part, and waits to be asked for more
    assert process.poll() is None
    assert process.communicate(timeout=60) == (
        b"",
        b"",
    )  # closes its standard input, as a process that is killed


def test_no_second_process_is_left_when_the_first_is_interrupted(two_cores, monkeypatch):
    started = []

    class Process(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    def interrupt(parts):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(compilation._Parts, "forward", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compile_kernels()
    (process,) = started
    assert process.returncode is not None


def no_core_is_left(monkeypatch, tmp_path):
    monkeypatch.setattr(compilation, "available_threads", lambda: 1)


def the_interpreter_is_frozen(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "frozen", True, raising=False)


def the_interpreter_is_embedded(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", "")


def there_is_no_cache(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "file" / "cache"))


def the_cache_is_read_only(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: False)


@pytest.mark.parametrize(
    "reason",
    [
        no_core_is_left,
        the_interpreter_is_frozen,
        the_interpreter_is_embedded,
        there_is_no_cache,
        the_cache_is_read_only,
    ],
)
def test_one_process_does_all_of_it_where(reason, two_cores, monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        pytest.fail("a second process")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    reason(monkeypatch, tmp_path)
    compile_kernels()
