"""`Forecaster`: trained networks together with what turns prices into their inputs and their outputs into prices."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trendlstm.data.windows import Scaler, Windows
from trendlstm.errors import DataError, OptionError

if TYPE_CHECKING:
    from trendlstm.nn.network import Network

FloatArray = NDArray[np.float64]

BAND = 0.8  # share of the validation errors that a forecast's band holds
LEAST_ERRORS = 20  # fewer validation errors than this give no band
LEAST_SPANS = (
    5  # nor do fewer spans that do not overlap: the errors of long steps are nearly all the same ones
)


@dataclass(frozen=True, eq=False)
class Forecaster:
    """One network, or an ensemble whose outputs are averaged in target units.

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
        """
        outputs = [
            network.predict(x, n_threads=self.n_threads).astype(np.float64) for network in self.networks
        ]
        return self.scaler.prices(np.mean(outputs, axis=0), anchors)

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
        from trendlstm.nn.network import recurse

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


def error_bands(forecaster: Forecaster, windows: Windows) -> list[tuple[float, float]]:
    """How far off the forecasts of the validation rows were, at each step ahead.

    Parameters
    ----------
    forecaster : Forecaster
        Trained on the training rows of `windows`.
    windows : Windows

    Returns
    -------
    list of (low, high)
        For step 1, 2, ...: -q and q, the BAND quantile of |actual - forecast| / close at the origin, so that a band
        around a forecast holds it. A direct model has at most its m steps; a recursive one is started at every
        validation origin. Neither has more steps than leave LEAST_ERRORS errors, and LEAST_SPANS spans of so many
        steps among the n validation origins that do not overlap.
    """
    validation = windows.validation
    n = len(validation.anchors)
    if n < LEAST_ERRORS:
        return []
    steps = n // LEAST_SPANS
    if not forecaster.is_recursive:
        errors = validation.actual - forecaster.predict(validation.x, validation.anchors)
        return [_band(error / validation.anchors) for error in errors.T[:steps]]
    steps = min(steps, n - LEAST_ERRORS + 1)
    histories = np.stack([windows.close[t - windows.lag + 1 : t + 1] for t in validation.origins])
    forecasts = forecaster.recurse(histories, steps)
    closes, anchors = validation.actual[:, 0], validation.anchors
    # the forecast of step k from the i-th origin is of the close that step 1 has from origin i + k - 1
    return [_band((closes[k:] - forecasts[: n - k, k]) / anchors[: n - k]) for k in range(steps)]


def forecast_table(
    forecaster: Forecaster,
    prices: pd.DataFrame,
    dates: pd.DatetimeIndex,
    bands: list[tuple[float, float]],
) -> pd.DataFrame:
    """The forecast of the sessions after the last row.

    Parameters
    ----------
    forecaster : Forecaster
    prices : DataFrame
        At least `forecaster.lag` rows; the forecast starts from the last one.
    dates : DatetimeIndex
        The sessions to forecast; at most the horizon of a direct model.
    bands : list of (low, high)
        From `error_bands`; where there is none for a step, low and high are NaN.

    Returns
    -------
    DataFrame
        One row per session: origin, date, step, price, direction ("up", "down", "unchanged" against the last
        close), low, high (the BAND band), naive (the last close).

    Raises
    ------
    DataError
        Fewer prices than the forecaster looks back, or a recursive forecast ran away.
    """
    if len(prices) < forecaster.lag:
        raise DataError(
            f"The model looks back {forecaster.lag} sessions, but there are only {len(prices)} prices: "
            "give more of them."
        )
    close = prices["Close"].to_numpy(np.float64)
    last, steps = close[-1], len(dates)
    if forecaster.is_recursive:
        price = forecaster.recurse(close[None, -forecaster.lag :], steps)[0]
    else:
        raw = prices[list(forecaster.scaler.features)].to_numpy(np.float64)[None, -forecaster.lag :]
        anchor = close[-1:]
        price = forecaster.predict(forecaster.scaler.inputs(raw, anchor), anchor)[0, :steps]
    edges = np.full((steps, 2), np.nan)
    edges[: len(bands)] = np.array(bands[:steps]).reshape(-1, 2)
    names = np.array(["down", "unchanged", "up"])
    return pd.DataFrame(
        {
            "origin": prices.index[-1],
            "date": dates,
            "step": np.arange(1, steps + 1),
            "price": price,
            "direction": names[np.sign(price - last).astype(int) + 1],
            "low": price + edges[:, 0] * last,
            "high": price + edges[:, 1] * last,
            "naive": last,
        }
    )


def _band(errors: FloatArray) -> tuple[float, float]:
    half = float(np.quantile(np.abs(errors), BAND))
    return -half, half
