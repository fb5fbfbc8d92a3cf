"""Measures of an account: what it earned, at what risk, and how much it traded."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trendlstm.evaluation.metrics import wilson_interval
from trendlstm.evaluation.sharpe import LEAST_DAYS, SharpeRatio, sharpe_ratio
from trendlstm.evaluation.trading import Account

FloatArray = NDArray[np.float64]

LEAST_ANNUAL_DAYS = 126  # half a year: of fewer days a year's return would be a guess from a few


@dataclass(frozen=True)
class Drawdown:
    """The deepest fall of an equity from a peak.

    Attributes
    ----------
    depth : float
        1 - trough / peak; 0 where the equity never fell.
    peak, trough : int or None
        Indices into the equity (n + 1,), and so into `Account.dates`: the last day at the peak, the first at the
        trough. None where the equity never fell.
    recovery : int or None
        The first day after the trough with an equity as high as at the peak; None where there is none.
    """

    depth: float
    peak: int | None
    trough: int | None
    recovery: int | None


@dataclass(frozen=True)
class TradeHits:
    """How many trades earned something.

    Attributes
    ----------
    hits, counted : int
        Trades with a net return above 0, of all.
    rate, low, high : float or None
        hits / counted and its 95 % Wilson interval, as if trades were independent; None where there is no trade.
    """

    hits: int
    counted: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Performance:
    """Every measure of one account.

    Attributes
    ----------
    days : int
    total_return : float
        Last equity less 1.
    annualised_return : float or None
        (1 + total return)^(periods per year / days) - 1; None for fewer than `LEAST_DAYS` days.
    volatility : float or None
        Standard deviation of the daily net returns (n - 1) times sqrt(periods per year); None for fewer than
        `LEAST_DAYS` days.
    sharpe : SharpeRatio or None
        Of the daily net returns; the risk-free rate is 0.
    drawdown : Drawdown
    turnover, turnover_per_year : float
        Sum of |dw|, and as much in a year of such days.
    exposure : float
        Mean of |w|.
    trades : TradeHits
    """

    days: int
    total_return: float
    annualised_return: float | None
    volatility: float | None
    sharpe: SharpeRatio | None
    drawdown: Drawdown
    turnover: float
    turnover_per_year: float
    exposure: float
    trades: TradeHits

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as nested plain dicts, fit for JSON."""
        return asdict(self)


def told_return(days: int, total: float, annualised: float | None) -> tuple[float, str]:
    """Choose the return that tables and sentences tell.

    Parameters
    ----------
    days : int
    total, annualised : float or None
        `Performance.total_return` and `Performance.annualised_return`.

    Returns
    -------
    told : float
        The annualised one, but of fewer than `LEAST_ANNUAL_DAYS` days the total.
    over : str
        "a year", or "in 26 days".
    """
    if days < LEAST_ANNUAL_DAYS or annualised is None:
        return total, f"in {days:,} day{'' if days == 1 else 's'}"
    return annualised, "a year"


def max_drawdown(equity: FloatArray) -> Drawdown:
    """Find the deepest fall of an equity from a peak.

    Parameters
    ----------
    equity : ndarray (n + 1,)
        What the account was worth, from its start on; not below 0, and above 0 at the start.

    Returns
    -------
    Drawdown
        The first, of several that are as deep.
    """
    highest = np.maximum.accumulate(equity)
    falls = 1 - equity / highest
    trough = int(falls.argmax())
    if falls[trough] == 0:
        return Drawdown(0.0, None, None, None)
    peak = int(np.flatnonzero(equity[:trough] == highest[trough])[-1])
    recovered = np.flatnonzero(equity[trough:] >= highest[trough])
    return Drawdown(
        float(falls[trough]), peak, trough, trough + int(recovered[0]) if len(recovered) else None
    )


def trade_hits(trades: FloatArray) -> TradeHits:
    """Count the trades that earned something.

    Parameters
    ----------
    trades : ndarray (k,)
        Net return of each.

    Returns
    -------
    TradeHits
    """
    hits, counted = int((trades > 0).sum()), len(trades)
    if counted == 0:
        return TradeHits(hits, counted, None, None, None)
    return TradeHits(hits, counted, hits / counted, *wilson_interval(hits, counted))


def evaluate_account(account: Account, periods_per_year: float = 252) -> Performance:
    """Measure an account.

    Parameters
    ----------
    account : Account
        Of one ticker or of a portfolio.
    periods_per_year : float
        Days of trading: 252, or 365 where every day is one.

    Returns
    -------
    Performance
    """
    net, equity = account.net, account.equity
    years, enough = len(net) / periods_per_year, len(net) >= LEAST_DAYS
    turnover = float(account.turnover.sum())
    return Performance(
        days=len(net),
        total_return=float(equity[-1] - 1),
        annualised_return=float(equity[-1] ** (1 / years) - 1) if enough else None,
        volatility=float(net.std(ddof=1) * math.sqrt(periods_per_year)) if enough else None,
        sharpe=sharpe_ratio(net, periods_per_year),
        drawdown=max_drawdown(equity),
        turnover=turnover,
        turnover_per_year=turnover / years,
        exposure=float(account.exposure.mean()),
        trades=trade_hits(account.trades),
    )
