"""Files that are there whole or not at all, and what killed writers leave of them."""

import os
import sys
import threading
import time

import pytest
from processes import waiting_half_way

from trendlstm.caches import cache_folder
from trendlstm.files import (
    HELD_FILE,
    collect_leftovers,
    hidden_beside,
    hold_folder,
    let_go,
    one_at_a_time,
    open_held,
    replace_file,
)

WRITE = """
    import sys
    from trendlstm.files import replace_file
    def write(file):
        file.write(b"ne")
        file.flush()
        print("half", flush=True)
        sys.stdin.read()
    replace_file(sys.argv[1], write)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def let_age(path, hours):
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def test_replace_file_leaves_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, fail)
    assert path.read_text() == "old" and names(tmp_path) == ["file"]
    replace_file(path, lambda file: file.write(b"new"))
    assert path.read_text() == "new"


def test_what_cannot_be_written_is_named_as_the_user_knows_it(tmp_path, monkeypatch):
    path = tmp_path / "nowhere" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        replace_file(path, lambda file: file.write(b"new"))
    assert caught.value.filename == str(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        replace_file(tmp_path / "folder", lambda file: file.write(b"new"))
    assert "tmp'" not in str(caught.value) and names(tmp_path) == ["folder"]


@pytest.mark.parametrize("old", ["old", None])
def test_sigkill_during_a_save_leaves_the_old_file_or_none(tmp_path, old):
    path = tmp_path / "file"
    if old:
        path.write_text(old)
    with waiting_half_way(WRITE, path):
        pass
    assert (path.read_text() if path.exists() else None) == old
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["file"] * bool(old)


@pytest.mark.skipif(sys.platform == "win32", reason="there it cannot be known who holds a file")
def test_what_a_killed_writer_left_in_a_cache_is_collected_after_a_day(own_cache):
    folder = cache_folder("prices", make=True)
    with waiting_half_way(WRITE, folder / "file"):
        (leftover,) = folder.iterdir()
        let_age(leftover, 1000)
        cache_folder("prices", make=True)
        assert leftover.exists()  # it is still being written
    let_age(leftover, 23)
    cache_folder("prices", make=True)
    assert leftover.exists()
    let_age(leftover, 25)
    cache_folder("prices")
    assert leftover.exists()
    cache_folder("prices", make=True)
    assert names(folder) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there it cannot be known who holds a file")
def test_only_hidden_files_of_our_own_naming_are_collected(tmp_path):
    others = [
        "run",
        ".hidden",
        ".file.tmp",
        ".file.0123456789ag.tmp",
        ".file.0123456789abc.tmp",
        "file.0123456789ab.tmp",
    ]
    for name in others:
        (tmp_path / name).touch()
        let_age(tmp_path / name, 1000)
    ours = (
        hidden_beside(tmp_path / "file"),
        hidden_beside(tmp_path / "folder"),
        hidden_beside(tmp_path / "held"),
    )
    ours[0].touch()
    for folder in ours[1:]:
        folder.mkdir()
    (ours[1] / "model.safetensors").touch()
    with open_held(ours[2] / HELD_FILE):
        for path in ours:
            let_age(path, 1000)
        collect_leftovers(tmp_path)
        assert names(tmp_path) == sorted([*others, ours[2].name])
    let_age(ours[2], 1000)
    collect_leftovers(tmp_path)
    assert names(tmp_path) == sorted(others)


@pytest.mark.skipif(sys.platform == "win32", reason="there it cannot be known who holds a file")
@pytest.mark.parametrize(
    "left_by", ["a dead process", "another machine", "one that is about to give it its name"]
)
def test_young_folders_are_collected_where_their_maker_is_known_to_be_dead(tmp_path, left_by):
    folder = hidden_beside(tmp_path / "run")
    folder.mkdir()
    held = hold_folder(folder)
    collect_leftovers(tmp_path)
    assert names(tmp_path) == [folder.name]
    held.close() if left_by == "a dead process" else let_go(held)
    if left_by == "another machine":
        (folder / HELD_FILE).write_text("elsewhere\n")
    collect_leftovers(tmp_path)
    assert names(tmp_path) == ([] if left_by == "a dead process" else [folder.name])
    if folder.exists():
        let_age(folder, 25)
        collect_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_one_process_at_a_time(tmp_path):
    """Another process is in the block and is killed there: then it is our turn."""
    path = tmp_path / "turn"
    code = """
    import sys
    from pathlib import Path
    from trendlstm.files import one_at_a_time
    with one_at_a_time(Path(sys.argv[1])):
        print("half", flush=True)
        sys.stdin.read()
    """
    with waiting_half_way(code, path):
        entered = threading.Event()

        def enter():
            with one_at_a_time(path):
                entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(30)
    thread.join()
