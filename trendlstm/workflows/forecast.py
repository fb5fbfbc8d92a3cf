"""`Forecaster`: trained networks together with what turns prices into their inputs and their outputs into prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trendlstm.data.calendar import next_sessions
from trendlstm.data.price_level import PriceLevel, compare_levels
from trendlstm.data.prices import PriceSet, check_prices
from trendlstm.data.windows import Scaler, Windows
from trendlstm.errors import DataError, OptionError
from trendlstm.evaluation.distributions import (
    Distribution,
    DistributionMetrics,
    QuantileBand,
    measure_distributions,
    score_distributions,
)
from trendlstm.evaluation.intervals import LEAST_SPANS, Band, calibrate, recent_volatility, scaled_errors

if TYPE_CHECKING:
    from trendlstm.nn.network import Network

FloatArray = NDArray[np.float64]

AnyBand = Band | QuantileBand

FORECAST_DAYS = 10  # sessions that a recursive model forecasts unless asked otherwise


@dataclass(frozen=True, eq=False)
class Forecaster:
    """One network, or an ensemble whose predictions are averaged in target units.

    Attributes
    ----------
    networks : tuple of Network
    scaler : Scaler
        Fitted on the rows that the networks learned from.
    lag, horizon : int
        T and m.
    learned_until : str
        ISO date of the last row that the networks learned from.
    n_threads : int or None
        Threads to predict with; None for all cores that the process may use. The result does not depend on it.
    """

    networks: "tuple[Network, ...]"
    scaler: Scaler
    lag: int
    horizon: int
    learned_until: str
    n_threads: int | None = None

    @property
    def levels(self) -> tuple[float, ...]:
        """Of the quantiles that the networks predict; none if they predict a number."""
        return self.networks[0].config.levels

    @property
    def inner_columns(self) -> dict[str, int]:
        """The places of the levels between the outer ones, but the median's, by columns of tables: "q0.25", ..."""
        levels, point = self.levels, self.networks[0].config.point_index
        if self.networks[0].config.loss != "pinball":
            return {}
        return {f"q{levels[k]:g}": k for k in range(1, len(levels) - 1) if k != point}

    @property
    def is_recursive(self) -> bool:
        """Whether forecasts can be fed back: Close alone, horizon 1."""
        return self.scaler.features == ("Close",) and self.horizon == 1

    def predict(self, x: FloatArray, anchors: FloatArray) -> FloatArray:
        """Predicted closes.

        Parameters
        ----------
        x : ndarray (n, T, F)
            Scaled windows.
        anchors : ndarray (n,)
            Close at each window's origin.

        Returns
        -------
        ndarray (n, m), float64
            Of predicted distributions the median.
        """
        outputs = self._distribution(x).median if self.levels else np.mean(self._outputs(x), axis=0)
        return self.scaler.prices(outputs, anchors)

    def quantiles(self, x: FloatArray, anchors: FloatArray) -> FloatArray:
        """Predicted quantiles of the closes, of networks that predict distributions.

        Parameters
        ----------
        x, anchors
            As of `predict`.

        Returns
        -------
        ndarray (n, m, Q), float64
            Of `levels`.
        """
        quantiles = self._distribution(x).quantiles
        return self.scaler.prices(quantiles.reshape(len(x), -1), anchors).reshape(quantiles.shape)

    def changes(self, x: FloatArray, anchors: FloatArray) -> Distribution:
        """As `quantiles`, of the changes of the Close as `Scaler.changes` has them."""
        predicted = self._distribution(x)
        changes = self.scaler.changes(predicted.quantiles, anchors)  # linear, so that what is normal stays so
        return Distribution.of(predicted.levels, changes, predicted.scale is not None)

    def _outputs(self, x: FloatArray) -> FloatArray:
        """What each network predicts, in target units: (networks, n, m), or with one more axis."""
        return np.array(
            [network.predict(x, n_threads=self.n_threads) for network in self.networks], np.float64
        )

    def _distribution(self, x: FloatArray) -> Distribution:
        """What the ensemble predicts in target units.

        Quantiles are averaged level by level (Vincent 1912), which keeps their shape where the networks disagree about
        the level alone. Of normal distributions it is the normal one with the mean and the variance of their mixture,
        so that disagreement makes it wider.
        """
        outputs = self._outputs(x)
        if self.networks[0].config.loss == "pinball":
            return Distribution(self.levels, outputs.mean(axis=0))
        means, scales = outputs[..., 0], outputs[..., 1]
        variance = (scales**2).mean(axis=0) + means.var(axis=0)
        return Distribution.normal(self.levels, means.mean(axis=0), np.sqrt(variance))

    def recurse(self, closes: FloatArray, steps: int) -> FloatArray:
        """Forecast `steps` sessions by feeding each forecast back as if it had been the price.

        Each step shifts the window by one row: the oldest close leaves, the forecast enters, and window scaling is
        anchored on it.

        Parameters
        ----------
        closes : ndarray (n, T)
            The last T closes before each forecast.
        steps : int

        Returns
        -------
        ndarray (n, steps), float64

        Raises
        ------
        OptionError
            The model has other inputs than Close, or predicts several steps at once.
        DataError
            A forecast ran away beyond all numbers, or down to 0.
        """
        if not self.is_recursive:
            raise OptionError("A recursive forecast needs a model of Close alone with horizon 1.")
        from trendlstm.nn.many import recurse

        # Logarithms of prices themselves; the kernel makes them relative to the last one of each window.
        one = np.ones(len(closes))
        relative = self.scaler.scaling == "window"
        history = self.scaler.inputs(closes[:, :, None], one)[:, :, 0]
        prices = self.scaler.prices(recurse(self.networks, history, steps, relative), one)
        if relative and not prices.all():
            raise DataError(
                "The recursive forecast ran down to a price of 0: train again with a lower learning rate or "
                "clipped gradients."
            )
        return prices

    def single(self) -> "list[Forecaster]":
        """One forecaster for each network of the ensemble."""
        return [replace(self, networks=(network,)) for network in self.networks]


def make_bands(forecaster: Forecaster, windows: Windows) -> list[Band]:
    """The bands of forecasts, from the forecaster's errors on validation and test rows.

    Parameters
    ----------
    forecaster : Forecaster
        Trained on the training rows of `windows`.
    windows : Windows

    Returns
    -------
    list of Band
        Of step 1, 2, ..., as far as `calibrate` makes them. A direct model has at most its m steps; a recursive one is
        started at every validation and test origin.
    """
    validation, test = windows.validation, windows.test
    origins = np.concatenate([validation.origins, test.origins])
    close, lag = windows.close, windows.lag
    if forecaster.is_recursive:
        steps = len(validation.origins) // LEAST_SPANS
        histories = np.lib.stride_tricks.sliding_window_view(close, lag)[origins - lag + 1]
        predicted = forecaster.recurse(histories, steps) if steps else np.empty((len(origins), 0))
    else:
        predicted = np.concatenate([forecaster.predict(part.x, part.anchors) for part in (validation, test)])
        steps = forecaster.horizon
    later = np.concatenate([close, np.full(steps, np.nan)])  # unknown beyond the last row
    actual = later[origins[:, None] + np.arange(1, steps + 1)]
    errors = scaled_errors(actual, predicted, recent_volatility(close)[origins])
    bands: list[Band] = []
    for step, of_step in enumerate(errors.T, start=1):
        band = calibrate(of_step, origins, test.origins[0], step)
        if band is None:
            break
        bands.append(band)
    return bands


def assess_distributions(forecaster: Forecaster, windows: Windows) -> list[DistributionMetrics]:
    """How good the distributions were that the forecaster predicted of the test rows; empty if it predicts none.

    Parameters
    ----------
    forecaster : Forecaster
        Trained on the training rows of `windows`.
    windows : Windows

    Returns
    -------
    list of DistributionMetrics
        Of step 1, 2, ..., beside persistence with the quantiles of the training rows' changes.
    """
    if not forecaster.levels:
        return []
    test, train, scaler = windows.test, windows.train, windows.scaler
    actual, past = (scaler.changes(part.y, part.anchors) for part in (test, train))
    predicted, dates = forecaster.changes(test.x, test.anchors), windows.dates[test.origins].to_numpy()
    return [
        measure_distributions([dates], [scores], predicted.levels, predicted.scale is not None, step)
        for step, scores in enumerate(score_distributions(predicted, actual, past), start=1)
    ]


def forecast_table(
    forecaster: Forecaster, prices: pd.DataFrame, dates: pd.DatetimeIndex, bands: Sequence[AnyBand]
) -> pd.DataFrame:
    """The forecast of the sessions after the last row.

    Parameters
    ----------
    forecaster : Forecaster
    prices : DataFrame
        At least `forecaster.lag` rows; the forecast starts from the last one.
    dates : DatetimeIndex
        The sessions to forecast; at most the horizon of a direct model.
    bands : sequence of Band or QuantileBand
        From `make_bands`, or the outer ones of `assess_distributions`: then the edges are the predicted quantiles.

    Returns
    -------
    DataFrame
        One row per session: origin, date, step, price, direction ("up", "down", "unchanged" against the last
        close), low, high (the band; NaN where there is none, see `Band.edges`), q0.25, ... (predicted
        quantiles within the band, if there are any), naive (the last close).

    Raises
    ------
    DataError
        Fewer prices than the forecaster looks back, an input that they lack, a row that `check_prices` refuses, or a
        recursive forecast ran away.
    """
    _check_inputs(forecaster, prices)
    close = prices["Close"].to_numpy(np.float64)
    last, steps = close[-1], len(dates)
    raw = prices[list(forecaster.scaler.features)].to_numpy(np.float64)[None, -forecaster.lag :]
    anchor = close[-1:]
    x = forecaster.scaler.inputs(raw, anchor)
    if forecaster.is_recursive:
        price = forecaster.recurse(close[None, -forecaster.lag :], steps)[0]
    else:
        price = forecaster.predict(x, anchor)[0, :steps]
    volatility = recent_volatility(close)[-1]
    edges = np.full((steps, 2), np.nan)
    inner = {name: np.full(steps, np.nan) for name in forecaster.inner_columns}
    for k, band in enumerate(bands[:steps]):
        if isinstance(band, Band):
            edges[k] = band.edges(price[k], volatility)
        else:
            quantiles = forecaster.quantiles(x, anchor)[0, k]
            edges[k] = quantiles[[0, -1]]
            for name, place in forecaster.inner_columns.items():
                inner[name][k] = quantiles[place]
    return pd.DataFrame(
        {
            "origin": prices.index[-1],
            "date": dates,
            "step": np.arange(1, steps + 1),
            "price": price,
            "direction": _directions(price, last),
            "low": edges[:, 0],
            "high": edges[:, 1],
            **inner,
            "naive": last,
        }
    )


def _check_inputs(forecaster: Forecaster, prices: pd.DataFrame) -> None:
    """Raise DataError, as `forecast_table` does, for prices that the forecaster cannot start from."""
    features = forecaster.scaler.features
    absent = [name for name in features if name not in prices.columns]
    if absent:
        raise DataError(
            f"The model's inputs are {', '.join(features)}, but these prices have no {', '.join(absent)}: give a "
            "table that has, in Python with trendlstm.load_run(...).forecast(prices)."
        )
    check_prices(prices, features)
    if len(prices) < forecaster.lag:
        raise DataError(
            f"The model looks back {forecaster.lag} sessions, but there are only {len(prices)} prices: "
            "give more of them."
        )


def days_to_forecast(forecaster: Forecaster, days: int | None = None) -> int:
    """`days`; if None, `FORECAST_DAYS`, or the horizon of a direct model.

    Raises
    ------
    OptionError
        No whole number of 1 or more, or more days than a direct model's horizon.
    """
    if days is None:
        return FORECAST_DAYS if forecaster.is_recursive else forecaster.horizon
    if not isinstance(days, Integral) or isinstance(days, bool) or days < 1:
        raise OptionError(f"days must be a whole number of 1 or more, but is {days!r}.")
    if days > forecaster.horizon and not forecaster.is_recursive:
        raise OptionError(
            f"{days} days are beyond this model's horizon of {forecaster.horizon}: it was not made to be fed its own "
            "forecasts; train with a larger horizon."
        )
    return int(days)


def forecast_next(
    forecaster: Forecaster, prices: PriceSet, bands: Sequence[AnyBand], days: int
) -> pd.DataFrame:
    """The forecast table of the next `days` sessions of the prices' calendar."""
    dates = next_sessions(prices.frame.index[-1], days, prices.provenance.calendar)
    return forecast_table(forecaster, prices.frame, dates, bands)


def forecast_later(
    forecaster: Forecaster,
    closes: pd.Series,
    prices: PriceSet,
    bands: Sequence[AnyBand],
    days: int | None = None,
) -> tuple[pd.DataFrame, PriceLevel | None]:
    """Forecast from prices that were loaded after training, and may have been restated since.

    Parameters
    ----------
    forecaster : Forecaster
    closes : Series
        Closes that the run kept, by date.
    prices : PriceSet
        The newest prices.
    bands : sequence of Band or QuantileBand
    days : int, optional
        Sessions to forecast, see `days_to_forecast`.

    Returns
    -------
    table : DataFrame
        See `forecast_table`.
    level : PriceLevel or None
        How the new prices compare with the run's; None under window scaling, which is relative.

    Raises
    ------
    OptionError
        More days than a direct model's horizon.
    DataError
        See `forecast_table`.
    """
    days = days_to_forecast(forecaster, days)
    _check_inputs(forecaster, prices.frame)  # before its level and its calendar are worked out
    forecaster, level = at_level_of(prices, forecaster, closes)
    return forecast_next(forecaster, prices, bands, days), level


def at_level_of(
    prices: PriceSet, forecaster: Forecaster, closes: pd.Series
) -> tuple[Forecaster, PriceLevel | None]:
    """The forecaster for prices that may have been restated since it was trained; see `forecast_later`."""
    if forecaster.scaler.scaling == "window":
        return forecaster, None
    level = compare_levels(closes, prices.frame["Close"])
    return replace(forecaster, scaler=forecaster.scaler.restated(level.ratio)), level


def past_and_future(
    forecaster: Forecaster, prices: pd.DataFrame, ends: Mapping[str, pd.Timestamp], forecast: pd.DataFrame
) -> pd.DataFrame:
    """A forecast behind what the forecaster says of the sessions before it, each from the session before.

    Parameters
    ----------
    forecaster : Forecaster
    prices : DataFrame
        As `forecast_table` takes them; the first `lag` rows have no prediction.
    ends : mapping of str to Timestamp
        The last day of "train", "validation" and "test", as far as there are such parts, in this order.
    forecast : DataFrame
        From `forecast_table`.

    Returns
    -------
    DataFrame
        date, actual (NaN of the future), predicted, split (of `ends`; "new" after them, "future" of the forecast), step
        (sessions ahead), low, high (the band, of the future alone), direction (against `naive`), naive (the Close at
        the origin), origin: a row a session.
    """
    lag, close = forecaster.lag, prices["Close"].to_numpy(np.float64)
    raw = prices[list(forecaster.scaler.features)].to_numpy(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(raw, lag, axis=0).transpose(0, 2, 1)[:-1]
    naive, dates = close[lag - 1 : -1], prices.index[lag:]
    predicted = np.empty((0, 1))
    if len(windows):  # networks take no fewer than one
        predicted = forecaster.predict(forecaster.scaler.inputs(windows, naive), naive)
    past = pd.DataFrame(
        {
            "date": dates,
            "actual": close[lag:],
            "predicted": predicted[:, 0],
            "split": np.select([dates <= end for end in ends.values()], list(ends), "new"),
            "step": 1,
            "low": np.nan,
            "high": np.nan,
            **dict.fromkeys(forecaster.inner_columns, np.nan),
            "direction": _directions(predicted[:, 0], naive),
            "naive": naive,
            "origin": prices.index[lag - 1 : -1],
        }
    )
    future = forecast.rename(columns={"price": "predicted"}).assign(actual=np.nan, split="future")
    return pd.concat([past, future[list(past)]], ignore_index=True)


def _directions(prices: FloatArray, naive: FloatArray | float) -> NDArray[np.str_]:
    """Whether each price is "up", "down" or "unchanged" against the last close."""
    return np.array(["down", "unchanged", "up"])[np.sign(prices - naive).astype(int) + 1]
