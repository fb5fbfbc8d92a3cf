"""Bands of a walk, whose model is fitted anew again and again, and the share of the closes that they held.

Errors of one fold's model say little about the next one's, so that each fold has scores of its own: `scaled_errors` on
its calibration rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trendlstm.evaluation.intervals import NOMINAL, conformal_rank, enough_errors, error_overlap
from trendlstm.evaluation.metrics import clustered_interval

FloatArray = NDArray[np.float64]

GAMMA = 0.01  # how fast adaptive bands follow; docs/bands.md says why


@dataclass(frozen=True, eq=False)
class WalkBands:
    """Bands of one step of a walk, each made from what its own origin may know.

    Attributes
    ----------
    split : ndarray (n,)
        Half-widths of split conformal prediction, in units of the recent volatility at the origin: the
        `conformal_rank` smallest of the scores of the origin's fold. NaN where they are too few.
    adaptive : ndarray (n,)
        Those of adaptive conformal inference: `inf` where every price is held, `-inf` where none is.
    miscoverage : ndarray (n,)
        alpha_t, at which the adaptive ones were made.
    """

    split: FloatArray
    adaptive: FloatArray
    miscoverage: FloatArray


def walk_bands(
    scores: Sequence[FloatArray],
    errors: FloatArray,
    origins: NDArray[np.int64],
    step: int,
    gamma: float = GAMMA,
) -> WalkBands:
    """Make the band of each forecast of a walk: split conformal, and adaptive conformal inference.

    Adaptive conformal inference (Gibbs & Candes 2021) does not trust that the test days are like those that the scores
    come from. It widens the bands after every close that they missed and narrows them after every other, alpha_{t+1} =
    alpha_t + gamma (alpha - miss_t) with alpha = 1 - NOMINAL, so that in the long run the share of misses is alpha
    whatever the prices do. The outcome of a forecast of k days is known k days later, and counts from then on. The
    band of n scores is the ceil((n + 1) (1 - alpha_t)) smallest of them: endless where that is more than n, as for
    every alpha_t <= 0, and empty where it is 0, for alpha_t >= 1. alpha_t itself is never clipped: else the share of
    misses would have no bound.

    Parameters
    ----------
    scores : sequence of n ndarrays
        `scaled_errors` of that step on the calibration rows of the fold of each origin, in any order; NaN is left out.
        Origins of one fold in a row may share one array object, which is then sorted once.
    errors : ndarray (n,)
        `scaled_errors` of the walk's own forecasts; NaN where the outcome or the volatility is not known.
    origins : ndarray (n,)
        Ascending row numbers of the days on which the forecasts were made.
    step : int
        Days ahead, k.
    gamma : float
        How fast the adaptive bands follow.

    Returns
    -------
    WalkBands
    """
    n = len(errors)
    split, adaptive, miscoverage = np.empty((3, n))
    alpha, known, sorted_fold = 1 - NOMINAL, 0, None
    for index, fold in enumerate(scores):
        while origins[known] + step <= origins[index]:
            # without a band or an error there is nothing to learn
            if not math.isnan(errors[known] + split[known]):
                alpha += gamma * ((1 - NOMINAL) - float(errors[known] > adaptive[known]))
            known += 1
        if fold is not sorted_fold:
            sorted_fold, ascending = fold, np.sort(fold[~np.isnan(fold)])
        miscoverage[index] = alpha
        if enough_errors(len(ascending), step):
            split[index] = ascending[conformal_rank(len(ascending)) - 1]
            adaptive[index] = _quantile(ascending, alpha)
        else:
            split[index] = adaptive[index] = math.nan
    return WalkBands(split, adaptive, miscoverage)


def _quantile(ascending: FloatArray, alpha: float) -> float:
    """The score that the next one exceeds with probability alpha at most; infinite where none of these will do."""
    n = len(ascending)
    rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)  # 1 - 0.2 is rounded
    if rank > n:
        return math.inf
    return float(ascending[rank - 1]) if rank > 0 else -math.inf


def band_edges(
    forecast: FloatArray, half_width: FloatArray, volatility: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper prices of the bands around forecasts.

    Parameters
    ----------
    forecast, half_width, volatility : ndarray (n,)
        Predicted prices, half-widths as in `WalkBands`, and `recent_volatility` at the origins.

    Returns
    -------
    low, high : ndarray (n,)
        0 and infinity for an endless band, NaN for an empty one, and where half-width or volatility is NaN or the
        forecast is no price.
    """
    reach = np.where((half_width >= 0) & (forecast > 0), half_width, np.nan) * volatility
    price = np.where(forecast > 0, forecast, np.nan)
    return price * np.exp(-reach), price * np.exp(reach)


@dataclass(frozen=True)
class Coverage:
    """The share of the closes that bands held.

    Attributes
    ----------
    covered, counted : int
        Forecasts whose close the band held, of all with a band and a known close.
    low, high : float or None
        95 % interval of their share; None where nothing is counted.
    median_half_width : float or None
        In units of recent volatility.
    """

    covered: int
    counted: int
    low: float | None
    high: float | None
    median_half_width: float | None

    @property
    def share(self) -> float | None:
        """Covered / counted; None where nothing is counted."""
        return self.covered / self.counted if self.counted else None


def coverage_of_bands(
    dates: Sequence[NDArray[np.datetime64]],
    errors: Sequence[FloatArray],
    half_widths: Sequence[FloatArray],
    step: int,
    stride: int = 1,
) -> Coverage:
    """Count the closes that bands held, for one ticker or pooled over many.

    The interval knows that errors overlap (`error_overlap`) and that tickers err together (`clustered_interval`).

    Parameters
    ----------
    dates, errors, half_widths : sequences of ndarray (n,)
        For each ticker: the origins' dates, `scaled_errors`, and the half-widths of their bands. NaN in either of the
        last two is not counted.
    step : int
        Days ahead.
    stride : int
        Sessions from one origin to the next.

    Returns
    -------
    Coverage
    """
    day, error, half_width = np.concatenate(dates), np.concatenate(errors), np.concatenate(half_widths)
    is_known = ~np.isnan(error + np.abs(half_width))
    held = (error <= half_width)[is_known]
    if not held.size:
        return Coverage(0, 0, None, None, None)
    _, date = np.unique(day[is_known], return_inverse=True)
    low, high = clustered_interval(
        np.bincount(date, held).astype(np.float64),
        np.bincount(date).astype(np.float64),
        error_overlap(step, stride),
    )
    return Coverage(int(held.sum()), held.size, low, high, float(np.median(half_width[is_known])))
