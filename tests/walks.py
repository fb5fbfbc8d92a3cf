"""Random walks as prices, and settings small enough to train in a moment."""

import numpy as np
import pandas as pd

from trendlstm.config import DataConfig, FitConfig, NetworkConfig, TrainConfig, WindowConfig
from trendlstm.data.frames import price_set
from trendlstm.workflows import train as pipeline


def random_walk(rows=240, seed=0, start=50.0, sigma=0.015, drift=0.0003):
    """Open High Low Close Volume on weekdays."""
    random = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(random.normal(drift, sigma, rows)))
    open_ = close * np.exp(random.normal(0, sigma / 2, rows))
    frame = pd.DataFrame(
        {
            "Open": open_,
            "High": np.maximum(open_, close) * 1.01,
            "Low": np.minimum(open_, close) * 0.99,
            "Close": close,
            "Volume": random.integers(1, 10**8, rows).astype(float),
        },
        index=pd.DatetimeIndex(pd.bdate_range("2015-01-05", periods=rows), name="Date"),
    )
    return frame


def small_config(
    lag=4,
    horizon=1,
    features=("Close",),
    scaling="window",
    cell="lstm",
    seeds=1,
    final_fit=False,
    seed=0,
    split=(0.6, 0.2, 0.2),
    dtype="float32",
    loss="mse",
    quantiles=(),
    hidden_size=3,
    layers=1,
    dropout=0.0,
    recurrent_dropout=0.0,
    **fit,
):
    """A network of 3 hidden units unless told otherwise, and 4 epochs."""
    return TrainConfig(
        data=DataConfig("WALK"),
        window=WindowConfig(lag, horizon, features, scaling, split),
        network=NetworkConfig(
            len(features),
            hidden_size,
            (),
            output_size=horizon,
            cell=cell,
            lag=lag,
            seed=seed,
            dtype=dtype,
            loss=loss,
            quantiles=quantiles,
            layers=layers,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
        ),
        fit=FitConfig(**{"epochs": 4, "learning_rate": 0.01} | fit),
        seeds=seeds,
        threads=2,
        final_fit=final_fit,
    )


def prepared(prices=None, **settings):
    """Windows and untrained networks."""
    config = small_config(**settings)
    return pipeline.prepare(config, price_set(random_walk() if prices is None else prices, config.data))


def trained(prices=None, **settings):
    """A result after training, everything measured and forecast."""
    return pipeline.run(prepared(prices, **settings))
