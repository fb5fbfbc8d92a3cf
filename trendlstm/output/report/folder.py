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
    path: Path, numbers: Sequence[str], dates: Sequence[str] = (), text: Sequence[str] = ()
) -> pd.DataFrame:
    """Columns of a CSV file; every one must be there and hold what it should.

    Raises
    ------
    RunError
        The file or a column is missing, or something in it is no number or no date.
    """
    columns = [*dates, *text, *numbers]
    try:
        # text stays text: a ticker may be NA or 700
        table = pd.read_csv(
            path,
            usecols=columns,
            dtype=dict.fromkeys((*dates, *text), str),
            keep_default_na=False,
            na_values={name: ["", "inf", "-inf"] for name in numbers},
            float_precision="round_trip",
        )
        for name in dates:
            table[name] = pd.to_datetime(table[name], format="%Y-%m-%d")
        table = table.astype(dict.fromkeys(numbers, float))
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): run it again.") from error
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is damaged ({_first_line(error)}): run it again.") from error
    if table.empty:
        raise RunError(f"{path} is damaged (it has no rows): run it again.")
    return table


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
