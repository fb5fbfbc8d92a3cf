"""The picture of a backtest: what it shows, and that nothing in it overlaps or falls off."""

from itertools import pairwise

import numpy as np
import pytest
from backtests import drawn_backtest
from pictures import assert_all_fits

from trendlstm.output.plots import backtest as plots
from trendlstm.workflows.backtest import POOLED

CASES = {
    "one ticker": {},
    "a short walk": {"test_years": 0.15, "refit": 1},
    "five steps": {"horizon": 5, "stride": 5, "test_years": 1.0},
    "all models": {"models": ("lstm", "rnn", "gru", "lstm1997", "ann", "rnn-sigmoid")},
    "four tickers": {
        "tickers": ("MSFT", "AAPL", "IBM", "GOOG"),
        "models": ("lstm", "rnn"),
        "warm_start": True,
    },
    "forty tickers": {"tickers": [f"TICK{number}" for number in range(40)]},
    "ten years": {"rows": 2800, "test_years": 9.0, "refit": 21},
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_leaves_the_picture_or_overlaps(case):
    figure = plots._figure(drawn_backtest(**CASES[case]))
    assert_all_fits(figure)
    for axes in figure.axes:
        ticks = [tick.label1 for tick in axes.xaxis.get_major_ticks() if tick.label1.get_visible()]
        extents = [tick.get_window_extent() for tick in ticks if tick.get_text()]
        assert not any(one.overlaps(other) for one, other in pairwise(extents))


def test_lines_are_those_of_the_tables():
    result = drawn_backtest(("AA", "BB"), models=("lstm", "rnn"))
    equity, drawdown, intervals, hits, skill = plots._figure(result).axes
    accounts = [one for one in result.accounts if one.ticker == POOLED and one.account.costs_bps == 5]
    drawn = [line.get_ydata() for line in equity.lines if len(line.get_xdata()) > 2]
    assert len(drawn) == len(accounts) == 5
    for one, worth, fall in zip(accounts, drawn, drawdown.lines, strict=True):
        np.testing.assert_array_equal(worth, one.account.equity)
        assert -fall.get_ydata().min() == pytest.approx(100 * one.performance.drawdown.depth)
    own = result.predictions.query("ticker == 'AA' and model == 'lstm' and step == 1").iloc[-60:]
    (close,) = (line for line in intervals.lines if line.get_label() == "close")
    np.testing.assert_array_equal(close.get_ydata(), own["actual"])
    right = np.sign(own["forecast"] - own["naive"]) == np.sign(own["actual"] - own["naive"])
    other = result.predictions.query("ticker == 'BB' and model == 'lstm' and step == 1").iloc[-60:]
    also = np.sign(other["forecast"] - other["naive"]) == np.sign(other["actual"] - other["naive"])
    assert hits.lines[0].get_ydata()[-1] == pytest.approx(50 * (right.mean() + also.mean()))
    skills = {
        (one.ticker, one.model): one.metrics.measured.skill for one in result.measures if one.ticker != POOLED
    }
    bars = [bar.get_height() for bar in skill.patches]
    order = [label.get_text() for label in skill.get_xticklabels()]
    expected = [
        100 * skills[ticker, model] for model in ("lstm", "rnn", "ridge", "drift") for ticker in order
    ]
    assert bars == pytest.approx(expected)
