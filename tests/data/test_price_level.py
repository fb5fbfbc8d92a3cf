"""Whether prices were restated since: splits, dividends, rounding, other stocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walks import random_walk

from trendlstm.data.price_level import compare_levels
from trendlstm.data.sources import load_prices, sample_tickers
from trendlstm.data.windows import Scaler

CLOSE = random_walk(300)["Close"]


def test_prices_that_nobody_has_restated():
    level = compare_levels(CLOSE[20:], CLOSE[:250])
    assert (level.state, level.ratio, level.lowest, level.highest, level.sessions) == ("same", 1, 1, 1, 230)


@settings(deadline=None)
@given(ratio=st.floats(0.01, 100).filter(lambda ratio: abs(ratio - 1) > 0.002))
def test_a_split_is_a_ratio_of_all_common_sessions(ratio):
    level = compare_levels(CLOSE[:200], CLOSE[50:] / ratio)
    assert level.state == "restated" and level.sessions == 150
    assert (level.ratio, level.lowest, level.highest) == pytest.approx((ratio,) * 3, rel=1e-9)


def test_cents_are_no_other_prices():
    """A stock at 2.47 in cents, against all digits."""
    close = CLOSE * 2.47 / CLOSE.iloc[-1]
    assert compare_levels(close, close.round(2)).state == "same"
    level = compare_levels(close.round(2), (close / 4).round(3))
    assert level.state == "restated" and level.ratio == pytest.approx(4, rel=1e-3)


def test_dividends_change_the_ratio_slowly_and_the_newest_counts():
    """Prices as traded, then adjusted for a dividend of 1 % each quarter, two of them after the earlier table."""
    quarter = np.arange(300) // 60
    level = compare_levels(CLOSE[:180], CLOSE * 0.99 ** (4 - quarter))
    assert level.state == "restated" and level.ratio == pytest.approx(0.99**-2)
    assert (level.lowest, level.highest) == pytest.approx((0.99**-2, 0.99**-4))


def test_another_stock_is_no_split():
    closes = {ticker: load_prices(ticker, years=4, source="sample")["Close"] for ticker in sample_tickers()}
    for one, earlier in closes.items():
        for other, newer in closes.items():
            assert compare_levels(earlier, newer).state == ("same" if one == other else "different")
    assert compare_levels(CLOSE, random_walk(300, seed=1)["Close"]).state == "different"


@pytest.mark.parametrize("common", [0, 19])
def test_few_common_sessions_say_nothing(common):
    level = compare_levels(CLOSE[: 100 + common], CLOSE[100:] / 4)
    assert (level.state, level.ratio, level.sessions) == ("unknown", 1, common)


@pytest.mark.parametrize("scaling", ["window", "standard", "minmax", "none"])
def test_a_restated_scaler_does_to_restated_prices_what_it_did_to_the_prices(scaling):
    prices = random_walk(60)
    scaler = Scaler.fit(prices, ("Volume", "Close", "Open"), scaling)
    raw, anchor = prices[["Volume", "Close", "Open"]].to_numpy()[None], prices["Close"].to_numpy()[-1:]
    ratio = np.array([1, 4, 4])
    np.testing.assert_allclose(
        scaler.restated(4).inputs(raw / ratio, anchor / 4), scaler.inputs(raw, anchor), rtol=1e-9, atol=1e-12
    )
    outputs = np.array([[0.3, -0.2]])
    np.testing.assert_allclose(
        scaler.restated(4).prices(outputs, anchor / 4), scaler.prices(outputs, anchor) / 4, rtol=1e-12
    )
