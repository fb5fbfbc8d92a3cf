"""Backtests small enough to run in a moment, and what they leave, bit by bit."""

from walks import random_walk

from trendlstm.config import BacktestConfig, DataConfig, FitConfig, NetworkConfig, WindowConfig
from trendlstm.data.frames import price_set


def settings(loss="mse", quantiles=(), **changes):
    network = NetworkConfig(hidden_size=4, dense=(), loss=loss, quantiles=quantiles)
    options = {
        "network": network,
        "window": WindowConfig(lag=4),
        "test_years": 0.15,
        "seeds": 2,
        "fit": FitConfig(epochs=2, patience=1),
    }
    return BacktestConfig(**{**options, **changes})


def prices(*tickers, **options):
    return {
        ticker: price_set(random_walk(260, seed, **options), DataConfig(ticker=ticker))
        for seed, ticker in enumerate(tickers)
    }


def bits(store, ticker):
    kinds = ("forecasts", "members", "quantiles", "scores", "epochs")
    return [
        (
            one.number,
            one.ridge_alpha,
            {(kind, name): array.tobytes() for kind in kinds for name, array in getattr(one, kind).items()},
        )
        for one in store.load(ticker)
    ]
