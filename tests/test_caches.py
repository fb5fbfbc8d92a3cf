"""The folders of the cache: nobody else can have put anything there."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from trendlstm import caches
from trendlstm.caches import cache_folder
from trendlstm.cli import main
from trendlstm.errors import CacheError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes say nothing there")

FOLDERS = ["parent", "parent/cache", "parent/cache/prices"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A cache with folders for prices, in a folder of its own."""
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "parent" / "cache"))
    (tmp_path / "parent").mkdir(mode=0o755)
    cache_folder("prices", make=True)
    return tmp_path


def give_to_another_user(path, monkeypatch):
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:  # what only root can give away: see it with the eyes of another user
        status = os.lstat(path)
        changed = os.stat_result([*status[:4], 12345, *status[5:]])
        honest = Path.lstat
        monkeypatch.setattr(Path, "lstat", lambda self: changed if self == path else honest(self))


def refusal():
    """What cache_folder says, and nothing is made or changed meanwhile."""
    with pytest.raises(CacheError) as caught:
        cache_folder("prices", make=True)
    return str(caught.value)


def test_folders_are_made_for_this_user_alone_whatever_the_umask(root):
    before = os.umask(0)
    try:
        made = cache_folder("kernels/0123", make=True)
    finally:
        os.umask(before)
    for folder in (made, made.parent, made.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert cache_folder("kernels/0123") == made


def test_a_folder_is_made_only_when_asked_for(root):
    assert not cache_folder("kernels").exists()


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("mode", [0o777, 0o702])
def test_a_folder_that_others_may_write_is_named_with_the_mend(root, folder, mode):
    path = root / folder
    path.chmod(mode)
    text = refusal()
    assert f"others may write {path}: run `chmod go-w {path}`, or set TRENDLSTM_CACHE_DIR" in text
    mend = re.search("`(.*)`", text)[1]
    subprocess.run(mend, shell=True, check=True)
    cache_folder("prices")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_another_user_is_named(root, folder, monkeypatch):
    path = root / folder
    give_to_another_user(path, monkeypatch)
    assert f"{path} belongs to user 12345: set TRENDLSTM_CACHE_DIR to a folder of your own" in refusal()


def test_a_file_of_another_user_is_named_and_stays(root, monkeypatch):
    path = root / "parent/cache/prices/MSFT.csv.gz"
    path.write_bytes(b"planted")
    give_to_another_user(path, monkeypatch)
    assert f"{path} may be from somebody else: run `rm -r {path}`" in refusal()
    assert path.read_bytes() == b"planted"


def test_a_file_that_others_may_write_is_named(root):
    path = root / "parent/cache/prices/MSFT.csv.gz"
    path.touch()
    path.chmod(0o666)
    assert str(path) in refusal()


@pytest.mark.parametrize(("members", "safe"), [(["nobody"], False), ([], True)])
def test_a_group_may_write_if_nobody_else_is_in_it(root, monkeypatch, members, safe):
    """As where each user has a group of the same name, and all that they make is writable by it."""
    monkeypatch.setattr(caches.grp, "getgrgid", lambda gid: caches.grp.struct_group(("g", "x", gid, members)))
    monkeypatch.setattr(caches.pwd, "getpwall", list)
    (root / "parent").chmod(0o770)
    if safe:
        cache_folder("prices")
    else:
        assert f"others may write {root / 'parent'}" in refusal()


def test_everybody_may_write_above_where_only_owners_rename(root):
    """As in /tmp."""
    (root / "parent").chmod(0o1777)
    cache_folder("prices")
    (root / "parent/cache").chmod(0o1777)  # but not here: others could make the folder "kernels"
    cache_folder("prices")
    (root / "parent/cache/prices").chmod(0o1777)
    refusal()


def test_a_link_leads_to_what_is_checked_and_returned(root, monkeypatch):
    target = root / "elsewhere"
    target.mkdir(mode=0o700)
    (root / "link").symlink_to(target)
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(root / "link"))
    assert cache_folder("prices", make=True) == target / "prices"
    target.chmod(0o777)
    assert f"others may write {target}" in refusal()


def test_a_relative_folder_is_found_from_where_the_process_stands(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", "parent/cache")
    assert cache_folder("prices") == root / "parent/cache/prices"
    (root / "parent").chmod(0o777)
    assert f"others may write {root / 'parent'}" in refusal()


@pytest.mark.skipif(not shutil.which("unshare"), reason="there is no unshare")
def test_in_a_user_namespace_the_systems_folders_belong_to_nobody(root):
    """As in Flatpak or Apptainer, where root has no number."""
    code = "from trendlstm.caches import cache_folder; print(cache_folder('prices', make=True))"
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(Path(caches.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if "unshare" in done.stderr:
        pytest.skip("this system allows no user namespaces")
    assert done.stdout == f"{root / 'parent/cache/prices'}\n", done.stderr


@pytest.mark.parametrize(
    "command",
    ["data show", "data show MSFT", "data clear --all", "warmup", "train --source cache", "compare"],
)
def test_commands_refuse_in_one_sentence(root, command):
    (root / "parent/cache").chmod(0o777)
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ") and f"others may write {root / 'parent/cache'}" in line


def test_doctor_says_what_is_refused(root, monkeypatch):
    monkeypatch.setattr("trendlstm.output.doctor._yahoo", lambda: "not asked")
    (root / "parent/cache").chmod(0o777)
    shown = CliRunner().invoke(main, ["doctor"])
    assert shown.exit_code == 0 and shown.stdout.count("not used: the cache folder") == 2
