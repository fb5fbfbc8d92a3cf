"""What an account that follows the forecasts would have earned.

A signal that is made after the close of day t trades at the next session's open where opens exist, else at its close:
never on its own bar. A day of an account lasts from one session's trade price to the next one's and bears the date on
which it ends, so that the equity of a date is known at that date's trade price. Over a day the position is one weight w
of the equity: a short position, and the equal weights of a portfolio, are set right again every day at no cost. Cash
earns nothing, and nothing is paid for lending shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trendlstm.errors import DataError

FloatArray = NDArray[np.float64]
DateArray = NDArray[np.datetime64]

LONG_FLAT, LONG_SHORT, BUY_AND_HOLD = "long/flat", "long/short", "buy and hold"

# name: weight w of the equity that is held, as a function of the signal
STRATEGIES: dict[str, Callable[[FloatArray], FloatArray]] = {
    LONG_FLAT: lambda signal: np.maximum(signal, 0),
    LONG_SHORT: lambda signal: signal,
    BUY_AND_HOLD: np.ones_like,
}

COSTS_BPS = (0.0, 5.0, 10.0)  # always shown side by side


@dataclass(frozen=True)
class HoldingDays:
    """The days on which the forecasts of one ticker can be followed.

    Attributes
    ----------
    dates : ndarray (n + 1,) of datetime64
        Sessions from the first trade to the last day's end: day d lasts from `dates[d]` to `dates[d + 1]`.
    returns : ndarray (n,)
        Of each day, from trade price to trade price.
    change : ndarray (n,)
        What the forecast that is followed on the day said: forecast - close at its origin.
    trades_at : "open" or "close"
        Which price of a session is its trade price.
    untraded : int
        Forecasts at the end that cannot be followed, because a day needs two sessions after its forecast.
    """

    dates: DateArray
    returns: FloatArray
    change: FloatArray
    trades_at: Literal["open", "close"]
    untraded: int

    @property
    def signal(self) -> FloatArray:
        """1 where the forecast says up, -1 for down, 0 where it equals its close; ndarray (n,)."""
        return np.sign(self.change)


def holding_days(
    dates: Any,
    open_prices: FloatArray | None,
    close: FloatArray,
    origins: NDArray[np.integer[Any]],
    stride: int,
    forecast: FloatArray,
) -> HoldingDays:
    """Turn forecasts into signals, each on the days from its trade to the next forecast's.

    Parameters
    ----------
    dates : pandas.DatetimeIndex or ndarray (n_rows,) of datetime64
        Consecutive sessions of one ticker.
    open_prices : ndarray (n_rows,) or None
        None where there are none: then trades are made at the close.
    close : ndarray (n_rows,)
    origins : ndarray (k,) of int
        Rows after whose close the forecasts were made, every `stride` sessions.
    stride : int
        Sessions from one forecast to the next. The last forecast, too, is followed for so many days, or until the rows
        end.
    forecast : ndarray (k,)
        Prices. The sign of forecast - close[origin] is the signal.

    Returns
    -------
    HoldingDays

    Raises
    ------
    DataError
        Shapes that do not fit together, origins that are not `stride` rows apart, a forecast that is not finite, a
        price that is not finite and above 0, or no forecast that can be followed.
    """
    days, prices = np.asarray(dates), close if open_prices is None else open_prices
    if not (
        days.shape == close.shape == prices.shape and origins.shape == forecast.shape and close.ndim == 1
    ):
        raise DataError(
            "Expected dates, open_prices and close of one shape (n_rows,), and origins and forecast of one shape (k,), "
            f"but got {days.shape}, {prices.shape} and {close.shape}, and {origins.shape} and {forecast.shape}."
        )
    if (np.diff(origins) != stride).any():
        raise DataError(f"Expected origins {stride} rows apart, but they are not.")
    change = forecast - close[origins]
    if not np.isfinite(change).all():
        day = np.datetime_as_string(days[origins][~np.isfinite(change)][0], "D")
        raise DataError(
            f"The forecast that was made on {day}, or the close of that day, is not a finite number."
        )
    tradable = int((origins + 2 < len(close)).sum())
    if tradable == 0:
        raise DataError(
            "No forecast can be followed, because the prices end before the second session after the first forecast."
        )

    start = int(origins[0]) + 1
    rows = slice(start, min(start + tradable * stride, len(close) - 1) + 1)
    traded = prices[rows]
    bad = ~(np.isfinite(traded) & (traded > 0))
    if bad.any():
        day = np.datetime_as_string(days[rows][bad][0], "D")
        raise DataError(f"The price at which {day} trades is not finite and above 0.")
    followed = np.arange(len(traded) - 1) // stride
    return HoldingDays(
        dates=days[rows],
        returns=traded[1:] / traded[:-1] - 1,
        change=change[followed],
        trades_at="close" if open_prices is None else "open",
        untraded=len(origins) - tradable,
    )


@dataclass(frozen=True)
class Account:
    """What one strategy did and earned on n days, with one ticker or with a portfolio of several.

    Attributes
    ----------
    dates : ndarray (n + 1,) of datetime64
        First that of the first trade, then those on which the days end.
    position : ndarray (n,)
        Weight w over the day; of a portfolio the mean of its tickers' weights.
    exposure : ndarray (n,)
        |w|, of a portfolio the mean of |w|.
    turnover : ndarray (n,)
        |dw| at the day's beginning, the first from a weight of 0; of a portfolio the mean.
    gross : ndarray (n,)
        Return w r before costs.
    costs_bps : float
        What a turnover of 1 costs, in hundredths of a percent of the equity.
    trades : ndarray (k,)
        Net return of each trade. A trade is a run of days with one nonzero position of one ticker. It pays for its
        entry and its exit; one that is still open at the end has paid for its entry only.
    """

    dates: DateArray
    position: FloatArray
    exposure: FloatArray
    turnover: FloatArray
    gross: FloatArray
    costs_bps: float
    trades: FloatArray

    @property
    def cost(self) -> FloatArray:
        """What the day's turnover costs, as a share of the equity; ndarray (n,)."""
        return self.costs_bps / 1e4 * self.turnover

    @property
    def net(self) -> FloatArray:
        """The day's return after costs; ndarray (n,)."""
        return self.gross - self.cost

    @property
    def equity(self) -> FloatArray:
        """Running product of 1 + net, ndarray (n + 1,): 1 on the first date.

        An account that loses all or more in a day, which a short position can, is worth nothing from then on; `net`
        does not know that.
        """
        return np.concatenate([[1.0], np.cumprod(np.maximum(1 + self.net, 0))])


def account(days: HoldingDays, strategy: str, costs_bps: float) -> Account:
    """Follow the signals of one ticker.

    Parameters
    ----------
    days : HoldingDays
    strategy : str
        A key of `STRATEGIES`: "long/flat", "long/short" or "buy and hold".
    costs_bps : float
        What a turnover of 1 costs, in hundredths of a percent; a flip from long to short has a turnover of 2.

    Returns
    -------
    Account
    """
    position = STRATEGIES[strategy](days.signal)
    gross = position * days.returns
    return Account(
        dates=days.dates,
        position=position,
        exposure=np.abs(position),
        turnover=np.abs(np.diff(position, prepend=0.0)),
        gross=gross,
        costs_bps=costs_bps,
        trades=_trades(position, gross, costs_bps / 1e4),
    )


def _trades(position: FloatArray, gross: FloatArray, cost: float) -> FloatArray:
    """Net return of each run of days with one nonzero position."""
    starts = np.flatnonzero(np.diff(position, prepend=0.0))
    paid = cost * np.abs(position[starts])
    growth = 1 + gross
    growth[starts] -= paid
    ends = np.multiply.reduceat(np.maximum(growth, 0), starts)
    ends[:-1] *= 1 - paid[:-1]  # the last run is still open
    return ends[position[starts] != 0] - 1


def portfolio(accounts: Mapping[str, Account]) -> Account:
    """Hold several accounts with equal weights, which are set right again every day at no cost.

    Parameters
    ----------
    accounts : mapping of str to Account
        By ticker; one strategy and one cost.

    Returns
    -------
    Account
        Of each date on which a day of one of them ends: the mean over those that have one. Trades are those of all.
        The same bits in whatever order the accounts come.
    """
    (costs_bps,) = {one.costs_bps for one in accounts.values()}
    members = [accounts[ticker] for ticker in sorted(accounts)]
    dates = np.unique(np.concatenate([one.dates[1:] for one in members]))
    total, count = np.zeros((4, len(dates))), np.zeros(len(dates))
    for one in members:
        at = np.searchsorted(dates, one.dates[1:])
        total[:, at] += [one.position, one.exposure, one.turnover, one.gross]
        count[at] += 1
    position, exposure, turnover, gross = total / count
    return Account(
        dates=np.concatenate([[min(one.dates[0] for one in members)], dates]),
        position=position,
        exposure=exposure,
        turnover=turnover,
        gross=gross,
        costs_bps=costs_bps,
        trades=np.concatenate([one.trades for one in members]),
    )


def cost_levels(costs_bps: float) -> list[float]:
    """Return the costs that are shown side by side: 0, 5 and 10 bps and the user's own, ascending."""
    return sorted({*COSTS_BPS, float(costs_bps)})
