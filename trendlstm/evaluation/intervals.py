"""Forecast intervals, called bands: made from the errors of earlier forecasts, measured against recent volatility.

Volatility clusters: errors of a calm year make bands that are too narrow for a wild one. So each error is divided by
the volatility of the days before its own forecast, and a band is as many of those units wide as held the nominal share
of earlier errors, times the volatility of the days before the forecast that it belongs to (locally weighted split
conformal prediction: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018, with the volatility of RiskMetrics 1996).
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trendlstm.evaluation.metrics import wilson_interval

FloatArray = NDArray[np.float64]

NOMINAL = 0.8  # share of the prices that a band should hold
DECAY = 0.94  # RiskMetrics' for daily returns; 0.9 and 0.97 were no better in simulation
LEAST_RETURNS = 20  # fewer returns than this say too little about volatility
LEAST_ERRORS = 20  # fewer errors before the test rows give no band
LEAST_SPANS = 5  # nor do fewer spans that do not overlap: errors of long steps are nearly all the same ones


@dataclass(frozen=True)
class Band:
    """The band of forecasts some days ahead, and how it did on the test rows.

    Attributes
    ----------
    step : int
        Days ahead, k.
    half_width : float
        q: the band of a forecast P is P exp(-q s) ... P exp(q s), s being the recent volatility at its origin.
        Infinite where too many of the forecasts were no prices (0 or less).
    errors : int
        How many errors q comes from.
    covered, counted : int
        Test rows whose price the band held, of all; each one's band comes from errors known at its origin.
    low, high : float
        95 % interval of covered / counted: Wilson's for n / `error_overlap` rows.
    """

    step: int
    half_width: float
    errors: int
    covered: int
    counted: int
    low: float
    high: float

    @property
    def coverage(self) -> float:
        """Share of the test rows whose price the band held."""
        return self.covered / self.counted

    def edges(self, price: float, volatility: float) -> tuple[float, float]:
        """Return the lower and upper price of the band around a forecast.

        Parameters
        ----------
        price : float
            The forecast.
        volatility : float
            `recent_volatility` at its origin.

        Returns
        -------
        low, high : float
            NaN where the forecast is no price, the volatility is not known, or the band has no end.
        """
        reach = self.half_width * volatility
        if not (price > 0 and math.isfinite(reach)):
            return math.nan, math.nan
        return price * math.exp(-reach), price * math.exp(reach)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the coverage as a plain dict, fit for JSON."""
        return {**asdict(self), "coverage": self.coverage}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Band:
        """Restore a band from `to_dict`'s result, also after a trip through JSON, which says null for infinity."""
        values = {field.name: state[field.name] for field in fields(cls)}
        return cls(
            **{**values, "half_width": math.inf if values["half_width"] is None else values["half_width"]}
        )


def recent_volatility(close: FloatArray, decay: float = DECAY) -> FloatArray:
    """Exponentially weighted volatility of the daily log returns up to each day.

    Parameters
    ----------
    close : ndarray (n,)
    decay : float
        lambda in (0, 1): the weight of a day's return against the next day's.

    Returns
    -------
    ndarray (n,)
        s[t] = sqrt(sum_i lambda^i r[t-i]^2 / sum_i lambda^i), i = 0 ... t-1, r[t] = ln(close[t] / close[t-1]); NaN for
        the first LEAST_RETURNS days, and where no return was other than 0.
    """
    squares = pd.Series(np.diff(np.log(close), prepend=np.nan) ** 2)
    variance = squares.ewm(alpha=1 - decay, min_periods=LEAST_RETURNS).mean().to_numpy()
    return np.sqrt(np.where(variance > 0, variance, np.nan))


def scaled_errors(actual: FloatArray, predicted: FloatArray, volatility: FloatArray) -> FloatArray:
    """How far forecasts were off, in units of the recent volatility at their origins.

    Parameters
    ----------
    actual, predicted : ndarray (n, m)
        Prices 1 ... m days after each origin; actual is NaN where it is not known.
    volatility : ndarray (n,)
        `recent_volatility` at the origins.

    Returns
    -------
    ndarray (n, m)
        |ln(actual / predicted)| / volatility; infinite where the forecast is 0 or less.
    """
    with np.errstate(divide="ignore"):
        errors = np.abs(np.log(actual) - np.log(np.maximum(predicted, 0)))
    return errors / volatility[:, None]


def conformal_rank(n: int) -> int:
    """Which of n errors in ascending order, counted from 1, the next one exceeds with probability 1 - NOMINAL at most.

    It is ceil((n + 1) NOMINAL), for n of 4 at least.
    """
    return math.ceil((n + 1) * NOMINAL)


def calibrate(errors: FloatArray, origins: NDArray[np.int64], first_test: int, step: int) -> Band | None:
    """Make the band of one step, and measure its coverage as it would have been made on each test day.

    Parameters
    ----------
    errors : ndarray (n,)
        `scaled_errors` of that step; NaN, which is left out, where the outcome or the volatility is not known.
    origins : ndarray (n,)
        Ascending row numbers of the days on which the forecasts were made.
    first_test : int
        The first origin whose price is a test row.
    step : int
        Days ahead.

    Returns
    -------
    Band or None
        Its half-width comes from all errors. The test row of origin t counts as covered if its error is at most the
        `conformal_rank` smallest of those known on day t: of the origins up to t - step. None without a test row, and
        where the errors known at `first_test` are fewer than LEAST_ERRORS or span fewer rows than LEAST_SPANS steps.
    """
    is_known = ~np.isnan(errors)
    errors, origins = errors[is_known], origins[is_known]
    before = int(np.searchsorted(origins, first_test - step, side="right"))
    tested = np.flatnonzero(origins >= first_test)
    if not enough_errors(before, step) or not tested.size:
        return None
    known: list[float] = []  # ascending
    covered = 0
    for index in tested:
        while origins[len(known)] + step <= origins[index]:
            insort(known, errors[len(known)])
        covered += bool(errors[index] <= known[conformal_rank(len(known)) - 1])
    half_width = float(np.sort(errors)[conformal_rank(len(errors)) - 1])
    overlap = error_overlap(step)
    low, high = wilson_interval(covered / overlap, tested.size / overlap)
    return Band(step, half_width, len(errors), covered, tested.size, low, high)


def enough_errors(errors: int, step: int) -> bool:
    """Whether so many errors of consecutive forecasts make a band."""
    return errors >= LEAST_ERRORS and errors + step - 1 >= LEAST_SPANS * step


def error_overlap(step: int, stride: int = 1) -> float:
    """How many origins in a row count as one for the coverage of their bands, because their errors overlap.

    Errors of k days that begin d days apart share k - d days: their correlation is 1 - d / k, that of whether |error|
    is small about its square.

    Parameters
    ----------
    step : int
        Days ahead, k.
    stride : int
        Days from one origin to the next, s.

    Returns
    -------
    float
        sum_j (1 - |j| s / k)^2 over all |j| s < k, which is (2 k^2 + 1) / (3 k) for s = 1.
    """
    shared = 1 - np.arange(stride, step, stride) / step
    return float(1 + 2 * shared @ shared)
