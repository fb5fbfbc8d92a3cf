"""Stock trends with a small LSTM whose every equation is in the open, and an honest look at what it can do."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data.sources import load_prices
    from .data.windows import make_windows
    from .gradients import gradient_flow
    from .network import Network, load
    from .training import fit_many

_MODULES = {
    "Network": "network",
    "fit_many": "training",
    "gradient_flow": "gradients",
    "load": "network",
    "load_prices": "data.sources",
    "make_windows": "data.windows",
}

__all__ = ["Network", "__version__", "fit_many", "gradient_flow", "load", "load_prices", "make_windows"]

try:
    __version__ = version("trendlstm")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "unknown"


def __getattr__(name: str) -> Any:
    # imported on first use: `trendlstm --help` needs neither numba nor pandas
    if name not in _MODULES:
        raise AttributeError(f"module 'trendlstm' has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
