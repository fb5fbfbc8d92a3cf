"""The header of every result file: what made it, when, on what machine, from which settings and prices."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from trendlstm.nn.device import describe_device
from trendlstm.nn.threads import available_threads
from trendlstm.version import __version__

LIBRARIES = ("numpy", "numba", "pandas", "yfinance", "exchange_calendars")


def header(
    settings: Mapping[str, Any], device: str, seconds: Any, provenance: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `run.json`, `compare.json` and `reproduce.json` begin with.

    Parameters
    ----------
    settings : mapping
        Every setting, so that the result can be made again.
    device : {"cpu", "cuda"}
        What trained the networks.
    seconds : float or mapping of str to float
        Wall time, of the whole or by part.
    provenance : mapping, optional
        Where the prices came from; a result without prices has none.

    Returns
    -------
    dict
        trendlstm (its version), created (UTC), versions (of Python and `LIBRARIES`), machine (platform, the processor
        that kernels are compiled for, threads that may be used), device, settings, provenance, seconds.
    """
    from trendlstm.kernels.cache import processor

    return {
        "trendlstm": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "machine": {
            "platform": platform.platform(),
            "processor": processor(),
            "threads": available_threads(),
        },
        "device": describe_device(device),
        "settings": dict(settings),
        **({} if provenance is None else {"provenance": dict(provenance)}),
        "seconds": seconds,
    }
