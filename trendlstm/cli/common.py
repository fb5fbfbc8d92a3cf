"""What several commands do: settings from options, prices, compiled kernels, progress."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trendlstm.config import (
    FORGET_BIASES,
    BacktestConfig,
    DataConfig,
    DType,
    FitConfig,
    NetworkConfig,
    TrainConfig,
    WindowConfig,
)
from trendlstm.errors import OptionError
from trendlstm.nn.device import check_fit, check_limits, choose_device
from trendlstm.output.console import Console

if TYPE_CHECKING:
    from trendlstm.nn.progress import FitProgress
    from trendlstm.output.runs import Run
    from trendlstm.workflows.train import Stages


FORGET_BIAS = {str(value): value for value in FORGET_BIASES}  # by what stands on the command line


def make_console(as_json: bool, quiet: bool = False) -> Console:
    """The console of a command, which also shows what the package logs."""
    console = Console(json=as_json, quiet=quiet)
    console.configure_logging()
    return console


# About how many kernels each kind of work compiles, each by itself: for the length of a bar.
_KERNELS = {"float32": 35, "float64": 35, "gradients": 27, "stream-float32": 25, "stream-float64": 25}


def compile_kernels(console: Console, *works: str) -> None:
    """Compile the kernels of some works that this machine has not compiled yet, and show how far it is.

    Parameters
    ----------
    console : Console
    *works : {"float32", "float64", "gradients", "stream-float32", "stream-float64"}
        Fits of a dtype, gradient flows, and the trials of `trendlstm reproduce` of a dtype.
    """
    from trendlstm.kernels.cache import has_compiled

    missing = [work for work in works if not has_compiled(work)]
    if not missing:
        return
    from trendlstm.nn.compilation import CompileProgress, counted_kernels

    console.notice("Compiling the kernels for this machine: once, some 10 to 30 seconds.")
    start = time.perf_counter()
    total = sum(_KERNELS[work] for work in missing)
    with console.progress("Compiling", total) as bar:

        def show(progress: CompileProgress) -> None:
            bar.update(min(progress.kernels, total - 1), f"kernel {progress.kernels}: {progress.name}")

        with counted_kernels(show):
            for work in missing:
                _compile(work)
        bar.update(total)
    console.notice(f"Compiled in {time.perf_counter() - start:.1f} s.")


def _compile(work: str) -> None:
    """Do the smallest piece of some work, which compiles its kernels or loads them from the cache."""
    if work == "gradients":
        from trendlstm.nn.gradient_flow import compile_kernels

        compile_kernels()
    elif work.startswith("stream-"):
        from trendlstm.experiments.trials import compile_kernels as compile_streams

        compile_streams(cast(DType, work.removeprefix("stream-")))
    else:
        from trendlstm.nn.compilation import compile_kernels as compile_fits

        compile_fits(cast(DType, work))


def refuse_existing(path: str) -> None:
    """Raise OptionError where a command would write over a file, or into a folder that is not there, or has no name."""
    if not path:
        raise OptionError("the name of the file to write is empty: give one.")
    if os.path.lexists(path):
        raise OptionError(f"{path} exists already: choose another name, or remove it first.")
    if not Path(path).absolute().parent.is_dir():
        raise OptionError(
            f"{path} is in a folder that does not exist: make it first, or choose another name."
        )


def run_record(path: Path, document: Mapping[str, Any], report: bool) -> dict[str, Any]:
    """What `--json` says of a new run: its folder, its page if one was written, and what it found."""
    if not report:
        return {"run": path, **document}
    from trendlstm.output.report.make import REPORT

    return {"run": path, "report": path / REPORT, **document}


def load_trained(console: Console, path: str) -> "Run":
    """Read a run's folder, and warn of one whose training did not finish."""
    from trendlstm.output.runs import load_run

    loaded = load_run(path)
    if loaded.status != "finished":
        console.warning(
            f"The training of {path} did not finish ({loaded.status}); its weights are the best until then."
        )
    return loaded


def network_config(options: dict[str, Any], input_size: int, output_size: int, lag: int) -> NetworkConfig:
    """The network of a command's options."""
    names = ("dense", "dtype", "seed", "bias", "squash_output", "init")
    return NetworkConfig(
        input_size=input_size,
        output_size=output_size,
        lag=lag,
        forget_bias=FORGET_BIAS[options["forget_bias"]],
        **loss_settings(options),
        **layer_settings(options),
        **{name: options[name] for name in names},
    )


def loss_settings(options: dict[str, Any]) -> dict[str, Any]:
    """The loss of a command's options: quantiles alone say which it is."""
    quantiles = options["quantiles"] or ()
    return {"loss": options["loss"] or ("pinball" if quantiles else "mse"), "quantiles": quantiles}


def layer_settings(options: dict[str, Any]) -> dict[str, Any]:
    """The cell, the recurrent layers and their dropout of a command's options."""
    hidden_size, layers = options["hidden_size"], options["layers"]
    if isinstance(hidden_size, tuple) and layers not in (None, len(hidden_size)):
        raise OptionError(
            f"--hidden {','.join(map(str, hidden_size))} has {len(hidden_size)} layers, but --layers is {layers}: "
            "leave --layers out."
        )
    return {
        "hidden_size": hidden_size,
        "layers": NetworkConfig.layers if layers is None else layers,
        **{name: options[name] for name in ("cell", "dropout", "recurrent_dropout")},
    }


def data_config(ticker: str | None, options: dict[str, Any]) -> DataConfig:
    """The prices of a command's options."""
    return _part(DataConfig, options, ticker=ticker_label(ticker, options["csv"]))


def train_config(ticker: str | None, options: dict[str, Any]) -> TrainConfig:
    """All settings of a command's options."""
    window = _part(WindowConfig, options)
    network = network_config(options, len(window.features), window.horizon, window.lag)
    fit = replace(_part(FitConfig, options), seed=None)  # every network of an ensemble shuffles by its own
    device = options.get("device", "cpu")
    if device == "cuda":  # before a compiler is asked for that would not help
        check_limits(network, window.lag)
        check_fit(fit)
    return TrainConfig(
        data=data_config(ticker, options),
        window=window,
        network=network,
        fit=fit,
        seeds=options["seeds"],
        threads=options["threads"],
        final_fit=options.get("final_fit", False),
        device=choose_device(device),
    )


def backtest_config(options: dict[str, Any]) -> BacktestConfig:
    """The settings of a walk of a command's options."""
    window = _part(WindowConfig, options)
    return _part(
        BacktestConfig,
        options,
        window=window,
        network=network_config({**options, "cell": "lstm"}, len(window.features), window.horizon, window.lag),
        fit=replace(_part(FitConfig, options), seed=None),
    )


def _part(kind: Callable[..., Any], options: dict[str, Any], **more: Any) -> Any:
    """Settings of one kind: those that the command has options for, and more."""
    names = [field.name for field in fields(cast(Any, kind)) if field.name in options]
    return kind(**{name: options[name] for name in names}, **more)


def ticker_label(given: str | None, csv: str | None) -> str:
    """The ticker in Yahoo's spelling; prices from a file go by the file's name if that could be one."""
    from trendlstm.data.sources import check_ticker

    if given is not None or csv is None:
        return check_ticker(DataConfig.ticker if given is None else given)
    try:
        return check_ticker(Path(csv).stem)
    except OptionError:
        return "CSV"


def stages(console: Console) -> "Stages":
    """A progress bar for each stage of a workflow."""

    @contextmanager
    def stage(name: str, epochs: int) -> "Iterator[Callable[[FitProgress], None]]":
        with console.progress(name, epochs) as bar:
            yield show_on(bar)

    return stage


def show_on(bar: Any) -> "Callable[[FitProgress], None]":
    """A progress callback for a fit that moves a bar."""
    return lambda progress: bar.update(progress.epoch, str(progress))
