"""How far fits are: what a progress callback is told, and the bar of `progress=True`."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from trendlstm.errors import OptionError

_NOTEBOOK_SECONDS = 0.2  # between two pictures of the bar that a notebook is sent


class FitProgress(NamedTuple):
    """What a progress callback is told: epochs over all fits, and the losses of the epoch that ended last."""

    epoch: int
    epochs: int
    loss: float
    validation_loss: float  # NaN without validation

    def __str__(self) -> str:
        text = f"epoch {self.epoch}/{self.epochs}"
        if math.isfinite(self.loss):
            text += f" · loss {self.loss:.4g}"
        if math.isfinite(self.validation_loss):
            text += f" · validation {self.validation_loss:.4g}"
        return text


Report = Callable[[FitProgress], None]


@contextmanager
def reporter(progress: bool | Report | None) -> Iterator[Report | None]:
    """What fits inside the block report to.

    Parameters
    ----------
    progress : bool or callable, optional
        True for a bar on standard error if that is a terminal, or in a notebook's cell; a callback for itself.

    Yields
    ------
    callable or None

    Raises
    ------
    OptionError
        `progress` is none of these.
    """
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise OptionError(f"progress must be True, False or a function, but is {progress!r}.")
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield None
    else:
        with _bar() as show:
            yield show


@contextmanager
def _bar() -> Iterator[Report | None]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        BarColumn(),
        TextColumn("{task.description}", markup=False),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        redirect_stdout=False,  # standard output may be a pipe that must get what is written to it
    )
    task = bar.add_task("", total=None)

    def show(progress: FitProgress) -> None:
        bar.update(task, description=str(progress), total=progress.epochs, completed=progress.epoch)

    if console.is_jupyter:
        yield _in_notebook(bar, show)
    elif console.is_terminal:
        with bar:
            yield show
    else:
        yield None


def _in_notebook(bar: object, show: Report) -> Report:
    """As `show`, in the cell's output: by IPython alone, because rich's own way needs ipywidgets."""
    from IPython.display import display

    picture, sent = display(bar, display_id=True), -math.inf

    def send(progress: FitProgress) -> None:
        nonlocal sent
        show(progress)
        now = time.monotonic()
        if progress.epoch == progress.epochs or now - sent >= _NOTEBOOK_SECONDS:
            picture.update(bar)
            sent = now

    return send
