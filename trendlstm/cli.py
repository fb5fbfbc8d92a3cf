"""The command line: parse, call, print. Heavy modules are imported by the commands that need them."""

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .config import (
    CELLS,
    DTYPES,
    FEATURES,
    FORGET_BIASES,
    INITS,
    SCALINGS,
    SOURCES,
    DataConfig,
    FitConfig,
    NetworkConfig,
    TrainConfig,
    WindowConfig,
)
from .console import Console
from .errors import OptionError, TrendLSTMError

if TYPE_CHECKING:
    import pandas as pd

    from .evaluation.metrics import StepMetrics
    from .pipeline import Result
    from .training import Progress

_INTERRUPTED = 130  # as shells report a process that Ctrl-C ended


class _Commands(click.Group):
    """Turns every expected failure into one sentence on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else ctx.command_path
            Console().error(f"{error.format_message()} See '{command} --help'.")
            ctx.exit(error.exit_code)
        except TrendLSTMError as error:
            Console().error(error)
            ctx.exit(error.exit_code)
        except OSError as error:
            Console().error(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
            ctx.exit(1)
        except KeyboardInterrupt:
            Console().error("interrupted")
            ctx.exit(_INTERRUPTED)


class _Number(click.FloatRange):
    """A finite number in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class _List(click.ParamType):
    """Comma-separated values, each converted by `element`; "none" is the empty list."""

    def __init__(self, name: str, element: Callable[[str], Any], expected: str) -> None:
        self.name = name
        self._element = element
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple:
        if isinstance(value, tuple):
            return value
        if value.strip().lower() == "none":
            return ()
        try:
            return tuple(self._element(part.strip()) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not {self._expected}.", param, ctx)


def _layer_size(text: str) -> int:
    size = int(text)
    if size < 1:
        raise ValueError(text)
    return size


def _feature(text: str) -> str:
    return {name.lower(): name for name in FEATURES}.get(text.lower(), text)


_COUNT = click.IntRange(min=1)
_SEED = click.IntRange(min=0, max=2**63 - 1)
_POSITIVE = _Number(min=0, min_open=True)
_LAYERS = _List("sizes", _layer_size, "a list of layer sizes such as 32,32, each from 1 up, or none")
_FEATURES = _List("names", _feature, "a list of features")
_FRACTIONS = _List("fractions", float, "three fractions such as 0.8,0.1,0.1")


def _options(*options: Callable) -> Callable:
    def decorate(function: Callable) -> Callable:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _option(*names: str, **settings: Any) -> Callable:
    return click.option(*names, show_default=settings.pop("show_default", True), **settings)


_data_options = _options(
    _option("--years", type=_Number(min=0, min_open=True, max=100), default=DataConfig.years,
            help="Years of prices, back from the last complete session."),
    _option("--source", type=click.Choice(SOURCES), default=DataConfig.source,
            help="Where prices come from. auto: fresh cache, else Yahoo, else older cache, else the packaged sample "
                 "if it has the ticker; the others never fall back."),
    _option("--csv", type=click.Path(dir_okay=False), default=None,
            help="A file with Date and Close, or a download of Yahoo, Stooq or Nasdaq, instead of --source."),
    _option("--calendar", default=None, show_default="the exchange's; XNYS for --csv",
            help="Trading calendar for future dates: a code of exchange_calendars, or 24/7."),
)
_window_options = _options(
    _option("--lag", type=_COUNT, default=WindowConfig.lag, help="Sessions the network looks back, T."),
    _option("--horizon", type=_COUNT, default=WindowConfig.horizon, help="Sessions it predicts at once, m."),
    _option("--features", type=_FEATURES, default=WindowConfig.features, show_default="Close",
            help=f"Inputs, comma-separated, of {', '.join(FEATURES)}."),
    _option("--scaling", type=click.Choice(SCALINGS), default=WindowConfig.scaling,
            help="window: log returns from the window's last close; standard, minmax: by the training rows; none: "
                 "raw prices."),
    _option("--split", type=_FRACTIONS, default=WindowConfig.split, show_default="0.8,0.1,0.1",
            help="Shares of the rows for training, validation and test."),
)
_network_options = _options(
    _option("--cell", type=click.Choice(CELLS), default=NetworkConfig.cell,
            help="LSTM, LSTM without forget gate (1997), vanilla RNN, or feed-forward network."),
    _option("--hidden", "hidden_size", type=_COUNT, default=NetworkConfig.hidden_size, help="Hidden units, H."),
    _option("--dense", type=_LAYERS, default=NetworkConfig.dense, show_default="32,32",
            help="Sizes of the ReLU layers after the cell, comma-separated, or none."),
    _option("--dtype", type=click.Choice(DTYPES), default=NetworkConfig.dtype, help="Of all arithmetic."),
    _option("--bias/--no-bias", default=NetworkConfig.bias, help="Whether the cell has a bias."),
    _option("--squash/--no-squash", "squash_output", default=NetworkConfig.squash_output,
            help="h = o tanh(c), or h = o c."),
    _option("--init", type=click.Choice(INITS), default=NetworkConfig.init,
            help="Initial weights. orthogonal: as Keras; uniform: as PyTorch."),
    _option("--forget-bias", type=click.Choice([str(value) for value in FORGET_BIASES]),
            default=str(NetworkConfig.forget_bias), help="Initial bias of the forget gate."),
    _option("--seed", type=_SEED, default=NetworkConfig.seed, help="Of initial weights and shuffling."),
)
_fit_options = _options(
    _option("--epochs", type=_COUNT, default=FitConfig.epochs, help="Passes over the training windows."),
    _option("--batch-size", type=_COUNT, default=FitConfig.batch_size, help="Windows per Adam step."),
    _option("--lr", "learning_rate", type=_POSITIVE, default=FitConfig.learning_rate, help="Adam's learning rate."),
    _option("--patience", type=_COUNT, default=None, show_default="off",
            help="Stop after this many epochs without a better validation loss."),
    _option("--clip-norm", type=_POSITIVE, default=None, show_default="off",
            help="Largest norm of a minibatch's gradient."),
    _option("--weight-decay", type=_Number(min=0), default=FitConfig.weight_decay,
            help="Decoupled decay of the weights (not the biases)."),
    _option("--shuffle/--no-shuffle", default=FitConfig.shuffle, help="New order of the windows in every epoch."),
    _option("--threads", type=_COUNT, default=None, show_default="all cores of this process",
            help="Threads; the result does not depend on it."),
)
_output_options = _options(
    _option("--json", "as_json", is_flag=True, show_default=False,
            help="One JSON object on stdout, everything else on stderr."),
    _option("--quiet", is_flag=True, show_default=False, help="No progress bar and no notices."),
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="trendlstm", message="%(prog)s %(version)s")
def main() -> None:
    """Forecast a stock's trend with a small LSTM, and see honestly whether it beats "tomorrow = today".

    \b
    Example:
      trendlstm train MSFT --years 4
    """


@main.command()
@click.argument("ticker", default=DataConfig.ticker)
@_data_options
@_window_options
@_network_options
@_fit_options
@_option("--seeds", type=_COUNT, default=TrainConfig.seeds,
         help="Networks in an ensemble, with seeds SEED, SEED + 1, ...; their outputs are averaged.")
@_option("--final-fit", is_flag=True, show_default=False,
         help="After the evaluation also train on all rows, for the chosen number of epochs; forecasts use that.")
@_option("--out", type=click.Path(), default=None, show_default="runs/TICKER-YYYYMMDD-HHMMSS",
         help="The run's folder; must not exist.")
@_option("--no-plot", is_flag=True, show_default=False, help="Draw no pictures.")
@_output_options
def train(ticker: str, out: str | None, no_plot: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Train on TICKER's prices, measure the model beside simple baselines, and forecast the next sessions.

    \b
    Examples:
      trendlstm train MSFT --years 4
      trendlstm train AAPL --lag 60 --seeds 5 --final-fit
      trendlstm train MSFT --features Close,Volume --horizon 5
    """
    console = _console(as_json, quiet)
    config = _train_config(ticker, options)
    from . import pipeline, runs
    from .kernels.compile import has_compiled

    prices = _load_prices(config.data)
    result = pipeline.prepare(config, prices)
    console.print(_describe_prices(result.provenance))
    console.print(_describe_windows(result))
    console.print()
    console.print(result.forecaster.networks[0].summary())
    console.print()
    folder = runs.RunFolder(out, ticker)
    try:
        if not has_compiled():
            console.notice("Compiling the kernels for this machine: once, some 10 to 20 seconds.")
        try:
            with console.progress("Training", config.fit.epochs * config.seeds) as bar:
                pipeline.train(result, _show(bar))
        except KeyboardInterrupt:
            runs.write_run(folder.stage, result, status="interrupted")
            console.error(f"interrupted; the best weights so far are in {folder.publish()}")
            sys.exit(_INTERRUPTED)
        console.print(_describe_fits(result))
        pipeline.assess(result)
        if config.final_fit:
            with console.progress("Training on all rows", sum(h.best_epoch + 1 for h in result.histories)) as bar:
                pipeline.final_fit(result, _show(bar))
        pipeline.forecast(result)
        if not no_plot:
            _draw(result, folder)
        runs.write_run(folder.stage, result)
        path = folder.publish()
    except BaseException:
        folder.discard()
        raise
    console.print()
    _show_metrics(console, result)
    console.print()
    console.print(result.verdict)
    console.print()
    _show_forecast(console, result.forecast, _forecast_title(ticker, result))
    console.print()
    console.print(f"The run is in {path}")
    if as_json:
        console.json({**runs.describe(result), "run": str(path)})


@main.command()
@click.argument("run", type=click.Path())
@_option("--days", type=_COUNT, default=None, show_default="10, or a direct model's horizon",
         help="Sessions to forecast.")
@_option("--source", type=click.Choice(SOURCES), default=None, show_default="the run's",
         help="Where the newest prices come from.")
@_option("--csv", type=click.Path(dir_okay=False), default=None, show_default="the run's",
         help="A file with the newest prices.")
@_output_options
def forecast(run: str, days: int | None, source: str | None, csv: str | None, as_json: bool, quiet: bool) -> None:
    """Forecast the sessions after the newest prices with the model in the folder RUN.

    \b
    Example:
      trendlstm forecast runs/MSFT-20261121-093000 --days 5
    """
    console = _console(as_json, quiet)
    import dataclasses

    from . import pipeline, runs

    loaded = runs.load_run(run)
    forecaster, data = loaded.forecaster, loaded.config.data
    limit = len(loaded.bands) if forecaster.is_recursive else forecaster.horizon
    wanted = days or (min(pipeline.FORECAST_DAYS, max(limit, 1)) if forecaster.is_recursive else forecaster.horizon)
    if not forecaster.is_recursive and wanted > limit:
        raise OptionError(f"--days {wanted} is beyond this model's horizon of {limit}: it predicts {limit} sessions "
                          "at once and cannot be fed its own forecasts; train with a larger --horizon")
    if forecaster.is_recursive and wanted > max(limit, 1):
        raise OptionError(f"--days {wanted} is further than this run can say how wrong it may be: its validation rows "
                          f"measure errors up to {limit} sessions ahead")
    if csv is not None or source is not None:
        data = dataclasses.replace(data, csv=csv, source=source or data.source)
    prices = _load_prices(data)
    if len(prices) < forecaster.lag:
        raise OptionError(f"the model looks back {forecaster.lag} sessions, but there are only {len(prices)} prices")
    provenance = prices.attrs["provenance"]
    table = pipeline.forecast_next(forecaster, prices, provenance, loaded.bands, wanted)
    console.print(_describe_prices(provenance))
    console.print(f"The model learned from prices until {forecaster.learned_until}"
                  + (" (final fit on all rows of its run)." if loaded.is_final_fit else "."))
    console.print()
    _show_forecast(console, table, f"Forecast of {data.ticker}")
    if as_json:
        console.json({"run": str(loaded.path), "ticker": data.ticker, "provenance": provenance,
                      "learned_until": forecaster.learned_until, "final_fit": loaded.is_final_fit,
                      "forecast": table.to_dict("records")})


@main.command()
@_option("--input-size", type=_COUNT, default=NetworkConfig.input_size, help="Features per time step, F.")
@_option("--lag", type=_COUNT, default=WindowConfig.lag, help="Time steps, T; counts for the feed-forward cell.")
@_option("--horizon", type=_COUNT, default=WindowConfig.horizon, help="Outputs, m.")
@_network_options
@_output_options
def summary(input_size: int, lag: int, horizon: int, as_json: bool, quiet: bool, **options: Any) -> None:
    """Show a network's layers and numbers of parameters.

    \b
    Example:
      trendlstm summary --cell rnn --hidden 32
    """
    console = _console(as_json, quiet)
    config = _network_config(options, input_size, horizon, lag)
    from .network import Network

    network = Network.from_config(config)
    console.print(network.summary())
    if as_json:
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        console.json({"settings": config.to_dict(), "parameters": network.num_params, "shapes": shapes})


def _console(as_json: bool, quiet: bool) -> Console:
    console = Console(json=as_json, quiet=quiet)
    console.configure_logging()
    return console


def _network_config(options: dict[str, Any], input_size: int, output_size: int, lag: int) -> NetworkConfig:
    forget_bias = options["forget_bias"]
    names = ("hidden_size", "dense", "cell", "dtype", "seed", "bias", "squash_output", "init")
    return NetworkConfig(input_size=input_size, output_size=output_size, lag=lag,
                         forget_bias=forget_bias if forget_bias == "chrono" else int(forget_bias),
                         **{name: options[name] for name in names})


def _train_config(ticker: str, options: dict[str, Any]) -> TrainConfig:
    def part(kind: type, **more: Any) -> Any:
        names = [name for name in kind.__dataclass_fields__ if name in options]  # type: ignore[attr-defined]
        return kind(**{name: options[name] for name in names}, **more)

    window = part(WindowConfig)
    return TrainConfig(
        data=part(DataConfig, ticker=ticker),
        window=window,
        network=_network_config(options, len(window.features), window.horizon, window.lag),
        fit=part(FitConfig),
        seeds=options["seeds"],
        threads=options["threads"],
        final_fit=options["final_fit"],
    )


def _load_prices(data: DataConfig) -> "pd.DataFrame":
    from .data.sources import load_prices

    return load_prices(data.ticker, years=data.years, source=data.source, csv=data.csv, calendar=data.calendar)


def _show(bar: Any) -> "Callable[[Progress], None]":
    def update(progress: "Progress") -> None:
        losses = ""
        if math.isfinite(progress.loss):
            losses = f" · loss {progress.loss:.4g}"
        if math.isfinite(progress.validation_loss):
            losses += f" · validation {progress.validation_loss:.4g}"
        bar.update(progress.epoch, f"epoch {progress.epoch}/{progress.epochs}{losses}")

    return update


def _describe_prices(provenance: dict[str, Any]) -> str:
    places = {"yahoo": "from Yahoo", "cache": "from the price cache", "sample": "from the packaged sample",
              "csv": f"from {provenance['csv']}"}
    adjusted = "adjusted for splits and dividends" if provenance["adjusted"] else "as given, not adjusted"
    return (f"{provenance['ticker']}: {provenance['rows']:,} sessions, {provenance['start']} to {provenance['end']}, "
            f"{places[provenance['source']]}, {adjusted}.")


def _describe_windows(result: "Result") -> str:
    windows = result.windows
    counts = ", ".join(f"{len(split.anchors):,} for {split.name}" for split in windows.splits)
    return (f"Windows of {windows.lag} sessions of {', '.join(windows.features)} predict the next "
            f"{'close' if windows.horizon == 1 else f'{windows.horizon} closes'}: {counts}.")


def _describe_fits(result: "Result") -> str:
    parts = []
    for index, history in enumerate(result.histories):
        name = f"Network {index + 1}: trained" if len(result.histories) > 1 else "Trained"
        stopped = " (stopped early)" if history.stopped == "patience" else ""
        parts.append(f"{name} {history.epochs_run} epochs{stopped}; kept the weights of epoch {history.best_epoch + 1}, "
                     f"validation loss {history.validation_loss[history.best_epoch]:.4g}.")
    return "\n".join([*parts, f"Training took {result.seconds['fit']:.1f} s."])


_STANDING = {"train": "train (in-sample)", "validation": "validation (used for selection)", "test": "test"}


def _show_metrics(console: Console, result: "Result") -> None:
    horizon = result.windows.horizon
    columns = ["Rows", *(["Step"] if horizon > 1 else []), "Forecast", "RMSE", "MAE", "MAPE %", "Skill", "Hit rate % [95 %]",
               "DM p", "PT p", "Lag"]
    rows = []
    for split, models in result.metrics.items():
        for step in sorted({1, horizon}):
            for model, steps in models.items():
                measured = steps[step - 1]
                name = result.config.network.cell if model == "model" else model
                spread = f" ± {result.spread[split]:.2g}" if model == "model" and step == 1 and result.spread else ""
                rows.append([_STANDING[split], *([step] if horizon > 1 else []), name, f"{measured.rmse:.4f}{spread}",
                             measured.mae, f"{measured.mape:.2f}", _figure(measured.skill, "+.3f"),
                             _hit_rate(measured), _figure(measured.diebold_mariano.p_value, ".3f"),
                             _figure(measured.pesaran_timmermann.p_value, ".3f"), measured.lag_check.shift])
    console.table("Errors in the price's currency; skill = 1 - RMSE / RMSE of persistence", columns, rows)


def _hit_rate(measured: "StepMetrics") -> str | None:
    rate = measured.hit_rate
    if rate.rate is None or rate.low is None or rate.high is None:
        return None
    return f"{100 * rate.rate:.1f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _figure(value: float | None, style: str) -> str | None:
    return None if value is None else format(value, style)


def _forecast_title(ticker: str, result: "Result") -> str:
    used = result.final or result.forecaster
    which = "the final fit on all rows" if result.final else "the evaluated model"
    return f"Forecast of {ticker} by {which}, which learned from prices until {used.learned_until}"


def _show_forecast(console: Console, table: "pd.DataFrame", title: str) -> None:
    rows = [[f"{row.date:%a %Y-%m-%d}", f"{row.price:.2f}", row.direction, f"{row.low:.2f}", f"{row.high:.2f}",
             f"{row.naive:.2f}"] for row in table.itertuples()]
    console.table(title, ["Session", "Close", "Direction", "80 % from", "80 % to", "Naive (last close)"], rows)


def _draw(result: "Result", folder: Any) -> None:
    from .plots import plot_losses, plot_predictions

    config, provenance = result.config, result.provenance
    plot_losses(result.histories, folder.stage / "losses.png", title=f"{config.data.ticker}: training of the network")
    plot_predictions(
        result.predictions,
        folder.stage / "predictions.png",
        title=f"{config.data.ticker}: closing price, one-step predictions and the recursive forecast",
        subtitle=f"{config.network.cell}, {config.network.hidden_size} hidden units, lag {config.window.lag}, "
                 f"{config.window.scaling} scaling; prices {provenance['start']} to {provenance['end']}",
    )
