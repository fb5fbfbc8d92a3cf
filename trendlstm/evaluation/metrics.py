"""Measures of predicted prices: errors, skill, directions and tests.

All take prices: `origin_close` (n,) is C_t, the Close on the day of the forecast; `actual` and `predicted`
are the Close of later days, (n,) for one step or (n, m) for all. The n origins are consecutive sessions, or every
`stride`-th.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trendlstm.errors import DataError
from trendlstm.evaluation.significance import (
    Correlation,
    TestResult,
    clark_west,
    correlation,
    diebold_mariano,
    pesaran_timmermann,
)

FloatArray = NDArray[np.float64]

HIT_RATE_COLUMNS = ("hit_rate", "hit_rate_low", "hit_rate_high")  # of `StepMetrics.row`: shares of 1


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
    diebold_mariano, clark_west, pesaran_timmermann : TestResult
        One-sided, the first two against persistence.
    correlation : Correlation
        Of predicted and actual changes.
    """

    step: int
    n: int
    rmse: float
    mae: float
    mape: float
    skill: float | None
    hit_rate: HitRate
    diebold_mariano: TestResult
    clark_west: TestResult
    pesaran_timmermann: TestResult
    correlation: Correlation

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as nested plain dicts, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StepMetrics:
        """The measures that `to_dict` gave, also after a trip through JSON."""
        tests = ("diebold_mariano", "clark_west", "pesaran_timmermann")
        correlation = values["correlation"]
        parts = {
            "hit_rate": HitRate(**values["hit_rate"]),
            **{name: TestResult(**values[name]) for name in tests},
            "correlation": Correlation(correlation["value"], TestResult(**correlation["test"])),
        }
        return cls(**{**values, **parts})

    def row(self) -> dict[str, Any]:
        """The measures of a table: those of every test its p-value, those of the hit rate its interval."""
        return {
            "step": self.step,
            "n": self.n,
            "rmse": self.rmse,
            "mae": self.mae,
            "mape": self.mape,
            "skill": self.skill,
            "hit_rate": self.hit_rate.rate,
            "hit_rate_low": self.hit_rate.low,
            "hit_rate_high": self.hit_rate.high,
            "diebold_mariano_p": self.diebold_mariano.p_value,
            "clark_west_p": self.clark_west.p_value,
            "pesaran_timmermann_p": self.pesaran_timmermann.p_value,
            "correlation": self.correlation.value,
            "correlation_p": self.correlation.test.p_value,
        }


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


def clustered_interval(hits: FloatArray, counted: FloatArray, overlap: float = 1.0) -> tuple[float, float]:
    """95 % interval of a share whose trials come in groups, such as the tickers of one day.

    Stocks move together: on a day on which one forecast is right, so are others. Wilson's interval for the effective
    number of trials (Rao & Scott 1992), which is all trials over their `design_effect`. For a share of 0 or 1, where
    that is not defined, each group counts as one trial.

    Parameters
    ----------
    hits, counted : ndarray (T,)
        Successes h_t and trials c_t of each group.
    overlap : float
        How many groups in a row count as one, because their forecasts overlap.

    Returns
    -------
    low, high : float
    """
    trials = counted.sum()
    share = hits.sum() / trials
    squares = trials * share * (1 - share)
    effect = design_effect(hits - share * counted, squares) if squares > 0 else trials / (counted > 0).sum()
    effective = trials / (effect * overlap)
    return wilson_interval(share * effective, effective)


def design_effect(totals: FloatArray, squares: float) -> float:
    """How many trials that come in groups are worth one independent trial (Kish 1965).

    Parameters
    ----------
    totals : ndarray (T,)
        Sum over the trials of each group of their deviations from the mean of all.
    squares : float
        Sum over all trials of their squared deviations; more than 0.

    Returns
    -------
    float
        sum_t totals_t^2 / squares: about 1 where the trials of a group are independent, and the size of a group where
        all of it are alike. Never below 1, because groups whose trials make up for one another may be chance.
    """
    return max(1.0, float(totals @ totals) / squares)


def hit_rate(origin_close: FloatArray, actual: FloatArray, predicted: FloatArray, step: int = 1) -> HitRate:
    """Share of days on which the sign of predicted - C_t is that of actual - C_t.

    Days on which the price did not change are left out and counted; a prediction of exactly C_t is a miss.

    Parameters
    ----------
    origin_close, actual, predicted : ndarray (n,)
    step : int
        Origins ahead, k: of n forecasts only n / k do not overlap, and so many the interval counts.

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


@dataclass(frozen=True)
class PathMetrics:
    """Errors of one forecast of many days ahead.

    Attributes
    ----------
    n : int
        Number of days.
    rmse, mae : float
        In the price's currency.
    mape : float
        Percent.
    skill : float or None
        1 - RMSE / RMSE of the flat line; None where that makes no error.
    """

    n: int
    rmse: float
    mae: float
    mape: float
    skill: float | None


def evaluate_path(start: float, actual: FloatArray, predicted: FloatArray) -> PathMetrics:
    """Measure a forecast of many days ahead beside a flat line at the last close that it saw.

    Parameters
    ----------
    start : float
        That close.
    actual, predicted : ndarray (n,)
        Closes of later days, and as predicted.

    Returns
    -------
    PathMetrics
    """
    flat = np.full(len(actual), start)
    return PathMetrics(
        len(actual),
        rmse(actual, predicted),
        mae(actual, predicted),
        mape(actual, predicted),
        skill(flat, actual, predicted),
    )


def check_prices(origin_close: FloatArray, actual: FloatArray, predicted: FloatArray) -> None:
    """Refuse prices that cannot be measured.

    Parameters
    ----------
    origin_close : ndarray (n,)
    actual, predicted : ndarray (n, m)

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


def evaluate(
    origin_close: FloatArray, actual: FloatArray, predicted: FloatArray, stride: int = 1
) -> list[StepMetrics]:
    """Measure a model's predicted prices, step by step.

    Parameters
    ----------
    origin_close : ndarray (n,)
        Close at each origin, which is also persistence's prediction.
    actual, predicted : ndarray (n, m)
        Close 1 ... m days later, and as predicted.

    stride : int
        Sessions from one origin to the next.

    Returns
    -------
    list of StepMetrics
        m entries, step 1 first.

    Raises
    ------
    DataError
        Shapes that do not fit together, or a price that is not finite.
    """
    check_prices(origin_close, actual, predicted)
    measured = []
    for k, (a, p) in enumerate(zip(actual.T, predicted.T, strict=True), start=1):
        ahead = origins_ahead(k, stride)
        measured.append(
            StepMetrics(
                step=k,
                n=len(a),
                rmse=rmse(a, p),
                mae=mae(a, p),
                mape=mape(a, p),
                skill=skill(origin_close, a, p),
                hit_rate=hit_rate(origin_close, a, p, ahead),
                diebold_mariano=diebold_mariano(a, p, origin_close, ahead),
                clark_west=clark_west(a, p, origin_close, ahead),
                pesaran_timmermann=pesaran_timmermann(origin_close, a, p, ahead),
                correlation=correlation(origin_close, a, p, ahead),
            )
        )
    return measured


def origins_ahead(step: int, stride: int) -> int:
    """How many origins in a row have forecasts that overlap: ceil(k / stride) for k = `step` sessions ahead."""
    return -(-step // stride)
