"""Stock trends with a small LSTM whose every equation is in the open, and an honest look at what it can do."""

TYPE_CHECKING = False  # as in `typing`: nothing is imported before the command can hear Ctrl-C

if TYPE_CHECKING:
    from trendlstm.data.sources import load_prices
    from trendlstm.data.windows import make_windows
    from trendlstm.nn.gradient_flow import gradient_flow
    from trendlstm.nn.many import fit_many
    from trendlstm.nn.network import Network, load
    from trendlstm.version import __version__

_MODULES = {
    "__version__": "version",
    "Network": "nn.network",
    "fit_many": "nn.many",
    "gradient_flow": "nn.gradient_flow",
    "load": "nn.network",
    "load_prices": "data.sources",
    "make_windows": "data.windows",
}

__all__ = ["Network", "__version__", "fit_many", "gradient_flow", "load", "load_prices", "make_windows"]


def __getattr__(name: str) -> object:
    # imported on first use: `trendlstm --help` needs neither numba nor pandas
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'trendlstm' has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
