"""Files that are there whole or not at all, what killed writers leave of them, and what JSON and CSV can say."""

import json
import os
import platform
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime, time
from math import isfinite
from os import PathLike, fspath
from pathlib import Path
from time import time as seconds_now
from typing import IO, TYPE_CHECKING, Any

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    import pandas as pd

_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
_OLD_SECONDS = 24 * 3600
HELD_FILE = ".held"  # in a hidden folder, for `hold_folder`


def replace_file(path: str | Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new, never a mixture.

    Parameters
    ----------
    path : str or Path
        The file to create or replace. Its folder must exist.
    write : callable
        Called with a binary file open for writing, in the same folder; the finished file is synced to disk and
        renamed over `path`.

    Raises
    ------
    OSError
        The folder cannot be written; its `filename` is `path`. Whatever stood at `path` is untouched.
    """
    path = Path(path)
    temporary = hidden_beside(path)
    try:
        with open_held(temporary) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # where it cannot be made it cannot be removed
            temporary.unlink(missing_ok=True)
        # a write does not know its file, and nobody knows the hidden one
        if isinstance(error, OSError) and error.errno and error.filename in (None, os.fspath(temporary)):
            error.filename = os.fspath(path)
        raise


def hidden_beside(path: Path) -> Path:
    """A name in the same folder that nothing has and no listing shows: for what is not finished yet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def open_held(path: Path) -> IO[bytes]:
    """Make a file that `collect_leftovers` leaves alone until it is closed or this process ends.

    Where files cannot be locked (Windows, some network file systems) the file is open and nothing more.
    """
    file = open(path, "xb")  # noqa: SIM115  (the caller closes it)
    if sys.platform != "win32":
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)  # waits at most while `collect_leftovers` looks at it
    return file


def hold_folder(folder: Path) -> IO[bytes]:
    """Make `HELD_FILE` in a hidden folder as `open_held` does, so that it is collected as soon as this process is dead.

    It has the name of this machine, where locks tell who lives: another machine may not see them. Before the folder is
    finished, `let_go` has to be called.
    """
    file = open_held(folder / HELD_FILE)
    file.write(_machine())
    file.flush()
    return file


def let_go(held: IO[bytes]) -> None:
    """Close what `hold_folder` returned, without leaving the folder to others: it counts as new for a day."""
    held.truncate(0)
    held.close()


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Wait until no other process of this machine is in a block with this file, which is made if it is missing.

    Where files cannot be locked (Windows, some network file systems) nobody waits.
    """
    with open(path, "ab") as file:
        if sys.platform != "win32":
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def held_alone(path: Path) -> Iterator[bool]:
    """Hold a file, which is made if it is missing, as long as the block runs; False if another process has it already.

    The holder may remove the file. Where files cannot be locked (Windows, some network file systems) everybody gets it.
    """
    while True:
        with open(path, "ab") as file:
            if sys.platform != "win32":
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                except OSError:
                    pass
                if not _is_at(file, path):  # its last holder has removed it in the meantime
                    continue
            yield True
            return


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def collect_leftovers(folder: Path) -> None:
    """Remove what killed writers have left hidden in a folder.

    That is what no process holds and what is older than a day, or a folder that a process of this machine has held.

    Parameters
    ----------
    folder : Path
        Looked through for names of `hidden_beside`. A hidden folder is held by its file `HELD_FILE`, see `hold_folder`.
        What cannot be removed stays, without a word.
    """
    for path in folder.iterdir():
        if not _LEFTOVER.fullmatch(path.name):
            continue
        with suppress(OSError):
            is_folder = path.is_dir()
            is_old = seconds_now() - path.stat().st_mtime > _OLD_SECONDS
            if is_folder:
                if _was_left(path / HELD_FILE, is_old):
                    shutil.rmtree(path)
            elif is_old and _was_left(path, is_old):
                path.unlink()


def _was_left(path: Path, is_old: bool) -> bool:
    """Whether no process has a file from `open_held` any more, as far as can be known."""
    if sys.platform == "win32":
        return False
    try:
        with open(path, "r+b") as file:  # for writing: a network file system locks nothing else
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return is_old or file.read() == _machine()  # read under the lock, because `let_go` empties it
    except FileNotFoundError:
        return is_old
    except OSError:
        return False


def _machine() -> bytes:
    return f"{platform.node()}\n".encode()


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


def json_text(obj: Any) -> str:
    """An object as an indented JSON document that ends with a newline; anything that `jsonable` takes."""
    return json.dumps(jsonable(obj), indent=2, allow_nan=False) + "\n"


def write_json(path: str | Path, obj: Any) -> None:
    """Write an object as a JSON document; see `jsonable` and `replace_file`."""
    text = json_text(obj)
    replace_file(path, lambda file: file.write(text.encode()))


def write_csv(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table without its index, dates as YYYY-MM-DD; see `replace_file`."""
    text = table.to_csv(index=False, date_format="%Y-%m-%d", lineterminator="\n")
    replace_file(path, lambda file: file.write(text.encode()))
