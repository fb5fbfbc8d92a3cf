"""Returns, drawdowns, turnover, exposure and trades (trendlstm.evaluation.performance)."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trendlstm.evaluation.metrics import wilson_interval
from trendlstm.evaluation.performance import (
    Drawdown,
    evaluate_account,
    max_drawdown,
    told_return,
    trade_hits,
)
from trendlstm.evaluation.sharpe import LEAST_DAYS, sharpe_ratio
from trendlstm.evaluation.trading import account, holding_days, portfolio

# Ten days: two trades long, days 0 to 3 and day 6, and one short, days 7 to 9, which is still open.
RETURNS = np.array([0.1, -0.2, 0.1, 0.1, 0.5, 0.5, -0.1, -0.1, 0.1, -0.3])
POSITION = np.array([1, 1, 1, 1, 0, 0, 1, -1, -1, -1.0])


def long_short(returns=RETURNS, position=POSITION, costs_bps=100):
    """An account with these positions on days of these returns."""
    opens = np.cumprod([100, 1, *(1 + returns)])
    close, dates = np.full(len(opens), 50.0), pd.bdate_range("2024-01-01", periods=len(opens))
    days = holding_days(dates, opens, close, np.arange(len(returns)), 1, 50 + position)
    return account(days, "long/short", costs_bps)


def test_ten_days_by_hand():
    result = evaluate_account(long_short(), periods_per_year=252)
    net = [0.09, -0.2, 0.1, 0.1, -0.01, 0, -0.11, 0.08, -0.1, 0.3]
    last = 1.09 * 0.8 * 1.1 * 1.1 * 0.99 * 0.89 * 1.08 * 0.9 * 1.3
    assert result.days == 10
    assert result.total_return == pytest.approx(last - 1, rel=1e-12)
    assert result.annualised_return == pytest.approx(last**25.2 - 1, rel=1e-12)
    # the mean is 0.025, the sum of squares 0.1867
    assert result.volatility == pytest.approx(math.sqrt((0.1867 - 10 * 0.025**2) / 9 * 252), rel=1e-12)
    assert result.sharpe.per_day == pytest.approx(0.025 / math.sqrt((0.1867 - 10 * 0.025**2) / 9), rel=1e-12)
    assert result.sharpe.per_day == pytest.approx(sharpe_ratio(np.array(net)).per_day, rel=1e-12)
    # 1, 1.09, 0.872 and never above 1.09 until the last day
    assert result.drawdown == Drawdown(pytest.approx(0.2), peak=1, trough=2, recovery=10)
    assert (result.turnover, result.turnover_per_year) == (5, pytest.approx(126))
    assert result.exposure == pytest.approx(0.8)
    trades = result.trades
    assert (trades.hits, trades.counted, trades.rate) == (2, 3, 2 / 3)  # 1.0446, 0.8811, 1.2636
    assert (trades.low, trades.high) == wilson_interval(2, 3)


def test_a_year_of_365_days():
    one, other = evaluate_account(long_short(), 252), evaluate_account(long_short(), 365)
    assert other.volatility / one.volatility == pytest.approx(math.sqrt(365 / 252))
    assert math.log1p(other.annualised_return) / math.log1p(one.annualised_return) == pytest.approx(365 / 252)
    assert other.turnover_per_year / one.turnover_per_year == pytest.approx(365 / 252)
    assert other.sharpe == sharpe_ratio(long_short().net, 365)


def test_one_year_is_not_annualised():
    random = np.random.default_rng(0)
    result = evaluate_account(long_short(random.normal(0, 0.01, 252), np.ones(252)))
    assert result.annualised_return == pytest.approx(result.total_return, rel=1e-12)


def test_an_account_without_a_position_is_measured():
    result = evaluate_account(long_short(position=np.zeros(10)))
    assert (result.total_return, result.annualised_return, result.volatility) == (0, 0, 0)
    assert result.sharpe is None and result.drawdown == Drawdown(0.0, None, None, None)
    assert (result.turnover, result.exposure) == (0, 0)
    assert (result.trades.counted, result.trades.rate, result.trades.low) == (0, None, None)


def test_days_too_few_are_not_annualised():
    n = LEAST_DAYS - 1
    result = evaluate_account(long_short(RETURNS[:n], POSITION[:n]))
    assert (result.annualised_return, result.volatility, result.sharpe) == (None, None, None)
    assert result.days == n and result.total_return == pytest.approx(-0.096363, rel=1e-4)
    assert evaluate_account(long_short(RETURNS[:1], POSITION[:1])).drawdown.depth == 0


def test_who_loses_all_has_lost_all():
    result = evaluate_account(long_short(np.full(20, 1.5), np.full(20, -1.0)))
    assert (result.total_return, result.annualised_return, result.drawdown.depth) == (-1, -1, 1)
    assert (result.drawdown.peak, result.drawdown.trough, result.drawdown.recovery) == (0, 1, None)


def test_a_portfolio_counts_the_trades_of_all():
    one, other = long_short(), long_short(position=-POSITION)
    result = evaluate_account(portfolio({"ONE": one, "OTHER": other}))
    hits = [evaluate_account(each).trades for each in (one, other)]
    assert result.trades.counted == sum(each.counted for each in hits) == 6
    assert result.trades.hits == sum(each.hits for each in hits)
    # long and short at the same time
    assert result.exposure == pytest.approx(0.8) and result.turnover == 5


def test_measures_are_fit_for_json():
    assert json.loads(json.dumps(evaluate_account(long_short()).to_dict()))["sharpe"]["days"] == 10


# --- Drawdowns ---------------------------------------------------------------------------------------------


def test_drawdowns_by_hand():
    assert max_drawdown(np.array([1, 2, 2, 1, 1, 2, 3.0])) == Drawdown(0.5, 2, 3, 5)
    assert max_drawdown(np.array([1, 0.9, 0.5, 0.8])) == Drawdown(0.5, 0, 2, None)
    assert max_drawdown(np.array([1, 1.5, 1.5, 2])) == Drawdown(0.0, None, None, None)
    assert max_drawdown(np.array([4, 3, 4, 2, 4, 2.0])) == Drawdown(0.5, 2, 3, 4)


@given(arrays(np.float64, st.integers(1, 60), elements=st.integers(1, 12).map(float)))
def test_no_pair_of_days_falls_deeper(equity):
    result = max_drawdown(equity)
    falls = [1 - equity[j] / equity[i] for i in range(len(equity)) for j in range(i, len(equity))]
    assert result.depth == max(falls)
    series = pd.Series(equity)
    assert result.depth == (1 - series / series.cummax()).max()
    if result.depth:
        peak, trough, recovery = result.peak, result.trough, result.recovery
        assert peak < trough and 1 - equity[trough] / equity[peak] == result.depth
        assert equity[peak] == equity[: trough + 1].max() and (equity[peak + 1 : trough] < equity[peak]).all()
        later = equity[trough:] if recovery is None else equity[trough:recovery]
        assert (later < equity[peak]).all()
        assert recovery is None or equity[recovery] >= equity[peak]


def test_a_trade_that_only_pays_for_its_costs_is_no_hit():
    result = trade_hits(np.array([0.0, 0.01, -0.01]))
    assert (result.hits, result.counted) == (1, 3)


def test_a_years_return_is_told_from_half_a_year_on():
    assert told_return(126, 0.2, 0.44) == (0.44, "a year")
    assert told_return(125, 0.2, 0.44) == (0.2, "in 125 days")
    assert told_return(1, 0.01, None) == (0.01, "in 1 day")
