"""Files that are either the old one or the new one, never half of either."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def replace_file(path: str | Path, write: Callable[[IO[bytes]], None]) -> None:
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
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes private files; a run's folder is the user's to share
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
