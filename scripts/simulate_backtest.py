"""How often whole backtests of prices without anything to know claim evidence, and what their intervals hold.

Run as `python scripts/simulate_backtest.py`; takes about five minutes. docs/measures.md and docs/bands.md
quote what it prints.
"""

import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import trendlstm as tl
from trendlstm.evaluation.metrics import wilson_interval
from trendlstm.evaluation.significance import LEVEL
from trendlstm.workflows.backtest import POOLED, Measures

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from simulated_returns import PROCESSES, with_common_factor

NULLS = ("normal", "GARCH-t")
SESSIONS = 4 * 252
TICKERS = 200
POOLS, SIZE = 40, 10
COMMON = 0.4  # share of the variance that a pool's tickers have in common
SMALL = {
    "network": tl.NetworkConfig(hidden_size=8, dense=(8,)),
    "fit": tl.FitConfig(epochs=10, patience=3, learning_rate=0.01),
    "refit": 21,
}


def backtest(returns: np.ndarray, horizon: int) -> list[Measures]:
    """What a backtest of the last year measures of its network, by ticker and pooled; returns (tickers, days)."""
    dates = pd.DatetimeIndex(pd.bdate_range("2000-01-03", periods=returns.shape[1]), name="Date")
    prices = {
        f"S{number}": pd.Series(50 * np.exp(np.cumsum(one)), dates) for number, one in enumerate(returns)
    }
    config = tl.BacktestConfig(window=tl.WindowConfig(lag=5, horizon=horizon), **SMALL)
    return [one for one in tl.backtest(prices, config).measures if one.model == "lstm"]


def claims(measures: list[Measures]) -> str:
    """Share of those who claim evidence by themselves, with its interval; of later steps nothing is claimed."""
    if measures[0].metrics.measured.step > 1:
        return ""
    claimed = sum(one.claim_p is not None and one.claim_p < LEVEL for one in measures)
    low, high = wilson_interval(claimed, len(measures))
    return f"{claimed} of {len(measures)}, {100 * claimed / len(measures):.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def coverages(measures: list[Measures]) -> str:
    """Mean share of closes that the two kinds of intervals held, and its standard deviation over what was measured."""
    cells = []
    for kind in ("coverage", "adaptive_coverage"):
        shares = 100 * np.array([getattr(one, kind).share for one in measures])
        cells.append(f"{shares.mean():.1f} ({shares.std():.1f})")
    return " | ".join(cells)


def show(what: str, measures: list[Measures]) -> None:
    """A row of the table."""
    print(f"| {what} | {claims(measures)} | {coverages(measures)} |", flush=True)


def show_tickers(horizon: int) -> None:
    """Tickers that have nothing to do with one another, each judged by itself."""
    both = []
    for number, name in enumerate(NULLS):
        returns = PROCESSES[name](np.random.default_rng([horizon, number]), TICKERS, SESSIONS)
        measures = [one for one in backtest(returns, horizon) if one.ticker != POOLED]
        for step in sorted({1, horizon}):
            own = [one for one in measures if one.metrics.measured.step == step]
            show(f"{name}, step {step} of {horizon}", own)
            both += own if step == 1 else []
    show(f"both, step 1 of {horizon}", both)


def show_pools() -> None:
    """Tickers that move together, judged as one."""
    both = []
    for number, name in enumerate(NULLS):
        random, pooled = np.random.default_rng([SIZE, number]), []
        for _ in range(POOLS):
            returns = with_common_factor(PROCESSES[name](random, SIZE + 1, SESSIONS), COMMON)
            pooled += [one for one in backtest(returns, 1) if one.ticker == POOLED]
        show(f"{name}, pools of {SIZE}", pooled)
        both += pooled
    show(f"both, pools of {SIZE}", both)


if __name__ == "__main__":
    logging.getLogger("trendlstm").setLevel(logging.ERROR)  # weekdays are not the sessions of an exchange
    print(
        "| nothing to find | evidence claimed [95 % interval] | split conformal, % (sd) | adaptive, % (sd) |"
    )
    print("|---|---|---|---|")
    show_tickers(1)
    show_tickers(5)
    show_pools()
