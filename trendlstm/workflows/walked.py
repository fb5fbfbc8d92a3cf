"""A finished walk: what was forecast day by day, with its bands, and how it can be followed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trendlstm.config import BacktestConfig
from trendlstm.evaluation import panel
from trendlstm.evaluation.distributions import Distribution, Scores, score_distributions
from trendlstm.evaluation.intervals import scaled_errors
from trendlstm.evaluation.trading import HoldingDays, holding_days
from trendlstm.evaluation.walk_bands import WalkBands, band_edges, walk_bands
from trendlstm.workflows.fold_queue import FoldStore
from trendlstm.workflows.folds import BASELINES, Walk

FloatArray = NDArray[np.float64]


class Walked(NamedTuple):
    """One ticker's forecasts, of all folds; n origins, m steps. What comes after the last row is NaN.

    Attributes
    ----------
    config : BacktestConfig
    walk : Walk
    cutoffs : ndarray (n,) of int
        Row of the last day that the fold of each origin learned from.
    naive : ndarray (n,)
        Close at the origin.
    actual : ndarray (n, m)
        Closes after it.
    forecasts : dict of str to ndarray (n, m)
        Prices by model, of its ensemble, and by baseline.
    of_seeds : dict of str to ndarray (members, n, m)
        Prices by model, of every network of its ensemble.
    bands : dict of str to list of m WalkBands
        By model.
    quantiles : dict of str to ndarray (n, m, Q)
        Prices by model, if the networks predict distributions.
    scores : dict of str to list of m Scores
        Of these distributions, as changes of the Close.
    seconds : float
        Processor time of the fits.
    """

    config: BacktestConfig
    walk: Walk
    cutoffs: NDArray[np.intp]
    naive: FloatArray
    actual: FloatArray
    forecasts: dict[str, FloatArray]
    of_seeds: dict[str, FloatArray]
    bands: dict[str, list[WalkBands]]
    quantiles: dict[str, FloatArray]
    scores: dict[str, list[Scores]]
    seconds: float

    @classmethod
    def of(cls, walk: Walk, store: FoldStore, config: BacktestConfig) -> "Walked":
        """Put together what a store has of all folds of a walk."""
        results = list(store.load(walk.ticker))
        close, origins = walk.prices.frame["Close"].to_numpy(np.float64), walk.origins
        horizon = config.window.horizon
        naive = close[origins]
        later = np.append(close, np.full(horizon, np.nan))
        actual = later[origins[:, None] + np.arange(1, horizon + 1)]
        forecasts = {
            name: np.concatenate([result.forecasts[name] for result in results])
            for name in (*config.models, *BASELINES)
        }
        forecasts["persistence"] = np.repeat(naive[:, None], horizon, axis=1)
        counts = [len(fold.origins) for fold in walk.folds]
        bands: dict[str, list[WalkBands]] = {}
        for model in config.models:
            errors = scaled_errors(actual, forecasts[model], walk.volatility[origins])
            bands[model] = [
                walk_bands(
                    _repeated([result.scores[model][:, step] for result in results], counts),
                    errors[:, step],
                    origins,
                    step + 1,
                )
                for step in range(horizon)
            ]
        quantiles: dict[str, FloatArray] = {
            model: np.concatenate([result.quantiles[model] for result in results])
            for model in (config.models if config.network.levels else ())
        }
        return cls(
            config=config,
            walk=walk,
            cutoffs=np.repeat([fold.cutoff for fold in walk.folds], counts),
            naive=naive,
            actual=actual,
            forecasts=forecasts,
            of_seeds={
                model: np.concatenate([result.members[model] for result in results], axis=1)
                for model in config.models
            },
            bands=bands,
            quantiles=quantiles,
            scores={
                model: _scores(walk, config, naive, actual, prices) for model, prices in quantiles.items()
            },
            seconds=sum(result.seconds for result in results),
        )

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """Of all rows."""
        return self.walk.prices.frame.index.to_numpy()

    @property
    def volatility(self) -> FloatArray:
        """At the origins."""
        return self.walk.volatility[self.walk.origins]

    def panel(self, model: str) -> panel.TickerForecasts:
        """What `evaluation.panel` measures."""
        close = self.walk.prices.frame["Close"].to_numpy(np.float64)
        scale = panel.naive_scale(close[: self.walk.origins[0] + 1], self.config.window.horizon)
        return panel.TickerForecasts(
            self.dates[self.walk.origins], self.naive, self.actual, self.forecasts[model], scale
        )

    @property
    def target_dates(self) -> NDArray[np.datetime64]:
        """Of the forecasts, (n * m,), the steps of an origin together."""
        steps = np.arange(1, self.config.window.horizon + 1)
        later = np.append(self.dates, np.full(len(steps), np.datetime64("NaT")))
        return later[self.walk.origins[:, None] + steps].reshape(-1)

    def errors(self, model: str) -> FloatArray:
        """`scaled_errors` of a model's forecasts, (n, m)."""
        return scaled_errors(self.actual, self.forecasts[model], self.volatility)

    def predictions(self, model: str) -> pd.DataFrame:
        """A row per origin and step, with the columns of `Backtest.predictions`."""
        origins, horizon = self.walk.origins, self.config.window.horizon
        forecast = self.forecasts[model]
        edges = np.full((4, *forecast.shape), np.nan)
        for step, bands in enumerate(self.bands.get(model, ())):
            for index, half_width in enumerate((bands.split, bands.adaptive)):
                edges[2 * index : 2 * index + 2, :, step] = band_edges(
                    forecast[:, step], half_width, self.volatility
                )
        if model in self.quantiles:
            edges[:2] = np.moveaxis(self.quantiles[model][..., [0, -1]], -1, 0)
        position = np.full(forecast.shape, np.nan)
        followed = self.followed - 1
        position[:, followed] = np.sign(forecast[:, followed] - self.naive)
        steps = np.arange(1, horizon + 1)
        columns = {
            "ticker": self.walk.ticker,
            "model": model,
            "cutoff": np.repeat(self.dates[self.cutoffs], horizon),
            "origin": np.repeat(self.dates[origins], horizon),
            "step": np.tile(steps, len(origins)),
            "date": self.target_dates,
            "naive": np.repeat(self.naive, horizon),
            "forecast": forecast.reshape(-1),
            "actual": self.actual.reshape(-1),
        }
        names = ("low", "high", "adaptive_low", "adaptive_high")
        columns |= {name: edge.reshape(-1) for name, edge in zip(names, edges, strict=True)}
        return pd.DataFrame({**columns, "position": position.reshape(-1)})

    def members(self, model: str) -> pd.DataFrame:
        """A row per network, origin and step, with the columns of `Backtest.members`."""
        origins, steps = self.walk.origins, np.arange(1, self.config.window.horizon + 1)
        first = self.config.network.seed
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "ticker": self.walk.ticker,
                        "model": model,
                        "seed": first + member,
                        "origin": np.repeat(self.dates[origins], len(steps)),
                        "step": np.tile(steps, len(origins)),
                        "date": self.target_dates,
                        "forecast": forecast.reshape(-1),
                    }
                )
                for member, forecast in enumerate(self.of_seeds[model])
            ],
            ignore_index=True,
        )

    def holding_days(self, model: str) -> HoldingDays:
        """The days on which a model's forecasts can be followed."""
        frame = self.walk.prices.frame
        return holding_days(
            self.dates,
            frame["Open"].to_numpy(np.float64) if "Open" in frame else None,
            frame["Close"].to_numpy(np.float64),
            self.walk.origins,
            self.config.stride,
            self.forecasts[model][:, self.followed - 1],
        )

    @property
    def followed(self) -> int:
        """The step whose sign is traded: the one that ends nearest to the next forecast's day."""
        return min(self.config.stride, self.config.window.horizon)


def _scores(
    walk: Walk, config: BacktestConfig, naive: FloatArray, actual: FloatArray, quantiles: FloatArray
) -> list[Scores]:
    """How good predicted quantiles (n, m, Q) were, beside those of the changes in the training rows of each fold."""
    close = walk.prices.frame["Close"].to_numpy(np.float64)
    steps = np.arange(1, actual.shape[1] + 1)

    def changes(prices: FloatArray, anchors: FloatArray) -> FloatArray:
        ratio = prices / anchors.reshape(-1, *[1] * (prices.ndim - 1))
        return np.log(ratio) if config.window.scaling == "window" else ratio - 1

    parts, start = [], 0
    for fold in walk.folds:
        own = slice(start, start + len(fold.origins))
        start = own.stop
        anchors = np.arange(fold.first, fold.first + fold.train_rows - len(steps))
        past = changes(close[anchors[:, None] + steps], close[anchors])
        predicted = Distribution.of(
            config.network.levels, changes(quantiles[own], naive[own]), config.network.loss == "gaussian"
        )
        parts.append(score_distributions(predicted, changes(actual[own], naive[own]), past))
    return [Scores(*map(np.concatenate, zip(*of_step, strict=True))) for of_step in zip(*parts, strict=True)]


def _repeated(items: Sequence[FloatArray], counts: Sequence[int]) -> list[FloatArray]:
    """Each item so many times, as the same object."""
    return [item for item, count in zip(items, counts, strict=True) for _ in range(count)]
