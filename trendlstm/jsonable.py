"""What JSON can say of NumPy, pandas, dates and paths."""

from collections.abc import Mapping
from datetime import date, datetime, time
from math import isfinite
from os import PathLike, fspath
from typing import Any


def jsonable(obj: Any) -> Any:
    """Reduce an object to what JSON can say.

    Parameters
    ----------
    obj : object
        Mappings, sequences, numpy scalars and arrays, pandas indexes and series, dates, paths, numbers, text.

    Returns
    -------
    object
        dict (keys as text), list, str, int, float, bool or None. NaN, infinities and NaT become None; a date,
        and a time of day that is midnight without a zone (a trading session), becomes "YYYY-MM-DD", any other
        time its ISO text.

    Raises
    ------
    TypeError
        For an object of another kind.
    """
    if obj is None or isinstance(obj, bool | int | str):
        return obj
    if isinstance(obj, float):
        return float(obj) if isfinite(obj) else None
    if isinstance(obj, Mapping):
        return {str(jsonable(key)): jsonable(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [jsonable(value) for value in obj]
    if isinstance(obj, datetime):
        if obj != obj:  # NaT
            return None
        return (obj.date() if obj.tzinfo is None and obj.time() == time() else obj).isoformat()
    if isinstance(obj, date):
        return obj.isoformat()
    if isinstance(obj, PathLike):
        return fspath(obj)
    if type(obj).__module__ == "numpy" and obj.dtype.kind == "M":
        obj = obj.astype("datetime64[us]")  # numpy turns nanoseconds into integers
    if hasattr(obj, "tolist"):
        return jsonable(obj.tolist())
    raise TypeError(f"Cannot write a {type(obj).__name__} as JSON.")
