"""The main job: from prices to trained networks, their figures beside the baselines, and a forecast.

`prepare` makes the windows and the untrained networks, `run` does the rest; `train` is both in one call. The stages of
`run`, each of which returns an object of its own: `fit_networks`, `assess`, `fit_on_all_rows`, `forecast_next`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.config import NetworkConfig, TrainConfig
from trendlstm.data.frames import price_set
from trendlstm.data.prices import PriceSet
from trendlstm.data.windows import Windows, all_samples, make_windows
from trendlstm.errors import DataError, OptionError, TrainingError
from trendlstm.evaluation.baselines import BASELINES, Ridge
from trendlstm.evaluation.distributions import DistributionMetrics, QuantileBand
from trendlstm.evaluation.evidence import claims_evidence, verdict
from trendlstm.evaluation.intervals import Band
from trendlstm.evaluation.metrics import (
    HIT_RATE_COLUMNS,
    PathMetrics,
    StepMetrics,
    evaluate,
    evaluate_path,
    rmse,
)
from trendlstm.nn.device import check_fit, check_limits
from trendlstm.nn.history import History
from trendlstm.nn.many import fit_many
from trendlstm.nn.network import Network
from trendlstm.nn.progress import FitProgress, Report, reporter
from trendlstm.nn.training import train as train_jobs
from trendlstm.notebook import Table, as_html
from trendlstm.workflows.forecast import (
    Forecaster,
    assess_distributions,
    days_to_forecast,
    forecast_next,
    make_bands,
)

# Given the name of a stage and its number of epochs, gives what is told how far the stage has come.
Stages = Callable[[str, int], AbstractContextManager[Callable[[FitProgress], None] | None]]


@contextmanager
def silent(name: str, epochs: int) -> Iterator[None]:
    """`Stages` that nobody watches."""
    yield None


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is to be trained, and on what.

    Attributes
    ----------
    config : TrainConfig
    prices : PriceSet
    windows : Windows
    networks : tuple of Network
        Untrained.
    seconds : float
        Wall time.
    """

    config: TrainConfig
    prices: PriceSet
    windows: Windows
    networks: tuple[Network, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Trained:
    """Networks that have learned the training rows.

    Attributes
    ----------
    prepared : Prepared
    forecaster : Forecaster
        Those networks that finished an epoch.
    histories : tuple of History
        One a network.
    seconds : float
        Wall time.
    """

    prepared: Prepared
    forecaster: Forecaster
    histories: tuple[History, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Assessment:
    """How good trained networks are, beside the baselines.

    Attributes
    ----------
    predictions : DataFrame
        origin, date, step, actual, prediction, recursive, split: one row per origin and step. Of predicted
        distributions also low and high, their outer quantiles, and q0.25, ..., those between.
    metrics : dict
        metrics[split][model] is a list of `StepMetrics`, one a step; models "model" and the baselines.
    spread : dict
        For an ensemble: spread[split] is the standard deviation (ddof 1) over its networks of the step-1 RMSE.
    ridge_alpha : float
        The penalty that validation chose for the baseline ridge; infinity is the mean of the training targets.
    recursive_metrics : dict
        Of the recursive forecast on the test rows: "recursive", and "flat", the last training close kept; empty if
        there is no such forecast.
    verdict : str
        What the test rows say; see `evaluation.evidence`.
    evidence : bool
        Whether they are evidence that the model knows more than persistence.
    distributions : list of DistributionMetrics
        See `forecast.assess_distributions`; empty unless the loss is of distributions.
    bands : list of Band or QuantileBand
        See `forecast.make_bands`; of predicted distributions between their outer quantiles.
    seconds : float
        Wall time.
    """

    predictions: pd.DataFrame
    metrics: dict[str, dict[str, list[StepMetrics]]]
    spread: dict[str, float]
    ridge_alpha: float
    recursive_metrics: dict[str, PathMetrics]
    verdict: str
    evidence: bool
    distributions: list[DistributionMetrics]
    bands: list[Band] | list[QuantileBand]
    seconds: float


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Everything that one training run found.

    Attributes
    ----------
    config : TrainConfig
    prices : PriceSet
    windows : Windows
    status : {"finished", "interrupted", "diverged"}
        How it ended. What came after the end is None.
    failure : str
        Why training diverged, as a sentence; else empty.
    forecaster : Forecaster
        Trained on the training rows; all figures are its.
    histories : tuple of History
        One a network.
    assessment : Assessment or None
    final : Forecaster or None
        Trained on all rows (`TrainConfig.final_fit`); forecasts are its if there is one.
    forecast : DataFrame or None
        See `forecast.forecast_table`.
    seconds : dict
        Wall time of each stage.
    """

    config: TrainConfig
    prices: PriceSet
    windows: Windows
    status: str
    failure: str
    forecaster: Forecaster
    histories: tuple[History, ...]
    assessment: Assessment | None
    final: Forecaster | None
    forecast: pd.DataFrame | None
    seconds: dict[str, float]

    def __repr__(self) -> str:
        said = self.assessment.verdict if self.assessment else self.failure
        return f"<Result: {self.config.data.ticker}, {self.status}{f'; {said}' if said else ''}>"

    def _repr_html_(self) -> str:
        return as_html(
            f"{self.config.data.ticker}: training {self.status}",
            self.failure,
            self.assessment.verdict if self.assessment else "",
            errors_table(self.metrics),
            Table("Forecast", pd.DataFrame() if self.forecast is None else self.forecast),
        )

    @property
    def metrics(self) -> pd.DataFrame:
        """How far off predictions were: one row per split, model and step; no rows if training ended early.

        The columns are split, model ("model" is the trained one), step, n, rmse, mae (in the price's currency), mape
        (percent), skill, hit_rate, hit_rate_low, hit_rate_high (shares), correlation, and the p-values
        diebold_mariano_p, clark_west_p, pesaran_timmermann_p and correlation_p; see `StepMetrics`. Only those of the
        test rows can support a claim.
        """
        return metrics_table(self.assessment.metrics if self.assessment else {})


def metrics_table(metrics: Mapping[str, Mapping[str, Sequence[StepMetrics]]]) -> pd.DataFrame:
    """`Result.metrics` of the measures by split and model."""
    return pd.DataFrame(
        [
            {"split": split, "model": model, **step.row()}
            for split, models in metrics.items()
            for model, steps in models.items()
            for step in steps
        ]
    )


def errors_table(metrics: pd.DataFrame) -> Table:
    """`Result.metrics` as a notebook shows it: of the first and the last step."""
    shown = metrics[metrics["step"].isin([1, metrics["step"].max()])] if len(metrics) else metrics
    return Table(
        "How far the predictions were off; only test rows can support a claim", shown, HIT_RATE_COLUMNS
    )


def train(
    prices: PriceSet | pd.DataFrame | pd.Series,
    config: TrainConfig | None = None,
    stages: Stages = silent,
    *,
    progress: bool | Report | None = None,
) -> Result:
    """Train on prices, measure the model beside the baselines, and forecast: what `trendlstm train` does.

    Parameters
    ----------
    prices : PriceSet, DataFrame or Series
        From `load_prices`, or any other that `trendlstm.data.frames.price_table` takes. Not modified.
    config : TrainConfig, optional
        Every setting; `config.data` says no more than the ticker's name and the calendar. Default: those of the
        command, of the reference model.
    stages : callable, optional
        Shows how far each stage has come; see `Stages`.
    progress : bool or callable, optional
        The same more simply, as in `Network.fit`: True shows a bar on a terminal or in a notebook, a function is called
        with a `FitProgress`. Not with `stages`.

    Returns
    -------
    Result

    Raises
    ------
    OptionError, DataError
        The settings do not fit each other or the prices.
    TrainingError, KeyboardInterrupt
        Training ended before any network had finished an epoch.
    """
    if progress is not None and stages is not silent:
        raise OptionError("give either stages or progress: both say what is told how far training has come.")
    config = TrainConfig() if config is None else config
    if not isinstance(config, TrainConfig):
        raise OptionError(
            f"config must be a TrainConfig, such as TrainConfig(fit=FitConfig(epochs=20)), but is a "
            f"{type(config).__name__}."
        )
    shown = stages if progress is None else lambda name, epochs: reporter(progress)
    return run(prepare(config, price_set(prices, config.data, config.window.features)), shown)


def prepare(config: TrainConfig, prices: PriceSet) -> Prepared:
    """Windows and untrained networks.

    Raises
    ------
    OptionError, DataError
        The settings do not fit each other or the prices.
    """
    start = time.perf_counter()
    window = config.window
    if config.device == "cuda":
        check_limits(config.network, window.lag)
        check_fit(config.fit)
    windows = make_windows(
        prices.frame, window.lag, window.horizon, window.features, window.scaling, window.split
    )
    return Prepared(config, prices, windows, _networks(config), time.perf_counter() - start)


def run(prepared: Prepared, stages: Stages = silent, days: int | None = None) -> Result:
    """Train, measure and forecast. Ctrl-C and a loss that diverges keep what there is by then.

    Parameters
    ----------
    prepared : Prepared
        Its networks are modified.
    stages : callable, optional
        See `Stages`.
    days : int, optional
        Sessions to forecast, see `forecast.days_to_forecast`.

    Raises
    ------
    TrainingError, KeyboardInterrupt
        No network had finished an epoch.
    """
    config = prepared.config
    trained = assessment = final = forecast = None
    status, failure, seconds = "finished", "", {"prepare": prepared.seconds}
    try:
        with stages("Training", config.fit.epochs * config.seeds) as progress:
            trained = fit_networks(prepared, progress)
        assessment = assess(trained)
        if config.final_fit:
            start = time.perf_counter()
            with stages("Training on all rows", sum(_final_epochs(trained))) as progress:
                final = fit_on_all_rows(trained, progress)
            seconds["final_fit"] = time.perf_counter() - start
        forecaster = final or trained.forecaster
        forecast = forecast_next(
            forecaster, prepared.prices, assessment.bands, days_to_forecast(forecaster, days)
        )
    except (KeyboardInterrupt, TrainingError, DataError) as error:
        trained = trained or _kept(prepared, getattr(error, "histories", ()))
        if trained is None:
            raise
        interrupted = isinstance(error, KeyboardInterrupt)
        status, failure = ("interrupted", "") if interrupted else ("diverged", str(error))
    seconds["fit"] = trained.seconds
    if assessment:
        seconds["assess"] = assessment.seconds
    return Result(
        config=config,
        prices=prepared.prices,
        windows=prepared.windows,
        status=status,
        failure=failure,
        forecaster=trained.forecaster,
        histories=trained.histories,
        assessment=assessment,
        final=final,
        forecast=forecast,
        seconds=seconds,
    )


def fit_networks(prepared: Prepared, progress: Callable[[FitProgress], None] | None = None) -> Trained:
    """Fit the networks; validation chooses each one's epoch.

    Raises
    ------
    TrainingError, KeyboardInterrupt
        As `Network.fit`.
    """
    start = time.perf_counter()
    networks, windows, config = prepared.networks, prepared.windows, prepared.config
    settings: dict[str, Any] = dict(
        validation=(windows.validation.x, windows.validation.y),
        n_threads=config.threads,
        device=config.device,
        progress=progress,
        **config.fit.to_dict(),
    )
    histories = fit_many(networks, windows.train.x, windows.train.y, **settings)
    return Trained(prepared, _forecaster(prepared, networks), tuple(histories), time.perf_counter() - start)


def _kept(prepared: Prepared, histories: Sequence[History]) -> Trained | None:
    """The networks that had finished an epoch when training ended early, if any."""
    kept = [(n, h) for n, h in zip(prepared.networks, histories) if h.best_epoch]
    if not kept:
        return None
    networks, finished = zip(*kept)
    seconds = max(history.seconds for history in finished)
    return Trained(prepared, _forecaster(prepared, networks), finished, seconds)


def _forecaster(prepared: Prepared, networks: Sequence[Network]) -> Forecaster:
    windows = prepared.windows
    learned_until = windows.dates[windows.train_rows - 1].date().isoformat()
    return Forecaster(
        tuple(networks), windows.scaler, windows.lag, windows.horizon, learned_until, prepared.config.threads
    )


def assess(trained: Trained) -> Assessment:
    """Predict every split, measure model and baselines, and word the verdict."""
    start = time.perf_counter()
    windows, forecaster = trained.prepared.windows, trained.forecaster
    predicted = {split.name: forecaster.predict(split.x, split.anchors) for split in windows.splits}
    models = {"model": predicted, **{name: baseline(windows) for name, baseline in BASELINES.items()}}
    metrics = {
        split.name: {
            name: evaluate(split.anchors, split.actual, prices[split.name]) for name, prices in models.items()
        }
        for split in windows.splits
    }
    model, drift = (metrics["test"][name][0] for name in ("model", "drift"))
    path = recursive_path(forecaster, windows)
    distributions = assess_distributions(forecaster, windows)
    return Assessment(
        predictions=_predictions(windows, forecaster, predicted, path),
        metrics=metrics,
        spread=_spread(forecaster, windows),
        ridge_alpha=Ridge.fit(windows).alpha,
        recursive_metrics=_recursive_metrics(windows, path) if forecaster.is_recursive else {},
        verdict=verdict(model, drift),
        evidence=claims_evidence(model, drift),
        distributions=distributions,
        bands=[one.bands[0] for one in distributions] or make_bands(forecaster, windows),
        seconds=time.perf_counter() - start,
    )


def _recursive_metrics(windows: Windows, path: np.ndarray) -> dict[str, PathMetrics]:
    """The errors of the recursive forecast on the test rows, and of the last training close kept."""
    start, actual = float(windows.close[windows.train_rows - 1]), windows.test.actual[:, 0]
    lines = {"recursive": path[-len(actual) :], "flat": np.full(len(actual), start)}
    return {name: evaluate_path(start, actual, line) for name, line in lines.items()}


def _spread(forecaster: Forecaster, windows: Windows) -> dict[str, float]:
    """The standard deviation of the step-1 RMSE over an ensemble's networks, by split."""
    singles = forecaster.single()
    if len(singles) == 1:
        return {}
    return {
        split.name: float(
            np.std(
                [rmse(split.actual[:, 0], one.predict(split.x, split.anchors)[:, 0]) for one in singles],
                ddof=1,
            )
        )
        for split in windows.splits
    }


def kept_loss(history: History) -> float:
    """The validation loss of the epoch whose weights were kept."""
    assert history.validation_loss is not None  # `fit_networks` always validates
    return float(history.validation_loss[history.best_epoch - 1])


def fit_on_all_rows(trained: Trained, progress: Callable[[FitProgress], None] | None = None) -> Forecaster:
    """Train new networks on all rows, each for the epochs that validation chose for its predecessor, at their rates."""
    config, prices = trained.prepared.config, trained.prepared.windows.prices
    window = config.window
    scaler, x, y = all_samples(prices, window.lag, window.horizon, window.features, window.scaling)
    networks, epochs = _networks(config), _final_epochs(trained)
    for index, network in enumerate(networks):
        part = part_of(progress, sum(epochs[:index]), sum(epochs))
        rates = trained.histories[index].learning_rate[: epochs[index]]
        job = network.fit_job(x, y, replace(config.fit, patience=None), repeated=rates)
        train_jobs([job], config.threads, config.device, part)
    learned_until = prices.index[-1].date().isoformat()
    return replace(trained.forecaster, networks=networks, scaler=scaler, learned_until=learned_until)


def _final_epochs(trained: Trained) -> list[int]:
    return [history.best_epoch for history in trained.histories]


def part_of(
    progress: Callable[[FitProgress], None] | None, before: int, total: int
) -> Callable[[FitProgress], None] | None:
    """A callback for one of several fits, which tells `progress` of all of them."""
    if progress is None:
        return None
    return lambda part: progress(part._replace(epoch=before + part.epoch, epochs=total))


def _networks(config: TrainConfig) -> tuple[Network, ...]:
    first = config.network
    return tuple(
        Network.from_config(NetworkConfig.from_dict({**first.to_dict(), "seed": first.seed + k}))
        for k in range(config.seeds)
    )


def recursive_path(forecaster: Forecaster, windows: Windows) -> np.ndarray:
    """The recursive forecast of every row after the training rows, (n_rows - train_rows,); NaN if there is none."""
    rows = len(windows.close) - windows.train_rows
    if not forecaster.is_recursive:
        return np.full(rows, np.nan)
    history = windows.close[windows.train_rows - windows.lag : windows.train_rows]
    return forecaster.recurse(history[None], rows)[0]


def _predictions(
    windows: Windows, forecaster: Forecaster, predicted: dict[str, np.ndarray], recursive: np.ndarray
) -> pd.DataFrame:
    steps = np.arange(1, windows.horizon + 1)
    recursive_by_row = np.concatenate([np.full(windows.train_rows, np.nan), recursive])
    parts = []
    for split in windows.splits:
        origins = np.repeat(split.origins, windows.horizon)
        step = np.tile(steps, len(split.origins))
        columns = {
            "origin": windows.dates[origins],
            "date": windows.dates[origins + step],
            "step": step,
            "actual": split.actual.reshape(-1),
            "prediction": predicted[split.name].reshape(-1),
            "recursive": recursive_by_row[origins + step],
            "split": split.name,
        }
        if forecaster.levels:
            quantiles = forecaster.quantiles(split.x, split.anchors)
            places = {"low": 0, "high": -1, **forecaster.inner_columns}
            columns |= {name: quantiles[..., place].reshape(-1) for name, place in places.items()}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
