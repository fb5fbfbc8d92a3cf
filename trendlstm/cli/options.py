"""The options that commands share, and their types."""

import math
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from trendlstm.config import (
    CELLS,
    DECIMALS,
    DEFAULT_YEARS,
    DEVICES,
    DTYPES,
    FEATURES,
    FORGET_BIASES,
    INITS,
    MAX_LAYERS,
    OPTIMIZERS,
    PRICE_LOSSES,
    SCALINGS,
    SCHEDULES,
    SOURCES,
    BacktestConfig,
    DataConfig,
    FitConfig,
    NetworkConfig,
    TrainConfig,
    WindowConfig,
)
from trendlstm.errors import OptionError

MOST = 1_000_000  # of anything: more is a slip
COUNT = click.IntRange(1, MOST)
SEED = click.IntRange(0, 2**32 - 1)

_BACKTEST = BacktestConfig()


class _Finite(click.FloatRange):
    """A number within a range; neither NaN nor infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


POSITIVE = _Finite(0, min_open=True)
DROPOUT = _Finite(0, 1, max_open=True)
NOT_NEGATIVE = _Finite(0)
_SHARE = _Finite(0, 1, min_open=True, max_open=True)


class _Parsed(click.ParamType):
    """What `parse` makes of the text; its ValueError means that the text is not `expected`.

    `check` makes settings of it, whose own error names what is out of range.
    """

    def __init__(
        self, name: str, parse: Callable[[str], Any], expected: str, check: Callable[[Any], object]
    ) -> None:
        self.name = name
        self._parse = parse
        self._expected = expected
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            parsed = self._parse(value)
            self._check(parsed)
        except OptionError as error:
            self.fail(str(error), param, ctx)
        except ValueError:
            self.fail(f"{value!r} is not {self._expected}.", param, ctx)
        return parsed


def _layers(text: str) -> tuple[int, ...]:
    return () if text.strip().lower() == "none" else tuple(int(size) for size in text.split(","))


def _hidden(text: str) -> int | tuple[int, ...]:
    sizes = tuple(int(size) for size in text.split(","))
    if max(sizes) > MOST:
        raise OptionError(f"{max(sizes)} hidden units are more than {MOST}.")
    return sizes if len(sizes) > 1 else sizes[0]


def _layers_of_hidden(context: click.Context, parameter: click.Parameter, layers: int | None) -> int | None:
    """A list of --hidden says how many layers there are, whatever a preset has."""
    is_given = context.get_parameter_source("layers") is ParameterSource.COMMANDLINE
    return layers if is_given or not isinstance(context.params.get("hidden_size"), tuple) else None


def _features(text: str) -> tuple[str, ...]:
    known = {name.lower(): name for name in FEATURES}
    return tuple(known.get(name.strip().lower(), name.strip()) for name in text.split(","))


def _fractions(text: str) -> tuple[float, ...]:
    return tuple(float(share) for share in text.split(","))


def listed(values: tuple) -> str:
    """Values as an option takes them, with commas between."""
    return ",".join(map(str, values))


_HIDDEN = _Parsed(
    "sizes",
    _hidden,
    "a number of hidden units, or a list with that of every layer, such as 50,50",
    lambda sizes: NetworkConfig(hidden_size=sizes),
)
_LAYER_LIST = _Parsed(
    "sizes",
    _layers,
    "a list of layer sizes, such as 32,32, or none",
    lambda sizes: NetworkConfig(dense=sizes),
)
_FEATURE_LIST = _Parsed(
    "names",
    _features,
    "a list of columns, such as Close,Volume",
    lambda names: WindowConfig(features=names),
)
_SPLIT = _Parsed(
    "shares", _fractions, "three numbers, such as 0.8,0.1,0.1", lambda shares: WindowConfig(split=shares)
)
_QUANTILES = _Parsed(
    "levels",
    _fractions,
    "a list of quantiles, such as 0.1,0.5,0.9",
    lambda levels: NetworkConfig(loss="pinball", quantiles=levels),
)
FILE = click.Path(dir_okay=False, resolve_path=True)


def combined(*options: Callable) -> Callable:
    """One decorator for several options."""

    def decorate(function: Callable) -> Callable:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def option(*names: str, **settings: Any) -> Callable:
    """An option whose help shows its default."""
    for kind, letter in ((click.IntRange, "N"), (click.FloatRange, "X")):
        if isinstance(settings.get("type"), kind):
            settings.setdefault("metavar", letter)  # click's own is "INTEGER RANGE"
    return click.option(*names, show_default=settings.pop("show_default", True), **settings)


def flag(*names: str, **settings: Any) -> Callable:
    """An option without a value."""
    return option(*names, is_flag=True, show_default=False, **settings)


def examples(*lines: str) -> str:
    """The examples under a help text."""
    heading = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", heading, *(f"  {line}" for line in lines)])  # \b: click keeps the lines


years_option = option(
    "--years",
    type=POSITIVE,
    default=None,
    show_default=f"{DEFAULT_YEARS}, or all rows of --csv",
    help="Years of prices, back from the last complete session or --end.",
)
csv_option = option(
    "--csv",
    type=FILE,
    default=None,
    help="Prices from a file instead of --source: a table with dates and closes as CSV, xlsx or parquet.",
)
format_options = combined(
    option(
        "--calendar",
        metavar="NAME",
        default=None,
        show_default="the exchange's; XNYS for --csv",
        help="Trading calendar for future dates: a code of exchange_calendars, or 24/7.",
    ),
    option(
        "--decimal",
        type=click.Choice(DECIMALS),
        default=None,
        show_default="as the file's numbers tell",
        help="Decimal mark of --csv.",
    ),
    option(
        "--date-format",
        metavar="FORM",
        default=None,
        show_default="as the file's dates tell",
        help="How --csv writes dates: %d/%m/%Y, %m/%d/%Y, ...",
    ),
)
file_options = combined(csv_option, format_options)
period_options = combined(
    years_option,
    option(
        "--start", metavar="DATE", default=None, help="First date of prices (YYYY-MM-DD), instead of --years."
    ),
    option(
        "--end",
        metavar="DATE",
        default=None,
        show_default="the last complete session",
        help="Last date of prices.",
    ),
    option(
        "--source",
        type=click.Choice(SOURCES),
        default=DataConfig.source,
        help="Where prices come from. auto: fresh cache, else Yahoo, else older cache, else the packaged sample "
        "if it has the ticker; the others never fall back.",
    ),
)
data_options = combined(period_options, file_options)
window_options = combined(
    option("--lag", type=COUNT, default=WindowConfig.lag, help="Sessions the network looks back, T."),
    option("--horizon", type=COUNT, default=WindowConfig.horizon, help="Sessions it predicts at once, m."),
    option(
        "--features",
        type=_FEATURE_LIST,
        default=listed(WindowConfig.features),
        help=f"Inputs, comma-separated, of {', '.join(FEATURES)}.",
    ),
    option(
        "--scaling",
        type=click.Choice(SCALINGS),
        default=WindowConfig.scaling,
        help="window: log returns from the window's last close; standard, minmax: by the training rows; none: "
        "raw prices.",
    ),
)
split_option = option(
    "--split",
    type=_SPLIT,
    default=listed(WindowConfig.split),
    help="Shares of the rows for training, validation and test.",
)
cell_option = option(
    "--cell",
    type=click.Choice(CELLS),
    default=NetworkConfig.cell,
    help="LSTM, LSTM without forget gate (1997), GRU, vanilla RNN with tanh or sigmoid units, or feed-forward network.",
)
size_options = combined(
    option(
        "--hidden",
        "hidden_size",
        type=_HIDDEN,
        default=str(NetworkConfig.hidden_size),
        help="Hidden units, H: of every layer, or comma-separated of each, such as 50,50.",
    ),
    option(
        "--layers",
        type=click.IntRange(1, MAX_LAYERS),
        default=None,
        show_default="1, or as many as --hidden lists",
        callback=_layers_of_hidden,
        help="Recurrent layers, each reading the sequence of the one below. Time and memory grow with their number.",
    ),
    option(
        "--dropout",
        type=DROPOUT,
        default=NetworkConfig.dropout,
        help="Share of the units of every recurrent layer's output that is dropped in training.",
    ),
    option(
        "--recurrent-dropout",
        type=DROPOUT,
        default=NetworkConfig.recurrent_dropout,
        help="Share of a layer's units whose way to its next step is dropped in training, the same in all steps.",
    ),
)
loss_options = combined(
    option(
        "--loss",
        type=click.Choice(PRICE_LOSSES),
        default=None,
        show_default="mse, or pinball with --quantiles",
        help="What training minimises: the squared, absolute or Huber's error; pinball and gaussian forecast a "
        "distribution, quantiles or mean and standard deviation, and so a band of their own.",
    ),
    option(
        "--quantiles",
        type=_QUANTILES,
        default=None,
        help="What --loss pinball forecasts, such as 0.1,0.5,0.9; 0.5 is the forecast, the outer ones are its band.",
    ),
)
layer_options = combined(
    size_options,
    option(
        "--dense",
        type=_LAYER_LIST,
        default=listed(NetworkConfig.dense),
        help="Sizes of the ReLU layers after the cell, comma-separated, or none.",
    ),
    option(
        "--dtype", type=click.Choice(DTYPES), default=NetworkConfig.dtype, help="Precision of all arithmetic."
    ),
    option("--bias/--no-bias", default=NetworkConfig.bias, help="Whether the cell has a bias."),
    option(
        "--squash/--no-squash",
        "squash_output",
        default=NetworkConfig.squash_output,
        help="h = o tanh(c), or h = o c.",
    ),
    option(
        "--init",
        type=click.Choice(INITS),
        default=NetworkConfig.init,
        help="Initial weights. orthogonal: as Keras; uniform: as PyTorch.",
    ),
    option(
        "--forget-bias",
        type=click.Choice([str(value) for value in FORGET_BIASES]),
        default=str(NetworkConfig.forget_bias),
        help="Initial bias of the forget gate.",
    ),
    option("--seed", type=SEED, default=NetworkConfig.seed, help="Of initial weights and shuffling."),
    loss_options,
)
network_options = combined(cell_option, layer_options)
threads_option = option(
    "--threads",
    type=COUNT,
    default=None,
    show_default="all cores of this process",
    help="Threads; the result does not depend on it.",
)
device_option = option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    help="What trains the networks: the processor, or an NVIDIA GPU (with the extra cuda). auto takes the "
    "processor until a GPU has been measured to be faster.",
)


def make_fit_options(defaults: FitConfig) -> Callable:
    """The options of fits, with these defaults."""
    return combined(
        option("--epochs", type=COUNT, default=defaults.epochs, help="Passes over the training windows."),
        option("--batch-size", type=COUNT, default=defaults.batch_size, help="Windows per step."),
        option(
            "--lr",
            "learning_rate",
            type=POSITIVE,
            default=defaults.learning_rate,
            help="Learning rate; of a schedule the highest.",
        ),
        option(
            "--schedule",
            type=click.Choice(SCHEDULES),
            default=defaults.schedule,
            help="How the learning rate falls: not at all; to 0 along half a cosine; by a factor after "
            "every --step-epochs epochs; or by a factor when the validation loss has not fallen for --plateau-patience "
            "epochs.",
        ),
        option(
            "--warmup",
            type=click.IntRange(0, MOST),
            default=defaults.warmup,
            help="Epochs in which the learning rate first rises from 0, step by step; the schedule begins after them.",
        ),
        option(
            "--step-epochs",
            type=COUNT,
            default=None,
            show_default="none; --schedule step needs it",
            help="Epochs between two falls of --schedule step.",
        ),
        option(
            "--plateau-patience",
            type=COUNT,
            default=None,
            show_default="10 with --schedule plateau",
            help="Epochs without a better loss after which --schedule plateau reduces the rate.",
        ),
        option(
            "--schedule-factor",
            type=_SHARE,
            default=None,
            show_default="0.1 with --schedule step or plateau",
            help="By what --schedule step or plateau multiplies the rate.",
        ),
        option(
            "--optimizer",
            type=click.Choice(OPTIMIZERS),
            default=defaults.optimizer,
            help="Adam (with --weight-decay AdamW), or stochastic gradient descent with momentum.",
        ),
        option(
            "--momentum",
            type=_Finite(0, 1, max_open=True),
            default=None,
            show_default="0.9 with --optimizer sgd",
            help="Share of its velocity that --optimizer sgd keeps from step to step.",
        ),
        option(
            "--patience",
            type=COUNT,
            default=defaults.patience,
            show_default=True if defaults.patience else "off",
            help="Stop after this many epochs without a better validation loss.",
        ),
        option(
            "--clip-norm",
            type=POSITIVE,
            default=None,
            show_default="off",
            help="Largest norm of a minibatch's gradient.",
        ),
        option(
            "--weight-decay",
            type=NOT_NEGATIVE,
            default=defaults.weight_decay,
            help="Decoupled decay of the weights (not the biases).",
        ),
        option(
            "--shuffle/--no-shuffle",
            default=defaults.shuffle,
            help="New order of the windows in every epoch.",
        ),
        option(
            "--seeds",
            type=COUNT,
            default=TrainConfig.seeds,
            help="Networks in an ensemble, with seeds SEED, SEED + 1, ...; their outputs are averaged.",
        ),
        threads_option,
    )


fit_options = make_fit_options(FitConfig())
walk_options = combined(
    option(
        "--test-years",
        type=POSITIVE,
        default=_BACKTEST.test_years,
        help="The last years, which are forecast.",
    ),
    option("--refit", type=COUNT, default=_BACKTEST.refit, help="Sessions after which all is fitted anew."),
    option("--stride", type=COUNT, default=_BACKTEST.stride, help="Sessions from one forecast to the next."),
    option(
        "--gap",
        type=click.IntRange(0),
        default=None,
        show_default="horizon - 1",
        help="Newest origins that a fold does not learn from; those whose targets are not known yet, or more.",
    ),
    option(
        "--train-years",
        type=POSITIVE,
        default=None,
        show_default="all rows before the fold",
        help="How far back a fold learns.",
    ),
    option(
        "--model",
        "models",
        type=click.Choice(CELLS),
        multiple=True,
        default=_BACKTEST.models,
        help="What is tested; may be given several times. Persistence, drift and ridge are always shown.",
    ),
    flag(
        "--final-fit",
        help="In every fold also train on its validation rows, for the chosen number of epochs.",
    ),
    flag("--warm-start", help="Begin each fold with the weights of the one before."),
)
report_option = flag(
    "--report",
    help="Also write report.html, one page with charts that works offline; see `trendlstm report`.",
)
json_option = flag("--json", "as_json", help="One JSON object on stdout, everything else on stderr.")
output_options = combined(
    json_option,
    flag(
        "--quiet",
        help="No progress bar and no notices, with --json no tables either; warnings and errors remain.",
    ),
)
