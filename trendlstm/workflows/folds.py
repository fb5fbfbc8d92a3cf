"""A walk through one ticker's prices: where its folds lie, and what one fold learns and forecasts."""

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trendlstm.config import BacktestConfig, Cell, NetworkConfig
from trendlstm.data.calendar import years_before
from trendlstm.data.prices import PriceSet, check_prices
from trendlstm.data.windows import Windows, all_samples, fold_windows
from trendlstm.errors import OptionError
from trendlstm.evaluation.baselines import Ridge, drift
from trendlstm.evaluation.intervals import recent_volatility, scaled_errors
from trendlstm.nn.fit_job import FitJob
from trendlstm.nn.history import History
from trendlstm.nn.network import Network
from trendlstm.workflows.forecast import Forecaster

FloatArray = NDArray[np.float64]
Weights = Mapping[str, np.ndarray]  # by model, (seeds, P): what the next fold may begin with

BASELINES = ("drift", "ridge")  # fitted in every fold; persistence needs no fit
LEAST_ORIGINS = 20  # fewer forecasts are no backtest


@dataclass(frozen=True)
class Fold:
    """What is fitted on one day, and the forecasts that are made with it.

    Attributes
    ----------
    number : int
        From 0 up.
    first, cutoff : int
        The rows that it may learn from are first ... cutoff.
    train_rows, validation_rows : int
        The first of them, and those that come next. What is left up to the cutoff is the gap beyond horizon - 1.
    origins : range
        Rows of the days on which forecasts are made: the cutoff and later ones, up to the next fold's.
    """

    number: int
    first: int
    cutoff: int
    train_rows: int
    validation_rows: int
    origins: range


@dataclass(frozen=True, eq=False)
class Walk:
    """One ticker's prices and folds.

    Attributes
    ----------
    ticker : str
    prices : PriceSet
    folds : tuple of Fold
    """

    ticker: str
    prices: PriceSet
    folds: tuple[Fold, ...]
    volatility: FloatArray = field(init=False)  # (n_rows,), of the days up to each row

    def __post_init__(self) -> None:
        close = self.prices.frame["Close"].to_numpy(np.float64)
        object.__setattr__(self, "volatility", recent_volatility(close))

    @property
    def origins(self) -> NDArray[np.intp]:
        """Of all folds, ascending."""
        return np.concatenate([np.asarray(fold.origins) for fold in self.folds])


@dataclass(frozen=True, eq=False)
class FoldResult:
    """What one fold forecast; n origins, m steps, v validation samples.

    Attributes
    ----------
    ticker : str
    number : int
        Of the fold.
    forecasts : dict of str to ndarray (n, m)
        Prices by model, of its ensemble, and by baseline.
    members : dict of str to ndarray (members, n, m)
        Prices by model, of every network of its ensemble.
    quantiles : dict of str to ndarray (n, m, Q)
        Prices by model, if it predicts distributions.
    scores : dict of str to ndarray (v, m)
        By model, `scaled_errors` of the ensemble on the fold's validation samples.
    epochs : dict of str to ndarray (members,)
        The epoch whose weights were kept, from 1 up.
    ridge_alpha : float
        The penalty that validation chose.
    weights : dict of str to ndarray (members, P)
        What the next fold begins with; empty unless it does.
    seconds : float
        Processor time of the fits. Wall time would count the waiting for a core that others use.
    """

    ticker: str
    number: int
    forecasts: dict[str, FloatArray]
    members: dict[str, FloatArray]
    quantiles: dict[str, FloatArray]
    scores: dict[str, FloatArray]
    epochs: dict[str, NDArray[np.int64]]
    ridge_alpha: float
    weights: dict[str, np.ndarray]
    seconds: float


def plan_walk(ticker: str, prices: PriceSet, config: BacktestConfig) -> Walk:
    """Where the folds lie in a ticker's rows.

    Raises
    ------
    OptionError, DataError
        The prices cannot be used, or there are too few of them.
    """
    frame, window = prices.frame, config.window
    opens = ["Open"] if "Open" in frame.columns else []  # at which signals will be traded
    check_prices(frame, (*window.features, *opens))
    dates = pd.DatetimeIndex(frame.index)
    rows = len(dates)
    first_cutoff = _rows_until(dates, years_before(dates[-1], config.test_years)) - 1 if rows else -1
    origins = np.arange(first_cutoff, rows - window.horizon, config.stride)
    if first_cutoff < window.lag or len(origins) < LEAST_ORIGINS:
        raise OptionError(
            f"{rows} prices are too few to forecast the last {config.test_years:g} years with lag {window.lag} and "
            f"horizon {window.horizon}: use more years of prices, or test years for {LEAST_ORIGINS} forecasts or more."
        )
    assert config.gap is not None
    held_back = config.gap - (window.horizon - 1)
    share = window.split[1] / (window.split[0] + window.split[1])
    folds: list[Fold] = []
    for cutoff in range(first_cutoff, int(origins[-1]) + 1, config.refit):
        first = 0
        if config.train_years is not None:
            first = _rows_until(dates, years_before(dates[cutoff], config.train_years))
        learned = cutoff + 1 - held_back - first
        validation_rows = round(learned * share)
        own = origins[(origins >= cutoff) & (origins < cutoff + config.refit)]
        fold = Fold(
            number=len(folds),
            first=first,
            cutoff=cutoff,
            train_rows=learned - validation_rows,
            validation_rows=validation_rows,
            origins=range(int(own[0]), int(own[-1]) + 1, config.stride),
        )
        folds.append(fold)
    walk = Walk(ticker, prices, tuple(folds))
    make_windows(
        walk, min(folds, key=lambda fold: fold.train_rows), config
    )  # says why there are too few rows
    return walk


def _rows_until(dates: pd.DatetimeIndex, date: pd.Timestamp) -> int:
    """How many rows there are up to and on a date."""
    return int(dates.searchsorted(date, side="right"))


def make_windows(walk: Walk, fold: Fold, config: BacktestConfig) -> Windows:
    """The fold's samples. Nothing of what comes after its last origin is in them."""
    seen = walk.prices.frame.iloc[fold.first : fold.origins[-1] + 1]
    origins = [origin - fold.first for origin in fold.origins]
    return fold_windows(seen, config.window, fold.train_rows, fold.validation_rows, origins)


def forecast_fold(
    walk: Walk,
    fold: Fold,
    config: BacktestConfig,
    weights: Weights,
    fit: Callable[[FitJob], History],
) -> FoldResult:
    """Fit every model and baseline on a fold, and forecast.

    Parameters
    ----------
    walk, fold, config
    weights : mapping of str to ndarray (members, P)
        What the networks begin with instead of new weights; empty for none.
    fit : callable
        Trains a job on this thread, as `nn.training.fit_here`.

    Returns
    -------
    FoldResult

    Raises
    ------
    TrainingError
        A loss or weight became infinite or NaN.
    """
    windows = make_windows(walk, fold, config)
    validation, test = windows.validation, windows.test
    ridge = Ridge.fit(windows)
    forecasts = {
        "drift": drift(windows)["test"],
        "ridge": windows.scaler.prices(ridge.predict(test.x), test.anchors),
    }
    members: dict[str, FloatArray] = {}
    quantiles: dict[str, FloatArray] = {}
    scores: dict[str, FloatArray] = {}
    epochs: dict[str, NDArray[np.int64]] = {}
    last_weights: dict[str, np.ndarray] = {}
    seconds = 0.0
    volatility = walk.volatility[fold.first + validation.origins]
    for model in config.models:
        networks = _networks(config, model, weights)
        start = time.thread_time()
        histories = [
            fit(
                network.fit_job(
                    windows.train.x, windows.train.y, config.fit, validation=(validation.x, validation.y)
                )
            )
            for network in networks
        ]
        seconds += time.thread_time() - start
        epochs[model] = np.array([history.best_epoch for history in histories])
        fitted = Forecaster(tuple(networks), windows.scaler, windows.lag, windows.horizon, "", n_threads=1)
        predicted = fitted.predict(validation.x, validation.anchors)
        scores[model] = scaled_errors(validation.actual, predicted, volatility)
        if config.warm_start:
            last_weights[model] = np.array([network.theta for network in networks])
        if config.final_fit:
            fitted, more = _final_fit(windows, config, model, histories, fit)
            seconds += more
        forecasts[model] = fitted.predict(test.x, test.anchors)
        if fitted.levels:
            quantiles[model] = fitted.quantiles(test.x, test.anchors)
        members[model] = np.array([one.predict(test.x, test.anchors) for one in fitted.single()])
    return FoldResult(
        ticker=walk.ticker,
        number=fold.number,
        forecasts=forecasts,
        members=members,
        quantiles=quantiles,
        scores=scores,
        epochs=epochs,
        ridge_alpha=ridge.alpha,
        weights=last_weights,
        seconds=seconds,
    )


def _networks(config: BacktestConfig, model: Cell, weights: Weights) -> list[Network]:
    """A model's ensemble, untrained, or with the weights of the last fold."""
    networks = [deepcopy(_untrained(config.network_of(model, member))) for member in range(config.seeds)]
    for network, last in zip(networks, weights.get(model, ())):
        network.theta[:] = last
    return networks


@lru_cache(maxsize=32)
def _untrained(config: NetworkConfig) -> Network:
    """Never trained itself but copied: every fold begins with the same weights, which take longer to make."""
    return Network.from_config(config)


def _final_fit(
    windows: Windows,
    config: BacktestConfig,
    model: Cell,
    histories: Sequence[History],
    fit: Callable[[FitJob], History],
) -> tuple[Forecaster, float]:
    """New networks trained on the validation rows too, each for its predecessor's epochs; their processor time.

    An epoch's learning rate is its predecessor's too.
    """
    learned = windows.prices.iloc[: windows.train_rows + windows.validation_rows]
    scaler, x, y = all_samples(
        learned, windows.lag, windows.horizon, windows.features, windows.scaler.scaling
    )
    networks = _networks(config, model, {})
    start = time.thread_time()
    settings = replace(config.fit, patience=None)
    for network, history in zip(networks, histories, strict=True):
        fit(network.fit_job(x, y, settings, repeated=history.learning_rate[: history.best_epoch]))
    seconds = time.thread_time() - start
    return Forecaster(tuple(networks), scaler, windows.lag, windows.horizon, "", n_threads=1), seconds
