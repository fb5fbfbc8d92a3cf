"""The LSTM beside other models on the same windows, and how far back the gradient of each network reaches.

Filled from top to bottom: `prepare`, `measure_gradients`, `train`, `measure_gradients` again, `assess`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trendlstm.config import COMPARED, INITS, MATCHES, Cell, NetworkConfig, TrainConfig
from trendlstm.data.prices import PriceSet
from trendlstm.data.windows import Windows, make_windows
from trendlstm.errors import OptionError
from trendlstm.evaluation.baselines import persistence, ridge
from trendlstm.evaluation.metrics import StepMetrics, evaluate
from trendlstm.evaluation.significance import TestResult, diebold_mariano
from trendlstm.nn.device import check_limits
from trendlstm.nn.gradient_flow import GradientFlow, gradient_flows, half_life, ratio
from trendlstm.nn.history import History
from trendlstm.nn.many import fit_many
from trendlstm.nn.network import Network
from trendlstm.nn.progress import FitProgress
from trendlstm.workflows.forecast import Forecaster

FloatArray = NDArray[np.float64]
STATES = ("initial", "trained")  # before training, and with the weights that validation chose
JACOBIAN_SAMPLES = 32  # more of them would take longer than the training
LEAST_LAG = 3  # of chrono biases


@dataclass(eq=False)
class Variant:
    """One network setting, trained with every seed.

    Attributes
    ----------
    name : str
        In the gradient table, e.g. "RNN, uniform".
    networks : tuple of Network
        One a seed.
    histories : list of History
        One a network, after training.
    flows : dict of str to list of GradientFlow
        By state, "initial" and "trained", one a network; the Jacobian products of the first network alone. Empty for
        the feed-forward network, which has no steps.
    test_rmse : float
        Of step 1 on the test rows, the mean over networks, in the price's currency.
    """

    name: str
    networks: tuple[Network, ...]
    histories: list[History] = field(default_factory=list)
    flows: dict[str, list[GradientFlow]] = field(default_factory=dict)
    test_rmse: float = np.nan

    @property
    def is_recurrent(self) -> bool:
        """Whether it has steps for a gradient to go back through."""
        return self.networks[0].config.cell != "ann"


@dataclass(frozen=True, eq=False)
class Assessment:
    """How one model did on the test rows.

    Attributes
    ----------
    variant : Variant or None
        None for persistence and ridge.
    parameters : int
    seconds : float
        Of training one network, on one thread (the mean); of fitting the ridge.
    predicted : ndarray (n, m)
        Closes, of the seeds' mean output.
    ensemble : list of StepMetrics
        Of `predicted`, one a step; the Diebold-Mariano test is against persistence.
    singles : list of list of StepMetrics
        The same of every seed by itself; persistence and ridge have one entry.
    lstm_better : list of TestResult or None
        Diebold-Mariano of the LSTM against this model, both by the seeds' mean output; None for the LSTM itself.
    """

    variant: Variant | None
    parameters: int
    seconds: float
    predicted: FloatArray
    ensemble: list[StepMetrics]
    singles: list[list[StepMetrics]]
    lstm_better: list[TestResult] | None

    def spread(self, measure: Callable[[StepMetrics], float | None], step: int = 1) -> "Spread | None":
        """A measure over the seeds; None if it is not defined for any."""
        values = [measure(steps[step - 1]) for steps in self.singles]
        return Spread.of([value for value in values if value is not None])


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (ddof 1, None for one value) over seeds, and the values."""

    mean: float
    sd: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Of some values; None if there are none."""
        if not values:
            return None
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), sd, tuple(values))


@dataclass(frozen=True, eq=False)
class LagProfile:
    """One quantity of a variant's gradient flows, summed up over its networks.

    Attributes
    ----------
    first : float
        Median of the value at lag 0.
    relative : ndarray (T,)
        Median of the value over that at lag 0.
    low, high : ndarray (T,)
        Smallest and largest of the same.
    half_life : float or None
        Median of `gradients.half_life`; None if half of the networks never fall below one half.
    ratios : tuple of float
        `gradients.ratio` of every network.
    """

    first: float
    relative: FloatArray
    low: FloatArray
    high: FloatArray
    half_life: float | None
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The value at the longest lag over that at lag 0, the median over networks."""
        return float(self.relative[-1])


@dataclass(eq=False)
class Comparison:
    """Everything that a comparison found.

    Attributes
    ----------
    config : TrainConfig
        Its network is the LSTM's.
    match : {"hidden", "params"}
    provenance : dict
        Where the prices came from, as in `load_prices`.
    windows : Windows
    variants : list of Variant
        All networks: the rows of the gradient table, and the feed-forward network if it is compared.
    models : dict of str to Variant or None
        What is compared, by its name on the command line, "lstm" first.
    assessments : dict of str to Assessment
        By the same names.
    seconds : dict
        Wall time of each part.
    """

    config: TrainConfig
    match: str
    provenance: dict[str, Any]
    windows: Windows
    variants: list[Variant]
    models: dict[str, Variant | None]
    assessments: dict[str, Assessment] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def recurrent(self) -> list[Variant]:
        """The rows of the gradient table."""
        return [variant for variant in self.variants if variant.is_recurrent]

    @property
    def longest_lag(self) -> int:
        """Steps between the first state and the last, T - 1."""
        return self.windows.lag - 1


def prepare(config: TrainConfig, baselines: Sequence[str], match: str, prices: PriceSet) -> Comparison:
    """Windows and untrained networks: the LSTM of `config`, the baselines, and every row of the gradient table.

    Parameters
    ----------
    config : TrainConfig
        `network` is the LSTM's; the others differ from it in cell, initial values and, by `match`, hidden units.
    baselines : sequence of str
        Of `COMPARED`; persistence is always there.
    match : {"hidden", "params"}
        What the networks share with the LSTM: the hidden units, or (as nearly as can be) the number of parameters.
    prices : PriceSet

    Returns
    -------
    Comparison

    Raises
    ------
    OptionError, DataError
        The settings do not fit each other or the prices.
    """
    for name in baselines:
        if name not in COMPARED:
            raise OptionError(f"unknown baseline {name!r}: choose among {', '.join(COMPARED)}.")
    if match not in MATCHES:
        raise OptionError(f"match must be one of {', '.join(MATCHES)}, but is {match!r}.")
    if config.network.cell != "lstm":
        raise OptionError(
            f"a comparison is of the cell 'lstm' with others, but the cell is {config.network.cell!r}."
        )
    if not config.network.bias:
        raise OptionError(
            "a comparison needs biases: some of its LSTMs differ in those of the forget gate alone."
        )
    if config.window.lag < LEAST_LAG:
        raise OptionError(
            f"a comparison needs a lag of at least {LEAST_LAG}, but it is {config.window.lag}: with fewer steps there "
            "is nothing to forget."
        )
    window, network = config.window, config.network
    kinds: list[Cell] = ["lstm", "rnn", "lstm1997"]
    if "ann" in baselines:
        kinds.append("ann")
    cells = {
        cell: replace(network, cell=cell, hidden_size=_hidden_size(network, cell, match)) for cell in kinds
    }
    if config.device == "cuda":
        for one in cells.values():
            check_limits(one, window.lag)
    windows = make_windows(
        prices.frame, window.lag, window.horizon, window.features, window.scaling, window.split
    )
    # the slowest to train first, so that no thread is left with one at the end
    settings = {
        **{
            f"LSTM, {'chrono' if bias == 'chrono' else f'forget bias {bias}'}": replace(
                network, forget_bias=bias
            )
            for bias in (0, 1, "chrono")
        },
        "LSTM 1997": cells["lstm1997"],
        **{f"RNN, {init}": replace(cells["rnn"], init=init) for init in reversed(INITS)},
        **({"ANN": cells["ann"]} if "ann" in cells else {}),
    }
    variants = {
        name: Variant(
            name, tuple(Network.from_config(replace(one, seed=one.seed + k)) for k in range(config.seeds))
        )
        for name, one in settings.items()
    }
    by_setting = {one: variants[name] for name, one in settings.items()}
    names = dict.fromkeys(("lstm", *baselines, "persistence"))
    models = {name: by_setting[cells[name]] if name in cells else None for name in names}
    return Comparison(config, match, prices.provenance.to_dict(), windows, list(variants.values()), models)


def measure_gradients(
    comparison: Comparison, state: str, progress: Callable[[float], None] | None = None
) -> None:
    """Measure every recurrent network's gradient flow on the training windows.

    Parameters
    ----------
    comparison : Comparison
    state : {"initial", "trained"}
        What the networks are now.
    progress : callable, optional
        Told the share that is done.
    """
    start = time.perf_counter()
    variants, train_split = comparison.recurrent, comparison.windows.train
    samples = [JACOBIAN_SAMPLES if k == 0 else 0 for _ in variants for k in range(comparison.config.seeds)]
    networks = [network for variant in variants for network in variant.networks]
    threads = comparison.config.threads
    flows = iter(
        gradient_flows(networks, train_split.x, train_split.y, samples, n_threads=threads, progress=progress)
    )
    for variant in variants:
        variant.flows[state] = [next(flows) for _ in variant.networks]
    comparison.seconds[f"gradients_{state}"] = time.perf_counter() - start


def train(comparison: Comparison, progress: Callable[[FitProgress], None] | None = None) -> None:
    """Fit all networks at once; validation chooses each one's epoch.

    Raises
    ------
    TrainingError, KeyboardInterrupt
        As `fit_many`.
    """
    start = time.perf_counter()
    windows, config = comparison.windows, comparison.config
    histories = iter(
        fit_many(
            [network for variant in comparison.variants for network in variant.networks],
            windows.train.x,
            windows.train.y,
            validation=(windows.validation.x, windows.validation.y),
            n_threads=config.threads,
            device=config.device,
            progress=progress,
            **config.fit.to_dict(),
        )
    )
    for variant in comparison.variants:
        variant.histories = [next(histories) for _ in variant.networks]
    comparison.seconds["fit"] = time.perf_counter() - start


def assess(comparison: Comparison) -> None:
    """Measure every model on the test rows."""
    start = time.perf_counter()
    windows = comparison.windows
    test = windows.test

    def measure(predicted: FloatArray) -> list[StepMetrics]:
        return evaluate(test.anchors, test.actual, predicted)

    def forecaster(variant: Variant) -> Forecaster:
        learned_until = windows.dates[windows.train_rows - 1].date().isoformat()
        threads = comparison.config.threads
        return Forecaster(
            variant.networks, windows.scaler, windows.lag, windows.horizon, learned_until, threads
        )

    singles = {}
    for variant in comparison.variants:
        ones = forecaster(variant).single()
        singles[variant.name] = [measure(one.predict(test.x, test.anchors)) for one in ones]
        variant.test_rmse = float(np.mean([steps[0].rmse for steps in singles[variant.name]]))

    lstm: FloatArray | None = None
    for name, model in comparison.models.items():
        if model is not None:
            predicted = forecaster(model).predict(test.x, test.anchors)
            parameters = model.networks[0].num_params
            seconds = float(np.mean([history.seconds for history in model.histories]))
        else:
            began = time.perf_counter()
            predicted = (ridge if name == "ridge" else persistence)(windows)["test"]
            seconds = time.perf_counter() - began
            inputs = windows.lag * len(windows.features)
            parameters = (inputs + 1) * windows.horizon if name == "ridge" else 0
        ensemble = measure(predicted)
        lstm_better = None
        if lstm is None:  # the LSTM comes first
            lstm = predicted
        else:
            pairs = zip(test.actual.T, lstm.T, predicted.T, strict=True)
            lstm_better = [diebold_mariano(*closes, step) for step, closes in enumerate(pairs, start=1)]
        comparison.assessments[name] = Assessment(
            model,
            parameters,
            seconds,
            predicted,
            ensemble,
            [ensemble] if model is None else singles[model.name],
            lstm_better,
        )
    comparison.seconds["assess"] = time.perf_counter() - start


def profile(variant: Variant, state: str, quantity: str) -> LagProfile | None:
    """Sum up one quantity of `GradientFlow` over a variant's networks; None where no network has it.

    A network whose value at lag 0 is 0 is left out.
    """
    curves = [getattr(flow, quantity) for flow in variant.flows[state]]
    curves = [curve for curve in curves if curve is not None and curve[0] > 0]
    if not curves:
        return None
    relative = np.stack([curve / curve[0] for curve in curves])
    lives = [half_life(curve) for curve in curves]
    life = float(np.median([np.inf if one is None else one for one in lives]))
    return LagProfile(
        float(np.median([curve[0] for curve in curves])),
        np.median(relative, axis=0),
        relative.min(axis=0),
        relative.max(axis=0),
        life if np.isfinite(life) else None,
        tuple(ratio(curve) or 0.0 for curve in curves),
    )


def _hidden_size(lstm: NetworkConfig, cell: Cell, match: str) -> int:
    """The hidden units of a cell: the LSTM's, or those with the number of parameters nearest to the LSTM's."""
    if match == "hidden" or cell == "lstm":
        return lstm.hidden_size

    def parameters(cell: Cell, hidden_size: int) -> int:
        # uniform: any initial values do, and these take no time
        return Network.from_config(
            replace(lstm, cell=cell, hidden_size=hidden_size, init="uniform")
        ).num_params

    target = parameters("lstm", lstm.hidden_size)
    low, high = 1, 2  # the number grows with the hidden units
    while parameters(cell, high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(cell, middle) < target else (low, middle)
    return min((low, high), key=lambda size: abs(parameters(cell, size) - target))
