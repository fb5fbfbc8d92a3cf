"""`trendlstm doctor`: what this installation is made of and what it can reach."""

import os
import platform
import threading
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from trendlstm.caches import cache_folder
from trendlstm.errors import CacheError, OptionError
from trendlstm.version import __version__

YAHOO_SECONDS = 10.0
_GPU_PACKAGE = "numba-cuda"


def examine() -> dict[str, str]:
    """Look at versions, processor, threads, GPU, cache folders and Yahoo.

    Returns
    -------
    dict of str to str
        What was looked at, and what was found; never raises for what is missing.
    """
    return {
        "trendlstm": __version__,
        "Python": f"{platform.python_version()} ({platform.platform()})",
        **_versions(),
        "vectors": _vectors(),
        "threads": _threads(),
        "GPU": _gpu(),
        "price cache": _price_cache(),
        "kernel cache": _kernel_cache(),
        "Yahoo": _yahoo(),
    }


def _versions() -> dict[str, str]:
    try:
        needed = [text for text in requires("trendlstm") or () if "extra ==" not in text]
    except PackageNotFoundError:  # a source tree that was not installed
        needed = ["numba", "numpy", "pandas", "yfinance"]
    names = sorted({text.replace("=", ">").split(">")[0].strip() for text in needed})
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _vectors() -> str:
    from numba.core.registry import cpu_target

    from trendlstm.kernels.simd import TILE_ROWS, VECTOR_BYTES

    _, processor, features = cpu_target.target_context.codegen().magic_tuple()
    present = [name for name in ("avx512f", "avx2", "fma", "neon") if f"+{name}" in features.split(",")]
    return (
        f"{8 * VECTOR_BYTES} bits: {VECTOR_BYTES // 4} lanes of float32, {VECTOR_BYTES // 8} of float64, tiles of "
        f"{TILE_ROWS} rows; compiled for {processor} with {', '.join(present) or 'its basic instructions'}"
    )


def _threads() -> str:
    from trendlstm.nn.threads import available_threads, thread_count

    cores = f"{available_threads()} of the machine's {os.cpu_count()} cores may be used"
    if not os.environ.get("TRENDLSTM_NUM_THREADS"):
        return cores
    try:
        return f"{cores}, of which TRENDLSTM_NUM_THREADS asks for {thread_count(None)}"
    except OptionError as error:
        return f"{cores}; invalid: {error}"


def _gpu() -> str:
    from trendlstm.nn.device import device_name

    try:
        name = device_name()
    except OptionError as error:
        return f"none is used: {error}"
    return f"{name}, with {_GPU_PACKAGE} {version(_GPU_PACKAGE)}; used where --device cuda asks for it"


def _price_cache() -> str:
    from trendlstm.data.cache import list_cache

    try:
        folder = cache_folder("prices")
        return f"{folder}: {len(list_cache())} tickers{_unwritable(folder, 'nothing is kept')}"
    except CacheError as error:
        return f"not used: {error}"


def _kernel_cache() -> str:
    from trendlstm.kernels.cache import has_compiled, kernel_folder

    try:
        folder, compiled = kernel_folder(), has_compiled("float32")
    except CacheError as error:
        return f"not used: {error}"
    text = "compiled" if compiled else "not compiled yet: the first training takes some 10 to 20 seconds more"
    return f"{folder}: {text}{_unwritable(folder, 'every process compiles anew')}"


def _unwritable(folder: Path, consequence: str) -> str:
    """A remark if the folder, or the first that exists above it, cannot be written."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK)
    return "" if writable else f"; it cannot be written, so {consequence}"


def _yahoo() -> str:
    """Ask for a week of prices once, and wait a short time for the answer."""
    import pandas as pd

    from trendlstm.data import yahoo

    answer = [f"no answer within {YAHOO_SECONDS:g} s"]

    def ask() -> None:
        today = pd.Timestamp.now("UTC").tz_localize(None).normalize()
        try:
            rows, _ = yahoo.ask_once("MSFT", today - pd.Timedelta(days=7), today)
            answer[0] = f"answers: {len(rows)} sessions of MSFT, the newest of {rows.index[-1]:%Y-%m-%d}"
        except Exception as error:
            answer[0] = f"no prices: {error}"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(YAHOO_SECONDS)
    return answer[0]
