"""The wheel and the sdist: they are whole, pass twine's check, and the wheel works in a new environment."""

import json
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


def call(*command, cwd):
    """Run a program, which must succeed; its standard output."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist of a clean checkout, so that nothing unknown to git gets in."""
    folder = tmp_path_factory.mktemp("release")
    files = call("git", "ls-files", "-z", cwd=ROOT).split("\0")[:-1]
    for name in files:
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    call(sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "source", cwd=folder)
    (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return wheel, sdist, files


def test_both_pass_twines_check(built):
    shown = call(sys.executable, "-m", "twine", "check", "--strict", *built[:2], cwd=ROOT)
    assert shown.count("PASSED") == 2


def test_the_wheel_has_the_whole_package_and_nothing_else(built):
    wheel, _, files = built
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == {name for name in files if name.startswith("trendlstm/")}
    assert {"trendlstm/py.typed", "trendlstm/data/sample.csv.gz"} <= inside


def test_the_sdist_has_what_a_packager_needs(built):
    _, sdist, files = built
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ("trendlstm/", "tests/", "scripts/", "docs/", "Makefile", "README.md", "LICENSE", "CHANGELOG.md")
    assert {name for name in files if name.startswith(wanted)} <= inside


def test_the_version_is_that_of_the_changelog(built):
    version = built[0].name.split("-")[1]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert version == newest


def test_the_wheel_forecasts_in_a_new_environment(built, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    venv.create(tmp_path / "new", with_pip=True)
    python = tmp_path / "new" / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", built[0], cwd=tmp_path)
    trendlstm = tmp_path / "new" / "bin" / "trendlstm"
    assert call(trendlstm, "--version", cwd=tmp_path).split() == ["trendlstm", built[0].name.split("-")[1]]
    told = json.loads(call(trendlstm, "forecast", "MSFT", "--source", "sample", "--json", cwd=tmp_path))
    table = pd.read_csv(tmp_path / told["run"] / "forecast.csv")
    assert len(told["forecast"]) == 10 and list(table.columns[:3]) == ["date", "actual", "predicted"]
