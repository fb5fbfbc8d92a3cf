"""Measures of one model's walk through one ticker, and pooled over many.

Stocks move together, so that the days of many tickers are no independent trials: pooled tests are of the mean over
tickers by date, and the pooled hit rate counts as many forecasts as are worth independent ones. Prices of different
stocks cannot be added, so that pooled errors are of log returns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trendlstm.errors import DataError
from trendlstm.evaluation.metrics import (
    HitRate,
    StepMetrics,
    check_prices,
    clustered_interval,
    design_effect,
    evaluate,
    origins_ahead,
)
from trendlstm.evaluation.significance import (
    NO_LOG_RETURN,
    ROUNDING,
    Correlation,
    TestResult,
    diebold_mariano_prices,
    lag,
    lag_correlations,
    mean_above_zero,
)

FloatArray = NDArray[np.float64]
Dates = NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class TickerForecasts:
    """A model's forecasts of one ticker, made at consecutive origins.

    Attributes
    ----------
    dates : ndarray (n,) of datetime64
        The origins, ascending.
    naive : ndarray (n,)
        C_t, the close at each origin, which is persistence's forecast.
    actual, forecast : ndarray (n, m)
        Closes 1 ... m sessions later, and as predicted.
    scale : ndarray (m,)
        `naive_scale` of the closes before the first origin.

    Raises
    ------
    DataError
        Shapes that do not fit together, a price that is not finite, or dates that do not ascend.
    """

    dates: Dates
    naive: FloatArray
    actual: FloatArray
    forecast: FloatArray
    scale: FloatArray

    def __post_init__(self) -> None:
        check_prices(self.naive, self.actual, self.forecast)
        if self.dates.shape != self.naive.shape or self.scale.shape != self.actual.shape[1:]:
            raise DataError(
                f"Expected dates {self.naive.shape} and scale {self.actual.shape[1:]}, but got the shapes "
                f"{self.dates.shape} and {self.scale.shape}."
            )
        if not (self.dates[1:] > self.dates[:-1]).all():
            raise DataError("Expected the dates of the origins in ascending order, each once.")


@dataclass(frozen=True)
class WalkMetrics:
    """Every measure of one step of a walk, of one ticker or pooled.

    Attributes
    ----------
    measured : StepMetrics
        Of one ticker, what `evaluate` gives. Pooled, `n` is the number of dates, `rmse` and `mae` are of log returns
        (NaN where a predicted price is not above 0), and the tests are of means over tickers by date; so
        `claims_evidence` can be asked of both alike.
    mase : float or None
        Mean absolute error over `TickerForecasts.scale`; pooled, the mean over tickers. None where prices stood still
        before the first origin.
    diebold_mariano_prices : TestResult
        Against persistence; pooled, of errors over `TickerForecasts.scale`. `measured.diebold_mariano`, of log returns,
        is the headline: a price level weighs the years at its height more than the others.
    lag : int or None
        The shift, in origins, at which the forecasts fit the closes best; pooled, on average over tickers.
    effective_n : float
        How many independent forecasts these are worth: pooled, more than dates and fewer than forecasts.
    """

    measured: StepMetrics
    mase: float | None
    diebold_mariano_prices: TestResult
    lag: int | None
    effective_n: float

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as nested plain dicts, fit for JSON but for NaN."""
        return {
            **self.measured.to_dict(),
            "mase": self.mase,
            "diebold_mariano_prices": vars(self.diebold_mariano_prices).copy(),
            "lag": self.lag,
            "effective_n": self.effective_n,
        }


def naive_scale(close: FloatArray, horizon: int) -> FloatArray:
    """Mean absolute change of a close over 1 ... m sessions, by which the MASE divides (Hyndman & Koehler 2006).

    Parameters
    ----------
    close : ndarray (n,)
        Closes up to the first test origin.
    horizon : int
        m.

    Returns
    -------
    ndarray (m,)
        NaN where there are no k + 1 closes.
    """
    return np.array(
        [np.abs(close[k:] - close[:-k]).mean() if len(close) > k else math.nan for k in range(1, horizon + 1)]
    )


def measure_ticker(walk: TickerForecasts, stride: int = 1) -> list[WalkMetrics]:
    """Measure a model's walk through one ticker.

    Parameters
    ----------
    walk : TickerForecasts
    stride : int
        Sessions from one origin to the next.

    Returns
    -------
    list of WalkMetrics
        m entries, step 1 first.
    """
    metrics = []
    for measured in evaluate(walk.naive, walk.actual, walk.forecast, stride):
        index, ahead = measured.step - 1, origins_ahead(measured.step, stride)
        actual, forecast = walk.actual[:, index], walk.forecast[:, index]
        metrics.append(
            WalkMetrics(
                measured,
                _mase(measured.mae, walk.scale[index]),
                diebold_mariano_prices(actual, forecast, walk.naive, ahead),
                lag(lag_correlations(actual, forecast)),
                measured.n / ahead,
            )
        )
    return metrics


def measure_pooled(walks: Sequence[TickerForecasts], stride: int = 1) -> list[WalkMetrics]:
    """Measure a model's walks through several tickers together.

    Every test is of the mean over tickers, by date, of what it tests for one ticker. The squared error of a date is the
    mean over its tickers, and the RMSE the root of the mean over dates.

    Parameters
    ----------
    walks : sequence of TickerForecasts
        Of one model, one for each ticker, all with the same m. Their dates may differ.
    stride : int
        Sessions from one origin to the next.

    Returns
    -------
    list of WalkMetrics
        m entries, step 1 first.

    Raises
    ------
    DataError
        No walk, or walks of different m.
    """
    if len({walk.actual.shape[1] for walk in walks}) != 1:
        raise DataError("Expected at least one ticker, and the same horizon for all.")
    calendar = _Calendar.of([walk.dates for walk in walks])
    return [
        _Pool(walks, index, calendar, calendar.origins_ahead(index + 1, stride)).metrics()
        for index in range(walks[0].actual.shape[1])
    ]


def losses_by_date(walks: Sequence[TickerForecasts], step: int) -> tuple[Dates, FloatArray]:
    """Squared errors of a model's log returns, the mean over tickers by date.

    Parameters
    ----------
    walks : sequence of TickerForecasts
        Of one model, one for each ticker.
    step : int
        Sessions ahead, 1 ... m.

    Returns
    -------
    dates : ndarray (T,) of datetime64
        All origins' dates, ascending.
    losses : ndarray (T,)
        NaN where a predicted price is not above 0.
    """
    calendar = _Calendar.of([walk.dates for walk in walks])
    return calendar.dates, calendar.mean(_log_errors(walks, step - 1) ** 2)


@dataclass(frozen=True, eq=False)
class _Calendar:
    """The dates of several tickers' origins, and which of them each forecast was made on."""

    dates: Dates  # (T,)
    positions: tuple[NDArray[np.intp], ...]  # of each ticker's origins in `dates`

    @classmethod
    def of(cls, dates: Sequence[Dates]) -> _Calendar:
        every, positions = np.unique(np.concatenate(dates), return_inverse=True)
        return cls(every, tuple(np.split(positions, np.cumsum([len(one) for one in dates])[:-1])))

    def sums(self, values: FloatArray) -> FloatArray:
        """Sum over tickers by date, of values of all tickers' origins one after another."""
        positions = np.concatenate(self.positions)
        return np.bincount(positions, values, minlength=len(self.dates)).astype(np.float64)

    def mean(self, values: FloatArray) -> FloatArray:
        return self.sums(values) / self.sums(np.ones(len(values)))

    def origins_ahead(self, step: int, stride: int) -> int:
        """How many dates in a row have forecasts that overlap, for the ticker for which they are most.

        Of tickers with the same origins that is ceil(k / stride); a stock's forecast of five sessions beside one of a
        currency that trades on seven days a week reaches over seven dates.
        """
        ahead = origins_ahead(step, stride)
        spans = [np.median(one[ahead:] - one[:-ahead]) for one in self.positions if len(one) > ahead]
        return math.ceil(max([*spans, ahead]))


class _Pool:
    """All tickers' forecasts of one step, (N,) numbers one ticker after another, and what they amount to by date."""

    def __init__(self, walks: Sequence[TickerForecasts], index: int, calendar: _Calendar, ahead: int) -> None:
        self.walks, self.index, self.calendar, self.ahead = walks, index, calendar, ahead
        self.ticker = np.repeat(np.arange(len(walks)), [len(walk.naive) for walk in walks])
        self.naive = np.concatenate([walk.naive for walk in walks])
        self.actual = np.concatenate([walk.actual[:, index] for walk in walks])
        self.forecast = np.concatenate([walk.forecast[:, index] for walk in walks])
        self.scale = np.array([walk.scale[index] for walk in walks])
        self.r = np.log(self.actual / self.naive)
        self.error = _log_errors(walks, index)
        self.f = self.r - self.error
        unfit = np.isnan(self.error).any()
        self.unfit = TestResult(None, None, len(calendar.dates), NO_LOG_RETURN) if unfit else None

    def metrics(self) -> WalkMetrics:
        rmse, reference = (math.sqrt(self.calendar.mean(error**2).mean()) for error in (self.error, self.r))
        measured = StepMetrics(
            step=self.index + 1,
            n=len(self.calendar.dates),
            rmse=rmse,
            mae=float(self.calendar.mean(np.abs(self.error)).mean()),
            mape=float(self.calendar.mean(100 * np.abs(self.forecast / self.actual - 1)).mean()),
            skill=1 - rmse / reference if self.unfit is None and reference > 0 else None,
            hit_rate=self.hit_rate(),
            diebold_mariano=self.unfit or self.smaller_losses(self.error**2, self.r**2),
            clark_west=self.unfit
            or self.test(
                2 * self.r * self.f, self.r**2, "what the forecast adds to the reference does not vary"
            ),
            pesaran_timmermann=self.pesaran_timmermann(),
            correlation=self.correlation(),
        )
        return WalkMetrics(
            measured, self.mase(), self.diebold_mariano_prices(), self.lag(), self.effective_n()
        )

    def test(self, values: FloatArray, sizes: FloatArray, constant: str) -> TestResult:
        """Test the mean over tickers by date."""
        return mean_above_zero(self.calendar.mean(values), float(sizes.max()), self.ahead, constant)

    def smaller_losses(self, losses: FloatArray, reference: FloatArray) -> TestResult:
        constant = "the difference of the squared errors does not vary"
        return self.test(reference - losses, np.maximum(losses, reference), constant)

    def diebold_mariano_prices(self) -> TestResult:
        if not (self.scale > 0).all():
            reason = "the prices of a ticker did not change before its first origin"
            return TestResult(None, None, len(self.calendar.dates), reason)
        losses, reference = (
            ((self.actual - one) / self.scale[self.ticker]) ** 2 for one in (self.forecast, self.naive)
        )
        return self.smaller_losses(losses, reference)

    def demeaned(self, values: FloatArray) -> FloatArray:
        """Values less the mean of their ticker."""
        return values - (np.bincount(self.ticker, values) / np.bincount(self.ticker))[self.ticker]

    def correlation(self) -> Correlation:
        """The correlation within tickers: no drift has one, whether common or a ticker's own."""
        if self.unfit:
            return Correlation(None, self.unfit)
        r, f = self.demeaned(self.r), self.demeaned(self.f)
        largest = max(np.abs(self.r).max(), np.abs(self.f).max())
        for name, changes in (("predicted", f), ("actual", r)):
            if np.abs(changes).max() <= ROUNDING * largest:
                reason = f"the {name} changes do not vary"
                return Correlation(None, TestResult(None, None, len(self.calendar.dates), reason))
        sizes = np.abs(r).max() * np.abs(f)
        return Correlation(
            float(r @ f / math.sqrt((r @ r) * (f @ f))),
            self.test(r * f, sizes, "their product does not vary"),
        )

    def directions(self) -> tuple[FloatArray, FloatArray]:
        """Signs of the actual and of the predicted changes."""
        return np.sign(self.actual - self.naive), np.sign(self.forecast - self.naive)

    def pesaran_timmermann(self) -> TestResult:
        """The covariance of the directions within tickers, of which the share of right ones above chance is twice.

        A pair without a direction adds nothing to its day.
        """
        actual, predicted = self.directions()
        is_directed = (actual != 0) & (predicted != 0)
        product = np.zeros(len(actual))
        for ticker in range(len(self.walks)):
            own = is_directed & (self.ticker == ticker)
            if own.any():
                product[own] = (actual[own] - actual[own].mean()) * (predicted[own] - predicted[own].mean())
        return self.test(
            product, np.ones(1), "all actual or all predicted directions of each ticker are the same"
        )

    def hit_rate(self) -> HitRate:
        """Hits of all tickers; the interval knows that tickers hit and miss together."""
        actual, predicted = self.directions()
        changed = actual != 0
        hit = changed & (actual == predicted)
        hits, counted = int(hit.sum()), int(changed.sum())
        unchanged = len(changed) - counted
        if counted == 0 or not predicted.any():
            return HitRate(hits, counted, unchanged, None, None, None)
        interval = clustered_interval(self.calendar.sums(hit), self.calendar.sums(changed), self.ahead)
        return HitRate(hits, counted, unchanged, hits / counted, *interval)

    def mase(self) -> float | None:
        errors = np.bincount(self.ticker, np.abs(self.forecast - self.actual)) / np.bincount(self.ticker)
        return float(np.mean(errors / self.scale)) if (self.scale > 0).all() else None

    def lag(self) -> int | None:
        fits = [
            lag_correlations(walk.actual[:, self.index], walk.forecast[:, self.index]) for walk in self.walks
        ]
        defined = [fit for fit in fits if fit is not None]
        return lag(np.mean(defined, axis=0)) if defined else None

    def effective_n(self) -> float:
        """Forecasts over the design effect of Clark-West's numbers."""
        d = 2 * self.r * self.f
        d -= d.mean()
        squares = float(d @ d)
        known = self.unfit is None and squares > 0
        effect = design_effect(self.calendar.sums(d), squares) if known else len(self.walks)
        return len(d) / (effect * self.ahead)


def _mase(mae: float, scale: float) -> float | None:
    return mae / float(scale) if scale > 0 else None


def _log_errors(walks: Sequence[TickerForecasts], index: int) -> FloatArray:
    """ln(actual / forecast), all tickers one after another; NaN where a forecast is not above 0."""
    forecast = np.concatenate([walk.forecast[:, index] for walk in walks])
    actual = np.concatenate([walk.actual[:, index] for walk in walks])
    return np.log(actual / np.where(forecast > 0, forecast, np.nan))
