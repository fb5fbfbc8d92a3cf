"""The page of a training run says what its files say."""

import json

import numpy as np
import pandas as pd
import pytest
from command_line import run
from run_folders import Parsed, edit, train_folder
from walks import random_walk

from trendlstm.errors import RunError
from trendlstm.output.report.make import write_report

KINDS = [
    {},
    {"cell": "rnn", "scaling": "standard", "dtype": "float64"},
    {"cell": "lstm1997", "seeds": 3, "final_fit": True, "patience": 1, "epochs": 6},
    {"cell": "ann", "seeds": 2},
    {"horizon": 3, "features": ("Close", "Volume"), "scaling": "minmax"},
]
DISTRIBUTIONS = [
    {"loss": "pinball", "quantiles": (0.1, 0.5, 0.75)},
    {"loss": "gaussian", "horizon": 3},
]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def made(request, tmp_path_factory):
    folder = train_folder(tmp_path_factory.mktemp("runs") / "run", **request.param)
    return request.param, folder, Parsed(write_report(folder).read_text())


def values(chart, label, index=0):
    """The drawn values of the line whose label begins so, by x."""
    (number,) = [
        number
        for number, line in enumerate(chart["lines"])
        if line["label"].startswith(label) and line["shape"] != "edge"
    ]
    rows = chart["sets"][index]
    return {x: y for x, y in zip(rows["x"], rows["values"][number]) if y is not None}


def days(dates):
    return (pd.to_datetime(dates) - pd.Timestamp(0)).dt.days


def assert_drawn(found, x, y):
    assert list(found) == list(x)
    np.testing.assert_allclose(list(found.values()), y, rtol=1e-5)


def test_prices_predictions_and_forecast_are_drawn_as_they_are_in_the_files(made):
    _, folder, page = made
    predictions = pd.read_csv(folder / "predictions.csv")
    predictions["day"] = days(predictions["date"])
    chart = page.data["charts"]["prices"]
    first = predictions[predictions["step"] == 1]
    every = predictions.drop_duplicates("day").sort_values("day")
    assert_drawn(values(chart, "actual close"), every["day"], every["actual"])
    kind = "one-step prediction" if predictions["step"].max() == 1 else "prediction, step 1 of 3"
    for split, name in (("train", "training"), ("validation", "validation"), ("test", "test")):
        own = first[first["split"] == split]
        assert_drawn(values(chart, f"{kind}, {name}"), own["day"], own["prediction"])
    several = f"predictions of step 1 of {predictions['step'].max()}"
    predicted = "one-step predictions" if kind.startswith("one") else several
    assert f"Closing price, {predicted} and forecasts" in page.texts("b")
    recursive = first.dropna(subset="recursive")
    labels = [line["label"] for line in chart["lines"]]
    assert any(label.startswith("recursive from") for label in labels) == bool(len(recursive))
    if len(recursive):
        drawn = values(chart, "recursive from")
        assert_drawn(dict(list(drawn.items())[1:]), recursive["day"], recursive["recursive"])
    document = json.loads((folder / "run.json").read_text())
    forecast = pd.DataFrame(document["forecast"])
    drawn = values(chart, "forecast")
    assert next(iter(drawn.values())) == pytest.approx(forecast["naive"][0], rel=1e-5)
    assert_drawn(dict(list(drawn.items())[1:]), days(forecast["date"]), forecast["price"])
    if forecast["high"].notna().any():
        held = forecast.dropna(subset="high")
        assert_drawn(values(chart, "80 % band"), days(held["date"]), held["high"])


def test_losses_are_those_of_every_network_and_kept_epochs_are_marked(made):
    settings, folder, page = made
    history = pd.read_csv(folder / "history.csv")
    fits = json.loads((folder / "run.json").read_text())["fits"]
    chart = page.data["charts"]["losses"]
    several = settings.get("seeds", 1) > 1
    assert chart["log"] and len(chart["sets"]) == len(fits) + several
    for number, own in history.groupby("network"):
        index = number + several
        assert_drawn(values(chart, "training", index), own["epoch"], own["loss"])
        assert_drawn(values(chart, "validation", index), own["epoch"], own["validation_loss"])
        (mark,) = chart["sets"][index]["marks"]
        assert mark["x"] == fits[number]["best_epoch"] and str(mark["x"]) in mark["label"]
    if several:
        shortest = history.groupby("network").size().min()
        mean = history[history["epoch"] <= shortest].groupby("epoch")["loss"].mean()
        assert_drawn(values(chart, "training"), mean.index, mean)
        assert {mark["x"] for mark in chart["sets"][0]["marks"]} == {fit["best_epoch"] for fit in fits}


def test_a_learning_rate_that_changes_is_drawn(made, tmp_path):
    _, _, page = made
    assert "rates" not in page.data["charts"]
    options = {"seeds": 2, "epochs": 6, "warmup": 2, "schedule": "cosine"}
    folder = train_folder(tmp_path / "run", **options)
    chart = Parsed(write_report(folder).read_text()).data["charts"]["rates"]
    assert [rows["name"] for rows in chart["sets"]] == ["network 1", "network 2"]
    for number, own in pd.read_csv(folder / "history.csv").groupby("network"):
        assert own["learning_rate"].nunique() > 3
        assert_drawn(values(chart, "learning rate", number), own["epoch"], own["learning_rate"])


def test_what_is_said_is_what_the_command_says(tmp_path):
    random_walk(200).to_csv(tmp_path / "walk.csv")
    small = "--hidden 3 --dense none --lag 4 --epochs 3 --seeds 2 --horizon 2 --no-plot --report"
    shown = " ".join(run(f"train --csv {tmp_path}/walk.csv {small} --out {tmp_path}/run").stdout.split())
    page = Parsed((tmp_path / "run" / "report.html").read_text())
    rows, cells = [], []
    for tag, found, text in page.elements:
        if tag == "tr":
            rows.append(cells := [])
        elif tag == "td" or found.get("scope") == "row":
            cells.append(text)
    rows = [row for row in rows if len(row) > 3]
    assert len(rows) == 3 * 4 * 2 + 2
    for first, *rest in rows:
        words = " ".join(rest if first in ("train", "validation", "test") else [first, *rest])
        assert words in shown
    for text in page.texts("p"):
        if (
            "RMSE" in text
            or "persistence" in text
            or text.startswith(("Network", "200 sessions", "4 sessions"))
        ):
            assert (
                text.removeprefix(
                    "Rows: train figures are in-sample, validation figures were used for selection. "
                )
                in shown
            )


def test_an_old_run_without_inputs_says_so(tmp_path):
    folder = train_folder(tmp_path / "run")
    (folder / "inputs.csv").unlink()
    page = Parsed(write_report(folder).read_text())
    assert page.data["gates"] is None and "means" not in page.data["charts"]
    assert any(text.startswith("This run was written before") for text in page.texts("p"))


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:-1],
        lambda rows: rows[-3:],
        lambda rows: rows.drop(index=rows.index[-2]),
        lambda rows: pd.concat([rows, rows[-1:]]),
        lambda rows: rows.assign(Close=[*rows["Close"][:-1], 99.9]),
        lambda rows: rows.assign(Volume=[*rows["Volume"][:-1], 3e9]),
    ],
    ids=["earlier", "shorter", "gap", "twice", "close", "volume"],
)
def test_inputs_that_the_last_forecast_was_not_made_of_are_refused(tmp_path, change):
    folder = train_folder(tmp_path / "run", features=("Close", "Volume"), seeds=2)
    write_report(folder)
    path = folder / "inputs.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(RunError, match=r"inputs\.csv does not fit predictions\.csv: .* Train again\.$"):
        write_report(folder)


def test_a_window_may_be_longer_than_what_is_known_of_its_sessions(tmp_path):
    folder = train_folder(tmp_path / "run", random_walk(60), lag=20, split=(0.5, 0.25, 0.25), scaling="none")
    assert len(Parsed(write_report(folder).read_text()).data["gates"]["steps"]) == 20


@pytest.mark.parametrize("status", ["interrupted", "diverged"])
def test_a_run_that_ended_early_shows_what_there_is(tmp_path, status):
    folder = train_folder(tmp_path / "run")
    nothing = {
        "metrics": {},
        "recursive": {},
        "verdict": "",
        "evidence": None,
        "forecast": [],
        "status": status,
    }
    edit(folder / "run.json", lambda document: document.update(nothing))
    for name in ("predictions.csv", "forecast.csv"):
        (folder / name).unlink()
    page = Parsed(write_report(folder).read_text())
    assert list(page.data["charts"]) == ["losses"] and "Not measured" in page.texts("h2")


def test_evidence_is_said_as_loudly_as_none(tmp_path):
    folder = train_folder(tmp_path / "run")
    for evidence, answer, kind in (
        (True, "Evidence of skill", "verdict good"),
        (False, "No evidence of skill", "verdict"),
    ):
        edit(folder / "run.json", lambda document, evidence=evidence: document.update(evidence=evidence))
        page = Parsed(write_report(folder).read_text())
        assert page.texts("h2")[0] == answer and page.all("section", id="verdict")[0][0]["class"] == kind


def test_a_recursion_that_runs_away_does_not_flatten_the_prices(tmp_path):
    folder = train_folder(tmp_path / "run")
    table = pd.read_csv(folder / "predictions.csv")
    table.loc[table["recursive"].notna(), "recursive"] = 1e6
    table.to_csv(folder / "predictions.csv", index=False)
    chart = Parsed(write_report(folder).read_text()).data["charts"]["prices"]
    low, high = chart["limits"]
    assert low < table["actual"].min() and table["actual"].max() < high < 2 * table["actual"].max()


@pytest.mark.parametrize("settings", DISTRIBUTIONS, ids=str)
def test_predicted_quantiles_are_drawn_and_measured(settings, tmp_path):
    folder = train_folder(tmp_path / "run", **settings)
    text = write_report(folder).read_text()
    page = Parsed(text)
    lower, upper = settings.get("quantiles", (0.1, 0.9))[0], settings.get("quantiles", (0.1, 0.9))[-1]
    name = f"{100 * lower:g} % to {100 * upper:g} % quantile"
    predictions = pd.read_csv(folder / "predictions.csv")
    test = predictions[(predictions["split"] == "test") & (predictions["step"] == 1)]
    chart = page.data["charts"]["enlarged"]
    (high,) = [
        n for n, line in enumerate(chart["lines"]) if line["label"] == name and line["shape"] != "edge"
    ]
    np.testing.assert_allclose(chart["sets"][0]["values"][high], test["high"], rtol=1e-5)
    assert any(line["label"] == name for line in page.data["charts"]["prices"]["lines"])
    assert "How good the predicted distributions were" in text
    loss = {"pinball": "mean pinball loss", "gaussian": "mean negative log-likelihood"}[settings["loss"]]
    assert f"Loss: {loss} of the scaled target" in text
