"""Files that are either the old one or the new one, never half of either."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO


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
        The folder cannot be written. Whatever stood at `path` is untouched.
    """
    path = Path(path)
    temporary = hidden_beside(path)
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if (
            isinstance(error, OSError) and error.errno and error.filename is None
        ):  # a write does not know its file
            error.filename = os.fspath(path)
        raise


def hidden_beside(path: Path) -> Path:
    """A name in the same folder that nothing has and no listing shows: for what is not finished yet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
