"""The command line: parse, call, print. Heavy modules are imported by the commands that need them."""

import errno
import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__, experiments, report
from .config import (
    CELLS,
    COMPARED,
    DEVICES,
    DTYPES,
    FEATURES,
    FORGET_BIASES,
    INITS,
    MATCHES,
    SCALINGS,
    SOURCES,
    DataConfig,
    FitConfig,
    NetworkConfig,
    TrainConfig,
    WindowConfig,
)
from .console import Console
from .cuda import check_limits, choose_device, device_name
from .errors import DataError, OptionError, SourceError, TrainingError, TrendLSTMError

if TYPE_CHECKING:
    import pandas as pd

    from .pipeline import Result
    from .training import Progress

_INTERRUPTED = 130  # as shells report a process that Ctrl-C ended


class _Commands(click.Group):
    """Turns every expected failure into one sentence on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: cleanly
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if isinstance(error, click.exceptions.NoArgsIsHelpError):
                raise
            command = error.ctx.command_path if error.ctx else ctx.command_path
            message = error.format_message().rstrip(".?")
            end = "?" if error.format_message().endswith("?") else "."
            Console().error(f"{message}{end} See '{command} --help'.")
            ctx.exit(error.exit_code)
        except TrendLSTMError as error:
            Console().error(error)
            ctx.exit(error.exit_code)
        except MemoryError as error:
            Console().error(
                f"There is not enough memory ({error}): use a smaller network, lag or number of epochs."
            )
            ctx.exit(1)
        except OSError as error:
            if error.errno == errno.EPIPE:  # `trendlstm ... | head`: click ends quietly
                raise
            # files are named (`replace_file`), so that what has no name is the output
            where = error.filename or ("standard output" if error.errno == errno.ENOSPC else None)
            Console().error(f"{error.strerror}: {where}." if where else f"{error}.")
            ctx.exit(1)
        except KeyboardInterrupt:
            Console().error("Interrupted.")
            ctx.exit(_INTERRUPTED)


class _Count(click.ParamType):
    """A whole number of things; more than a million of anything is a slip."""

    name = "n"

    def __init__(self, min: int = 1, max: int = 1_000_000) -> None:
        self._min, self._max = min, max

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number.", param, ctx)
        if not self._min <= number <= self._max:
            self.fail(f"{number} is not in the range {self._min} to {self._max}.", param, ctx)
        return number


class _Number(click.ParamType):
    """A finite number above 0, or from 0 up."""

    name = "x"

    def __init__(self, zero: bool = False) -> None:
        self._zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not math.isfinite(number) or number < 0 or (number == 0 and not self._zero):
            self.fail(f"{value} is not a number {'from 0 up' if self._zero else 'above 0'}.", param, ctx)
        return number


class _Parsed(click.ParamType):
    """What `parse` makes of the text; its ValueError means that the text is not `expected`."""

    def __init__(self, name: str, parse: Callable[[str], tuple], expected: str) -> None:
        self.name = name
        self._parse = parse
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple:
        try:
            return self._parse(value)
        except ValueError:
            self.fail(f"{value!r} is not {self._expected}.", param, ctx)


def _layers(text: str) -> tuple[int, ...]:
    sizes = () if text.strip().lower() == "none" else tuple(int(size) for size in text.split(","))
    if min(sizes, default=1) < 1:
        raise ValueError(text)
    return sizes


def _features(text: str) -> tuple[str, ...]:
    known = {name.lower(): name for name in FEATURES}
    names = [known.get(name.strip().lower()) for name in text.split(",")]
    if None in names or len(set(names)) < len(names):
        raise ValueError(text)
    return tuple(name for name in names if name)


def _fractions(text: str) -> tuple[float, ...]:
    shares = tuple(float(share) for share in text.split(","))
    if len(shares) != 3 or not (min(shares) > 0 and abs(sum(shares) - 1) < 1e-9):
        raise ValueError(text)
    return shares


def _listed(values: tuple) -> str:
    return ",".join(map(str, values))


_LAYERS = _Parsed("sizes", _layers, "a list of layer sizes such as 32,32, each from 1 up, or none")
_FEATURES = _Parsed("names", _features, f"a list of different names among {', '.join(FEATURES)}")
_SPLIT = _Parsed("shares", _fractions, "three shares above 0 that add up to 1, such as 0.8,0.1,0.1")
_FILE = click.Path(dir_okay=False, resolve_path=True)


def _options(*options: Callable) -> Callable:
    def decorate(function: Callable) -> Callable:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _option(*names: str, **settings: Any) -> Callable:
    return click.option(*names, show_default=settings.pop("show_default", True), **settings)


def _flag(*names: str, **settings: Any) -> Callable:
    return _option(*names, is_flag=True, show_default=False, **settings)


def _examples(*lines: str) -> str:
    heading = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", heading, *(f"  {line}" for line in lines)])  # \b: click keeps the lines


_years_option = _option(
    "--years", type=_Number(), default=DataConfig.years,
    help="Years of prices, back from the last complete session.",
)  # fmt: skip
_data_options = _options(
    _years_option,
    _option("--source", type=click.Choice(SOURCES), default=DataConfig.source,
            help="Where prices come from. auto: fresh cache, else Yahoo, else older cache, else the packaged sample "
                 "if it has the ticker; the others never fall back."),
    _option("--csv", type=_FILE, default=None,
            help="A file with Date and Close, or a download of Yahoo, Stooq or Nasdaq, instead of --source."),
    _option("--calendar", metavar="NAME", default=None, show_default="the exchange's; XNYS for --csv",
            help="Trading calendar for future dates: a code of exchange_calendars, or 24/7."),
)  # fmt: skip
_window_options = _options(
    _option("--lag", type=_Count(), default=WindowConfig.lag, help="Sessions the network looks back, T."),
    _option("--horizon", type=_Count(), default=WindowConfig.horizon, help="Sessions it predicts at once, m."),
    _option("--features", type=_FEATURES, default=_listed(WindowConfig.features),
            help=f"Inputs, comma-separated, of {', '.join(FEATURES)}."),
    _option("--scaling", type=click.Choice(SCALINGS), default=WindowConfig.scaling,
            help="window: log returns from the window's last close; standard, minmax: by the training rows; none: "
                 "raw prices."),
    _option("--split", type=_SPLIT, default=_listed(WindowConfig.split),
            help="Shares of the rows for training, validation and test."),
)  # fmt: skip
_cell_option = _option(
    "--cell", type=click.Choice(CELLS), default=NetworkConfig.cell,
    help="LSTM, LSTM without forget gate (1997), vanilla RNN, or feed-forward network.",
)  # fmt: skip
_layer_options = _options(
    _option("--hidden", "hidden_size", type=_Count(), default=NetworkConfig.hidden_size, help="Hidden units, H."),
    _option("--dense", type=_LAYERS, default=_listed(NetworkConfig.dense),
            help="Sizes of the ReLU layers after the cell, comma-separated, or none."),
    _option("--dtype", type=click.Choice(DTYPES), default=NetworkConfig.dtype, help="Of all arithmetic."),
    _option("--bias/--no-bias", default=NetworkConfig.bias, help="Whether the cell has a bias."),
    _option("--squash/--no-squash", "squash_output", default=NetworkConfig.squash_output,
            help="h = o tanh(c), or h = o c."),
    _option("--init", type=click.Choice(INITS), default=NetworkConfig.init,
            help="Initial weights. orthogonal: as Keras; uniform: as PyTorch."),
    _option("--forget-bias", type=click.Choice([str(value) for value in FORGET_BIASES]),
            default=str(NetworkConfig.forget_bias), help="Initial bias of the forget gate."),
    _option("--seed", type=_Count(0, 2**32 - 1), default=NetworkConfig.seed, help="Of initial weights and shuffling."),
)  # fmt: skip
_network_options = _options(_cell_option, _layer_options)
_threads_option = _option(
    "--threads", type=_Count(), default=None, show_default="all cores of this process",
    help="Threads; the result does not depend on it.",
)  # fmt: skip
_device_option = _option(
    "--device", type=click.Choice(DEVICES), default="auto",
    help="What trains the networks: the processor, or an NVIDIA GPU (pip install 'trendlstm[cuda]'). auto takes the "
         "processor until a GPU has been measured to be faster.",
)  # fmt: skip
_fit_options = _options(
    _option("--epochs", type=_Count(), default=FitConfig.epochs, help="Passes over the training windows."),
    _option("--batch-size", type=_Count(), default=FitConfig.batch_size, help="Windows per Adam step."),
    _option("--lr", "learning_rate", type=_Number(), default=FitConfig.learning_rate,
            help="Adam's learning rate."),
    _option("--patience", type=_Count(), default=None, show_default="off",
            help="Stop after this many epochs without a better validation loss."),
    _option("--clip-norm", type=_Number(), default=None, show_default="off",
            help="Largest norm of a minibatch's gradient."),
    _option("--weight-decay", type=_Number(zero=True), default=FitConfig.weight_decay,
            help="Decoupled decay of the weights (not the biases)."),
    _option("--shuffle/--no-shuffle", default=FitConfig.shuffle, help="New order of the windows in every epoch."),
    _option("--seeds", type=_Count(), default=TrainConfig.seeds,
            help="Networks in an ensemble, with seeds SEED, SEED + 1, ...; their outputs are averaged."),
    _threads_option,
)  # fmt: skip
_reproduce_options = _options(
    _option("--length", type=_Count(), default=None, show_default="100",
            help=f"Of adding: {_listed(experiments.ADDING_LENGTHS)}; of long-lag: {_listed(experiments.LONG_LAGS)}."),
    _option("--variant", type=click.Choice(experiments.TEMPORAL_ORDERS), default=None, show_default="6a",
            help="Of temporal-order: two or three symbols to remember."),
    _option("--cell", "cells", type=click.Choice(experiments.CELLS), multiple=True, default=experiments.CELLS,
            help="May be given several times."),
    _option("--forget-bias", "forget_biases", type=click.Choice([str(value) for value in FORGET_BIASES]),
            multiple=True, default=("chrono", "1"),
            help="Initial bias of the forget gate; may be given several times."),
    _option("--init", type=click.Choice(INITS), default=NetworkConfig.init, help="Initial weights."),
    _option("--trials", type=_Count(), default=experiments.TRIALS, help="Networks of each kind."),
    _option("--max-sequences", type=_Count(max=100_000_000), default=experiments.MAX_SEQUENCES,
            help="Training sequences after which a trial ends unsolved."),
    _option("--seed", type=_Count(0, 2**32 - 1), default=0, help="Of the first trial; the next has SEED + 1."),
    _threads_option,
    _device_option,
    _option("--out", type=click.Path(), default=None, show_default="runs/TASK-LENGTH-YYYYMMDD-HHMMSS",
            help="The folder for the figure and the tables; must not exist."),
)  # fmt: skip
_json_option = _flag("--json", "as_json", help="One JSON object on stdout, everything else on stderr.")
_output_options = _options(
    _json_option,
    _flag(
        "--quiet",
        help="No progress bar and no notices, with --json no tables either; warnings and errors remain.",
    ),
)


@click.group(
    cls=_Commands,
    epilog=_examples("trendlstm train MSFT --years 4"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="trendlstm", message="%(prog)s %(version)s")
def main() -> None:
    """Forecast a stock's trend with a small LSTM, and see honestly whether it beats "tomorrow = today"."""


@main.command(
    short_help="Train on a ticker's prices, measure the model, and forecast.",
    epilog=_examples(
        "trendlstm train MSFT --years 4",
        "trendlstm train AAPL --lag 60 --seeds 5 --final-fit",
        "trendlstm train MSFT --features Close,Volume --horizon 5",
        "trendlstm train --csv prices.csv --out runs/mine",
    ),
)
@click.argument("ticker", required=False)
@_data_options
@_window_options
@_network_options
@_fit_options
@_device_option
@_flag(
    "--final-fit",
    help="After the evaluation also train on all rows, for the chosen number of epochs; forecasts use that.",
)
@_option(
    "--out",
    type=click.Path(),
    default=None,
    show_default="runs/TICKER-YYYYMMDD-HHMMSS",
    help="The run's folder; must not exist.",
)
@_flag("--no-plot", help="Draw no pictures.")
@_output_options
def train(
    ticker: str | None, out: str | None, no_plot: bool, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Train on TICKER's prices, measure the model beside simple baselines, and forecast the next sessions.

    TICKER is MSFT unless given; with --csv it is only a label.
    """
    console = _console(as_json, quiet)
    config = _train_config(ticker, options)
    from . import pipeline, runs

    folder = runs.RunFolder(out, config.data.ticker)
    result = pipeline.prepare(config, _load_prices(config.data))
    console.print(report.prices_sentence(result.provenance))
    console.print(report.windows_sentence(result))
    console.print(report.device_sentence(options["device"], config.device))
    console.print()
    console.print(result.forecaster.networks[0].summary())
    console.print()
    status, failure = "finished", ""
    with folder:
        _compile(console, config.network.dtype)
        try:
            with console.progress("Training", config.fit.epochs * config.seeds) as bar:
                pipeline.train(result, _show_on(bar))
            console.print(report.fits_sentences(result))
            pipeline.assess(result)
            if config.final_fit:
                with console.progress(
                    "Training on all rows", sum(h.best_epoch + 1 for h in result.histories)
                ) as bar:
                    pipeline.final_fit(result, _show_on(bar))
            pipeline.forecast(result)
            if not no_plot:
                _draw(result, folder.stage)
        except KeyboardInterrupt:
            if not result.histories:  # no network has finished an epoch: there is nothing to keep
                raise
            status, failure = "interrupted", "Interrupted; the best weights so far are"
        except (TrainingError, DataError) as error:
            if not result.histories:
                raise
            status, failure = "diverged", f"{error} The weights are"
        document = runs.write_run(folder.stage, result, status)
        path = folder.publish()
    if failure:
        console.error(f"{failure} in {path}.")
        click.get_current_context().exit(_INTERRUPTED if status == "interrupted" else TrainingError.exit_code)
    console.print()
    report.show_metrics(console, result)
    console.print()
    console.print(result.verdict)
    console.print()
    report.show_forecast(console, result.forecast, report.forecast_title(result))
    console.print()
    console.print(f"The run is in {path}.")
    if as_json:
        console.json({"run": path, **document})


@main.command(
    short_help="Forecast the next sessions with a trained model.",
    epilog=_examples("trendlstm forecast runs/MSFT-20261121-093000 --days 5"),
)
@click.argument("run", type=click.Path())
@_option(
    "--days",
    type=_Count(max=1000),
    default=None,
    show_default="10, or a direct model's horizon",
    help="Sessions to forecast.",
)
@_option(
    "--source",
    type=click.Choice(SOURCES),
    default=None,
    show_default="the run's",
    help="Where the newest prices come from.",
)
@_option("--csv", type=_FILE, default=None, show_default="the run's", help="A file with the newest prices.")
@_output_options
def forecast(
    run: str, days: int | None, source: str | None, csv: str | None, as_json: bool, quiet: bool
) -> None:
    """Forecast the sessions after the newest prices with the model in the folder RUN."""
    console = _console(as_json, quiet)
    from . import pipeline, runs

    loaded = runs.load_run(run)
    forecaster, data = loaded.forecaster, loaded.config.data
    if loaded.status != "finished":
        console.warning(
            f"The training of {run} did not finish ({loaded.status}); its weights are the best until then."
        )
    if csv is not None or source is not None:
        data = replace(data, csv=csv, source=source or "auto")
    days = days or pipeline.default_days(forecaster)
    if days > forecaster.horizon and not forecaster.is_recursive:
        raise OptionError(
            f"--days {days} is beyond this model's horizon of {forecaster.horizon}: it was not made to be "
            "fed its own forecasts; train with a larger --horizon."
        )
    prices = _load_prices(data)
    provenance = prices.attrs["provenance"]
    table = pipeline.forecast_next(forecaster, prices, provenance, loaded.bands, days)
    if provenance["end"] < forecaster.learned_until:
        console.warning(
            f"The model has learned from prices until {forecaster.learned_until}, after the start of this "
            "forecast, so it may know what it forecasts."
        )
    console.print(report.prices_sentence(provenance))
    console.print(
        f"The model was trained on prices until {forecaster.learned_until}"
        + (
            ", in a final fit on all rows of its run, for the epochs that validation chose."
            if loaded.is_final_fit
            else "; the validation rows after them chose its epoch."
        )
    )
    console.print()
    report.show_forecast(console, table, f"Forecast of {data.ticker}")
    if as_json:
        console.json(
            {
                "run": loaded.path,
                "status": loaded.status,
                "ticker": data.ticker,
                "provenance": provenance,
                "learned_until": forecaster.learned_until,
                "final_fit": loaded.is_final_fit,
                "forecast": table.to_dict("records"),
            }
        )


@main.command(epilog=_examples("trendlstm summary --cell rnn --hidden 32"))
@_option("--input-size", type=_Count(), default=NetworkConfig.input_size, help="Features per time step, F.")
@_option(
    "--lag", type=_Count(), default=WindowConfig.lag, help="Time steps, T; counts for the feed-forward cell."
)
@_option("--horizon", type=_Count(), default=WindowConfig.horizon, help="Outputs, m.")
@_network_options
@_json_option
def summary(input_size: int, lag: int, horizon: int, as_json: bool, **options: Any) -> None:
    """Show a network's layers and numbers of parameters."""
    console = _console(as_json)
    config = _network_config(options, input_size, horizon, lag)
    from .network import Network

    network = Network.from_config(config)
    console.print(network.summary())
    if as_json:
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        console.json({"settings": config.to_dict(), "parameters": network.num_params, "shapes": shapes})


@main.command(
    short_help="Check whether predictions depend on later prices.",
    epilog=_examples(
        "trendlstm leakcheck MSFT --epochs 10",
        "trendlstm leakcheck AAPL --features Close,Volume --scaling standard",
    ),
)
@click.argument("ticker", required=False)
@_data_options
@_window_options
@_network_options
@_fit_options
@_output_options
def leakcheck(ticker: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Change the future of TICKER's prices and see whether anything before it changes.

    The prices after the last training day, the first test day that closes a forecast and the middle of the test days
    are perturbed, shuffled and (except after the first of these days) truncated. Each time all is fitted and predicted
    again, and what must not depend on those prices is compared bit by bit: the scaler and the predictions of drift;
    after the two test days also the test predictions of ridge and of the network, and its recursive forecast. Exit
    code 1 if anything changed. TICKER is MSFT unless given.
    """
    console = _console(as_json, quiet)
    config = _train_config(ticker, options)
    from . import pipeline
    from .evaluation.leakcheck import MOST_OBSERVATIONS

    result = pipeline.prepare(config, _load_prices(config.data))
    console.print(report.prices_sentence(result.provenance))
    console.print()
    _compile(console, config.network.dtype)
    with console.progress("Training", MOST_OBSERVATIONS * config.fit.epochs * config.seeds) as bar:
        checks = pipeline.leak_check(result, _show_on(bar))
    report.show_leak_checks(console, checks, config.network.cell)
    console.print()
    console.print(report.leak_sentence(checks, config.network.cell))
    leaks = any(check.changed for check in checks)
    if as_json:
        console.json(
            {
                "leaks": leaks,
                "settings": config.to_dict(),
                "provenance": result.provenance,
                "checks": [check.to_dict() for check in checks],
            }
        )
    click.get_current_context().exit(int(leaks))


@main.command(
    short_help="Compare the LSTM with other models on the same prices.",
    epilog=_examples(
        "trendlstm compare --baseline rnn",
        "trendlstm compare AAPL --baseline ann --baseline ridge --match params",
    ),
    context_settings={"default_map": {"lag": 60, "seeds": 5}},
)
@click.argument("ticker", required=False)
@_option(
    "--baseline",
    "baselines",
    type=click.Choice(COMPARED),
    multiple=True,
    default=("rnn",),
    help="What the LSTM is compared with; may be given several times. Persistence is always shown.",
)
@_option(
    "--match",
    type=click.Choice(MATCHES),
    default="hidden",
    help="What all networks share: hidden units, or as nearly as can be the number of parameters.",
)
@_data_options
@_window_options
@_layer_options
@_fit_options
@_device_option
@_option(
    "--out",
    type=click.Path(),
    default=None,
    show_default="runs/compare-TICKER-YYYYMMDD-HHMMSS",
    help="The folder for the figures and tables; must not exist.",
)
@_flag("--no-plot", help="Draw no pictures.")
@_output_options
def compare(
    ticker: str | None,
    baselines: tuple[str, ...],
    match: str,
    out: str | None,
    no_plot: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Compare the LSTM with other models on TICKER's prices, and see which networks forget.

    Errors on the test rows, then how much of the gradient reaches the past in RNNs and LSTMs of different initial
    weights, before and after training. TICKER is MSFT unless given; with --csv it is only a label.
    """
    console = _console(as_json, quiet)
    config = _train_config(ticker, {**options, "cell": "lstm"})
    from . import runs
    from .evaluation import compare as comparing
    from .kernels.compile import has_compiled

    folder = runs.RunFolder(out, f"compare-{config.data.ticker}")
    comparison = comparing.prepare(config, baselines, match, _load_prices(config.data))
    console.print(report.prices_sentence(comparison.provenance))
    console.print(report.comparison_sentence(comparison))
    console.print(report.device_sentence(options["device"], config.device))
    console.print()
    if not has_compiled("gradients"):
        console.notice("Compiling the kernels for this machine: once, some 10 to 30 seconds.")
    with folder:
        with console.progress("Gradients before training", 1) as bar:
            comparing.measure_gradients(comparison, "initial", bar.update)
        with console.progress("Training", config.fit.epochs * config.seeds * len(comparison.variants)) as bar:
            comparing.train(comparison, _show_on(bar))
        with console.progress("Gradients after training", 1) as bar:
            comparing.measure_gradients(comparison, "trained", bar.update)
        comparing.assess(comparison)
        document = comparing.write_comparison(folder.stage, comparison)
        if not no_plot:
            from .plots import plot_comparison

            plot_comparison(comparison, folder.stage)
        path = folder.publish()
    report.show_comparison(console, comparison)
    console.print()
    report.show_gradients(console, comparison)
    console.print()
    console.print("\n".join(comparison.conclusions))
    console.print()
    console.print(f"The comparison is in {path}.")
    if as_json:
        console.json({"run": path, **document})


@main.command(
    short_help="Repeat a long-lag experiment of the first LSTM paper.",
    epilog=_examples(
        "trendlstm reproduce adding --length 100",
        "trendlstm reproduce temporal-order --variant 6b",
        "trendlstm reproduce long-lag --cell lstm --cell rnn --trials 5",
    ),
)
@click.argument("task", type=click.Choice(experiments.TASKS))
@_reproduce_options
@_flag("--no-plot", help="Draw no picture.")
@_output_options
def reproduce(
    task: str, length: int | None, variant: str | None, cells: tuple[str, ...], forget_biases: tuple[str, ...],
    init: str, trials: int, max_sequences: int, seed: int, threads: int | None, device: str, out: str | None,
    no_plot: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Repeat a long-lag experiment of the paper that introduced the LSTM, beside the paper's own figures.

    adding: add two marked numbers of a long random sequence. temporal-order: in which order two or three symbols
    came. long-lag: a symbol comes again after many random others.
    """
    console = _console(as_json, quiet)
    from . import runs
    from .experiments import report as say
    from .experiments import tasks
    from .experiments import trials as learning
    from .kernels.compile import has_compiled

    chosen = tasks.make_task(task, length, variant)
    biases = [bias if bias == "chrono" else int(bias) for bias in forget_biases]
    models = learning.make_models(cells, biases, init)
    folder = runs.RunFolder(out, chosen.name)
    used = _device(device)
    if used == "cuda":
        check_limits(
            NetworkConfig(input_size=chosen.input_size, hidden_size=learning.HIDDEN_SIZE), chosen.lag
        )
    console.print(say.task_sentences(chosen))
    console.print(report.device_sentence(device, used))
    console.print()
    if used == "cpu" and not has_compiled("stream"):
        console.notice("Compiling the kernels for this machine: once, some 10 seconds.")
    start = time.perf_counter()
    with folder:
        with console.progress("Training", 1) as bar:
            results = learning.run_trials(
                chosen, models, trials=trials, max_sequences=max_sequences, seed=seed, n_threads=threads,
                device=used, progress=lambda progress: bar.update(progress.share, say.progress_text(progress)),
            )  # fmt: skip
        document = say.describe(chosen, results, max_sequences, seed, used, time.perf_counter() - start)
        say.write_files(folder.stage, document, results)
        if not no_plot:
            from .plots import plot_trials

            plot_trials(results, chosen, folder.stage / "errors.png")
        path = folder.publish()
    say.show_trials(console, chosen, results)
    console.print()
    say.show_findings(console, document)
    console.print(f"All {len(results)} trials took {document['seconds']:.1f} s. The results are in {path}.")
    if as_json:
        console.json({"run": path, **document})


@main.command(short_help="Compile the kernels now.", epilog=_examples("trendlstm warmup"))
@_option("--dtype", type=click.Choice(DTYPES), default=NetworkConfig.dtype, help="Of the arithmetic.")
@_flag("--quiet", help="Say nothing.")
def warmup(dtype: str, quiet: bool) -> None:
    """Compile the kernels now, so that the first training starts at once."""
    console = _console(as_json=False, quiet=quiet)
    _compile(console, dtype)
    from .kernels.compile import cache_folder

    console.notice(f"The {dtype} kernels are in {cache_folder()}.")


@main.command(
    short_help="Show versions, threads, caches, and whether Yahoo answers.",
    epilog=_examples("trendlstm doctor"),
)
@_json_option
def doctor(as_json: bool) -> None:
    """Show versions, vector width, threads, GPU, cache folders, and whether Yahoo answers."""
    console = _console(as_json)
    from .doctor import examine

    found = examine()
    console.table("", ["What", "Found"], found.items())
    if as_json:
        console.json(found)


@main.group(epilog=_examples("trendlstm data fetch MSFT AAPL --years 10"))
def data() -> None:
    """Fetch, show or clear cached prices."""


@data.command(
    short_help="Fetch prices from Yahoo now and keep them in the cache.",
    epilog=_examples("trendlstm data fetch MSFT AAPL --years 10"),
)
@click.argument("tickers", nargs=-1, required=True)
@_years_option
@_json_option
def fetch(tickers: tuple[str, ...], years: float, as_json: bool) -> None:
    """Fetch the prices of TICKERS from Yahoo now and keep them in the cache."""
    console = _console(as_json)
    from .data.sources import check_ticker

    fetched, failed = [], 0
    for ticker in map(check_ticker, tickers):
        try:
            provenance = _load_prices(DataConfig(ticker, years, "yahoo")).attrs["provenance"]
        except TrendLSTMError as error:
            console.error(error)
            failed = error.exit_code
        else:
            console.print(report.prices_sentence(provenance))
            fetched.append(provenance)
    if as_json:
        console.json({"fetched": fetched})
    click.get_current_context().exit(failed)


@data.command(epilog=_examples("trendlstm data show", "trendlstm data show MSFT"))
@click.argument("ticker", required=False)
@_json_option
def show(ticker: str | None, as_json: bool) -> None:
    """Show what the price cache holds; with TICKER its newest rows."""
    console = _console(as_json)
    from .data.cache import cache_root, list_cache, read_cache
    from .data.sources import check_ticker

    if ticker is not None:
        ticker = check_ticker(ticker)
        prices = read_cache(ticker)
        if prices is None:
            raise SourceError(
                f"The cache has no prices of {ticker}: fetch them with `trendlstm data fetch {ticker}`."
            )
        (entry,) = (entry for entry in list_cache() if entry.get("ticker") == ticker)
        console.print(report.prices_sentence(entry))
        console.print()
        report.show_rows(console, prices.frame)
        if as_json:
            console.json(entry)
        return
    entries = list_cache()
    console.print(f"Price cache: {cache_root() / 'prices'}")
    if entries:
        report.show_cache(console, entries)
    else:
        console.print("It is empty.")
    if as_json:
        console.json({"folder": cache_root() / "prices", "entries": entries})


@data.command(epilog=_examples("trendlstm data clear MSFT", "trendlstm data clear --all"))
@click.argument("tickers", nargs=-1)
@_flag("--all", "everything", help="All tickers.")
@_json_option
def clear(tickers: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Delete the cached prices of TICKERS, or of all."""
    console = _console(as_json)
    if bool(tickers) == everything:
        raise OptionError("Give either tickers to clear or --all.")
    from .data.cache import clear_cache
    from .data.sources import check_ticker

    wanted = [None] if everything else [check_ticker(ticker) for ticker in tickers]
    deleted = [path for ticker in wanted for path in clear_cache(ticker)]
    console.print("\n".join([*(f"Deleted {path}." for path in deleted)] or ["There was nothing to delete."]))
    if as_json:
        console.json({"deleted": deleted})


def _console(as_json: bool, quiet: bool = False) -> Console:
    console = Console(json=as_json, quiet=quiet)
    console.configure_logging()
    return console


def _compile(console: Console, dtype: str) -> None:
    """Compile the kernels if this machine has not yet, on this thread, where Ctrl-C is heard at once."""
    from .kernels.compile import has_compiled

    if has_compiled(dtype):
        return
    from .training import compile_kernels

    console.notice(f"Compiling the {dtype} kernels for this machine: once, some 10 to 20 seconds.")
    start = time.perf_counter()
    compile_kernels(dtype)
    console.notice(f"Compiled in {time.perf_counter() - start:.1f} s.")


def _network_config(options: dict[str, Any], input_size: int, output_size: int, lag: int) -> NetworkConfig:
    forget_bias = options["forget_bias"]
    names = ("hidden_size", "dense", "cell", "dtype", "seed", "bias", "squash_output", "init")
    return NetworkConfig(
        input_size=input_size,
        output_size=output_size,
        lag=lag,
        forget_bias=forget_bias if forget_bias == "chrono" else int(forget_bias),
        **{name: options[name] for name in names},
    )


def _train_config(ticker: str | None, options: dict[str, Any]) -> TrainConfig:
    def part(kind: type, **more: Any) -> Any:
        return kind(
            **{field.name: options[field.name] for field in fields(kind) if field.name in options}, **more
        )

    window = part(WindowConfig)
    network = _network_config(options, len(window.features), window.horizon, window.lag)
    fit = replace(part(FitConfig), seed=None)  # every network of an ensemble shuffles by its own
    data = part(DataConfig, ticker=_ticker(ticker, options["csv"]))
    device = _device(options.get("device", "cpu"))
    return TrainConfig(
        data,
        window,
        network,
        fit,
        options["seeds"],
        options["threads"],
        options.get("final_fit", False),
        device,
    )


def _device(asked: str) -> str:
    """What computes; an OptionError at once if it cannot be used."""
    device = choose_device(asked)
    if device == "cuda":
        device_name()
    return device


def _ticker(given: str | None, csv: str | None) -> str:
    """The ticker in Yahoo's spelling; prices from a file go by the file's name if that could be one."""
    from .data.sources import check_ticker

    if given is not None or csv is None:
        return check_ticker(DataConfig.ticker if given is None else given)
    try:
        return check_ticker(Path(csv).stem)
    except OptionError:
        return "CSV"


def _load_prices(data: DataConfig) -> "pd.DataFrame":
    from .data.sources import load_prices

    return load_prices(
        data.ticker, years=data.years, source=data.source, csv=data.csv, calendar=data.calendar
    )


def _show_on(bar: Any) -> "Callable[[Progress], None]":
    return lambda progress: bar.update(progress.epoch, report.progress_text(progress))


def _draw(result: "Result", folder: Path) -> None:
    from .plots import plot_losses, plot_predictions

    config, provenance = result.config, result.provenance
    ticker, network = config.data.ticker, config.network
    plot_losses(result.histories, folder / "losses.png", title=f"{ticker}: training of the network")
    horizon = config.window.horizon
    predictions = "one-step predictions" if horizon == 1 else f"predictions (step 1 of {horizon})"
    drawn = f"closing price and {predictions}"
    if result.forecaster.is_recursive:
        drawn = f"closing price, {predictions} and the recursive forecast"
    plot_predictions(
        result.predictions,
        folder / "predictions.png",
        title=f"{ticker}: {drawn}",
        subtitle=f"{network.cell}, {network.hidden_size} hidden units, lag {config.window.lag}, "
        f"{config.window.scaling} scaling, epoch chosen by validation; "
        f"prices {provenance['start']} to {provenance['end']}",
    )
