"""The command line's output: what goes where, and that no figure is ever lost."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trendlstm.files import jsonable
from trendlstm.output import console
from trendlstm.output.console import Console

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def everything(console: Console) -> None:
    console.notice("a notice")
    console.warning("a warning")
    console.print("a result")
    console.table("a title", ["split", "RMSE"], [["test", 0.5]])
    with console.progress("Training", 2) as progress:
        progress.update(1, "epoch 1/2 · loss 0.812")
        progress.update(2)
    console.error("an error")


@pytest.mark.parametrize(
    ("flags", "out", "err"),
    [
        ({}, {"a result", "a title", "0.5"}, {"a notice", "Warning: a warning", "Error: an error"}),
        ({"quiet": True}, {"a result", "a title", "0.5"}, {"Warning: a warning", "Error: an error"}),
        (
            {"json": True},
            set(),
            {"a notice", "a result", "a title", "0.5", "Warning: a warning", "Error: an error"},
        ),
        ({"json": True, "quiet": True}, set(), {"Warning: a warning", "Error: an error"}),
    ],
)
def test_results_go_to_stdout_and_all_else_to_stderr(capsys, flags, out, err):
    everything(Console(**flags))
    shown = capsys.readouterr()
    parts = {"a notice", "a result", "a title", "0.5", "Warning: a warning", "Error: an error"}
    assert {part for part in parts if part in shown.out} == out
    assert {part for part in parts if part in shown.err} == err
    assert "epoch" not in shown.out + shown.err and "Training" not in shown.out + shown.err
    assert "\x1b" not in shown.out + shown.err


def test_without_a_terminal_progress_is_a_line_every_tenth_or_ten_seconds(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(console, "clock", lambda: now)
    with Console().progress("Training", 1000) as progress:
        for second, done in enumerate((0, 3, 5, 110, 120, 130, 140, 150, 160, 170, 180, 190, 195, 500, 1000)):
            now = 100.0 + second
            progress.update(done, f"epoch {done}")
    assert capsys.readouterr().err.splitlines() == [
        "Training: 11 % · epoch 110 · about 25 s left",
        "Training: 50 % · epoch 500 · about 13 s left",
        "Training: 100 % · epoch 1000",
    ]
    now = 100.0
    with Console().progress("Training", 1e6) as progress:
        for second in range(25):
            now = 100.0 + second
            progress.update(second)
    assert [line.split(" · ")[0] for line in capsys.readouterr().err.splitlines()] == ["Training: 0 %"] * 2
    with Console(quiet=True).progress("Training", 10) as progress:
        now = 200.0
        progress.update(10)
    assert capsys.readouterr().err == ""


def test_what_takes_less_than_two_seconds_says_nothing(capsys):
    with Console().progress("Training", 3) as progress:
        for epoch in range(4):
            progress.update(epoch)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("say", ["notice", "warning", "error"])
def test_one_line_whatever_the_text(capsys, say):
    text = "it broke\n  in [bold]two[/bold] places :smile: \x1b[31m" + "and this goes on and on " * 20
    getattr(Console(), say)(text)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and shown.endswith("\n") and "\x1b" not in shown
    assert "it broke in [bold]two[/bold] places :smile: " in shown
    assert shown.count("and this goes on and on") == 20


def test_error_takes_an_exception(capsys):
    Console().error(ValueError("--lag must be at least 1"))
    assert capsys.readouterr().err == "Error: --lag must be at least 1\n"


def test_log_warnings_are_one_line_on_stderr_said_once(capsys, logger):
    Console(json=True).configure_logging()
    Console(quiet=True).configure_logging()
    logger.getChild("data").warning("Yahoo did not answer;\nthe sample of %s is used.", "MSFT")
    logger.info("a detail")
    shown = capsys.readouterr()
    assert shown.err == "Warning: Yahoo did not answer; the sample of MSFT is used.\n"
    assert shown.out == ""


def test_print_leaves_long_and_marked_up_lines_alone_in_a_pipe(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = "  " + "[red]price[/red] 1234.5 :warning: " * 20 + "\nsecond line"
    Console().print(text)
    assert capsys.readouterr().out == text + "\n"


@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=60),
            st.integers(-(10**18), 10**18),
            st.floats(-1e12, 1e12),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_table_never_cuts_a_figure_and_aligns_columns(rows):
    process_rows = [(name, count, value, f"{value:,.2f} %") for name, count, value in rows]
    shown = table_at_width_40("title", ["name", "count", "value", "percent"], process_rows).splitlines()
    assert shown[0] == "title" and len(shown) == 3 + len(rows)
    ends = {len(line) for line in shown[1:]}
    assert len(ends) == 1  # the last column is numeric: aligned right, so all lines end together
    for line, (name, count, value) in zip(shown[3:], rows, strict=True):
        assert line.split() == [name, f"{count:,}", f"{value:,.4f}", f"{value:,.2f}", "%"]
        assert line.startswith(name)


def table_at_width_40(*arguments) -> str:
    """Output of `Console.table` into a pipe, where the environment claims 40 columns."""
    from contextlib import redirect_stdout
    from io import StringIO

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        patch.setenv("COLUMNS", "40")
        Console().table(*arguments)
    return out.getvalue()


def test_table_shows_missing_values_numpy_numbers_and_wide_characters():
    rows = [["東京", np.float32(1.5), np.int64(1200), "12 %"], ["MSFT", None, float("nan"), "–"]]
    assert table_at_width_40("", ["name", "a value", "count", "hits"], rows).splitlines() == [
        "name  a value  count  hits",
        "────  ───────  ─────  ────",
        "東京   1.5000  1,200  12 %",
        "MSFT        –      –     –",
    ]
    assert table_at_width_40("", ["name"], []).splitlines() == ["name", "────"]


def test_table_aligns_text_left():
    shown = table_at_width_40(
        "", ["layer", "shape"], [["recurrent", "(64, 1)"], ["dense.0", "(32,)"]], ("shape",)
    )
    assert shown.splitlines()[2:] == ["recurrent  (64, 1)", "dense.0    (32,)"]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ({"a": float("nan"), "b": [float("inf"), -np.inf, 1.5]}, {"a": None, "b": [None, None, 1.5]}),
        (
            {"rmse": np.float32(0.5), "n": np.int64(3), "ok": np.bool_(True)},
            {"rmse": 0.5, "n": 3, "ok": True},
        ),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), [[1.0, None], [None, 2.0]]),
        ([date(2013, 3, 1), datetime(2013, 3, 1, 16, 30)], ["2013-03-01", "2013-03-01T16:30:00"]),
        (datetime(2013, 3, 1, tzinfo=UTC), "2013-03-01T00:00:00+00:00"),
        ([pd.Timestamp("2013-03-01"), pd.NaT], ["2013-03-01", None]),
        (np.array(["2013-03-01", "NaT"], "datetime64[ns]"), ["2013-03-01", None]),
        (np.datetime64("2013-03-01", "ns"), "2013-03-01"),
        (pd.DatetimeIndex(["2013-03-01"]), ["2013-03-01"]),
        (pd.DatetimeIndex(["2013-03-01"], tz="UTC"), ["2013-03-01T00:00:00+00:00"]),
        (pd.Series([1.0, np.nan]), [1.0, None]),
        ({1: Path("runs") / "x", np.int64(2): ()}, {"1": os.path.join("runs", "x"), "2": []}),
        ({"text": "80 % · ±", "none": None}, {"text": "80 % · ±", "none": None}),
    ],
)
def test_json_is_one_valid_document(capsys, obj, expected):
    Console(json=True).json(obj)
    shown = capsys.readouterr()

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(shown.out, parse_constant=refuse) == expected
    assert shown.err == ""


def test_json_refuses_what_it_does_not_know(capsys):
    with pytest.raises(TypeError, match="object"):
        jsonable({"a": object()})
    with pytest.raises(TypeError, match="object"):
        Console().json([1, object()])
    assert capsys.readouterr().out == ""


def run_script(script: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
        timeout=60,
    )


def test_output_that_is_not_unicode_does_not_stop_the_command():
    script = (
        "from trendlstm.output.console import Console\n"
        "c = Console(); c.print('loss · 1'); c.table('', ['price €'], [[1.0]]); c.warning('±')"
    )
    shown = run_script(script, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert shown.stdout.split() == [b"loss", b"?", b"1", b"price", b"?", b"-------", b"1.0000"]
    assert shown.stderr.startswith(b"Warning: ")


def test_heavy_libraries_wait_until_something_is_shown():
    script = (
        "import sys; from trendlstm.output.console import Console; Console()\n"
        "print([name for name in ('rich', 'numpy', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    assert run_script(script).stdout.strip() == b"[]"


TRAINING = """
import logging, sys
from trendlstm.output.console import Console
console = Console(**{flags})
console.configure_logging()
with console.progress("Training [1]", 100) as progress:
    progress.update(37, "epoch 37/100 · loss 0.812 · validation 0.934")
    logging.getLogger("trendlstm").warning("A line in between.")
    print("result", flush=True)
with console.progress("Training again", 100) as progress:
    progress.update(90, "epoch 90/100 · loss 0.7 · validation 0.8")
    progress.update(100)
console.print("a sentence of many words " * 8)
"""


def on_a_terminal(script: str, width: int) -> str:
    """What a script shows on a terminal of so many columns, both streams."""
    return with_terminal(script, stderr_only=False, width=width, NO_COLOR="1")[1]


def run_with_terminal(flags: dict[str, bool], stderr_only: bool, **environment: str) -> tuple[str, str]:
    """Run TRAINING with standard error, or both streams, on a terminal of 100 columns; (pipe, terminal)."""
    return with_terminal(TRAINING.replace("{flags}", repr(flags)), stderr_only, **environment)


def with_terminal(script: str, stderr_only: bool, width: int = 100, **environment: str) -> tuple[str, str]:
    """Run a script with standard error, or both streams, on a terminal; (pipe, terminal)."""
    import fcntl
    import pty
    import struct
    import termios

    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "PYTHONUTF8": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if stderr_only else terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(controller, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other side has closed
        pass
    os.close(controller)
    piped = process.communicate(timeout=60)[0] or b""
    assert process.returncode == 0
    return piped.decode(), shown.decode()


needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


@needs_terminal
def test_progress_bar_on_a_terminal_shows_losses_and_time_left():
    piped, terminal = run_with_terminal({}, stderr_only=True, NO_COLOR="1")
    assert piped.startswith("result\n") and piped.endswith("a sentence of many words " * 8 + "\n")
    unfinished, finished = (
        next(line for line in terminal.splitlines() if text in line) for text in ("37", "90")
    )
    assert "Training [1]" in unfinished and "ETA" in unfinished
    assert "epoch 37/100 · loss 0.812 · validation 0.934" in unfinished
    assert "epoch 90/100 · loss 0.7 · validation 0.8" in finished
    assert "ETA" not in finished  # but how long it took
    assert "Warning: A line in between.\r\n" in terminal
    assert "\x1b[3" not in terminal  # no colours


TABLE = """
from trendlstm.output.console import Console
columns = ["Rows", "Forecast", "RMSE", "Hit rate % [95 %]", "DM p", "A much longer heading", "Lag"]
rows = [["test", "lstm", 0.2928, "50.5 [41, 60]", "0.484", 12345678, 1], ["", "drift", 0.2947, None, "0.791", 2, None]]
Console().table("How far the predictions were off", columns, rows, text=("Forecast",))
"""


@needs_terminal
@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_table_wider_than_the_terminal_is_broken_into_blocks_that_lose_nothing(width):
    shown = re.sub(r"\x1b\[\d*m", "", on_a_terminal(TABLE, width))
    lines = shown.splitlines()
    for text in (
        "RMSE",
        "Hit rate % [95 %]",
        "50.5 [41, 60]",
        "0.484",
        "12,345,678",
        "A much longer heading",
    ):
        assert shown.count(text) == 1
    assert all(
        line.startswith(("test  lstm", "      drift")) for line in lines if "lstm" in line or "drift" in line
    )
    blocks = sum(line.startswith("Rows  Forecast") for line in lines)
    assert blocks == {40: 4, 60: 2, 100: 1}[width]
    assert max(map(len, lines)) <= width
    said = f"The columns are in {blocks} blocks, because the terminal is {width} wide."
    assert (said in " ".join(shown.split())) == (blocks > 1)


@needs_terminal
def test_colours_on_a_terminal_and_words_kept_whole():
    _, terminal = run_with_terminal({}, stderr_only=False)
    assert "\x1b[33mWarning: \x1b[0m" in terminal
    sentence = terminal[terminal.index("a sentence") :].splitlines()
    assert len(sentence) > 1 and max(map(len, sentence)) <= 100
    assert " ".join(sentence).split() == ("a sentence of many words " * 8).split()


@needs_terminal
def test_quiet_shows_no_bar_on_a_terminal():
    piped, terminal = run_with_terminal({"quiet": True}, stderr_only=True, NO_COLOR="1")
    assert terminal == "Warning: A line in between.\r\n"
    assert piped.startswith("result\n")
