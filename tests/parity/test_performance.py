"""Measures of accounts against empyrical."""

import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trendlstm.evaluation.performance import evaluate_account
from trendlstm.evaluation.trading import STRATEGIES, account, holding_days


@given(
    st.integers(0, 2**32),
    st.integers(12, 600),
    st.sampled_from(list(STRATEGIES)),
    st.sampled_from([252, 365]),
)
def test_accounts_equal_empyrical(seed, rows, strategy, year):
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.02 * random.standard_normal(rows)))
    forecast = close * np.exp(0.02 * random.standard_normal(rows))
    dates = pd.bdate_range("2015-01-01", periods=rows)
    traded = account(holding_days(dates, None, close, np.arange(rows), 1, forecast), strategy, 5)
    result, net = evaluate_account(traded, year), pd.Series(traded.net, traded.dates[1:])
    assert result.total_return == pytest.approx(empyrical.cum_returns_final(net), rel=1e-9, abs=1e-12)
    assert result.annualised_return == pytest.approx(
        empyrical.annual_return(net, annualization=year), rel=1e-9, abs=1e-12
    )
    assert result.volatility == pytest.approx(
        empyrical.annual_volatility(net, annualization=year), rel=1e-9, abs=1e-12
    )
    assert -result.drawdown.depth == pytest.approx(empyrical.max_drawdown(net), rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(traded.equity[1:], empyrical.cum_returns(net, starting_value=1), rtol=1e-12)
    if result.sharpe is not None:
        expected = empyrical.sharpe_ratio(net, annualization=year)
        assert result.sharpe.annualised == pytest.approx(expected, rel=1e-9)
