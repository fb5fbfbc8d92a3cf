"""How far work has come: what the progress callback of fits is told, and the bar of `progress=True`."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeVar

from trendlstm.errors import OptionError

_NOTEBOOK_SECONDS = 0.2  # between two pictures of the bar that a notebook is sent


class AnyProgress(Protocol):
    """How far some work has come; as text, it says so beside the bar."""

    @property
    def completed(self) -> int:
        """What is done."""

    @property
    def total(self) -> int:
        """What there is to do."""


P = TypeVar("P", bound=AnyProgress)


class FitProgress(NamedTuple):
    """What a progress callback is told: epochs over all fits, and the losses of the epoch that ended last."""

    epoch: int
    epochs: int
    loss: float
    validation_loss: float  # NaN without validation

    @property
    def completed(self) -> int:
        """Finished epochs."""
        return self.epoch

    @property
    def total(self) -> int:
        """All epochs."""
        return self.epochs

    def __str__(self) -> str:
        text = f"epoch {self.epoch}/{self.epochs}"
        if math.isfinite(self.loss):
            text += f" · loss {self.loss:.4g}"
        if math.isfinite(self.validation_loss):
            text += f" · validation {self.validation_loss:.4g}"
        return text


Report = Callable[[FitProgress], None]


@contextmanager
def reporter(progress: bool | Callable[[P], None] | None) -> Iterator[Callable[[P], None] | None]:
    """What the work inside the block reports to.

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
def _bar() -> Iterator[Callable[[AnyProgress], None] | None]:
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

    def show(progress: AnyProgress) -> None:
        bar.update(task, description=str(progress), total=progress.total, completed=progress.completed)

    if console.is_jupyter:
        yield _in_notebook(bar, show)
    elif console.is_terminal:
        with bar:
            yield show
    else:
        yield None


def _in_notebook(bar: object, show: Callable[[AnyProgress], None]) -> Callable[[AnyProgress], None]:
    """As `show`, in the cell's output: by IPython alone, because rich's own way needs ipywidgets."""
    from IPython.display import display

    picture, sent = display(bar, display_id=True), -math.inf

    def send(progress: AnyProgress) -> None:
        nonlocal sent
        show(progress)
        now = time.monotonic()
        if progress.completed == progress.total or now - sent >= _NOTEBOOK_SECONDS:
            picture.update(bar)
            sent = now

    return send
