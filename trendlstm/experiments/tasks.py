"""Tasks by name: `make_task` in the papers' sizes, `quick_task` in those that take seconds."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trendlstm.errors import OptionError
from trendlstm.experiments import LENGTHS, TASKS, VARIANTS
from trendlstm.experiments.copying import copy
from trendlstm.experiments.digits import digits
from trendlstm.experiments.grammar import continual_reber, reber
from trendlstm.experiments.long_lags import adding, long_lag, multiplication, temporal_order
from trendlstm.experiments.task import Task

_MAKERS: dict[str, Callable[..., Task]] = {
    "adding": adding,
    "multiplication": multiplication,
    "temporal-order": temporal_order,
    "long-lag": long_lag,
    "reber": reber,
    "continual-reber": continual_reber,
    "copy": copy,
    "digits": digits,
}

_QUICK: dict[str, tuple[Callable[[], Task], int]] = {  # with the most training sequences
    "adding": (adding, 60_000),
    "multiplication": (lambda: multiplication(50), 64_000),
    "temporal-order": (temporal_order, 20_000),
    "long-lag": (lambda: long_lag(50), 20_000),
    "reber": (reber, 16_000),
    "continual-reber": (lambda: continual_reber(longest=20_000), 4_800),
    "copy": (lambda: copy(30), 80_000),
    "digits": (digits, 28_800),
}


def make_task(name: str, length: int | None = None, variant: str | None = None) -> Task:
    """The task of one name, in its usual size unless told otherwise.

    Parameters
    ----------
    name : str
        One of `experiments.TASKS`.
    length : int, optional
        One of `experiments.LENGTHS[name]`.
    variant : str, optional
        One of `experiments.VARIANTS[name]`.

    Raises
    ------
    OptionError
        An unknown name, or a length or variant that the task does not have.
    """
    _check("task", name, TASKS)
    chosen: dict[str, Any] = {}
    for what, value, sizes in (("length", length, LENGTHS), ("variant", variant, VARIANTS)):
        if value is None:
            continue
        if name not in sizes:
            raise OptionError(f"{what} is not for {name}: leave it out.")
        _check(what, value, sizes[name])
        chosen[what] = value
    return _MAKERS[name](**chosen)


def quick_task(name: str) -> Task:
    """The task of one name in a size of which two trials of two networks take seconds.

    Parameters
    ----------
    name : str
        One of `experiments.TASKS`.

    Raises
    ------
    OptionError
        An unknown name.
    """
    _check("task", name, TASKS)
    make, sequences = _QUICK[name]
    task = make()
    return replace(task, training=task.training._replace(trials=2, max_sequences=sequences))


def _check(name: str, value: object, allowed: tuple) -> None:
    if value not in allowed:
        raise OptionError(f"{name} must be one of {', '.join(map(str, allowed))}, but is {value!r}.")
