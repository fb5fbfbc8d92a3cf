"""Measures of predicted prices: errors, skill, directions and the lag check.

All take prices: `origin_close` (n,) is C_t, the Close on the day of the forecast; `actual` and `predicted`
are the Close of later days, (n,) for one step or (n, m) for all. The n origins are consecutive sessions.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trendlstm.errors import DataError
from trendlstm.evaluation.significance import TestResult, diebold_mariano, pesaran_timmermann

FloatArray = NDArray[np.float64]

MAX_SHIFT = 5

# Correlations that differ by less than this differ by rounding only.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class HitRate:
    """How often the predicted direction was right.

    Attributes
    ----------
    hits, counted : int
        Days with the right direction, of the days on which the price changed.
    unchanged : int
        Days on which the price did not change; left out of `counted`.
    rate, low, high : float or None
        hits / counted and its 95 % Wilson interval, for step k that of hits / k among counted / k: forecasts k
        days ahead overlap, and only so many do not. None where there is nothing to count, or where no prediction
        says up or down (persistence).
    """

    hits: int
    counted: int
    unchanged: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class LagCheck:
    """By how many days the predictions trail the prices.

    Attributes
    ----------
    shift : int or None
        The s in -5 ... 5 with the highest correlation of prediction_t and actual_{t-s}: 1 for an echo of
        yesterday, 0 for a prediction that moves with its own day, negative for one that knows later days.
    correlation : float or None
        That correlation.
    reason : str or None
        Why there is none; None where there is.
    """

    shift: int | None
    correlation: float | None
    reason: str | None = None


@dataclass(frozen=True)
class StepMetrics:
    """Every measure of one step's predictions.

    Attributes
    ----------
    step : int
        Days ahead, 1 ... m.
    n : int
        Number of predictions.
    rmse, mae : float
        In the price's currency.
    mape : float
        Percent.
    skill : float or None
        1 - RMSE / RMSE(persistence); None where persistence makes no error.
    hit_rate : HitRate
    diebold_mariano, pesaran_timmermann : TestResult
        One-sided, the first against persistence.
    lag_check : LagCheck
    """

    step: int
    n: int
    rmse: float
    mae: float
    mape: float
    skill: float | None
    hit_rate: HitRate
    diebold_mariano: TestResult
    pesaran_timmermann: TestResult
    lag_check: LagCheck

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as nested plain dicts, fit for JSON."""
        return asdict(self)


def rmse(actual: FloatArray, predicted: FloatArray) -> float:
    """Root of the mean squared error, in the price's currency."""
    return math.sqrt(np.mean((predicted - actual) ** 2))


def mae(actual: FloatArray, predicted: FloatArray) -> float:
    """Mean absolute error, in the price's currency."""
    return float(np.mean(np.abs(predicted - actual)))


def mape(actual: FloatArray, predicted: FloatArray) -> float:
    """Mean absolute error as a percentage of the actual price."""
    return float(100 * np.mean(np.abs(predicted - actual) / actual))


def skill(origin_close: FloatArray, actual: FloatArray, predicted: FloatArray) -> float | None:
    """1 - RMSE / RMSE(persistence): 1 is perfect, 0 as good as C_t; None where persistence makes no error."""
    reference = rmse(actual, origin_close)
    return 1 - rmse(actual, predicted) / reference if reference > 0 else None


def wilson_interval(hits: float, counted: float, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion (Wilson 1927).

    Parameters
    ----------
    hits, counted : float
        Successes, and independent trials (more than 0); an effective number of them need not be whole.
    confidence : float
        Coverage, two-sided.

    Returns
    -------
    low, high : float
        Within [0, 1].
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / counted
    centre = (share + z**2 / (2 * counted)) / (1 + z**2 / counted)
    half = z / (1 + z**2 / counted) * math.sqrt(share * (1 - share) / counted + z**2 / (4 * counted**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def hit_rate(origin_close: FloatArray, actual: FloatArray, predicted: FloatArray, step: int = 1) -> HitRate:
    """Share of days on which the sign of predicted - C_t is that of actual - C_t.

    Days on which the price did not change are left out and counted; a prediction of exactly C_t is a miss.

    Parameters
    ----------
    origin_close, actual, predicted : ndarray (n,)
    step : int
        Days ahead, k: of n forecasts only n / k do not overlap, and so many the interval counts.

    Returns
    -------
    HitRate
    """
    direction, predicted_direction = np.sign(actual - origin_close), np.sign(predicted - origin_close)
    changed = direction != 0
    counted = int(changed.sum())
    hits = int((direction == predicted_direction)[changed].sum())
    if counted == 0 or not predicted_direction.any():
        return HitRate(hits, counted, len(actual) - counted, None, None, None)
    interval = wilson_interval(hits / step, counted / step)
    return HitRate(hits, counted, len(actual) - counted, hits / counted, *interval)


def lag_check(actual: FloatArray, predicted: FloatArray) -> LagCheck:
    """Find the shift s in -5 ... 5 that maximises corr(prediction_t, actual_{t-s}).

    All shifts are compared over the same t, those with 5 prices on either side. Of equal correlations the
    smallest shift counts.

    Parameters
    ----------
    actual, predicted : ndarray (n,)
        By consecutive dates.

    Returns
    -------
    LagCheck
        Without a shift for fewer than 13 prices, or where the predictions or the prices do not vary.
    """
    n = len(actual)
    if n < 2 * MAX_SHIFT + 3:
        return LagCheck(None, None, f"{n} predictions are too few, {2 * MAX_SHIFT + 3} are needed")
    centre = predicted[MAX_SHIFT : n - MAX_SHIFT]
    shifts = sorted(range(-MAX_SHIFT, MAX_SHIFT + 1), key=abs)
    shifted = np.stack([actual[MAX_SHIFT - s : n - MAX_SHIFT - s] for s in shifts])
    if np.ptp(centre) == 0 or (np.ptp(shifted, axis=1) == 0).any():
        return LagCheck(None, None, "the predictions or the prices do not vary")
    correlations = [float(np.corrcoef(centre, prices)[0, 1]) for prices in shifted]
    best = next(i for i, r in enumerate(correlations) if r >= max(correlations) - _ROUNDING)
    return LagCheck(shifts[best], correlations[best])


def evaluate(origin_close: FloatArray, actual: FloatArray, predicted: FloatArray) -> list[StepMetrics]:
    """Measure a model's predicted prices, step by step.

    Parameters
    ----------
    origin_close : ndarray (n,)
        Close at each origin, which is also persistence's prediction.
    actual, predicted : ndarray (n, m)
        Close 1 ... m days later, and as predicted.

    Returns
    -------
    list of StepMetrics
        m entries, step 1 first.

    Raises
    ------
    DataError
        Shapes that do not fit together, or a price that is not finite.
    """
    same = predicted.shape == actual.shape and origin_close.shape == actual.shape[:1]
    if actual.ndim != 2 or actual.size == 0 or not same:
        raise DataError(
            "Expected origin_close (n,), actual (n, m) and predicted (n, m) with n and m of at least 1, but "
            f"got the shapes {origin_close.shape}, {actual.shape} and {predicted.shape}."
        )
    for name, prices in (("origin_close", origin_close), ("actual", actual), ("predicted", predicted)):
        if not np.isfinite(prices).all():
            raise DataError(f"Expected finite prices, but {name} holds NaN or infinity.")
    return [
        StepMetrics(
            step=k,
            n=len(actual),
            rmse=rmse(a, p),
            mae=mae(a, p),
            mape=mape(a, p),
            skill=skill(origin_close, a, p),
            hit_rate=hit_rate(origin_close, a, p, k),
            diebold_mariano=diebold_mariano(a, p, origin_close, k),
            pesaran_timmermann=pesaran_timmermann(origin_close, a, p, k),
            lag_check=lag_check(a, p),
        )
        for k, (a, p) in enumerate(zip(actual.T, predicted.T, strict=True), start=1)
    ]
