"""The main job: from prices to trained networks, their figures beside the baselines, and a forecast."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.config import NetworkConfig, TrainConfig
from trendlstm.data.calendar import next_sessions
from trendlstm.data.windows import Windows, all_samples, make_windows
from trendlstm.errors import FitInterrupted, TrainingError
from trendlstm.evaluation.baselines import BASELINES, Ridge
from trendlstm.evaluation.intervals import Band
from trendlstm.evaluation.metrics import StepMetrics, evaluate, rmse
from trendlstm.evaluation.significance import verdict
from trendlstm.nn.device import check_limits
from trendlstm.nn.history import History
from trendlstm.nn.many import fit_many
from trendlstm.nn.network import Network
from trendlstm.nn.progress import FitProgress
from trendlstm.workflows.forecast import Forecaster, forecast_table, make_bands

FORECAST_DAYS = 10  # sessions that a recursive model forecasts unless asked otherwise


@dataclass
class Result:
    """Everything that one training run found; filled from top to bottom.

    Attributes
    ----------
    config : TrainConfig
    provenance : dict
        Where the prices came from, as in `load_prices`.
    windows : Windows
    forecaster : Forecaster
        Trained on the training rows; all figures are its.
    final : Forecaster or None
        Trained on all rows (`final_fit`); forecasts are its if there is one.
    histories : list of History
        One a network.
    predictions : DataFrame
        origin, date, step, actual, prediction, recursive, split: one row per origin and step.
    metrics : dict
        metrics[split][model] is a list of `StepMetrics`, one a step; models "model" and the baselines.
    spread : dict
        For an ensemble: spread[split] is the standard deviation (ddof 1) over its networks of the step-1 RMSE.
    ridge_alpha : float
        The penalty that validation chose for the baseline ridge; infinity is the mean of the training targets.
    verdict : str
        One sentence on the test rows.
    bands : list of Band
        See `forecast.make_bands`.
    forecast : DataFrame
        See `forecast.forecast_table`.
    seconds : dict
        Wall time of each part.
    """

    config: TrainConfig
    provenance: dict[str, Any]
    windows: Windows
    forecaster: Forecaster
    final: Forecaster | None = None
    histories: list[History] = field(default_factory=list)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    metrics: dict[str, dict[str, list[StepMetrics]]] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    ridge_alpha: float = math.nan
    verdict: str = ""
    bands: list[Band] = field(default_factory=list)
    forecast: pd.DataFrame = field(default_factory=pd.DataFrame)
    seconds: dict[str, float] = field(default_factory=dict)


def prepare(config: TrainConfig, prices: pd.DataFrame) -> Result:
    """Windows and untrained networks for `prices`, which come from `load_prices`.

    Raises
    ------
    OptionError, DataError
        The settings do not fit each other or the prices.
    """
    start = time.perf_counter()
    window = config.window
    if config.device == "cuda":
        check_limits(config.network, window.lag)
    windows = make_windows(prices, window.lag, window.horizon, window.features, window.scaling, window.split)
    learned_until = windows.dates[windows.train_rows - 1].date().isoformat()
    forecaster = Forecaster(
        _networks(config), windows.scaler, windows.lag, windows.horizon, learned_until, config.threads
    )
    result = Result(config, prices.attrs["provenance"], windows, forecaster)
    result.seconds["prepare"] = time.perf_counter() - start
    return result


def train(result: Result, progress: Callable[[FitProgress], None] | None = None) -> None:
    """Fit the networks of `result`; validation chooses each one's epoch.

    Raises
    ------
    TrainingError, KeyboardInterrupt
        As `Network.fit`; `result` then holds the networks that finished an epoch, with their best weights so far.
    """
    start = time.perf_counter()
    networks, windows = result.forecaster.networks, result.windows
    settings: dict[str, Any] = dict(
        validation=(windows.validation.x, windows.validation.y),
        n_threads=result.config.threads,
        device=result.config.device,
        progress=progress,
        **result.config.fit.to_dict(),
    )
    try:
        result.histories = fit_many(networks, windows.train.x, windows.train.y, **settings)
    except (FitInterrupted, TrainingError) as error:
        trained = [(n, h) for n, h in zip(networks, error.histories, strict=True) if h.kept_epoch]
        result.forecaster = replace(result.forecaster, networks=tuple(network for network, _ in trained))
        result.histories = [history for _, history in trained]
        raise
    finally:
        result.seconds["fit"] = time.perf_counter() - start


def assess(result: Result) -> None:
    """Predict every split, measure model and baselines, and word the verdict."""
    start = time.perf_counter()
    windows, forecaster = result.windows, result.forecaster
    predicted = {split.name: forecaster.predict(split.x, split.anchors) for split in windows.splits}
    models = {"model": predicted, **{name: baseline(windows) for name, baseline in BASELINES.items()}}
    result.metrics = {
        split.name: {
            name: evaluate(split.anchors, split.actual, prices[split.name]) for name, prices in models.items()
        }
        for split in windows.splits
    }
    result.ridge_alpha = Ridge.fit(windows).alpha
    if len(forecaster.networks) > 1:
        singles = forecaster.single()
        result.spread = {
            split.name: float(
                np.std(
                    [rmse(split.actual[:, 0], one.predict(split.x, split.anchors)[:, 0]) for one in singles],
                    ddof=1,
                )
            )
            for split in windows.splits
        }
    result.predictions = _predictions(windows, predicted, recursive_path(result))
    first = result.metrics["test"]["model"][0]
    result.verdict = verdict(first.rmse, result.metrics["test"]["persistence"][0].rmse, first.diebold_mariano)
    result.bands = make_bands(forecaster, windows)
    result.seconds["assess"] = time.perf_counter() - start


def kept_loss(history: History) -> float:
    """The validation loss of the epoch whose weights were kept."""
    assert history.validation_loss is not None  # `train` always validates
    return float(history.validation_loss[history.kept_epoch - 1])


def final_fit(result: Result, progress: Callable[[FitProgress], None] | None = None) -> None:
    """Train new networks on all rows, each for the number of epochs that validation chose for its predecessor."""
    start = time.perf_counter()
    window = result.config.window
    prices = result.windows.prices
    scaler, x, y = all_samples(prices, window.lag, window.horizon, window.features, window.scaling)
    networks = _networks(result.config)
    epochs = [history.kept_epoch for history in result.histories]
    for index, network in enumerate(networks):
        settings = {**result.config.fit.to_dict(), "epochs": epochs[index], "patience": None}
        network.fit(
            x,
            y,
            n_threads=result.config.threads,
            device=result.config.device,
            progress=part_of(progress, sum(epochs[:index]), sum(epochs)),
            **settings,
        )
    learned_until = prices.index[-1].date().isoformat()
    result.final = replace(result.forecaster, networks=networks, scaler=scaler, learned_until=learned_until)
    result.seconds["final_fit"] = time.perf_counter() - start


def forecast(result: Result) -> None:
    """Forecast the next sessions after the newest row."""
    forecaster, prices = result.final or result.forecaster, result.windows.prices
    days = default_days(forecaster)
    result.forecast = forecast_next(forecaster, prices, result.provenance, result.bands, days)


def default_days(forecaster: Forecaster) -> int:
    """The sessions to forecast unless asked otherwise: `FORECAST_DAYS`, or the horizon of a direct model."""
    return FORECAST_DAYS if forecaster.is_recursive else forecaster.horizon


def forecast_next(
    forecaster: Forecaster,
    prices: pd.DataFrame,
    provenance: dict[str, Any],
    bands: Sequence[Band],
    days: int,
) -> pd.DataFrame:
    """The forecast table of the next `days` sessions of the prices' exchange."""
    dates = next_sessions(prices.index[-1], days, provenance["calendar"])
    return forecast_table(forecaster, prices, dates, bands)


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


def recursive_path(result: Result) -> np.ndarray:
    """The recursive forecast of every row after the training rows, (n_rows - train_rows,); NaN if there is none."""
    windows, forecaster = result.windows, result.forecaster
    rows = len(windows.close) - windows.train_rows
    if not forecaster.is_recursive:
        return np.full(rows, np.nan)
    history = windows.close[windows.train_rows - windows.lag : windows.train_rows]
    return forecaster.recurse(history[None], rows)[0]


def _predictions(windows: Windows, predicted: dict[str, np.ndarray], recursive: np.ndarray) -> pd.DataFrame:
    steps = np.arange(1, windows.horizon + 1)
    recursive_by_row = np.concatenate([np.full(windows.train_rows, np.nan), recursive])
    parts = []
    for split in windows.splits:
        origins = np.repeat(split.origins, windows.horizon)
        step = np.tile(steps, len(split.origins))
        parts.append(
            pd.DataFrame(
                {
                    "origin": windows.dates[origins],
                    "date": windows.dates[origins + step],
                    "step": step,
                    "actual": split.actual.reshape(-1),
                    "prediction": predicted[split.name].reshape(-1),
                    "recursive": recursive_by_row[origins + step],
                    "split": split.name,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
