"""Compiled kernels on disk: what is used again, what is compiled anew, and what is never run."""

import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import llvmlite
import numba
import pytest
from click.testing import CliRunner
from numba.core import config
from numba.core.compiler import CompileResult

import trendlstm
from trendlstm.cli import main
from trendlstm.experiments import trials
from trendlstm.kernels import cache
from trendlstm.kernels.cache import has_compiled, kernel_folder, note_compiled
from trendlstm.kernels.compile import entry_point
from trendlstm.nn import gradient_flow
from trendlstm.nn.many import compile_kernels

PACKAGE = Path(trendlstm.__file__).parent


@pytest.fixture(autouse=True)
def own_cache(own_cache, monkeypatch):
    monkeypatch.setattr(cache, "_compiled", set())
    cache._say_once.cache_clear()


def twice(x):
    return 2 * x


def in_a_new_process():
    """The kernel as a new process has it: neither compiled nor loaded."""
    for path in [path for path in cache._kernels if path.parent == kernel_folder()]:
        del cache._kernels[path]
    return entry_point(twice)


def loaded_and_compiled(dispatcher):
    return sum(dispatcher.stats.cache_hits.values()), sum(dispatcher.stats.cache_misses.values())


@pytest.fixture
def kernel_file():
    """The file of the compiled kernel."""
    first = in_a_new_process()
    assert first(21) == 42 and loaded_and_compiled(first) == (0, 1)
    (file,) = kernel_folder().iterdir()
    return file


def test_a_kernel_is_compiled_once_for_each_type_of_arguments(kernel_file):
    again = in_a_new_process()
    assert again(21) == 42 and loaded_and_compiled(again) == (1, 0)
    assert again(1.5) == 3.0 and loaded_and_compiled(again) == (1, 1)
    assert len(list(kernel_folder().iterdir())) == 2


class Malice:
    """Whoever unpickles it runs a command."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def planted(content, trace):
    return pickle.dumps(Malice(trace))


def planted_behind_the_old_hash(content, trace):
    return content[:32] + pickle.dumps(Malice(trace))


def one_bit_changed(content, trace):
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


def cut_short(content, trace):
    return content[:1000]


def empty(content, trace):
    return b""


@pytest.mark.parametrize("harm", [planted, planted_behind_the_old_hash, one_bit_changed, cut_short, empty])
def test_a_file_that_is_not_what_was_written_is_not_unpickled_but_compiled_anew(
    kernel_file, harm, tmp_path, caplog
):
    content, trace = kernel_file.read_bytes(), tmp_path / "trace"
    kernel_file.write_bytes(harm(content, trace))
    again = in_a_new_process()
    assert again(21) == 42 and loaded_and_compiled(again) == (0, 1)
    assert not trace.exists()
    assert f"The compiled kernel {kernel_file} is damaged, so it is compiled again." in caplog.text
    healed = in_a_new_process()
    assert healed(21) == 42 and loaded_and_compiled(healed) == (1, 0)


def test_what_goes_wrong_with_a_whole_file_is_no_reason_to_compile_again(kernel_file, monkeypatch):
    """A fault of this package or of Numba is shown, and the cache is not blamed."""
    content = kernel_file.read_bytes()

    def rebuild(*arguments):
        raise RuntimeError("a fault")

    monkeypatch.setattr(CompileResult, "_rebuild", rebuild)
    with pytest.raises(RuntimeError, match="a fault"):
        in_a_new_process()(21)
    assert kernel_file.read_bytes() == content


def test_where_nothing_can_be_kept_kernels_run_all_the_same(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "file" / "cache"))
    here = in_a_new_process()
    assert here(21) == 42 and here(1.5) == 3.0
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "cannot be kept" in record.message
    assert not has_compiled("work")
    note_compiled("work")
    assert has_compiled("work")
    cache._compiled.clear()
    assert not has_compiled("work")


def test_what_is_compiled_is_remembered_with_the_kernels():
    assert not has_compiled("work") and not kernel_folder().exists()
    note_compiled("work")
    cache._compiled.clear()
    assert has_compiled("work")
    shutil.rmtree(kernel_folder())
    assert not has_compiled("work")


def test_a_closure_is_refused():
    number = 3

    def times(x):
        return number * x

    with pytest.raises(TypeError, match="closure"):
        entry_point(times)


# ------------------------------------------------------------------------------------- what the folder depends on


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (numba, "__version__", "0"),
        (llvmlite, "__version__", "0"),
        (config, "BOUNDSCHECK", 1),
        (config, "DEBUGINFO_DEFAULT", 1),
        (config, "LOOP_VECTORIZE", 0),
        (config, "SLP_VECTORIZE", 1),
        (config, "LLVM_REFPRUNE_PASS", 0),
    ],
)
def test_versions_and_settings_that_change_the_code_have_kernels_of_their_own(
    owner, name, value, monkeypatch
):
    before = kernel_folder()
    monkeypatch.setattr(owner, name, value)
    assert kernel_folder() != before
    monkeypatch.undo()


def start(code, package=PACKAGE, **environment):
    """A process that runs Python code with a copy of the package."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(package.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, env=environment, cwd=package.parent, stdout=subprocess.PIPE, text=True)


def answer(process):
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return said.strip()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The package, installed elsewhere."""
    return shutil.copytree(PACKAGE, tmp_path_factory.mktemp("elsewhere") / "trendlstm")


def test_the_folder_depends_on_sources_and_processor_but_not_on_the_place(clone):
    ask = "from trendlstm.kernels.cache import kernel_folder; print(kernel_folder())"
    edited = shutil.copytree(clone, clone.parents[1] / "edited" / "trendlstm")
    with (edited / "kernels" / "equations.py").open("a") as file:
        file.write("# a remark\n")
    processes = {
        "elsewhere": start(ask, clone),
        "edited": start(ask, edited),
        "less optimised": start(ask, NUMBA_OPT="0"),
        "another processor": start(ask, NUMBA_CPU_NAME="generic"),
        "fewer features": start(ask, NUMBA_CPU_FEATURES="+sse2"),
    }
    folders = {name: answer(process) for name, process in processes.items()}
    assert folders["elsewhere"] == str(kernel_folder())
    assert len(set(folders.values())) == len(folders)


def test_another_installation_of_the_same_package_compiles_nothing_and_imports_no_more_of_numba(
    clone, monkeypatch
):
    with monkeypatch.context() as outside:  # where other tests have the kernels, too
        outside.delenv("TRENDLSTM_CACHE_DIR")
        # not in this process: what it has compiled into the cache of one test alone it would not compile again
        answer(
            start(
                """
                from trendlstm.experiments import trials
                from trendlstm.nn import gradient_flow, many
                for of in many, gradient_flow, trials:
                    of.compile_kernels()
                """
            )
        )
        shared = kernel_folder()
    shutil.copytree(shared, kernel_folder())
    process = start(
        """
        import json, sys
        import numba.core.event as events
        from trendlstm.kernels import cache
        from trendlstm.experiments import trials
        from trendlstm.nn import gradient_flow, many
        with events.install_recorder("numba:compile") as recorder:
            many.compile_kernels()
            imported = [name for name in sys.modules if name in ("scipy.linalg", "numba.np.linalg")]
            gradient_flow.compile_kernels()
            trials.compile_kernels()
        print(json.dumps([cache.__file__, cache.has_compiled("float32"), len(recorder.buffer), imported]))
        """,
        clone,
    )
    assert json.loads(answer(process)) == [str(clone / "kernels" / "cache.py"), True, 0, []]


def test_warmup_fails_where_it_cannot_keep_what_it_compiles(tmp_path, monkeypatch):
    with monkeypatch.context() as outside:
        outside.delenv("TRENDLSTM_CACHE_DIR")
        for compile_some in compile_kernels, gradient_flow.compile_kernels, trials.compile_kernels:
            compile_some()
    cache._compiled.clear()
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "file" / "cache"))
    result = CliRunner().invoke(main, ["warmup"])
    assert result.exit_code == 1
    assert f"cannot be kept in {tmp_path / 'file' / 'cache'}/kernels/" in result.stderr.splitlines()[-1]


def test_importing_writes_nothing(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    process = start(
        """
        import trendlstm
        for name in trendlstm.__all__:
            getattr(trendlstm, name)
        import trendlstm.cli
        """,
        HOME=str(home),
        XDG_CACHE_HOME=str(home / "cache"),
        TMPDIR=str(home),
    )
    answer(process)
    assert list(home.iterdir()) == [] and not Path(os.environ["TRENDLSTM_CACHE_DIR"]).exists()
