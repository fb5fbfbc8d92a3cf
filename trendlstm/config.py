"""Every setting, as frozen dataclasses that check themselves and go to and from JSON."""

import dataclasses
import itertools
import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Self, get_args

from trendlstm.errors import OptionError

# For type checkers; the choices of the command line and of the checks below are derived from them.
Cell = Literal["lstm", "lstm1997", "gru", "rnn", "rnn-sigmoid", "ann"]
DType = Literal["float32", "float64"]
Device = Literal["auto", "cpu", "cuda"]
Optimizer = Literal["adam", "sgd"]
Schedule = Literal["constant", "cosine", "step", "plateau"]
Init = Literal["orthogonal", "glorot", "uniform"]
ForgetBias = Literal[0, 1, "chrono"]
Loss = Literal["mse", "mae", "huber", "pinball", "gaussian", "cross-entropy"]
Scaling = Literal["window", "standard", "minmax", "none"]
Source = Literal["auto", "yahoo", "cache", "sample"]
Baseline = Literal[
    "rnn", "gru", "ann", "lstm1997", "persistence", "drift", "ridge"
]  # what the LSTM may be compared with
Match = Literal["hidden", "params"]

CELLS: tuple[Cell, ...] = get_args(Cell)
DTYPES: tuple[DType, ...] = get_args(DType)
DEVICES: tuple[Device, ...] = get_args(Device)
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
INITS: tuple[Init, ...] = get_args(Init)
FORGET_BIASES: tuple[ForgetBias, ...] = get_args(ForgetBias)
LOSSES: tuple[Loss, ...] = get_args(Loss)
PRICE_LOSSES: tuple[Loss, ...] = tuple(loss for loss in LOSSES if loss != "cross-entropy")
LOSS_NAMES: dict[Loss, str] = {
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "huber": "mean Huber loss",
    "pinball": "mean pinball loss",
    "gaussian": "mean negative log-likelihood",
    "cross-entropy": "mean cross-entropy",
}
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)
SOURCES: tuple[Source, ...] = get_args(Source)
COMPARED: tuple[Baseline, ...] = get_args(Baseline)
MATCHES: tuple[Match, ...] = get_args(Match)
MAX_LAYERS = 8  # recurrent ones
MAX_CLASSES = 2**24  # up to here float32 has every whole number
NORMAL_LEVELS = (0.1, 0.5, 0.9)  # the quantiles that are shown of a normal distribution
DEFAULT_YEARS = 4  # of prices, unless a start is given or a file
MAX_YEARS = 100
DECIMALS = (".", ",")
ALWAYS_COMPARED: tuple[Baseline, ...] = ("persistence", "drift")
PLAIN_LSTM = "lstm-plain"  # with one layer and no dropout; compared with an LSTM that has more
LEAST_LAG = 3  # of a comparison, and of chrono biases: with fewer steps there is nothing to forget
FEATURES = ("Open", "High", "Low", "Close", "Volume")  # of every source; tables may have columns of their own


def _require(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise OptionError(f"{name} must be {rule}, but is {value!r}.")


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_iso_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and value == date.fromisoformat(value).isoformat()
    except ValueError:
        return False


def _is_date_format(value: Any) -> bool:
    directives = set(re.findall("%(.)", value)) if isinstance(value, str) else set()
    return {"d", "Y"} <= directives <= set("dmbBY") and bool(directives & set("mbB"))


def _make_int(settings: object, name: str) -> None:
    """Turn NumPy's whole numbers into Python's, which JSON knows; leave anything else to the checks."""
    value = getattr(settings, name)
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        object.__setattr__(settings, name, int(value))


def _dtype_name(value: Any) -> Any:
    """The name of a NumPy dtype or scalar type; leave anything else to the checks."""
    return getattr(value, "name", None) or getattr(value, "__name__", value)


class _Settings:
    """JSON for the dataclasses below."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able values (tuples become lists)."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()  # type: ignore[call-overload]
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The settings that `to_dict` gave; raises OptionError for a name it does not know or a value out of range."""
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = set(values) - names
        if unknown:
            raise OptionError(f"unknown setting {sorted(unknown)[0]!r} for {cls.__name__}.")
        return cls(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        )


@dataclass(frozen=True)
class NetworkConfig(_Settings):
    """The shape and initial values of a `Network`; see there for the meaning of each."""

    input_size: int = 1
    hidden_size: int | tuple[int, ...] = 64
    dense: tuple[int, ...] = (32, 32)
    output_size: int = 1
    cell: Cell = "lstm"
    dtype: DType = "float32"
    seed: int = 0
    lag: int | None = None
    bias: bool = True
    squash_output: bool = True
    init: Init = "orthogonal"
    forget_bias: ForgetBias = 1
    layers: int = 1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    loss: Loss = "mse"
    quantiles: tuple[float, ...] = ()
    huber_delta: float = 1.0
    classes: int = 0

    @property
    def outputs_per_target(self) -> int:
        """How many outputs of the last layer belong to one target: Q quantiles, a mean and a scale, or K classes."""
        several = {"pinball": len(self.quantiles), "gaussian": 2, "cross-entropy": self.classes}
        return several.get(self.loss, 1)

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of the quantiles that are shown of a predicted distribution; none where a number is predicted."""
        return NORMAL_LEVELS if self.loss == "gaussian" else self.quantiles

    @property
    def point_index(self) -> int | None:
        """Which number of a predicted distribution is the point forecast; None where a number or class is predicted.

        The median of quantiles, of which 0.5 must be one, and the mean of a normal distribution.
        """
        if self.loss == "pinball":
            return self.quantiles.index(0.5)
        return 0 if self.loss == "gaussian" else None

    @property
    def last_layer_size(self) -> int:
        """How many outputs the last layer has, those of one target side by side."""
        return self.output_size * self.outputs_per_target

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "output_size", "seed", "lag", "forget_bias", "layers"):
            _make_int(self, name)
        self._check_layers()
        if isinstance(self.dense, tuple) and all(map(_is_count, self.dense)):
            object.__setattr__(self, "dense", tuple(map(int, self.dense)))
        object.__setattr__(self, "dtype", _dtype_name(self.dtype))
        for name in ("input_size", "output_size"):
            _require(_is_count(getattr(self, name)), name, getattr(self, name), "a whole number from 1 up")
        for name in ("dropout", "recurrent_dropout"):
            value = getattr(self, name)
            _require(_is_number(value) and 0 <= value < 1, name, value, "a number from 0 up and below 1")
        _require(
            isinstance(self.dense, tuple) and all(map(_is_count, self.dense)),
            "dense",
            self.dense,
            "a tuple of layer sizes, each a whole number from 1 up",
        )
        _require(self.cell in CELLS, "cell", self.cell, f"one of {', '.join(CELLS)}")
        _require(self.dtype in DTYPES, "dtype", self.dtype, f"one of {', '.join(DTYPES)}")
        _require(
            _is_count(self.seed, 0) and self.seed < 2**63,
            "seed",
            self.seed,
            "a whole number from 0 to 2**63 - 1",
        )
        _require(
            self.lag is None or _is_count(self.lag), "lag", self.lag, "a whole number from 1 up, or None"
        )
        for name in ("bias", "squash_output"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name), "True or False")
        _require(self.init in INITS, "init", self.init, f"one of {', '.join(INITS)}")
        _require(
            not isinstance(self.forget_bias, bool) and self.forget_bias in FORGET_BIASES,
            "forget_bias",
            self.forget_bias,
            "0, 1 or 'chrono'",
        )
        if self.cell == "ann" and self.lag is None:
            raise OptionError("cell 'ann' needs lag=, the number of time steps in its flattened window.")
        if self.cell == "ann" and self.layers > 1:
            raise OptionError("cell 'ann' has one hidden layer: give the sizes of further ones as dense=.")
        if self.cell == "ann" and self.recurrent_dropout:
            raise OptionError("cell 'ann' has nothing recurrent: use dropout in place of recurrent_dropout.")
        if self.cell == "lstm" and self.forget_bias == "chrono":
            if self.lag is None or self.lag < 3:
                raise OptionError(f"forget_bias 'chrono' needs lag= of at least 3, but lag is {self.lag}.")
            if not self.bias:
                raise OptionError("forget_bias 'chrono' needs bias=True.")
        self._check_loss()

    def _check_loss(self) -> None:
        _require(self.loss in LOSSES, "loss", self.loss, f"one of {', '.join(LOSSES)}")
        _require(
            _is_number(self.huber_delta) and self.huber_delta > 0,
            "huber_delta",
            self.huber_delta,
            "a number above 0",
        )
        quantiles = self.quantiles
        ascending = isinstance(quantiles, tuple) and all(map(_is_number, quantiles))
        ascending = ascending and all(low < high for low, high in itertools.pairwise((0, *quantiles, 1)))
        _require(ascending, "quantiles", quantiles, "different numbers above 0 and below 1, ascending")
        object.__setattr__(self, "quantiles", tuple(map(float, quantiles)))
        if quantiles and self.loss != "pinball":
            raise OptionError(
                f"quantiles are of the loss 'pinball', but the loss is {self.loss!r}: leave them out."
            )
        if self.huber_delta != 1 and self.loss != "huber":
            raise OptionError(
                f"huber_delta is of the loss 'huber', but the loss is {self.loss!r}: leave it out."
            )
        if not quantiles and self.loss == "pinball":
            raise OptionError("loss 'pinball' needs quantiles, such as 0.1, 0.5, 0.9.")
        _make_int(self, "classes")
        _require(
            _is_count(self.classes, 0) and self.classes != 1 and self.classes <= MAX_CLASSES,
            "classes",
            self.classes,
            f"a whole number from 2 to {MAX_CLASSES}",
        )
        if self.classes and self.loss != "cross-entropy":
            raise OptionError(
                f"classes are of the loss 'cross-entropy', but the loss is {self.loss!r}: leave them out."
            )
        if not self.classes and self.loss == "cross-entropy":
            raise OptionError("loss 'cross-entropy' needs classes, their number, such as 10.")

    def _check_layers(self) -> None:
        """Check `layers` and `hidden_size`; sizes that are all the same become one number."""
        sizes = tuple(self.hidden_size) if isinstance(self.hidden_size, list) else self.hidden_size
        object.__setattr__(self, "hidden_size", sizes)
        _require(
            all(map(_is_count, sizes)) and len(sizes) > 0 if isinstance(sizes, tuple) else _is_count(sizes),
            "hidden_size",
            sizes,
            "a whole number from 1 up, or a tuple of them, one for each layer",
        )
        if isinstance(sizes, tuple):
            if self.layers not in (1, len(sizes)):
                raise OptionError(
                    f"hidden_size {sizes!r} has {len(sizes)} layers, but layers is {self.layers!r}: leave it out."
                )
            sizes = tuple(map(int, sizes))
            object.__setattr__(self, "layers", len(sizes))
            object.__setattr__(self, "hidden_size", sizes if len(set(sizes)) > 1 else sizes[0])
        _require(
            _is_count(self.layers) and self.layers <= MAX_LAYERS,
            "layers",
            self.layers,
            f"a whole number from 1 to {MAX_LAYERS}",
        )

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """The hidden units of every recurrent layer, from the one that sees the input up."""
        sizes = self.hidden_size
        return sizes if isinstance(sizes, tuple) else (sizes,) * self.layers

    @property
    def is_plain(self) -> bool:
        """Whether it has one recurrent layer and no dropout."""
        return self.layers == 1 and not (self.dropout or self.recurrent_dropout)


def _require_price_loss(network: NetworkConfig) -> None:
    """Refuse classes, and quantiles without a point forecast of prices or without a band around it."""
    if network.loss not in PRICE_LOSSES:
        raise OptionError(
            f"loss {network.loss!r} is for classes, and prices are none: use one of {', '.join(PRICE_LOSSES)}."
        )
    levels = network.quantiles
    if levels and not (0.5 in levels and levels[0] < 0.5 < levels[-1]):
        raise OptionError(
            "quantiles of prices must have 0.5 among them, the forecast, and others below and above it, its band, "
            f"but are {', '.join(map(str, levels))}."
        )


@dataclass(frozen=True)
class FitConfig(_Settings):
    """How a network is trained; see `Network.fit`.

    `momentum`, `step_epochs`, `plateau_patience` and `schedule_factor` belong to one optimizer or to some schedules:
    there None becomes the default, elsewhere nothing else is possible.
    """

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    patience: int | None = None
    clip_norm: float | None = None
    weight_decay: float = 0.0
    shuffle: bool = True
    seed: int | None = None
    truncate: int | None = None
    optimizer: Optimizer = "adam"
    momentum: float | None = None
    schedule: Schedule = "constant"
    warmup: int = 0
    step_epochs: int | None = None
    plateau_patience: int | None = None
    schedule_factor: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            _require(_is_count(getattr(self, name)), name, getattr(self, name), "a whole number from 1 up")
        _require(
            _is_number(self.learning_rate) and self.learning_rate > 0,
            "learning_rate",
            self.learning_rate,
            "a number above 0",
        )
        _require(
            self.patience is None or _is_count(self.patience),
            "patience",
            self.patience,
            "a whole number of epochs from 1 up, or None for no early stopping",
        )
        _require(
            self.clip_norm is None or (_is_number(self.clip_norm) and self.clip_norm > 0),
            "clip_norm",
            self.clip_norm,
            "a number above 0, or None for no clipping",
        )
        _require(
            _is_number(self.weight_decay) and self.weight_decay >= 0,
            "weight_decay",
            self.weight_decay,
            "a number from 0 up",
        )
        _require(isinstance(self.shuffle, bool), "shuffle", self.shuffle, "True or False")
        _require(
            self.seed is None or (_is_count(self.seed, 0) and self.seed < 2**63),
            "seed",
            self.seed,
            "a whole number from 0 to 2**63 - 1, or None for the network's own",
        )
        _make_int(self, "truncate")
        _require(
            self.truncate is None or _is_count(self.truncate),
            "truncate",
            self.truncate,
            "a whole number of steps from 1 up, or None for gradients through all of them",
        )
        if self.truncate is not None and self.warmup:
            raise OptionError(
                "warmup cannot be combined with truncate, because an epoch's number of steps is not known before it "
                "ends: leave one of them out."
            )
        _require(self.optimizer in OPTIMIZERS, "optimizer", self.optimizer, f"one of {', '.join(OPTIMIZERS)}")
        _require(self.schedule in SCHEDULES, "schedule", self.schedule, f"one of {', '.join(SCHEDULES)}")
        self._belongs("momentum", "optimizer", ("sgd",), default=0.9)
        self._belongs("step_epochs", "schedule", ("step",), default=None)
        self._belongs("plateau_patience", "schedule", ("plateau",), default=10)
        self._belongs("schedule_factor", "schedule", ("step", "plateau"), default=0.1)
        _require(
            self.momentum is None or (_is_number(self.momentum) and 0 <= self.momentum < 1),
            "momentum",
            self.momentum,
            "a number from 0 up to below 1",
        )
        _require(
            _is_count(self.warmup, 0) and self.warmup < self.epochs,
            "warmup",
            self.warmup,
            f"a whole number of epochs from 0 up to below epochs ({self.epochs})",
        )
        if self.schedule == "step":
            if self.step_epochs is None:
                raise OptionError(
                    "schedule 'step' needs step_epochs, after how many epochs the rate falls each time."
                )
            left = self.epochs - self.warmup
            _require(
                _is_count(self.step_epochs) and self.step_epochs < left,
                "step_epochs",
                self.step_epochs,
                f"a whole number from 1 up to below the {left} epochs after the warm-up, or the rate never falls",
            )
        _require(
            self.plateau_patience is None or _is_count(self.plateau_patience),
            "plateau_patience",
            self.plateau_patience,
            "a whole number of epochs from 1 up",
        )
        if self.plateau_patience and self.patience and self.plateau_patience >= self.patience:
            raise OptionError(
                f"plateau_patience ({self.plateau_patience}) must be below patience ({self.patience}), or the fit "
                "ends before the rate is ever reduced."
            )
        _require(
            self.schedule_factor is None
            or (_is_number(self.schedule_factor) and 0 < self.schedule_factor < 1),
            "schedule_factor",
            self.schedule_factor,
            "a number above 0 and below 1",
        )

    def _belongs(self, name: str, owner: str, choices: tuple[str, ...], default: float | None) -> None:
        """Set a setting's default if it is used at all, and refuse it if it is given and is not."""
        value, used = getattr(self, name), getattr(self, owner) in choices
        if value is None and used:
            object.__setattr__(self, name, default)
        elif value is not None and not used:
            raise OptionError(
                f"{name} belongs to {owner} {' or '.join(map(repr, choices))}, but {owner} is "
                f"{getattr(self, owner)!r}: leave {name} out, or choose another {owner}."
            )


@dataclass(frozen=True)
class WindowConfig(_Settings):
    """How prices become samples; see `make_windows`."""

    lag: int = 20
    horizon: int = 1
    features: tuple[str, ...] = ("Close",)
    scaling: Scaling = "window"
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)

    def __post_init__(self) -> None:
        for name in ("lag", "horizon"):
            _make_int(self, name)
            _require(_is_count(getattr(self, name)), name, getattr(self, name), "a whole number from 1 up")
        features = self.features
        names = isinstance(features, tuple) and all(isinstance(name, str) and name for name in features)
        different = names and 0 < len(features) == len(set(features))
        _require(different, "features", features, "one or more different names of columns, in a tuple")
        _require(self.scaling in SCALINGS, "scaling", self.scaling, f"one of {', '.join(SCALINGS)}")
        shares = self.split
        three = isinstance(shares, tuple) and len(shares) == 3 and all(map(_is_number, shares))
        whole = three and min(shares) > 0 and abs(sum(shares) - 1) < 1e-9
        _require(whole, "split", shares, "three shares above 0 that add up to 1, in a tuple")
        if self.scaling == "window" and self.lag == 1 and {"Close", "Volume"}.issuperset(features):
            raise OptionError(
                f"window scaling with lag 1 makes {' and '.join(features)} identically 0: use a lag of 2 or "
                "more, another feature, or another scaling."
            )


@dataclass(frozen=True)
class DataConfig(_Settings):
    """Which prices; see `load_prices`. Without years and start: 4 years, or all rows of a file (None)."""

    ticker: str = "MSFT"
    years: float | None = None
    source: Source = "auto"
    csv: str | None = None
    calendar: str | None = None
    start: str | None = None
    end: str | None = None
    decimal: str | None = None
    date_format: str | None = None

    def __post_init__(self) -> None:
        if self.years is None and self.start is None and self.csv is None:
            object.__setattr__(self, "years", DEFAULT_YEARS)
        _require(isinstance(self.ticker, str), "ticker", self.ticker, "a text")
        _require(
            self.years is None or (_is_number(self.years) and 0 < self.years <= MAX_YEARS),
            "years",
            self.years,
            f"a number above 0 and at most {MAX_YEARS}",
        )
        _require(self.source in SOURCES, "source", self.source, f"one of {', '.join(SOURCES)}")
        for name in ("start", "end"):
            value = getattr(self, name)
            _require(value is None or _is_iso_date(value), name, value, "a date such as 2020-01-31")
        if self.start is not None and self.years is not None:
            raise OptionError(
                f"Prices reach back either to the start {self.start} or for {self.years:g} years; give one of them."
            )
        if self.start is not None and self.end is not None and self.start > self.end:
            raise OptionError(f"The start {self.start} is after the end {self.end}.")
        if self.csv is None:
            for name in ("decimal", "date_format"):
                _require(
                    getattr(self, name) is None, name, getattr(self, name), "given with a file of prices"
                )
        elif self.source != "auto":
            raise OptionError(
                f"Prices come either from the file {self.csv} or from the source {self.source}; give one of them."
            )
        _require(self.decimal in (None, *DECIMALS), "decimal", self.decimal, "one of . and ,")
        _require(
            self.date_format is None or _is_date_format(self.date_format),
            "date_format",
            self.date_format,
            "a form of day, month and year with four digits, such as %d/%m/%Y or '%b %d, %Y'",
        )


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of a training run.

    Attributes
    ----------
    data, window, network, fit : DataConfig, WindowConfig, NetworkConfig, FitConfig
        The network's input_size, output_size and lag are those of the windows; they need not be given.
    seeds : int
        Networks in the ensemble; the k-th has the network's seed + k.
    threads : int or None
        None for all cores that the process may use.
    device : {"cpu", "cuda"}
        What trains the networks.
    final_fit : bool
        Whether forecasts come from networks trained on all rows.
    """

    data: DataConfig = DataConfig()
    window: WindowConfig = WindowConfig()
    network: NetworkConfig = NetworkConfig()
    fit: FitConfig = FitConfig()
    seeds: int = 1
    threads: int | None = None
    final_fit: bool = False
    device: Device = "cpu"

    def __post_init__(self) -> None:
        _require(_is_count(self.seeds), "seeds", self.seeds, "a whole number from 1 up")
        _require(
            self.threads is None or _is_count(self.threads),
            "threads",
            self.threads,
            "a whole number from 1 up",
        )
        _require(self.device in DEVICES, "device", self.device, f"one of {', '.join(DEVICES)}")
        features, window = len(self.window.features), self.window
        network = dataclasses.replace(
            self.network, input_size=features, output_size=window.horizon, lag=window.lag
        )
        for name in ("input_size", "output_size", "lag"):
            given, size = getattr(self.network, name), getattr(network, name)
            if given not in (size, getattr(NetworkConfig, name)):
                raise OptionError(
                    f"the network's {name} is {given}, but that of its windows is {size}: leave it out."
                )
        object.__setattr__(self, "network", network)
        _require_price_loss(network)

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON-able values, nested like the attributes."""
        parts = {name: getattr(self, name).to_dict() for name in ("data", "window", "network", "fit")}
        names = ("seeds", "threads", "final_fit", "device")
        return {**parts, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The settings that `to_dict` gave."""
        return cls(
            data=DataConfig.from_dict(values["data"]),
            window=WindowConfig.from_dict(values["window"]),
            network=NetworkConfig.from_dict(values["network"]),
            fit=FitConfig.from_dict(values["fit"]),
            seeds=values["seeds"],
            threads=values["threads"],
            final_fit=values["final_fit"],
            device=values.get("device", "cpu"),  # the first runs do not say
        )


@dataclass(frozen=True)
class CompareConfig:
    """Every setting of a comparison of the LSTM with other models.

    Attributes
    ----------
    train : TrainConfig
        Of all networks. `network` is the LSTM's; the others differ from it in cell, initial values and, by `match`,
        hidden units. Beside an LSTM of several layers or with dropout stands one of one layer and without.
    baselines : tuple of str
        What the LSTM is compared with, of `COMPARED`; `ALWAYS_COMPARED` need not be named.
    match : {"hidden", "params"}
        What the networks share with the LSTM: the hidden units, or (as nearly as can be) the number of parameters.
    """

    train: TrainConfig = TrainConfig(window=WindowConfig(lag=60), network=NetworkConfig(lag=60), seeds=5)
    baselines: tuple[Baseline, ...] = ("rnn",)
    match: Match = "hidden"

    def __post_init__(self) -> None:
        for name in self.baselines:
            if name not in COMPARED:
                raise OptionError(f"unknown baseline {name!r}: choose among {', '.join(COMPARED)}.")
        _require(self.match in MATCHES, "match", self.match, f"one of {', '.join(MATCHES)}")
        network, lag = self.train.network, self.train.window.lag
        if network.cell != "lstm":
            raise OptionError(
                f"a comparison is of the cell 'lstm' with others, but the cell is {network.cell!r}."
            )
        if not network.bias:
            raise OptionError(
                "a comparison needs biases: some of its LSTMs differ in those of the forget gate alone."
            )
        if lag < LEAST_LAG:
            raise OptionError(
                f"a comparison needs a lag of at least {LEAST_LAG}, but it is {lag}: with fewer steps there is "
                "nothing to forget."
            )
        if "ann" in self.baselines:
            dataclasses.replace(network, cell="ann")  # raises where it cannot have the LSTM's layers

    @property
    def compared(self) -> tuple[str, ...]:
        """The LSTM, `PLAIN_LSTM` if it is another, what it is compared with, and `ALWAYS_COMPARED`; each once."""
        plain = () if self.train.network.is_plain else (PLAIN_LSTM,)
        return tuple(dict.fromkeys(("lstm", *plain, *self.baselines, *ALWAYS_COMPARED)))

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON-able values: those of `train`, all that the LSTM is compared with, what is matched."""
        return {**self.train.to_dict(), "baselines": list(self.compared[1:]), "match": self.match}


@dataclass(frozen=True)
class BacktestConfig:
    """Every setting of a walk-forward backtest.

    Attributes
    ----------
    window : WindowConfig
        `split` says how the rows that a fold learns from are shared out: its first two shares, by their ratio.
    network, fit : NetworkConfig, FitConfig
        Of every model but for the cell. input_size, output_size and lag are those of the windows. Validation chooses
        the epoch.
    models : tuple of str
        Cells of `CELLS`.
    seeds : int
        Networks in an ensemble; the k-th has the network's seed + k.
    test_years : float
        The last years, which are forecast.
    refit : int
        Sessions after which all is fitted anew.
    stride : int
        Sessions from one forecast to the next.
    gap : int or None
        Newest origins that a fold does not learn from. Default and least: horizon - 1, the origins whose targets are
        not all known at the cutoff.
    train_years : float or None
        How far back a fold learns; None for all rows before it.
    final_fit : bool
        Whether forecasts come from networks trained on the validation rows too, for the chosen number of epochs.
    warm_start : bool
        Whether a fold begins with the weights of the one before.
    costs_bps : float
        Costs of trading, in 1/10,000 of the turnover.
    trials_before : int
        Strategies that were tried before on these prices, for the deflated Sharpe ratio.
    """

    window: WindowConfig = WindowConfig()
    network: NetworkConfig = NetworkConfig()
    fit: FitConfig = FitConfig(epochs=30, patience=5)
    models: tuple[Cell, ...] = ("lstm",)
    seeds: int = 1
    test_years: float = 1.0
    refit: int = 1
    stride: int = 1
    gap: int | None = None
    train_years: float | None = None
    final_fit: bool = False
    warm_start: bool = False
    costs_bps: float = 5.0
    trials_before: int = 0

    def __post_init__(self) -> None:
        for name in ("seeds", "refit", "stride"):
            _require(_is_count(getattr(self, name)), name, getattr(self, name), "a whole number from 1 up")
        for name in ("test_years", "train_years"):
            value = getattr(self, name)
            optional = name == "train_years" and value is None
            _require(
                optional or (_is_number(value) and 0 < value <= MAX_YEARS),
                name,
                value,
                f"a number above 0 and at most {MAX_YEARS}",
            )
        for name in ("final_fit", "warm_start"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name), "True or False")
        _require(
            _is_number(self.costs_bps) and 0 <= self.costs_bps < 1e4,
            "costs_bps",
            self.costs_bps,
            "a number from 0 up and below 10000",
        )
        _require(
            _is_count(self.trials_before, 0), "trials_before", self.trials_before, "a whole number from 0 up"
        )
        models = self.models
        known = isinstance(models, tuple) and models and set(models) <= set(CELLS)
        _require(
            bool(known) and len(set(models)) == len(models),
            "models",
            models,
            f"one or more different ones of {', '.join(CELLS)}, in a tuple",
        )
        _require_price_loss(self.network)
        if self.refit < self.stride:
            raise OptionError(
                f"with a forecast every {self.stride} sessions (stride) nothing is gained by a refit every "
                f"{self.refit}: use a refit of {self.stride} or more."
            )
        least = self.window.horizon - 1
        if self.gap is None:
            object.__setattr__(self, "gap", least)
        _require(
            _is_count(self.gap, least),
            "gap",
            self.gap,
            f"a whole number from {least} up (horizon - 1), because the targets of later origins are not known yet",
        )
        for model in models:
            self.network_of(model, 0)  # raises where a cell cannot have these layers

    def network_of(self, model: Cell, member: int) -> NetworkConfig:
        """The network of a model's ensemble with the number `member`, from 0 up."""
        window = self.window
        settings: dict[str, Any] = dict(
            input_size=len(window.features), output_size=window.horizon, lag=window.lag, cell=model
        )
        if model != "lstm":
            settings["forget_bias"] = NetworkConfig.forget_bias  # there is no such gate
        return dataclasses.replace(self.network, seed=self.network.seed + member, **settings)

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON-able values, nested like the attributes."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        parts = {name: values.pop(name).to_dict() for name in ("window", "network", "fit")}
        return {**parts, **values, "models": list(self.models)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BacktestConfig":
        """The settings that `to_dict` gave."""
        kinds: dict[str, type[_Settings]] = {
            "window": WindowConfig,
            "network": NetworkConfig,
            "fit": FitConfig,
        }
        parts = {name: kind.from_dict(values[name]) for name, kind in kinds.items()}
        return cls(**{**values, **parts, "models": tuple(values["models"])})
