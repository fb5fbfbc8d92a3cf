"""`export_onnx`: a network, or a whole run from prices to prices, as an ONNX file that other programs run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trendlstm.data.prices import PRICE_COLUMNS
from trendlstm.errors import OptionError, RunError
from trendlstm.files import jsonable, replace_file
from trendlstm.nn.network import Network
from trendlstm.output.runs import Run
from trendlstm.version import __version__, install_command

if TYPE_CHECKING:
    from onnx import ModelProto

    from trendlstm.data.windows import Scaler

# Both of ONNX 1.12 (2022): nothing here needs newer operators, and the older a file's versions, the more runtimes take
# it. From opset 18 on, mean and split are written in another way, which runtimes of 17 refuse.
OPSET, IR_VERSION = 17, 8
METADATA_KEY = "trendlstm"


@dataclass(frozen=True)
class Tensor:
    """What a model takes or gives.

    Attributes
    ----------
    name : str
    dtype : {"float32", "float64"}
    shape : tuple of int or str
        A letter where the size is free: N samples, T time steps.
    meaning : str
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


@dataclass(frozen=True)
class OnnxExport:
    """A model that was written.

    Attributes
    ----------
    path : Path
    size : int
        Of the file, in bytes.
    opset : int
        Version of ONNX's operators.
    inputs, outputs : tuple of Tensor
    """

    path: Path
    size: int
    opset: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def export_onnx(source: Network | Run, path: str | Path) -> OnnxExport:
    """Write a network, or a run with its scaling and ensemble, as an ONNX model.

    The model of a network takes scaled inputs `x` (N, T, F) and gives `y`, what `Network.predict` returns, both in the
    network's dtype, in which it also computes. N is free, and so is T but for the cell `ann`.

    The model of a run takes prices as they are: `prices` (N, lag, F), float64, the last `lag` sessions with the oldest
    first, features in the run's order; and, under window scaling of features without the Close, `close` (N,), float64,
    the Close of the last session. It gives `forecast` (N, m), float64, the closes of the next m sessions. Prices are
    scaled in float64, each network computes in its own dtype, and an ensemble's outputs are averaged in float64; of
    predicted distributions those are the point forecasts alone.
    Scalings other than "window" know levels of prices: where prices have been restated since (by a split, say), bring
    them to the run's level first.

    A sample for which a network's inputs are not finite, which `Network.predict` refuses, gives NaN. The metadata have
    scaler, settings, ticker and the package's version as JSON under `trendlstm`.

    Parameters
    ----------
    source : Network or Run
        A run is read with `load_run`; the networks of its final fit are taken if it has one.
    path : str or Path
        The file, which must end in .onnx. One that exists is replaced, as a whole or not at all (`trendlstm export`
        refuses it instead).

    Returns
    -------
    OnnxExport
        What the model takes and gives.

    Raises
    ------
    OptionError
        `source` is something else, the path does not end in .onnx or is a folder, or the package onnx is missing.
    RunError
        The file cannot be written.
    """
    path = Path(path)
    if path.name.lower() == ".onnx":
        raise OptionError(f"{path} is a suffix without a name before it: give a name such as model.onnx.")
    if path.suffix.lower() != ".onnx":
        raise OptionError(f"{path} does not end in .onnx: give the name of a file that does.")
    if path.is_dir():
        raise OptionError(f"{path} is a folder: give the name of a file.")
    try:
        import onnx
    except ImportError as error:
        raise OptionError(f"An ONNX model needs the package onnx: {install_command('onnx')}.") from error

    if isinstance(source, Run):
        model, inputs, outputs = _run_model(source)
    elif isinstance(source, Network):
        model, inputs, outputs = _network_model(source)
    else:
        kind = type(source).__name__
        raise OptionError(f"Only a Network or a Run (see load_run) becomes an ONNX model, not a {kind}.")
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    try:
        replace_file(path, lambda file: file.write(content))
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}): choose another place.") from error
    return OnnxExport(path, len(content), OPSET, inputs, outputs)


_Described = tuple["ModelProto", tuple[Tensor, ...], tuple[Tensor, ...]]


def _network_model(network: Network) -> _Described:
    from trendlstm.interop.onnx_graph import Graph, add_network

    config = network.config
    steps = config.lag if config.cell == "ann" and config.lag else "T"
    x = Tensor("x", config.dtype, ("N", steps, config.input_size), "scaled inputs, oldest step first")
    scaled, targets = "scaled as its targets were", ("N", config.output_size)
    what, shape = {
        "pinball": (
            f"the quantiles that the network predicts, {scaled}",
            (*targets, config.outputs_per_target),
        ),
        "gaussian": (
            f"mean and standard deviation that the network predicts, {scaled}",
            (*targets, config.outputs_per_target),
        ),
        "cross-entropy": ("the probability of each class", (*targets, config.outputs_per_target)),
    }.get(config.loss, (f"the network's outputs, {scaled}", targets))
    y = Tensor("y", config.dtype, shape, what)
    graph = Graph()
    add_network(graph, network, x.name, output=y.name)
    about = f"A network of trendlstm {__version__} (cell {config.cell})."
    return _model(graph, "network", about, (x,), (y,), _networks_record([network])), (x,), (y,)


def _run_model(run: Run) -> _Described:
    from trendlstm.interop.onnx_graph import Graph, add_forecaster, needs_close

    forecaster, scaler, ticker = run.forecaster, run.forecaster.scaler, run.config.data.ticker
    lag, horizon = forecaster.lag, forecaster.horizon
    shown = "the last session" if lag == 1 else f"the last {lag} sessions, oldest first"
    prices = Tensor(
        "prices", "float64", ("N", lag, len(scaler.features)), f"{shown}: {_features_text(scaler)}"
    )
    close = Tensor("close", "float64", ("N",), "Close of the last session")
    inputs = (prices, close) if needs_close(scaler) else (prices,)
    told = "Close of the next session" if horizon == 1 else f"Close of the next {horizon} sessions"
    forecast = Tensor("forecast", "float64", ("N", horizon), f"{told}, in the currency of the prices")
    graph = Graph()
    add_forecaster(graph, forecaster, prices.name, close.name, forecast.name)
    about = (
        f"A forecaster of {ticker} by trendlstm {__version__}, which has learned from prices until "
        f"{forecaster.learned_until}. It takes prices as they are and gives prices. {run.verdict}"
    ).strip()
    record = {
        **_networks_record(forecaster.networks),
        "scaler": scaler.to_dict(),
        "settings": run.config.to_dict(),
        "ticker": ticker,
        "status": run.status,
        "learned_until": forecaster.learned_until,
        "final_fit": run.is_final_fit,
        "verdict": run.verdict,
    }
    return _model(graph, "forecaster", about, inputs, (forecast,), record), inputs, (forecast,)


def _networks_record(networks: Any) -> dict[str, Any]:
    from trendlstm.interop.onnx_graph import gate_order

    return {
        "trendlstm": __version__,
        "networks": [network.config.to_dict() for network in networks],
        "gate_order": gate_order(networks[0].config),
    }


def _features_text(scaler: Scaler) -> str:
    """What each feature is, in order."""

    def kind(name: str) -> str:
        if name in PRICE_COLUMNS:
            return "price"
        return "shares traded" if name == "Volume" else "your own column, as in training"

    return ", ".join(f"{name} ({kind(name)})" for name in scaler.features)


def _model(
    graph: Any,
    name: str,
    about: str,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    record: dict[str, Any],
) -> ModelProto:
    from onnx import helper

    from trendlstm.interop.onnx_graph import ELEMENT_TYPES

    def declared(tensors: tuple[Tensor, ...]) -> list[Any]:
        return [
            helper.make_tensor_value_info(one.name, ELEMENT_TYPES[one.dtype], one.shape, one.meaning)
            for one in tensors
        ]

    model = helper.make_model(
        graph.to_proto(name, declared(inputs), declared(outputs)),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="trendlstm",
        producer_version=__version__,
        doc_string=about,
    )
    helper.set_model_props(model, {METADATA_KEY: json.dumps(jsonable(record), allow_nan=False)})
    return model
