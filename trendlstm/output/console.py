"""Everything that the command line shows: text, tables, progress bars, notices, errors and JSON.

The only module that prints. Results go to standard output, all else to standard error; with ``--json``
standard output carries one JSON object and nothing more. rich is imported when the first line is shown, not
before.
"""

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trendlstm.files import json_text

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress

DASH = "–"  # what a table shows where there is no value
_NUMBER = re.compile(r"[<≤≥±~]?\s*[+\-−]?\.?\d")


class Console:
    """Where one command's output goes.

    Parameters
    ----------
    json : bool
        Standard output is kept for `json`; text and tables go to standard error.
    quiet : bool
        Standard error is kept for warnings and errors: no notices, no progress bars, and with `json` no text
        and tables either.
    """

    def __init__(self, json: bool = False, quiet: bool = False) -> None:
        self._json = json
        self._quiet = quiet
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a "·" must not stop a run whose output is not Unicode

    def print(self, text: str = "") -> None:
        """Show text of any number of lines: a result.

        A terminal breaks long lines between words; a pipe or file receives every line as it is.
        """
        if self._silent:
            return
        console = self._results
        console.print(text, soft_wrap=not console.file.isatty())

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Show a table at its natural width, however narrow the terminal: a figure is never cut.

        Parameters
        ----------
        title : str
            A line above the table; "" for none.
        columns : sequence of str
            Headings.
        rows : iterable of sequences
            Cells: text as it is, integers with thousands separators, floats with four decimals, a dash for
            None and NaN. A column whose cells all start like a number is aligned right.
        """
        if self._silent:
            return
        from rich.cells import cell_len

        cells = [[_cell(value) for value in row] for row in rows]
        columns_of_cells = [[row[index] for row in cells] for index in range(len(columns))]
        right = [_is_numeric(column) for column in columns_of_cells]
        widths = [
            max(map(cell_len, [heading, *column]))
            for heading, column in zip(columns, columns_of_cells, strict=True)
        ]

        def line(texts: Sequence[str]) -> str:
            padded = []
            for text, width, to_the_right in zip(texts, widths, right, strict=True):
                blank = " " * (width - cell_len(text))
                padded.append(blank + text if to_the_right else text + blank)
            return "  ".join(padded).rstrip()

        console = self._results
        rule = "-" if console.options.ascii_only else "─"
        if title:
            console.print(title, style="bold", soft_wrap=True)
        console.print(line(columns), style="bold", soft_wrap=True)
        console.print(line([rule * width for width in widths]), style="dim", soft_wrap=True)
        for row in cells:
            console.print(line(row), soft_wrap=True)

    def json(self, obj: object) -> None:
        """Write one JSON document to standard output.

        Parameters
        ----------
        obj : object
            Anything `jsonable` takes.
        """
        sys.stdout.write(json_text(obj))
        sys.stdout.flush()

    def notice(self, text: str) -> None:
        """Say one line on standard error about what is being done; nothing if quiet."""
        if not self._quiet:
            self._line(text)

    def warning(self, text: str) -> None:
        """Say one line on standard error that the user must see, also if quiet."""
        self._line(text, "Warning", "yellow")

    def error(self, message: object) -> None:
        """Say one line on standard error: why the command failed, a text or an exception."""
        self._line(str(message), "Error", "bold red")

    def countdown(self, text: str) -> None:
        """Show a line on a terminal that the next line takes the place of; nothing elsewhere, or if quiet."""
        if not self._quiet and self._stderr.is_terminal:
            self._stderr.print(text, end="\r", soft_wrap=True, style="dim")

    def configure_logging(self) -> None:
        """Show this package's log messages: of level WARNING and above as warnings, a countdown as a countdown.

        Takes the place of an earlier console, so that a second call does not say everything twice.
        """
        logger = logging.getLogger("trendlstm")
        for handler in logger.handlers[:]:
            if isinstance(handler, _ConsoleHandler):
                logger.removeHandler(handler)
        logger.addHandler(_ConsoleHandler(self))
        logger.setLevel(logging.INFO)

    @contextmanager
    def progress(self, description: str, total: float) -> "Iterator[Progress]":
        """Show a progress bar with the time left while the block runs.

        It is on standard error, and only if that is a terminal and the console is not quiet; otherwise
        nothing at all is written. Warnings appear above the bar; results wait until the block has ended.

        Parameters
        ----------
        description : str
            Left of the bar.
        total : float
            The value of `Progress.update` at which the bar is full.

        Yields
        ------
        Progress
        """
        if self._quiet or not sys.stderr.isatty():
            yield Progress()
            return
        from rich import progress as rich_progress

        with rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=None),
            rich_progress.TextColumn("{task.fields[text]}", markup=False),
            rich_progress.TextColumn("{task.fields[clock]}", style="dim"),
            rich_progress.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._stderr,
            expand=True,
            refresh_per_second=5,
            redirect_stdout=False,  # standard output may be a pipe that must get what is written to it
        ) as bar:
            task = bar.add_task(description, total=total, text="", clock="ETA")
            yield Progress(bar)
            if bar.tasks[task].finished:
                bar.update(task, clock="in")

    @property
    def _silent(self) -> bool:
        return self._json and self._quiet

    @property
    def _results(self) -> "RichConsole":
        return self._stderr if self._json else self._stdout

    @cached_property
    def _stdout(self) -> "RichConsole":
        return _rich_console(stderr=False)

    @cached_property
    def _stderr(self) -> "RichConsole":
        return _rich_console(stderr=True)

    def _line(self, text: str, label: str = "", style: str = "") -> None:
        from rich.text import Text

        printable = "".join(char if char.isprintable() else " " for char in text)
        line = " ".join(printable.split())
        self._stderr.print(Text.assemble((f"{label}: ", style), line) if label else line, soft_wrap=True)


class Progress:
    """A running progress bar, or none that takes the same calls."""

    def __init__(self, bar: "RichProgress | None" = None) -> None:
        self._bar = bar

    def update(self, completed: float, text: str | None = None) -> None:
        """Set how much is done.

        Parameters
        ----------
        completed : float
            In the unit of the bar's total; not an increment.
        text : str, optional
            Shown right of the bar, e.g. "epoch 37/100 · loss 0.812"; the earlier text stays if None.
        """
        if self._bar is None:
            return
        task = self._bar.task_ids[0]
        if text is not None:
            self._bar.update(task, text=text)
        self._bar.update(task, completed=completed)


class _ConsoleHandler(logging.Handler):
    """Shows warnings, and records that have a `countdown`; other details are for other handlers."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if record.levelno >= logging.WARNING:
                self._console.warning(record.getMessage())
            elif hasattr(record, "countdown"):
                self._console.countdown(record.getMessage())
        except Exception:
            self.handleError(record)


def _cell(value: Any) -> str:
    if type(value).__module__ == "numpy":
        value = value.item()
    if value is None or value != value:
        return DASH
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if type(value) is int else str(value)


def _is_numeric(column: Sequence[str]) -> bool:
    filled = [cell for cell in column if cell not in ("", DASH)]
    return bool(filled) and all(map(_NUMBER.match, filled))


def _rich_console(stderr: bool) -> "RichConsole":
    from rich.console import Console as RichConsole

    return RichConsole(stderr=stderr, markup=False, emoji=False, highlight=False)
