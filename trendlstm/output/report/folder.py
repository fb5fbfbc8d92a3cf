"""The files of a run's folder, read with errors that name the file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from trendlstm.errors import RunError


def read_document(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    RunError
        The file is missing, cannot be read, or holds no JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): run it again.") from error
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}): run it again.") from error
    if not isinstance(document, dict):
        raise RunError(f"{path} is damaged (it holds no JSON object): run it again.")
    return document


def read_table(
    path: Path,
    numbers: Sequence[str],
    dates: Sequence[str] = (),
    text: Sequence[str] = (),
    gaps: Sequence[str] = (),
) -> pd.DataFrame:
    """Columns of a CSV file; every one must be there and hold what it should.

    Parameters
    ----------
    path : Path
    numbers, dates, text : sequence of str
        The columns, by what is in them.
    gaps : sequence of str
        Further columns of numbers, whose cells may be empty or infinite: NaN.

    Raises
    ------
    RunError
        The file or a column is missing, or a cell holds something else.
    """
    floats = [*numbers, *gaps]
    try:
        # text stays text: a ticker may be NA or 007
        table = pd.read_csv(
            path,
            usecols=[*dates, *text, *floats],
            dtype=dict.fromkeys((*dates, *text), str),
            keep_default_na=False,
            na_values={name: ["", "inf", "-inf"] for name in floats},
        )
        for name in dates:
            table[name] = pd.to_datetime(table[name], format="%Y-%m-%d")
        table = table.astype(dict.fromkeys(floats, float))
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): run it again.") from error
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is damaged ({_first_line(error)}): run it again.") from error
    if table.empty:
        raise RunError(f"{path} is damaged (it has no rows): run it again.")
    whole = [*dates, *numbers]
    if (empty := table[whole].isna().any()).any():
        raise RunError(
            f"{path} is damaged ({whole[int(empty.to_numpy().argmax())]} has an empty cell): run it again."
        )
    return table


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
