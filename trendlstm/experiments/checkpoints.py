"""What trials have done so far, kept on disk so that the same command goes on from there after it was interrupted."""

import hashlib
import logging
import shutil
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trendlstm.caches import cache_folder
from trendlstm.errors import RunError
from trendlstm.files import held_alone, json_text, replace_file
from trendlstm.kernels.cache import kernel_folder
from trendlstm.version import __version__

_LOCK = ".lock"
_LOG = logging.getLogger("trendlstm")


class Checkpoints:
    """The checkpoints of one command, one file a trial.

    Where they cannot be written this is said once, and nothing more is kept.

    Parameters
    ----------
    folder : Path or None
        An existing one. None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._saying = threading.Lock()

    @property
    def are_kept(self) -> bool:
        """Whether `save` keeps anything."""
        return self._folder is not None

    def count(self) -> int:
        """How many trials have one."""
        return len(list(self._folder.glob("*.npz"))) if self._folder else 0

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """What `save` was given; None if that was nothing, or if it is damaged, which is said."""
        if self._folder is None:
            return None
        path = self._folder / f"{name}.npz"
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error):
            _LOG.warning("The checkpoint %s is damaged, so its trial begins anew.", path)
            return None

    def save(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Keep numbers, texts and arrays of them under the name of a trial, in the place of earlier ones."""
        folder = self._folder
        if folder is None:
            return
        try:
            replace_file(folder / f"{name}.npz", lambda file: np.savez(file, **arrays))
        except OSError as error:
            with self._saying:
                if self._folder is not None:
                    _warn(error)
                self._folder = None

    def remove(self) -> None:
        """Remove all, because what they have led to is safe elsewhere."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


@contextmanager
def open_checkpoints(settings: Mapping[str, object]) -> Iterator[Checkpoints]:
    """The checkpoints of the command that has these settings, for this process alone.

    Parameters
    ----------
    settings : mapping
        Everything that decides what the trials do, as JSON can say it. The version and the text of what runs the trials
        and the kernels' folder, which stands for libraries and processor, are added here.

    Raises
    ------
    RunError
        Another process is at work on the same.
    CacheError
        See `caches.cache_folder`.
    """
    versions = [__version__, _sources_digest(), kernel_folder().name]
    key = hashlib.sha256(json_text([settings, versions]).encode()).hexdigest()[:16]
    try:
        folder = cache_folder(f"experiments/{key}", make=True)
        (folder / _LOCK).touch()
    except OSError as error:
        _warn(error)
        yield Checkpoints(None)
        return
    with held_alone(folder / _LOCK) as is_alone:
        if not is_alone:
            raise RunError(
                "Another `trendlstm reproduce` trains the very same trials: wait until it has ended, or choose another "
                "--seed."
            )
        yield Checkpoints(folder)


def _warn(error: OSError) -> None:
    _LOG.warning(
        "Checkpoints cannot be kept (%s: %s), so trials that are interrupted would begin anew.",
        error.strerror,
        error.filename,
    )


def _sources_digest() -> str:
    """A hash of the code that draws sequences, makes networks and examines them."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for source in sorted([*here.glob("*.py"), *(here.parent / "nn").glob("*.py")]):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()
