"""Everything that the command line shows: text, tables, progress bars, notices, errors and JSON.

The only module that prints. Results go to standard output, all else to standard error; with ``--json``
standard output carries one JSON object and nothing more. rich is imported when the first line is shown, not
before.
"""

import logging
import math
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO, cast

from trendlstm.files import json_text
from trendlstm.output.tables import Table, cell_text

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress

_GAP = "  "  # between the columns of a table

# Of lines that stand for a bar where standard error is no terminal: none for what takes less, then one whenever so much
# time has gone by, or so much of the work since the last.
_SILENT_SECONDS, _LINE_SECONDS, _LINE_SHARE = 2.0, 10.0, 0.1

clock = time.monotonic


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

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        text: Collection[str] = (),
    ) -> None:
        """Show a table. A figure is never cut: on a narrow terminal the columns are broken into blocks.

        Parameters
        ----------
        title : str
            A line above the table; "" for none.
        columns : sequence of str
            Headings. The first column names the rows.
        rows : iterable of sequences
            Cells, see `tables.cell_text`.
        text : collection of str
            Headings of further columns that hold text, which is aligned left; figures are aligned right. Those
            that directly follow the first column name the rows with it, in every block.
        """
        if self._silent:
            return
        from rich.cells import cell_len

        # rich's own tables pad every line with blanks and, where they do not fit, cut figures or break them in two
        cells = [[cell_text(value) for value in row] for row in rows]
        widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
        names = [index == 0 or heading in text for index, heading in enumerate(columns)]
        labels = names.index(False) if False in names else len(names)
        console = self._results
        width = console.width if console.file.isatty() else sys.maxsize

        def line(texts: Sequence[str], block: Sequence[int]) -> str:
            parts = []
            for index in block:
                blank = " " * (widths[index] - cell_len(texts[index]))
                parts.append(texts[index] + blank if names[index] else blank + texts[index])
            return _GAP.join(parts).rstrip()

        rule = ("-" if console.options.ascii_only else "─") * max(widths)
        blocks = _blocks(widths, labels, width)
        if title:
            console.print(title, style="bold", soft_wrap=not console.file.isatty())
        for number, block in enumerate(blocks):
            if number:
                console.print()
            console.print(line(columns, block), style="bold", soft_wrap=True)
            console.print(line([rule[:width] for width in widths], block), style="dim", soft_wrap=True)
            for row in cells:
                console.print(line(row, block), soft_wrap=True)
        if len(blocks) > 1:
            console.print(
                f"The columns are in {len(blocks)} blocks, because the terminal is {width} wide.", style="dim"
            )

    def show(self, table: Table) -> None:
        """Show a table, and its legend below it."""
        self.table(table.title, table.columns, table.rows, table.text)
        if table.legend:
            self.print("\n".join(table.legend))

    def json(self, obj: object) -> None:
        """Write one JSON document to standard output.

        Parameters
        ----------
        obj : object
            Anything `jsonable` takes.
        """
        stream = _Stream(sys.stdout)
        stream.write(json_text(obj))
        stream.flush()

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
        """Show how far the block has come, and the time left, on standard error; nothing if the console is quiet.

        On a terminal that is a bar; warnings appear above it, results wait until the block has ended. Elsewhere it
        is a plain line after every 10 seconds or tenth of the work, whichever comes first, if the block takes more
        than 2 seconds.

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
        if self._quiet:
            yield Progress()
            return
        if not sys.stderr.isatty():
            yield _ProgressLines(self._line, description, total)
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
            yield _ProgressBar(bar)
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
        return _rich_console(sys.stdout)

    @cached_property
    def _stderr(self) -> "RichConsole":
        return _rich_console(sys.stderr)

    def _line(self, text: str, label: str = "", style: str = "") -> None:
        from rich.text import Text

        printable = "".join(char if char.isprintable() else " " for char in text)
        line = " ".join(printable.split())
        self._stderr.print(Text.assemble((f"{label}: ", style), line) if label else line, soft_wrap=True)


class Progress:
    """How far some work has come; this one shows nothing."""

    def update(self, completed: float, text: str | None = None) -> None:
        """Set how much is done.

        Parameters
        ----------
        completed : float
            In the unit of the total; not an increment.
        text : str, optional
            Shown beside it, e.g. "epoch 37/100 · loss 0.812"; the earlier text stays if None.
        """


class _ProgressBar(Progress):
    def __init__(self, bar: "RichProgress") -> None:
        self._bar = bar

    def update(self, completed: float, text: str | None = None) -> None:
        task = self._bar.task_ids[0]
        if text is not None:
            self._bar.update(task, text=text)
        self._bar.update(task, completed=completed)


class _ProgressLines(Progress):
    def __init__(self, say: Callable[[str], None], description: str, total: float) -> None:
        self._say, self._description, self._total = say, description, total
        self._start = self._said_at = clock()
        self._said_share = 0.0

    def update(self, completed: float, text: str | None = None) -> None:
        now, share = clock(), completed / self._total
        elapsed = now - self._start
        is_due = now - self._said_at >= _LINE_SECONDS or share - self._said_share >= _LINE_SHARE
        if elapsed < _SILENT_SECONDS or not is_due:
            return
        self._said_at, self._said_share = now, share
        parts = [f"{self._description}: {100 * share:.0f} %", *([text] if text else [])]
        if 0 < share < 1:
            parts.append(f"about {_duration(elapsed * (1 - share) / share)} left")
        self._say(" · ".join(parts))


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


def _duration(seconds: float) -> str:
    whole = math.ceil(seconds)
    return f"{whole} s" if whole < 100 else f"{math.ceil(seconds / 60)} min"


def _blocks(widths: Sequence[int], labels: int, most: int) -> list[list[int]]:
    """Columns that are shown below each other, in lines of at most `most` cells where that is possible.

    Every block begins with the first `labels` columns and has at least one more, if there is any.
    """
    blocks = [list(range(labels))]
    for index in range(labels, len(widths)):
        together = [*blocks[-1], index]
        is_too_wide = sum(widths[one] for one in together) + len(_GAP) * (len(together) - 1) > most
        if is_too_wide and len(blocks[-1]) > labels:
            blocks.append([*range(labels), index])
        else:
            blocks[-1] = together
    return blocks


class _Stream:
    """Standard output or error; what its reader no longer wants, as `head` after some lines, is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._stream.flush()

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # what the stream still holds must go somewhere, too: Python writes it at the latest when it ends
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


def _rich_console(stream: TextIO) -> "RichConsole":
    from rich.console import Console as RichConsole

    return RichConsole(file=cast(TextIO, _Stream(stream)), markup=False, emoji=False, highlight=False)
