"""The page of a comparison says what its files say."""

import json

import numpy as np
import pandas as pd
import pytest
from run_folders import Parsed, compare_folder, edit

from trendlstm.output.report.make import write_report
from trendlstm.workflows.variants import MODELS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    folder = compare_folder(path, ("rnn", "gru", "ridge", "ann", "lstm1997"), lag=6, seeds=2, horizon=2)
    return folder, Parsed(write_report(folder).read_text())


def test_gradients_are_drawn_against_the_lag_before_and_after(made):
    folder, page = made
    gradients = json.loads((folder / "compare.json").read_text())["gradients"]
    for state in ("initial", "trained"):
        chart = page.data["charts"][f"gradients-{state}"]
        assert chart["log"] and not chart["dates"] and chart["sets"][0]["x"] == list(range(6))
        drawn = dict(zip((line["label"] for line in chart["lines"]), chart["sets"][0]["values"]))
        for label, found in gradients.items():
            np.testing.assert_allclose(drawn[label], found[state]["dloss_dh"]["relative"], rtol=1e-5)
        cell = gradients["LSTM, chrono"][state]["dloss_dc"]["relative"]
        np.testing.assert_allclose(drawn["LSTM, chrono, its cell state |dL/dc|"], cell, rtol=1e-5)
        assert len(drawn) == len(gradients) + 1


def test_predictions_are_those_of_the_seeds_together_one_step_ahead(made):
    folder, page = made
    table = pd.read_csv(folder / "predictions.csv")
    own = table[(table["step"] == 1) & (table["seed"] == "ensemble")]
    closes, changes = page.data["charts"]["predictions"], page.data["charts"]["changes"]
    previous = own.loc[own["model"] == "persistence", "prediction"].to_numpy()
    # the table has the mean of the networks' errors, these lines the error of the mean: a reader must not mix them up
    of = dict.fromkeys(("lstm", "rnn", "gru", "ann", "lstm1997"), ", mean of 2 networks")
    assert any(
        "The line of a network is the mean output of 2, trained" in note for note in page.texts("span")
    )
    for name in ("lstm", "rnn", "gru", "ridge", "ann", "lstm1997", "persistence", "drift"):
        expected = own.loc[own["model"] == name, "prediction"].to_numpy()
        for chart, values in ((closes, expected), (changes, expected - previous)):
            (number,) = [
                number
                for number, line in enumerate(chart["lines"])
                if line["label"].startswith(f"{MODELS[name].label}{of.get(name, '')}: RMSE")
            ]
            np.testing.assert_allclose(chart["sets"][0]["values"][number], values, rtol=1e-5, atol=1e-9)


def test_the_verdict_is_of_models_with_evidence(made, tmp_path):
    folder, page = made
    document = json.loads((folder / "compare.json").read_text())
    assert [text for text in page.texts("p") if text in document["conclusions"]] == document["conclusions"]
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    edit(
        copy / "compare.json",
        lambda document: document["models"]["rnn"]["steps"][0].update(claim_p_holm=0.01),
    )
    answer = Parsed(write_report(copy).read_text()).texts("h2")[0]
    assert answer == f"Evidence of skill: {document['models']['rnn']['label']}"
    # a folder of before models had labels
    edit(copy / "compare.json", lambda document: [one.pop("label") for one in document["models"].values()])
    assert Parsed(write_report(copy).read_text()).texts("h2")[0] == "Evidence of skill: RNN"
