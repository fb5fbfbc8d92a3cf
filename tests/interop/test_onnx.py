"""ONNX models in ONNX Runtime: they compute what this package computes, and say what they are."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from command_line import run as run_command
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from onnx.reference import ReferenceEvaluator
from walks import random_walk, small_config

import trendlstm as tl
from trendlstm.config import CELLS, DTYPES, SCALINGS, TrainConfig
from trendlstm.data.windows import Scaler
from trendlstm.errors import OptionError, RunError
from trendlstm.output.runs import Run
from trendlstm.workflows.forecast import Forecaster

ROOT = Path(__file__).parents[2]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
RECURRENT = [cell for cell in CELLS if cell != "ann"]
PRICES = random_walk().assign(Momentum=lambda table: table["Close"].diff().fillna(0.0))
FEATURES = [
    ("Close",),
    ("Close", "Volume"),
    ("Open", "High", "Low", "Close", "Volume"),
    ("Open", "Momentum", "Volume"),
]
LAG, HORIZON = 6, 5


def session_of(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def answer(path, **inputs):
    (output,) = session_of(path).run(None, inputs)
    return output


def assert_agree(got, expected, dtype, largest=None):
    assert got.dtype == expected.dtype and got.shape == expected.shape
    largest = np.abs(expected).max() if largest is None else largest
    assert np.abs(got - expected).max() <= TOLERANCE[dtype] * largest


def network_of(seed=0, **settings):
    """A network whose biases are not 0 either."""
    network = tl.Network(seed=seed, **settings)
    random = np.random.default_rng(seed)
    values = network.state_dict()
    biases = {name: one + random.normal(0, 0.1, one.shape) for name, one in values.items() if "bias" in name}
    network.load_state_dict(values | biases)
    return network


def run_of(scaling="window", features=("Close",), seeds=3, dtype="float32", cell="lstm", **loss):
    """A run whose networks are not trained."""
    config = small_config(LAG, HORIZON, features, scaling, cell, seeds, dtype=dtype, **loss)
    sizes = dict(input_size=len(features), hidden_size=3, dense=(4,), output_size=HORIZON, lag=LAG)
    networks = tuple(network_of(seed, cell=cell, dtype=dtype, **sizes, **loss) for seed in range(seeds))
    scaler = Scaler.fit(PRICES[:100], features, scaling)
    forecaster = Forecaster(networks, scaler, LAG, HORIZON, "2015-05-22")
    return Run(Path("run"), config, "finished", forecaster, False, "It is a test.", None, [], "none")


# -------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=12, derandomize=True)
@given(data=st.data())
def test_any_network_computes_the_same(tmp_path_factory, cell, dtype, data):
    def size(most, least=1):
        return data.draw(st.integers(least, most))

    samples, steps, features = size(40), size(30), size(5)
    network = network_of(
        size(1000, 0),
        input_size=features,
        hidden_size=tuple(size(20) for _ in range(1 if cell == "ann" else size(3))),
        dense=tuple(data.draw(st.lists(st.integers(1, 9), max_size=3))),
        output_size=size(4),
        cell=cell,
        dtype=dtype,
        lag=steps,
        bias=data.draw(st.booleans()),
        squash_output=data.draw(st.booleans()),
        init=data.draw(st.sampled_from(("orthogonal", "glorot", "uniform"))),
    )
    x = np.random.default_rng(samples).normal(size=(max(samples, 16), steps, features)).astype(dtype)
    expected = network.predict(x)
    path = tmp_path_factory.mktemp("any") / "network.onnx"
    tl.export_onnx(network, path)
    # an output may by chance be so near 0 that its rounding is not: the largest is that of 16 samples or more
    assert_agree(answer(path, x=x[:samples]), expected[:samples], dtype, np.abs(expected).max())


LOSSES = [
    {"loss": "huber"},
    {"loss": "cross-entropy", "classes": 3},
    {"loss": "pinball", "quantiles": (0.1, 0.5, 0.7)},
    {"loss": "gaussian"},
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", LOSSES, ids=lambda options: options["loss"])
def test_predicted_distributions(tmp_path, options, dtype):
    network = network_of(input_size=2, hidden_size=3, dense=(5,), output_size=2, dtype=dtype, **options)
    x = np.random.default_rng(0).normal(size=(40, 7, 2)).astype(dtype)
    tl.export_onnx(network, tmp_path / "network.onnx")
    expected = network.predict(x)
    assert_agree(answer(tmp_path / "network.onnx", x=x), expected, dtype)
    if options["loss"] == "pinball":
        columns = network.state_dict()["dense.1.bias"]
        assert (np.argsort(columns.reshape(2, 3), axis=1) != np.arange(3)).any(), "nothing is sorted"
    x[3, 2] = np.nan
    assert (
        np.isnan(answer(tmp_path / "network.onnx", x=x)).any(axis=tuple(range(1, expected.ndim))).sum() == 1
    )


@pytest.mark.parametrize("options", LOSSES[2:], ids=lambda options: options["loss"])
def test_the_model_of_a_run_gives_the_median(tmp_path, options):
    run = run_of(dtype="float64", **options)
    tl.export_onnx(run, tmp_path / "run.onnx")
    prices = np.stack([PRICES[["Close"]].to_numpy()[start : start + LAG] for start in range(9)])
    x, close = run.forecaster.scaler.inputs(prices, prices[:, -1, 0]), prices[:, -1, 0]
    expected = run.forecaster.predict(x, close)
    assert_agree(answer(tmp_path / "run.onnx", prices=prices), expected, "float64")


@pytest.mark.parametrize("layers", (1, 2, 3))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", RECURRENT)
def test_layers_are_nodes_one_after_the_other_in_every_runtime(tmp_path, cell, dtype, layers):
    """ONNX's own evaluator in NumPy agrees with ONNX Runtime; dropout is not in the file."""
    sizes = (4, 4, 2)[-layers:]
    network = network_of(input_size=2, hidden_size=sizes, dense=(3,), cell=cell, dtype=dtype, dropout=0.5)
    tl.export_onnx(network, tmp_path / "network.onnx")
    model = onnx.load(tmp_path / "network.onnx")
    operators = [node.op_type for node in model.graph.node]
    kind = cell.upper() if dtype == "float32" and cell in ("lstm", "gru", "rnn") else "Scan"
    assert operators.count(kind) == layers and "Dropout" not in operators
    x = np.random.default_rng(layers).normal(size=(16, 9, 2)).astype(dtype)
    expected = network.predict(x)
    assert_agree(answer(tmp_path / "network.onnx", x=x), expected, dtype)
    assert_agree(ReferenceEvaluator(model).run(None, {"x": x})[0], expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", RECURRENT)
def test_one_file_takes_any_number_of_samples_and_steps(tmp_path, cell, dtype):
    network = network_of(input_size=2, hidden_size=3, dense=(5,), output_size=2, cell=cell, dtype=dtype)
    tl.export_onnx(network, tmp_path / "network.onnx")
    session = session_of(tmp_path / "network.onnx")
    sizes = [(1, 1), (1, 300), (10_000, 1)]
    if dtype == "float64":
        sizes.append((100, 300))
    elif cell != "lstm1997":
        # Without a forget gate the cell state grows, and with it what float32 rounds off: of thousands of samples with
        # hundreds of steps some are then as far from `predict` as that is from float64, up to 1e-4.
        sizes.append((10_000, 300))
    for samples, steps in sizes:
        x = np.random.default_rng(steps).normal(size=(samples, steps, 2)).astype(dtype)
        assert_agree(session.run(None, {"x": x})[0], network.predict(x), dtype)


def test_a_feed_forward_network_takes_any_number_of_samples(tmp_path):
    network = network_of(input_size=2, hidden_size=5, dense=(3,), cell="ann", lag=300)
    tl.export_onnx(network, tmp_path / "network.onnx")
    for samples in (1, 10_000):
        x = np.random.default_rng(samples).normal(size=(samples, 300, 2)).astype(np.float32)
        assert_agree(answer(tmp_path / "network.onnx", x=x), network.predict(x), "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
def test_inputs_that_predict_refuses_give_nan_for_their_sample_alone(tmp_path, cell, dtype):
    network = network_of(input_size=2, hidden_size=3, output_size=2, cell=cell, dtype=dtype, lag=4)
    tl.export_onnx(network, tmp_path / "network.onnx")
    x = np.random.default_rng(0).normal(size=(4, 4, 2)).astype(dtype)
    expected = network.predict(x)
    x[0, 0, 0], x[1, 3, 1], x[2, 2, 0] = np.nan, np.inf, -np.inf
    y = answer(tmp_path / "network.onnx", x=x)
    assert np.isnan(y[:3]).all()
    assert_agree(y[3:], expected[3:], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
def test_every_runtime_can_read_it(tmp_path, cell, dtype):
    network = network_of(input_size=2, hidden_size=3, cell=cell, dtype=dtype, lag=4)
    written = tl.export_onnx(network, tmp_path / "network.onnx")
    model = onnx.load(tmp_path / "network.onnx")
    onnx.checker.check_model(model, full_check=True)
    (opset,) = model.opset_import
    assert opset.domain == "" and 14 <= opset.version <= 22 and written.opset == opset.version
    operators = [node.op_type for node in model.graph.node]
    assert not any(attribute.name == "layout" for node in model.graph.node for attribute in node.attribute)
    assert ("Transpose" in operators) == (cell != "ann")
    record = json.loads(model.metadata_props[0].value)
    orders = {"lstm": ("iofc", "ifgo"), "gru": ("zrh", "rzn"), "lstm1997": ("igo", "igo")}
    assert record["gate_order"] == orders.get(cell, (None, None))[dtype == "float64"]
    assert tl.NetworkConfig.from_dict(record["networks"][0]) == network.config
    assert (model.producer_name, model.producer_version) == ("trendlstm", tl.__version__)


# ------------------------------------------------------------------------------------------------------ runs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", FEATURES, ids=",".join)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_run_takes_prices_and_gives_prices(tmp_path, scaling, features, dtype):
    run = run_of(scaling, features, dtype=dtype)
    forecaster, scaler = run.forecaster, run.forecaster.scaler
    raw = sliding_window_view(PRICES[list(features)].to_numpy(), LAG, axis=0).transpose(0, 2, 1)
    close = PRICES["Close"].to_numpy()[LAG - 1 :]
    expected = forecaster.predict(scaler.inputs(raw, close), close)

    written = tl.export_onnx(run, tmp_path / "run.onnx")
    inputs = {"prices": raw}
    if scaling == "window" and "Close" not in features:
        inputs["close"] = close
    assert {one.name: one.shape for one in written.inputs} == {
        name: ("N", *array.shape[1:]) for name, array in inputs.items()
    }
    forecast = answer(tmp_path / "run.onnx", **inputs)
    assert_agree(forecast, expected, dtype)
    # in target units: forecasts are so near the last close that any price near it would agree
    assert_agree(scaler.targets(forecast, close), scaler.targets(expected, close), dtype)
    (one,) = written.outputs
    assert (one.name, one.dtype, one.shape) == ("forecast", "float64", ("N", HORIZON))


@pytest.mark.parametrize("cell", CELLS)
def test_a_run_may_have_any_cell_and_one_network(tmp_path, cell):
    run = run_of(cell=cell, seeds=1)
    tl.export_onnx(run, tmp_path / "run.onnx")
    closes = PRICES["Close"].to_numpy()[None, :LAG, None]
    x, anchor = run.forecaster.scaler.inputs(closes, closes[:, -1, 0]), closes[:, -1, 0]
    assert_agree(answer(tmp_path / "run.onnx", prices=closes), run.forecaster.predict(x, anchor), "float32")


@pytest.mark.parametrize("bad", (0.0, -1.0, np.nan, np.inf))
def test_a_price_that_is_none_gives_no_price(tmp_path, bad):
    tl.export_onnx(run_of(), tmp_path / "run.onnx")
    closes = PRICES["Close"].to_numpy()[None, :LAG, None].copy()
    closes[0, 2] = bad
    assert np.isnan(answer(tmp_path / "run.onnx", prices=closes)).all()


def test_metadata_say_what_the_model_is(tmp_path):
    run = run_of("minmax", ("Close", "Momentum"))
    tl.export_onnx(run, tmp_path / "run.onnx")
    model = onnx.load(tmp_path / "run.onnx")
    (entry,) = model.metadata_props
    assert entry.key == "trendlstm"
    record = json.loads(entry.value)
    assert Scaler.from_dict(record["scaler"]) == run.forecaster.scaler
    assert TrainConfig.from_dict(record["settings"]) == run.config
    assert len(record["networks"]) == 3
    assert (record["ticker"], record["learned_until"]) == ("WALK", "2015-05-22")
    assert (record["trendlstm"], record["gate_order"]) == (tl.__version__, "iofc")
    assert "WALK" in model.doc_string and model.doc_string.endswith("It is a test.")
    (prices,) = model.graph.input
    assert "Close (price), Momentum (your own column, as in training)" in prices.doc_string


# ----------------------------------------------------------------------------------------------------- files


def test_the_same_model_is_the_same_file_which_replaces_another(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("another")
    written = tl.export_onnx(run_of(), path)
    first = path.read_bytes()
    assert written.path == path and written.size == len(first)
    tl.export_onnx(run_of(), str(path))
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_said(tmp_path):
    network = network_of(hidden_size=2)
    (tmp_path / "folder.onnx").mkdir()
    for name, error, message in (
        ("model.h5", OptionError, r"model\.h5 does not end in \.onnx"),
        ("folder.onnx", OptionError, r"folder\.onnx is a folder"),
        ("missing/model.onnx", RunError, r"model\.onnx cannot be written \(No such file or directory\)"),
    ):
        with pytest.raises(error, match=message):
            tl.export_onnx(network, tmp_path / name)
    with pytest.raises(OptionError, match=r"Only a Network or a Run .* not a str"):
        tl.export_onnx("runs/msft", tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.onnx"]


def test_a_missing_package_is_named_with_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(OptionError, match=r"needs the package onnx: pip install .*\[onnx\]'"):
        tl.export_onnx(network_of(hidden_size=2), tmp_path / "model.onnx")


def test_the_page_does_what_it_says(tmp_path, monkeypatch, capsys):
    """docs/onnx.md, whose closes are those of the run's own recursive forecast."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    run_command(
        "train MSFT --source sample --years 1 --hidden 3 --dense none --lag 4 --epochs 3 --no-plot --out runs/msft"
    )
    names = {}
    for block in blocks:
        exec(block, names)
    expected = tl.load_run("runs/msft").forecast(names["prices"])["price"].to_numpy()
    np.testing.assert_allclose(names["closes"][-10:], expected, rtol=1e-5)
    assert len(set(expected)) == 10
