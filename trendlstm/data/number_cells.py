"""Numbers from the cells of a price table: one decimal mark per file."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.errors import DataError

_MARKS = {".": "point", ",": "comma"}
_MISSING = {"", "null", "n/a", "nan", "none", "-", "--"}
_UNITS = {"": "", "K": "e3", "M": "e6", "B": "e9"}  # as Investing.com writes volumes


def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    return re.compile(
        r"(?P<sign>-?\$?-?)"
        rf"(?P<whole>[1-9]\d{{0,2}}({thousands}\d{{3}})+|\d*)"  # no group of thousands begins with 0
        rf"({decimal}(?P<part>\d*))?"
        r"((?P<exponent>e[-+]?\d+)|(?P<unit>[KMB]))?",
        re.IGNORECASE,
    )


_NUMBERS = {".": _pattern(r"\.", ","), ",": _pattern(",", r"\.")}


def read_numbers(
    columns: Mapping[str, Sequence[Any]],
    where: Callable[[int, str], str],
    decimal: str | None = None,
    separator: str | None = None,
) -> pd.DataFrame:
    """Read all columns of prices and volumes.

    Parameters
    ----------
    columns : mapping of str to sequence
        Cells by name of the column: texts, or numbers where the file has types. Texts may have ``$`` and thousands in
        groups; those of Volume may end with K, M or B.
    where : callable
        Says where the i-th cell of a column stands, for messages.
    decimal : {".", ","}, optional
        The decimal mark. Default: the one under which every cell is a number.
    separator : str, optional
        What stands between the columns of the file.

    Returns
    -------
    pandas.DataFrame
        float64; NaN where a cell is empty, a dash, or says that it has no value.

    Raises
    ------
    DataError
        A cell is no number, or both decimal marks are possible and give different numbers.
    """
    texts = [cell for cells in columns.values() for cell in cells if isinstance(cell, str)]
    marks = list(_MARKS) if decimal is None else [decimal]
    if decimal is None and separator == "," and not any("," in text for text in texts):
        marks = ["."]  # numbers with decimal commas would stand in quotes here
    read = {
        mark: pd.DataFrame(
            {
                name: [_value(cell, mark, name == "Volume") for cell in cells]
                for name, cells in columns.items()
            },
            dtype=object,
        )
        for mark in marks
    }
    wrong = {mark: frame.map(lambda value: value is None).to_numpy() for mark, frame in read.items()}
    fitting = [mark for mark in marks if not wrong[mark].any()]
    if not fitting:
        _refuse(columns, where, wrong)
    first, *others = (read[mark].astype(np.float64) for mark in fitting)
    for other in others:
        if not first.equals(other):
            i, j = (int(k) for k in np.argwhere(~((first == other) | first.isna()).to_numpy())[0])
            name = first.columns[j]
            raise DataError(
                f"{where(i, name)}: {columns[name][i]!r} may be {first.iloc[i, j]:g} or {other.iloc[i, j]:g}, and no "
                "number of the file tells which; --decimal . or --decimal , settles it."
            )
    return first


def _refuse(
    columns: Mapping[str, Sequence[Any]], where: Callable[[int, str], str], wrong: Mapping[str, np.ndarray]
) -> None:
    mark = min(wrong, key=lambda mark: int(wrong[mark].sum()))  # of equals the point
    i, j = (int(k) for k in np.argwhere(wrong[mark])[0])
    name = list(columns)[j]
    other = "," if mark == "." else "."
    as_others = ""
    if _value(columns[name][i], other, name == "Volume") is not None:
        as_others = f" with a decimal {_MARKS[mark]}, unlike others of the file"
    raise DataError(
        f"{where(i, name)}: {str(columns[name][i]).strip()!r} is not a number{as_others}; correct or remove the row."
    )


def _value(cell: Any, decimal: str, units: bool) -> float | None:
    """The number in a cell, NaN for none, None if it is something else."""
    if not isinstance(cell, str):
        if isinstance(cell, Real) and not isinstance(cell, bool):
            return float(cell)
        return math.nan if pd.isna(cell) else None
    text = cell.strip()
    if text.lower() in _MISSING:
        return math.nan
    parts = _NUMBERS[decimal].fullmatch(text)
    if parts is None or not (parts["whole"] or parts["part"]) or (parts["unit"] and not units):
        return None
    whole = parts["whole"].replace(".", "").replace(",", "")
    power = parts["exponent"] or _UNITS[(parts["unit"] or "").upper()]
    return float(f"{'-' if '-' in parts['sign'] else ''}{whole}.{parts['part'] or 0}{power}")
