"""Tasks by name: `make_task` in the papers' sizes, `quick_task` in those that take seconds."""

from collections.abc import Callable
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


def _check(name: str, value: object, allowed: tuple) -> None:
    if value not in allowed:
        raise OptionError(f"{name} must be one of {', '.join(map(str, allowed))}, but is {value!r}.")
