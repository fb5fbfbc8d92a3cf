"""`trendlstm runs`: lists, compares and removes what is there, and touches nothing else."""

import json
import shutil

import click.testing
import pytest
from click.testing import CliRunner
from command_line import error_of, run

from trendlstm import cli


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with two training runs that differ in their lag, a comparison, a backtest and things of the user's."""
    folder = tmp_path_factory.mktemp("made")
    small = "--source sample --years 1 --hidden 3 --dense none --epochs 2 --threads 2 --no-plot"
    for name, command in {
        "short": f"train {small} --lag 4",
        "long": f"train {small} --lag 6 --dense 4,3",
        "compared": f"compare {small} --lag 4 --seeds 1",
        "walked": f"backtest AAPL {small} --lag 4 --test-years 0.1 --refit 10",
    }.items():
        run(f"{command} --out {folder / name}")
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("mine")
    (folder / "todo.txt").write_text("mine")
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    """A copy of them in the folder `runs` of the current folder."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(made, tmp_path / "runs")


def test_every_run_is_listed_with_what_its_file_says(runs):
    told = json.loads(run("runs --json").stdout)
    assert told == json.loads(run("runs list runs --json").stdout)
    by_name = {entry["run"].split("/")[-1]: entry for entry in told["runs"]}
    assert {name: (one["kind"], one["of"], one["status"]) for name, one in by_name.items()} == {
        "short": ("training", "MSFT", "finished"),
        "long": ("training", "MSFT", "finished"),
        "compared": ("comparison", "MSFT", "finished"),
        "walked": ("backtest", "AAPL", "finished"),
    }
    shown = run("runs").stdout
    for name in ("short", "long"):
        document = json.loads((runs / name / "run.json").read_text())
        test = document["metrics"]["test"]["model"][0]
        assert by_name[name]["test"] == test and by_name[name]["verdict"] == document["verdict"]
        (line,) = [line for line in shown.splitlines() if line.startswith(name)]
        assert float(line.split()[6]) == pytest.approx(test["rmse"], rel=1e-3)
        assert line.split()[7:9] == [f"{test['skill']:+.3f}", "no"]
        assert by_name[name]["size"] == sum(file.stat().st_size for file in (runs / name).iterdir())
    assert [entry["created"] for entry in told["runs"]] == sorted(entry["created"] for entry in told["runs"])


def test_damaged_and_unfinished_runs_are_listed_as_such(runs):
    for name, text in {"short": "{", "long": json.dumps({"status": "finished"})}.items():
        (runs / name / "run.json").write_text(text)
    (runs / "compared" / "compare.json").write_bytes(b"\xff")
    (runs / "walked" / "run.json").unlink()
    found = {entry["run"]: entry["status"] for entry in json.loads(run("runs --json").stdout)["runs"]}
    assert found == {
        "runs/short": "damaged",
        "runs/long": "damaged",
        "runs/compared": "damaged",
        "runs/walked": "unfinished",
    }
    assert "no finished training runs" in error_of("runs compare", 2)


def test_a_comparison_shows_the_settings_that_differ_and_no_others(runs):
    told = json.loads(run("runs compare --json").stdout)
    assert {entry["run"]: entry["settings"] for entry in told["runs"]} == {
        "runs/short": {"window.lag": 4, "network.dense": []},
        "runs/long": {"window.lag": 6, "network.dense": [4, 3]},
    }
    shown = run("runs compare runs/long runs/short").stdout
    header, rule, first, second = shown.splitlines()[1:5]
    assert header.split()[:4] == ["Run", "Ticker", "lag", "dense"] and set(rule) <= {"─", " "}
    assert first.split()[:4] == ["long", "MSFT", "6", "4,3"]
    assert second.split()[:4] == ["short", "MSFT", "4", "none"]
    for name in ("long", "short"):
        assert f"{name}: {json.loads((runs / name / 'run.json').read_text())['verdict']}" in shown
    assert (
        "They have 2 different results. Of so many without skill at least one claims evidence in up to 10 %"
        in shown
    )
    assert "different prices" not in shown


def test_a_setting_that_an_older_run_did_not_know_is_not_a_difference(runs):
    document = json.loads((runs / "short" / "run.json").read_text())
    for name in ("layers", "dropout", "recurrent_dropout"):
        del document["settings"]["network"][name]
    (runs / "short" / "run.json").write_text(json.dumps(document))
    told = json.loads(run("runs compare --json").stdout)
    assert all(set(entry["settings"]) == {"window.lag", "network.dense"} for entry in told["runs"])


def test_figures_of_other_prices_are_called_so(runs):
    document = json.loads((runs / "short" / "run.json").read_text())
    document["provenance"]["sha256"] = "0" * 64
    (runs / "short" / "run.json").write_text(json.dumps(document))
    assert "They were tested on different prices" in run("runs compare").stdout


def test_what_cannot_be_compared_is_named(runs):
    assert "runs/walked is of the kind backtest" in error_of("runs compare runs/short runs/walked", 2)
    assert "1 finished training run to compare" in error_of("runs compare runs/short runs/../runs/short", 2)
    assert "runs/notes is not a run's folder" in error_of("runs compare runs/short runs/notes", 1)


def test_only_what_was_named_is_removed(runs):
    before = {path.name for path in runs.iterdir()}
    run("runs remove runs/short runs/compared --yes")
    assert {path.name for path in runs.iterdir()} == before - {"short", "compared"}
    assert (runs / "notes" / "mine.txt").read_text() == "mine"


def test_nothing_is_removed_without_a_yes_or_if_any_name_is_wrong(runs):
    before = sorted(path for path in runs.rglob("*"))
    assert "there is no terminal to ask on: give --yes" in error_of("runs remove runs/short", 2)
    assert "runs/notes is not a run's folder" in error_of("runs remove runs/short runs/notes --yes", 1)
    (runs.parent / "link").symlink_to(runs / "short")
    assert "is a link" in error_of("runs remove link --yes", 1)
    assert sorted(path for path in runs.rglob("*")) == before


@pytest.mark.parametrize(("answer", "kept"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_on_a_terminal_a_question_is_asked(runs, answer, kept, monkeypatch):
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda self: True, raising=False)
    result = CliRunner().invoke(cli.main, ["runs", "remove", "runs/short"], input=answer)
    assert result.exit_code == 0 and (runs / "short").exists() == kept
    assert "Remove runs/short (" in result.stderr and ("Nothing was removed" in result.stdout) == kept


def test_ctrl_c_at_the_question_ends_as_everywhere(runs, monkeypatch):
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda self: True, raising=False)
    result = CliRunner().invoke(cli.main, ["runs", "remove", "runs/short"], input="")  # the end of the input
    assert result.exit_code == 130 and (runs / "short").exists()


def test_what_no_command_has_written_is_never_removed(runs, monkeypatch):
    (runs / "short" / "thesis.txt").write_text("precious")
    (runs / "notes" / "run.json").write_text("{}")
    for name, file in (("short", "thesis.txt"), ("notes", "mine.txt")):
        message = error_of(f"runs remove runs/long runs/{name} --yes", 1)
        assert message == f"runs/{name} holds {file}, which no command has written: move that away first."
    monkeypatch.chdir(runs / "long")
    assert "the folder that you are in" in error_of("runs remove . --yes", 1)
    assert (runs / "long" / "run.json").exists()


def test_every_file_of_a_run_may_go(runs):
    """Also the page, and what a killed backtest leaves beside its folds."""
    for name in ("long", "compared", "walked"):
        run(f"report runs/{name}")
    (runs / "walked" / "folds.sqlite-journal").touch()
    run("runs remove runs/long runs/compared runs/walked runs/long --yes")
    assert {path.name for path in runs.iterdir()} == {"short", "notes", "todo.txt"}


def test_where_there_are_no_runs_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("runs").stdout == "The folder runs holds no runs.\n"
    assert run("runs list runs").stdout == "The folder runs holds no runs.\n"
    assert "no finished training runs" in error_of("runs compare", 2)
    assert "liste is neither a folder nor one of the commands list, compare, remove" in error_of(
        "runs liste", 2
    )
