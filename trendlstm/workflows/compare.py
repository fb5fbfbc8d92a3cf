"""The LSTM beside other models on the same windows, and how far back the gradient of each network reaches.

In this order: `prepare`, `measure_gradients`, `train`, `measure_gradients` again, `assess`.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trendlstm.config import ALWAYS_COMPARED, CompareConfig, Match, NetworkConfig
from trendlstm.data.prices import PriceSet
from trendlstm.data.windows import Windows, make_windows
from trendlstm.evaluation.baselines import BASELINES
from trendlstm.evaluation.evidence import claim_p_value
from trendlstm.evaluation.metrics import StepMetrics, evaluate
from trendlstm.evaluation.significance import (
    LEVEL,
    Difference,
    TestResult,
    differences,
    holm,
    separation,
)
from trendlstm.nn.device import check_limits
from trendlstm.nn.gradient_flow import GradientFlow, gradient_flows, half_life, kept_per_step, ratio
from trendlstm.nn.history import History
from trendlstm.nn.many import fit_many
from trendlstm.nn.network import Network
from trendlstm.nn.parameters import parameter_shapes
from trendlstm.nn.progress import FitProgress
from trendlstm.workflows.forecast import Forecaster
from trendlstm.workflows.variants import KINDS, MODELS, VariantKind

T = TypeVar("T")
FloatArray = NDArray[np.float64]
State = Literal["initial", "trained"]  # before training, and with the weights that validation chose
STATES: tuple[State, ...] = ("initial", "trained")
JACOBIAN_SAMPLES = 32  # more of them would take longer than the training


@dataclass(frozen=True, eq=False)
class Variant:
    """One kind of network, with one network a seed; `train` changes their weights."""

    kind: VariantKind
    networks: tuple[Network, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is compared, before anything is measured.

    Attributes
    ----------
    config : CompareConfig
    prices : PriceSet
    windows : Windows
    variants : tuple of Variant
        All networks: every kind of `variants.KINDS` but those that are there only if they are compared, and are not.
    models : dict of str to Variant or None
        What is compared, by its name in `variants.MODELS`, "lstm" first; None for a baseline.
    seconds : float
        Wall time.
    """

    config: CompareConfig
    prices: PriceSet
    windows: Windows
    variants: tuple[Variant, ...]
    models: dict[str, Variant | None]
    seconds: float

    @property
    def recurrent(self) -> list[Variant]:
        """The rows of the gradient table: the feed-forward network has no steps for a gradient to go back through."""
        return [variant for variant in self.variants if variant.kind.cell != "ann"]

    @property
    def longest_lag(self) -> int:
        """Steps between the first state and the last, T - 1."""
        return self.windows.lag - 1


@dataclass(frozen=True, eq=False)
class LagProfile:
    """One quantity of a kind's gradient flows, summed up over its networks.

    Attributes
    ----------
    first : float
        Median of the value at lag 0.
    relative : ndarray (T,)
        Median of the value over that at lag 0.
    low, high : ndarray (T,)
        Smallest and largest of the same.
    half_life : float or None
        Median of `gradient_flow.half_life`; None if half of the networks never fall below one half.
    ratios, kept_per_step : tuple of float
        `gradient_flow.ratio` and `gradient_flow.kept_per_step` of every network.
    """

    first: float
    relative: FloatArray
    low: FloatArray
    high: FloatArray
    half_life: float | None
    ratios: tuple[float, ...]
    kept_per_step: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The value at the longest lag over that at lag 0, the median over networks."""
        return float(self.relative[-1])


@dataclass(frozen=True, eq=False)
class Gradients:
    """The gradient flows of all recurrent networks in one state.

    Attributes
    ----------
    flows : dict of str to list of GradientFlow
        By the kind's key, one a network; the Jacobian products of the first network alone.
    seconds : float
    """

    flows: dict[str, list[GradientFlow]]
    seconds: float

    def profile(self, key: str, quantity: str) -> LagProfile | None:
        """Sum up one quantity of `GradientFlow` over a kind's networks; None where no network has it.

        A network whose value at lag 0 is 0 is left out.
        """
        curves = [getattr(flow, quantity) for flow in self.flows[key]]
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
            tuple(kept_per_step(curve) or 0.0 for curve in curves),
        )

    def shares(self, key: str) -> tuple[float, ...]:
        """|dL/dh| at the longest lag over that at lag 0, of every network; empty where it is defined for none."""
        found = self.profile(key, "dloss_dh")
        return () if found is None else found.ratios


@dataclass(frozen=True, eq=False)
class Fits:
    """How training went: the histories by the kind's key, one a network, and the wall time of all."""

    histories: dict[str, list[History]]
    seconds: float


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
class Assessment:
    """How one kind of network, or one baseline, did on the test rows.

    Attributes
    ----------
    parameters : int
    seconds : float
        Of training one network, on one thread (the mean); of fitting and applying the baseline.
    predicted : ndarray (n, m)
        Closes, of the seeds' mean output.
    by_seed : tuple of ndarray (n, m)
        Closes of every network by itself; empty for a baseline.
    ensemble : list of StepMetrics
        Of `predicted`, one a step.
    singles : list of list of StepMetrics
        The same of every network by itself; a baseline has one entry.
    """

    parameters: int
    seconds: float
    predicted: FloatArray
    by_seed: tuple[FloatArray, ...]
    ensemble: list[StepMetrics]
    singles: list[list[StepMetrics]]

    def spread(self, measure: Callable[[StepMetrics], float | None], step: int = 1) -> Spread | None:
        """A measure over the seeds; None if it is not defined for any."""
        values = [measure(steps[step - 1]) for steps in self.singles]
        return Spread.of([value for value in values if value is not None])

    @property
    def rmse(self) -> float:
        """Of step 1, the mean over seeds, in the price's currency."""
        return float(np.mean([steps[0].rmse for steps in self.singles]))


class Claim(NamedTuple):
    """That a model knows more than persistence: the p-value of `claim_p_value`, and by Holm over the models."""

    p_value: float | None
    adjusted: float | None


@dataclass(frozen=True)
class Memory:
    """Which kind keeps most of the gradient after training, and what that is worth.

    Attributes
    ----------
    longest : str
        Key of the kind with the largest median of |dL/dh| at the longest lag over that at lag 0.
    peers : tuple of str
        Kinds whose shares are not all below all of its own, by `significance.separation`.
    differences : dict of str to Difference
        Of its one-step test errors from those of every other kind.
    """

    longest: str
    peers: tuple[str, ...]
    differences: dict[str, Difference]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that a comparison found.

    Attributes
    ----------
    prepared : Prepared
    gradients : dict of {"initial", "trained"} to Gradients
    fits : Fits
    kinds : dict of str to Assessment
        By the kind's key, in the order of `prepared.variants`.
    models : dict of str to Assessment
        By the model's name, in the order of `prepared.models`.
    claims : list of dict of str to Claim
        For each step: of every model but persistence and drift, which are what the claim is measured against.
    lstm_differences : list of dict of str to Difference
        For each step: of the LSTM's errors from every other model's but persistence's.
    memory : Memory
    seconds : dict of str to float
        Wall time of each part.
    """

    prepared: Prepared
    gradients: dict[State, Gradients]
    fits: Fits
    kinds: dict[str, Assessment]
    models: dict[str, Assessment]
    claims: list[dict[str, Claim]]
    lstm_differences: list[dict[str, Difference]]
    memory: Memory
    seconds: dict[str, float]

    def lstm_better(self, name: str, step: int) -> TestResult | None:
        """Diebold-Mariano of the LSTM against a model, both by the seeds' mean output; None for the LSTM itself."""
        if name == "persistence":
            return self.models["lstm"].ensemble[step - 1].diebold_mariano
        found = self.lstm_differences[step - 1].get(name)
        return None if found is None else found.test

    @property
    def better_than_persistence(self) -> list[str]:
        """The models for which there is evidence that they know more than persistence, after Holm."""
        return [
            name
            for name, claim in self.claims[0].items()
            if claim.adjusted is not None and claim.adjusted < LEVEL
        ]


def prepare(config: CompareConfig, prices: PriceSet) -> Prepared:
    """Windows and untrained networks: the LSTM of `config`, the baselines, and every row of the gradient table.

    Parameters
    ----------
    config : CompareConfig
    prices : PriceSet

    Returns
    -------
    Prepared

    Raises
    ------
    OptionError, DataError
        The settings do not fit each other or the prices.
    """
    start = time.perf_counter()
    train = config.train
    window, network = train.window, train.network
    compared = {
        name: _matched(network, own, config.match)
        for name in config.compared
        if (own := MODELS[name].settings) is not None
    }
    settings = {
        kind: _matched(network, kind.settings, config.match)
        for kind in KINDS
        if not kind.only_if_compared or kind.key in compared
    }
    if train.device == "cuda":
        for one in settings.values():
            check_limits(one, window.lag)
    windows = make_windows(
        prices.frame, window.lag, window.horizon, window.features, window.scaling, window.split
    )
    variants = {
        one: Variant(
            kind, tuple(Network.from_config(replace(one, seed=one.seed + k)) for k in range(train.seeds))
        )
        for kind, one in settings.items()
    }
    models = {name: variants[compared[name]] if name in compared else None for name in config.compared}
    return Prepared(config, prices, windows, tuple(variants.values()), models, time.perf_counter() - start)


def measure_gradients(prepared: Prepared, progress: Callable[[float], None] | None = None) -> Gradients:
    """Measure every recurrent network's gradient flow on the training windows, with the weights that it has now.

    Parameters
    ----------
    prepared : Prepared
    progress : callable, optional
        Told the share that is done.

    Returns
    -------
    Gradients
    """
    start = time.perf_counter()
    train, config = prepared.windows.train, prepared.config.train
    networks = [network for variant in prepared.recurrent for network in variant.networks]
    samples = [JACOBIAN_SAMPLES if k == 0 else 0 for _ in prepared.recurrent for k in range(config.seeds)]
    flows = gradient_flows(networks, train.x, train.y, samples, n_threads=config.threads, progress=progress)
    return Gradients(_by_kind(prepared.recurrent, flows), time.perf_counter() - start)


def train(prepared: Prepared, progress: Callable[[FitProgress], None] | None = None) -> Fits:
    """Fit all networks at once; validation chooses each one's epoch.

    Parameters
    ----------
    prepared : Prepared
        Its networks are trained in place.
    progress : callable, optional
        As in `fit_many`.

    Returns
    -------
    Fits

    Raises
    ------
    TrainingError, KeyboardInterrupt
        As `fit_many`.
    """
    start = time.perf_counter()
    windows, config = prepared.windows, prepared.config.train
    histories = fit_many(
        [network for variant in prepared.variants for network in variant.networks],
        windows.train.x,
        windows.train.y,
        validation=(windows.validation.x, windows.validation.y),
        n_threads=config.threads,
        device=config.device,
        progress=progress,
        **config.fit.to_dict(),
    )
    return Fits(_by_kind(prepared.variants, histories), time.perf_counter() - start)


def assess(prepared: Prepared, initial: Gradients, fits: Fits, trained: Gradients) -> Comparison:
    """Measure every model on the test rows, and test what differs.

    Parameters
    ----------
    prepared : Prepared
        With trained networks.
    initial, trained : Gradients
        Measured before and after training.
    fits : Fits

    Returns
    -------
    Comparison
    """
    start = time.perf_counter()
    kinds = {
        variant.kind.key: _assess_networks(prepared, variant, fits.histories[variant.kind.key])
        for variant in prepared.variants
    }
    models = {
        name: _assess_baseline(prepared.windows, name) if variant is None else kinds[variant.kind.key]
        for name, variant in prepared.models.items()
    }
    steps = range(prepared.windows.horizon)
    claims = [_claims(models, step) for step in steps]
    rivals = {name: model for name, model in models.items() if name not in ("lstm", "persistence")}
    lstm_differences = [_differences(prepared, models["lstm"], rivals, step) for step in steps]
    memory = _memory(prepared, trained, kinds)
    seconds = {
        "prepare": prepared.seconds,
        "gradients_initial": initial.seconds,
        "fit": fits.seconds,
        "gradients_trained": trained.seconds,
        "assess": time.perf_counter() - start,
    }
    gradients: dict[State, Gradients] = {"initial": initial, "trained": trained}
    return Comparison(prepared, gradients, fits, kinds, models, claims, lstm_differences, memory, seconds)


def predictions(comparison: Comparison) -> pd.DataFrame:
    """Every prediction of the test rows.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    DataFrame
        origin, date, step, model, seed, actual, prediction: one row for each origin, step, model and seed. `model` is
        the name of what is compared, or else the key of the kind of network. `seed` is that of one network, or
        "ensemble" for the closes of their mean output, and for baselines.
    """
    prepared = comparison.prepared
    test, dates, horizon = prepared.windows.test, prepared.windows.dates, prepared.windows.horizon
    origins = np.repeat(test.origins, horizon)
    step = np.tile(np.arange(1, horizon + 1), len(test.origins))
    rows = {"origin": dates[origins], "date": dates[origins + step], "step": step}
    compared = {variant.kind.key for variant in prepared.models.values() if variant is not None}
    others = {key: one for key, one in comparison.kinds.items() if key not in compared}
    first_seed = prepared.config.train.network.seed
    parts = []
    for name, one in {**comparison.models, **others}.items():
        for seed, predicted in (("ensemble", one.predicted), *enumerate(one.by_seed, start=first_seed)):
            closes = {"actual": test.actual.reshape(-1), "prediction": predicted.reshape(-1)}
            parts.append(pd.DataFrame({**rows, "model": name, "seed": str(seed), **closes}))
    return pd.concat(parts, ignore_index=True)


def _by_kind(variants: Sequence[Variant], results: Sequence[T]) -> dict[str, list[T]]:
    """What was found for all networks, one after the other, by the kind's key."""
    found = iter(results)
    return {variant.kind.key: [next(found) for _ in variant.networks] for variant in variants}


def _assess_networks(prepared: Prepared, variant: Variant, histories: Sequence[History]) -> Assessment:
    windows, test = prepared.windows, prepared.windows.test
    learned_until = windows.dates[windows.train_rows - 1].date().isoformat()
    forecaster = Forecaster(
        variant.networks,
        windows.scaler,
        windows.lag,
        windows.horizon,
        learned_until,
        prepared.config.train.threads,
    )
    by_seed = tuple(one.predict(test.x, test.anchors) for one in forecaster.single())
    predicted = forecaster.predict(test.x, test.anchors)
    return Assessment(
        parameters=variant.networks[0].num_params,
        seconds=float(np.mean([history.seconds for history in histories])),
        predicted=predicted,
        by_seed=by_seed,
        ensemble=evaluate(test.anchors, test.actual, predicted),
        singles=[evaluate(test.anchors, test.actual, closes) for closes in by_seed],
    )


def _assess_baseline(windows: Windows, name: str) -> Assessment:
    start = time.perf_counter()
    predicted = BASELINES[name](windows)["test"]
    seconds = time.perf_counter() - start
    inputs = windows.lag * len(windows.features)
    parameters = {"persistence": 0, "drift": 1, "ridge": (inputs + 1) * windows.horizon}[name]
    ensemble = evaluate(windows.test.anchors, windows.test.actual, predicted)
    return Assessment(parameters, seconds, predicted, (), ensemble, [ensemble])


def _claims(models: dict[str, Assessment], step: int) -> dict[str, Claim]:
    """Of every model that could know something, `step` counted from 0."""
    drift = models["drift"].ensemble[step]
    found = {
        name: claim_p_value(model.ensemble[step], drift)
        for name, model in models.items()
        if name not in ALWAYS_COMPARED
    }
    adjusted = holm(list(found.values()))
    return {
        name: Claim(p_value, by_holm)
        for (name, p_value), by_holm in zip(found.items(), adjusted, strict=True)
    }


def _differences(
    prepared: Prepared, one: Assessment, others: dict[str, Assessment], step: int
) -> dict[str, Difference]:
    """Of one's errors from the others', `step` counted from 0."""
    closes = {name: other.predicted[:, step] for name, other in others.items()}
    return differences(prepared.windows.test.actual[:, step], one.predicted[:, step], closes, step + 1)


def _memory(prepared: Prepared, trained: Gradients, kinds: dict[str, Assessment]) -> Memory:
    shares = {variant.kind.key: trained.shares(variant.kind.key) for variant in prepared.recurrent}
    longest = max(shares, key=lambda key: np.median(shares[key]) if shares[key] else 0.0)
    others = {key: kinds[key] for key in shares if key != longest}
    peers = tuple(key for key in others if separation(shares[longest], shares[key]) <= 0)
    return Memory(longest, peers, _differences(prepared, kinds[longest], others, 0))


def _matched(lstm: NetworkConfig, own: Mapping[str, Any], match: Match) -> NetworkConfig:
    """The LSTM's settings but for a network's own, with its hidden units or as nearly as can be its parameters.

    Of a network with fewer layers the hidden units are those of the LSTM's lowest ones. To match the parameters all
    layers grow or shrink together.
    """
    sizes = lstm.hidden_sizes[: own.get("layers", lstm.layers)]

    def sized(first: int) -> NetworkConfig:
        scaled = tuple(max(1, round(first * size / sizes[0])) for size in sizes)
        return replace(lstm, hidden_size=scaled, **own)

    if match == "hidden":
        return sized(sizes[0])
    target = _parameters(lstm)
    low, high = 1, 2  # the number grows with the hidden units
    while _parameters(sized(high)) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _parameters(sized(middle)) < target else (low, middle)
    return min(map(sized, (low, high)), key=lambda one: abs(_parameters(one) - target))


def _parameters(network: NetworkConfig) -> int:
    return sum(map(math.prod, parameter_shapes(network).values()))
