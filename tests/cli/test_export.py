"""`trendlstm export`: what it writes, what it says of it, and what it refuses."""

import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from command_line import run

import trendlstm as tl

SMALL = "MSFT --source sample --years 1 --hidden 3 --dense none --lag 4 --epochs 3 --threads 2 --no-plot"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of everything: an ensemble, a final fit, several features, a horizon, levels of prices."""
    path = tmp_path_factory.mktemp("export") / "run"
    run(
        f"train {SMALL} --features close,volume --horizon 5 --seeds 3 --final-fit --scaling standard --out {path}"
    )
    return path


def test_the_model_forecasts_what_the_run_forecasts(folder, tmp_path):
    shown = json.loads(run(f"export {folder} {tmp_path / 'model.onnx'} --json").stdout)
    assert shown["final_fit"] and shown["status"] == "finished"
    assert shown["size"] == (tmp_path / "model.onnx").stat().st_size
    (prices,), (forecast,) = shown["inputs"], shown["outputs"]
    assert prices["name"] == "prices" and prices["dtype"] == "float64" and prices["shape"] == ["N", 4, 2]
    assert prices["meaning"].endswith("oldest first: Close (price), Volume (shares traded)")
    assert forecast["name"] == "forecast" and forecast["shape"] == ["N", 5]

    table = tl.load_prices("MSFT", years=1, source="sample")
    window = table[["Close", "Volume"]].to_numpy(np.float64)[None, -4:]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"prices": window})
    expected = tl.load_run(folder).forecast(table)["price"].to_numpy()
    np.testing.assert_allclose(given[0], expected, rtol=1e-6)
    assert np.ptp(expected) > 1e-3  # in dollars: no flat line, which any model would give


def test_it_says_what_goes_in_and_out_and_how_to_run_it(folder, tmp_path):
    path = tmp_path / "Model.ONNX"
    shown = run(f"export {folder} {path}").stdout
    assert f"{path}: {path.stat().st_size:,} bytes, operator set 17 of ONNX." in shown
    assert "Its run said: " in shown
    assert re.search(r"takes +prices +float64 +\(N, 4, 2\) +the last 4 sessions, oldest first: Close", shown)
    assert re.search(r"gives +forecast +float64 +\(N, 5\) +Close of the next 5 sessions", shown)
    assert "With --scaling standard it knows levels of prices" in shown
    first, second = (line.strip() for line in shown.splitlines()[-2:])
    window = np.full((1, 4, 2), 30.0)
    names = {"onnxruntime": onnxruntime, "prices": window}
    exec(f"{first}\n{second}", names)
    assert names["forecast"].shape == (1, 5)


def test_an_existing_file_stays(folder, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("mine")
    result = run(f"export {folder} {path}", expect=2)
    assert result.stderr == f"Error: {path} exists already: choose another name, or remove it first.\n"
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("source", "model", "code", "message"),
    [
        ("{folder}", "model.pt", 2, "model.pt does not end in .onnx: give the name of a file that does."),
        (
            "{folder}",
            ".onnx",
            2,
            ".onnx is a suffix without a name before it: give a name such as model.onnx.",
        ),
        ("{folder}", "missing/model.onnx", 2, "is in a folder that does not exist: make it first"),
        ("nowhere", "model.onnx", 1, "nowhere is not a run's folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(folder, tmp_path, source, model, code, message):
    result = run(f"export {source.format(folder=folder)} {tmp_path / model} --json", expect=code)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ") and message in line
    assert json.loads(result.stdout)["exit_code"] == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", ("interrupted", "diverged"))
def test_a_run_that_did_not_finish_comes_with_a_warning(tmp_path, status):
    run(f"train {SMALL} --out {tmp_path / 'run'}")
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**document, "status": status}))
    result = run(f"export {tmp_path / 'run'} {tmp_path / 'model.onnx'}")
    assert f"did not finish ({status}); its weights are the best until then." in result.stderr
    (entry,) = onnx.load(tmp_path / "model.onnx").metadata_props
    assert json.loads(entry.value)["status"] == status
