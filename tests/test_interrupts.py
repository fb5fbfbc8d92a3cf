"""Ctrl-C and SIGTERM end the command in one line, whenever they come."""

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")

ROOT = Path(__file__).parents[1]
TRAIN = "train MSFT --source sample --years 1 --hidden 3 --dense none --lag 4 --epochs 3"

AT_IMPORT = """
    class SignalAtImport:
        def find_spec(self, name, path=None, target=None):
            if name == {name!r}:
                press()
    sys.meta_path.insert(0, SignalAtImport())
"""


def run(command, prepare, number=signal.SIGINT, presses=1):
    """The command in a process that has first run Python code, in which press() sends it the signal."""
    code = f"""
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job starts without
def press():
    for _ in range({presses}):
        os.kill(os.getpid(), {int(number)})
{textwrap.dedent(prepare)}
sys.argv[0] = "trendlstm"
from trendlstm.__main__ import main
main()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code, *shlex.split(command)]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)


def assert_one_line(done):
    assert done.returncode == 130, done.stderr
    *before, last = done.stderr.splitlines()
    assert last.startswith("Error: Interrupted")
    assert not [line for line in before if not line.startswith(("Warning: ", "Compil", "Training"))]


@pytest.mark.parametrize(("number", "presses"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2)])
def test_while_the_command_line_is_imported(number, presses):
    assert_one_line(run("summary", AT_IMPORT.format(name="click"), number, presses))


def test_while_the_pictures_of_a_trained_run_are_imported(tmp_path):
    """The import ends first, so that the run is kept, and at most its pictures are missing."""
    done = run(f"{TRAIN} --out {tmp_path / 'run'}", AT_IMPORT.format(name="matplotlib"))
    assert_one_line(done)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["verdict"]


IN_COMMAND = """
    from trendlstm.cli import tools
    from trendlstm import interrupts
    def make_console(as_json):
{body}
    tools.make_console = make_console
"""


def in_command(body):
    return IN_COMMAND.format(body=textwrap.indent(textwrap.dedent(body), " " * 8))


# A module that hides the exception, as NumPy's does.
FRAGILE = """
    try:
        __main__.press()
        for _ in range(1000):
            pass
    except BaseException as error:
        raise ImportError("only half of it is there") from error
"""


@pytest.mark.parametrize("then", ["time.sleep(100)", "sys.exit()"])
def test_an_import_ends_first(then, tmp_path):
    (tmp_path / "fragile.py").write_text("import __main__\n" + textwrap.dedent(FRAGILE))
    body = f"""
        sys.path.append({str(tmp_path)!r})
        import fragile
        {then}
    """
    assert_one_line(run("summary", in_command(body), presses=2))


def test_a_second_signal_does_not_disturb_what_the_first_has_begun():
    body = """
        try:
            press()
        except KeyboardInterrupt:
            press()
            print("cleaned up")
            raise
    """
    done = run("summary", in_command(body))
    assert_one_line(done)
    assert done.stdout == "cleaned up\n"


def test_a_later_press_ends_what_does_not_stop():
    body = """
        interrupts._ONE_PRESS_SECONDS = 0
        try:
            press()
        except KeyboardInterrupt:
            press()
            time.sleep(100)
    """
    assert_one_line(run("summary", in_command(body)))


def test_what_is_raised_in_a_destructor_is_not_lost():
    body = """
        class Last:
            def __del__(self):
                press()
        Last()
        time.sleep(100)
    """
    assert_one_line(run("summary", in_command(body)))


def test_a_job_in_the_background_goes_on():
    ignored = "    signal.signal(signal.SIGINT, signal.SIG_IGN)"
    done = run("--version", ignored + AT_IMPORT.format(name="click"))
    assert done.returncode == 0 and done.stderr == ""


def test_nothing_is_imported_before_signals_are_caught():
    code = "import sys, trendlstm.interrupts; print({'typing', 'importlib', 'threading', 'click'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
