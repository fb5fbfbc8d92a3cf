"""`trendlstm report`, and `--report` of the commands that write a run's folder."""

import json

import pytest
from command_line import run
from run_folders import Parsed, train_folder
from walks import random_walk

from trendlstm.output.report import make

SMALL = "--hidden 3 --dense none --lag 4 --epochs 2 --no-plot --quiet"


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "walk.csv"
    random_walk(260).to_csv(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return train_folder(tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize(
    "command",
    [
        "train --csv {}",
        "compare --csv {} --seeds 1 --baseline ridge",
        "backtest --csv {} --test-years 0.15 --refit 5",
    ],
    ids=["train", "compare", "backtest"],
)
def test_with_report_a_run_has_the_page_that_report_makes(csv, tmp_path, command):
    out = tmp_path / "run"
    said = json.loads(run(f"{command.format(csv)} {SMALL} --report --json --out {out}").stdout)
    assert (said["run"], said["report"]) == (str(out), str(out / "report.html"))
    first = (out / "report.html").read_bytes()
    assert Parsed(first.decode()).texts("h1")
    shown = run(f"report {out}").stdout
    assert shown == f"The report is in {out / 'report.html'}.\n"
    assert (out / "report.html").read_bytes() == first
    assert not [path.name for path in (*out.iterdir(), *tmp_path.iterdir()) if path.name.startswith(".")]


def test_a_resumed_backtest_may_ask_for_one(csv, tmp_path):
    out = tmp_path / "run"
    run(f"backtest --csv {csv} {SMALL} --test-years 0.15 --refit 5 --out {out}")
    assert not (out / "report.html").exists()
    run(f"backtest --resume {out} --report --no-plot --quiet")
    assert (out / "report.html").exists()


def test_out_and_json(folder, tmp_path):
    page = tmp_path / "page.html"
    result = run(f"report {folder} --out {page} --json")
    assert json.loads(result.stdout) == {"run": str(folder), "report": str(page)}
    assert page.read_text().startswith("<!DOCTYPE html>") and not (folder / "report.html").exists()
    page.write_text("mine")
    assert "exists already" in run(f"report {folder} --out {page}", 2).stderr and page.read_text() == "mine"


def test_a_folder_that_is_no_run_is_one_sentence_and_exit_code_1(tmp_path):
    result = run(f"report {tmp_path}", 1)
    assert result.stderr == (
        f"Error: {tmp_path} is not a run's folder: give one that `trendlstm train`, `compare` or `backtest` wrote.\n"
    )
    assert json.loads(run(f"report {tmp_path} --json", 1).stdout)["exit_code"] == 1
    assert "Missing argument 'RUN'" in run("report", 2).stderr


def test_a_page_that_cannot_be_written_is_named(folder, tmp_path):
    missing = tmp_path / "nowhere" / "page.html"
    assert "is in a folder that does not exist" in run(f"report {folder} --out {missing}", 2).stderr


def test_a_page_is_not_written_under_another_kinds_name(folder, tmp_path):
    for name in ("page.pdf", "page"):
        text = run(f"report {folder} --out {tmp_path / name}", 2).stderr
        assert text.endswith(f"{name} would be a page of HTML: give it a name that ends in .html.\n")
    run(f"report {folder} --out {tmp_path / 'page.HTM'}")
    assert [path.name for path in tmp_path.iterdir()] == ["page.HTM"]


def test_help_shows_examples():
    text = run("report --help").stdout
    assert "Examples:" in text and "trendlstm report runs/MSFT-" in text
    for command in ("train", "compare", "backtest"):
        assert "--report" in run(f"{command} --help").stdout


def test_ctrl_c_while_the_page_is_made_keeps_the_run(csv, tmp_path, monkeypatch):
    def interrupt(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(make, "write_report", interrupt)
    out = tmp_path / "run"
    result = run(f"train --csv {csv} {SMALL} --report --out {out}", 130)
    assert "Interrupted" in result.stderr
    document = json.loads((out / "run.json").read_text())
    assert document["status"] == "interrupted" and document["metrics"]
