"""A page of every kind of folder, and one sentence where there can be none."""

import json

import pytest
from run_folders import Parsed, backtest_folder, compare_folder, edit, train_folder

from trendlstm.errors import RunError
from trendlstm.output.report.make import write_report

EVIL = "</script><script>alert(1)</script>"
MAKERS = {
    "train": train_folder,
    "compare": lambda path: compare_folder(path, ("rnn", "ann", "lstm1997", "ridge"), lag=6),
    "backtest": lambda path: backtest_folder(path, tickers=("AA", "BB"), models=("lstm", "rnn", "ann")),
}
DOCUMENTS = {"train": "run.json", "compare": "compare.json", "backtest": "metrics.json"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of every kind, by its name; none is changed."""
    return {kind: make(tmp_path_factory.mktemp("runs") / kind) for kind, make in MAKERS.items()}


@pytest.fixture(params=MAKERS)
def kind(request):
    return request.param


@pytest.fixture
def folder(folders, kind, tmp_path):
    """A copy of the folder of a kind."""
    copy = tmp_path / kind
    copy.mkdir()
    for path in folders[kind].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def parsed(folder):
    return Parsed(write_report(folder).read_text())


def test_every_kind_has_its_verdict_first_and_its_charts_and_tables(folder, kind):
    page = parsed(folder)
    document = json.loads((folder / DOCUMENTS[kind]).read_text())
    said = {"train": "verdict", "compare": "conclusions", "backtest": "verdict"}[kind]
    verdict = document[said] if isinstance(document[said], str) else document[said][0]
    order = [text for tag, _, text in page.elements if tag in ("p", "h2")]
    assert order.index(verdict.splitlines()[0]) < order.index("Settings and provenance")
    drawn = [found["data-chart"] for found, _ in page.all("figure") if "data-chart" in found]
    assert sorted(drawn) == sorted(page.data["charts"]) and len(drawn) >= 3
    for chart in page.data["charts"].values():
        for rows in chart["sets"]:
            assert len(rows["values"]) == len(chart["lines"])
            assert {len(values) for values in rows["values"]} == {len(rows["x"])}
            assert rows["x"] == sorted(set(rows["x"]))
        # in black and white, too, no two lines look alike, but for those that never meet
        lines = [one for one in chart["lines"] if one["shape"] == "line" and "in-sample" not in one["label"]]
        lines = [one for one in lines if "used for selection" not in one["label"]]
        assert len({(one["dash"], one["width"]) for one in lines}) == len(lines)


def test_a_report_is_of_the_files_alone_and_the_same_bytes_each_time(folder, tmp_path):
    first = write_report(folder).read_bytes()
    moved = folder.rename(tmp_path / "elsewhere")
    assert write_report(moved, tmp_path / "other.html").read_bytes() == first
    assert (moved / "report.html").read_bytes() == first
    assert b"elsewhere" not in first and str(tmp_path).encode() not in first


def test_names_from_outside_are_shown_and_never_run(folder, kind):
    for name in ("run.json", "compare.json", "metrics.json"):
        if (folder / name).exists():
            text = (folder / name).read_text()
            ticker = "AA" if kind == "backtest" else "WALK"
            (folder / name).write_text(text.replace(f'"{ticker}"', json.dumps(EVIL)))
    for name in ("predictions.csv", "equity.csv"):
        if kind == "backtest":
            (folder / name).write_text((folder / name).read_text().replace("AA,", f"{EVIL},"))
    page = parsed(folder)
    assert len(page.all("script")) == 3
    assert any(EVIL in text for text in page.texts("h1"))


def test_without_its_data_a_page_is_far_below_half_a_megabyte(folder):
    content = write_report(folder).read_text()
    (data,) = Parsed(content).texts("script", id="data")
    assert len(content.encode()) - len(data.encode()) < 500 * 1024 / 2


def test_what_is_no_runs_folder(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(RunError, match=r"is not a run's folder: give one that `trendlstm train`"):
            write_report(path)
    (tmp_path / "folds.sqlite").touch()
    with pytest.raises(RunError, match=r"unfinished backtest: go on with `trendlstm backtest --resume "):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["folds.sqlite"]
    (tmp_path / "folds.sqlite").rename(tmp_path / "reproduce.json")
    with pytest.raises(RunError, match=r"holds an experiment, of which there is no page: look at"):
        write_report(tmp_path)


def test_a_missing_or_damaged_file_is_named_and_an_earlier_page_stays(folder, kind):
    earlier = write_report(folder).read_bytes()
    whole = {path: path.read_bytes() for path in folder.iterdir() if path.suffix in (".csv", ".json")}
    used = set(whole) - {
        folder / name for name in ("compare.csv", "config.json", "forecast.csv", "members.csv")
    }
    for path in sorted(used):
        for content in (None, b"", whole[path][: len(whole[path]) // 2] + b"\x00,\xff"):
            if content is None and path.name in (DOCUMENTS[kind], "inputs.csv"):
                continue  # then it is a folder of another kind, or an older run
            path.unlink() if content is None else path.write_bytes(content)
            with pytest.raises(RunError) as caught:
                write_report(folder)
            message = str(caught.value)
            assert path.name in message and message.endswith(".") and "\n" not in message
            assert (folder / "report.html").read_bytes() == earlier
            path.write_bytes(whole[path])
    write_report(folder)


def test_a_backtest_without_its_measures_is_told_which_file_is_missing(folders, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "run.json").write_bytes((folders["backtest"] / "run.json").read_bytes())
    with pytest.raises(
        RunError, match=r"a backtest whose metrics\.json is missing: `trendlstm backtest --resume"
    ):
        write_report(copy)


def test_a_document_without_what_it_needs_is_named(folder, kind):
    path = folder / DOCUMENTS[kind]
    whole = path.read_text()
    for name in json.loads(whole):
        edit(path, lambda document, name=name: document.pop(name))
        try:
            write_report(folder)  # not everything is needed
        except RunError as error:
            assert path.name in str(error) and name in str(error)
        path.write_text(whole)
    with pytest.raises(RunError, match="is damaged or does not fit"):
        edit(path, lambda document: document.update({"verdict": 3, "models": 3, "measures": 3, "fits": 3}))
        write_report(folder)


def test_a_page_that_cannot_be_written_leaves_nothing(folder, tmp_path):
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OSError):
        write_report(folder, tmp_path / "nowhere" / "report.html")
    assert sorted(path.name for path in folder.iterdir()) == before
