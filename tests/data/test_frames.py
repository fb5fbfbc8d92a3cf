"""Prices as people hold them (trendlstm.data.frames)."""

import numpy as np
import pandas as pd
import pytest

import trendlstm as tl
from trendlstm.data.frames import price_table
from trendlstm.errors import DataError

DATES = pd.bdate_range("2020-01-01", periods=60, name="Date")
CLOSES = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 60)))
TABLE = pd.DataFrame({"Open": CLOSES, "Close": CLOSES, "Volume": 1000.0}, index=DATES)


def two_levels(table, tickers, names=("Price", "Ticker")):
    """As yfinance.download gives them."""
    tables = pd.concat({ticker: table for ticker in tickers}, axis=1, names=names[::-1])
    return tables.swaplevel(axis=1)


def same_windows(one, other):
    return all(
        np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y)
        for a, b in zip(tl.make_windows(one).splits, tl.make_windows(other).splits, strict=True)
    )


@pytest.mark.parametrize(
    "prices",
    [
        TABLE,
        TABLE["Close"],
        pd.Series(CLOSES, DATES),
        two_levels(TABLE, ["MSFT"]),
        two_levels(TABLE, ["MSFT"]).swaplevel(axis=1),
        TABLE.tz_localize("America/New_York"),
        TABLE.tz_localize("Asia/Tokyo"),
        TABLE.astype("float64").convert_dtypes(),
    ],
    ids=["table", "column", "series", "yfinance", "group_by ticker", "New York", "Tokyo", "nullable"],
)
def test_every_form_gives_the_same_windows(prices):
    before = prices.copy()
    assert same_windows(prices, TABLE)
    assert list(tl.make_windows(prices).dates) == list(DATES)
    assert prices.equals(before)


def test_an_adjusted_close_scales_the_prices_and_is_said(caplog):
    split = TABLE.assign(**{"Adj Close": CLOSES / 2, "Close": CLOSES * np.repeat([2, 1], 30)})
    table = price_table(split)
    np.testing.assert_allclose(table["Close"], CLOSES / 2)
    assert "scaled by Adj Close / Close" in caplog.text


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (
            CLOSES,
            "a pandas DataFrame with a Close column or a Series of closes, indexed by date, but are ndarray",
        ),
        (list(CLOSES), "but are list"),
        (TABLE[["Open"]], "no Close column, only Open"),
        (TABLE.reset_index(drop=True), "indexed by date"),
        (two_levels(TABLE, ["MSFT", "IBM"]), r"of 2 tickers, MSFT, IBM: choose one, as in prices.xs\('MSFT'"),
        (two_levels(TABLE[["Open"]], ["MSFT"]), "give a table with a Close column"),
    ],
)
def test_what_is_refused_is_named(prices, message):
    with pytest.raises(DataError, match=message):
        tl.make_windows(prices)


def test_the_advice_for_several_tickers_works():
    prices = two_levels(TABLE, ["MSFT", "IBM"])
    assert same_windows(prices.xs("MSFT", axis=1, level=1), TABLE)
