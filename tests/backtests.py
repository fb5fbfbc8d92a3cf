"""Backtests whose forecasts are drawn instead of fitted, so that they take no time."""

import numpy as np
from walks import random_walk

from trendlstm.config import BacktestConfig, DataConfig, NetworkConfig, WindowConfig
from trendlstm.data.frames import price_set
from trendlstm.workflows import fold_queue
from trendlstm.workflows.backtest import assess
from trendlstm.workflows.folds import FoldResult


def drawn_backtest(tickers=("AA",), horizon=1, rows=420, scale=0.02, failures=None, **changes):
    """The result of random forecasts around the last close, every 5 sessions a new fold unless told otherwise."""
    network = NetworkConfig(hidden_size=4, dense=())
    window = WindowConfig(lag=4, horizon=horizon)
    config = BacktestConfig(window=window, network=network, **{"refit": 5, "test_years": 0.8, **changes})
    prices = {
        ticker: price_set(random_walk(rows, seed), DataConfig(ticker=ticker))
        for seed, ticker in enumerate(tickers)
    }
    planned, store = fold_queue.plan(prices, config), fold_queue.MemoryStore()
    random = np.random.default_rng(0)
    for ticker, walk in planned.walks.items():
        close = walk.prices.frame["Close"].to_numpy()
        store.save([_drawn(random, ticker, fold, close, config, scale) for fold in walk.folds])
    return assess(planned, store, failures or {})


def _drawn(random, ticker, fold, close, config, scale):
    horizon, origins = config.window.horizon, np.asarray(fold.origins)

    def forecast(*members):
        noise = random.normal(0, scale / 4, (*members, len(origins), horizon))
        return close[origins][:, None] * np.exp(noise)

    names = (*config.models, "drift", "ridge")
    return FoldResult(
        ticker=ticker,
        number=fold.number,
        forecasts={name: forecast() for name in names},
        members={name: forecast(config.seeds) for name in config.models},
        quantiles={},
        scores={name: np.abs(random.normal(0, 1, (60, horizon))) for name in config.models},
        epochs={name: np.ones(config.seeds, np.int64) for name in config.models},
        ridge_alpha=1.0,
        weights={},
        seconds=0.1,
    )
