"""The folders of everything that trendlstm keeps for later, and the check that nobody else can put anything there."""

import os
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from trendlstm.errors import CacheError
from trendlstm.files import collect_leftovers

if sys.platform != "win32":
    import grp
    import pwd


def cache_root() -> Path:
    """The folder of everything that trendlstm caches: TRENDLSTM_CACHE_DIR, or else the user's cache folder."""
    given = os.environ.get("TRENDLSTM_CACHE_DIR")
    if given:
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("trendlstm")


def cache_folder(name: str, make: bool = False) -> Path:
    """A folder in the cache whose content only this user, or root, can have put there.

    Compiled kernels and yfinance's cookies are read back as code: whoever can write them is obeyed.

    Parameters
    ----------
    name : str
        Its path below `cache_root`.
    make : bool
        Make what is missing, for this user alone, and collect what killed writers have left there.

    Returns
    -------
    pathlib.Path
        The folder's real path, so that no link on the way to it can be turned after the check. Exists if `make`.

    Raises
    ------
    CacheError
        The folder, a file in it or a folder above it belongs to another user, or others may write it. What is above
        a folder like /tmp, in which users cannot touch what is not theirs, is not looked at; on Windows nothing is.
    OSError
        The folder cannot be made or read.
    """
    folder = Path(os.path.realpath(cache_root() / name))
    _check_private(folder)
    if make:
        if not os.path.isdir(folder):
            _make_private(folder)
            _check_private(folder)  # another user may have been faster
        collect_leftovers(folder)
    return folder


def _make_private(folder: Path) -> None:
    if not os.path.isdir(folder):
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _check_private(folder: Path) -> None:
    if sys.platform == "win32":
        return
    for fault in _faults(folder):
        raise CacheError(
            f"the cache folder {folder} is not safe, because {fault}set TRENDLSTM_CACHE_DIR to a folder of your own."
        )


if sys.platform != "win32":

    def _faults(folder: Path) -> Iterator[str]:
        """Why others may have put something into the folder, and what to do."""
        for path in (folder, *folder.parents):
            status = _status(path)
            if status is None:
                continue
            if not _is_trusted(status.st_uid) and (path == folder or not _is_unmapped(status.st_uid)):
                yield f"{path} belongs to {_user_name(status.st_uid)}: "
            if _may_others_write(status):
                if path != folder and status.st_mode & stat.S_ISVTX:
                    break
                yield f"others may write {path}: run `chmod go-w {shlex.quote(str(path))}`, or "
        for path in folder.iterdir() if os.path.isdir(folder) else ():
            status = _status(path)
            if status and (not _is_trusted(status.st_uid) or _may_others_write(status)):
                yield f"{path} may be from somebody else: run `rm -r {shlex.quote(str(path))}`, or "

    def _status(path: Path) -> os.stat_result | None:
        try:
            return path.lstat()
        except OSError:  # not there, or hidden by a folder above it, whose turn comes
            return None

    def _is_trusted(user: int) -> bool:
        return user in (0, os.geteuid())

    def _may_others_write(status: os.stat_result) -> bool:
        if stat.S_ISLNK(status.st_mode):  # its mode means nothing
            return False
        by_group = status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid)
        return bool(by_group or status.st_mode & stat.S_IWOTH)

    def _is_private_group(group: int) -> bool:
        """Whether nobody else is in the group: many systems give each user one, to which all they make is open."""
        try:
            own = pwd.getpwuid(os.geteuid()).pw_name
            members = set(grp.getgrgid(group).gr_mem)
        except KeyError:
            return False
        members |= {user.pw_name for user in pwd.getpwall() if user.pw_gid == group}
        return members <= {own, "root"}

    def _is_unmapped(user: int) -> bool:
        """Whether this process is in a user namespace that has no number for the user.

        So root looks there, to whom the system's own folders belong (in Flatpak, Apptainer, bubblewrap).
        """
        try:
            overflow = int(Path("/proc/sys/fs/overflowuid").read_text())
            ranges = Path("/proc/self/uid_map").read_text().splitlines()
        except OSError:
            return False
        return user == overflow and sum(int(line.split()[2]) for line in ranges) < 2**32 - 1

    def _user_name(user: int) -> str:
        try:
            return pwd.getpwuid(user).pw_name
        except KeyError:
            return f"user {user}"
