"""Stock trends with a small LSTM whose every equation is in the open, and an honest look at what it can do."""

TYPE_CHECKING = False  # as in `typing`: nothing is imported before the command can hear Ctrl-C

if TYPE_CHECKING:
    from trendlstm import evaluation
    from trendlstm.config import (
        BacktestConfig,
        DataConfig,
        FitConfig,
        NetworkConfig,
        TrainConfig,
        WindowConfig,
    )
    from trendlstm.data.sources import load_prices
    from trendlstm.data.windows import make_windows
    from trendlstm.interop.keras import from_keras, to_keras_weights
    from trendlstm.interop.onnx import export_onnx
    from trendlstm.interop.pytorch import from_pytorch, to_pytorch_state_dict
    from trendlstm.nn.gates import gate_activations
    from trendlstm.nn.gradient_flow import gradient_flow
    from trendlstm.nn.many import fit_many
    from trendlstm.nn.network import Network, load
    from trendlstm.nn.state import State
    from trendlstm.output.runs import load_run, save_run
    from trendlstm.presets import preset
    from trendlstm.version import __version__
    from trendlstm.workflows.backtest import Backtest, backtest
    from trendlstm.workflows.train import train

_MODULES = {
    "Backtest": "workflows.backtest",
    "BacktestConfig": "config",
    "DataConfig": "config",
    "FitConfig": "config",
    "Network": "nn.network",
    "NetworkConfig": "config",
    "State": "nn.state",
    "TrainConfig": "config",
    "WindowConfig": "config",
    "__version__": "version",
    "backtest": "workflows.backtest",
    "export_onnx": "interop.onnx",
    "fit_many": "nn.many",
    "from_keras": "interop.keras",
    "from_pytorch": "interop.pytorch",
    "gate_activations": "nn.gates",
    "gradient_flow": "nn.gradient_flow",
    "load": "nn.network",
    "load_prices": "data.sources",
    "load_run": "output.runs",
    "make_windows": "data.windows",
    "preset": "presets",
    "save_run": "output.runs",
    "to_keras_weights": "interop.keras",
    "to_pytorch_state_dict": "interop.pytorch",
    "train": "workflows.train",
}

__all__ = [
    "Backtest",
    "BacktestConfig",
    "DataConfig",
    "FitConfig",
    "Network",
    "NetworkConfig",
    "State",
    "TrainConfig",
    "WindowConfig",
    "__version__",
    "backtest",
    "evaluation",
    "export_onnx",
    "fit_many",
    "from_keras",
    "from_pytorch",
    "gate_activations",
    "gradient_flow",
    "load",
    "load_prices",
    "load_run",
    "make_windows",
    "preset",
    "save_run",
    "to_keras_weights",
    "to_pytorch_state_dict",
    "train",
]


if not TYPE_CHECKING:  # else type checkers would find every name here, also misspelt ones

    def __getattr__(name: str) -> object:
        # imported on first use: `trendlstm --help` needs neither numba nor pandas
        from importlib import import_module

        if name == "evaluation":
            return import_module(".evaluation", __name__)
        if name not in _MODULES:
            raise AttributeError(f"module 'trendlstm' has no attribute {name!r}")
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
