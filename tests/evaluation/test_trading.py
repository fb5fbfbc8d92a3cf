"""Positions, returns, costs and equity (trendlstm.evaluation.trading)."""

import math
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from simulated_returns import SIGMA, autoregressive

from trendlstm.errors import DataError
from trendlstm.evaluation.trading import STRATEGIES, account, cost_levels, holding_days, portfolio

# Ten sessions. From open to open, row 1 on: +100, -50, +50, -20, +25, +100, 0 and -50 %.
DATES = pd.bdate_range("2024-03-01", periods=10)
OPEN = np.array([10, 10, 20, 10, 15, 12, 15, 30, 30, 15.0])
CLOSE = np.full(10, 20.0)
FORECAST = np.array([21, 22, 19, 18, 20, 21, 10, 30, 25, 25.0])


def followed(prices=OPEN, forecast=FORECAST, stride=1):
    origins = np.arange(0, len(CLOSE), stride)
    return holding_days(DATES, prices, CLOSE, origins, stride, forecast[: len(origins)])


def at_opens(returns, forecast, first=0):
    """Days of a ticker that opens where it closed, stride 1."""
    close = 100 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    dates = np.datetime64("2000-01-01") + np.arange(len(close))
    origins = np.arange(first, len(close))
    return holding_days(
        dates, np.concatenate([close[:1], close[:-1]]), close, origins, 1, forecast(close)[first:]
    )


def assert_same_bits(one, other):
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


# --- Ten rows by hand --------------------------------------------------------------------------------------


def test_signals_trade_at_the_next_open():
    days = followed()
    assert (days.trades_at, days.untraded) == ("open", 2)
    np.testing.assert_array_equal(days.dates, DATES[1:])
    np.testing.assert_allclose(days.returns, [1, -0.5, 0.5, -0.2, 0.25, 1, 0, -0.5], rtol=1e-15)
    np.testing.assert_array_equal(days.signal, [1, 1, -1, -1, 0, 1, -1, 1])


@pytest.mark.parametrize(
    ("strategy", "position", "turnover", "net"),
    [
        ("long/flat", [1, 1, 0, 0, 0, 1, 0, 1], 5, [0.99, -0.5, -0.01, 0, 0, 0.99, -0.01, -0.51]),
        (
            "long/short",
            [1, 1, -1, -1, 0, 1, -1, 1],
            9,
            [0.99, -0.5, -0.52, 0.2, -0.01, 0.99, -0.02, -0.52],
        ),
        ("buy and hold", [1] * 8, 1, [0.99, -0.5, 0.5, -0.2, 0.25, 1, 0, -0.5]),
    ],
)
def test_ten_rows_by_hand(strategy, position, turnover, net):
    result = account(followed(), strategy, costs_bps=100)
    np.testing.assert_array_equal(result.position, position)
    np.testing.assert_array_equal(result.exposure, np.abs(position))
    assert result.turnover.sum() == turnover
    assert result.cost.sum() == pytest.approx(turnover / 100)
    np.testing.assert_allclose(result.net, net, rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(result.equity, np.cumprod([1, *(1 + np.array(net))]), rtol=1e-13)


def test_trades_pay_for_entry_and_exit():
    days = followed()
    long_flat = [1.99 * 0.5 * 0.99, 1.99 * 0.99, 0.49]
    np.testing.assert_allclose(account(days, "long/flat", 100).trades, np.subtract(long_flat, 1), rtol=1e-13)
    long_short = [1.99 * 0.5 * 0.99, 0.49 * 1.2 * 0.99, 1.99 * 0.99, 0.99 * 0.99, 0.49]
    np.testing.assert_allclose(
        account(days, "long/short", 100).trades, np.subtract(long_short, 1), rtol=1e-12
    )
    np.testing.assert_allclose(account(days, "buy and hold", 100).trades, [1.99 * 0.75 - 1], rtol=1e-13)


def test_without_opens_signals_trade_at_the_next_close():
    close = OPEN
    forecast = close + np.array([1, 2, -1, -2, 0, 1, -10, 10, 5, 5.0])
    days = holding_days(DATES, None, close, np.arange(10), 1, forecast)
    assert days.trades_at == "close"
    assert_same_bits(replace(days, trades_at="open"), followed())


def test_a_position_is_held_until_the_next_trade():
    days = followed(stride=3)  # forecasts after rows 0, 3, 6 and 9
    np.testing.assert_array_equal(days.signal, [1, 1, 1, 1, 1, 1, -1, -1])
    assert days.untraded == 1


def test_the_last_position_is_held_for_the_stride_only():
    days = holding_days(DATES, OPEN, CLOSE, np.array([1, 3]), 2, np.array([21.0, 19.0]))
    np.testing.assert_array_equal(days.dates, DATES[2:7])
    np.testing.assert_array_equal(days.signal, [1, 1, -1, -1])
    assert days.untraded == 0


def test_a_strategy_without_a_position_earns_nothing_and_pays_nothing():
    """As persistence does, which predicts the close."""
    idle = account(followed(forecast=CLOSE), "long/short", 10)
    assert not idle.net.any() and len(idle.trades) == 0 and (idle.equity == 1).all()


def test_an_account_that_lost_more_than_all_stays_at_nothing():
    prices = np.array(
        [10, 10, 25, 60, 10, 10, 10, 10, 10, 10.0]
    )  # up 150 % and 140 % against a short position
    ruined = account(followed(prices, forecast=np.full(10, 1.0)), "long/short", 0)
    np.testing.assert_array_equal(ruined.equity, [1, 0, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(ruined.trades, [-1])


def test_costs_stand_side_by_side():
    assert cost_levels(5) == cost_levels(0) == [0, 5, 10]
    assert cost_levels(7.5) == [0, 5, 7.5, 10]


# --- Properties --------------------------------------------------------------------------------------------


@st.composite
def walks(draw):
    """Arguments of `holding_days`, with rows for one forecast at least."""
    rows = draw(st.integers(4, 60))
    stride = draw(st.integers(1, 7))
    first = draw(st.integers(0, rows - 3))
    origins = np.arange(first, draw(st.integers(first + 1, rows)), stride)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    close = 100 * np.exp(np.cumsum(0.1 * random.standard_normal(rows)))
    opens = close * np.exp(0.1 * random.standard_normal(rows)) if draw(st.booleans()) else None
    forecast = close[origins] * (1 + 0.1 * random.integers(-1, 2, len(origins)))
    return pd.bdate_range("2020-01-01", periods=rows), opens, close, origins, stride, forecast


def followed_by_hand(dates, opens, close, origins, stride, forecast, strategy, costs_bps):
    """Walk through the sessions with orders and an account; {date: equity}."""
    trade_prices = close if opens is None else opens
    orders = {}
    for origin, price in zip(origins, forecast):
        signal = int(np.sign(price - close[origin]))
        orders[origin + 1] = {"long/flat": max(signal, 0), "long/short": signal, "buy and hold": 1}[strategy]
    equity, weight, cost, last = {}, 0, 0.0, None
    final = max(row for row in orders if row + 1 < len(close)) + stride
    for row in range(origins[0] + 1, min(final, len(close) - 1) + 1):
        if last is None:
            equity[dates[row]] = 1.0
        else:
            earned = weight * (trade_prices[row] / trade_prices[row - 1] - 1) - cost
            equity[dates[row]] = last * (1 + earned)
        cost, last = 0.0, equity[dates[row]]
        if row in orders:
            cost = costs_bps / 1e4 * abs(orders[row] - weight)
            weight = orders[row]
    return equity


@given(walks(), st.sampled_from(list(STRATEGIES)), st.floats(0, 100))
def test_accounts_equal_a_walk_through_orders(walk, strategy, costs_bps):
    result = account(holding_days(*walk), strategy, costs_bps)
    assume((result.net > -1).all())
    expected = followed_by_hand(*walk, strategy, costs_bps)
    np.testing.assert_array_equal(result.dates, list(expected))
    np.testing.assert_allclose(result.equity, list(expected.values()), rtol=1e-10)


@given(walks(), st.data())
def test_the_future_changes_no_earlier_position_and_equity(walk, data):
    """Neither other prices and forecasts after a session, nor that the rows end with it."""
    dates, opens, close, origins, stride, forecast = walk
    last = data.draw(st.integers(origins[0] + 2, len(close) - 1))
    later, known = np.arange(len(close)) > last, origins <= last
    other = (
        dates,
        None if opens is None else np.where(later, 1.5 * opens, opens),
        np.where(later, 0.5 * close, close),
        origins,
        stride,
        np.where(known, forecast, 2 * forecast),
    )
    upto = slice(last + 1)
    truncated = (dates[upto], None if opens is None else opens[upto], close[upto], origins[known], stride)
    for strategy in STRATEGIES:
        expected = account(holding_days(*walk), strategy, 5)
        n = int((expected.dates <= dates[last].to_datetime64()).sum()) - 1
        for changed in (other, (*truncated, forecast[known])):
            result = account(holding_days(*changed), strategy, 5)
            for name in ("dates", "equity"):
                np.testing.assert_array_equal(
                    getattr(result, name)[: n + 1], getattr(expected, name)[: n + 1]
                )
            for name in ("position", "turnover", "gross", "net"):
                np.testing.assert_array_equal(getattr(result, name)[:n], getattr(expected, name)[:n])


@given(walks(), st.sampled_from(list(STRATEGIES)), st.floats(0, 50), st.floats(0, 50))
def test_costs_never_help(walk, strategy, one, other):
    days = holding_days(*walk)
    cheap, dear = (account(days, strategy, bps) for bps in sorted([one, other]))
    assert (dear.net <= cheap.net).all() and (dear.equity <= cheap.equity).all()
    assert (dear.trades <= cheap.trades).all()
    np.testing.assert_array_equal(dear.position, cheap.position)


@given(walks())
def test_a_flip_pays_twice(walk):
    days = holding_days(*walk)
    result = account(replace(days, change=np.where(days.signal < 0, -1.0, 1.0)), "long/short", 10)
    flips = np.flatnonzero(np.diff(result.position))
    np.testing.assert_allclose(result.cost[1:][flips], 2 * 10 / 1e4)
    assert result.turnover.sum() == 1 + 2 * len(flips)


@given(walks())
def test_always_long_is_buy_and_hold(walk):
    days = holding_days(*walk)
    long = replace(days, change=np.ones_like(days.signal))
    held = account(days, "buy and hold", 10)
    for strategy in ("long/flat", "long/short"):
        assert_same_bits(account(long, strategy, 10), held)
    dates, opens, close, *_ = walk
    prices = pd.Series(close if opens is None else opens, dates)
    expected = prices[held.dates] / prices[held.dates[0]]
    np.testing.assert_allclose(account(days, "buy and hold", 0).equity, expected, rtol=1e-12)
    # one entry, and no exit, because it is still open
    assert held.equity[1] == pytest.approx(expected.iloc[1] - 0.001)


@given(walks(), st.floats(0, 50))
def test_long_flat_is_its_trades(walk, costs_bps):
    """Nothing is earned or paid but by trades: their product is the equity."""
    result = account(holding_days(*walk), "long/flat", costs_bps)
    assert np.prod(1 + result.trades) == pytest.approx(result.equity[-1], rel=1e-12)


# --- Portfolios --------------------------------------------------------------------------------------------


@given(st.lists(walks(), min_size=1, max_size=5), st.permutations("CADBE"))
def test_a_portfolio_is_the_mean_of_each_date(walks, names):
    accounts = {name: account(holding_days(*walk), "long/short", 5) for name, walk in zip(names, walks)}
    result = portfolio(accounts)
    for name in ("position", "exposure", "turnover", "gross", "cost", "net"):
        columns = [pd.Series(getattr(one, name), one.dates[1:]) for one in accounts.values()]
        expected = pd.concat(columns, axis=1, sort=True).mean(axis=1)
        np.testing.assert_array_equal(result.dates[1:], expected.index)
        np.testing.assert_allclose(getattr(result, name), expected, rtol=1e-12, atol=1e-15)
    assert result.dates[0] == min(one.dates[0] for one in accounts.values())
    assert_same_bits(portfolio(dict(reversed(accounts.items()))), result)


def test_a_portfolio_of_one_is_its_account():
    one = account(followed(), "long/short", 5)
    assert_same_bits(portfolio({"ONE": one}), one)


def test_a_date_without_a_session_counts_for_the_others_alone():
    everyone = np.arange(10)
    some = np.delete(everyone, 4)  # a holiday of the second ticker
    first = account(holding_days(DATES, OPEN, CLOSE, everyone, 1, CLOSE + 1), "long/flat", 0)
    second = account(
        holding_days(DATES[some], CLOSE[some], CLOSE[some], np.arange(9), 1, CLOSE[some]), "long/flat", 0
    )
    result = portfolio({"FIRST": first, "SECOND": second})
    np.testing.assert_allclose(result.exposure, [0.5, 0.5, 1, 0.5, 0.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(result.gross, [0.5, -0.25, 0.5, -0.1, 0.125, 0.5, 0, -0.25], rtol=1e-13)


def test_accounts_of_different_costs_make_no_portfolio():
    with pytest.raises(ValueError):
        portfolio({"A": account(followed(), "long/flat", 0), "B": account(followed(), "long/flat", 5)})


# --- What theory says --------------------------------------------------------------------------------------

DAYS = 200_000
MEAN_SIZE = SIGMA * math.sqrt(2 / math.pi)  # E|r| of a normal return


def today_goes_on(close):
    """Today's change once more."""
    return np.concatenate([close[:1], close[1:] ** 2 / close[:-1]])


def returns_of(rho):
    """50 series end to end, because that is faster to simulate."""
    return autoregressive(np.random.default_rng(0), 50, DAYS // 50, rho).ravel()


@pytest.mark.parametrize("rho", [-0.1, 0.2, 0.5])
def test_yesterdays_sign_earns_what_theory_says_on_an_ar1(rho):
    """E[r_t sign(r_{t-1})] = rho sigma sqrt(2 / pi); at the close, a session later, rho^2 sigma sqrt(2 / pi)."""
    days = at_opens(returns_of(rho), today_goes_on, first=1)
    error = SIGMA / math.sqrt(DAYS)
    assert account(days, "long/short", 0).gross.mean() == pytest.approx(rho * MEAN_SIZE, abs=4 * error)

    close = 100 * np.exp(np.cumsum(returns_of(rho)))
    dates = np.datetime64("2000-01-01") + np.arange(DAYS)
    days = holding_days(dates, None, close, np.arange(1, DAYS), 1, today_goes_on(close)[1:])
    assert account(days, "long/short", 0).gross.mean() == pytest.approx(rho**2 * MEAN_SIZE, abs=4 * error)


def test_knowing_ones_own_bar_earns_nothing():
    """On a walk without memory. Traded on its own bar, the same signal would earn E|r| every day."""
    days = at_opens(returns_of(0.0), today_goes_on, first=1)
    assert abs(account(days, "long/short", 0).gross.mean()) < 4 * SIGMA / math.sqrt(DAYS)
    # the return of the bar on which the signal was made is that of the day before its own
    assert np.mean(days.signal[1:] * days.returns[:-1]) == pytest.approx(MEAN_SIZE, rel=0.01)


def test_knowing_tomorrow_shines():
    days = at_opens(returns_of(0.0), lambda close: np.append(close[1:], close[-1]))
    assert account(days, "long/short", 0).gross.mean() == pytest.approx(MEAN_SIZE, rel=0.01)


# --- What is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_forecast_that_is_no_number_is_refused(wrong):
    forecast = FORECAST.copy()
    forecast[9] = wrong  # one that is not even traded
    with pytest.raises(DataError, match=r"2024-03-14.*not a finite number"):
        followed(forecast=forecast)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -1.0])
def test_a_price_that_cannot_be_traded_is_refused(wrong):
    prices = OPEN.copy()
    prices[3] = wrong
    with pytest.raises(DataError, match="2024-03-06 trades is not finite and above 0"):
        followed(prices)


def test_prices_that_nobody_trades_at_may_be_anything():
    prices = OPEN.copy()
    prices[0] = np.nan
    assert_same_bits(followed(prices), followed())


def test_forecasts_that_nobody_can_follow_are_refused():
    with pytest.raises(DataError, match="No forecast can be followed"):
        holding_days(DATES, OPEN, CLOSE, np.array([8, 9]), 1, np.array([1.0, 2.0]))


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="one shape"):
        holding_days(DATES, OPEN, CLOSE, np.arange(10), 1, FORECAST[:9])
    with pytest.raises(DataError, match="one shape"):
        holding_days(DATES, OPEN[1:], CLOSE, np.arange(10), 1, FORECAST)
    with pytest.raises(DataError, match="2 rows apart"):
        holding_days(DATES, OPEN, CLOSE, np.arange(10), 2, FORECAST)
