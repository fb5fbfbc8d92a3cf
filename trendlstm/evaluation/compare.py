"""The LSTM beside other models on the same windows, and how far back the gradient of each network reaches.

Filled from top to bottom: `prepare`, `measure_gradients`, `train`, `measure_gradients` again, `assess`.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import __version__
from ..atomic import replace_file
from ..config import COMPARED, INITS, MATCHES, NetworkConfig, TrainConfig
from ..cuda import check_limits, describe_device
from ..data.windows import Windows, make_windows
from ..errors import OptionError
from ..forecasting import Forecaster
from ..gradients import QUANTITIES, GradientFlow, gradient_flows, half_life, ratio
from ..jsonable import jsonable
from ..network import Network
from ..training import History, Progress, fit_many
from .baselines import persistence, ridge
from .metrics import StepMetrics, evaluate
from .significance import LEVEL, TestResult, claims_evidence, diebold_mariano

FloatArray = NDArray[np.float64]

STATES = ("initial", "trained")  # before training, and with the weights that validation chose
NAMES = {"lstm": "LSTM", "rnn": "RNN", "ann": "ANN", "lstm1997": "LSTM 1997"}

JACOBIAN_SAMPLES = 32  # more of them would take longer than the training
LEAST_LAG = 3  # of chrono biases

TEXTBOOK_RNN, ORTHOGONAL_RNN = "RNN, uniform", "RNN, orthogonal"
DEFAULT_LSTM, CHRONO_LSTM = "LSTM, forget bias 1", "LSTM, chrono"
_PHRASES = {
    "LSTM, forget bias 0": "the LSTM with forget bias 0",
    "LSTM, forget bias 1": "the LSTM with forget bias 1",
    "LSTM, chrono": "the LSTM with chrono biases",
    "LSTM 1997": "the LSTM of 1997",
    **{f"RNN, {init}": f"the RNN with {init} weights" for init in INITS},
}


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
    conclusions : list of str
        Three sentences.
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
    conclusions: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def recurrent(self) -> list[Variant]:
        """The rows of the gradient table."""
        return [variant for variant in self.variants if variant.is_recurrent]

    @property
    def longest_lag(self) -> int:
        """Steps between the first state and the last, T - 1."""
        return self.windows.lag - 1


def prepare(config: TrainConfig, baselines: Sequence[str], match: str, prices: pd.DataFrame) -> Comparison:
    """Windows and untrained networks: the LSTM of `config`, the baselines, and every row of the gradient table.

    Parameters
    ----------
    config : TrainConfig
        `network` is the LSTM's; the others differ from it in cell, initial values and, by `match`, hidden units.
    baselines : sequence of str
        Of `COMPARED`; persistence is always there.
    match : {"hidden", "params"}
        What the networks share with the LSTM: the hidden units, or (as nearly as can be) the number of parameters.
    prices : DataFrame
        From `load_prices`.

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
    cells = {
        cell: replace(network, cell=cell, hidden_size=_hidden_size(network, cell, match))
        for cell in ("lstm", "rnn", "lstm1997", *(["ann"] if "ann" in baselines else []))
    }
    if config.device == "cuda":
        for one in cells.values():
            check_limits(one, window.lag)
    windows = make_windows(prices, window.lag, window.horizon, window.features, window.scaling, window.split)
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
    provenance = prices.attrs["provenance"]
    return Comparison(config, match, provenance, windows, list(variants.values()), models)


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


def train(comparison: Comparison, progress: Callable[[Progress], None] | None = None) -> None:
    """Fit all networks at once; validation chooses each one's epoch.

    Raises
    ------
    TrainingError, KeyboardInterrupt
        As `training.fit_many`.
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
    """Measure every model on the test rows and draw the conclusions."""
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
    comparison.conclusions = conclusions(comparison)
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


def conclusions(comparison: Comparison) -> list[str]:
    """Three sentences: who predicts better, who forgets before training, and who afterwards.

    Returns
    -------
    list of str
        Worded by the figures of `comparison` alone.
    """
    return [_on_errors(comparison), _before_training(comparison), _after_training(comparison)]


def _on_errors(comparison: Comparison) -> str:
    found = comparison.assessments
    n = found["lstm"].ensemble[0].n
    errors = {name: float(np.mean([steps[0].rmse for steps in one.singles])) for name, one in found.items()}
    best = min(errors, key=lambda name: errors[name])
    better = [
        display_name(name)
        for name, one in found.items()
        if claims_evidence(one.ensemble[0].skill, one.ensemble[0].diebold_mariano)
    ]
    beaten = [
        display_name(name)
        for name, one in found.items()
        if one.lstm_better and one.lstm_better[0].p_value is not None and one.lstm_better[0].p_value < LEVEL
    ]
    others = ", ".join(f"{display_name(name)} {error:,.4g}" for name, error in errors.items() if name != best)
    against = f"{_listed(better)} {'beats' if len(better) == 1 else 'beat'}" if better else "no model beats"
    versus = _listed(beaten) if beaten else "none of the others"
    return (
        f"On {n} test day{'' if n == 1 else 's'} {display_name(best)} has the smallest one-step RMSE, "
        f"{errors[best]:,.4g} ({others}); by the Diebold-Mariano test (p < {LEVEL}) {against} persistence (tomorrow = "
        f"today), and the LSTM beats {versus}."
    )


def _before_training(comparison: Comparison) -> str:
    kept = _ratios(comparison, "initial")
    textbook, chrono = kept[TEXTBOOK_RNN], kept[CHRONO_LSTM]
    orthogonal, default = kept[ORTHOGONAL_RNN], kept[DEFAULT_LSTM]
    return (
        f"Before training, {comparison.longest_lag} steps back |dL/dh| is {textbook:.2g} of what it is at the last "
        f"step in the RNN with uniform weights and {chrono:.2g} in the LSTM with chrono biases, "
        f"{'as the textbook says' if textbook < chrono else 'which is not what the textbook says'}; "
        f"{'and' if orthogonal < default else 'but'} the RNN with orthogonal weights ({orthogonal:.2g}) forgets "
        f"{_than(orthogonal, default)} the LSTM with forget bias 1 ({default:.2g})."
    )


def _after_training(comparison: Comparison) -> str:
    before, after = _ratios(comparison, "initial"), _ratios(comparison, "trained")
    longest = max(after, key=lambda name: after[name])
    errors = {variant.name: variant.test_rmse for variant in comparison.recurrent}
    best = min(errors, key=lambda name: errors[name])
    changes = " and ".join(
        f"from {before[name]:.2g} to {after[name]:.2g} in {_PHRASES[name]}"
        for name in (DEFAULT_LSTM, ORTHOGONAL_RNN)
    )
    if best == longest:
        forecast = (
            "and has the smallest test error: on these prices the longest memory gave the best forecast"
        )
    else:
        forecast = (
            f"but {_PHRASES[best]} ({after[best]:.2g}) has the smallest test error: on these prices the longest memory "
            "did not give the best forecast"
        )
    return (
        f"Training took this share {changes}; of all {len(after)} kinds {_PHRASES[longest]} now keeps most "
        f"({after[longest]:.2g}), {forecast}. The long-lag tasks (trendlstm reproduce) test memory itself."
    )


def _ratios(comparison: Comparison, state: str) -> dict[str, float]:
    """The median of |dL/dh| at the longest lag over the last step's, by variant; NaN where it is not defined."""
    profiles = {variant.name: profile(variant, state, "dloss_dh") for variant in comparison.recurrent}
    return {name: np.nan if one is None else one.ratio for name, one in profiles.items()}


def display_name(model: str) -> str:
    """How tables and figures call a model."""
    return NAMES.get(model, model)


def _than(one: float, other: float) -> str:
    return "as much as" if one == other else f"{'less' if one > other else 'more'} than"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _hidden_size(lstm: NetworkConfig, cell: str, match: str) -> int:
    """The hidden units of a cell: the LSTM's, or those with the number of parameters nearest to the LSTM's."""
    if match == "hidden" or cell == "lstm":
        return lstm.hidden_size

    def parameters(cell: str, hidden_size: int) -> int:
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


def write_comparison(folder: Path, comparison: Comparison) -> dict[str, Any]:
    """Write `compare.json` and `compare.csv`, a row for each model and step, into an existing folder.

    Returns
    -------
    dict
        The content of `compare.json`.
    """
    document = jsonable(_describe(comparison))
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    replace_file(folder / "compare.json", lambda file: file.write(text.encode()))
    table = _table(comparison).to_csv(index=False, lineterminator="\n")
    replace_file(folder / "compare.csv", lambda file: file.write(table.encode()))
    return document


_MEASURES: dict[str, Callable[[StepMetrics], float | None]] = {
    "rmse": lambda steps: steps.rmse,
    "mae": lambda steps: steps.mae,
    "skill": lambda steps: steps.skill,
    "hit_rate": lambda steps: steps.hit_rate.rate,
}


def _table(comparison: Comparison) -> pd.DataFrame:
    rows = []
    for name, one in comparison.assessments.items():
        for step, together in enumerate(one.ensemble, start=1):
            row: dict[str, Any] = {"model": name, "step": step}
            for measure, of in _MEASURES.items():
                spread = one.spread(of, step)
                row |= {measure: spread and spread.mean, f"{measure}_sd": spread and spread.sd}
            rows.append(
                row
                | {
                    "dm_p_against_persistence": together.diebold_mariano.p_value,
                    "dm_p_of_lstm_against_it": one.lstm_better[step - 1].p_value if one.lstm_better else None,
                    "parameters": one.parameters,
                    "seconds": one.seconds,
                }
            )
    return pd.DataFrame(rows)


def _describe(comparison: Comparison) -> dict[str, Any]:
    return {
        "trendlstm": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": describe_device(comparison.config.device),
        "settings": {
            **comparison.config.to_dict(), "baselines": list(comparison.models)[1:], "match": comparison.match
        },
        "provenance": comparison.provenance,
        "samples": {split.name: len(split.anchors) for split in comparison.windows.splits},
        "models": {
            name: {
                "network": one.variant and one.variant.networks[0].config.to_dict(),
                "parameters": one.parameters,
                "seconds": one.seconds,
                "steps": [
                    {
                        "step": step,
                        **{measure: asdict(spread) if (spread := one.spread(of, step)) else None
                           for measure, of in _MEASURES.items()},
                        "ensemble": together.to_dict(),
                        "lstm_better": asdict(one.lstm_better[step - 1]) if one.lstm_better else None,
                    }
                    for step, together in enumerate(one.ensemble, start=1)
                ],
            }
            for name, one in comparison.assessments.items()
        },
        "gradients": {
            variant.name: {
                "network": variant.networks[0].config.to_dict(),
                "test_rmse": variant.test_rmse,
                "best_epochs": [history.best_epoch + 1 for history in variant.histories],
                **{
                    state: {quantity: _describe_profile(profile(variant, state, quantity)) for quantity in QUANTITIES}
                    for state in STATES
                },
            }
            for variant in comparison.recurrent
        },
        "conclusions": comparison.conclusions,
        "seconds": comparison.seconds,
    }  # fmt: skip


def _describe_profile(one: LagProfile | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "at_last_step": one.first,
        "relative": one.relative,
        "half_life": one.half_life,
        "ratio": one.ratio,
        "ratio_by_seed": one.ratios,
    }
